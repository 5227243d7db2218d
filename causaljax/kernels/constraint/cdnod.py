"""CD-NOD: causes of which the mechanisms change from domain to domain.

A variable C, the domain, is added as the last one and causes what it is joined with:
variables whose mechanism changes. PC finds the graph with it, by a test that sees such
changes (Fisher's z of the domain's number does not). Where that leaves an edge between
two changing variables open, one more principle can tell its direction: mechanisms
change independently of each other, so that P(effect | cause) tells nothing of P(cause),
while P(cause | effect) and P(effect) depend on each other. Two scores measure that.

**Regression.** Each domain has a linear regression of the effect on the cause and other
variables z, and one of the cause on z. With D the parameters of the latter (slopes,
intercept, log residual variance), M those of the former without z's share in the cause,
D' and M' the same with cause and effect exchanged, (D, M) and (D', M') are functions of
each other. If D and M are independent and normal over the k domains,

    k (H(D') + H(M') + E log v - H(D) - H(M) - E log v')

is the logarithm of the likelihood ratio of the two directions, in nats. H is the
entropy of a normal distribution, v the residual variance of the effect given cause and
z, v' that of the cause given effect and z: the volume by which parameters map to each
other.
Whether D and M are independent is tested by joining the D of some domains and the M of
others: that changes the ratio little if they are.

**Kernel.** The dependence, over domains, of the embeddings of the two conditional
distributions (``driving_force.similarity``) is compared with that of the reverse, in
standard deviations of what permuted domains give. It needs no straight lines and more
domains; a number such as time is not cut into domains, and is not permuted but shifted
along a circle.

Source: Huang, Zhang, Zhang, Ramsey, Sanchez-Romero, Glymour and Schoelkopf 2020,
"Causal discovery from heterogeneous/nonstationary data", for all but the regression
score, which is ours.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.compiling import quick_jit
from causaljax.core.linalg import map_factorisations, matmul
from causaljax.core.options import option
from causaljax.core.types import Array
from causaljax.graphs import meek
from causaljax.graphs.marks import from_graph, to_graph
from causaljax.kernels.constraint import driving_force, pc
from causaljax.kernels.constraint.questions import BATCHES, Test

SCORES = ("regression", "kernel")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the search.

    ``search`` is that of PC. ``direction_score`` is "regression" or "kernel", whose
    settings are ``kernels``. A direction is told if the score is large enough and the
    p-value of the reverse, of ``num_permutations`` permutations of the domains, is
    below ``independent_change_alpha``. The regression score must be at least
    ``least_regression_score`` log k nats of k domains, and its own p-value at least
    ``independent_change_alpha``. The kernel score must be at least
    ``least_kernel_score``, in standard deviations of permuted scores. (Its own p-value
    does not count: of 20 domains of 20 rows, embeddings of independent mechanisms
    depended on each other in 95 of 100 tables.)
    """

    search: pc.Config = dataclasses.field(default_factory=pc.Config)
    direction_score: str = option("regression", choices=SCORES)
    independent_change_alpha: float = option(0.05, above=0, below=1)
    least_regression_score: float = option(1.0, least=0)
    least_kernel_score: float = option(2.0, least=0)
    num_permutations: int = option(199, least=19)
    kernels: driving_force.Config = dataclasses.field(
        default_factory=driving_force.Config
    )


class Direction(NamedTuple):
    """Whether one changing variable is a cause of another one, asked once."""

    cause: int
    effect: int
    given: tuple[int, ...]  # what both were regressed on besides
    score: float  # above 0 if for this direction; nats, or standard deviations
    p: float  # of the mechanisms' independence if this is the direction
    p_reverse: float  # of the same if the reverse is
    told: bool  # the evidence is enough
    taken: bool  # the edge was directed so


class Found(NamedTuple):
    """What a search found."""

    marks: np.ndarray  # [d, d] int8, without the domain
    changing: np.ndarray  # [d] bool, variables that the domain is a cause of
    with_domain: pc.Found  # of the first two phases, the domain the last variable
    directions: tuple[Direction, ...]  # as they were asked


def cut(domain: np.ndarray, num_domains: int | None = None) -> np.ndarray:
    """Numbers such as time as classes of about equally many rows.

    Args:
      domain: ``[n]`` float.
      num_domains: how many at most; None is the root of the number of rows. Equal
        numbers share a class, so there may be fewer.

    Returns:
      ``[n]`` int32, from 0, rising with the domain.

    Example:
      >>> cut(np.array([0.3, 0.1, 0.2, 0.1, 5.0, 0.9]), 3).tolist()
      [1, 0, 1, 0, 2, 2]
    """
    domain = np.asarray(domain)
    if num_domains is None:
        num_domains = max(round(len(domain) ** 0.5), 2)
    ordered = np.sort(domain)
    place = np.searchsorted(ordered, domain, side="left")
    classes = place * num_domains // max(len(domain), 1)
    return np.unique(classes, return_inverse=True)[1].astype(np.int32)


class Moments(NamedTuple):
    """Of each domain, as many rows as there are."""

    count: Array  # [k] float, rows by weight
    mean: Array  # [k, d] float
    covariance: Array  # [k, d, d] float, about the mean


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


class Pair(NamedTuple):
    """Regressions of two variables on others, and of the second on the first.

    These are moments of two residuals, and lines: a slope for each other variable and
    an intercept.
    """

    first: Array  # [k, d + 1] float, the line of the first
    second: Array  # [k, d + 1] float
    first_variance: Array  # [k] float
    second_variance: Array  # [k] float
    covariance: Array  # [k] float

    def reversed(self):
        """The same with the two exchanged."""
        return Pair(
            self.second,
            self.first,
            self.second_variance,
            self.first_variance,
            self.covariance,
        )


def regress(given: Moments, first: Array, second: Array, others: Array) -> Pair:
    """Regressions in each domain.

    Args:
      given: moments.
      first: ``[]`` int.
      second: ``[]`` int.
      others: ``[d]`` bool.

    Returns:
      The regressions; slopes are 0 for what is no other variable.
    """
    row, both = others[None], others[:, None] & others[None]
    inner = jnp.where(both[None], given.covariance, 0)
    number = jnp.maximum(others.sum(dtype=inner.dtype), 1)
    scale = jnp.trace(inner, axis1=1, axis2=2)[:, None] / number
    # Domains of few rows have singular covariances; others are one unit each.
    ridge = jnp.where(row, 1e-5 * scale, 1)
    inner = inner + ridge[:, :, None] * jnp.eye(len(others), dtype=inner.dtype)[None]
    pair = jnp.stack([first, second])
    cross = jnp.where(others[None, :, None], given.covariance[:, :, pair], 0)
    slopes = jnp.linalg.solve(inner, cross)
    whole = given.covariance[:, pair[:, None], pair[None]]
    rest = whole - matmul(cross.swapaxes(1, 2), slopes)
    floor = 1e-5 * jnp.diagonal(whole, axis1=1, axis2=2) + 1e-30
    variance = jnp.maximum(jnp.diagonal(rest, axis1=1, axis2=2), floor)
    intercept = given.mean[:, pair] - (slopes * given.mean[:, :, None]).sum(axis=1)
    lines = jnp.concatenate([slopes, intercept[:, None]], axis=1)
    # Of a line through few rows, so much is left at least.
    most = (1 - 1e-5) * jnp.sqrt(variance[:, 0] * variance[:, 1])
    covariance = jnp.clip(rest[:, 0, 1], -most, most)
    return Pair(
        lines[:, :, 0], lines[:, :, 1], variance[:, 0], variance[:, 1], covariance
    )


def modules(pair: Pair) -> tuple[Array, Array]:
    """Parameters of the first's distribution, and of the second's given the first.

    Args:
      pair: of ``regress``.

    Returns:
      ``[k, d + 2]`` float: slopes, intercept and logarithm of the variance; and
      ``[k, d + 3]`` float: the slope on the first, then the same of the second.
    """
    slope = pair.covariance / pair.first_variance
    line = pair.second - slope[:, None] * pair.first
    rest = pair.second_variance - slope * pair.covariance
    return (
        jnp.concatenate([pair.first, jnp.log(pair.first_variance)[:, None]], axis=1),
        jnp.concatenate([slope[:, None], line, jnp.log(rest)[:, None]], axis=1),
    )


def joined(first: Array, second: Array) -> Pair:
    """The pair that has these modules, the inverse of ``modules``."""
    variance, slope = jnp.exp(first[:, -1]), second[:, 0]
    return Pair(
        first[:, :-1],
        second[:, 1:-1] + slope[:, None] * first[:, :-1],
        variance,
        slope**2 * variance + jnp.exp(second[:, -1]),
        slope * variance,
    )


def log_ratio(pair: Pair, able: Array) -> Array:
    """The regression score of first -> second.

    Args:
      pair: of ``regress``.
      able: ``[k]`` bool, False for domains that do not count.

    Returns:
      ``[]`` float, nats.

    Differentiable: in pair.
    """
    number = jnp.maximum(able.sum(dtype=pair.covariance.dtype), 1)
    lengths = []
    for one in (pair, pair.reversed()):
        own, child = modules(one)
        volume = jnp.where(able, child[:, -1], 0).sum() / number
        lengths.append(_entropy(own, able) + _entropy(child, able) - volume)
    # Each direction's volume belongs to the other one: exchanged, so is the sign.
    return number * (lengths[1] - lengths[0])


def _entropy(table, able):
    """Of a normal distribution, up to a constant.

    Correlations are drawn towards 0, as by p + 1 more rows that have none: k domains
    estimate p (p - 1) / 2 of them.
    """
    number = jnp.maximum(able.sum(dtype=table.dtype), 1)
    mean = jnp.where(able[:, None], table, 0).sum(axis=0) / number
    table = jnp.where(able[:, None], table - mean[None], 0)
    spread = jnp.sqrt((table**2).sum(axis=0) / number)
    varies = spread > 1e-6
    table = table / jnp.where(varies, spread, 1)[None]
    size = varies.sum(dtype=table.dtype)
    correlation = matmul(table.T, table) / (number + size + 1)
    eye = jnp.eye(len(varies), dtype=bool)
    correlation = jnp.where(eye, 1, correlation)
    root = jnp.linalg.cholesky(correlation)
    spreads = jnp.log(jnp.where(varies, spread, 1)).sum()
    return spreads + jnp.log(jnp.diagonal(root)).sum()


def dependence(
    one: Array, other: Array, permutations: Array
) -> tuple[Array, Array, Array]:
    """The normalised HSIC of two kernels, and what permutations of the rows make of it.

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)). The p-value is (1 + #{permuted >= real}) /
    (1 + permutations), so it is exact for any number of rows.

    Args:
      one: ``[k, k]`` float, centred.
      other: ``[k, k]`` float, centred.
      permutations: ``[m, k]`` int, of the rows.

    Returns:
      ``[]`` float in [0, 1]; the p-value, ``[]`` float; and the standard deviation of
      the permuted scores, ``[]`` float.

    Source: Gretton et al. 2005, "Measuring statistical dependence with Hilbert-Schmidt
    norms"; Cortes, Mohri and Rostamizadeh 2012 for the normalisation.
    """
    norm = jnp.maximum(jnp.sqrt((one**2).sum() * (other**2).sum()), 1e-30)
    real = (one * other).sum()

    def permuted(order):
        return (one * other[order][:, order]).sum()

    # In turn: together they would hold m times k^2 numbers.
    null = jax.lax.map(permuted, permutations)
    above = (null >= real * (1 - 1e-6)).sum(dtype=real.dtype)
    p = (1 + above) / (1 + len(permutations))
    return real / norm, p, null.std() / norm


class Evidence(NamedTuple):
    """Of directions between pairs."""

    score: ArrayLike  # [b] float, above 0 if for first -> second
    p: ArrayLike  # [b] float, of independence if the direction is first -> second
    p_reverse: ArrayLike  # [b] float


@quick_jit
def regression_evidence(
    given: Moments, draws: Array, first: Array, second: Array, others: Array
) -> Evidence:
    """The regression score of pairs, and p-values of permutations.

    Args:
      given: moments.
      draws: ``[m, k]`` float, random numbers from 0 to 1 that permute the domains.
      first: ``[b]`` int.
      second: ``[b]`` int.
      others: ``[b, d]`` bool, what both are regressed on. Domains that have no more
        than a row more than a line of all has slopes and intercept do not count.

    Returns:
      The evidence; scores are 0 and p-values 1 where less than 4 domains count.
    """

    def one(arguments):
        first, second, others = arguments
        able = given.count > others.sum(dtype=given.count.dtype) + 3
        enough = able.sum() > 3
        pair = regress(given, first, second, others)
        # Domains that count change places with each other.
        places = jnp.argsort(~able, stable=True)
        moved = jnp.argsort(jnp.where(able[None], draws, 2), axis=1)
        orders = jnp.zeros_like(moved).at[:, places].set(moved)
        answers = []
        for pair_ in (pair, pair.reversed()):
            own, child = modules(pair_)
            real = log_ratio(pair_, able)

            def permuted(order, own=own, child=child):
                return log_ratio(joined(own, child[order]), able)

            null = jax.lax.map(permuted, orders)
            below = (null <= real).sum(dtype=real.dtype)
            answers += [real, (1 + below) / (1 + len(draws))]
        score, p, _, p_reverse = (jnp.where(enough, answer, 1) for answer in answers)
        return Evidence(jnp.where(enough, score, 0), p, p_reverse)

    return map_factorisations(one, (first, second, others))


@quick_jit
def kernel_evidence(
    rows: driving_force.Rows,
    first: Array,
    second: Array,
    others: Array,
    permutations: Array,
    config: driving_force.Config,
) -> Evidence:
    """The kernel score of pairs, and p-values of permutations.

    Args:
      rows: of ``driving_force.read_rows``.
      first: ``[b]`` int.
      second: ``[b]`` int.
      others: ``[b, d]`` bool, on which both depend besides.
      permutations: ``[m, k]`` int, of the points.
      config: settings of the kernels.

    Returns:
      The evidence.
    """
    numbers = jnp.arange(len(rows.columns))

    def one(arguments):
        first, second, others = arguments
        kernels = [
            driving_force.similarity(rows, child, parents, config)
            for child, parents in (
                (first, others),
                (second, others | (numbers == first)),
                (second, others),
                (first, others | (numbers == second)),
            )
        ]
        own, p, spread = dependence(kernels[0], kernels[1], permutations)
        reverse, p_reverse, other = dependence(kernels[2], kernels[3], permutations)
        # In units of chance, which do not depend on the number of domains.
        unit = jnp.sqrt((spread**2 + other**2) / 2)
        return Evidence((reverse - own) / jnp.maximum(unit, 1e-30), p, p_reverse)

    return map_factorisations(one, (first, second, others))


_moments = quick_jit(moments, static_argnames="num_domains")


def evidence_of(
    key: Array,
    x: np.ndarray,
    domain: np.ndarray,
    config: Config,
    weight: np.ndarray | None = None,
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Evidence]:
    """Prepares the score that a config asks for.

    Args:
      key: of the permutations.
      x: ``[n, d]`` float.
      domain: ``[n]``; whole numbers are classes from 0, others are numbers.
      config: settings.
      weight: ``[n]`` float; None is 1.

    Returns:
      A function of ``(first [b], second [b], others [b, d])``, as of
      ``regression_evidence`` and ``kernel_evidence``.
    """
    x, domain = np.asarray(x), np.asarray(domain)
    weight = np.ones(len(x), x.dtype) if weight is None else np.asarray(weight, x.dtype)
    classes = np.issubdtype(domain.dtype, np.integer)
    if config.direction_score == "kernel":
        rows, points = driving_force.read_rows(x, domain, config.kernels, weight)
        if classes:
            draws = jax.random.uniform(key, (config.num_permutations, len(points)))
            orders = np.argsort(np.asarray(draws), axis=1)
        else:  # neighbours stay neighbours
            orders = np.arange(len(points))
            orders = (orders[1:, None] + orders[None]) % len(points)
        return functools.partial(
            kernel_evidence,
            rows,
            permutations=orders.astype(np.int32),
            config=config.kernels,
        )
    domain = domain if classes else cut(domain)
    counted = (weight > 0)[:, None]
    total = max(weight.sum(), 1)
    x = np.where(counted, x, 0)
    x = np.where(counted, x - weight @ x / total, 0)
    spread = np.sqrt(weight @ x**2 / total)
    x = (x / np.where(spread > 0, spread, 1)).astype(weight.dtype)
    k = int(domain.max(initial=0)) + 1
    given = _moments(x, domain, weight, num_domains=k)
    draws = np.asarray(jax.random.uniform(key, (config.num_permutations, k)))
    return functools.partial(regression_evidence, given, draws)


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
    after another. A variable is the effect of its open neighbours if, of each of them
    and given the others and its known causes, this direction is told and not denied:
    see ``Config``. If all of no variable's are, edges stay open. A direction needs some
    20 domains, and of slow drifts a few are one in effect.

    Args:
      key: of the permutations.
      test: of independence of d + 1 variables, the domain the last one.
      x: ``[n, d]`` float.
      domain: ``[n]``; whole numbers (a numpy integer dtype) are classes from 0, others
        are numbers such as time.
      config: settings.
      weight: ``[n]`` float; None is 1.
      allowed: ``[d + 1, d + 1]`` bool, False where an edge is forbidden, the domain the
        last variable; None is none. No edge points at the domain in any case.
      required: ``[d + 1, d + 1]`` bool, True where an edge is demanded; None is none.
      batches: as of ``pc.search``.

    Returns:
      The graph and what it rests on.
    """
    d = x.shape[1]
    inner, needed = pc.read_knowledge(d + 1, allowed, required)
    inner[:, d] = False
    found = pc.search(test, d + 1, config.search, inner, needed, batches)
    graph = to_graph(found.marks)
    changing = graph[d, :d]
    noncolliders = found.verdicts.triples[found.verdicts.noncollider]
    evidence, directions = None, []
    while True:
        graph_of = graph[:d, :d]
        between = graph_of & graph_of.T & changing & changing[:, None]
        if not between.any():
            break
        if evidence is None:
            evidence = evidence_of(key, x, domain, config, weight)
        asked = _ask_directions(evidence, between, graph_of, domain, config)
        scores = {}
        for one in asked:
            fits = one.told and inner[one.cause, one.effect]
            score = one.score if fits else -np.inf
            scores[one.effect] = min(scores.get(one.effect, np.inf), score)
        best = max(scores, key=scores.__getitem__)
        done = scores[best] == -np.inf
        directions += [
            one._replace(taken=not done and one.effect == best) for one in asked
        ]
        if done:
            break
        graph[best, :d] &= ~between[best]
        graph = meek.close(graph, noncolliders, inner)
    return Found(
        marks=from_graph(graph[:d, :d]),
        changing=changing,
        with_domain=found,
        directions=tuple(directions),
    )


def is_told(evidence: Evidence, domain: np.ndarray, config: Config) -> np.ndarray:
    """Whether evidence is enough for first -> second, as ``Config`` says.

    Args:
      evidence: of the score that the config asks for.
      domain: ``[n]``, as of ``search``.
      config: settings.

    Returns:
      ``[b]`` bool.
    """
    alpha, score = config.independent_change_alpha, np.asarray(evidence.score)
    told = (score > 0) & (np.asarray(evidence.p_reverse) < alpha)
    if config.direction_score == "kernel":
        return told & (score >= config.least_kernel_score)
    domain = np.asarray(domain)
    domain = domain if np.issubdtype(domain.dtype, np.integer) else cut(domain)
    least = config.least_regression_score * np.log(len(np.unique(domain)))
    return told & (score >= least) & (np.asarray(evidence.p) >= alpha)


def _ask_directions(evidence, between, graph, domain, config):
    """Every changing variable's open neighbours that change, as its causes."""
    effect, cause = np.nonzero(between)
    others = between[effect] | (graph & ~graph.T).T[effect]
    others[np.arange(len(cause)), cause] = False
    # Few sizes, so that few programs are compiled.
    size = 1 << (len(cause) - 1).bit_length()
    take = np.arange(size) % len(cause)
    answer = evidence(
        cause[take].astype(np.int32), effect[take].astype(np.int32), others[take]
    )
    score, p, p_reverse = (np.asarray(part, float)[: len(cause)] for part in answer)
    told = is_told(Evidence(score, p, p_reverse), domain, config)
    return [
        Direction(
            cause=int(cause[k]),
            effect=int(effect[k]),
            given=tuple(np.flatnonzero(others[k]).tolist()),
            score=float(score[k]),
            p=float(p[k]),
            p_reverse=float(p_reverse[k]),
            told=bool(told[k]),
            taken=False,
        )
        for k in range(len(cause))
    ]
