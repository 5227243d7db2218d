"""CD-NOD of tables that may not be brought together, from sums over their rows.

Each client has rows of the same variables, and the client is the domain: mechanisms may
differ from one to the next. Clients send ``Sums`` of columns, once. A variable has as
columns itself, or the indicators of all its classes but one, and of a number u

    sin(k pi u / 5), cos(k pi u / 5),  k = 1, ..., ``num_waves``,

u in standard deviations. All tests are likelihood ratios of linear regressions on such
columns, computed from means and covariances alone. With C the client:

- x and y given z: y is regressed on z's columns, and on z's and x's; x likewise on z's,
  and on z's and y's. The p-value is twice the smaller one, as curves are seen from one
  side only.
- x and y given z and C: likewise, with an intercept and slopes of every client's own.
  Curves are common to all clients. A client's residuals count by their precision.
- x and C given z: one regression of x on z's columns for all clients against intercept
  and slopes of every client's own, plus Bartlett's test that residual variances are the
  same. The latter is divided by 1 + kurtosis / 2, the excess kurtosis of x, as it would
  otherwise take heavy tails for a change.

With ``num_waves`` 0 they are the tests of linear Gaussian relations, and of indicators
as in ``scores.independence.likelihood_ratio``. With waves, relations are curved but
additive: what two conditioning variables do together goes unseen. Of a normal u, two
waves miss .0009 of the variance of u^2 and .05 of that of sin(2 u), three miss .0001 of
either; what they miss, long tables find.

Li et al. send the covariance of random features of every variable, and compare features
of x with features of y given features of each z. That is right for one z only: if x is
z1 + z2 + noise, cos(x) is no sum of functions of z1 and of z2, and independent
variables are found dependent in most tables (``scripts/bench_federated.py null``). Here
one side of every comparison is the variable itself.

Sources: Li, Ng, Luo, Huang, Chen, Liu, Gu and Zhang 2024, "Federated causal discovery
from heterogeneous data"; Chow 1960 (equality of regressions); Bartlett 1937
(variances), 1938 (likelihood ratios); Layard 1973 (kurtosis).
"""

import math
from typing import NamedTuple

import jax
import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array
from causaljax.kernels.constraint import cdnod
from causaljax.kernels.constraint.questions import Test
from causaljax.scores.independence import null_laws

BATCHES = (64, 512)
"""Numbers of questions that the test is asked at a time."""

_PERIOD = 10.0  # of the longest wave, in standard deviations
_RESOLUTION = 1e-9  # share of a variance below which what is left of it is rounding
_AT_ONCE = 1 << 22  # numbers of the matrices that are worked on together


class Layout(NamedTuple):
    """Which columns the variables have."""

    levels: tuple[int, ...]  # of d variables, the number of classes; 0 for numbers
    num_waves: int


class Sums(NamedTuple):
    """All that is known of the rows of k clients, over the c columns of a layout.

    They are means and central moments, which sums give and which keep more digits.
    """

    count: np.ndarray  # [k] float, rows
    mean: np.ndarray  # [k, c] float
    covariance: np.ndarray  # [k, c, c] float, about the client's mean, over count
    fourth: np.ndarray  # [k, d] float, fourth central moments of numbers, else 0


class _Columns(NamedTuple):
    """The columns of each variable; -1 fills rows."""

    own: np.ndarray  # [d, w] int, of the variable itself
    waves: np.ndarray  # [d, v] int
    number: int  # c


def columns(layout: Layout, x: np.ndarray) -> np.ndarray:
    """The columns of a table.

    Args:
      layout: of the variables.
      x: ``[n, d]`` float, numbers in standard deviations from the mean, and codes of
        classes.

    Returns:
      ``[n, c]`` float, c as of ``num_columns``.
    """
    parts = []
    for values, levels in zip(x.T, layout.levels, strict=True):
        if levels:
            parts.append(values[:, None] == np.arange(1, levels)[None])
            continue
        angles = values[:, None] * np.arange(1, layout.num_waves + 1)[None]
        angles = angles * (2 * math.pi / _PERIOD)
        parts += [values[:, None], np.sin(angles), np.cos(angles)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def num_columns(layout: Layout) -> int:
    """How many columns all variables have together."""
    return _places(layout).number


def variable_columns(layout: Layout) -> np.ndarray:
    """The columns that are no waves, variable by variable, ``[m]`` int."""
    own = _places(layout).own.ravel()
    return own[own >= 0]


def num_sent(layout: Layout) -> int:
    """How many numbers a client sends: of symmetric matrices one half."""
    c, d = num_columns(layout), len(layout.levels)
    return 1 + c + c * (c + 1) // 2 + d


def _places(layout):
    own, waves, first = [], [], 0
    for levels in layout.levels:
        width = levels - 1 if levels else 1
        more = 0 if levels else 2 * layout.num_waves
        own.append(np.arange(first, first + width))
        waves.append(np.arange(first + width, first + width + more))
        first += width + more

    def filled(lists):
        table = np.full((len(lists), max(map(len, lists))), -1)
        for row, entries in zip(table, lists, strict=True):
            row[: len(entries)] = entries
        return table

    return _Columns(filled(own), filled(waves), first)


def sums(layout: Layout, x: np.ndarray) -> Sums:
    """The sums of one client.

    Args:
      layout: of the variables.
      x: ``[n, d]`` float, as of ``columns``, n at least 1.

    Returns:
      Sums of k = 1 client.
    """
    table = columns(layout, x)
    mean = table.mean(axis=0)
    centred = table - mean
    numbers = np.array(layout.levels) == 0
    fourth = np.where(numbers, ((x - x.mean(axis=0)) ** 4).mean(axis=0), 0)
    covariance = centred.T @ centred / len(x)
    return Sums(
        np.array([len(x)], float),
        mean[None],
        covariance[None],
        fourth[None].astype(float),
    )


def join(parts: list[Sums]) -> Sums:
    """The sums of several clients, in their order."""
    return Sums(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))


def add_noise(rng: np.random.Generator, given: Sums, sigma: float) -> Sums:
    """Adds independent normal noise to every sum but the counts.

    Of standard deviation ``sigma`` for each of the sums over rows: of columns, of
    products of two columns about the mean, and of fourth powers. Numbers are in
    standard deviations, so a row adds 1 or so to a sum of squares, and an outlier much
    more.

    Args:
      rng: consumed.
      given: the sums.
      sigma: standard deviation.
    """
    share = sigma / given.count
    noise = rng.normal(size=given.covariance.shape)
    noise = np.tril(noise) + np.tril(noise, -1).swapaxes(1, 2)
    fourth = given.fourth + share[:, None] * rng.normal(size=given.fourth.shape)
    return given._replace(
        mean=given.mean + share[:, None] * rng.normal(size=given.mean.shape),
        covariance=given.covariance + share[:, None, None] * noise,
        fourth=np.where(given.fourth > 0, np.maximum(fourth, 0), 0),
    )


def semidefinite(covariance: np.ndarray) -> np.ndarray:
    """Covariances without the negative eigenvalues that noise leaves, ``[k, c, c]``."""
    values, vectors = np.linalg.eigh(covariance)
    if (values >= -1e-12 * values[:, -1:]).all():
        return covariance
    return (vectors * np.maximum(values, 0)[:, None]) @ vectors.swapaxes(1, 2)


class _Rest(NamedTuple):
    """What a regression on the first columns leaves of the others."""

    moments: np.ndarray  # [..., p, p]
    rank: np.ndarray  # [...] how many of the first are not determined by the rest
    slopes: np.ndarray  # [..., g, p]


def _regress(moments, number):
    """Of second moments ``[..., g + p, g + p]``, the first g columns explain."""
    variance = np.maximum(np.diagonal(moments, axis1=-2, axis2=-1), 0)
    scale = np.sqrt(variance)
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    both = moments * inverse[..., :, None] * inverse[..., None, :]
    values, vectors = np.linalg.eigh(both[..., :number, :number])
    kept = values > _RESOLUTION * max(number, 1)
    values = np.where(kept, 1 / np.where(kept, values, 1), 0)
    cross = both[..., :number, number:]
    turned = vectors.swapaxes(-1, -2) @ cross
    slopes = vectors @ (values[..., None] * turned)
    left = both[..., number:, number:] - cross.swapaxes(-1, -2) @ slopes
    # What is left of a column that others determine is rounding.
    real = np.diagonal(left, axis1=-2, axis2=-1) > _RESOLUTION
    left = np.where(real[..., :, None] & real[..., None, :], left, 0)
    own, others = scale[..., number:], inverse[..., :number]
    left = left * own[..., :, None] * own[..., None, :]
    slopes = slopes * others[..., :, None] * own[..., None, :]
    return _Rest(left, kept.sum(axis=-1), slopes)


def _likelihood_ratio(before, after):
    """Log det ``before`` less log det ``after``, and the rank of ``before``."""
    scale = np.sqrt(np.maximum(np.diagonal(before, axis1=-2, axis2=-1), 0))
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
    scaling = inverse[..., :, None] * inverse[..., None, :]
    values, vectors = np.linalg.eigh(before * scaling)
    kept = values > _RESOLUTION
    root = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1)), 0)
    whitened = vectors * root[..., None, :]
    after = whitened.swapaxes(-1, -2) @ (after * scaling) @ whitened
    after = after + np.where(kept, 0, 1)[..., None] * np.eye(kept.shape[-1])
    least = np.maximum(np.linalg.eigvalsh(after), _RESOLUTION)
    return np.maximum(-np.log(least).sum(axis=-1), 0), kept.sum(axis=-1)


def _statistic(before, after, freedom, freedom_after):
    """Bartlett's statistic and its degrees of freedom, 0 where there is no test."""
    ratio, rank = _likelihood_ratio(before, after)
    tested = freedom - freedom_after
    rows = freedom - (tested + rank + 1) / 2
    testable = (rows > 0) & (freedom_after > 0) & (tested * rank > 0)
    return (
        np.where(testable, rows * ratio, 0),
        np.where(testable, tested * rank, 0),
    )


class _Tests:
    """Answers from sums; what is asked together has sets of one size."""

    def __init__(self, layout, given):
        self.places = _places(layout)
        self.numbers = np.array(layout.levels) == 0
        self.count = given.count
        mean = np.pad(given.mean, [(0, 0), (0, 1)])
        # The last row and column are of no column: -1 asks for them.
        covariance = np.pad(semidefinite(given.covariance), [(0, 0), (0, 1), (0, 1)])
        self.inside = covariance * given.count[:, None, None]
        share = given.count / given.count.sum()
        apart = mean - share @ mean
        self.total = self.inside.sum(axis=0) + (apart.T * given.count) @ apart
        own = np.where(self.numbers, self.places.own[:, 0], -1)
        variance = covariance[:, own, own]
        number = (given.count > 3)[:, None] & (variance > 0)
        n = np.where(given.count > 3, given.count, 4)[:, None]
        kurtosis = given.fourth / np.where(number, variance, 1) ** 2
        kurtosis = np.where(number, kurtosis * (n + 1) / (n - 1) - 3, 0)
        weight = np.where(number, n, 0)
        excess = (weight * kurtosis).sum(axis=0) / np.maximum(weight.sum(axis=0), 1)
        self.excess = np.maximum(excess, 0)

    def joint_cost(self, size):
        """Numbers that one question with sets of a size needs."""
        width = self.places.own.shape[1] + self.places.waves.shape[1]
        return (len(self.count) + 1) * ((size + 2) * width) ** 2

    def _own(self, z):
        return self.places.own[z].reshape(len(z), -1)

    def _waves(self, z):
        return self.places.waves[z].reshape(len(z), -1)

    def _pooled(self, listed):
        return self.total[listed[:, :, None], listed[:, None]]

    def _apart(self, listed):
        clients = np.arange(len(self.count))[None, :, None, None]
        return self.inside[clients, listed[:, None, :, None], listed[:, None, None]]

    def pair(self, x, y, z):
        """Whether x and y depend given z, and not the client."""
        own_z, waves_z = self._own(z), self._waves(z)
        given = own_z.shape[1] + waves_z.shape[1]

        def explain(x, y):
            listed = [own_z, waves_z, self._own(x), self._waves(x), self._own(y)]
            moments = self._pooled(np.concatenate(listed, axis=1))
            width = self._own(y).shape[1]
            keep = [*range(given), *range(moments.shape[-1] - width, moments.shape[-1])]
            before = _regress(moments[..., keep, :][..., keep], given)
            after = _regress(moments, moments.shape[-1] - width)
            rows = self.count.sum() - 1
            return _statistic(
                before.moments, after.moments, rows - before.rank, rows - after.rank
            )

        x, y = x[:, None], y[:, None]
        return explain(x, y), explain(y, x)

    def pair_in_clients(self, x, y, z):
        """Whether x and y depend given z and the client."""
        own_z, waves_z = self._own(z), self._waves(z)
        given, curves = own_z.shape[1], waves_z.shape[1]

        def explain(x, y):
            listed = [own_z, waves_z, self._own(x), self._waves(x), self._own(y)]
            width, more = self._own(y).shape[1], self._own(x).shape[1]
            first = _regress(self._apart(np.concatenate(listed, axis=1)), given)
            freedom = self.count - 1 - first.rank
            variance = np.diagonal(first.moments, axis1=-2, axis2=-1)
            variance = variance[..., -width:].mean(axis=-1)
            counts = (freedom >= 1) & (variance > 0)
            weight = freedom / np.where(counts, variance, 1)
            weight = np.where(counts, weight, 0)[..., None, None]
            freedom = np.where(counts, freedom, 0)

            size = first.moments.shape[-1]
            last = [*range(size - width, size)]
            of_z = [*range(curves)]
            keep = [*of_z, *last]
            before = (weight * first.moments)[..., keep, :][..., keep].sum(axis=1)
            before = _regress(before, curves)
            slopes = [*range(curves, curves + more)]
            others = [*of_z, *range(curves + more, size)]
            turned = [*slopes, *others]
            second = _regress(first.moments[..., turned, :][..., turned], more)
            after = (weight * second.moments).sum(axis=1)
            after = _regress(after, after.shape[-1] - width)
            left = np.where(counts, freedom - second.rank, 0).sum(axis=1) - after.rank
            return _statistic(
                before.moments,
                after.moments,
                freedom.sum(axis=1) - before.rank,
                left,
            )

        x, y = x[:, None], y[:, None]
        return explain(x, y), explain(y, x)

    def with_client(self, x, z):
        """Whether x and the client depend given z."""
        own_z, waves_z = self._own(z), self._waves(z)
        own_x = self._own(x[:, None])
        given, curves = own_z.shape[1], waves_z.shape[1]
        listed = np.concatenate([own_z, waves_z, own_x], axis=1)
        before = _regress(self._pooled(listed), given + curves)
        each = _regress(self._apart(listed), given)
        after = _regress(each.moments.sum(axis=1), curves)
        freedom = self.count - 1 - each.rank
        statistic, dof = _statistic(
            before.moments,
            after.moments,
            self.count.sum() - 1 - before.rank,
            freedom.sum(axis=1) - after.rank,
        )
        # Residual variances of every client, with the curves of all.
        slopes = after.slopes[..., 0][:, None, :, None]
        within = each.moments[..., :curves, :curves]
        cross = each.moments[..., :curves, curves : curves + 1]
        squares = each.moments[..., curves, curves]
        fitted = slopes.swapaxes(-1, -2) @ (within @ slopes - 2 * cross)
        squares = np.maximum(squares + fitted[..., 0, 0], 0)
        shared = after.rank / np.maximum(freedom.sum(axis=1), 1)
        freedom = freedom * (1 - shared[:, None])
        spread, more = _variances(squares, freedom, self.numbers[x])
        return statistic + spread / (1 + self.excess[x] / 2), dof + more


def _variances(squares, freedom, numbers):
    """Bartlett's statistic of equal variances, ``[b]``, and degrees of freedom.

    Args:
      squares: ``[b, k]`` float, sums of squares.
      freedom: ``[b, k]`` float, their degrees of freedom.
      numbers: ``[b]`` bool, False where there is no test.
    """
    total = squares.sum(axis=1, keepdims=True)
    counts = (freedom >= 2) & (squares > _RESOLUTION * total) & numbers[:, None]
    freedom, squares = np.where(counts, freedom, 0), np.where(counts, squares, 0)
    safe = np.where(counts, freedom, 1)
    number, all_rows = counts.sum(axis=1), freedom.sum(axis=1)
    testable = number > 1
    common = np.where(testable, squares.sum(axis=1), 1)
    common = common / np.where(testable, all_rows, 1)
    logs = np.log(np.where(counts, squares / safe, common[:, None]))
    statistic = (freedom * (np.log(common)[:, None] - logs)).sum(axis=1)
    bias = np.where(counts, 1 / safe, 0).sum(axis=1)
    bias = bias - 1 / np.where(testable, all_rows, 1)
    correction = 1 + bias / (3 * np.maximum(number - 1, 1))
    statistic = np.where(testable, statistic / correction, 0)
    return np.maximum(statistic, 0), np.where(testable, number - 1, 0)


_tail = quick_jit(null_laws.log_chi2_tail)


def _log_p(statistic, dof):
    with jax.enable_x64(True):
        return np.asarray(_tail(statistic.astype(float), dof.astype(float)))


def independence_test(layout: Layout, given: Sums) -> Test:
    """A test of the variables and the client, which is the last one, from sums.

    Args:
      layout: of the d variables.
      given: the sums of two clients or more.

    Returns:
      A test of d + 1 variables, whose p-values are those of the rows of all clients.

    Example:
      >>> layout = Layout(levels=(0, 0), num_waves=1)
      >>> north, south = np.random.default_rng(0).normal(size=(2, 300, 2))
      >>> south[:, 1] += 2 * south[:, 0] ** 2
      >>> given = join([sums(layout, table) for table in (north, south)])
      >>> ask = np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros((3, 0), int)
      >>> test = independence_test(layout, given)
      >>> (test(*ask, np.zeros((3, 0), bool)) < np.log(0.01)).tolist()
      [True, False, True]
    """
    tests, client = _Tests(layout, given), len(layout.levels)

    def test(x, y, z, used):
        x, y, z, used = (np.asarray(part) for part in (x, y, z, used))
        x, y = np.minimum(x, y), np.maximum(x, y)
        statistic, dof = np.zeros((2, 2, len(x)))
        inside = (used & (z == client)).any(axis=1)
        used = used & (z != client)
        kind = np.where(y == client, 2, np.where(inside, 1, 0))
        size = used.sum(axis=1)
        # Those that are used come first.
        z = np.take_along_axis(z, np.argsort(~used, axis=1, kind="stable"), axis=1)
        for what, number in sorted(set(zip(kind.tolist(), size.tolist(), strict=True))):
            lines = np.flatnonzero((kind == what) & (size == number))
            step = max(_AT_ONCE // tests.joint_cost(number), 1)
            for begin in range(0, len(lines), step):
                part = lines[begin : begin + step]
                a, b, c = x[part], y[part], z[part, :number]
                if what == 2:
                    found = tests.with_client(a, c)
                    statistic[0, part], dof[0, part] = found
                    continue
                ask = tests.pair_in_clients if what else tests.pair
                for k, side in enumerate(ask(a, b, c)):
                    statistic[k, part], dof[k, part] = side
        first, second = _log_p(statistic, dof)
        # Without curves of either, both sides are one test.
        curved = (tests.places.waves >= 0).any(axis=1)
        curved = np.append(curved, False)
        twice = (curved[x] | curved[y]) & (y != client)
        least = np.minimum(np.minimum(first, second) + math.log(2), 0)
        return np.where(twice, least, first)

    return test


def variable_sums(layout: Layout, given: Sums) -> Sums:
    """The sums of the variables alone, classes by their codes: d columns."""
    d, c = len(layout.levels), num_columns(layout)
    places, turned = _places(layout).own, np.zeros((d, c))
    for i, levels in enumerate(layout.levels):
        width = max(levels - 1, 1)
        turned[i, places[i, :width]] = np.arange(1, width + 1)
    covariance = turned @ semidefinite(given.covariance) @ turned.T
    mean = given.mean @ turned.T
    return Sums(given.count, mean, covariance, given.fourth)


def _rows(given):
    """Weighted rows of which means and covariances are as given, and their clients."""
    k, d = np.shape(given.mean)
    values, vectors = np.linalg.eigh(given.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0) * d)[:, None]
    apart = np.concatenate([root, -root], axis=2).swapaxes(1, 2)  # [k, 2 d, d]
    rows = (given.mean[:, None] + apart).reshape(-1, d)
    weight = np.repeat(given.count / (2 * d), 2 * d)
    client = np.repeat(np.arange(k), 2 * d)
    narrow = np.float32
    return rows.astype(narrow), client.astype(np.int32), weight.astype(narrow)


def search(
    key: Array,
    layout: Layout,
    given: Sums,
    config: cdnod.Config,
    allowed: np.ndarray | None = None,
    required: np.ndarray | None = None,
) -> cdnod.Found:
    """Finds a graph and the variables whose mechanisms differ between clients.

    Args:
      key: of the permutations of clients.
      layout: of the d variables.
      given: the sums of two clients or more. Their order matters to the permutations,
        and to nothing else.
      config: settings, of ``cdnod``.
      allowed: ``[d, d]`` bool, False where an edge is forbidden; None is none.
      required: ``[d, d]`` bool, True where an edge is demanded; None is none.

    Returns:
      What ``cdnod.search`` finds in the rows of all clients by the same test.
    """
    # Rows that have these sums stand for those that nobody may see.
    rows, client, weight = _rows(variable_sums(layout, given))
    return cdnod.search(
        key,
        independence_test(layout, given),
        rows,
        client,
        config,
        weight=weight,
        # The domain is the last variable, and may change any other one.
        allowed=None if allowed is None else np.pad(allowed, (0, 1), constant_values=1),
        required=None if required is None else np.pad(required, (0, 1)),
        batches=BATCHES,
    )
