"""Training a network on, on tables of one's own kind."""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from causaljax.core.types import Array, Problem, PyTree
from causaljax.networks import out_of_distribution
from causaljax.networks.network import Network, Weights
from causaljax.networks.training import losses as losses_of
from causaljax.simulate.knowledge import reveal

Simulator = Callable[[Array], tuple[Problem, Array]]

_PAIRS_AT_ONCE = 4_096  # ordered pairs of variables in the tables of a step
_RATE = 3e-4  # the learning rate at its highest
_WARM_UP = 20  # steps until it gets there
_ENOUGH = 10  # tables for an entry of the summary, to know what they look like

_optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())


def fine_tune(
    key: Array,
    weights: Weights,
    simulator: Simulator,
    *,
    minutes: float,
) -> Weights:
    """Trains a copy of a network on fresh draws of a simulator.

    Args:
      key: typed key.
      weights: where to start; they stay as they are.
      simulator: ``key -> (problem, graph)`` in pure jax, of one shape; it is vmapped.
      minutes: how long, compilation included; at least one step is taken.

    Returns:
      The new weights. The calibration is the old; what counts as familiar are the
      simulator's tables, or nothing if there were too few of them.

    Raises:
      ValueError: if the simulator returns something else, or minutes is not positive.
    """
    if not (isinstance(minutes, int | float) and 0 < minutes < math.inf):
        raise ValueError(f"minutes must be a positive number, not {minutes!r}")
    d = _check_simulator(simulator)
    num_draws = max(1, _PAIRS_AT_ONCE // d**2)
    start, seconds = time.perf_counter(), 60 * minutes
    params = jax.tree.map(jnp.asarray, weights.params)
    state, summaries, losses = (params, _optimiser.init(params)), [], []
    while not losses or time.perf_counter() - start < seconds:
        spent = min((time.perf_counter() - start) / seconds, 1)
        rate = _RATE * min(1, (len(losses) + 1) / _WARM_UP)
        state, value, summary = _step(
            jax.random.fold_in(key, len(losses)),
            state,
            rate * (1 + math.cos(math.pi * spent)) / 2,
            simulator,
            weights.network,
            num_draws,
            weights.reference is not None,
        )
        losses.append(float(value))
        summaries.append(np.asarray(summary))
    params = jax.tree.map(np.asarray, state[0])
    tuning = {
        "minutes": minutes,
        "tables": num_draws * len(losses),
        "losses": [losses[0], losses[-1]],
    }
    card = weights.card | {
        "name": f"{weights.card['name']}, fine-tuned",
        "max_columns": max(weights.card["max_columns"], d),
        "fine_tuning": tuning,
    }
    reference = _reference(d, np.concatenate(summaries))
    return weights._replace(params=params, reference=reference, card=card)


def _check_simulator(simulator):
    """The number of variables of its tables."""
    drawn: Any = jax.eval_shape(lambda: simulator(jax.random.key(0)))
    if not (isinstance(drawn, tuple) and len(drawn) == 2):
        raise ValueError("the simulator must return a pair (Problem, graph)")
    problem, graph = drawn
    if not isinstance(problem, Problem):
        raise ValueError(
            f"the simulator must return a Problem first, not {type(problem).__name__}; "
            "see causaljax.make_problem"
        )
    d = problem.x.shape[1]
    if (graph.shape, graph.dtype) != ((d, d), bool):
        raise ValueError(
            f"the simulator's graph must be bool of shape {(d, d)}, not {graph.dtype} "
            f"of shape {graph.shape}"
        )
    return d


def _reference(num_variables, summaries):
    if not summaries.size or len(summaries) < _ENOUGH * summaries.shape[1]:
        return None
    return out_of_distribution.fit_reference({num_variables: summaries})


@functools.partial(
    jax.jit,
    static_argnames=("simulator", "network", "num_draws", "summarises"),
)
def _step(
    key: Array,
    state: PyTree,
    rate: Array | float,
    simulator: Simulator,
    network: Network,
    num_draws: int,
    summarises: bool,
) -> tuple[PyTree, Array, Array]:
    """New parameters and moments, the loss, and the tables' summaries."""

    def draw(key):
        table_key, reveal_key = jax.random.split(key)
        problem, graph = simulator(table_key)
        inputs = network.inputs(problem, network.config)
        allowed, told, _ = reveal(reveal_key, graph)
        required = problem.required | told
        return inputs, problem.allowed & allowed & ~required.T, required, graph

    tables = jax.vmap(draw)(jax.random.split(key, num_draws))

    def mean_loss(params):
        def of_table(inputs, allowed, required, graph):
            beliefs = network.edge_logits(
                params, inputs, allowed, required, network.config
            )
            told = ~allowed & ~allowed.T | required | required.T
            return losses_of(beliefs, graph, told).total

        return jax.vmap(of_table)(*tables).mean()

    params, moments = state
    value, gradient = jax.value_and_grad(mean_loss)(params)
    update, new_moments = _optimiser.update(gradient, moments)
    new_params = jax.tree.map(lambda p, u: p - rate * u, params, update)
    # A draw that breaks the loss teaches nothing.
    fine = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(gradient))
    state = jax.tree.map(
        lambda new, old: jnp.where(fine, new, old), (new_params, new_moments), state
    )
    summaries = jnp.zeros((num_draws, 0))
    if summarises:
        summaries = jax.vmap(out_of_distribution.summarise)(tables[0])
    return state, value, summaries
