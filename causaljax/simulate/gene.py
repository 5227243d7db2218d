"""Gene expression in single cells at steady state, by regulation that saturates.

    graph -> rates -> diffusion around the steady state -> measurement -> counts

A gene without parents, a master regulator, is made at a rate of its cell type. Any
other is made at a rate that is a sum of Hill functions of its parents. All decay in
proportion, and both making and decaying are noisy: the chemical Langevin equation.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem, make_problem
from causaljax.graphs.dags import topological_order
from causaljax.simulate.interventions import draw_targets

_TIME_STEP = 0.05
_NUM_STEPS = 400  # 20 time units, 14 to 18 lifetimes of a molecule
_STRENGTH = (1.0, 5.0)  # of one parent at saturation, uniform
_BASAL = (1.0, 3.0)  # rate of a master regulator in a cell type, uniform
_HILL = (1.9, 2.0, 2.1)
_DECAY = (0.7, 0.8, 0.9)
_NOISE = (0.9, 1.0, 1.1)


class Platform(NamedTuple):
    """How a sequencing platform distorts expression."""

    outlier_prob: float  # of a gene
    outlier_mean: float  # of its log factor
    outlier_sd: float
    library_mean: float  # of the log of a cell's expected number of molecules
    library_sd: float
    dropout_shape: float  # steepness of the logistic curve, per log molecule
    dropout_percentile: float  # of all cells and genes: half of such are lost


PLATFORMS = {
    "10x-chromium": Platform(0.01, 3.0, 1.0, 6.0, 0.3, 8.0, 74.0),
    "illumina": Platform(0.01, 0.8, 1.0, 7.0, 0.4, 8.0, 80.0),
    "drop-seq": Platform(0.01, 3.0, 1.0, 4.4, 0.8, 8.0, 85.0),
    "smart-seq": Platform(0.01, 4.5, 1.0, 10.8, 0.55, 2.0, 92.0),
}
"""Fitted to real tables; of the three fits of 10x the first."""


class GeneTruth(NamedTuple):
    """What made a table of gene expressions."""

    graph: Array  # [d, d] bool
    strength: Array  # [d, d] float, below 0 for repression, 0 off the graph
    expression: Array  # [n, d] float, at least 0, before the measurement
    cell_type: Array  # [n] int32
    targets: Array  # [r, d] bool, the genes knocked out, row 0 all False
    regime: Array  # [n] int32


def simulate_genes(
    key: Array,
    graph: ArrayLike,
    num_rows: int,
    *,
    num_cell_types: int = 5,
    num_knockouts: int = 0,
    share_knocked_out: float = 0.25,
    platform: str | None = "10x-chromium",
    counts: bool = False,
) -> tuple[Problem, GeneTruth]:
    """Cells of a gene regulatory network, as a sequencing platform shows them.

    Every cell follows the chemical Langevin equation

        dx_j = (rate_j(x) - decay x_j) dt
               + noise sqrt(rate_j(x)) dW + noise sqrt(decay x_j) dW'

    from its expected steady state on, for 400 Euler-Maruyama steps of .05 time
    units, all genes at once; x never falls below 0. The rate is the sum over
    parents of strength h or, where they repress, strength (1 - h), with h = x^c /
    (half^c + x^c) and half the mean over cell types of the parent's expected
    steady state. Each gene draws how likely it is to activate; each table one
    coefficient c, decay and noise.

    Measurement multiplies some genes by a large factor, scales each cell to its
    library size, loses low values by chance and counts molecules (Poisson).

    Args:
      key: consumed.
      graph: ``[d, d]`` bool, acyclic.
      num_rows: n cells, static; cell types are dealt evenly.
      num_cell_types: static, at least 1; they differ in their master regulators.
      num_knockouts: static, from 0 to d; each such gene has a regime in which its
        rate is 0.
      share_knocked_out: static, in (0, 1), of the rows, if there are knock-outs:
        the last rows, shared evenly among the regimes.
      platform: a name in ``PLATFORMS``, static, or None for a measurement that
        counts and log-normalises the expressions themselves.
      counts: static; if True the table holds the counts.

    Returns:
      ``(problem, truth)``. The table holds log2 of counts per million, less its
      smallest value, over its standard deviation, both of all cells and genes with
      molecules; 0 where there are none.

    Raises:
      ValueError: if an option is unknown or out of range.

    Source: Dibaeinia and Sinha 2020 (SERGIO), equations and noise "dpd"; ranges,
    platforms and normalisation as in Lorch et al. 2022 (AVICI). SERGIO takes cells
    from one long path of each type; here every cell has its own.
    """
    graph = jnp.asarray(graph, bool)
    d = graph.shape[0]
    if graph.shape != (d, d):
        raise ValueError(f"graph must be square [d, d], not of shape {graph.shape}")
    if platform is not None and platform not in PLATFORMS:
        names = ", ".join(PLATFORMS)
        raise ValueError(f"platform {platform!r} is not None or one of {names}")
    if num_cell_types < 1:
        raise ValueError(f"num_cell_types must be at least 1, not {num_cell_types}")
    if not 0 <= num_knockouts <= d:
        raise ValueError(f"num_knockouts must be from 0 to {d}, not {num_knockouts}")
    if not 0 < share_knocked_out < 1:
        raise ValueError(
            f"share_knocked_out must be in (0, 1), not {share_knocked_out}"
        )
    keys = jax.random.split(key, 5)
    key_kinetics, key_targets, key_types, key_cells, key_measure = keys

    kinetics = _draw_kinetics(key_kinetics, graph, num_cell_types)
    targets = _knockouts(key_targets, d, num_knockouts)
    regime = _regimes(num_rows, num_knockouts, share_knocked_out)
    knocked_out = targets[regime]
    # Dealt from the start in every regime, or some would lack a type.
    rank = jnp.arange(num_rows) - jnp.searchsorted(regime, regime)
    dealt = jax.random.permutation(key_types, num_cell_types)
    cell_type = dealt[rank % num_cell_types].astype(jnp.int32)

    expression = _diffuse(key_cells, graph, kinetics, cell_type, knocked_out)
    x = _measure(key_measure, expression, platform)
    problem = make_problem(
        x if counts else log_normalise(x), intervened=knocked_out, regime=regime
    )
    strength = jnp.where(graph, kinetics.strength, 0)
    return problem, GeneTruth(graph, strength, expression, cell_type, targets, regime)


def log_normalise(counts: Array) -> Array:
    """Log2 of counts per million, from 0 on and of unit standard deviation.

    Args:
      counts: ``[n, d]`` float, at least 0.

    Returns:
      ``[n, d]``: log2 of each cell's counts per million, less the smallest, over
      the standard deviation, both of all positive counts; 0 where the count is 0.

    Source: Lorch et al. 2022 (AVICI); log2(counts per million + 1) is not used, as
    it bends where counts are few.
    """
    positive = counts > 0
    library = jnp.maximum(counts.sum(axis=1, keepdims=True), 1e-6)
    level = jnp.log2(jnp.where(positive, counts, 1) / library * 1e6)
    low = jnp.where(positive, level, jnp.inf).min()
    num = jnp.maximum(positive.sum(), 1).astype(counts.dtype)
    mean = jnp.where(positive, level, 0).sum() / num
    variance = jnp.where(positive, (level - mean) ** 2, 0).sum() / num
    sd = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    return jnp.where(positive, (level - low) / sd, 0)


class _Kinetics(NamedTuple):
    strength: Array  # [d, d] float, below 0 for repression
    basal: Array  # [k, d] float, of master regulators by cell type
    half: Array  # [d] float, expression at which a gene has half its effect
    hill: Array  # []
    decay: Array  # []
    noise: Array  # []


def _draw_kinetics(key, graph, num_cell_types):
    keys = jax.random.split(key, 8)
    d = graph.shape[0]
    strength = jax.random.uniform(keys[0], (d, d), jnp.float32, *_STRENGTH)
    # A gene's own share of activation: Beta(1, 1) or Beta(1/2, 1/2) by table.
    uniform = jax.random.uniform(keys[1], (d, 1), jnp.float32)
    arcsine = jnp.sin(math.pi / 2 * uniform) ** 2
    share = jnp.where(jax.random.bernoulli(keys[2]), uniform, arcsine)
    activates = jax.random.uniform(keys[3], (d, d), jnp.float32) < share
    basal_shape = (num_cell_types, d)

    def one_of(key, values):
        return jax.random.choice(key, jnp.array(values, jnp.float32))

    kinetics = _Kinetics(
        strength=jnp.where(activates, strength, -strength),
        basal=jax.random.uniform(keys[4], basal_shape, jnp.float32, *_BASAL),
        half=jnp.ones(d, jnp.float32),
        hill=one_of(keys[5], _HILL),
        decay=one_of(keys[6], _DECAY),
        noise=one_of(keys[7], _NOISE),
    )
    _, half = _steady_state(graph, kinetics, kinetics.basal)
    return kinetics._replace(half=half)


def _hill(x, half, kinetics):
    """Share of the full effect, in [0, 1)."""
    power = (x / half) ** kinetics.hill
    return power / (1 + power)


def _rates(graph, kinetics, basal, shares):
    """Production of every gene, ``[n, d]``, where parents have such shares."""
    activation = jnp.where(graph, jnp.maximum(kinetics.strength, 0), 0)
    repression = jnp.where(graph, jnp.maximum(-kinetics.strength, 0), 0)
    regulated = matmul(shares, activation) + matmul(1 - shares, repression)
    return jnp.where(graph.any(axis=0)[None, :], regulated, basal)


def _steady_state(graph, kinetics, basal):
    """Expression without noise ``[n, d]``, and its mean over rows ``[d]``.

    Genes are filled parents first; the mean of a gene's parents is where they have
    half their effect.
    """

    def fill_gene(carry, j):
        shares, x, half = carry
        column = _rates(graph, kinetics, basal, shares)[:, j] / kinetics.decay
        share = _hill(column, column.mean(), kinetics)
        shares, x = shares.at[:, j].set(share), x.at[:, j].set(column)
        return (shares, x, half.at[j].set(column.mean())), None

    start = (jnp.zeros_like(basal), jnp.zeros_like(basal), kinetics.half)
    (_, x, half), _ = jax.lax.scan(fill_gene, start, topological_order(graph))
    return x, half


def _diffuse(key, graph, kinetics, cell_type, knocked_out):
    """The cells after all steps, ``[n, d]``, at least 0."""
    x, _ = _steady_state(graph, kinetics, kinetics.basal)
    basal = kinetics.basal[cell_type]
    kept = jnp.where(knocked_out, 0.0, 1.0).astype(jnp.float32)
    root_step = math.sqrt(_TIME_STEP)

    def step(x, t):
        made = _rates(
            graph, kinetics, basal, _hill(x, kinetics.half[None, :], kinetics)
        )
        made, lost = kept * made, kinetics.decay * x
        # Two independent noises of these variances are one of their sum.
        noise = jax.random.normal(jax.random.fold_in(key, t), x.shape, jnp.float32)
        noise = kinetics.noise * jnp.sqrt(made + lost) * noise
        return jnp.maximum(x + _TIME_STEP * (made - lost) + root_step * noise, 0), None

    x, _ = jax.lax.scan(step, kept * x[cell_type], jnp.arange(_NUM_STEPS))
    return x


def _measure(key, expression, platform):
    """Counts of molecules, ``[n, d]`` float."""
    n, d = expression.shape
    keys = jax.random.split(key, 5)
    x = expression
    if platform is not None:
        one = PLATFORMS[platform]
        outlier = jax.random.bernoulli(keys[0], one.outlier_prob, (d,))
        log_factor = jax.random.normal(keys[1], (d,), jnp.float32)
        log_factor = one.outlier_mean + one.outlier_sd * log_factor
        x = x * jnp.where(outlier, jnp.exp(log_factor), 1)[None, :]

        log_library = jax.random.normal(keys[2], (n, 1), jnp.float32)
        library = jnp.exp(one.library_mean + one.library_sd * log_library)
        total = x.sum(axis=1, keepdims=True)
        x = x * library / jnp.where(total > 0, total, 1)

        level = jnp.log1p(x)
        middle = jnp.percentile(level, one.dropout_percentile)
        seen = jax.nn.sigmoid(one.dropout_shape * (level - middle))
        x = jnp.where(jax.random.bernoulli(keys[3], seen), x, 0)
    return jax.random.poisson(keys[4], x).astype(jnp.float32)


def _knockouts(key, num_variables, num_knockouts):
    if num_knockouts == 0:
        return jnp.zeros((1, num_variables), bool)
    return draw_targets(key, num_variables, num_knockouts + 1, 1)


def _regimes(num_rows, num_knockouts, share):
    num_last = round(share * num_rows) if num_knockouts else 0
    last = jnp.sort(jnp.arange(num_last) % max(num_knockouts, 1)) + 1
    first = jnp.zeros(num_rows - num_last, jnp.int32)
    return jnp.concatenate([first, last.astype(jnp.int32)])
