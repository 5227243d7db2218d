"""A graph and the regimes found under it, and how hypotheses are compared.

Of several initialisations the hypothesis of least loss is kept, in nats a row,

    - bound + c E[cells intervened on] / n + e (h + 1) / 2 log(n) / n

where the bound is that of ``mixture`` on rows held out, c the price of a cell, e the
number of edges and h the hidden units of a curve: an edge adds a curve's weights, each
of which is worth half log(n) (Schwarz 1978). Regimes that overlap fit as well when they
are one that intervenes on whatever each of them did; the price of cells speaks against
that.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.compiling import quick_jit
from causaljax.core.linalg import matmul
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem
from causaljax.kernels.latent_interventions import mixture
from causaljax.regimes.initialise import num_cell_steps
from causaljax.regimes.state import HIDDEN


class Hypothesis(NamedTuple):
    """A graph and the regimes found under it."""

    graph: Array  # [d, d] bool
    edge_prob: Array  # [d, d] float
    regimes: dict[str, Any]  # ``extra`` of the posterior of ``mixture``
    initialisation: Array  # [] int32, of the regimes
    loss: Array  # [] float, nats a row


class Initialisations(NamedTuple):
    """Where fits of regimes begin; leaves ``[t]``."""

    wanted: Array  # bool
    kind: Array  # int32, of ``INITIALISATIONS``
    keeps_rows: Array  # bool, begins from responsibilities that are given
    keeps_targets: Array  # bool, begins from targets that are given besides


def curve_price(problem: Problem, config: mixture.Config) -> Array:
    """Nats that one more parent must gain: (h + 1) / 2 log(n), ``[]``."""
    rows = counted_weight(problem).sum()
    return (HIDDEN[config.mechanism] + 1) / 2 * jnp.log(jnp.maximum(rows, 2))


def counted_weight(problem: Problem) -> Array:
    """Weights of rows, ``[n]``; 0 where there is a gap."""
    return jnp.where(complete_rows(problem), problem.weight, 0)


def intervened_prob(regimes: dict[str, Any]) -> Array:
    """P(a cell was intervened on), ``[n, d]``."""
    cells = matmul(regimes["responsibilities"], regimes["targets"])
    return jnp.clip(cells, 0, 1)


@quick_jit
def best_hypothesis(
    key: Array,
    start: Array,
    edge_prob: Array,
    begun: Initialisations,
    responsibilities: Array,
    targets: Array,
    problem: Problem,
    config: mixture.Config,
    cell_price: Array,
) -> Hypothesis:
    """Fits the regimes of a graph from several initialisations and keeps the best.

    Args:
      key: typed key, consumed; of all fits.
      start: ``[d, d]`` float, the graph, or where mechanisms are linear beliefs of
        edges that a search begins from.
      edge_prob: ``[d, d]`` float, of the graph; linear mechanisms give their own.
      begun: the initialisations.
      responsibilities: ``[n, k]``, for those that keep rows.
      targets: ``[k, d]``, for those that keep targets.
      problem: the table.
      config: of ``mixture``; its own start, responsibilities and targets are replaced.
      cell_price: ``[]``, nats a cell.

    Returns:
      The hypothesis; its loss is infinite if no fit was wanted or none is finite.
    """
    init_key, step_key, final_key = jax.random.split(key, 3)
    nothing = jnp.full_like(responsibilities, jnp.nan), jnp.full_like(targets, jnp.nan)

    def configured(kind, responsibilities, targets):
        return dataclasses.replace(
            config,
            start=start,
            initialisation=kind.astype(start.dtype),
            responsibilities=responsibilities,
            targets=targets,
        )

    def advance(state, until, of_fit):
        """Steps until so many are taken."""

        def step(carry):
            step_key_now = jax.random.fold_in(step_key, carry[0].step)
            return mixture.step(step_key_now, carry[0], problem, of_fit)

        unknown = jnp.full_like(state.weight[0], jnp.nan)
        info = mixture.Info(unknown, 0 * state.step, unknown > 0, unknown > 0)
        return jax.lax.while_loop(lambda c: c[0].step < until, step, (state, info))

    first = configured(begun.kind[0], *nothing)
    initial = mixture.init(init_key, problem, first)
    # The last of the steps before there are regimes begins them.
    fresh = (begun.wanted & ~begun.keeps_targets).any()
    shared = jnp.where(fresh, num_cell_steps(config) - 1, 0).astype(jnp.int32)
    shared_state, _ = advance(initial, shared, first)
    weight = counted_weight(problem)
    share = weight / jnp.maximum(weight.sum(), 1e-6)
    edge_price = curve_price(problem, config) / jnp.maximum(weight.sum(), 1)

    def fit(one):
        of_fit = configured(
            one.kind,
            jnp.where(one.keeps_rows, responsibilities, jnp.nan),
            jnp.where(one.keeps_targets, targets, jnp.nan),
        )
        state = jax.tree.map(
            lambda a, b: jnp.where(one.keeps_targets, a, b), initial, shared_state
        )
        state = mixture.with_given(state, of_fit)
        state, info = advance(state, config.num_steps, of_fit)
        cells = matmul(matmul(share[None, :], state.responsibilities), state.targets)
        edges = state.graph.sum().astype(share.dtype)
        loss = info.loss + edge_price * edges
        loss += jnp.asarray(cell_price, share.dtype) * cells.sum()
        return state, jnp.nan_to_num(loss, nan=jnp.inf).astype(weight.dtype)

    def attempt(best, one):
        new = jax.lax.cond(one.wanted, lambda: fit(one), lambda: best[:2])
        better = one.wanted & (new[1] < best[1])
        new = *new, one.kind
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best), None

    begin = initial, jnp.full_like(weight[0], jnp.inf), begun.kind[0]
    (state, loss, kind), _ = jax.lax.scan(attempt, begin, begun)
    posterior = mixture.finalise(final_key, state, problem, first)
    linear = config.mechanism == "linear"
    return Hypothesis(
        graph=state.graph,
        edge_prob=posterior.edge_prob if linear else edge_prob,
        regimes=posterior.extra,
        initialisation=kind.astype(jnp.int32),
        loss=loss,
    )
