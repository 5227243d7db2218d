"""The best of several runs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core import run
from causaljax.core.restarts import best_run
from causaljax.core.types import Array, Kernel, make_problem
from causaljax.kernels import continuous


class State(NamedTuple):
    """Of a kernel that keeps a random number."""

    step: Array
    start: Array


class Info(NamedTuple):
    """What ``best_run`` looks at."""

    loss: Array
    converged: Array


def test_the_best_start_is_kept_and_none_is_lost():
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    x[:, 1] += x[:, 0]
    x[:, 3] += x[:, 1] - x[:, 2]
    problem = make_problem(x)
    # Too short to forget the start, so that runs differ.
    config = continuous.Config(noise="gaussian", start_scale=0.2, num_steps=20)
    keys = jax.random.split(jax.random.key(3), 4)
    runs = [run.run(continuous.KERNEL, key, problem, config) for key in keys]
    losses = np.array([info.loss for _, info in runs])
    assert len(set(losses.tolist())) == 4
    at_rest = np.array([info.converged for _, info in runs])
    losses = np.where(at_rest | ~at_rest.any(), losses, np.inf)
    posterior, info = best_run(continuous.KERNEL, jax.random.key(3), problem, config, 4)
    expected, _ = runs[int(losses.argmin())]
    np.testing.assert_allclose(info.loss, losses.min(), rtol=1e-5)
    np.testing.assert_array_equal(posterior.graphs, expected.graphs)


def test_a_lower_loss_is_no_use_without_convergence():
    def step(key, state, problem, config):
        # A start of low loss never converges.
        info = Info(loss=state.start, converged=state.start > 0.5)
        return state._replace(step=state.step + 1), info

    def finalise(key, state, problem, config):
        return state.start

    kernel = Kernel(
        lambda key, problem, config: State(
            jnp.zeros((), jnp.int32), jax.random.uniform(key)
        ),
        step,
        finalise,
    )
    problem = make_problem(np.eye(2, dtype=np.float32))
    config = continuous.Config(num_steps=1)
    keys = jax.random.split(jax.random.key(0), 8)
    starts = np.array([run.run(kernel, key, problem, config)[0] for key in keys])
    assert (starts < 0.5).any()
    best, info = best_run(kernel, jax.random.key(0), problem, config, 8)
    assert best == starts[starts > 0.5].min()
    assert info.converged
