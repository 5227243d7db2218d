"""Runs that stop and go on, and their states on disk."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax.batch.checkpoints import Checkpoints
from causaljax.batch.stopping import Preempted
from causaljax.core import run
from causaljax.core.types import Kernel, make_problem
from causaljax.kernels import order_search


class Walk(NamedTuple):
    step: jax.Array
    place: jax.Array


def walk(key, state, problem, config):
    """A step of a random walk."""
    place = state.place + jax.random.normal(key, state.place.shape)
    return Walk(state.step + 1, place), {"loss": place.sum()}


WALK = Kernel(
    lambda key, problem, config: Walk(jnp.int32(0), jnp.zeros(3)),
    walk,
    lambda key, state, problem, config: state.place,
)


def test_a_run_goes_on_from_a_saved_state_to_the_last_bit():
    problem = make_problem(np.zeros((4, 3), np.float32))
    config = order_search.Config(num_steps=6)

    class Saver:
        kept = None

        def restore(self, like):
            assert isinstance(like, Walk)
            return self.kept

        def save(self, state):
            self.kept = jax.tree.map(np.asarray, state)
            if state.step == 4:
                raise InterruptedError

    def fit(saver=None, on_chunk=None):
        key = jax.random.key(0)
        return run.run(
            *(WALK, key, problem, config),
            num_chunks=3,
            saver=saver,
            on_chunk=on_chunk,
        )

    saver, steps = Saver(), []
    with pytest.raises(InterruptedError):
        fit(saver)
    again = fit(saver, lambda number, _: steps.append(number))
    assert steps == [6]
    for one, other in zip(*map(jax.tree.leaves, (fit(), again)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_states_on_disk_are_whole_or_none(tmp_path):
    state = Walk(np.int32(4), np.arange(3.0))
    fit = Checkpoints(tmp_path / "states", 0, lambda: False)
    assert fit("a/b").restore(state) is None
    fit("a/b").save(state)
    fit("a/b").save(state._replace(step=np.int32(5)))
    kept = sorted(path.name for path in tmp_path.glob("states/*/*"))
    assert kept == ["00000005", "00000005.json"]
    back = fit("a/b").restore(state)
    assert back.step == 5
    np.testing.assert_array_equal(back.place, state.place)
    assert back.place.dtype == np.float64
    assert fit("a/b").restore(state._replace(place=np.zeros(2))) is None
    assert "is cut or was changed" in fit.notices[0]
    for path in sorted(tmp_path.rglob("d/*")):
        path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    assert fit("a/b").restore(state) is None
    asked = Checkpoints(tmp_path / "states", 1e9, lambda: True)
    with pytest.raises(Preempted):
        asked("a/b").save(state._replace(step=np.int32(6)))
    assert fit("a/b").restore(state).step == 6
    fit.remove()
    assert not (tmp_path / "states").exists()
