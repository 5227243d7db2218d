"""CD-NOD: which mechanisms change, and directions that changes tell."""

import jax
import numpy as np
import pytest

from causaljax.core.compiling import quick_jit
from causaljax.graphs import marks
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import cdnod, pc

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
    assert found.sinks == ()


def test_changes_tell_a_direction_that_independence_leaves_open():
    graph, right = digraph(3, (0, 1)), 0  # PC alone leaves the edge open
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(3)
        shuffled = graph[np.ix_(order, order)]
        cause, effect = np.argwhere(shuffled)[0]
        found = search(seed, shuffled, [True] * 3)
        told = marks.to_graph(found.marks)
        assert not told[effect, cause] or told[cause, effect]  # never reversed
        right += not told[effect, cause]
        assert {sink.variable for sink in found.sinks} == {cause, effect}
        assert sum(sink.taken for sink in found.sinks) == (not told[effect, cause])
    assert right >= 4


def test_what_stays_as_it_is_tells_no_direction():
    """Independent parameters of either direction: neither or both are denied."""
    graph, rng = digraph(3, (0, 1)), np.random.default_rng(0)
    x = rng.normal(size=(DOMAINS * ROWS, 3)).astype(np.float32)
    x[:, 1] += x[:, 0]
    domain = np.repeat(np.arange(DOMAINS), ROWS).astype(np.int32)
    test = knowing(graph, [True] * 3)
    found = cdnod.search(jax.random.key(0), test, x, domain, CONFIG)
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph | graph.T)
    assert all(sink.p > 0.05 for sink in found.sinks)


def test_changes_do_not_overrule_knowledge():
    graph = digraph(3, (0, 1))
    allowed = np.ones((3, 3), bool)
    allowed[0, 1] = False
    found = search(0, graph, [True] * 3, allowed=allowed)
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph.T)
    assert found.sinks == ()
    found = search(0, graph, [True] * 3, required=graph)
    np.testing.assert_array_equal(marks.to_graph(found.marks), graph)


def test_mechanisms_are_regressions_of_each_domain():
    graph = digraph(3, (0, 2), (1, 2))
    x, domain = changing_data(3, graph)
    weight = np.where(np.arange(len(x)) % 7 == 0, 0, 1).astype(np.float32)

    @quick_jit
    def both(x, domain, weight):
        given = cdnod.moments(x, domain, weight, DOMAINS)
        parents = np.array([True, True, False])
        return cdnod.mechanism(given, 2, parents), cdnod.distribution(given, parents)

    mechanism, distribution = map(np.asarray, both(x, domain, weight))
    for k in (0, 17, DOMAINS - 1):
        rows = x[(domain == k) & (weight > 0)].astype(float)
        design = np.column_stack([rows[:, :2], np.ones(len(rows))])
        solution, residual, *_ = np.linalg.lstsq(design, rows[:, 2], rcond=None)
        expected = [*solution[:2], 0, solution[2], np.log(residual[0] / len(rows))]
        np.testing.assert_allclose(mechanism[k], expected, rtol=2e-3, atol=2e-3)
        z = np.arctanh(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1])
        expected = [*rows[:, :2].mean(axis=0), 0, *np.log(rows[:, :2].var(axis=0)), 0]
        expected += [0, z, 0, z, 0, 0, 0, 0, 0]
        np.testing.assert_allclose(distribution[k], expected, rtol=1e-3, atol=1e-3)


def test_the_permutation_test_keeps_its_level():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 150, 20, 2)).astype(np.float32)
    orders = np.stack([rng.permutation(20) for _ in range(150 * 39)])
    orders = orders.reshape(150, 39, 20)
    test = quick_jit(jax.vmap(cdnod.dependence))
    score, p = map(np.asarray, test(first, second, orders))
    # The p-values are multiples of 1/40, each as probable: the mean is 41/80.
    assert np.mean(p) == pytest.approx(41 / 80, abs=4 * 0.29 / np.sqrt(150))
    assert np.mean(p <= 0.1) < 0.2
    assert ((score > -0.2) & (score < 1)).all()
    score, p = map(np.asarray, test(first, first, orders))
    np.testing.assert_allclose(score, 1, rtol=1e-5)
    np.testing.assert_allclose(p, 1 / 40, rtol=1e-5)
