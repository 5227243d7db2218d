"""Progress bars, and Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from conftest import make_weights

import causaljax
from causaljax import AmortizedDAG
from causaljax.cli.command_line import METHODS
from causaljax.cli.interrupts import INTERRUPTED
from causaljax.core.compiling import quick_jit
from causaljax.estimators import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def attach(monkeypatch):
    """Puts a terminal in the place of the error stream, once the test has begun."""

    def terminal():
        shown = Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setattr(progress, "_DELAY", 0)
        monkeypatch.setenv("TERM", "xterm")
        return shown

    return terminal


def wait_for(shown, text):
    deadline = time.monotonic() + 20
    while text not in shown.getvalue():
        assert time.monotonic() < deadline, shown.getvalue()
        time.sleep(0.05)


def test_a_stage_of_known_length_has_a_time_left_and_others_have_none(attach):
    terminal = attach()
    with progress.Progress("A fit", None) as bar:
        bar.stage("the search")
        wait_for(terminal, "A fit: the search")
        assert " left" not in terminal.getvalue()
        bar.stage("the steps", 1000)
        for step in range(1, 6):
            bar.steps(step)
            time.sleep(0.02)
        wait_for(terminal, "A fit: the steps")
        wait_for(terminal, " left")


def test_the_time_left_is_that_of_long_parts_without_compiling():
    """Rich forgets what is older than half a minute: here parts take a minute each."""
    pace = progress._Pace(10)
    pace.add(100.0, 1, 40.0)  # began with 40 s of compiling, which tell nothing
    assert pace.left(100.0) is None
    pace.add(160.0, 2, 40.0)
    assert pace.left(160.0) == 8 * 60
    assert pace.left(190.0) == 8 * 60 - 30
    assert pace.left(400.0) == 7 * 60  # late: the other seven are still to come
    pace.add(500.0, 3, 310.0)  # a program was compiled for 270 s
    assert pace.left(500.0) == 7 * 70


def test_the_time_left_follows_the_latest_steps():
    """Steps of a first kind take 1 s, and those of the second 10 s."""
    pace, now = progress._Pace(20), 0.0
    for step in range(1, 16):
        now += 1 if step <= 5 else 10
        pace.add(now, step, 0.0)
    assert pace.left(now) == 5 * 10


def test_the_time_left_counts_the_starts_that_follow(monkeypatch):
    clock = iter([0.0, 10.0, 10.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    bar = progress.Progress("A fit", False)
    bar._bar = type("Bar", (), {"update": lambda *_, **__: None})()
    bar._task = 0
    bar._stage, bar._pace = "start 1 of 3", progress._Pace(10 + 20)
    bar.steps(2)
    bar.steps(4)
    assert bar._left() == ", about 2:10 left in this stage"


def test_compiling_is_said_as_such(attach):
    terminal = attach()
    with progress.Progress("A fit", None) as bar:
        bar.stage("the steps", 10)
        bar._heard(progress._LOWERED, 0.1, fun_name="f")
        wait_for(terminal, "A fit: the steps: compiling")
        bar._heard(progress._COMPILED, 0.1, fun_name="f")
        before = terminal.getvalue().count("compiling")
        wait_for(terminal, "A fit: the steps ")
        time.sleep(0.3)
        assert terminal.getvalue().count("compiling") <= before + 2


def test_the_compiler_is_heard(monkeypatch):
    heard = []
    monkeypatch.setattr(
        progress.Progress, "_heard", lambda self, event, *_, **__: heard.append(event)
    )
    with progress.Progress("A fit", True):
        quick_jit(lambda x: jnp.sin(x) + 41)(jnp.ones(17)).block_until_ready()
    assert heard.index(progress._LOWERED) < heard.index(progress._COMPILED)
    heard.clear()
    quick_jit(lambda x: jnp.cos(x) + 43)(jnp.ones(17)).block_until_ready()
    assert heard == []  # the bar is gone


def test_names_are_no_markup(attach):
    terminal = attach()
    with progress.Progress("A fit", True) as bar:
        bar.stage("[red]column[/min]")
        wait_for(terminal, "[red]column[/min]")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_bar_is_for_terminals_unless_it_is_asked_for(monkeypatch, attach):
    terminal = attach()
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 3)))
    model = AmortizedDAG(pretrained=make_weights())
    model.fit(table)
    assert "AmortizedDAG" in terminal.getvalue()
    terminal.truncate(0)
    model.set_params(progress=False).fit(table)
    assert terminal.getvalue() == ""
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    model.set_params(progress=None).fit(table)
    assert pipe.getvalue() == ""


@pytest.mark.parametrize("name", METHODS.values())
def test_every_estimator_has_the_option(name):
    assert getattr(causaljax, name)().get_params()["progress"] is None


def start_command(tmp_path, method):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(600, 8)), columns=list("abcdefgh"))
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["fit", str(tmp_path / "t.csv"), "--method", method, "--no-cache"]
    return subprocess.Popen(
        [sys.executable, "-m", "causaljax", *command, "--out", "made/here"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "sigwait"), reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("method", "seconds"),
    [
        ("neural", 6),
        pytest.param("latent-interventions", 25, marks=pytest.mark.slow),
        pytest.param("linear", 3, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_the_command_within_seconds_and_leaves_nothing(
    tmp_path, method, seconds
):
    process = start_command(tmp_path, method)
    time.sleep(seconds)
    assert process.poll() is None, "the fit has ended before"
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 6
    assert process.returncode == INTERRUPTED, errors
    assert "causaljax: interrupted" in errors
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]
