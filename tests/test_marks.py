"""End marks, Meek's rules and ancestral graphs, against brute force."""

import collections
import functools
import itertools

import networkx as nx
import numpy as np
import pytest

from causaljax.graphs import ancestral, marks, meek, pag
from causaljax.graphs.blocks import blocks
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import ancestors
from causaljax.graphs.marks import Mark
from causaljax.graphs.members import members
from causaljax.graphs.separation import Separation

TAIL, ARROW, CIRCLE = Mark.TAIL, Mark.ARROW, Mark.CIRCLE
KINDS = [(0, 0), (TAIL, ARROW), (ARROW, TAIL), (ARROW, ARROW), (TAIL, TAIL)]


def with_edges(d, edges):
    """Marks of edges written as "0 o-> 1"."""
    made = np.zeros((d, d), np.int8)
    for edge in edges:
        i, kind, j = edge.split()
        i, j = int(i), int(j)
        made[j, i] = {"-": TAIL, "<": ARROW, "o": CIRCLE}[kind[0]]
        made[i, j] = {"-": TAIL, ">": ARROW, "o": CIRCLE}[kind[-1]]
    return made


@functools.cache
def all_dags(d):
    """Every DAG over d variables, ``[.., d, d]`` bool."""
    pairs, found = list(itertools.combinations(range(d), 2)), []
    for kinds in itertools.product(range(3), repeat=len(pairs)):
        graph = np.zeros((d, d), bool)
        for kind, (i, j) in zip(kinds, pairs, strict=True):
            graph[i, j], graph[j, i] = kind == 1, kind == 2
        paths = np.linalg.matrix_power(graph + np.eye(d), d) > 0
        if (paths & paths.T).sum() == d:
            found.append(graph)
    return np.stack(found)


def classes_of_dags(d):
    """Of each Markov equivalence class, its members, told apart by the definition."""
    found = collections.defaultdict(list)
    for graph in all_dags(d):
        joined = graph | graph.T
        colliders = tuple(
            (i, k, j)
            for i, j in itertools.combinations(range(d), 2)
            for k in range(d)
            if graph[i, k] and graph[j, k] and not joined[i, j]
        )
        found[joined.tobytes(), colliders].append(graph)
    return [np.stack(group) for group in found.values()]


def mixed_graphs(d, pairs=None, kinds=KINDS):
    pairs = list(itertools.combinations(range(d), 2)) if pairs is None else pairs
    for chosen in itertools.product(kinds, repeat=len(pairs)):
        made = np.zeros((d, d), np.int8)
        for (at_i, at_j), (i, j) in zip(chosen, pairs, strict=True):
            made[j, i], made[i, j] = at_i, at_j
        yield made


def questions(d):
    for i, j in itertools.combinations(range(d), 2):
        rest = [k for k in range(d) if k not in (i, j)]
        for size in range(d - 1):
            for given in itertools.combinations(rest, size):
                yield i, j, given


def independences(separation, d):
    return tuple(separation.separated(*question) for question in questions(d))


@functools.cache
def classes_of_mags(d):
    """Of each Markov equivalence class of MAGs, its members."""
    found = collections.defaultdict(list)
    for graph in mixed_graphs(d):
        if ancestral.is_mag(graph):
            found[independences(Separation(graph), d)].append(graph)
    return {model: np.stack(group) for model, group in found.items()}


def in_common(group):
    """Marks that all graphs have, circles elsewhere."""
    return np.where((group == group[0]).all(axis=0), group[0], CIRCLE)


def without_selection(group):
    """Those without undirected edges."""
    undirected = (group == TAIL) & (group.swapaxes(1, 2) == TAIL)
    return group[~undirected.any(axis=(1, 2))]


def random_dag(rng, d, edge_prob):
    order = rng.permutation(d)
    return np.triu(rng.random((d, d)) < edge_prob, 1)[np.ix_(order, order)]


# Marks


def test_graphs_come_back_from_their_marks():
    for graph in all_dags(3):
        both = graph | (np.arange(9).reshape(3, 3) % 2 == 1) & graph.T
        np.testing.assert_array_equal(marks.to_graph(marks.from_graph(both)), both)


def test_edges_are_drawn_as_they_are_written():
    written = ["-->", "<--", "<->", "---", "o->", "<-o", "o-o", "--o", "o--"]
    for edge in written:
        assert marks.drawn(with_edges(2, [f"0 {edge} 1"]), 0, 1) == edge


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3)), r"shape \[d, d\]"),
        ([[0, 4], [1, 0]], "numbers from 0 to 3"),
        ([[1, 0], [0, 0]], "with itself"),
        ([[0, 2], [0, 0]], "between 0 and 1 has a mark at 1 only"),
    ],
)
def test_what_is_no_matrix_of_marks_is_refused(given, message):
    for check in (marks.check_marks, meek.is_cpdag, ancestral.is_mag, pag.is_pag):
        with pytest.raises(ValueError, match=message):
            check(np.array(given))


def test_marks_of_hidden_causes_are_no_graph():
    with pytest.raises(ValueError, match="0 <-> 1 is neither"):
        marks.to_graph(with_edges(2, ["0 <-> 1"]))
    with pytest.raises(ValueError, match="circles"):
        Separation(with_edges(2, ["0 o-> 1"]))
    with pytest.raises(ValueError, match="variable 1 is both"):
        ancestral.latent_projection(np.zeros((2, 2), bool), [1], [1])


def test_unshielded_triples_are_all_of_them():
    rng = np.random.default_rng(0)
    for d in (1, 2, 5, 9):
        joined = np.triu(rng.random((d, d)) < 0.4, 1)
        joined = joined | joined.T
        expected = [
            [a, b, c]
            for b in range(d)
            for a, c in itertools.combinations(np.flatnonzero(joined[b]).tolist(), 2)
            if not joined[a, c]
        ]
        assert marks.unshielded_triples(joined).tolist() == expected


def test_blocks_are_those_of_networkx():
    rng = np.random.default_rng(0)
    for d in [0, 1, 2, 3, *range(4, 40)]:
        joined = np.triu(rng.random((d, d)) < rng.uniform(0.5, 2.5) / max(d, 1), 1)
        found = blocks(joined | joined.T)
        expected = nx.biconnected_components(nx.from_numpy_array(joined.astype(int)))
        assert sorted(np.flatnonzero(block).tolist() for block in found) == sorted(
            map(sorted, expected)
        )


# Meek's rules


def test_completed_graphs_are_the_unions_of_their_classes():
    classes = classes_of_dags(4)
    assert len(classes) == 185  # Gillispie and Perlman 2002, table 1
    for group in classes:
        expected = group.any(axis=0)
        assert marks.to_graph(marks.from_graph(expected)).tolist() == expected.tolist()
        for graph in (group[0], group[-1]):
            np.testing.assert_array_equal(meek.completed(graph), expected)


def test_the_host_completes_graphs_as_the_device_does():
    graph = random_dag(np.random.default_rng(1), 12, 0.3)
    np.testing.assert_array_equal(meek.completed(graph), dag_to_cpdag(graph))


def test_cpdags_are_exactly_the_graphs_that_stand_for_a_class():
    expected = {group.any(axis=0).tobytes() for group in classes_of_dags(4)}
    kinds = [(0, 0), (TAIL, ARROW), (ARROW, TAIL), (TAIL, TAIL)]
    found = {
        marks.to_graph(graph).tobytes()
        for graph in mixed_graphs(4, kinds=kinds)
        if meek.is_cpdag(graph)
    }
    assert found == expected
    assert not meek.is_cpdag(with_edges(2, ["0 <-> 1"]))
    assert not meek.is_cpdag(with_edges(2, ["0 o-> 1"]))


def test_meek_with_knowledge_finds_all_that_follows():
    """What is directed is what all members that obey have in common."""
    rng = np.random.default_rng(0)
    told = 0
    for group in classes_of_dags(4):
        graph = group.any(axis=0)
        for _ in range(3):
            # Edges of a member, demanded or with their reverse forbidden.
            member, which = rng.choice(group), rng.random((2, 4, 4)) < 0.3
            required, allowed = member & which[0], ~(member & which[1]).T
            allowed &= ~required.T
            obey = [
                dag
                for dag in group
                if not (dag & ~allowed).any() and not (required & ~dag).any()
            ]
            given = meek.with_knowledge(graph, allowed, required)
            noncolliders = marks.unshielded_triples(graph | graph.T)
            a, b, c = noncolliders.T
            real = graph & ~graph.T
            noncolliders = noncolliders[~(real[a, b] & real[c, b])]
            found = meek.close(given, noncolliders, allowed)
            np.testing.assert_array_equal(found, np.any(obey, axis=0))
            told += (found != given).sum()
    assert told > 50


def test_rules_never_turn_what_is_known_and_close_no_cycle():
    rng = np.random.default_rng(1)
    for _ in range(300):
        d = 7
        dag = random_dag(rng, d, 0.5)
        # Directed at random, so that rules contradict each other and knowledge.
        graph = dag | dag.T & (rng.random((d, d)) < 0.6)
        allowed = rng.random((d, d)) < 0.8
        found = meek.close(graph, allowed=allowed)
        assert not (found & ~graph).any()
        assert (found | found.T).tolist() == (graph | graph.T).tolist()
        newly = found & ~found.T & graph.T
        assert not (newly & ~allowed).any()
        above = ancestors(found & ~found.T)
        assert (above & above.T).sum() == d


def test_undecided_triples_direct_nothing():
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 0]], bool)  # 0 -> 1 - 2
    assert meek.close(chain)[2, 1] == 0
    none = np.zeros((0, 3), int)
    np.testing.assert_array_equal(meek.close(chain, none), chain)


# Separation


def test_d_separation_is_that_of_networkx():
    rng = np.random.default_rng(0)
    for graph in [*all_dags(3), *(random_dag(rng, 6, 0.4) for _ in range(15))]:
        d, found = len(graph), Separation(marks.from_graph(graph))
        reference = nx.from_numpy_array(graph.astype(int), create_using=nx.DiGraph)
        for i, j, given in itertools.islice(questions(d), 0, None, 3):
            expected = nx.is_d_separator(reference, {i}, {j}, set(given))
            assert found.separated(i, j, given) == expected
            assert found.separated(j, i, given) == expected


def test_observed_variables_may_be_numbers_of_numpy():
    graph = marks.from_graph(random_dag(np.random.default_rng(0), 5, 0.5))
    one, other = Separation(graph, np.arange(1, 5)), Separation(graph, range(1, 5))
    assert independences(one, 4) == independences(other, 4)


def test_a_projection_keeps_the_independences_and_the_ancestors():
    rng = np.random.default_rng(0)
    odd = 0
    for _ in range(150):
        d, hidden, chosen = 4, rng.integers(0, 3), rng.integers(0, 3)
        graph = random_dag(rng, d + hidden + chosen, 0.4)
        latent = range(d, d + hidden)
        selected = range(d + hidden, d + hidden + chosen)
        found = ancestral.latent_projection(graph, latent, selected)
        assert ancestral.is_mag(found)
        whole = Separation(marks.from_graph(graph), range(d), selected)
        assert independences(Separation(found), d) == independences(whole, d)
        above = ancestors(graph)
        tail = above[:d, :d] | above[:d, selected].any(axis=1)[:, None]
        expected = np.where(tail.T, TAIL, ARROW)
        np.testing.assert_array_equal(found, np.where(found > 0, expected, 0))
        odd += not (marks.directed(found) | marks.directed(found).T)[found > 0].all()
    assert odd > 30


def test_a_test_from_a_graph_answers_a_batch():
    collider = Separation(marks.from_graph([[0, 0, 1], [0, 0, 1], [0, 0, 0]]))
    x, y = np.array([0, 0, 0]), np.array([1, 1, 2])
    z, used = np.array([[2], [2], [1]]), np.array([[False], [True], [True]])
    assert collider.test()(x, y, z, used).tolist() == [0, -np.inf, -np.inf]


# Ancestral graphs


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        (["0 --> 1", "1 --> 2", "2 --> 0"], False),  # a cycle
        (["0 --> 1", "1 --> 2", "2 <-> 0"], False),  # an arrow at an ancestor
        (["0 --- 1", "2 --> 1"], False),  # an arrow beside an undirected edge
        (["0 --- 1", "1 --- 2"], True),
        # 0 <-> 1 <-> 2 <-> 3, 1 -> 3 and 2 -> 0: an inducing path from 0 to 3.
        (["0 <-> 1", "1 <-> 2", "2 <-> 3", "1 --> 3", "2 --> 0"], False),
        (["0 <-> 1", "1 <-> 2", "2 <-> 3", "1 --> 3", "2 --> 0", "0 <-> 3"], True),
        (["0 o-> 1"], False),
    ],
)
def test_maximal_ancestral_graphs_are_told_from_others(edges, expected):
    assert ancestral.is_mag(with_edges(4, edges)) == expected


def test_a_mag_separates_what_it_does_not_join():
    """Maximal by the definition: what is not joined, some set separates."""
    expected = {
        graph.tobytes() for group in classes_of_mags(4).values() for graph in group
    }
    found = set()
    for graph in mixed_graphs(4):
        at_ancestor = (graph == ARROW) & ancestors(marks.directed(graph)).T
        undirected = ((graph == TAIL) & (graph.T == TAIL)).any(axis=0)
        if at_ancestor.any() or (undirected & (graph == ARROW).any(axis=0)).any():
            continue
        separation = Separation(graph)
        apart = {q[:2] for q in questions(4) if separation.separated(*q)}
        if apart == {tuple(pair) for pair in np.argwhere(np.triu(graph == 0, 1))}:
            found.add(graph.tobytes())
    assert found == expected


@pytest.mark.parametrize(("d", "number"), [(3, 11), (4, 251)])
def test_pags_are_what_all_members_have_in_common(d, number):
    classes = classes_of_mags(d)
    assert len(classes) == number
    for group in classes.values():
        expected = in_common(group)
        for graph in (group[0], group[-1]):
            np.testing.assert_array_equal(pag.mag_to_pag(graph), expected)
        assert pag.is_pag(expected)
        directed = without_selection(group)
        if len(directed):
            expected = in_common(directed)
            found = pag.mag_to_pag(directed[0], selection=False)
            np.testing.assert_array_equal(found, expected)
            assert pag.is_pag(expected, selection=False)


def test_pags_are_exactly_the_marks_that_stand_for_a_class():
    kinds = [(0, 0), *itertools.product([TAIL, ARROW, CIRCLE], repeat=2)]
    found = {g.tobytes() for g in mixed_graphs(3, kinds=kinds) if pag.is_pag(g)}
    groups = classes_of_mags(3).values()
    assert found == {in_common(group).astype(np.int8).tobytes() for group in groups}


@pytest.mark.slow
def test_pags_of_five_variables_are_what_all_members_have_in_common():
    rng = np.random.default_rng(0)
    done = 0
    while done < 25:
        size = 5 + rng.integers(1, 5)
        graph = random_dag(rng, size, rng.uniform(0.25, 0.6))
        num_selected = min(rng.integers(0, 3), size - 5)
        selected, latent = range(5, 5 + num_selected), range(5 + num_selected, size)
        mag = ancestral.latent_projection(graph, latent, selected)
        pairs = np.argwhere(np.triu(mag > 0)).tolist()
        if not 5 <= len(pairs) <= 7:
            continue
        model = independences(Separation(mag), 5)
        group = [
            other
            for other in mixed_graphs(5, pairs, KINDS[1:])
            if ancestral.is_mag(other) and independences(Separation(other), 5) == model
        ]
        expected = in_common(np.stack(group))
        np.testing.assert_array_equal(pag.mag_to_pag(mag), expected)
        assert pag.is_pag(expected)
        done += 1


R4 = ["0 o-> 1", "1 <-> 2", "1 --> 3", "2 o-o 3"]
SQUARE = ["0 o-o 1", "1 o-o 2", "2 o-o 3", "3 o-o 0"]


@pytest.mark.parametrize(
    ("given", "expected", "colliders"),
    [
        (["0 o-> 1", "1 o-o 2"], ["0 o-> 1", "1 --> 2"], []),
        (["0 --> 1", "1 o-> 2", "0 o-o 2"], ["0 --> 1", "1 o-> 2", "0 o-> 2"], []),
        (["0 o-> 1", "1 --> 2", "0 o-o 2"], ["0 o-> 1", "1 --> 2", "0 o-> 2"], []),
        (
            ["0 o-> 3", "1 o-> 3", "0 o-o 2", "1 o-o 2", "2 o-o 3"],
            ["0 o-> 3", "1 o-> 3", "0 o-o 2", "1 o-o 2", "2 o-> 3"],
            [(0, 3, 1)],
        ),
        (SQUARE, ["0 --- 1", "1 --- 2", "2 --- 3", "3 --- 0"], []),
        (SQUARE, SQUARE, [(0, 1, 2)]),  # an undecided triple breaks the circle
        (["0 --- 1", "1 o-o 2"], ["0 --- 1", "1 --o 2"], []),
        (["0 --o 1", "1 o-o 2"], ["0 --o 1", "1 --o 2"], []),
        (["0 --> 1", "1 --> 2", "0 o-> 2"], ["0 --> 1", "1 --> 2", "0 --> 2"], []),
        (["0 --o 1", "1 --> 2", "0 o-> 2"], ["0 --o 1", "1 --> 2", "0 --> 2"], []),
        (
            ["0 o-o 1", "1 o-o 2", "2 o-> 3", "0 o-> 3"],
            ["0 o-o 1", "1 o-o 2", "2 --> 3", "0 --> 3"],
            [(0, 3, 2)],
        ),
        (
            ["0 o-> 3", "1 --> 3", "2 --> 3", "0 o-o 1", "0 o-o 2"],
            ["0 --> 3", "1 --> 3", "2 --> 3", "0 o-o 1", "0 o-o 2"],
            [(1, 3, 2)],
        ),
    ],
    ids=[
        "R1",
        "R2",
        "R2b",
        "R3",
        "R5",
        "R5-undecided",
        "R6",
        "R7",
        "R8",
        "R8b",
        "R9",
        "R10",
    ],
)
def test_each_rule_says_what_it_should(given, expected, colliders):
    start = with_edges(4, given)
    triples = marks.unshielded_triples(start > 0)
    known = [t for t in triples.tolist() if tuple(t) not in colliders]
    known = np.array(known, int).reshape(-1, 3)
    found = pag.complete(start, known, lambda *_: None)
    np.testing.assert_array_equal(found, with_edges(4, expected))
    # Of undecided triples, only rules that need none say something.
    none = pag.complete(start, known[:0], lambda *_: None)
    same = (none == start).all()
    assert same == (len(known) > 0 and given[0] != "0 --- 1" and given[-1] != "0 o-> 2")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, ["0 o-> 1", "1 <-> 2", "1 --> 3", "2 --> 3"]),
        (False, ["0 o-> 1", "1 <-> 2", "1 --> 3", "2 <-> 3"]),
        (None, ["0 o-> 1", "1 <-> 2", "1 --> 3", "2 o-> 3"]),
    ],
)
def test_a_discriminating_path_tells_its_last_collider(answer, expected):
    asked = []

    def discriminate(*path):
        asked.append(path)
        return answer

    found = pag.complete(with_edges(4, R4), np.zeros((0, 3), int), discriminate)
    np.testing.assert_array_equal(found, with_edges(4, expected))
    assert set(asked) == {(0, 1, 2, 3)}


def test_graphs_of_other_kinds_have_no_pag():
    with pytest.raises(ValueError, match="not those of a maximal"):
        pag.mag_to_pag(with_edges(3, ["0 --> 1", "1 --> 2", "2 --> 0"]))
    with pytest.raises(ValueError, match="no undirected"):
        pag.mag_to_pag(with_edges(2, ["0 --- 1"]), selection=False)
    square = with_edges(4, ["0 o-o 1", "1 o-o 2", "2 o-o 3", "3 o-o 0"])
    assert not pag.is_pag(square)
    assert pag.is_pag(np.where(square > 0, TAIL, 0))
    assert not pag.is_pag(np.where(square > 0, TAIL, 0), selection=False)


def test_members_of_a_cpdag_are_its_class():
    for group in itertools.islice(classes_of_dags(4), 0, None, 10):
        found = {dag.tobytes() for dag in members(group.any(axis=0))}
        assert found == {dag.tobytes() for dag in group}


def hidden_causes_of_edges(observed, hidden):
    """By MAG: its marks, and which pairs some DAG of it gives a hidden common cause."""
    found = {}
    for graph in all_dags(observed + hidden):
        mag = ancestral.latent_projection(graph, range(observed, len(graph)))
        _, shared = found.setdefault(mag.tobytes(), (mag, np.zeros(mag.shape, bool)))
        for row in graph[observed:, :observed]:
            shared |= row[:, None] & row
    return found.values()


@pytest.mark.parametrize("hidden", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_visible_edges_are_those_that_no_dag_gives_a_hidden_common_cause(hidden):
    number = 0
    for mag, shared in hidden_causes_of_edges(3, hidden):
        seen, told = pag.visible(mag), marks.directed(mag)
        assert not (seen & ~told).any()
        assert not (seen & shared).any()
        # Each <-> takes one hidden variable, and what is not visible takes another.
        if np.triu((mag == ARROW) & (mag.T == ARROW)).sum() < hidden:
            np.testing.assert_array_equal(seen, told & ~shared)
        number += seen.sum()
    assert number > 0


def test_an_edge_visible_in_a_class_is_so_in_each_member():
    number = 0
    for group in classes_of_mags(4).values():
        group = without_selection(np.stack(group))
        if not len(group):
            continue
        seen = pag.visible(in_common(group))
        number += seen.sum()
        for mag in group:
            assert not (seen & ~pag.visible(mag)).any()
    assert number == 60


def test_a_path_of_colliders_makes_an_edge_visible():
    """0 *-> 1 <-> 2 --> 3, where 1 is a parent of 3, too, and 0 and 3 are apart."""
    path = with_edges(4, ["0 --> 1", "1 <-> 2", "2 --> 3", "1 --> 3"])
    assert pag.visible(path)[2, 3]
    assert pag.visible(path)[1, 3]
    broken = with_edges(4, ["0 --> 1", "1 --> 2", "2 --> 3", "1 --> 3"])
    assert not pag.visible(broken)[2, 3]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (["0 --> 1", "0 --> 1", "0 <-> 1"], "-->"),
        (["0 --> 1", "0 o-> 1"], "o->"),  # ties
        (["0 --> 1", "1 --> 0"], "o-o"),
        (["0 --> 1", "0 <-> 1", "0 <-> 1"], "<->"),
        (["0 --> 1", "0 <-> 1"], "o->"),
    ],
)
def test_ties_go_to_the_mark_that_says_least(drawn, expected):
    graphs = np.stack([with_edges(2, [edge]) for edge in drawn])
    shown = marks.consensus(graphs)
    assert marks.drawn(shown, 0, 1) == expected
    np.testing.assert_array_equal(marks.consensus(graphs[:, ::-1, ::-1]), shown.T)


def test_a_pair_is_joined_if_half_of_the_graphs_join_it():
    edge, none = with_edges(2, ["0 --> 1"]), np.zeros((2, 2), np.int8)
    assert marks.consensus(np.stack([edge, none])).any()
    assert not marks.consensus(np.stack([edge, none, none])).any()


def test_shares_of_directions_are_those_of_the_graphs():
    graphs = [["0 --> 1"], ["0 <-> 1"], ["0 --- 1"], []]
    graphs = np.stack([with_edges(2, edges) for edges in graphs])
    shares = marks.direction_shares(graphs)
    np.testing.assert_array_equal(shares, [[0, 0.375], [0.125, 0]])


def test_marks_that_point_along_a_cycle_say_nothing_more():
    rng, opened = np.random.default_rng(0), 0
    kinds = [*KINDS, (CIRCLE, ARROW), (ARROW, CIRCLE), (CIRCLE, CIRCLE)]
    for _ in range(200):
        given = np.zeros((6, 6), np.int8)
        for i, j in itertools.combinations(range(6), 2):
            given[j, i], given[i, j] = kinds[rng.integers(len(kinds))]
        mended = marks.without_cycles(given)
        may = marks.may_point(mended)
        one_way = may & ~may.T
        assert nx.is_directed_acyclic_graph(nx.DiGraph(one_way))
        changed = mended != given
        opened += changed.any()
        assert (mended[changed] == CIRCLE).all()
        before = marks.may_point(given)
        before &= ~before.T
        # Only edges of cycles are changed.
        parts = list(nx.strongly_connected_components(nx.DiGraph(before)))
        for i, j in np.argwhere(changed):
            assert any({i, j} <= part for part in parts)
    assert 20 < opened < 200
