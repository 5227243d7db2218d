"""Which share of a job is this process's."""

import jax
import pytest

from causaljax.batch import processes

ARRAY = {"MIN": "10", "MAX": "40", "STEP": "10", "COUNT": "4"}
ARRAY = {f"SLURM_ARRAY_TASK_{name}": value for name, value in ARRAY.items()}
STEP = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "3"}


@pytest.fixture
def launched(monkeypatch):
    """Sets what launchers write, and nothing else of theirs."""
    for name in processes.os.environ:
        if name.startswith(("SLURM_", "JOB_COMPLETION", "TPU_", "MEGASCALE_")):
            monkeypatch.delenv(name)

    def launch(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return launch


@pytest.mark.parametrize(
    ("environment", "share"),
    [
        ({}, (0, 1)),
        (ARRAY | {"SLURM_ARRAY_TASK_ID": "30"}, (2, 4)),
        (STEP, (1, 3)),
        (ARRAY | STEP | {"SLURM_ARRAY_TASK_ID": "30"}, (2 * 3 + 1, 12)),
        # The script of sbatch itself is no step, and alone.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1)),
        ({"JOB_COMPLETION_INDEX": "5", "JOB_COMPLETIONS": "8"}, (5, 8)),
        (
            {
                "TPU_WORKER_ID": "1",
                "TPU_WORKER_HOSTNAMES": "a,b",
                "MEGASCALE_SLICE_ID": "2",
                "MEGASCALE_NUM_SLICES": "3",
                "JOB_COMPLETION_INDEX": "1",
            },
            (5, 6),
        ),
        ({"TPU_WORKER_ID": "0", "TPU_WORKER_HOSTNAMES": "localhost"}, (0, 1)),
    ],
)
def test_a_launcher_says_which_share_is_ours(launched, environment, share):
    launched(environment)
    assert processes.share() == share


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JOB_COMPLETION_INDEX": "5"}, "JOB_COMPLETIONS = None"),
        ({"JOB_COMPLETION_INDEX": "8", "JOB_COMPLETIONS": "8"}, "INDEX = '8'"),
        (STEP | {"SLURM_PROCID": "x"}, "SLURM_PROCID = 'x'"),
        (  # --array=1,3,7
            {
                "SLURM_ARRAY_TASK_ID": "3",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_MAX": "7",
                "SLURM_ARRAY_TASK_COUNT": "3",
            },
            "no range",
        ),
    ],
)
def test_numbers_that_give_no_share_are_refused(launched, environment, message):
    launched(environment)
    with pytest.raises(ValueError, match=message) as error:
        processes.share()
    assert "\n" not in str(error.value)


def test_nothing_is_joined_unless_asked():
    processes.start()
    processes.start("off")
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    "text", ["on", "", "host,2,0", "host:80,2", "host:80,2,2", "host:x,2,0", ":80,2,0"]
)
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="host:port,count,index") as error:
        processes.start(text)
    assert repr(text) in str(error.value)


def test_an_address_is_read():
    assert processes._parse_distributed("[::1]:1234,4,3") == {
        "coordinator_address": "[::1]:1234",
        "num_processes": 4,
        "process_id": 3,
    }
