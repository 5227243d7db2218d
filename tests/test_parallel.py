"""Batches of fits over devices."""

import dataclasses
import pathlib
import re
import socket
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

from causaljax.batch import parallel, row_sharding
from causaljax.core import run
from causaljax.core.types import Kernel, Posterior, make_problem
from causaljax.kernels import continuous, order_search

# Of the contract, a kernel each.
ROWS = "dagma-gaussian-expm", "order-gaussian", "amortized-3", "neural"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 0.5
    num_steps: int = dataclasses.field(default=2, metadata={"static": True})


class State(NamedTuple):
    step: jax.Array
    mean: jax.Array


def _init(key, problem, config):
    noise = jax.random.normal(key, problem.x.shape[1:], problem.x.dtype)
    return State(jnp.zeros((), jnp.int32), noise)


def _step(key, state, problem, config):
    mean = (problem.weight[:, None] * problem.x).sum(axis=0) / problem.weight.sum()
    rate = jnp.asarray(config.rate, mean.dtype)
    return State(state.step + 1, state.mean + rate * (mean - state.mean)), state.mean


def _finalise(key, state, problem, config):
    far = jnp.abs(state.mean[:, None] - state.mean[None, :])
    return Posterior(far, (far > 1)[None], jnp.zeros((1,), far.dtype))


MEANS = Kernel(_init, _step, _finalise, sums_rows=lambda config: True)
"""A kernel that compiles in no time: columns of unlike means are joined."""


def problem_of(seed, rows=40, columns=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) + rng.normal(size=columns)
    return make_problem(x.astype(np.float32))


def stack(problems):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *problems)


def keys_of(count):
    return run.numbered_keys(jax.random.key(0), np.arange(count))


def mesh_of(count):
    return jax.make_mesh(
        (count,), ("fit",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture
def programs(monkeypatch):
    """Kinds of problems for which a program has been traced."""
    seen = []
    plain = run.run_many

    def counted(kernel, keys, problems, *arguments, **others):
        seen.append(problems.x.shape)
        return plain(kernel, keys, problems, *arguments, **others)

    monkeypatch.setattr(run, "run_many", counted)
    return seen


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_uneven_batch_is_the_same_on_one_device_and_two(at_once, monkeypatch):
    monkeypatch.setattr(parallel, "_FITS", 2)  # so that there are several calls
    kernel = MEANS._replace(fits_at_once=lambda d: at_once)
    problems = stack([problem_of(seed) for seed in range(5)])
    one, two = (
        parallel.run_sharded(kernel, keys_of(5), problems, Config(), mesh_of(count))
        for count in (1, 2)
    )
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(two))
    assert_same(one, two)
    assert len(np.unique(two[0].edge_prob[:, 0, 1])) == 5


def test_a_batch_is_a_loop_over_run():
    problems = [problem_of(seed) for seed in range(3)]
    configs = [Config(rate=rate) for rate in (0.1, 0.2, 0.9)]
    keys = keys_of(3)
    answers = parallel.run_sharded(MEANS, keys, stack(problems), configs)
    for k in range(3):
        alone = run.run(MEANS, keys[k], problems[k], configs[k])
        together = jax.tree.map(lambda leaf, k=k: leaf[k], answers)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), together, alone
        )


def test_a_batch_has_derivatives():
    problems = stack([problem_of(seed) for seed in range(2)])

    def joined(rates):
        posterior, _ = run.run_many(
            MEANS, keys_of(2), problems, Config(rate=rates), 1, stacked=(0,)
        )
        return posterior.edge_prob[0].sum()

    slopes = jax.grad(joined)(jnp.array([0.1, 0.1]))
    assert slopes[0] != 0
    assert slopes[1] == 0  # of the other problem


def test_problems_of_several_sizes_share_programs(programs):
    shapes = [(40, 3), (100, 3), (40, 4), (128, 3), (200, 3), (41, 4)]
    problems = [problem_of(k, *shape) for k, shape in enumerate(shapes)]
    configs = [Config(rate=0.1 * k) for k in range(6)]
    answers = parallel.run_sharded(MEANS, keys_of(6), problems, configs, mesh_of(2))
    # Rows are padded to 128 or 224; columns are not.
    assert sorted(shape[1:] for shape in programs) == [(128, 3), (128, 4), (224, 3)]
    for k, (posterior, _) in enumerate(answers):
        expected, _ = run.run(MEANS, keys_of(6)[k], problems[k], configs[k])
        np.testing.assert_allclose(posterior.edge_prob, expected.edge_prob, rtol=1e-5)
    parallel.run_sharded(MEANS, keys_of(6), problems[::-1], configs, mesh_of(2))
    assert len(programs) == 3


def test_configs_with_other_numbers_of_steps_have_programs_of_their_own(programs):
    problems = [problem_of(seed) for seed in range(4)]
    configs = [Config(num_steps=steps) for steps in (1, 3, 1, 3)]
    answers = parallel.run_sharded(MEANS, keys_of(4), problems, configs)
    assert len(programs) == 2
    expected, _ = run.run(MEANS, keys_of(4)[1], problems[1], configs[1])
    np.testing.assert_allclose(answers[1][0].edge_prob, expected.edge_prob, rtol=1e-5)


def test_answers_stay_on_their_devices_if_asked(monkeypatch):
    monkeypatch.setattr(parallel, "_FITS", 1)
    problems = stack([problem_of(seed) for seed in range(4)])
    given = MEANS, keys_of(4), problems, Config(), mesh_of(2)
    left = parallel.run_sharded(*given, gather=False)
    assert len(left[0].edge_prob.sharding.device_set) == 2
    assert_same(left, parallel.run_sharded(*given))


def test_a_staged_kernel_fits_one_problem_after_another():
    kernel = MEANS._replace(staged=True)
    problems = stack([problem_of(seed) for seed in range(3)])
    configs = [Config(rate=rate) for rate in (0.1, 0.2, 0.9)]
    answers = parallel.run_sharded(kernel, keys_of(3), problems, configs, mesh_of(2))
    plain = parallel.run_sharded(MEANS, keys_of(3), problems, configs, mesh_of(2))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), answers, plain
    )
    with pytest.raises(ValueError, match="gather=True"):
        parallel.run_sharded(kernel, keys_of(3), problems, Config(), gather=False)


def test_kernels_of_double_precision_keep_the_dtype_of_the_problem():
    kernel = MEANS._replace(precision="double")
    problems = stack([problem_of(seed) for seed in range(3)])
    posterior, _ = parallel.run_sharded(kernel, keys_of(3), problems, Config())
    assert posterior.edge_prob.dtype == np.float32


def test_rows_lie_on_two_devices():
    problem = problem_of(0, rows=41)
    posterior, last = row_sharding.run_on_rows(
        MEANS, jax.random.key(0), problem, Config()
    )
    expected = run.run(MEANS, jax.random.key(0), problem, Config())
    np.testing.assert_allclose(posterior.edge_prob, expected[0].edge_prob, rtol=1e-5)
    assert isinstance(last, np.ndarray)


def test_rows_are_summed_where_they_lie():
    """No device is sent rows of another."""
    mesh, rows = mesh_of(2), 4096
    for kernel, config in (
        (continuous.KERNEL, continuous.Config(num_steps=2, interventional=False)),
        (MEANS, Config()),
    ):
        placed = row_sharding._place_rows(problem_of(0, rows), mesh)
        assert placed.x.addressable_shards[0].data.shape == (rows // 2, 3)
        compiled = jax.jit(kernel.init).lower(jax.random.key(0), placed, config)
        text = compiled.compile().as_text()
        gathered = re.findall(
            r"= (\S+) (?:all-gather|all-to-all|collective-perm)", text
        )
        assert not [shape for shape in gathered if str(rows) in shape], gathered


def test_rows_of_other_kernels_are_not_shared():
    config = order_search.Config(noise="auto")
    with pytest.raises(ValueError, match=r'noise="gaussian"'):
        row_sharding.run_on_rows(
            order_search.KERNEL, jax.random.key(0), problem_of(0), config
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": keys_of}, "5 problems and 4 keys"),
        ({"configs": lambda count: [Config()] * count}, "5 problems and 4 configs"),
        (
            {"configs": lambda _: [Config(num_steps=k + 1) for k in range(5)]},
            "give a list of problems",
        ),
        ({"problems": lambda _: []}, "no problem"),
        ({"gather": lambda _: False}, "2 devices share evenly, not 5"),
        (
            {
                "gather": lambda _: False,
                "problems": lambda _: [problem_of(seed) for seed in range(5)],
            },
            "stacked problems",
        ),
    ],
)
def test_a_batch_that_does_not_fit_together_is_refused(change, message):
    given = {
        "keys": keys_of(5),
        "problems": stack([problem_of(seed) for seed in range(5)]),
        "configs": Config(),
    }
    given |= {name: make(4) for name, make in change.items()}
    with pytest.raises(ValueError, match=message) as error:
        parallel.run_sharded(MEANS, **given)
    assert "\n" not in str(error.value)


# Export


class Exported(Exception):
    """Ends a batch before its program is compiled."""


def exported(monkeypatch, kernel, problems, config):
    """The program of a batch over two devices, for other platforms."""
    plain = parallel._fit_on_mesh.__wrapped__

    def export(kernel, *arrays, **static):
        program = jax.jit(lambda *arrays: plain(kernel, *arrays, **static))
        made = jax.export.export(program, platforms=["cuda", "tpu"])(*arrays)
        raise Exported(made)

    monkeypatch.setattr(parallel, "_fit_on_mesh", export)
    with pytest.raises(Exported) as caught:
        parallel.run_sharded(
            kernel, keys_of(len(problems.x)), problems, config, mesh_of(2)
        )
    return caught.value.args[0]


def check_export(program):
    assert program.platforms == ("cuda", "tpu")
    assert program.nr_devices == 2
    # Devices never wait for each other.
    assert not re.search(r"stablehlo\.(all_|collective)", program.mlir_module())


def test_a_batch_exports_for_other_devices(monkeypatch):
    problems = stack([problem_of(seed) for seed in range(3)])
    check_export(exported(monkeypatch, MEANS, problems, Config()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_batches_of_each_kernel_export_for_other_devices(monkeypatch, name):
    import test_contract

    row = test_contract.REGISTRY[name]
    problems = stack([row.problem(seed) for seed in range(3)])
    check_export(exported(monkeypatch, row.kernel, problems, row.config))


# Processes of their own

CHECK = pathlib.Path(__file__).parent.parent / "scripts" / "check_device.py"


@pytest.mark.slow
def test_a_cpu_gives_the_stored_answers():
    done = subprocess.run([sys.executable, CHECK], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 kernels differ" in done.stdout


FITS = pathlib.Path(__file__).with_name("fits_on_devices.py")


def begin(*arguments):
    command = [sys.executable, FITS, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_eight_devices_answer_as_one(row):
    out, err = begin(8, "off", row).communicate(timeout=1800)
    assert out == f"0 {row} same\n", err


@pytest.mark.slow
def test_two_processes_of_four_devices_give_the_bits_of_one():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    row = ROWS[0]
    both = [begin(4, f"localhost:{port},2,{index}", row) for index in range(2)]
    for index, process in enumerate(both):
        out, err = process.communicate(timeout=1800)
        lines = [line for line in out.splitlines() if not line.startswith("[Gloo]")]
        assert lines == [f"{index} {row} same"], err
