"""Structural equations of a given graph: networks trained by likelihood.

Each variable has a network that reads its parents (``mechanisms.mlp``). The networks
are trained together by Adam on minibatches of rows. Under perfect interventions a cell
that was set has no likelihood; under imperfect ones it has that of a network which
serves this variable in this regime alone.

A scale does not fall below the rounding error of the column's values, the least
distance of two of them over sqrt(12): a column of few values has no density otherwise.
Some rows are held out, and the networks of the step that explains them best are kept.

Source: Brouillard et al. 2020 (DCDI), equations 5 and 6, for the likelihood under
interventions.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from causaljax.core.options import option
from causaljax.core.problem import (
    complete_rows,
    held_out_rows,
    label_free_places,
    like_data,
    thin_rows,
)
from causaljax.core.types import Array, Problem, PyTree
from causaljax.mechanisms import mlp

INTERVENTIONS = ("perfect", "imperfect")
_LEAST_STEP = 1e-5  # standard deviations; values nearer to each other are one
_LAST_RATE = 0.02  # share of the learning rate that is left at the end


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the training.

    ``learning_rate`` is that of Adam at the beginning; along a cosine it falls to a
    fiftieth. ``noise`` is one of ``mechanisms.mlp.NOISES``. Under "imperfect"
    ``intervention`` the labels of regimes must be below ``num_regimes``, and a variable
    be a target in at most ``num_targeted`` regimes; cells beyond have no likelihood.
    ``num_updates`` updates of ``batch_size`` rows are spread over ``num_steps`` steps.
    ``held_out`` is the share of the rows that is not learned from; of a table of more
    than ``held_out_rows`` rows so many of them are looked at, spread evenly, as the
    networks' hidden units for all rows would not fit in memory.
    """

    learning_rate: float = option(0.02, above=0)
    noise: str = option("heteroscedastic", choices=mlp.NOISES)
    intervention: str = option("perfect", choices=INTERVENTIONS)
    num_regimes: int = option(1, least=1)
    num_targeted: int = option(1, least=1)
    hidden: int = option(32, least=1)
    layers: int = option(2, least=0)
    num_updates: int = option(1000, least=1)
    batch_size: int = option(256, least=1)
    num_steps: int = option(5, least=1)
    held_out: float = option(0.1, least=0, below=1)
    held_out_rows: int = option(16_384, least=1)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    networks: mlp.Params
    moments: PyTree  # of the optimiser
    network: Array  # [n, d] int, whose likelihood a cell has; -1 if nobody's
    cumulative: Array  # [n] float, weight of the rows to learn from, summed up
    held_out: Array  # [n] float, weight of the others
    best: mlp.Params  # the networks to keep
    best_loss: Array  # [] float, minus their log-likelihood, nats a row held out


_ADAM = optax.scale_by_adam(b1=0.9, b2=0.99, eps=1e-8, eps_root=1e-16)


def init(key: Array, problem: Problem, config: Config) -> State:
    """Random networks. Rows with a gap are left out, as those of weight 0 are."""
    counted = complete_rows(problem)
    weight = jnp.where(counted, problem.weight, 0)
    networks = mlp.init(
        key,
        problem.x.shape[1],
        config.hidden,
        config.layers,
        num_regimes=1 + config.num_targeted * (config.intervention == "imperfect"),
        noise=config.noise,
        dtype=problem.x.dtype,
    )
    # Random numbers go with a variable wherever its column stands.
    networks = mlp.take_variables(networks, label_free_places(problem.x, weight))
    network = _network(problem, counted, config)
    floor = _rounding_error(problem.x, counted[:, None] & (network >= 0))
    floor = jnp.broadcast_to(jnp.log(floor), networks.log_floor.shape)
    networks: Any = like_data(networks._replace(log_floor=floor), weight)
    held_out = held_out_rows(counted, config.held_out, problem.x.dtype)
    return State(
        step=jnp.zeros((), jnp.int32),
        networks=networks,
        moments=like_data(_ADAM.init(networks), weight),
        network=network,
        cumulative=jnp.cumsum(jnp.where(held_out, 0, weight)),
        held_out=jnp.where(held_out, weight, 0),
        best=networks,
        best_loss=jnp.inf + 0 * weight[0],
    )


def train(
    key: Array, state: State, graph: Array, problem: Problem, config: Config
) -> tuple[State, Array]:
    """One step of training.

    Args:
      key: consumed.
      state: of ``init`` or an earlier call.
      graph: ``[d, d]`` bool, acyclic.
      problem: the table.
      config: settings.

    Returns:
      The new state, and minus the mean log-likelihood of the rows that were drawn,
      ``[]``, nats a row.
    """
    dtype = problem.x.dtype
    per_step = -(-config.num_updates // config.num_steps)
    first = state.step * per_step

    def update(carry, number):
        networks, moments = carry
        draw_key = jax.random.fold_in(key, number)
        drawn = jax.random.uniform(draw_key, (config.batch_size,), dtype)
        drawn = drawn * state.cumulative[-1]
        rows = jnp.searchsorted(state.cumulative, drawn, side="right")
        rows = jnp.minimum(rows, len(state.cumulative) - 1)
        x, network = problem.x[rows], state.network[rows]

        def loss_of(networks):
            density = mlp.log_density(networks, graph, x)
            return -_chosen(density, network).sum()

        loss, gradient = jax.value_and_grad(loss_of)(networks)
        update, moments = _ADAM.update(gradient, moments)
        part = (first + number).astype(dtype) / (per_step * config.num_steps)
        rate = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + jnp.cos(math.pi * part))
        rate = (config.learning_rate * rate).astype(dtype)
        networks = jax.tree.map(lambda a, b: a - rate * b, networks, update)
        return (networks, moments), loss / config.batch_size

    start: Any = state.networks, state.moments
    (networks, moments), losses = jax.lax.scan(
        update, start, jnp.arange(per_step, dtype=jnp.int32)
    )
    new = state._replace(step=state.step + 1, networks=networks, moments=moments)
    return _keep_better(new, graph, problem, config), losses.mean()


def _keep_better(state, graph, problem, config):
    """The state, with the networks that explain the rows held out best."""
    x, network, weight = problem.x, state.network, state.held_out
    total = weight.sum()
    if len(x) > config.held_out_rows:
        few = thin_rows(weight, config.held_out_rows)
        x, network = x[few], network[few]
        weight = jnp.where(weight[few] > 0, total / len(few), 0)
    x = jnp.where(weight[:, None] > 0, x, 0)
    density = mlp.log_density(state.networks, graph, x)
    rows = _chosen(density, network).sum(axis=1)
    loss = -(weight * rows).sum() / jnp.maximum(total, 1e-30)
    # Without rows that are held out the last networks are kept.
    better = (loss < state.best_loss) | (total == 0)
    best = jax.tree.map(
        lambda new, old: jnp.where(better, new, old), state.networks, state.best
    )
    best_loss = jnp.where(total > 0, jnp.minimum(loss, state.best_loss), jnp.nan)
    return state._replace(best=best, best_loss=best_loss)


def _rounding_error(x, counted):
    """The standard deviation of rounding to the values a column has, ``[d]``."""
    ordered = jnp.sort(jnp.where(counted, x, jnp.inf), axis=0)
    steps = jnp.diff(ordered, axis=0)
    steps = jnp.where((steps > _LEAST_STEP) & (ordered[1:] < jnp.inf), steps, jnp.inf)
    least = steps.min(axis=0)
    return jnp.where(least < jnp.inf, least, _LEAST_STEP) / math.sqrt(12)


def _network(problem, counted, config):
    """Which of a variable's networks has a cell's likelihood, ``[n, d]``."""
    if config.intervention == "perfect":
        return jnp.where(problem.intervened, -1, 0)
    known = (problem.regime >= 0) & (problem.regime < config.num_regimes)
    regime = jnp.where(known, problem.regime, 0)
    hit = problem.intervened & (known & counted)[:, None]
    none = jnp.zeros((config.num_regimes, hit.shape[1]), bool)
    targeted = none.at[regime].max(hit)
    # A variable's networks are dealt out to the regimes that target it.
    dealt = jnp.cumsum(targeted, axis=0)[regime]
    own = hit & (dealt <= config.num_targeted)
    return jnp.where(problem.intervened, jnp.where(own, dealt, -1), 0)


def _chosen(density, network):
    """The density ``[r, n, d]`` of the cells' own networks; 0 where a cell has none."""
    index = jnp.maximum(network, 0)[None]
    own = jnp.take_along_axis(density, index, axis=0)[0]
    return jnp.where(network >= 0, own, 0)
