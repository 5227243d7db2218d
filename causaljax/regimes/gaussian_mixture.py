"""Rows in groups of normal shape: where mixtures of regimes can begin.

Many small groups around means (k-means++) are made fewer while that gains marginal
likelihood under normal densities with a conjugate prior, and then fitted as a mixture.

Sources: Arthur and Vassilvitskii 2007 for the first means; Heller and Ghahramani 2005
for joining; Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution",
section 9, for the evidence.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import gammaln, multigammaln
from jax.typing import ArrayLike

from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.types import Array
from causaljax.regimes import merge

_PRECISION = 1e-3  # of a mean, in units of its group's precision
_SCATTER = 0.01  # of a group beforehand: a variance, of one row
_ROUNDS = 40  # of joining, at most
_LLOYD = 20  # iterations of k-means
_EM = 10  # iterations of the mixture
_LAST_ROUNDS = 2  # of joining, after those


def gaussian_mixture(
    key: Array,
    features: Array,
    x: Array,
    weight: Array,
    num_groups: int,
    most: int,
    concentration: ArrayLike,
    asked: ArrayLike = True,
    kept: ArrayLike | None = None,
) -> Array:
    """Responsibilities ``[n, most]`` of a mixture of normal densities of x.

    Args:
      key: consumed.
      features: ``[n, m]`` float, by which rows are grouped at first.
      x: ``[n, d]`` float.
      weight: ``[n]`` float, at least 0; rows of weight 0 move nothing.
      num_groups: at first, static.
      most: in the end, static; groups left over are empty.
      concentration: ``[]``, of a Dirichlet process over groups.
      kept: ``[]`` int, of ``most`` how many there can be, and in proportion at first;
        None: all.
      asked: ``[]`` bool; if not, groups are as good as none and take little time.
    """
    some = jnp.asarray(asked).astype(jnp.int32)
    kept = jnp.asarray(most if kept is None else kept).astype(jnp.int32)
    first, room = num_groups * kept // most, max(num_groups, most)
    group = _kmeans(key, features, weight, num_groups, first, some * _LLOYD)
    index = jnp.arange(room, dtype=jnp.int32)
    responsibilities = (group[:, None] == index[None, :]).astype(x.dtype)

    def join(carry):
        responsibilities, known, _, number = carry
        into, moves = merge.join(_gains(known, concentration))
        # Moments of groups add up.
        known = jax.tree.map(lambda leaf: merge.gather(into, leaf, axis=0), known)
        return merge.gather(into, responsibilities, axis=1), known, moves, number + 1

    def phase(number, responsibilities):
        """Groups join, and those that are kept are fitted; then they join again."""
        begins = number == 0
        rounds = jnp.where(begins, _ROUNDS, _LAST_ROUNDS).astype(jnp.int32)
        known = _moments(responsibilities * weight[:, None], x)
        # As local as the data, which shard_map asks of what a loop carries.
        moves = rounds + 0 * jnp.argmax(responsibilities[0]).astype(jnp.int32)
        carry = responsibilities, known, moves, 0 * rounds
        responsibilities, *_ = jax.lax.while_loop(
            lambda carry: (carry[2] > 0) & (carry[3] < rounds), join, carry
        )
        size = matmul(weight[None, :], responsibilities)[0]
        order = jnp.where(begins, jnp.argsort(-size).astype(jnp.int32), index)
        few = jnp.where((index < kept)[None, :], responsibilities[:, order], 0)[
            :, :most
        ]
        few = jax.lax.fori_loop(
            0,
            jnp.where(begins, _EM, 0),
            lambda _, few: _responsibilities(few * weight[:, None], x, kept),
            few,
        )
        return jnp.pad(few, ((0, 0), (0, room - most)))

    return jax.lax.fori_loop(0, 2 * some, phase, responsibilities)[:, :most]


def _kmeans(key, x, weight, num_groups, first, num_iterations):
    """The group of each row, ``[n]`` int32, of the ``first`` ``[]`` groups."""
    x = jnp.where((weight > 0)[:, None], x, 0)
    numbers = jnp.arange(num_groups, dtype=jnp.int32)

    def begin(nearest, number):
        # Cumulative sums and not categorical draws: padding must change nothing.
        part = jnp.cumsum(nearest * weight)
        drawn = jax.random.uniform(jax.random.fold_in(key, number), (), x.dtype)
        # The first that is beyond, or the last of any weight.
        mean = x[((part <= drawn * part[-1]) & (part < part[-1])).sum()]
        return jnp.minimum(nearest, ((x - mean[None, :]) ** 2).sum(axis=1)), mean

    # The first is drawn by weight alone.
    far = jnp.full_like(weight, 1e9)
    _, means = jax.lax.scan(begin, far, numbers)

    def member(means):
        square = (means**2).sum(axis=1)[None, :] - 2 * matmul(x, means.T)
        square = jnp.where((numbers < first)[None, :], square, jnp.inf)
        return jnp.argmin(square, axis=1).astype(jnp.int32)

    def iterate(_, carry):
        means, _ = carry
        group = member(means)
        mine = (group[:, None] == numbers[None, :]).astype(x.dtype) * weight[:, None]
        count = mine.sum(axis=0)[:, None]
        moved = matmul(mine.T, x) / jnp.maximum(count, 1e-6)
        return jnp.where(count > 0, moved, means), group

    # Groups are those of the means that are left; the last are moved for nothing.
    group = 0 * jnp.argmax(means[0]).astype(jnp.int32) + jnp.zeros(len(x), jnp.int32)
    return jax.lax.fori_loop(0, num_iterations + 1, iterate, (means, group))[1]


def _moments(each, x):
    """Counts ``[k]``, sums ``[k, d]`` and sums of squares ``[k, d, d]``."""
    squares = jax.lax.map(lambda w: matmul(x.T * w[None, :], x), each.T)
    return each.sum(axis=0), matmul(each.T, x), squares


def _scatter(count, total, square):
    """Of the normal-inverse-Wishart posterior, ``[..., d, d]``."""
    d = total.shape[-1]
    mean = total / (_PRECISION + count)[..., None]
    outer = total[..., :, None] * mean[..., None, :]
    eye = jnp.broadcast_to(jnp.eye(d, dtype=total.dtype), outer.shape)
    return square - outer + _SCATTER * eye


def _evidence(count, total, square):
    """Log marginal likelihood of a group's rows, but for 2 pi; nats."""
    d = total.shape[-1]
    root = jnp.linalg.cholesky(_scatter(count, total, square))
    log_det = 2 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    freedom = d + count
    value = -0.5 * freedom * log_det + multigammaln(freedom / 2, d)
    value = value + 0.5 * d * jnp.log(_PRECISION / (_PRECISION + count))
    # log Gamma_d(d / 2), which is the same for all.
    gamma = sum(math.lgamma((d - i) / 2) for i in range(d))
    gamma += d * (d - 1) / 4 * math.log(math.pi)
    nothing = 0.5 * d * d * math.log(_SCATTER) - gamma
    return value + nothing - 0.5 * d * count * math.log(math.pi)


def _gains(moments, concentration):
    """Of making two groups one, ``[k, k]``; -inf below the diagonal or if empty."""

    def of_pairs(one):
        # Pairs and itself in one call, and not side by side.
        both = jax.tree.map(
            lambda a, b: jnp.concatenate([a + b[None], b[None]]), moments, one
        )
        evidence = _evidence(*both)
        return evidence[:-1], evidence[-1]

    together, alone = map_factorisations(of_pairs, moments)
    count = moments[0]
    size = jnp.maximum(count, 1e-3)
    process = gammaln(size[:, None] + size[None, :]) - gammaln(size)[:, None]
    process = process - gammaln(size)[None, :] - jnp.log(concentration)
    gains = together - alone[:, None] - alone[None, :] + process
    index, there = jnp.arange(len(count)), count > 0.5
    able = (index[:, None] < index[None, :]) & there[:, None] & there[None, :]
    return jnp.where(able & jnp.isfinite(gains), gains, -jnp.inf)


def _responsibilities(each, x, kept):
    count, total, square = _moments(each, x)
    d = x.shape[1]
    mean = total / (_PRECISION + count)[:, None]
    cover = _scatter(count, total, square) / (count + d)[:, None, None]
    root = jnp.linalg.cholesky(cover)

    def log_density(mean, root):
        z = solve_triangular(root, (x - mean[None, :]).T, lower=True)
        return -0.5 * (z**2).sum(axis=0) - jnp.log(jnp.diagonal(root)).sum()

    density = jax.vmap(log_density, out_axes=1)(mean, root)
    joint = density + jnp.log(jnp.maximum(count, 1e-12))[None, :]
    index = jnp.arange(len(count), dtype=jnp.int32)
    joint = jnp.where((index < kept)[None, :], joint, -jnp.inf)
    return jax.nn.softmax(joint, axis=1)
