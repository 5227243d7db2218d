"""Tables of similar length share programs; programs are kept on disk."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import make_weights
from hypothesis import given
from hypothesis import strategies as st

from causaljax import (
    AmortizedDAG,
    ContinuousDAG,
    LatentInterventionDAG,
    LinearDAG,
    NeuralDAG,
)
from causaljax.core import compiling, types
from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows, padded_size

QUICK = [
    LinearDAG(noise="auto", num_steps=3),
    ContinuousDAG(noise="gaussian", num_steps=100),
    AmortizedDAG(pretrained=make_weights()),
    pytest.param(NeuralDAG(num_updates=10), marks=pytest.mark.slow),
    pytest.param(
        LatentInterventionDAG(mechanism="linear", max_regimes=2),
        marks=pytest.mark.slow,
    ),
]


@given(st.integers(1, 10**7))
def test_sizes_are_few_and_near(num_rows):
    size = padded_size(num_rows)
    assert size >= num_rows
    assert size <= max(128, 1.25 * num_rows)
    assert padded_size(size) == size
    while size % 2 == 0:
        size //= 2
    assert size in (1, 3, 5, 7)


def test_padding_appends_rows_without_weight():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    problem = types.make_problem(x, regime=np.arange(5))
    padded = pad_rows(problem, 8)
    np.testing.assert_array_equal(padded.x[:5], x)
    np.testing.assert_array_equal(padded.weight, [1] * 5 + [0] * 3)
    np.testing.assert_array_equal(padded.regime, [0, 1, 2, 3, 4, -1, -1, -1])
    assert padded.observed.all()
    assert not padded.intervened.any()


def table(num_rows):
    rng = np.random.default_rng(num_rows)
    x = rng.normal(size=(num_rows, 4))
    x[:, 1] += x[:, 0]
    x[:, 2] -= 2 * x[:, 1]
    return x


@pytest.fixture
def compiled():
    """The names of programs that were compiled, or loaded, so far."""
    names = []

    def listen(event, seconds, **details):
        del seconds
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(details.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("estimator", QUICK, ids=repr)
def test_tables_of_a_size_class_share_every_program(estimator, compiled):
    estimator.fit(table(150))
    assert len(compiled) < 30
    compiled.clear()
    for num_rows in (129, 151, 160):
        estimator.fit(table(num_rows))
    assert compiled == []
    estimator.fit(table(161))  # the next size
    assert compiled


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_other_numbers_of_tables_share_the_program(compiled):
    estimator = AmortizedDAG(pretrained=make_weights())
    first = estimator.fit_many([table(150 + k) for k in range(4)])
    compiled.clear()
    second = estimator.fit_many([table(150 + k) for k in range(3)])
    assert compiled == []
    for one, other in zip(first, second, strict=False):
        assert one.edge_probabilities_.equals(other.edge_probabilities_)


# Quick programs


def options_of(monkeypatch):
    """What ``quick_jit`` asks the compiler for, of programs compiled from here on."""
    asked = []
    real = jax.jit

    def spy(function, **options):
        asked.append(options.get("compiler_options"))
        return real(function, **options)

    monkeypatch.setattr(compiling.jax, "jit", spy)
    return asked


@pytest.fixture
def optimising():
    """As outside of these tests, which ask jax to optimise little."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, False)
    yield
    jax.config.update(name, before)


def test_programs_of_the_host_are_compiled_with_cheap_settings(monkeypatch, optimising):
    asked = options_of(monkeypatch)
    hot, cold = quick_jit(jnp.sin), quick_jit(jnp.cos, once=True)
    assert hot(0.0) == 0
    assert cold(0.0) == 1
    levels = [
        options["xla_backend_optimization_level"]
        for options in asked
        if options and len(options) > 1
    ]
    assert levels == [1, 0]


def test_within_another_function_the_outer_one_decides(optimising):
    inner = quick_jit(lambda x: 2 * x)

    def through(x):
        return inner(x) + inner(3.0)

    assert jax.jit(through)(1.0) == 8
    assert jax.jit(lambda: inner(3.0))() == 6  # of nothing but constants
    assert jax.grad(through)(1.0) == 2
    assert jax.vmap(through)(jnp.ones(2)).tolist() == [8, 8]
    assert jax.eval_shape(through, 1.0).shape == ()


def test_settings_that_the_compiler_does_not_know_are_left_out(monkeypatch):
    known = compiling._known_options.__wrapped__
    monkeypatch.setitem(compiling._OPTIONS, "xla_cpu_no_such_setting", True)
    assert "xla_cpu_no_such_setting" not in known("cpu")
    assert "xla_backend_optimization_level" in known("cpu")
    assert known("tpu") == {}


# Programs on disk

FIT = """
import json, sys, warnings
warnings.simplefilter("error")
import jax, numpy as np
import causaljax
folder = causaljax.enable_compilation_cache(*sys.argv[1:])
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
x = np.random.default_rng(0).normal(size=(200, 3))
model = causaljax.LinearDAG(noise="gaussian", num_steps=2).fit(x)
print(json.dumps({
    "folder": str(folder),
    "hits": events.count("/jax/compilation_cache/cache_hits"),
    "misses": events.count("/jax/compilation_cache/cache_misses"),
    "loss": model.info_["loss"],
}))
"""


def start_fit(*arguments, **variables):
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))
    }
    return subprocess.Popen(
        [sys.executable, "-c", FIT, *map(str, arguments)],
        env=environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(out)


def test_a_second_process_loads_what_the_first_compiled(tmp_path):
    folder = tmp_path / "programs"
    both = [start_fit(folder), start_fit(folder)]  # at once
    results = [result_of(process) for process in both]
    assert {result["folder"] for result in results} == {str(folder)}
    entries = sorted(folder.glob("*-cache"))
    assert entries
    warm = result_of(start_fit(folder))
    assert warm["misses"] == 0
    assert warm["hits"] >= len(entries) > 2
    assert warm["loss"] == results[0]["loss"] == results[1]["loss"]

    # What a killed process left: half an entry, and one whose time is missing.
    data = entries[0].read_bytes()
    entries[0].write_bytes(data[: len(data) // 2])
    os.utime(entries[0])
    entries[1].with_name(entries[1].name.replace("-cache", "-atime")).unlink()
    again = result_of(start_fit(folder))
    assert again["misses"] == 1
    assert again["loss"] == warm["loss"]
    assert result_of(start_fit(folder))["misses"] == 0


def test_the_folder_may_be_named_by_the_variable_that_jax_knows(tmp_path):
    named = start_fit(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "named"))
    home = start_fit(XDG_CACHE_HOME=str(tmp_path / "home"), HOME=str(tmp_path))
    assert result_of(named)["folder"] == str(tmp_path / "named")
    assert list((tmp_path / "named").glob("*-cache"))
    folder = result_of(home)["folder"]
    assert folder.startswith(str(tmp_path))
    assert "causaljax" in folder


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    process = start_fit(tmp_path / "file" / "programs")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "compiled programs cannot be kept there" in errors
    assert "name another folder" in errors
