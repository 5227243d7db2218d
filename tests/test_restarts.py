"""The best of several runs."""

import jax
import numpy as np

from causaljax import run
from causaljax.kernels import dagma
from causaljax.restarts import best_run
from causaljax.types import make_problem


def test_the_best_start_is_kept_and_none_is_lost():
    x = np.random.default_rng(0).normal(size=(200, 5)).astype(np.float32)
    x[:, 1] += x[:, 0]
    x[:, 3] += x[:, 1] - x[:, 2]
    problem = make_problem(x)
    # Too short to forget the start, so that runs differ.
    config = dagma.Config(noise="gaussian", start_scale=0.2, num_steps=20)
    keys = jax.random.split(jax.random.key(3), 4)
    runs = [run.run(dagma.KERNEL, key, problem, config) for key in keys]
    losses = np.array([info.loss for _, info in runs])
    assert len(set(losses.tolist())) == 4
    posterior, info = best_run(dagma.KERNEL, jax.random.key(3), problem, config, 4)
    expected, _ = runs[int(losses.argmin())]
    np.testing.assert_allclose(info.loss, losses.min(), rtol=1e-5)
    np.testing.assert_array_equal(posterior.graphs, expected.graphs)
