"""CD-NOD: which mechanisms change, and directions that changes tell."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.stats

from causaljax.core.compiling import quick_jit
from causaljax.graphs import marks
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import cdnod, driving_force, pc

DOMAINS, ROWS = 60, 30


def changing_data(seed, graph):
    """Linear mechanisms, all anew in each domain; ``[n, d]`` and ``[n]``."""
    rng, d = np.random.default_rng(seed), len(graph)
    domain = np.repeat(np.arange(DOMAINS), ROWS)
    x = np.zeros((len(domain), d))
    order = np.argsort((np.linalg.matrix_power(graph + np.eye(d), d) > 0).sum(axis=0))
    for j in order:
        intercept = rng.uniform(-2, 2, DOMAINS)[domain]
        slopes = rng.uniform(0.5, 2.5, (DOMAINS, d))[domain] * graph[:, j]
        scale = rng.uniform(0.5, 2, DOMAINS)[domain]
        x[:, j] = intercept + (slopes * x).sum(axis=1)
        x[:, j] += scale * rng.normal(size=len(domain))
    return x.astype(np.float32), domain.astype(np.int32)


def knowing(graph, changing):
    """A test that knows a DAG and what the domain, its last variable, changes."""
    with_domain = np.pad(graph, (0, 1))
    with_domain[-1, :-1] = changing
    return Separation(marks.from_graph(with_domain)).test()


def digraph(d, *edges):
    graph = np.zeros((d, d), bool)
    graph[*np.transpose(edges)] = True
    return graph


CONFIG = cdnod.Config(search=pc.Config(collider_rule="separator"), num_permutations=199)


def search(seed, graph, changing, config=CONFIG, **known):
    x, domain = changing_data(seed, graph)
    test = knowing(graph, changing)
    key = jax.random.key(seed)
    return cdnod.search(key, test, x, domain, config, batches=(8, 64), **known)


def test_the_domain_directs_what_it_can():
    """A chain of which the second and the fourth mechanism change."""
    chain = digraph(4, (0, 1), (1, 2), (2, 3))
    found = search(0, chain, [False, True, False, True])
    assert found.changing.tolist() == [False, True, False, True]
    # 0 -> 1 <- C and 2 -> 3 <- C are colliders; 1 -> 2, or 2 <- C would hold.
    np.testing.assert_array_equal(marks.to_graph(found.marks), chain)
    assert found.directions == ()


@pytest.mark.parametrize("score", cdnod.SCORES)
def test_changes_tell_a_direction_that_independence_leaves_open(score):
    graph, right = digraph(3, (0, 1)), 0  # PC alone leaves the edge open
    config = dataclasses.replace(CONFIG, direction_score=score)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(3)
        shuffled = graph[np.ix_(order, order)]
        cause, effect = np.argwhere(shuffled)[0]
        found = search(seed, shuffled, [True] * 3, config)
        told = marks.to_graph(found.marks)
        assert not told[effect, cause] or told[cause, effect]  # never reversed
        right += not told[effect, cause]
        asked = {(one.cause, one.effect) for one in found.directions}
        assert asked == {(cause, effect), (effect, cause)}
        assert sum(one.taken for one in found.directions) == (not told[effect, cause])
        scores = [one.score for one in found.directions]
        assert sum(scores) == pytest.approx(0, abs=1e-2)
    assert right >= (6 if score == "regression" else 2)


def test_sinks_are_told_in_turn():
    """All three of a complete graph change: their order is what remains open."""
    graph, right = digraph(3, (0, 1), (0, 2), (1, 2)), 0
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(3)
        shuffled = graph[np.ix_(order, order)]
        found = search(seed, shuffled, [True] * 3)
        told = marks.to_graph(found.marks)
        told &= ~told.T
        assert (shuffled | ~told).all()
        right += told.sum()
        for one in found.directions:
            assert one.told or not one.taken
    assert right >= 12


def test_what_stays_as_it_is_tells_no_direction():
    """What varies is sampling error, of which a share below a fifth looks told."""
    graph = digraph(3, (0, 1))
    domain = np.repeat(np.arange(DOMAINS), ROWS).astype(np.int32)
    test, left_open = knowing(graph, [True] * 3), 0
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=(len(domain), 3))
        x[:, 1] += x[:, 0]
        x = x.astype(np.float32)
        found = cdnod.search(jax.random.key(0), test, x, domain, CONFIG)
        told = marks.to_graph(found.marks)
        left_open += np.array_equal(told, graph | graph.T)
    assert left_open >= 14


def test_changes_do_not_overrule_knowledge():
    graph = digraph(3, (0, 1))
    allowed = np.ones((4, 4), bool)
    allowed[0, 1] = False
    found = search(0, graph, [True] * 3, allowed=allowed)
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph.T)
    assert found.directions == ()
    found = search(0, graph, [True] * 3, required=np.pad(graph, (0, 1)))
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph)
    allowed = np.ones((4, 4), bool)
    allowed[3, 0] = False
    found = search(0, graph, [True] * 3, allowed=allowed)
    assert found.changing.tolist() == [False, True, True]


def test_modules_are_regressions_of_each_domain():
    graph = digraph(3, (0, 2), (1, 2))
    x, domain = changing_data(3, graph)
    weight = np.where(np.arange(len(x)) % 7 == 0, 0, 1).astype(np.float32)

    @quick_jit
    def both(x, domain, weight):
        given = cdnod.moments(x, domain, weight, DOMAINS)
        pair = cdnod.regress(given, 1, 2, np.array([True, False, False]))
        parts = cdnod.modules(pair)
        return parts, cdnod.modules(cdnod.joined(*parts))

    parts, again = both(x, domain, weight)
    for k in (0, 17, DOMAINS - 1):
        rows = x[(domain == k) & (weight > 0)].astype(float)
        ones = np.ones((len(rows), 1))
        for part, columns, child in zip(parts, ([0], [1, 0]), (1, 2), strict=True):
            design = np.concatenate([rows[:, columns], ones], axis=1)
            line, residual, *_ = np.linalg.lstsq(design, rows[:, child], rcond=None)
            expected = [*line[:-1], 0, 0, line[-1], np.log(residual[0] / len(rows))]
            np.testing.assert_allclose(part[k], expected, rtol=2e-3, atol=2e-3)
    for part, other in zip(parts, again, strict=True):
        np.testing.assert_allclose(other, part, rtol=2e-3, atol=2e-3)


def test_the_score_is_a_likelihood_ratio():
    """Against densities of the parameters that both directions share."""
    rng, k = np.random.default_rng(0), 200
    first = rng.normal(size=(k, 2)) * [1, 0.5]
    second = rng.normal(size=(k, 3)) * [0.7, 1, 0.4] + [1, 0, 0]
    pair = cdnod.joined(first.astype(np.float32), second.astype(np.float32))
    score = float(quick_jit(cdnod.log_ratio)(pair, np.ones(k, bool)))

    def shared(parameters):
        """Means, logarithms of variances and the covariance."""
        (mean, log_variance), (slope, intercept, log_rest) = (
            parameters[:2],
            parameters[2:],
        )
        variance = np.exp(log_variance)
        of_effect = slope**2 * variance + np.exp(log_rest)
        return np.array(
            [
                mean,
                log_variance,
                intercept + slope * mean,
                np.log(of_effect),
                slope * variance,
            ]
        )

    def log_density(first, second):
        tables = [first, second]
        total = 0
        for table in tables:
            law = scipy.stats.multivariate_normal(table.mean(axis=0), np.cov(table.T))
            total += law.logpdf(table).sum()
        for row in np.concatenate(tables, axis=1):  # and numerical derivatives
            steps = 1e-5 * np.eye(5)
            jacobian = [(shared(row + e) - shared(row - e)) / 2e-5 for e in steps]
            total -= np.linalg.slogdet(jacobian)[1]
        return total

    reverse = [np.asarray(part, float) for part in cdnod.modules(pair.reversed())]
    reverse = [part[:, np.ptp(part, axis=0) > 0] for part in reverse]
    expected = log_density(first, second) - log_density(*reverse)
    assert score == pytest.approx(expected, rel=0.1)


def test_few_rows_and_few_domains_tell_nothing():
    rng = np.random.default_rng(0)
    for domains, rows in ((3, 30), (20, 3)):
        domain = np.repeat(np.arange(domains), rows).astype(np.int32)
        x = rng.normal(size=(len(domain), 3)).astype(np.float32)
        asked = cdnod.evidence_of(jax.random.key(0), x, domain, CONFIG)
        one = np.array([0], np.int32), np.array([1], np.int32), np.zeros((1, 3), bool)
        evidence = asked(*one)
        assert np.asarray(evidence).tolist() == [[0], [1], [1]]
        assert not cdnod.is_told(evidence, domain, CONFIG).any()


def test_numbers_are_cut_into_classes_of_as_many_rows():
    domain = np.random.default_rng(0).normal(size=100)
    classes = cdnod.cut(domain)
    assert np.bincount(classes).tolist() == [10] * 10
    assert (np.diff(classes[np.argsort(domain)]) >= 0).all()
    assert cdnod.cut(np.zeros(7)).tolist() == [0] * 7
    assert cdnod.cut(np.zeros(0)).shape == (0,)


def test_the_permutation_test_keeps_its_level():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 150, 20, 2)).astype(np.float32)
    orders = np.stack([rng.permutation(20) for _ in range(150 * 39)])
    orders = orders.reshape(150, 39, 20)

    def kernel(table):
        squared = ((table[:, None] - table[None]) ** 2).sum(axis=2)
        return driving_force.centred_gaussian(squared)

    @quick_jit
    @jax.vmap
    def test(first, second, orders):
        return cdnod.dependence(kernel(first), kernel(second), orders)

    score, p, _ = map(np.asarray, test(first, second, orders))
    # The p-values are multiples of 1/40, each as probable: the mean is 41/80.
    assert np.mean(p) == pytest.approx(41 / 80, abs=4 * 0.29 / np.sqrt(150))
    assert np.mean(p <= 0.1) < 0.2
    assert ((score > -0.2) & (score < 1)).all()
    score, p, _ = map(np.asarray, test(first, first, orders))
    np.testing.assert_allclose(score, 1, rtol=1e-5)
    np.testing.assert_allclose(p, 1 / 40, rtol=1e-5)
