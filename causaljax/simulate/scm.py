"""Structural causal models: a graph, mechanisms and noise become a table."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem, make_problem
from causaljax.graphs.dags import topological_order
from causaljax.simulate.columns import SCALINGS, fill_columns
from causaljax.simulate.interventions import Intervention, shift_intervention
from causaljax.simulate.mechanisms import (
    MECHANISMS,
    draw_noise_factor,
    linear_weights,
    noise_factor,
)
from causaljax.simulate.noise import sample_noise


class LinearTruth(NamedTuple):
    """What made a table, in the units of the table as returned."""

    graph: Array  # [d, d] bool
    weights: Array  # [d, d] float, i -> j at [i, j], 0 off the graph
    noise_scale: Array  # [d] float, standard deviation of the noise
    targets: Array  # [r, d] bool, row 0 all False
    regime: Array  # [n] int32


class SCMTruth(NamedTuple):
    """What made a table whose mechanisms need not have coefficients."""

    graph: Array  # [d, d] bool
    noise_scale: Array  # [d] float, of the noise as it is drawn, before any scaling
    targets: Array  # [r, d] bool, row 0 all False
    regime: Array  # [n] int32


def simulate_linear(
    key: Array,
    graph: ArrayLike,
    num_rows: int,
    *,
    noise: str = "gaussian",
    noise_scale: ArrayLike | tuple[ArrayLike, ArrayLike] = 1.0,
    scaling: str = "raw",
    weights: ArrayLike | None = None,
    intervention: Intervention | None = None,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Problem, LinearTruth]:
    """Rows of a linear structural causal model with additive noise.

    In every row of a regime without interventions the table satisfies

        x_j = sum_i truth.weights[i, j] x_i + truth.noise_scale[j] e_j

    where the e_j are independent across rows and variables, of mean 0 and
    standard deviation 1. With a scaling other than "raw", their average over the
    rows of regime 0 has been subtracted. For regimes with interventions see
    ``Intervention``. The same key gives the same e whatever the scaling.

    Rows come in blocks, regime 0 first, split as evenly as possible.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool, acyclic.
      num_rows: n, static.
      noise: a family in ``NOISE``, static.
      noise_scale: standard deviation of the noise as it is drawn, above 0: one
        number for all variables, or a range (low, high) from which each variable
        draws its own uniformly.
      scaling: static. "raw" returns the columns as they come. "standardised"
        returns the same columns minus their mean, over their standard deviation.
        "internal" does so with each column before its children see it, so that
        neither variances nor R2 give the order away. Mean and standard deviation
        are those of the rows of regime 0.
      weights: ``[d, d]``, used on the edges of the graph, before any scaling;
        left out, drawn by ``linear_weights``.
      intervention: of r regimes; left out, one regime that is left alone.
      dtype: of the table and the truth.

    Returns:
      ``(problem, truth)``: the problem knows its regimes and, cell by cell, its
      targets (``intervened``).

    Raises:
      ValueError: if an option is unknown or a shape or count does not fit.

    Differentiable: in ``weights``, ``noise_scale``, ``intervention.shift`` and
    ``intervention.scale``.
    Source: Ormaniec et al. 2024, "Standardizing structural causal models",
    algorithm 1, for "internal"; Reisach et al. 2021 for why raw columns flatter.

    Example:
      >>> chain = jnp.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> problem, truth = simulate_linear(jax.random.key(0), chain, 100)
      >>> problem.x.shape
      (100, 3)
    """
    graph = _checked_graph(graph, scaling)
    d = graph.shape[0]
    key_weights, key_scale, key_noise = jax.random.split(key, 3)

    if weights is None:
        weights = linear_weights(key_weights, graph, dtype=dtype)
    weights = jnp.asarray(weights, dtype)
    if weights.shape != (d, d):
        raise ValueError(f"weights has shape {weights.shape}; graph asks for {(d, d)}")
    weights = jnp.where(graph, weights, 0)
    noise_scale = _noise_scales(key_scale, noise_scale, d, dtype)
    num_fewest = 1 if scaling == "raw" else 2
    done = row_by_row(intervention, num_rows, d, num_fewest, dtype)
    unit_noise = sample_noise(key_noise, noise, (num_rows, d), dtype) * done.scale

    # A standardised column is the raw one up to a constant and its sd: raw children
    # see it times that sd, others as it is. A constant is taken off again.
    def seen_weights(sds):
        return weights * sds[:, None] if scaling == "standardised" else weights

    def respond(x, means, sds, j):
        del means
        signal = matmul(x, seen_weights(sds)[:, j])
        return signal + noise_scale[j] * unit_noise[:, j]

    problem, sds = fill_table(respond, graph, unit_noise, done, scaling)
    truth = LinearTruth(
        graph=graph,
        weights=seen_weights(sds) / sds[None, :],
        noise_scale=noise_scale / sds,
        targets=done.targets,
        regime=done.regime,
    )
    return problem, truth


def simulate(
    key: Array,
    graph: ArrayLike,
    num_rows: int,
    *,
    mechanism: str,
    noise: str = "gaussian",
    noise_scale: ArrayLike | tuple[ArrayLike, ArrayLike] = 1.0,
    scaling: str = "raw",
    intervention: Intervention | None = None,
    heteroscedastic: bool = False,
    dtype: DTypeLike = jnp.float32,
) -> tuple[Problem, SCMTruth]:
    """Rows of a structural causal model with random mechanisms of one family.

    A column is a random function of its parents and of noise that is independent
    across rows and variables. Rows, regimes, scalings and interventions are those
    of ``simulate_linear``, whose table "linear" gives up to rounding.

    Args:
      key: consumed.
      graph: ``[d, d]`` bool, acyclic.
      num_rows: n, static.
      mechanism: a family in ``MECHANISMS``, static; says where the noise enters.
      noise: a family in ``NOISE`` or ``HEAVY_NOISE``, static.
      noise_scale: as in ``simulate_linear``.
      scaling: as in ``simulate_linear``, static.
      intervention: of r regimes; left out, one regime that is left alone.
      heteroscedastic: static. If True the noise of each variable with parents has
        a variance that is itself a random smooth function of them; its average
        over the rows of regime 0 is the square of the noise scale.
      dtype: of the table.

    Returns:
      ``(problem, origin)``.

    Raises:
      ValueError: if an option is unknown or a shape or count does not fit.

    Differentiable: in ``noise_scale``, ``intervention.shift`` and
    ``intervention.scale``.
    Source: the families', see ``MECHANISMS``; Lorch et al. 2022 (AVICI) for
    heteroscedastic noise.

    Example:
      >>> chain = jnp.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> key = jax.random.key(0)
      >>> problem, origin = simulate(key, chain, 100, mechanism="network")
      >>> problem.x.shape
      (100, 3)
    """
    graph = _checked_graph(graph, scaling)
    d = graph.shape[0]
    if mechanism not in MECHANISMS:
        names = ", ".join(MECHANISMS)
        raise ValueError(f"mechanism {mechanism!r} is not one of {names}")
    family = MECHANISMS[mechanism]
    # As in simulate_linear, which has no fourth key.
    key_mechanism, key_scale, key_noise = jax.random.split(key, 3)
    params = family.draw(key_mechanism, graph, dtype)
    noise_scale = _noise_scales(key_scale, noise_scale, d, dtype)
    done = row_by_row(intervention, num_rows, d, 2, dtype)
    unit_noise = sample_noise(key_noise, noise, (num_rows, d), dtype) * done.scale
    has_parents = graph.any(axis=0)
    if heteroscedastic:
        factors = draw_noise_factor(jax.random.fold_in(key, 3), graph, dtype)

    def of_child(params, j):
        return jax.tree.map(lambda leaf: leaf[j], params)

    def respond(x, means, sds, j):
        if scaling == "standardised":
            x = x * sds[None, :] + means[None, :]
        parents = jnp.where(graph[None, :, j], x, 0)
        seen = (parents, has_parents[j])
        column_noise = noise_scale[j] * unit_noise[:, j]
        if heteroscedastic:
            factor = noise_factor(of_child(factors, j), *seen, done.num_baseline)
            column_noise = column_noise * factor
        return family.apply(of_child(params, j), *seen, column_noise, done.num_baseline)

    problem, _ = fill_table(respond, graph, unit_noise, done, scaling)
    return problem, SCMTruth(graph, noise_scale, done.targets, done.regime)


def _noise_scales(key, noise_scale, num_variables, dtype):
    """One scale a variable, ``[d]``."""
    if isinstance(noise_scale, tuple) and len(noise_scale) == 2:
        low, high = (jnp.asarray(bound, dtype) for bound in noise_scale)
        return low + (high - low) * jax.random.uniform(key, (num_variables,), dtype)
    if isinstance(noise_scale, tuple) or jnp.asarray(noise_scale).ndim != 0:
        raise ValueError("noise_scale must be one number or a tuple (low, high)")
    return jnp.full(num_variables, noise_scale, dtype)


def _checked_graph(graph, scaling):
    graph = jnp.asarray(graph, bool)
    if graph.shape != 2 * graph.shape[:1]:
        raise ValueError(f"graph must be square [d, d], not of shape {graph.shape}")
    if scaling not in SCALINGS:
        raise ValueError(f"scaling {scaling!r} is not one of {', '.join(SCALINGS)}")
    return graph


class Done(NamedTuple):
    """An intervention row by row."""

    targets: Array  # [r, d] bool
    regime: Array  # [n] int32
    cut: Array  # [n, d] bool
    shift: Array  # [n, d] float
    scale: Array  # [n, d] float
    num_baseline: int  # rows of regime 0, which come first


def row_by_row(
    intervention: Intervention | None,
    num_rows: int,
    num_variables: int,
    num_fewest: int,
    dtype: DTypeLike,
) -> Done:
    """What is done to each row, at least ``num_fewest`` of them left alone.

    Raises:
      ValueError: if targets do not fit the variables or rows are too few.
    """
    if intervention is None:
        intervention = shift_intervention(jnp.zeros((1, num_variables), bool), 0.0)
    targets = intervention.targets
    if targets.shape[1] != num_variables:
        raise ValueError(
            f"intervention.targets has shape {targets.shape}; graph asks for "
            f"(r, {num_variables})"
        )
    num_regimes = targets.shape[0]
    fewest = num_regimes + num_fewest - 1
    if num_rows < fewest:
        raise ValueError(
            f"num_rows must be at least {fewest} for {num_regimes} regimes, "
            f"{num_fewest} of them in regime 0, not {num_rows}"
        )
    size, longer = divmod(num_rows, num_regimes)
    blocks = jnp.arange(1, num_regimes + 1)
    ends = size * blocks + jnp.minimum(blocks, longer)
    regime = jnp.searchsorted(ends, jnp.arange(num_rows), side="right")
    return Done(
        targets=targets,
        regime=regime.astype(jnp.int32),
        cut=intervention.cut[regime],
        shift=intervention.shift.astype(dtype)[regime],
        scale=intervention.scale.astype(dtype)[regime],
        num_baseline=size + (longer > 0),
    )


def fill_table(
    respond: Callable[[Array, Array, Array, Array], Array],
    graph: Array,
    unit_noise: Array,
    done: Done,
    scaling: str,
) -> tuple[Problem, Array]:
    """The table of a model under an intervention, and what columns were divided by.

    Args:
      respond: as ``fill_columns`` takes it.
      graph: ``[d, d]`` bool, acyclic.
      unit_noise: ``[n, d]``, what a cell holds where it is cut.
      done: the intervention.
      scaling: one of ``SCALINGS``, static.

    Returns:
      ``(problem, sds)``: the problem knows its regimes and targets; sds ``[d]``.
    """

    def moments(column, j):
        del j
        baseline = column[: done.num_baseline]
        return baseline.mean(), baseline.std()

    x, _, sds = fill_columns(
        respond,
        topological_order(graph),
        unit_noise,
        done.cut,
        done.shift,
        None if scaling == "raw" else moments,
    )
    targets = done.targets[done.regime]
    return make_problem(x, intervened=targets, regime=done.regime), sds
