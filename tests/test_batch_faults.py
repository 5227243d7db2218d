"""Batch jobs in processes of their own: killed, told to stop, side by side."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from test_batch import assert_same_results, results

from causaljax.batch import Job, output, read_job, submit, summarise
from causaljax.batch.checkpoints import Checkpoints
from causaljax.batch.stopping import Preempted
from causaljax.batch.tasks import list_tasks
from causaljax.batch.worker import run_task

pytestmark = pytest.mark.slow

LINEAR = """
inputs = "t*.csv"
method = "linear"
output = "{out}"
bootstraps = {bootstraps}
checkpoint_seconds = 10000
[settings]
noise = "gaussian"
"""
NEURAL = """
inputs = "t00.csv"
method = "neural"
output = "{out}"
seeds = [0, 1]
checkpoint_seconds = 0
[settings]
num_updates = 200
"""
LIMIT = 500  # seconds


@pytest.fixture(autouse=True)
def _programs_that_compile_soon(monkeypatch):
    """Of all processes alike, as bits are compared."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def make_tables(folder, number):
    for k in range(number):
        rng = np.random.default_rng(k)
        x = rng.normal(size=(300, 4))
        x[:, 1] += 2 * x[:, 0]
        x[:, 3] += x[:, 1] ** 2 / 2
        table = pd.DataFrame(x, columns=list("abcd"))
        table.to_csv(folder / f"t{k:02d}.csv", index=False)


def write_job(folder, text=LINEAR, out="out", bootstraps=0):
    path = folder / f"{out}.toml"
    path.write_text(text.format(out=out, bootstraps=bootstraps))
    return path


def start(job, *words):
    """The command as a process, with the compiled programs of these tests."""
    command = [sys.executable, "-m", "causaljax", "batch", str(job), *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    said, told = process.communicate(timeout=LIMIT)
    return process.returncode, said, told


def finish(job, *words, code=0):
    ending = ended(start(job, *words))
    assert ending[0] == code, ending
    return ending


def wait_for(process, condition):
    until = time.monotonic() + LIMIT
    while not condition():
        assert process.poll() is None, ended(process)
        assert time.monotonic() < until
        time.sleep(0.01)


def states(folder):
    """The states of fits on disk that are there as a whole."""
    return list(folder.glob("checkpoints/*/*/0*.json"))


def lines(folder, process):
    """How many tasks a process has done, by its journal."""
    path = folder / f"journal-{process.replace('/', '-of-')}.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_two_processes_one_of_them_killed_give_what_one_gives(tmp_path):
    make_tables(tmp_path, 4)
    whole = write_job(tmp_path, out="whole", bootstraps=9)
    finish(whole)
    job, out = write_job(tmp_path, bootstraps=9), tmp_path / "out"
    names = "0/2", "1/2"
    running = {name: start(job, "--process", name) for name in names}
    wait_for(running["1/2"], lambda: lines(out, "1/2") >= 3)
    running["1/2"].kill()
    done = lines(out, "1/2")
    assert ended(running["1/2"])[0] == -signal.SIGKILL
    code, said, told = ended(running["0/2"])
    assert (code, told.count("process 0 of 2: 20 tasks")) == (0, 1), told
    assert "Other processes have not ended" in said
    _, said, _ = finish(job, "--process", "1/2", "--json")
    work = json.loads(said)["result"]["work"]
    assert work["complete"]
    assert work["done"] == 20
    assert_same_results(tmp_path / "whole", out)
    # Each task has been computed once, but for that which the kill met.
    records = sum(
        one["num_tasks"] for _, shards in output._manifests(out) for one in shards
    )
    assert records == 40
    assert 3 <= done < 20


def test_a_stopped_fit_goes_on_to_the_last_bit(tmp_path):
    make_tables(tmp_path, 1)
    finish(write_job(tmp_path, NEURAL, "whole"))
    job, out = write_job(tmp_path, NEURAL), tmp_path / "out"
    process = start(job)
    wait_for(process, lambda: states(out))
    process.terminate()
    code, _, told = ended(process)
    assert code == 75, told
    assert "told to stop by SIGTERM" in told.rstrip().split("\n")[-1]
    assert "Traceback" not in told
    assert len(states(out)) == 1
    # What is left is less than the whole: the next process begins at the state.
    finish(job)
    assert_same_results(tmp_path / "whole", out)
    assert not (out / "checkpoints").exists()


def test_a_fit_goes_on_without_a_damaged_state_and_says_so(tmp_path):
    make_tables(tmp_path, 1)
    job, out = write_job(tmp_path, NEURAL), tmp_path / "out"
    process = start(job)
    wait_for(process, lambda: states(out))
    process.kill()
    ended(process)
    for path in out.glob("checkpoints/*/*/*/d/*"):
        os.truncate(path, path.stat().st_size // 2)
    finish(job)
    finish(write_job(tmp_path, NEURAL, "whole"))
    found, edges = results(out)
    wanted, same = results(tmp_path / "whole")
    pd.testing.assert_frame_equal(edges, same, check_exact=True)
    assert "is cut or was changed" in found["warnings"][0]
    assert found["warnings"][1] == wanted["warnings"][1]


def test_between_two_fits_sigterm_ends_at_once(tmp_path):
    make_tables(tmp_path, 2)
    job, out = write_job(tmp_path, bootstraps=200), tmp_path / "out"
    process = start(job, "--json")
    wait_for(process, lambda: lines(out, "0/1") >= 2)
    process.terminate()
    code, said, _ = ended(process)
    assert code == 75
    if said:  # a compiler that is at work for longer is not waited for
        assert json.loads(said)["error"]["code"] == "preempted"
    assert lines(out, "0/1") >= 2


def test_of_two_jobs_in_one_folder_the_second_refuses(tmp_path):
    make_tables(tmp_path, 2)
    job, out = write_job(tmp_path, bootstraps=5000), tmp_path / "out"
    process = start(job)
    wait_for(process, lambda: lines(out, "0/1") >= 1)
    code, _, told = finish(job, code=2)
    assert "process 0 of 1 of this job runs already" in told
    finish(job, "--process", "1/2", code=2)
    process.kill()
    ended(process)


def test_of_a_hundred_tables_one_is_corrupt(tmp_path):
    make_tables(tmp_path, 100)
    (tmp_path / "t41.csv").write_bytes(bytes(range(256)))
    _, said, _ = finish(write_job(tmp_path), "--json")
    result = json.loads(said)["result"]
    assert (result["work"]["done"], result["work"]["failed"]) == (99, 1)
    (failure,) = result["summary"]["failures"]
    assert failure["task"] == "t41.csv?seed=0"
    assert "t41.csv: cannot be read as csv" in failure["error"]


def test_a_full_disk_is_told_and_leaves_no_corrupt_shard(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)]
    if (
        os.getuid()
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    try:
        make_tables(tmp_path, 2)
        text = LINEAR.replace("{out}", str(disk / "out"))
        (tmp_path / "job.toml").write_text(text.format(bootstraps=60))
        _, _, told = finish(tmp_path / "job.toml", code=2)
        assert "No space left on device" in told
        assert "Traceback" not in told
        kept = len(output.read_results(disk / "out")[0])
        assert kept > 10
        subprocess.run([*mount[:4], "remount,size=64m", str(disk)], check=True)
        finish(tmp_path / "job.toml")
        finish(write_job(tmp_path, out="whole", bootstraps=60))
        assert_same_results(tmp_path / "whole", disk / "out")
    finally:
        subprocess.run(["umount", str(disk)], check=False)


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_PROCID": "{0}", "SLURM_STEP_NUM_TASKS": "{1}"},
        {"JOB_COMPLETION_INDEX": "{0}", "JOB_COMPLETIONS": "{1}"},
        {"TPU_WORKER_ID": "{0}", "TPU_WORKER_HOSTNAMES": "a,b"},
    ],
)
def test_launchers_say_which_share_is_whose(tmp_path, monkeypatch, environment):
    make_tables(tmp_path, 3)
    job = write_job(tmp_path)
    for index in range(2):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value.format(index, 2))
            finish(job, "--json")
    assert summarise(tmp_path / "out").tasks == 3
    assert {path.name for path in (tmp_path / "out").glob("manifest*")} == {
        "manifest-0-of-2.json",
        "manifest-1-of-2.json",
    }


@pytest.mark.filterwarnings("default")  # of the schedulers
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_schedulers_give_what_the_command_gives(tmp_path, name):
    make_tables(tmp_path, 3)
    finish(write_job(tmp_path, out="whole", bootstraps=3))
    job = read_job(write_job(tmp_path, bootstraps=3))
    if name == "dask":
        distributed = pytest.importorskip("dask.distributed")
        with distributed.Client(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as client:
            report = submit(job, client)
    else:
        ray = pytest.importorskip("ray")
        ray.init(num_cpus=2, include_dashboard=False)
        try:
            report = submit(job, ray)
        finally:
            ray.shutdown()
    assert report["complete"]
    assert_same_results(tmp_path / "whole", tmp_path / "out")


LONG = {
    "neural": {"num_updates": 10},
    "latent-interventions": {"mechanism": "linear", "max_regimes": 2},
}


@pytest.mark.parametrize("method", LONG)
def test_a_long_fit_goes_on_from_its_state_to_the_last_bit(tmp_path, method):
    make_tables(tmp_path, 1)
    job = Job(
        inputs=["t00.csv"],
        method=method,
        settings=LONG[method],
        output="out",
        folder=tmp_path,
    )
    (task,) = list_tasks(job)
    states = tmp_path / "states"

    class Counting(Checkpoints):
        chunks = 0

        def due(self):
            self.chunks += 1
            return super().due()

    stopped = Counting(states, 1e9, lambda: stopped.chunks == 2)
    with pytest.raises(Preempted):
        run_task(job, task, checkpoints=stopped)
    again = run_task(job, task, checkpoints=Checkpoints(states, 1e9, bool))
    assert not states.exists()
    whole = run_task(job, task)
    assert whole["status"] == "done", whole["error"]
    for record in (whole, again):
        del record["seconds"]
    assert json.dumps(again) == json.dumps(whole)
