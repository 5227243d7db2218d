"""Structural causal models: a graph, mechanisms and noise become a table."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.graphs.ops import matmul, topological_order
from causaljax.simulate.interventions import Intervention, shift_intervention
from causaljax.simulate.mechanisms import linear_weights
from causaljax.simulate.noise import sample_noise
from causaljax.types import Array, Problem, make_problem

SCALINGS = ("raw", "standardised", "internal")
"""Whether columns are standardised, and whether their children notice."""


class Truth(NamedTuple):
    """What made a table, in the units of the table as returned."""

    graph: Array  # [d, d] bool
    weights: Array  # [d, d] float, i -> j at [i, j], 0 off the graph
    noise_scale: Array  # [d] float, standard deviation of the noise
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
) -> tuple[Problem, Truth]:
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
    graph = jnp.asarray(graph, bool)
    d = graph.shape[0]
    if graph.shape != (d, d):
        raise ValueError(f"graph must be square [d, d], not of shape {graph.shape}")
    if scaling not in SCALINGS:
        raise ValueError(f"scaling {scaling!r} is not one of {', '.join(SCALINGS)}")
    key_weights, key_scale, key_noise = jax.random.split(key, 3)

    if weights is None:
        weights = linear_weights(key_weights, graph, dtype=dtype)
    weights = jnp.asarray(weights, dtype)
    if weights.shape != (d, d):
        raise ValueError(f"weights has shape {weights.shape}; graph asks for {(d, d)}")
    weights = jnp.where(graph, weights, 0)
    noise_scale = _noise_scales(key_scale, noise_scale, d, dtype)

    if intervention is None:
        intervention = shift_intervention(jnp.zeros((1, d), bool), 0.0)
    targets = intervention.targets
    if targets.shape[1] != d:
        raise ValueError(
            f"intervention.targets has shape {targets.shape}; graph asks for (r, {d})"
        )
    regime, num_baseline = _regime_blocks(num_rows, targets.shape[0], scaling)
    cut = intervention.cut[regime]
    shift = intervention.shift.astype(dtype)[regime]
    unit_noise = sample_noise(key_noise, noise, (num_rows, d), dtype)
    unit_noise = unit_noise * intervention.scale.astype(dtype)[regime]

    # Columns are filled parents first. A standardised column is the raw one up to
    # a constant and its sd: raw children see it times that sd, others as it is.
    def fill_column(carry, j):
        x, incoming, sds = carry
        column = matmul(x, incoming[:, j]) + noise_scale[j] * unit_noise[:, j]
        if scaling != "raw":
            baseline = column[:num_baseline]
            sds = sds.at[j].set(baseline.std())
            column = (column - baseline.mean()) / sds[j]
        if scaling == "standardised":
            incoming = incoming.at[j].multiply(sds[j])
        column = jnp.where(cut[:, j], unit_noise[:, j], column) + shift[:, j]
        return (x.at[:, j].set(column), incoming, sds), None

    start = (jnp.zeros((num_rows, d), dtype), weights, jnp.ones(d, dtype))
    (x, incoming, sds), _ = jax.lax.scan(fill_column, start, topological_order(graph))
    problem = make_problem(x, intervened=targets[regime], regime=regime)
    truth = Truth(
        graph=graph,
        weights=incoming / sds[None, :],
        noise_scale=noise_scale / sds,
        targets=targets,
        regime=regime,
    )
    return problem, truth


def _noise_scales(key, noise_scale, num_variables, dtype):
    """One scale a variable, ``[d]``."""
    if isinstance(noise_scale, tuple) and len(noise_scale) == 2:
        low, high = (jnp.asarray(bound, dtype) for bound in noise_scale)
        return low + (high - low) * jax.random.uniform(key, (num_variables,), dtype)
    if isinstance(noise_scale, tuple) or jnp.asarray(noise_scale).ndim != 0:
        raise ValueError("noise_scale must be one number or a tuple (low, high)")
    return jnp.full(num_variables, noise_scale, dtype)


def _regime_blocks(num_rows, num_regimes, scaling):
    """The regime of each row, ``[n]`` int32, and the number of rows of regime 0."""
    fewest = num_regimes if scaling == "raw" else num_regimes + 1
    if num_rows < fewest:
        raise ValueError(
            f"num_rows must be at least {fewest} for {num_regimes} regimes and "
            f"scaling {scaling!r}, not {num_rows}"
        )
    size, longer = divmod(num_rows, num_regimes)
    blocks = jnp.arange(1, num_regimes + 1)
    ends = size * blocks + jnp.minimum(blocks, longer)
    regime = jnp.searchsorted(ends, jnp.arange(num_rows), side="right")
    return regime.astype(jnp.int32), size + (longer > 0)
