"""The training script on its small plan, as a user would run it."""

import json
import os
import pathlib
import subprocess
import sys
import time
import warnings

import jax
import numpy as np
import pytest

from causaljax import AmortizedDAG
from causaljax.networks.weights import load_weights

ROOT = pathlib.Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def start(command, folder, *options):
    script = ROOT / "scripts" / "train_amortized.py"
    line = [sys.executable, str(script), command, str(folder), *map(str, options)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL)


def train(folder, *options):
    options = "--plan", "small", "--steps", 300, "--validate-every", 100, *options
    return start("train", folder, *options)


def newest(folder):
    names = (path.name for path in (folder / "checkpoints").glob("*"))
    return max((int(name) for name in names if name.isdigit()), default=0)


def state_of(folder):
    import orbax.checkpoint as ocp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about shardings, which are not asked for
        with ocp.CheckpointManager(folder / "checkpoints") as manager:
            return manager.restore(newest(folder), args=ocp.args.StandardRestore())


def log_of(folder):
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.filterwarnings("ignore:the table is unlike")  # of any, with 32 to compare
def test_stopped_killed_and_resumed_is_as_if_never_stopped(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole).wait() == 0

    assert train(broken, "--until", 120).wait() == 0
    assert newest(broken) == 120
    process = train(broken, "--save-seconds", 0)
    give_up = time.monotonic() + 300
    while newest(broken) < 130 and process.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 120 < newest(broken) < 300
    with (broken / "log.jsonl").open("a") as file:
        file.write('{"step": 299, "tables": 9}\n{"step": 3')  # lost, and cut short
    assert train(broken).wait() == 0

    one, other = state_of(whole), state_of(broken)
    assert one.keys() == {"network", "average", "standardise", "optimiser", "step"}
    jax.tree.map(np.testing.assert_array_equal, one, other)
    logs = log_of(whole), log_of(broken)
    for kind in ("tables", "validation"):
        mine, theirs = (
            [(e["step"], e[kind]) for e in log if kind in e] for log in logs
        )
        assert mine == theirs
    seconds = [entry["seconds"] for entry in logs[1] if "seconds" in entry]
    assert seconds == sorted(seconds)

    assert start(
        "export", broken, "--plan", "small", "--to", tmp_path, "--name", "tiny"
    ).wait() == 0  # fmt: skip
    path = tmp_path / "tiny.safetensors"
    card = load_weights(path).card
    assert (card["name"], card["steps"], card["max_columns"]) == ("tiny", 300, 4)
    assert card["tables"] == 1200
    x = np.random.default_rng(0).normal(size=(50, 4))
    assert AmortizedDAG(pretrained=path).fit(x).edge_probabilities_.shape == (4, 4)
