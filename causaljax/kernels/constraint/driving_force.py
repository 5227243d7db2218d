"""What drives a changing mechanism: principal components of it over domains.

Of each domain c, the distribution of a variable given its parents is a point in the
space of a kernel. With K_c the kernel of the domains, K_p of the parents and K_x of the
variable, and * the elementwise product,

    R = (K_p * K_c + l I)^-1,
    <m_c, m_c'> = [K_c (K_p * (R K_x R)) K_c](c, c').

Principal components of these points are signals over the domains, of which the first
follows what drives the change. Domains are classes, which have nothing in common, or
numbers such as time, of which near ones are alike.

Source: Huang, Zhang, Zhang, Ramsey, Sanchez-Romero, Glymour and Schoelkopf 2020,
"Causal discovery from heterogeneous/nonstationary data", sections 4.2 and 5. Their
program has a matrix power of K_p, which told directions less often, and takes the
components of a Gaussian kernel of the points, which follow what drives them less well:
the points are in the space of a kernel already.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.compiling import quick_jit
from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.types import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernels.

    ``width`` is that of the kernels of variables, in standard deviations of each, times
    the root of their number; ``signal_width`` is the same for signals.
    ``domain_width`` is that of a domain that is a number, in standard deviations.
    ``ridge`` is l: of a domain of fewer rows than that, the distribution is drawn
    towards nothing. Of widths .3, 1 and 2 and ridges .1, 1 and 5, .3 and 1 told most
    directions of 20 domains of 20 rows, linear or tanh; signals followed means, slopes
    and spreads best with the width 1. ``most_rows`` bounds how many rows are read,
    evenly spread: the cost is cubic.
    """

    width: float = option(0.3, above=0)
    signal_width: float = option(1.0, above=0)
    domain_width: float = option(0.1, above=0)
    ridge: float = option(1.0, above=0)
    most_rows: int = option(1000, least=50)


class Signals(NamedTuple):
    """What drives a mechanism."""

    domains: np.ndarray  # [k], in rising order
    signals: np.ndarray  # [k, m] float, mean 0 and variance 1, the first drives most
    shares: np.ndarray  # [m] float, of the variance of the mechanism over domains


class Rows(NamedTuple):
    """What embeddings are made of."""

    columns: Any  # [d, n] float, standardised
    domain_kernel: Any  # [n, n] float
    to_points: Any  # [k, n] float, the kernel of the points and the rows


def read_rows(
    x: np.ndarray,
    domain: np.ndarray,
    config: Config,
    weight: np.ndarray | None = None,
    most_points: int = 100,
) -> tuple[Rows, np.ndarray]:
    """Standardises a table and takes the kernel of its domains.

    Args:
      x: ``[n, d]`` float.
      domain: ``[n]``; whole numbers (a numpy integer dtype) are classes, others are
        numbers.
      config: settings.
      weight: ``[n]`` float, rows of 0 do not count; None is 1.
      most_points: k if the domain is a number, where it has as many values: points
        between which there are equally many rows.

    Returns:
      The rows, and the domains ``[k]`` of the points.
    """
    counted = np.ones(len(x), bool) if weight is None else np.asarray(weight) > 0
    rows = np.flatnonzero(counted)
    rows = rows[np.argsort(domain[rows], kind="stable")]
    take = min(config.most_rows, len(rows))
    rows = rows[np.arange(take) * len(rows) // max(take, 1)]
    x, domain = np.asarray(x)[rows], np.asarray(domain)[rows]
    points = np.unique(domain)
    if np.issubdtype(domain.dtype, np.integer):
        between = points[:, None] == domain[None], domain[:, None] == domain[None]
        to_points, kernel = (part.astype(x.dtype) for part in between)
    else:
        most = min(most_points, len(points))
        points = points[np.arange(most) * len(points) // most]
        scale = config.domain_width * max(domain.std(), np.finfo(x.dtype).tiny)

        def gaussian(first):
            steps = (first[:, None] - domain[None]) / scale
            return np.exp(-(steps**2) / 2).astype(x.dtype)

        to_points, kernel = gaussian(points), gaussian(domain)
    spread = x.std(axis=0)
    varies = spread > 1e-6 * np.abs(x).max(axis=0, initial=0)
    columns = np.where(varies, x - x.mean(axis=0), 0) / np.where(varies, spread, 1)
    return Rows(columns.T, kernel, to_points), points


def products(
    rows: Rows, child: Array, parents: Array, width: ArrayLike, ridge: ArrayLike
) -> Array:
    """Inner products of a variable's mechanisms at the points.

    Args:
      rows: of ``read_rows``.
      child: ``[]`` int.
      parents: ``[d]`` bool; none for its distribution.
      width: ``[]`` float, as of ``Config``.
      ridge: ``[]`` float.

    Returns:
      ``[k, k]`` float, symmetric, positive semidefinite.

    Differentiable: in the rows' columns.
    """
    number = jnp.maximum(parents.sum(dtype=rows.columns.dtype), 1)
    given = jnp.where(parents[:, None], rows.columns, 0)
    given = _gaussian(given, width * jnp.sqrt(number))
    own = _gaussian(rows.columns[child][None], width)
    system = given * rows.domain_kernel
    system = system + ridge * jnp.eye(len(system), dtype=system.dtype)
    factor = jax.scipy.linalg.cho_factor(system, lower=True)
    half = jax.scipy.linalg.cho_solve(factor, own)
    inner = given * jax.scipy.linalg.cho_solve(factor, half.T)
    return matmul(matmul(rows.to_points, inner), rows.to_points.T)


def similarity(rows: Rows, child: Array, parents: Array, config: Config) -> Array:
    """The centred Gaussian kernel of a variable's mechanisms at the points.

    Arguments and answer are as of ``products``, the width that of ``centred_gaussian``.
    """
    inner = products(rows, child, parents, config.width, config.ridge)
    diagonal = jnp.diagonal(inner)
    squared = jnp.maximum(diagonal[:, None] + diagonal[None] - 2 * inner, 0)
    return centred_gaussian(squared)


def centred_gaussian(squared: Array) -> Array:
    """Gaussian kernel of squared distances, of the median as width, centred.

    Args:
      squared: ``[k, k]`` float.

    Returns:
      ``[k, k]`` float.
    """
    between = jnp.where(jnp.eye(len(squared), dtype=bool), jnp.nan, squared)
    return _centred(jnp.exp(-squared / jnp.maximum(jnp.nanmedian(between), 1e-30)))


def _centred(kernel):
    kernel = kernel - kernel.mean(axis=0, keepdims=True)
    return kernel - kernel.mean(axis=1, keepdims=True)


def _gaussian(columns, width):
    squared = ((columns[:, :, None] - columns[:, None]) ** 2).sum(axis=0)
    return jnp.exp(-squared / (2 * width**2))


@quick_jit(static_argnames="num_signals")
def components(kernel: Array, num_signals: int) -> tuple[Array, Array]:
    """Principal components of points.

    Args:
      kernel: ``[k, k]`` float, their inner products.
      num_signals: m, static, at most k.

    Returns:
      ``[k, m]`` float of mean 0 and variance 1, the largest absolute value positive;
      and ``[m]`` float, shares of variance in falling order.
    """
    kernel = _centred((kernel + kernel.T) / 2)
    values, vectors = jnp.linalg.eigh(kernel)
    values, vectors = values[::-1][:num_signals], vectors[:, ::-1][:, :num_signals]
    shares = jnp.maximum(values, 0) / jnp.maximum(jnp.trace(kernel), 1e-30)
    largest = jnp.argmax(jnp.abs(vectors), axis=0)
    signs = jnp.sign(jnp.take_along_axis(vectors, largest[None], axis=0))
    signals = vectors * signs * jnp.sqrt(jnp.asarray(len(kernel), vectors.dtype))
    return signals, shares


_products = quick_jit(products)


def driving_force(
    x: np.ndarray,
    domain: np.ndarray,
    child: int,
    parents: np.ndarray,
    config: Config,
    weight: np.ndarray | None = None,
    num_signals: int = 2,
    most_points: int = 200,
) -> Signals:
    """Signals that drive a mechanism over the domains.

    Args:
      x: ``[n, d]`` float.
      domain: ``[n]``, classes or numbers as of ``read_rows``.
      child: the variable.
      parents: ``[d]`` bool, its causes.
      config: settings.
      weight: ``[n]`` float, rows of 0 do not count; None is 1.
      num_signals: m, how many at most.
      most_points: of a domain that is a number, at how many values.

    Returns:
      The signals. Their signs are arbitrary, and so is what they are a function of:
      where a mean and a slope change together, the first signal follows both.

    Example: the mean of a variable follows a wave.
      >>> time = np.arange(200.0)
      >>> noise = np.random.default_rng(0).normal(size=200)
      >>> x = (np.sin(time / 15) + 0.3 * noise).astype(np.float32)[:, None]
      >>> found = driving_force(x, time, 0, np.array([False]), Config())
      >>> wave = np.sin(found.domains / 15)
      >>> bool(abs(np.corrcoef(found.signals[:, 0], wave)[0, 1]) > 0.9)
      True
    """
    rows, points = read_rows(x, domain, config, weight, most_points)
    kernel = _products(
        rows,
        np.int32(child),
        np.asarray(parents, bool),
        config.signal_width,
        config.ridge,
    )
    number = min(num_signals, len(points))
    signals, shares = components(kernel, num_signals=number)
    return Signals(points, np.asarray(signals), np.asarray(shares))
