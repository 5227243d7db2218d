import itertools

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.reports.evaluation import baselines, compare_graphs, sid
from causaljax.tables import datasets

DISTANCES = ["shd", "cpdag_shd", "sid"]
CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
EMPTY = np.zeros((3, 3), int)


def all_dags(d):
    """Every DAG on d variables."""
    pairs = [(i, j) for i in range(d) for j in range(d) if i != j]
    for bits in itertools.product((0, 1), repeat=len(pairs)):
        matrix = np.zeros((d, d), int)
        matrix[tuple(zip(*pairs, strict=True))] = bits
        if nx.is_directed_acyclic_graph(digraph(matrix)):
            yield matrix


def random_dags(d, num_graphs, seed):
    rng = np.random.default_rng(seed)
    for _ in range(num_graphs):
        order = rng.permutation(d)
        matrix = np.triu(rng.random((d, d)) < rng.uniform(0.2, 0.8), 1).astype(int)
        yield matrix[order][:, order]


def digraph(matrix):
    return nx.from_numpy_array(np.asarray(matrix), create_using=nx.DiGraph)


def slow_shd(truth, estimate):
    return sum(
        (truth[i, j], truth[j, i]) != (estimate[i, j], estimate[j, i])
        for i, j in itertools.combinations(range(len(truth)), 2)
    )


def slow_class(matrix):
    """Skeleton and colliders, which tell the equivalence class."""
    d = len(matrix)
    skeleton = matrix | matrix.T
    colliders = frozenset(
        (a, b, c)
        for a, c in itertools.combinations(range(d), 2)
        for b in range(d)
        if matrix[a, b] and matrix[c, b] and not skeleton[a, c]
    )
    return skeleton.tobytes(), colliders


def slow_cpdags(dags):
    """The CPDAG of each, as the union of its class's members."""
    classes = {}
    for dag in dags:
        classes.setdefault(slow_class(dag), []).append(dag)
    return [np.bitwise_or.reduce(classes[slow_class(dag)]) for dag in dags]


def slow_accuracy(truth, estimate):
    hits = len(truth & estimate)
    precision = hits / len(estimate) if estimate else 0
    recall = hits / len(truth) if truth else 0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0
    return precision, recall, f1


def is_valid_adjustment(graph, cause, effect, adjusted):
    """The adjustment criterion of Shpitser et al. 2010 for single variables."""
    on_path = (nx.descendants(graph, cause) & nx.ancestors(graph, effect)) | (
        {effect} & nx.descendants(graph, cause)
    )
    forbidden = on_path.union(*(nx.descendants(graph, node) for node in on_path))
    if adjusted & forbidden:
        return False
    back_door = graph.copy()
    back_door.remove_edges_from([(cause, node) for node in on_path])
    return nx.is_d_separator(back_door, {cause}, {effect}, adjusted)


def slow_sid(truth, estimate):
    """Peters and Buehlmann 2015, definition and characterisation."""
    truth, estimate = digraph(truth), digraph(estimate)
    mistakes = 0
    for i, j in itertools.permutations(truth, 2):
        parents = set(estimate.predecessors(i))
        if j in parents:
            mistakes += j in nx.descendants(truth, i)
        else:
            mistakes += not is_valid_adjustment(truth, i, j, parents)
    return mistakes


def named(matrix, names):
    return pd.DataFrame(matrix, index=list(names), columns=list(names))


def test_sid_on_every_pair_of_three_variables():
    for truth, estimate in itertools.product(all_dags(3), repeat=2):
        assert sid(truth, estimate) == slow_sid(truth, estimate)


@pytest.mark.parametrize("d", [4, 5])
def test_sid_on_random_pairs(d):
    pairs = zip(random_dags(d, 150, seed=0), random_dags(d, 150, seed=1), strict=True)
    for truth, estimate in pairs:
        assert sid(truth, estimate) == slow_sid(truth, estimate)


def test_sid_forgives_surplus_edges_and_not_reversed_ones():
    truth = nx.DiGraph([("x", "y"), ("y", "z")])
    assert sid(truth, nx.DiGraph([*truth.edges, ("x", "z")])) == 0
    assert sid(truth, nx.DiGraph([("y", "x"), ("z", "y")])) == 6  # each pair


def test_distances_on_every_pair_of_three_variables():
    dags = list(all_dags(3))
    cpdags = slow_cpdags(dags)
    for (truth, truth_cpdag), (estimate, estimate_cpdag) in itertools.product(
        zip(dags, cpdags, strict=True), repeat=2
    ):
        scores = compare_graphs(truth, estimate)
        assert scores["shd"] == slow_shd(truth, estimate)
        assert scores["cpdag_shd"] == slow_shd(truth_cpdag, estimate_cpdag)


def test_accuracies_on_random_pairs():
    pairs = zip(random_dags(5, 50, seed=2), random_dags(5, 50, seed=3), strict=True)
    for truth, estimate in pairs:
        scores = compare_graphs(truth, estimate)
        edges = [set(digraph(graph).edges) for graph in (truth, estimate)]
        skeletons = [{frozenset(edge) for edge in graph} for graph in edges]
        for prefix, sets in (("", edges), ("skeleton_", skeletons)):
            expected = slow_accuracy(*sets)
            for name, value in zip(
                ("precision", "recall", "f1"), expected, strict=True
            ):
                assert scores[prefix + name] == pytest.approx(value, abs=1e-6)


def test_ranking_scores_against_scikit_learn():
    rng = np.random.default_rng(0)
    off_diagonal = ~np.eye(5, dtype=bool)
    for truth in random_dags(5, 20, seed=4):
        estimate = np.zeros_like(truth)
        strength = np.round(rng.random((5, 5)), 1)  # with ties
        for given, used in ((strength, strength), (None, estimate)):
            scores = compare_graphs(truth, estimate, strength=given)
            labels, ranking = truth[off_diagonal], used[off_diagonal]
            assert scores["auroc"] == pytest.approx(
                sklearn.metrics.roc_auc_score(labels, ranking), abs=1e-6
            )
            assert scores["auprc"] == pytest.approx(
                sklearn.metrics.average_precision_score(labels, ranking), abs=1e-6
            )


def test_scores_are_python_numbers():
    scores = compare_graphs(CHAIN, EMPTY)
    assert all(type(scores[name]) is int for name in DISTANCES)
    accuracies = [name for name in scores if name not in DISTANCES]
    assert all(type(scores[name]) is float for name in accuracies)
    assert list(scores)[:3] == DISTANCES
    assert accuracies == [
        *("precision", "recall", "f1"),
        *("skeleton_precision", "skeleton_recall", "skeleton_f1"),
        *("oriented_precision", "oriented_recall", "oriented_f1"),
        *("direction_accuracy", "auroc", "auprc"),
    ]
    assert type(sid(CHAIN, EMPTY)) is int


def test_the_truth_itself_is_perfect():
    scores = compare_graphs(CHAIN, CHAIN)
    assert {scores.pop(name) for name in DISTANCES} == {0}
    assert set(scores.values()) == {1.0}


def test_empty_truth_leaves_the_rankings_undefined():
    scores = compare_graphs(EMPTY, CHAIN)
    assert np.isnan(scores["auroc"])
    assert np.isnan(scores["auprc"])
    assert scores["precision"] == scores["f1"] == 0.0


def test_variables_are_matched_by_name():
    truth = named(CHAIN, "abc")
    for order in itertools.permutations("abc"):
        shuffled = truth.loc[list(order), list(order)]
        graph = nx.from_pandas_adjacency(shuffled, create_using=nx.DiGraph)
        for estimate in (shuffled, shuffled.loc[list("cab")], graph):
            scores = compare_graphs(truth, estimate, strength=shuffled)
            assert scores["shd"] == scores["sid"] == 0
            assert scores["auroc"] == 1.0
            assert sid(truth, estimate) == 0
    # Arrays take the order of what has names.
    assert compare_graphs(truth, CHAIN)["shd"] == 0
    assert compare_graphs(truth.loc[list("cba"), list("cba")], CHAIN)["shd"] == 2
    backwards = truth.loc[list("cba"), list("cba")]
    assert compare_graphs(CHAIN, truth, strength=backwards)["auroc"] == 1.0


def test_weights_of_a_networkx_graph_are_not_read():
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([(0, 1, 0.0), (1, 2, -3.5)])
    assert compare_graphs(CHAIN, graph)["shd"] == 0
    assert compare_graphs(CHAIN, nx.MultiDiGraph([*graph.edges] * 2))["shd"] == 0


def test_kinds_of_number_do_not_matter():
    expected = pytest.approx(compare_graphs(CHAIN, EMPTY), nan_ok=True)
    for dtype in (bool, np.int8, float, object):
        assert compare_graphs(CHAIN.astype(dtype), EMPTY.astype(dtype)) == expected
    nullable = named(CHAIN, "abc").astype("Int64")
    assert compare_graphs(nullable, EMPTY) == expected


def test_arguments_are_left_alone():
    truth, estimate = named(CHAIN, "abc"), named(CHAIN, "cab")
    before = truth.copy(), estimate.copy()
    compare_graphs(truth, estimate, strength=estimate)
    pd.testing.assert_frame_equal(truth, before[0])
    pd.testing.assert_frame_equal(estimate, before[1])


@pytest.mark.parametrize(
    ("truth", "estimate", "message"),
    [
        (named(CHAIN, "abc"), named(CHAIN, "abd"), r"\['d'\] more and lacks \['c'\]"),
        (CHAIN, np.zeros((4, 4)), "estimate has 4 variables, truth has 3"),
        (CHAIN, np.zeros((3, 2)), "estimate must be a square matrix"),
        (CHAIN, np.zeros(3), "estimate must be a square matrix"),
        (np.zeros((1, 1)), np.zeros((1, 1)), "d at least 2"),
        (CHAIN, CHAIN * 0.7, "estimate must hold only 0 and 1, not 0.7; set a thr"),
        (CHAIN, np.full((3, 3), np.nan), "only 0 and 1, not nan"),
        (named(CHAIN, "abc"), named(CHAIN, "aab"), "two columns of one name"),
        (pd.DataFrame(CHAIN, columns=list("abc")), CHAIN, "index_col=0"),
        (CHAIN, np.eye(3), "estimate must be acyclic.*the cycle 0 -> 0"),
        (
            pd.DataFrame(CHAIN, index=[1, "nan", 7], columns=["1", "NA", "007"]),
            CHAIN,
            r"one only: \['007', '7', 'NA', 'nan'\].*causaljax\.read_result",
        ),
        (named(CHAIN, [1, "1", "a"]), CHAIN, "two columns of one name"),
        (
            named(CHAIN, "abc"),
            nx.DiGraph(["ab", "bc", "ca"]),
            "SID and CPDAG SHD.*the cycle a -> b -> c -> a",
        ),
    ],
)
def test_mistakes_are_named(truth, estimate, message):
    with pytest.raises(ValueError, match=message):
        compare_graphs(truth, estimate)
    with pytest.raises(ValueError, match=message):
        sid(truth, estimate)


@pytest.mark.parametrize(
    ("strength", "message"),
    [
        (np.full((3, 3), np.nan), "strength must be finite"),
        (np.zeros((2, 2)), "strength has 2 variables, truth has 3"),
        (named(np.zeros((3, 3)), "abd"), "strength does not name the same variables"),
    ],
)
def test_mistakes_in_the_strength_are_named(strength, message):
    with pytest.raises(ValueError, match=message):
        compare_graphs(named(CHAIN, "abc"), CHAIN, strength=strength)


def test_baselines_of_sachs():
    truth = datasets.load_sachs().truth
    rows = baselines(truth)
    assert list(rows) == ["empty graph", "random graph"]
    empty, random = rows.values()
    np.testing.assert_equal(empty, compare_graphs(truth, np.zeros((11, 11))))
    assert empty["shd"] == 17
    assert empty["recall"] == 0.0
    assert set(random) == set(empty)
    assert all(type(value) is float for value in random.values())
    # Among 110 ordered pairs a random edge is right 17 times.
    assert random["precision"] == pytest.approx(17 / 110, abs=0.03)
    assert random["skeleton_precision"] == pytest.approx(17 / 55, abs=0.04)
    assert random["precision"] == pytest.approx(random["recall"], abs=1e-6)
    assert random["auroc"] == pytest.approx(0.5, abs=0.03)
    assert random["shd"] > empty["shd"]


def test_baselines_follow_the_seed():
    np.testing.assert_equal(baselines(CHAIN, seed=1), baselines(CHAIN, seed=1))
    assert baselines(CHAIN, seed=1) != baselines(CHAIN, seed=2)


@pytest.mark.parametrize("graph", [CHAIN + CHAIN.T, np.roll(np.eye(3), 1, axis=0)])
def test_baselines_and_sid_refuse_a_cycle(graph):
    with pytest.raises(ValueError, match="truth must be acyclic"):
        baselines(graph)
    with pytest.raises(ValueError, match="estimate must be acyclic"):
        sid(CHAIN, graph)


def test_numbers_and_their_text_are_one_name():
    """Estimators name columns by text; a truth made by hand often has numbers."""
    truth = named(CHAIN, [1, 2, 3])
    for estimate in (named(CHAIN, "123"), nx.DiGraph([("1", "2"), ("2", "3")])):
        assert compare_graphs(truth, estimate)["shd"] == 0
        assert compare_graphs(estimate, truth, strength=truth)["auroc"] == 1
    mixed = pd.DataFrame(CHAIN, index=[1, 2, 3], columns=list("123"))  # plain read_csv
    assert compare_graphs(mixed, truth)["shd"] == 0
    with pytest.raises(ValueError, match=r"\['1.0'\] more and lacks \['1'\]"):
        compare_graphs(truth, named(CHAIN, [1.0, "2", "3"]))


# Graphs that stand for a class


def test_classes_are_compared_on_every_pair_of_three_variables():
    dags = list(all_dags(3))
    cpdags = slow_cpdags(dags)
    for truth, real in zip(dags, cpdags, strict=True):
        for found in {cpdag.tobytes(): cpdag for cpdag in cpdags}.values():
            scores = compare_graphs(truth, found)
            assert scores["shd"] == slow_shd(truth, found)
            assert scores["cpdag_shd"] == slow_shd(real, found)
            assert np.isnan(scores["sid"]) == bool((found & found.T).any())
            edges = [
                set(zip(*graph.nonzero(), strict=True)) for graph in (truth, found)
            ]
            skeletons = [{frozenset(edge) for edge in graph} for graph in edges]
            for prefix, sets in (("", edges), ("skeleton_", skeletons)):
                precision, recall, _ = slow_accuracy(*sets)
                assert scores[f"{prefix}precision"] == pytest.approx(precision)
                assert scores[f"{prefix}recall"] == pytest.approx(recall)
            both_ways = compare_graphs(found, truth)
            assert both_ways["shd"] == scores["shd"]
            assert both_ways["cpdag_shd"] == scores["cpdag_shd"]


def test_a_class_is_that_of_each_of_its_members():
    for dag in random_dags(6, 10, seed=5):
        cpdag = np.asarray(dag_to_cpdag(dag)).astype(int)
        assert compare_graphs(dag, cpdag)["cpdag_shd"] == 0
        # So is one in which knowledge directs some edges more.
        part = cpdag.copy()
        part[:3][dag.T[:3] == 1] = 0
        assert compare_graphs(dag, part)["cpdag_shd"] == 0


@pytest.mark.parametrize(
    "edges",
    [
        ["01", "10", "12", "21", "23", "32", "30", "03"],  # a ring without a chord
        ["01", "12", "21", "32"],  # 0 -> 1 - 2 <- 3
    ],
)
def test_graphs_that_stand_for_no_dag_have_no_class(edges):
    graph = np.zeros((4, 4), int)
    for i, j in edges:
        graph[int(i), int(j)] = 1
    scores = compare_graphs(np.zeros((4, 4)), graph)
    assert np.isnan(scores["cpdag_shd"])
    assert scores["shd"] == len({frozenset(edge) for edge in edges})


def test_skeleton_and_directions_are_two_scores():
    """On Sachs all six adjacencies were right and all six arrows wrong."""
    truth = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    scores = compare_graphs(truth, truth.T)
    assert scores["skeleton_f1"] == 1
    assert scores["oriented_f1"] == scores["direction_accuracy"] == 0
    half = truth | truth.T
    half[0, 1] = 0  # now 1 -> 0, and 1 - 2 - 3 is open
    scores = compare_graphs(truth, half)
    assert scores["oriented_precision"] == scores["oriented_f1"] == pytest.approx(1 / 3)
    assert scores["direction_accuracy"] == 0
    assert np.isnan(compare_graphs(truth, truth | truth.T)["direction_accuracy"])
    assert compare_graphs(truth, truth | truth.T)["oriented_f1"] == 0.5
    assert compare_graphs(half, half)["oriented_f1"] == 1
