"""The bound of a mixture of regimes, against integrals and sums over all cases."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from causaljax.mechanisms import conjugate
from causaljax.mechanisms.regression_network import init_curves
from causaljax.regimes import (
    densities,
    intervention_targets,
    merge,
    stick_breaking,
)
from causaljax.regimes.state import Mechanisms, State


def density(v, a, b):
    """Of a Beta distribution, without its library."""
    total = np.sum(v ** (a - 1) * (1 - v) ** (b - 1)) * (v[1] - v[0])
    return v ** (a - 1) * (1 - v) ** (b - 1) / total


GRID = (np.arange(100_000) + 0.5) / 100_000


def test_sticks_are_broken_in_the_order_of_the_regimes_sizes():
    posterior = stick_breaking.sticks(jnp.array([5.0, 20.0, 10.0]), 2.0)
    np.testing.assert_allclose(posterior.a, [6, 21, 11])
    np.testing.assert_allclose(posterior.b, [2, 17, 7])
    np.testing.assert_array_equal(posterior.place, [2, 0, 1])


def test_expected_log_weights_are_integrals():
    posterior = stick_breaking.sticks(jnp.array([5.0, 20.0, 10.0]), 2.0)
    first, second = density(GRID, 21, 17), density(GRID, 11, 7)
    width = GRID[1] - GRID[0]
    log, left = np.log(GRID), np.log1p(-GRID)
    expected = [
        width * (first @ left + second @ left),
        width * (first @ log),
        width * (first @ left + second @ log),
    ]
    found = stick_breaking.expected_log_weights(posterior)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_divergence_of_sticks_is_an_integral():
    posterior = stick_breaking.sticks(jnp.array([3.0, 1.0]), 2.0)
    q, p = density(GRID, 4, 3), density(GRID, 1, 2)
    expected = (q * np.log(q / p)).mean()
    found = stick_breaking.stick_divergence(posterior, 2.0)
    assert found == pytest.approx(expected, rel=1e-3)


def test_one_regime_leaves_nothing_to_break():
    posterior = stick_breaking.sticks(jnp.array([3.0]), 2.0)
    assert stick_breaking.stick_divergence(posterior, 2.0) == 0


def test_the_sticks_are_the_best_there_are():
    """No other Beta distribution gives more of E log pi less the divergence."""
    counts = jnp.array([7.0, 4.0, 1.5])

    def gain(shapes):
        posterior = stick_breaking.Sticks(shapes[0], shapes[1], jnp.arange(3))
        log_weights = stick_breaking.expected_log_weights(posterior)
        return counts @ log_weights - stick_breaking.stick_divergence(posterior, 1.5)

    best = stick_breaking.sticks(counts, 1.5)
    slope = jax.grad(gain)(jnp.stack([best.a, best.b]))
    np.testing.assert_allclose(slope[:, :-1], 0, atol=1e-4)


def test_the_expected_concentration_is_that_of_its_posterior():
    """Gamma(1, 1) times the sticks' density, its logarithm expected; by a grid."""
    posterior = stick_breaking.sticks(jnp.array([30.0, 12.0, 4.0, 0.5]), 1.0)
    left = 0.0
    for a, b in zip(posterior.a[:-1], posterior.b[:-1], strict=True):
        left += density(GRID, float(a), float(b)) @ np.log1p(-GRID) / len(GRID)
    value = np.linspace(1e-4, 40, 400_000)
    log = -value + 3 * np.log(value) + (value - 1) * left
    weight = np.exp(log - log.max())
    expected = (weight @ value) / weight.sum()
    found = stick_breaking.expected_concentration(posterior)
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_divergence_of_targets_is_a_sum_over_all_sets():
    q = np.array([[0, 0], [0.3, 0.9]], "float32")
    expected = 0.0
    for hit in itertools.product([0, 1], repeat=2):
        chance = np.prod(np.where(hit, q[1], 1 - q[1]))
        prior = np.prod(np.where(hit, 0.1, 0.9))
        expected += chance * np.log(chance / prior)
    found = intervention_targets.target_divergence(jnp.asarray(q), jnp.float32(0.1), 0)
    assert found == pytest.approx(expected, rel=1e-5)
    sure = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    expected = -np.log(0.1) - np.log(0.9)
    found = intervention_targets.target_divergence(sure, jnp.float32(0.1), 0)
    assert found == pytest.approx(expected, rel=1e-5)


# Targets


PRIOR = float(np.log(0.1 / 0.9))
statistics = jax.jit(conjugate.statistics)
evidences = jax.jit(lambda sums: conjugate.fit(sums)[1])
find_targets = jax.jit(intervention_targets.find_targets)
joining_gains = jax.jit(merge.joining_gains)
join = jax.jit(merge.join)


def linear_pair(seed=0, sizes=(60, 60, 60, 60)):
    """y = 1.5 x + noise; regime 1 disturbs x, regime 2 disturbs y, 3 nothing."""
    rng = np.random.default_rng(seed)
    regime = np.repeat(np.arange(len(sizes)), sizes)
    x, e = rng.normal(size=(2, len(regime)))
    x = np.where(regime == 1, 3 + 0.5 * x, x)
    y = np.where(regime == 2, -2 + 0.5 * e, 1.5 * x + 0.3 * e)
    each = (regime[:, None] == np.arange(len(sizes))[None, :]).astype(float)
    return x, y, each


def sums_of(features, x, each):
    return statistics(*map(jnp.asarray, (each, features, x)))


def targets_of(cells, features, each, begin, known=(False,) * 4):
    own = evidences(sums_of(np.ones((len(cells), 1)), cells, each))
    sums = sums_of(features, cells, each)
    arrays = jnp.asarray(np.array(begin, float)), jnp.asarray(known)
    return find_targets(sums, own, *arrays, PRIOR)


def best_targets(cells, features, each, begin):
    """As in two steps of the kernel: from three sides, the best kept."""
    for _ in range(2):
        found = [
            targets_of(cells, features, each, start)
            for start in (begin, np.zeros(4), np.ones(4))
        ]
        begin = np.array(max(found, key=lambda pair: float(pair[1]))[0])
    return begin


def test_drift_in_every_regime_is_no_evidence():
    rng = np.random.default_rng(0)
    gain = rng.chisquare(2, (21, 6)) / 2
    gain[:, 0] *= 12  # its sensor drifts
    gain[3, 0], gain[4, 5] = 300, 60
    targets = (gain > 20).astype(float)
    evidence = gain - 6
    evidence[:, 1] = -6  # the least of each regime
    counted = jnp.arange(21) > 0
    found = intervention_targets.beyond_drift(
        jnp.array(evidence), jnp.array(targets), counted
    )
    alone = targets[1:] < 0.5
    drifted = np.asarray(found)[1:, 0][alone[:, 0]]
    assert (evidence[1:, 0][alone[:, 0]] > 2).any()
    assert drifted.max() < 0.5
    assert found[3, 0] > 10
    assert found[4, 5] > 30
    np.testing.assert_array_equal(found[0], jnp.array(evidence)[0])
    few = intervention_targets.beyond_drift(
        jnp.array(evidence[:5]), jnp.array(targets[:5]), counted[:5]
    )
    np.testing.assert_allclose(few, evidence[:5], rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "begin", [[0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]]
)
def test_targets_are_found_wherever_the_search_begins(begin):
    x, y, each = linear_pair()
    parents = np.column_stack([np.ones(len(x)), x])
    found = best_targets(y, parents, each, begin)
    np.testing.assert_allclose(found, [0, 0, 1, 0], atol=0.01)
    found = best_targets(x, np.ones((len(x), 1)), each, begin)
    np.testing.assert_allclose(found, [0, 1, 0, 0], atol=0.01)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("first", range(4))
def test_most_regimes_are_no_targets_whichever_comes_first(first):
    # All were, but one, where a target came first: the mechanism was learned from it.
    rng = np.random.default_rng(0)
    regime = np.repeat(np.arange(4), 60)
    y = np.where(regime == first, 4, 0) + 0.3 * rng.normal(size=240)
    each = np.eye(4)[regime]
    sums = sums_of(np.ones((240, 1)), y, each)
    given = sums, evidences(sums), np.zeros(4), np.zeros(4, bool), PRIOR
    furthest = intervention_targets.furthest_targets(*given)
    np.testing.assert_array_equal(furthest, np.arange(4) == first)
    known = given[2] + 1, np.arange(4) == (first + 1) % 4
    furthest = intervention_targets.furthest_targets(*given[:2], *known, PRIOR)
    assert furthest[(first + 1) % 4] == 1


@pytest.mark.usefixtures("x64")
def test_the_scores_of_sure_targets_are_evidence():
    """Mechanism's of the rows that were left alone, each target's own, and prior."""
    x, y, each = linear_pair()
    parents = np.column_stack([np.ones(len(x)), x])
    targets = np.array([0.0, 0, 1, 0])
    found, score = targets_of(y, parents, each, targets, (True,) * 4)
    np.testing.assert_array_equal(found, targets)
    left = each[:, 2] == 0
    usual = evidences(sums_of(parents[left], y[left], np.ones((left.sum(), 1))))
    one, rows = np.ones((60, 1)), ~left
    own = evidences(sums_of(one, y[rows], one))
    assert score == pytest.approx(float(usual[0] + own[0]) + PRIOR, rel=1e-9)


def test_targets_are_found_in_single_precision_where_all_regimes_are_disturbed():
    # What is left of a mechanism's rows must not be the rounding of those that went.
    rng = np.random.default_rng(0)
    regime = np.repeat(np.arange(6), 2000)
    x = 20 + 5 * rng.normal(size=(len(regime), 3))
    features = np.column_stack([np.ones(len(x)), x, np.maximum(x, 20), x.sum(axis=1)])
    cells = rng.normal(3 * regime, 0.1)
    each = (regime[:, None] == np.arange(6)[None, :]).astype("float32")
    features, cells = features.astype("float32"), cells.astype("float32")
    own = evidences(sums_of(np.ones((len(cells), 1), "float32"), cells, each))
    sums = sums_of(features, cells, each)
    nobody = jnp.zeros(6, bool)
    found, score = find_targets(sums, own, jnp.zeros(6), nobody, jnp.float32(-2))
    assert found.dtype == jnp.float32
    assert np.isfinite(score)
    assert (np.asarray(found) > 0.99).sum() >= 5


@pytest.mark.usefixtures("x64")
def test_each_target_answers_to_the_others_and_known_ones_stay():
    """The last is updated last, so that its odds are those of the final targets."""
    x, y, each = linear_pair(sizes=(5, 4, 5, 4))
    y = y + 1.3 * each[:, 3]  # a matter of doubt
    parents = np.column_stack([np.ones(len(x)), x])
    known = np.array([True, False, False, False])
    found, _ = targets_of(y, parents, each, [0.3, 0.2, 0.2, 0.2], known)
    assert found[0] == 0.3
    weight = each[:, :3] @ (1 - np.array(found[:3]))

    def evidence(features, weight):
        return float(evidences(sums_of(features, y, weight[:, None]))[0])

    own = evidence(np.ones((len(x), 1)), each[:, 3])
    joined, others = evidence(parents, weight + each[:, 3]), evidence(parents, weight)
    odds = PRIOR + own - (joined - others)
    assert found[3] == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-6)
    assert 1e-3 < found[3] < 1 - 1e-3
    # And the evidence for a target is what is added to the prior log-odds.
    sums = sums_of(parents, y, each)
    own = evidences(sums_of(np.ones((len(x), 1)), y, each))
    nats = intervention_targets.target_evidence(sums, own, jnp.asarray(found))
    assert nats[3] == pytest.approx(odds - PRIOR, rel=1e-6)


def test_of_many_targets_those_of_most_evidence_stay():
    targets = jnp.array([[1.0, 0.9, 0.2], [0.0, 0.0, 0.0], [0.6, 0.7, 0.8]])
    evidence = jnp.array([[3.0, 50.0, -2.0], [-1.0, -2.0, -3.0], [5.0, 4.0, 3.0]])
    one = intervention_targets.strongest_targets(targets, evidence, 1)
    expected = np.array([[0, 0.9, 0], [0, 0, 0], [0.6, 0, 0]], "float32")
    np.testing.assert_array_equal(one, expected)
    two = intervention_targets.strongest_targets(targets, evidence, 2)
    np.testing.assert_array_equal((two > 0).sum(axis=1), [2, 0, 2])


@pytest.mark.usefixtures("x64")
def test_rows_that_the_mechanism_explains_as_it_is_are_no_target():
    """What normal noise cannot explain counts by its own log-likelihood, if more."""
    x, y, each = linear_pair()
    parents = np.column_stack([np.ones(len(x)), x])
    own = evidences(sums_of(np.ones((len(y), 1)), y, each))
    given = sums_of(parents, y, each), own, jnp.zeros(4), jnp.zeros(4, bool), PRIOR
    none, score = find_targets(*given)
    worse, same_score = find_targets(*given, jnp.full(4, -1e9))
    np.testing.assert_array_equal(none, worse)
    assert score == same_score
    explained = jnp.full(4, -jnp.inf).at[2].set(own[2])
    found, score = find_targets(*given, explained)
    assert none[2] > 0.99
    assert found[2] == pytest.approx(0.1, rel=1e-6)  # as beforehand
    sure = jnp.full(4, -jnp.inf).at[2].set(own[2] + 20)
    assert find_targets(*given, sure)[1] > score + 15


# Joining


REFERENCE = 0


def gains_of(x, each, weight=None, concentration=1.0, reference=REFERENCE):
    """Of regimes over two columns whose mechanisms are standard normal."""
    weight = np.ones(len(x)) if weight is None else weight
    one = jnp.ones((len(x), 1))
    weighted = jnp.asarray(each * weight[:, None])
    columns = [statistics(weighted, one, jnp.asarray(c)) for c in x.T]
    sums = jax.tree.map(lambda *leaves: jnp.stack(leaves), *columns)
    usual = weighted.T @ stats.norm.logpdf(x)
    arrays = (jnp.asarray(a) for a in (each, weight))
    gains = joining_gains(*arrays, sums, usual, 0.1, concentration, reference)
    return np.array(gains)


def five_regimes():
    """The reference, two of one kind, another, and an empty one."""
    rng = np.random.default_rng(0)
    member = np.repeat([0, 1, 2, 3], [100, 60, 50, 40])
    x = rng.normal(size=(250, 2))
    x[:, 0] = np.where((member == 1) | (member == 2), 5 + 0.2 * x[:, 0], x[:, 0])
    x[:, 1] = np.where(member == 3, -4 + 0.2 * x[:, 1], x[:, 1])
    return x, np.eye(5)[member]


@pytest.mark.usefixtures("x64")
def test_duplicates_are_joined_and_others_not():
    x, each = five_regimes()
    gains = gains_of(x, each)
    above = np.triu(np.ones((5, 5), bool), 1)
    assert (gains[~above] == -np.inf).all()
    assert (gains[:, 4] == -np.inf).all()  # nobody is there
    assert gains[1, 2] > 0
    others = above & np.isfinite(gains)
    others[1, 2] = False
    assert others.sum() == 5
    assert (gains[others] < -10).all()
    into, moves = join(jnp.asarray(gains))
    np.testing.assert_array_equal(into, [0, 1, 1, 3, 4])
    assert moves == 1
    assert into.dtype == moves.dtype == jnp.int32
    joined = merge.gather(into, jnp.asarray(each), axis=1)
    np.testing.assert_array_equal(joined.sum(axis=0), [100, 110, 0, 40, 0])
    np.testing.assert_array_equal(joined.sum(axis=1), 1)


@pytest.mark.usefixtures("x64")
def test_a_regime_that_disturbs_nothing_joins_the_reference():
    rng = np.random.default_rng(1)
    x, each = rng.normal(size=(120, 2)), np.eye(2)[np.arange(120) // 80]
    for reference in (0, 1):
        assert gains_of(x, each, reference=reference)[0, 1] > 0
    x[80:, 0] += 4
    assert gains_of(x, each, reference=0)[0, 1] < -100


@pytest.mark.usefixtures("x64")
def test_gains_are_those_of_the_bound():
    """By hand for two regimes that are sure of their rows."""
    x, each = five_regimes()
    weight = np.random.default_rng(2).uniform(0.5, 1.5, len(x))
    concentration = 2.0
    found = gains_of(x, each, weight, concentration)[1, 3]

    def evidence(rows):
        total, one = 0.0, jnp.ones((rows.sum(), 1))
        for column in x[rows].T:
            each = jnp.asarray(weight[rows, None])
            sums = statistics(each, one, jnp.asarray(column))
            own = np.log(0.1) + float(evidences(sums)[0])
            usual = np.log(0.9) + weight[rows] @ stats.norm.logpdf(column)
            total += np.logaddexp(own, usual)
        return total

    rows = [each[:, 1] == 1, each[:, 3] == 1]
    size = [weight[r].sum() for r in rows]
    expected = evidence(rows[0] | rows[1]) - evidence(rows[0]) - evidence(rows[1])
    expected += gammaln(sum(size)) - gammaln(size).sum() - np.log(concentration)
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.usefixtures("x64")
def test_assignments_that_need_not_be_told_apart_are_a_cost():
    """Rows shared evenly have log 2 nats of freedom each, gone with the division."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 2))
    x[:, 0] = 6 + 0.2 * x[:, 0]
    shared = np.column_stack([np.zeros(80), np.full(80, 0.5), np.full(80, 0.5)])
    gains = gains_of(x, shared)
    # The same sums of rows, each twice at half its weight and sure of its regime.
    sure = np.tile(np.eye(3)[1:], (80, 1))
    halved = gains_of(np.repeat(x, 2, axis=0), sure, np.full(160, 0.5))
    assert gains[1, 2] == pytest.approx(halved[1, 2] - 80 * np.log(2), rel=1e-9)


def test_regimes_are_joined_that_gain_most_from_each_other():
    gains = np.full((6, 6), -np.inf)
    gains[0, 1], gains[1, 2], gains[2, 3], gains[0, 4], gains[3, 4] = 3, 9, 8, 1, -1
    into, moves = join(jnp.asarray(gains, jnp.float32))
    # 3 would rather be one with 2, and 0 with 1: they wait.
    np.testing.assert_array_equal(into, [0, 1, 1, 3, 4, 5])
    assert moves == 1
    into, moves = join(jnp.full((5, 5), -jnp.inf))
    np.testing.assert_array_equal(into, np.arange(5))
    assert moves == 0
    # Labelled ones are ruled out beforehand, as the kernel does.
    gains[1, 2] = -np.inf
    into, moves = join(jnp.asarray(gains, jnp.float32))
    np.testing.assert_array_equal(into, [0, 0, 2, 2, 4, 5])
    assert moves == 2


def test_rows_go_along():
    rng = np.random.default_rng(0)
    responsibilities = rng.dirichlet(np.ones(4), size=6).astype("float32")
    joined = merge.gather(
        jnp.array([0, 1, 0, 1]), jnp.asarray(responsibilities), axis=1
    )
    expected = np.zeros((6, 4), "float32")
    expected[:, 0] = responsibilities[:, 0] + responsibilities[:, 2]
    expected[:, 1] = responsibilities[:, 1] + responsibilities[:, 3]
    np.testing.assert_allclose(joined, expected, rtol=1e-6)
    assert joined.dtype == jnp.float32


# Batches of LAPACK side by side waited for each other's threads for ever (two cores).


def factorisations(function, *arrays):
    """How many the program for this device holds, those in loops once."""
    program = jax.jit(function).lower(*arrays).as_text()
    return program.count("@lapack_spotrf") + program.count("@lapack_dpotrf")


def test_pairs_are_weighed_in_one_batch_of_lapack():
    x, each = five_regimes()
    two, weight = jnp.ones((len(x), 2)), jnp.ones(len(x))  # one needs no LAPACK
    sums = jax.tree.map(
        lambda leaf: leaf[None], conjugate.statistics(each, two, x[:, 0])
    )
    given = each, weight, sums, jnp.zeros((5, 1)), 0.1, 1.0, 0
    assert factorisations(merge.joining_gains, *given) == 1


def test_targets_are_weighed_in_one_batch_of_lapack_at_a_time():
    _, y, each = linear_pair()
    sums = sums_of(np.ones((len(y), 2)), y, each)
    known = jnp.zeros(4, bool)
    given = sums, jnp.zeros(4), jnp.zeros(4), known, PRIOR
    assert factorisations(intervention_targets.find_targets, *given) == 1


def some_mechanisms(d):
    """Curves in an order, of which the last has most parents."""
    there = np.arange(d - 1)[None, :] < np.arange(d)[:, None]
    curves = init_curves(jax.random.key(0), d, d - 1, 3, jnp.float64)
    outputs = jax.random.normal(jax.random.key(1), curves.outputs.shape)
    return Mechanisms(
        curves=curves._replace(outputs=outputs),
        scale=jnp.arange(1.0, d + 1),
        shapes=jnp.zeros((d, 0, 0)),
        parents=jnp.array([[i for i in range(d) if i != j] for j in range(d)]),
        parent_mask=jnp.asarray(there),
    )


# Each is one program for all variables.
statistics, fit_to, expected_log_density, features_of = map(
    jax.jit,
    (
        conjugate.statistics,
        conjugate.fit,
        conjugate.expected_log_density,
        densities.features_of,
    ),
)
describe, regime_log_likelihoods, statistics_of_regimes, log_densities_of_targets = (
    jax.jit(function, static_argnames="intervention")
    for function in (
        densities.describe,
        densities.regime_log_likelihoods,
        densities.statistics_of_regimes,
        densities.log_densities_of_targets,
    )
)


@pytest.mark.parametrize("intervention", ["perfect", "imperfect"])
@pytest.mark.usefixtures("x64")
def test_rows_are_told_by_what_was_left_alone_and_what_was_done(intervention):
    """Variable by variable and row by row, with densities of another library."""
    d, n, rng = 3, 30, np.random.default_rng(2)
    x, each = rng.normal(size=(n, d)), rng.uniform(size=(n, 2))
    targets = np.array([[0, 0, 0], [1, 0, 0.4]])
    mechanisms = some_mechanisms(d)
    nothing = dict.fromkeys(State._fields)
    state = State(**nothing)._replace(
        mechanisms=mechanisms, targets=jnp.asarray(targets)
    )
    weights = jnp.log(jnp.array([0.7, 0.3]))
    arrays = jnp.asarray(x), jnp.asarray(each), weights
    model = describe(state, *arrays, intervention)
    expected = np.tile(np.log([0.7, 0.3]), (n, 1))
    for j in range(d):
        own = jax.tree.map(lambda leaf, j=j: np.asarray(leaf[j]), mechanisms.curves)
        inputs = np.where(mechanisms.parent_mask[j], x[:, mechanisms.parents[j]], 0)
        inner = inputs @ own.inputs + own.biases
        unit = inner / (1 + np.exp(-inner))
        mean = unit @ own.outputs + inputs @ own.skip_weights + own.offset
        usual = stats.norm.logpdf(x[:, j], mean, mechanisms.scale[j])
        features, cells = np.ones((n, 1)), x[:, j]
        if intervention == "imperfect":
            features, cells = np.column_stack([features, unit, inputs]), cells - mean
        given = map(jnp.asarray, (each, features, cells))
        fit, _ = fit_to(statistics(*given))
        done = expected_log_density(fit, *map(jnp.asarray, (features, cells)))
        for k in range(2):
            part = targets[k, j]
            expected[:, k] += (1 - part) * usual + part * np.asarray(done)[:, k]
    found = regime_log_likelihoods(model, arrays[0], intervention)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("intervention", ["perfect", "imperfect"])
@pytest.mark.usefixtures("x64")
def test_sums_of_regimes_are_those_of_all_places_of_parents(intervention):
    """Also of those that no parent takes, of which less is computed."""
    d, rng = 5, np.random.default_rng(0)
    mechanisms = some_mechanisms(d)
    x, mean = jnp.asarray(rng.normal(size=(2, 40, d)))
    each = jnp.asarray(rng.uniform(size=(40, 3)))
    own, shared = statistics_of_regimes(mechanisms, x, mean, each, intervention)
    targets = jnp.asarray(rng.uniform(size=(3, d)))
    bound = log_densities_of_targets(mechanisms, x, mean, intervention, each, targets)
    expected = 0
    for j in range(d):
        features = features_of(mechanisms, x, j)
        sums = statistics(each, features, x[:, j] - mean[:, j])
        cells = features, x[:, j] - mean[:, j]
        if intervention == "perfect":
            cells = jnp.ones((40, 1)), x[:, j]
        alone = statistics(each, *cells)
        for found, others in ((shared, sums), (own, alone)):
            for one, other in zip(found, others, strict=True):
                np.testing.assert_allclose(one[j], other, rtol=1e-9, atol=1e-12)
        fit, _ = fit_to(alone)
        density = expected_log_density(fit, *cells)
        expected = expected + targets[:, j][None, :] * density
    np.testing.assert_allclose(bound, expected, rtol=1e-6)
