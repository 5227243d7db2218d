"""PC and FCI: exact where the test knows the graph, sound where it errs."""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import test_marks
from scipy.special import log_ndtr
from test_marks import (
    all_dags,
    classes_of_dags,
    classes_of_mags,
    in_common,
    random_dag,
    with_edges,
    without_selection,
)

from causaljax.graphs import ancestral, marks, meek, pag
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.graphs.members import members
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import colliders, fci, pc, questions

PC, FCI = pc.Config(), fci.Config()
# These tests take as long for a question that fills a batch as for another.
SMALL = (8, 64, 1024)
pc_search = functools.partial(pc.search, batches=SMALL)
fci_search = functools.partial(fci.search, batches=SMALL)
SEARCHES = {"pc": (pc_search, pc.Config), "fci": (fci_search, fci.Config)}


def knowing(graph, observed=None, selected=()):
    """A test that knows a DAG or a MAG."""
    graph = marks.from_graph(graph) if graph.dtype == bool else graph
    return Separation(graph, observed, selected).test()


def graph_of(found):
    return marks.to_graph(found.marks)


def fisher_z(table):
    """A test of data, one question at a time."""
    precision_of = functools.cache(
        lambda columns: np.linalg.inv(np.corrcoef(table[:, columns], rowvar=False))
    )

    def test(x, y, z, used):
        found = []
        for i, j, given, live in zip(x, y, z, used, strict=True):
            columns = (i, j, *sorted(given[live]))
            inner = precision_of(columns)
            r = -inner[0, 1] / np.sqrt(inner[0, 0] * inner[1, 1])
            scale = np.sqrt(len(table) - len(columns) - 1)
            found.append(np.log(2) + log_ndtr(-scale * np.abs(np.arctanh(r))))
        return np.array(found)

    return test


def arbitrary(seed):
    """A test whose answers have no graph behind them, the same to the same question."""

    def test(x, y, z, used):
        found = []
        for i, j, given, live in zip(x, y, z, used, strict=True):
            words = [seed, *sorted((i, j)), 99, *sorted(given[live])]
            found.append(np.random.default_rng(words).random())
        return np.log(found)

    return test


def simulated(rng, d, num_rows=300):
    graph = random_dag(rng, d, 2.5 / d)
    weights = graph * rng.uniform(0.5, 1.5, (d, d)) * rng.choice([-1, 1], (d, d))
    return rng.normal(size=(num_rows, d)) @ np.linalg.inv(np.eye(d) - weights)


# Lists of questions


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_rounds_ask_about_every_set_once(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        d = 8
        member = rng.random((d, d)) < 0.5
        np.fill_diagonal(member, False)
        lists = questions.candidates(member, rng.normal(size=(d, d)))
        pairs = np.array([[0, 1], [2, 5], [3, 4]])
        asked = [
            (pair, tuple(sorted(given)))
            for some in questions.rounds(pairs, lists, size, np.ones(3, bool))
            for pair, given in zip(some.pair, some.sets.tolist(), strict=True)
        ]
        expected = {
            (k, given)
            for k, (i, j) in enumerate(pairs)
            for own, other in ((i, j), (j, i))
            for given in itertools.combinations(
                np.flatnonzero(member[own] & (np.arange(d) != other)).tolist(), size
            )
        }
        assert len(asked) == len(expected)
        assert set(asked) == expected


def test_a_pair_that_is_dropped_is_asked_about_no_more():
    lists = questions.candidates(~np.eye(9, dtype=bool), np.zeros((9, 9)))
    waiting, seen = np.ones(2, bool), []
    for some in questions.rounds(np.array([[0, 1], [2, 3]]), lists, 2, waiting):
        seen.append(set(some.pair.tolist()))
        waiting[0] = False
    assert seen[0] == {0, 1}
    assert all(pairs == {1} for pairs in seen[1:])
    assert len(seen) > 2


def test_batches_have_few_shapes_and_change_no_answer(monkeypatch):
    table, shapes = simulated(np.random.default_rng(0), 14), set()
    test = fisher_z(table)

    def watched(x, y, z, used):
        assert x.shape == y.shape == z.shape[:1]
        assert z.shape == used.shape
        assert {x.dtype, y.dtype, z.dtype} == {np.dtype("int32")}
        assert used.dtype == bool
        assert ((z >= 0) & (z < 14)).all()
        shapes.add(z.shape)
        return test(x, y, z, used)

    found = pc.search(watched, 14, PC)
    assert {size for size, _ in shapes} <= set(questions.BATCHES)
    assert {width for _, width in shapes} <= {2, 8}
    monkeypatch.setattr(questions, "_ROUND", 1 << 20)
    again = pc.search(test, 14, PC, batches=(1, 7))
    for one, other in zip(found[:4], again[:4], strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_answer_is_no_evidence_of_independence():
    found = pc_search(lambda x, y, z, used: np.full(len(x), np.nan), 4, PC)
    assert (found.marks[~np.eye(4, dtype=bool)] == Mark.TAIL).all()
    assert not found.separated.any()


def test_one_variable_and_none_are_searched():
    for search, config in SEARCHES.values():
        for d in (0, 1, 2):
            found = search(lambda x, y, z, used: np.zeros(len(x)), d, config())
            assert found.marks.shape == (d, d)
            assert not found.marks.any()


# PC with a test that knows the graph


@pytest.mark.parametrize("rule", colliders.RULES)
def test_pc_finds_every_class_of_four(rule):
    config = pc.Config(collider_rule=rule)
    for group in classes_of_dags(4):
        found = pc_search(knowing(group[0]), 4, config)
        np.testing.assert_array_equal(graph_of(found), group.any(axis=0))


@pytest.mark.slow
def test_pc_finds_every_class_of_five():
    classes = classes_of_dags(5)
    assert len(classes) == 8782  # Gillispie and Perlman 2002, table 1
    for group in classes:
        found = pc_search(knowing(group[0]), 5, PC)
        np.testing.assert_array_equal(graph_of(found), group.any(axis=0))


def test_pc_finds_larger_graphs_and_says_why():
    rng = np.random.default_rng(0)
    for _ in range(15):
        d = 12
        graph = random_dag(rng, d, 0.2)
        found = pc_search(knowing(graph), d, PC)
        np.testing.assert_array_equal(graph_of(found), meek.completed(graph))
        separation = Separation(marks.from_graph(graph))
        apart = (found.marks == 0) & ~np.eye(d, dtype=bool)
        np.testing.assert_array_equal(found.separated, apart)
        for i, j in np.argwhere(apart):
            given = found.separators[i, j]
            assert separation.separated(i, j, given[given >= 0].tolist())
            assert found.log_p[i, j] == 0
        assert (found.log_p[found.marks > 0] == -np.inf).all()
        assert not (~found.verdicts.collider & ~found.verdicts.noncollider).any()


def statements(graphs):
    """What each of six relations says of ordered pairs in all of some DAGs.

    The textbook's: parent, child, cause by way of another, effect by way of another,
    common effect, common cause; ``[6, d, d]`` bool.
    """
    edges = graphs.astype(int)
    longer, reach = np.zeros_like(edges), edges
    for _ in range(edges.shape[-1]):
        longer = (reach @ edges > 0).astype(int)
        reach = np.maximum(edges, longer)
    back, indirect = reach.swapaxes(1, 2), longer.swapaxes(1, 2)
    relations = [edges, edges.swapaxes(1, 2), longer, indirect]
    relations += [reach @ back, back @ reach]
    return (np.stack(relations) > 0).all(axis=1)


def count_statements(d):
    """Statements of all classes of d, answered from PC's graph, and the true ones."""
    total = true = 0
    config = pc.Config(collider_rule="separator")
    off_diagonal = ~np.eye(d, dtype=bool)
    for group in classes_of_dags(d):
        found = graph_of(pc_search(knowing(group[0]), d, config))
        answer = statements(np.stack(list(members(found))))[:, off_diagonal]
        expected = statements(group)[:, off_diagonal]
        np.testing.assert_array_equal(answer, expected)
        total, true = total + expected.size, true + expected.sum()
    return total, true


def test_statements_about_classes_of_four_are_answered():
    """As Corr2Cause asks (Jin et al. 2024), with its 13,320 labels of four."""
    assert count_statements(4) == (13_320, 1_596)


@pytest.mark.slow
def test_statements_about_classes_of_five_are_answered():
    assert count_statements(5) == (1_053_840, 201_980)


# FCI with a test that knows the graph


@pytest.mark.parametrize("rule", colliders.RULES)
def test_fci_finds_every_class_of_four(rule):
    """Every DAG with hidden and selected variables has one of these projections."""
    config = fci.Config(collider_rule=rule)
    directed = fci.Config(collider_rule=rule, selection=False)
    for group in classes_of_mags(4).values():
        found = fci_search(knowing(group[0]), 4, config)
        np.testing.assert_array_equal(found.marks, in_common(group))
        others = without_selection(group)
        if rule == "separator" and len(others):
            found = fci_search(knowing(group[0]), 4, directed)
            np.testing.assert_array_equal(found.marks, in_common(others))


def check_projections(d, dags, hidden=(), selected=()):
    """FCI on DAGs, against what the MAGs of their independences have in common."""
    classes, known, observed = classes_of_mags(d), {}, range(d)
    for graph in dags:
        separation = Separation(marks.from_graph(graph), observed, selected)
        model = test_marks.independences(separation, d)
        mag = ancestral.latent_projection(graph, hidden, selected)
        assert any((mag == other).all() for other in classes[model])
        if model not in known:
            known[model] = fci_search(separation.test(), d, FCI).marks
            np.testing.assert_array_equal(known[model], in_common(classes[model]))
    return len(known)


def test_fci_is_exact_for_dags_with_hidden_and_selected_variables():
    assert check_projections(3, all_dags(4), hidden=[3]) == 11
    check_projections(3, all_dags(4), selected=[3])
    rng = np.random.default_rng(0)
    some = [random_dag(rng, 7, 0.4) for _ in range(300)]
    assert check_projections(4, some, hidden=[4], selected=[5, 6]) > 50


@pytest.mark.slow
def test_fci_is_exact_for_all_dags_of_four_and_one_hidden():
    dags = all_dags(5)
    assert len(dags) == 29_281
    check_projections(4, dags, hidden=[4])


def test_fci_finds_larger_graphs():
    rng = np.random.default_rng(1)
    circles = arrows = 0
    for _ in range(60):
        d, hidden, chosen = rng.integers(5, 9), rng.integers(1, 5), rng.integers(0, 2)
        graph = random_dag(rng, d + hidden + chosen, rng.uniform(0.15, 0.4))
        latent, selected = range(d, d + hidden), range(d + hidden, len(graph))
        test = knowing(graph, range(d), selected)
        expected = pag.mag_to_pag(ancestral.latent_projection(graph, latent, selected))
        found = fci_search(test, d, FCI).marks
        np.testing.assert_array_equal(found, expected)
        assert pag.is_pag(found)
        few = fci.Config(collider_rule="separator", most_conditions=1)
        limited = fci_search(test, d, few).marks  # the far sets make up for it
        np.testing.assert_array_equal(limited, expected)
        circles += (found == Mark.CIRCLE).sum()
        arrows += (found == Mark.ARROW).sum()
    assert circles > 100
    assert arrows > 100


# A pair of it is separated by a set with a variable that neither is joined to.
FAR = """
002022022 000220202 100000220 010000020 120002022 100010200 012001000 101120000
110010000
"""


@pytest.mark.parametrize("rule", colliders.RULES)
def test_triples_of_a_far_pair_are_judged_by_its_far_set(rule):
    mag = np.array([[int(mark) for mark in row] for row in FAR.split()], np.int8)
    test, config = Separation(mag).test(), fci.Config(collider_rule=rule)
    found = fci.search(test, len(mag), config, batches=(8, 64))
    np.testing.assert_array_equal(found.marks, pag.mag_to_pag(mag))


def with_hidden_causes(d, edges, confounded):
    graph = np.zeros((d + len(confounded),) * 2, bool)
    graph[*np.transpose(edges)] = True
    for k, pair in enumerate(confounded):
        graph[d + k, list(pair)] = True
    return graph


def test_some_pairs_only_variables_further_off_separate():
    edges = [(0, 1), (1, 2), (1, 6), (3, 5), (3, 6), (4, 5), (4, 6)]
    confounded = [(1, 5), (2, 3), (3, 4), (0, 3)]
    graph = with_hidden_causes(7, edges, confounded)
    expected = pag.mag_to_pag(ancestral.latent_projection(graph, range(7, 11)))
    test = knowing(graph, range(7))
    np.testing.assert_array_equal(fci_search(test, 7, FCI).marks, expected)
    near = fci_search(test, 7, fci.Config(far_sets=False)).marks
    more = (near > 0) & (expected == 0)
    assert more.any()
    assert not ((expected > 0) & (near == 0)).any()
    few = fci_search(test, 7, fci.Config(most_far_conditions=1)).marks
    assert (few[more] > 0).all()


# Knowledge


def random_knowledge(rng, graph):
    """(allowed, required) that a DAG obeys."""
    forbidden, required = rng.random((2, *graph.shape)) < 0.3
    return ~(forbidden & ~graph), required & graph


@pytest.mark.parametrize("rule", colliders.RULES)
def test_pc_with_knowledge_finds_what_is_left_of_a_class(rule):
    """Also where pairs are forbidden both ways, and never tested for that."""
    rng, config = np.random.default_rng(0), pc.Config(collider_rule=rule)
    told = 0
    for group in classes_of_dags(4):
        for _ in range(2):
            graph = rng.choice(group)
            allowed, required = random_knowledge(rng, graph)
            left = [
                dag
                for dag in group
                if not (dag & ~allowed).any() and not (required & ~dag).any()
            ]
            found = pc_search(knowing(graph), 4, config, allowed, required)
            np.testing.assert_array_equal(graph_of(found), np.any(left, axis=0))
            told += len(left) < len(group)
    assert told > 80


@pytest.mark.parametrize("name", SEARCHES)
@hypothesis.given(seed=st.integers(0, 2**32), rule=st.sampled_from(colliders.RULES))
@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
def test_knowledge_holds_whatever_a_test_answers(name, seed, rule):
    rng, d = np.random.default_rng(seed), 6
    allowed, required = random_knowledge(rng, random_dag(rng, d, 0.4))
    tier = rng.integers(0, 3, d)
    if not (required & (tier[:, None] > tier)).any():
        allowed &= tier[:, None] <= tier
    search, config = SEARCHES[name]
    found = search(
        arbitrary(seed), d, config(alpha=0.6, collider_rule=rule), allowed, required
    )
    made = marks.check_marks(found.marks)
    assert marks.directed(made)[required].all()
    assert not (marks.directed(made) & ~allowed).any()
    if name == "pc":
        graph = graph_of(found)
        assert not (graph & ~allowed).any()
        above = ancestors(graph & ~graph.T)
        assert (above & above.T).sum() == d


def test_knowledge_that_asks_for_a_cycle_costs_the_weakest_edge():
    allowed = ~np.roll(np.eye(3, dtype=bool), 1, axis=1)  # not 0 -> 1 -> 2 -> 0

    def test(x, y, z, used):  # all depend on each other, 0 and 2 the least
        return np.where(x + y == 2, -4.0, -9.0)

    found = pc_search(test, 3, PC, allowed)
    expected = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], bool)
    np.testing.assert_array_equal(graph_of(found), expected)
    required = np.zeros((3, 3), bool)
    required[0, 2] = True
    graph = graph_of(pc_search(test, 3, PC, allowed, required))
    assert graph[0, 2]
    assert graph.sum() == 2


def test_a_forbidden_pair_makes_no_collider():
    """As causal-learn's does (issue 224): 0 -> 1 -> 2, where 0 and 2 are apart."""
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
    allowed = ~np.eye(3, dtype=bool)
    allowed[0, 2] = allowed[2, 0] = False
    for rule in colliders.RULES:
        config = pc.Config(collider_rule=rule)
        found = pc_search(knowing(chain), 3, config, allowed)
        np.testing.assert_array_equal(graph_of(found), chain | chain.T)
        if rule == "separator":
            assert found.separators[0, 2].tolist() == [1]  # looked for although apart
        # Dependent given anything, they make no collider and no other thing.
        never = pc_search(lambda x, y, z, used: -9.0 + 0 * x, 3, config, allowed)
        np.testing.assert_array_equal(graph_of(never), chain | chain.T)
        assert not (never.verdicts.collider | never.verdicts.noncollider).any()
        found = fci_search(
            knowing(chain), 3, fci.Config(collider_rule=rule), allowed
        ).marks
        assert (found == with_edges(3, ["0 o-o 1", "1 o-o 2"])).all()


def test_a_forbidden_direction_plants_no_tail():
    """As causal-learn's does (issue 266): x, z, q, y, and u hidden; y is a sink."""
    x, z, q, y = range(4)
    edges = [(x, z), (x, y), (z, q), (q, y)]
    graph = with_hidden_causes(4, edges, [(z, y)])
    allowed = np.ones((4, 4), bool)
    allowed[y] = False
    test = knowing(graph, range(4))
    without = fci_search(test, 4, FCI).marks
    found = fci_search(test, 4, FCI, allowed).marks
    assert marks.drawn(found, z, y) == "o->"
    tails = (found == Mark.TAIL) & (without != Mark.TAIL)
    truth = ancestral.latent_projection(graph, [4])
    assert (truth[tails] == Mark.TAIL).all()
    assert (found[:3, y] == Mark.ARROW).all()


def test_fci_with_knowledge_says_nothing_that_a_member_denies():
    """What is told is true of all members that obey."""
    rng = np.random.default_rng(0)
    told = 0
    for group in classes_of_mags(4).values():
        group = without_selection(group)
        if not len(group):
            continue
        graph = rng.choice(group)
        directed = marks.directed(graph)
        forbidden, required = rng.random((2, 4, 4)) < 0.25
        allowed, required = ~(forbidden & ~directed), required & directed
        left = [
            other
            for other in group
            if not (marks.directed(other) & ~allowed).any()
            and marks.directed(other)[required].all()
        ]
        config = fci.Config(selection=False)
        found = fci_search(knowing(graph), 4, config, allowed, required).marks
        sure = found != Mark.CIRCLE
        assert (np.stack(left)[:, sure] == found[sure]).all()
        told += ((found != in_common(group)) & sure).sum()
    assert told > 50


# Tests that err


@pytest.mark.parametrize("rule", colliders.RULES)
@pytest.mark.parametrize("name", SEARCHES)
def test_the_answer_goes_with_the_columns(name, rule):
    search, config = SEARCHES[name]
    rng = np.random.default_rng(3)
    for _ in range(4):
        d = 9
        table, order = simulated(rng, d, 150), rng.permutation(d)
        found = search(fisher_z(table), d, config(collider_rule=rule))
        again = search(fisher_z(table[:, order]), d, config(collider_rule=rule))
        both = np.ix_(order, order)
        np.testing.assert_array_equal(again.marks, found.marks[both])
        np.testing.assert_allclose(again.log_p, found.log_p[both], rtol=1e-6)
        assert again.num_tests == found.num_tests
        for i, j in np.argwhere(again.separated):
            given = found.separators[order[i], order[j]]
            here = order[again.separators[i, j][again.separators[i, j] >= 0]]
            assert sorted(given[given >= 0]) == sorted(here)
        assert found.marks.any()


@hypothesis.given(
    seed=st.integers(0, 2**32),
    alpha=st.sampled_from([0.4, 0.7]),
    rule=st.sampled_from(colliders.RULES),
)
@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
def test_whatever_a_test_answers_pc_directs_no_cycle(seed, alpha, rule):
    d = 7
    config = pc.Config(alpha=alpha, collider_rule=rule)
    found = pc_search(arbitrary(seed), d, config)
    graph = graph_of(found)
    above = ancestors(graph & ~graph.T)
    assert (above & above.T).sum() == d
    # Each pair is joined if no set that was asked about separates it.
    joined, test = graph | graph.T, arbitrary(seed)
    for i, j in itertools.combinations(range(d), 2):
        if joined[i, j]:
            assert found.log_p[i, j] < np.log(alpha)
        else:
            given = found.separators[i, j]
            given = given[given >= 0][None]
            log_p = test([i], [j], given, np.ones_like(given, bool))
            assert log_p == found.log_p[i, j] >= np.log(alpha)


@hypothesis.given(seed=st.integers(0, 2**32), rule=st.sampled_from(colliders.RULES))
@hypothesis.settings(deadline=None, max_examples=25, derandomize=True)
def test_whatever_a_test_answers_fci_ends_with_marks(seed, rule):
    found = fci_search(arbitrary(seed), 6, fci.Config(alpha=0.5, collider_rule=rule))
    marks.check_marks(found.marks)
    undirected = (found.marks == Mark.TAIL) & (found.marks.T == Mark.TAIL)
    other = fci.Config(alpha=0.5, collider_rule=rule, selection=False)
    again = fci_search(arbitrary(seed), 6, other).marks
    assert ((again > 0) == (found.marks > 0)).all()
    assert not undirected.diagonal().any()


def test_limits_are_kept():
    largest = []
    test = knowing(random_dag(np.random.default_rng(0), 10, 0.5))

    def watched(x, y, z, used):
        largest.append(used.sum(axis=1).max(initial=0))
        return test(x, y, z, used)

    pc_search(watched, 10, pc.Config(most_conditions=1))
    assert max(largest) == 1
    largest.clear()
    fci_search(watched, 10, fci.Config(most_conditions=2, most_far_conditions=1))
    assert max(largest) == 2
    largest.clear()
    pc_search(watched, 10, PC)
    assert max(largest) > 2


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([(), (3,), (2, 4)], {"separator": 1, "majority": 1, "conservative": None}),
        ([(), (3,), (2,)], {"separator": 1, "majority": 1, "conservative": 1}),
        ([(4,), (3, 4)], {"separator": 0, "majority": 0, "conservative": 0}),
        ([(3,), (3, 4)], {"separator": 1, "majority": None, "conservative": None}),
    ],
)
def test_triples_are_judged_by_the_sets_that_separate(sets, expected):
    """0 - 4 - 1, of which some sets separate 0 and 1."""

    def test(x, y, z, used):
        return np.array(
            [
                0.0 if (i, j) == (0, 1) and tuple(sorted(given[live])) in sets else -9.0
                for i, j, given, live in zip(x, y, z, used, strict=True)
            ]
        )

    for rule, collider in expected.items():
        verdicts = pc_search(test, 5, pc.Config(collider_rule=rule)).verdicts
        at = verdicts.triples.tolist().index([0, 4, 1])
        assert verdicts.collider[at] == (collider == 1)
        assert verdicts.noncollider[at] == (collider == 0)


@pytest.mark.parametrize("seed", range(5))
def test_far_sets_are_of_those_that_may_be_ancestors(seed):
    table = simulated(np.random.default_rng(seed), 12, 500)[:, :9]
    near = fci_search(fisher_z(table), 9, fci.Config(far_sets=False))
    far = fci_search(fisher_z(table), 9, FCI)
    graph = (near.marks > 0).astype(int) * Mark.CIRCLE
    a, b, c = near.verdicts.triples[near.verdicts.collider].T
    graph[a, b] = graph[c, b] = Mark.ARROW
    above = ancestors((graph > 0) & (graph.T != Mark.ARROW))
    for i, j in np.argwhere(far.separated & ~near.separated):
        members = far.separators[i, j][far.separators[i, j] >= 0]
        assert (above[members, i] | above[members, j]).all()
