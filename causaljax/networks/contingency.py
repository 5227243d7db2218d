"""What the contingency table of two columns says: of classes, in any order of them.

Columns come as levels: classes, or numbers cut at quantiles. Every statistic is the
same if the classes of a column are numbered otherwise.

Sources: Goodman and Kruskal 1954 (lambda and tau); Greenacre 1984 (canonical scores of
classes); Kocaoglu et al. 2017 and Compton et al. 2022 (entropies of conditional laws
that give directions away); Liu and Chan 2016 (dependence between the law of a cause
and the conditional law of its effect).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.networks.columns import LEVELS

NUM_SCORES = 4
"""How many scores a class gets."""

NUM_STATISTICS = 21
"""The length of the last axis of ``class_statistics``."""

_EXPECTED = 2.0  # rows; associations of cells that expect fewer are shrunk in scores
_FULL = 1e-3  # what every direction of a column is worth, beside its associations


def joint_counts(level: Array, weight: Array, observed: Array, natural: Array) -> Array:
    """Rows by level of i and level of j, ``[d, L, d, L]`` at [i, a, j, b].

    Args:
      level: ``[n, d]`` int32.
      weight: ``[n]``.
      observed: ``[n, d]`` float.
      natural: ``[n, d]`` float, 0 where j was set from outside.

    Returns:
      Weighted counts over the rows in which i is observed and j is natural.
    """
    n, d = level.shape
    indicator = jax.nn.one_hot(level, LEVELS, dtype=observed.dtype)
    left = (indicator * observed[..., None]).reshape(n, -1)
    right = (indicator * (weight[:, None] * natural)[..., None]).reshape(n, -1)
    return matmul(left.T, right).reshape(d, LEVELS, d, LEVELS)


def joint_laws(counts: Array) -> tuple[Array, Array]:
    """Probabilities ``[d, d, L, L]`` of the levels of i and j, and rows ``[d, d]``."""
    tables = counts.transpose(0, 2, 1, 3)
    rows = tables.sum((-2, -1))
    return tables / jnp.maximum(rows, 1e-6)[..., None, None], rows


def _residuals(laws):
    """(P_ab - p_a p_b) / sqrt(p_a p_b): their squares sum to chi-square over rows."""
    left, right = laws.sum(-1)[..., None], laws.sum(-2)[..., None, :]
    expected = left * right
    scale = jax.lax.rsqrt(jnp.maximum(expected, 1e-12))
    return jnp.where(expected > 0, (laws - expected) * scale, 0), expected


def optimal_scores(laws: Array, rows: Array) -> Array:
    """Numbers for the classes of each column, by what else the classes tell.

    The leading eigenvectors of sum_i R_ij^T R_ij, where R_ij are the standardised
    residuals of the contingency table of i and j, are the scores of j that correlate
    most with the other columns. They have mean 0, variance 1 and no correlation over
    the rows of j; the sign is that of their third moment. Other names of the classes
    permute the scores.

    Args:
      laws: ``[d, d, L, L]``, of ``joint_laws``.
      rows: ``[d, d]``.

    Returns:
      ``[d, NUM_SCORES, L]``; 0 where a column has too few classes.
    """
    d = laws.shape[0]
    residuals, expected = _residuals(laws)
    expected = expected * rows[..., None, None]
    residuals = residuals * jnp.sqrt(expected / (expected + _EXPECTED))
    off = ~jnp.eye(d, dtype=bool)[..., None, None]
    residuals = jnp.where(off, residuals, 0)
    worth = jnp.einsum("ijab,ijac->jbc", residuals, residuals, precision="highest")
    own = jnp.arange(d)
    share = jnp.diagonal(laws[own, own], axis1=-2, axis2=-1)  # [j, b]
    root = jnp.sqrt(share)
    present = (share > 0).astype(share.dtype)
    space = jnp.eye(LEVELS, dtype=share.dtype)[None] * present[:, :, None]
    space = space - root[:, :, None] * root[:, None, :]
    worth = worth + _FULL * space

    def next_score(space, _):
        inside = _sandwich(space, worth)
        power = inside
        for _ in range(7):
            size = jnp.maximum(jnp.trace(power, axis1=-2, axis2=-1), 1e-20)
            power = power / size[:, None, None]
            power = matmul(power, power)
        power = matmul(space, power)
        best = jnp.argmax(jnp.diagonal(power, axis1=-2, axis2=-1), -1)
        vector = jnp.take_along_axis(power, best[:, None, None], -1)[..., 0]
        length = jnp.sqrt(jnp.sum(vector**2, -1, keepdims=True))
        left = jnp.trace(space, axis1=-2, axis2=-1)[:, None] > 0.5
        vector = jnp.where(left, vector / jnp.maximum(length, 1e-20), 0)
        space = space - vector[:, :, None] * vector[:, None, :]
        return space, vector

    vectors = jax.lax.scan(next_score, space, None, length=NUM_SCORES)[1]
    scores = vectors * jnp.where(root > 0, 1 / jnp.maximum(root, 1e-6), 0)[None]
    lean = jnp.sum(share[None] * scores**3, -1, keepdims=True)
    return (scores * jnp.where(lean < 0, -1, 1)).transpose(1, 0, 2)


def _sandwich(outer, inner):
    return matmul(matmul(outer, inner), outer)


def class_statistics(laws: Array, rows: Array, values: Array) -> Array:
    """How the levels of j depend on those of i.

    Args:
      laws: ``[d, d, L, L]``, of ``joint_laws``.
      rows: ``[d, d]``.
      values: ``[d, L]``, a number for each level, of mean 0 and variance 1.

    Returns:
      ``[d, d, NUM_STATISTICS]``: the first canonical correlation, Cramer's V, the
      share of the first canonical correlation, chi-square in standard errors, mutual
      information (two scales), entropies of i, of j and of j given i, lambda, tau;
      of the conditional laws of j: how far the greatest entropy is above the mean,
      spread of entropies, their
      correlation with the probability of i's level, distance between them up to
      relabelling; of j's values given i: correlation ratio and what it has beyond the
      squared correlation, spread of variances, mean and spread of skewness; the least
      chi-square given a third column.
    """
    left, right = laws.sum(-1), laws.sum(-2)
    levels_i = (left > 0).sum(-1).astype(laws.dtype)
    levels_j = (right > 0).sum(-1).astype(laws.dtype)
    freedom = jnp.maximum((levels_i - 1) * (levels_j - 1), 0)
    residuals, _ = _residuals(laws)
    square = jnp.sum(residuals**2, (-2, -1))
    largest = _largest_eigenvalue(residuals)
    narrow = jnp.maximum(jnp.minimum(levels_i, levels_j) - 1, 1)
    chi_square = (rows * square - freedom) / jnp.sqrt(jnp.maximum(2 * freedom, 1))

    entropy_i, entropy_j = entr(left).sum(-1), entr(right).sum(-1)
    together = entr(laws).sum((-2, -1))
    # A table of independent columns has so much by chance.
    chance = freedom / (2 * jnp.maximum(rows, 1))
    information = entropy_i + entropy_j - together - chance
    given = together - entropy_i

    most = right.max(-1)
    lambda_ = (laws.max(-1).sum(-1) - most) / jnp.maximum(1 - most, 1e-3)
    inverse = jnp.where(left > 0, 1 / jnp.maximum(left, 1e-6), 0)
    gini = jnp.sum(right**2, -1)
    tau = jnp.sum(laws**2 * inverse[..., None], (-2, -1)) - gini
    tau = tau / jnp.maximum(1 - gini, 1e-3)

    conditional = laws * inverse[..., None]  # [i, j, a, b]
    entropies = entr(conditional).sum(-1)  # [i, j, a]
    # Levels of few rows have low entropies by chance.
    enough = jnp.minimum(rows[..., None] * left / 20, 1)
    mass = left * enough
    mass = mass / jnp.maximum(mass.sum(-1, keepdims=True), 1e-6)

    def mean(of_level):
        return jnp.sum(mass * of_level, -1)

    centre = mean(entropies)
    spread = jnp.sqrt(mean((entropies - centre[..., None]) ** 2) + 1e-9)
    highest = jnp.max(jnp.where(enough > 0.5, entropies, 0), -1) - centre
    frequency = left - mean(left)[..., None]
    size = jnp.sqrt(mean(frequency**2) + 1e-6)
    lean = mean(frequency * entropies) / (size * jnp.maximum(spread, 1e-2))
    ranked = jnp.sort(conditional, -1)
    typical = jnp.sum(mass[..., None] * ranked, -2, keepdims=True)
    unlike = jnp.sqrt(mean(jnp.sum((ranked - typical) ** 2, -1)) + 1e-9)

    of_i, of_j = values[:, None, :], values[None, :, None, :]
    location = jnp.sum(conditional * of_j, -1)  # [i, j, a]
    around = of_j - location[..., None]
    variance = jnp.sum(conditional * around**2, -1)
    third = jnp.sum(conditional * around**3, -1)
    total = jnp.maximum(mean(location**2) + mean(variance), 1e-3)
    ratio = jnp.maximum(mean(location**2) - mean(location) ** 2, 0) / total
    linear = jnp.sum(left * of_i * location, -1) ** 2 / total
    typical_variance = jnp.maximum(mean(variance), 1e-3)
    unequal = mean((variance / typical_variance[..., None] - 1) ** 2)
    skewness = third / jnp.maximum(typical_variance[..., None], 1e-2) ** 1.5
    skewness = jnp.clip(skewness, -4, 4)
    typical_skewness = mean(skewness)
    skewed = jnp.sqrt(mean((skewness - typical_skewness[..., None]) ** 2) + 1e-9)

    least = _given_one(residuals)
    return jnp.stack([
        3 * jnp.sqrt(largest), 3 * jnp.sqrt(square / narrow + 1e-9),
        largest / jnp.maximum(square, 1e-4), jnp.arcsinh(chi_square),
        jnp.arcsinh(10 * information), jnp.arcsinh(rows * information / 4),
        entropy_i, entropy_j, given, 3 * lambda_, 3 * tau,
        2 * highest, 4 * spread, lean, 5 * unlike,
        3 * ratio, 5 * (ratio - linear), jnp.sqrt(unequal + 1e-9),
        typical_skewness, skewed,
        jnp.arcsinh((rows * least - freedom) / jnp.sqrt(jnp.maximum(2 * freedom, 1))),
    ], -1)  # fmt: skip


def _largest_eigenvalue(residuals):
    """Of R^T R, by squaring: no call of LAPACK, whose turns would have to be taken."""
    square = matmul(residuals.swapaxes(-1, -2), residuals)
    size = jnp.trace(square, axis1=-2, axis2=-1)
    power = square / jnp.maximum(size, 1e-12)[..., None, None]
    log_trace = jnp.zeros_like(size)
    exponent = 1.0
    for _ in range(5):
        power = matmul(power, power)
        exponent *= 2
        step = jnp.maximum(jnp.trace(power, axis1=-2, axis2=-1), 1e-20)
        power = power / step[..., None, None]
        log_trace = 2 * log_trace + jnp.log(step)
    return jnp.where(size > 1e-9, size * jnp.exp(log_trace / exponent), 0)


def _given_one(residuals):
    """The least squared association of i and j given a third column k, ``[d, d]``.

    The whitened levels of k are regressed out of those of i and j; that this makes
    i and j smaller is left out of account.
    """
    d = residuals.shape[0]
    plain = jnp.sum(residuals**2, (-2, -1))
    index = jnp.arange(d)

    def step(least, k):
        to_k = residuals[:, k]  # [i, a, c]
        from_k = residuals[k]  # [j, c, b]
        through = jnp.einsum("iac,jcb->ijab", to_k, from_k)
        partial = jnp.sum((residuals - through) ** 2, (-2, -1))
        valid = (index != k)[:, None] & (index != k)[None]
        return jnp.where(valid, jnp.minimum(least, partial), least), None

    return jax.lax.scan(step, plain, index)[0]
