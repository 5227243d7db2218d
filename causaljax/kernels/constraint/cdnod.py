"""CD-NOD: causes of which the mechanisms change from domain to domain.

A variable C, the domain, is added as the last one and causes what it is joined with:
variables whose mechanism changes. PC finds the graph with it, by a test that sees such
changes (Fisher's z of the domain's number does not). Where that leaves an edge between
two changing variables open, one more principle can tell its direction: mechanisms
change independently of each other, so that P(effect | cause) tells nothing of P(cause),
while P(cause | effect) and P(effect) depend on each other.

Source: Huang, Zhang, Zhang, Ramsey, Sanchez-Romero, Glymour and Schoelkopf 2020,
"Causal discovery from heterogeneous/nonstationary data". Their third phase embeds
conditional distributions by kernels; here each domain has a linear regression, whose
parameters are compared.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.types import Array
from causaljax.graphs import meek
from causaljax.graphs.marks import from_graph, to_graph
from causaljax.kernels.constraint import pc
from causaljax.kernels.constraint.questions import BATCHES, Test


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    ``search`` is that of PC. A mechanism is taken to depend on another one if the
    p-value of ``num_permutations`` permutations of the domains is below
    ``independent_change_alpha``.
    """

    search: pc.Config = dataclasses.field(default_factory=pc.Config)
    independent_change_alpha: float = option(0.05, above=0, below=1)
    num_permutations: int = option(999, least=19)


class Moments(NamedTuple):
    """Of each domain, as many rows as there are."""

    count: Array  # [k] float, rows by weight
    mean: Array  # [k, d] float
    covariance: Array  # [k, d, d] float, about the mean


class Sink(NamedTuple):
    """A variable that was asked whether it is the effect of its open neighbours."""

    variable: int
    causes: tuple[int, ...]  # open neighbours whose mechanism changes
    score: float  # dependence of its mechanism on the causes' distribution, 0 to 1
    p: float  # of the permutations
    taken: bool


class Found(NamedTuple):
    """What a search found."""

    marks: np.ndarray  # [d, d] int8, without the domain
    changing: np.ndarray  # [d] bool, variables that the domain is a cause of
    with_domain: pc.Found  # of the first two phases, the domain the last variable
    sinks: tuple[Sink, ...]  # as they were asked


def moments(x: Array, domain: Array, weight: Array, num_domains: int) -> Moments:
    """Means and covariances in each domain.

    Args:
      x: ``[n, d]`` float.
      domain: ``[n]`` int, from 0; rows of another number do not count.
      weight: ``[n]`` float.
      num_domains: k, static.

    Differentiable: in x and weight.
    """
    inside = domain[None] == jnp.arange(num_domains, dtype=domain.dtype)[:, None]
    inside = jnp.where(inside, weight[None], 0)
    count = inside.sum(axis=1)
    share = inside / jnp.maximum(count, 1e-30)[:, None]
    mean = matmul(share, x)
    centred = (x[None] - mean[:, None]) * jnp.sqrt(share)[:, :, None]
    return Moments(count, mean, matmul(centred.swapaxes(1, 2), centred))


def mechanism(given: Moments, child: Array, parents: Array) -> Array:
    """Parameters of a linear regression in each domain.

    Args:
      given: moments.
      child: ``[]`` int.
      parents: ``[d]`` bool.

    Returns:
      ``[k, d + 2]`` float: slopes, 0 for no parents; intercept; logarithm of the
      residual variance.
    """
    row, both = parents[None], parents[:, None] & parents[None]
    inner = jnp.where(both[None], given.covariance, 0)
    number = jnp.maximum(parents.sum(dtype=inner.dtype), 1)
    scale = jnp.trace(inner, axis1=1, axis2=2)[:, None] / number
    # Domains of few rows have singular covariances; others are one unit each.
    ridge = jnp.where(row, 1e-5 * scale, 1)
    inner = inner + ridge[:, :, None] * jnp.eye(len(parents), dtype=inner.dtype)[None]
    own = given.covariance[:, :, child]
    cross = jnp.where(row, own, 0)
    slopes = jnp.linalg.solve(inner, cross[:, :, None])[:, :, 0]
    variance = own[:, child]
    rest = variance - (slopes * cross).sum(axis=1)
    floor = 1e-5 * variance + 1e-30
    intercept = given.mean[:, child] - (slopes * given.mean).sum(axis=1)
    last = jnp.stack([intercept, jnp.log(jnp.maximum(rest, floor))], axis=1)
    return jnp.concatenate([slopes, last], axis=1)


def distribution(given: Moments, variables: Array) -> Array:
    """Parameters of a normal distribution in each domain.

    Args:
      given: moments.
      variables: ``[d]`` bool.

    Returns:
      ``[k, 2 d + d^2]`` float: means, logarithms of variances and Fisher's z of the
      correlations; 0 for other variables.
    """
    variance = jnp.diagonal(given.covariance, axis1=1, axis2=2)
    variance = jnp.maximum(variance, 1e-30)
    scale = jnp.sqrt(variance[:, :, None] * variance[:, None])
    apart = variables[:, None] & variables[None] & ~jnp.eye(len(variables), dtype=bool)
    correlation = jnp.where(apart[None], given.covariance / scale, 0)
    z = jnp.arctanh(jnp.clip(correlation, -0.999, 0.999))
    parts = [
        jnp.where(variables[None], given.mean, 0),
        jnp.where(variables[None], jnp.log(variance), 0),
        z.reshape(len(z), -1),
    ]
    return jnp.concatenate(parts, axis=1)


def dependence(first: Array, second: Array, permutations: Array) -> tuple[Array, Array]:
    """The normalised HSIC of two tables, and the p-value of permutations of the rows.

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) with Gaussian kernels of standardised
    columns, the median distance as width. The p-value is (1 + #{permuted >= real}) /
    (1 + permutations), so it is exact for any number of rows.

    Args:
      first: ``[k, p]`` float; a constant column does not count.
      second: ``[k, q]`` float.
      permutations: ``[m, k]`` int, of the rows.

    Returns:
      ``[]`` float in [0, 1], and ``[]`` float.

    Source: Gretton et al. 2005, "Measuring statistical dependence with Hilbert-Schmidt
    norms"; Cortes, Mohri and Rostamizadeh 2012 for the normalisation.
    """
    one, other = _centred_kernel(first), _centred_kernel(second)
    norm = jnp.sqrt((one**2).sum() * (other**2).sum())
    score = (one * other).sum() / jnp.maximum(norm, 1e-30)

    def permuted(order):
        return (one * other[order][:, order]).sum()

    # In turn: together they would hold m times k^2 numbers.
    null = jax.lax.map(permuted, permutations)
    real = (one * other).sum()
    above = (null >= real * (1 - 1e-6)).sum(dtype=score.dtype)
    return score, (1 + above) / (1 + len(permutations))


def _centred_kernel(table):
    mean, spread = table.mean(axis=0), table.std(axis=0)
    varies = spread > 1e-6 * jnp.abs(table).max(axis=0) + 1e-30
    table = jnp.where(varies[None], table - mean[None], 0)
    table = table / jnp.where(varies, spread, 1)[None]
    squared = ((table[:, None] - table[None]) ** 2).sum(axis=2)
    between = jnp.where(jnp.eye(len(table), dtype=bool), jnp.nan, squared)
    kernel = jnp.exp(-squared / jnp.maximum(jnp.nanmedian(between), 1e-30))
    kernel = kernel - kernel.mean(axis=0, keepdims=True)
    return kernel - kernel.mean(axis=1, keepdims=True)


@quick_jit(static_argnames="num_permutations")
def independent_change(
    key: Array,
    given: Moments,
    children: Array,
    causes: Array,
    parents: Array,
    num_permutations: int,
) -> tuple[Array, Array]:
    """Whether mechanisms change independently of their causes' distributions.

    Args:
      key: consumed; each child's permutations are the same.
      given: moments.
      children: ``[b]`` int.
      causes: ``[b, d]`` bool, whose distribution is compared.
      parents: ``[b, d]`` bool, what else a child is regressed on.
      num_permutations: static.

    Returns:
      ``[b]`` float scores and ``[b]`` float p-values, as of ``dependence``.
    """
    keys = jax.random.split(key, num_permutations)
    numbers = jnp.arange(len(given.count))
    orders = jax.vmap(lambda key: jax.random.permutation(key, numbers))(keys)

    def one(arguments):
        child, causes, parents = arguments
        first = mechanism(given, child, causes | parents)
        second = distribution(given, causes)
        return dependence(first, second, orders)

    return jax.lax.map(one, (children, causes, parents))


_moments = quick_jit(moments, static_argnames="num_domains")


def search(
    key: Array,
    test: Test,
    x: np.ndarray,
    domain: np.ndarray,
    config: Config,
    weight: np.ndarray | None = None,
    allowed: np.ndarray | None = None,
    required: np.ndarray | None = None,
    batches: Sequence[int] = BATCHES,
) -> Found:
    """Finds a graph and the variables whose mechanisms change.

    Directions that PC leaves open between changing variables are then told one sink
    after another: a variable is the effect of its open neighbours if its mechanism
    changes independently of their distribution, and if that is denied of each of these
    neighbours. Where it is denied of all or of none, edges stay open. A direction
    needs some 50 domains; of slow drifts, a few are one in effect.

    Args:
      key: of the permutations.
      test: of independence of d + 1 variables, the domain the last one.
      x: ``[n, d]`` float.
      domain: ``[n]`` int, from 0.
      config: settings.
      weight: ``[n]`` float; None is 1.
      allowed: ``[d, d]`` bool, False where an edge is forbidden; None is none.
      required: ``[d, d]`` bool, True where an edge is demanded; None is none.
      batches: as of ``pc.search``.

    Returns:
      The graph and what it rests on.
    """
    d = x.shape[1]
    free, demanded = pc.read_knowledge(d, allowed, required)
    inner = np.zeros((d + 1, d + 1), bool)
    inner[:d, :d], inner[d, :d] = free, True
    needed = np.pad(demanded, (0, 1))
    found = pc.search(test, d + 1, config.search, inner, needed, batches)
    graph = to_graph(found.marks)
    changing = graph[d, :d]
    noncolliders = found.verdicts.triples[found.verdicts.noncollider]
    weight = np.ones(len(x), x.dtype) if weight is None else weight
    given = _moments(x, domain, weight, num_domains=int(np.max(domain)) + 1)
    sinks = []
    while True:
        asked = _ask_sinks(key, given, graph[:d, :d], changing, config)
        p = {sink.variable: sink.p for sink in asked}
        alpha = config.independent_change_alpha
        fit = [
            sink
            for sink in asked
            if sink.p >= alpha
            and all(p[cause] < alpha for cause in sink.causes)
            and inner[list(sink.causes), sink.variable].all()
        ]
        best = min(fit, key=lambda sink: sink.score, default=None)
        sinks += [sink._replace(taken=sink is best) for sink in asked]
        if best is None:
            break
        graph[best.variable, list(best.causes)] = False
        graph = meek.close(graph, noncolliders, inner)
    return Found(
        marks=from_graph(graph[:d, :d]),
        changing=changing,
        with_domain=found,
        sinks=tuple(sinks),
    )


def _ask_sinks(key, given, graph, changing, config):
    """Every changing variable with open neighbours that change, asked."""
    causes = graph & graph.T & changing & changing[:, None]
    children = np.flatnonzero(causes.any(axis=1))
    if not len(children):
        return []
    d = len(graph)
    # All at once, padded, so that one program serves.
    asked = np.resize(children, d).astype(np.int32)
    parents = (graph & ~graph.T).T
    scores, p = independent_change(
        key,
        given,
        asked,
        causes[asked],
        parents[asked],
        num_permutations=config.num_permutations,
    )
    return [
        Sink(
            variable=child,
            causes=tuple(np.flatnonzero(causes[child]).tolist()),
            score=float(score),
            p=float(value),
            taken=False,
        )
        for child, score, value in zip(
            children.tolist(), np.asarray(scores), np.asarray(p), strict=False
        )
    ]
