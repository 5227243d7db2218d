"""Tables of independences: laws, conditions and graphs, against their definitions."""

import itertools
import math

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from test_marks import all_dags, classes_of_dags

from causaljax.estimators.assumptions import diagnose_assumptions
from causaljax.graphs import independence_models, marks, meek
from causaljax.graphs.independence_models import (
    AXIOMS,
    CONDITIONS,
    Statement,
    Violation,
)
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import pc
from causaljax.kernels.constraint.independences import ask_all
from causaljax.reports import assumptions

COLLIDER = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], bool)  # 0 -> 2 <- 1
CHAIN = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)  # 0 -> 1 -> 2


def table_of(d, *statements):
    """A table of independences, each as x, y and a list."""
    independent = np.zeros((d, d, 2**d), bool)
    for x, y, given in statements:
        held = sum(1 << k for k in given)
        independent[x, y, held] = independent[y, x, held] = True
    return independent


def all_tables(d):
    """Every table of d variables, and its statements as a dict."""
    x, y, given = independence_models.statements(d)
    keys = [
        (i, j, frozenset(independence_models.members_of(c)))
        for i, j, c in zip(x.tolist(), y.tolist(), given.tolist(), strict=True)
    ]
    for answers in itertools.product([False, True], repeat=len(keys)):
        independent = np.zeros((d, d, 2**d), bool)
        independent[x, y, given] = independent[y, x, given] = answers
        yield independent, dict(zip(keys, answers, strict=True))


def covariance_test(covariance):
    """A test that knows the covariance, by the inverse of each block."""

    def test(x, y, z, used):
        found = []
        for i, j, given, live in zip(x, y, z, used, strict=True):
            columns = [i, j, *given[live]]
            inner = np.linalg.inv(covariance[np.ix_(columns, columns)])
            found.append(0 if abs(inner[0, 1]) < 1e-9 else -np.inf)
        return np.array(found)

    return test


def covariance_of(weights):
    mixing = np.linalg.inv(np.eye(len(weights)) - weights)
    return mixing.T @ mixing


def probability_test(prob):
    """A test that knows the joint probabilities, ``[r, r, ..]``."""

    def test(x, y, z, used):
        found = []
        for i, j, given, live in zip(x, y, z, used, strict=True):
            kept = [int(i), int(j), *map(int, given[live])]
            others = tuple(k for k in range(prob.ndim) if k not in kept)
            joint = prob.sum(axis=others).transpose(np.argsort(np.argsort(kept)))
            both = joint * joint.sum(axis=(0, 1))
            apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
            found.append(0 if np.allclose(both, apart) else -np.inf)
        return np.array(found)

    return test


def broken(independent, graph):
    """The names of all conditions that are violated."""
    found = {name for name, check in AXIOMS.items() if check(independent)}
    return found | {name for name, c in CONDITIONS.items() if c(independent, graph)}


def test_graphs_separate_as_walks_say():
    graphs = all_dags(4)
    said = independence_models.of_dags(graphs)
    x, y, given = independence_models.statements(4)
    for graph, table in zip(graphs[::9], said[::9], strict=True):
        separation = Separation(marks.from_graph(graph))
        for i, j, c in zip(x.tolist(), y.tolist(), given.tolist(), strict=True):
            held = independence_models.members_of(c)
            assert table[i, j, c] == table[j, i, c] == separation.separated(i, j, held)
    assert said.sum() == 2 * said[:, x, y, given].sum()  # and nothing elsewhere


@pytest.mark.parametrize("d", [2, 3, 5, 7])
def test_a_test_is_asked_about_every_pair_and_set(d):
    graph = np.triu(np.random.default_rng(d).random((d, d)) < 0.4, 1)
    asked = []
    answer = Separation(marks.from_graph(graph)).test()

    def test(x, y, z, used):
        asked.append(len(x))
        return answer(x, y, z, used)

    found = ask_all(test, d, 0.05, batches=(8, 64))
    np.testing.assert_array_equal(found, independence_models.of_dags(graph[None])[0])
    number = d * (d - 1) // 2 * 2 ** (d - 2)
    assert number <= sum(asked) <= number + 64


def test_a_pair_is_independent_from_alpha_on_and_nan_is_no_evidence():
    def test(x, y, z, used):
        first = np.where(y == 1, math.log(0.05), np.log(0.049))
        return np.where(y == 2, np.nan, first)

    found = ask_all(test, 4, 0.05, batches=(8, 64))
    assert found[0, 1, [0, 4, 8, 12]].all()
    assert found.sum() == 8


def test_axioms_are_what_they_are_by_definition_on_every_table_of_three():
    rules = {
        "semigraphoid": lambda s: [
            (x, y, z)
            for x, y, z in itertools.permutations(range(3))
            if s(x, y) and s(x, z, y) and not (s(x, z) and s(x, y, z))
        ],
        "intersection": lambda s: [
            (x, y, z)
            for x, y, z in itertools.permutations(range(3))
            if y < z and s(x, y, z) and s(x, z, y) and not (s(x, y) and s(x, z))
        ],
        "composition": lambda s: [
            (x, y, z)
            for x, y, z in itertools.permutations(range(3))
            if y < z and s(x, y) and s(x, z) and not (s(x, y, z) and s(x, z, y))
        ],
        "singleton transitivity": lambda s: [
            (x, y, z)
            for x, y, z in itertools.permutations(range(3))
            if x < y and s(x, y) and s(x, y, z) and not (s(x, z) or s(y, z))
        ],
    }
    assert rules.keys() == AXIOMS.keys()
    kept, total = {name: 0 for name in rules}, 0
    gaussoids = 0
    for independent, answers in all_tables(3):

        def says(x, y, *given, answers=answers):
            return answers[min(x, y), max(x, y), frozenset(given)]

        for name, rule in rules.items():
            found = [each.variables for each in AXIOMS[name](independent)]
            assert sorted(found) == sorted(rule(says))
            kept[name] += not found
        gaussoids += not any(check(independent) for check in AXIOMS.values())
        total += 1
    assert total == 64
    assert kept["semigraphoid"] == 22  # Studeny 2005, section 3.1
    assert gaussoids == 11  # Lnenicka and Matus 2007


@pytest.mark.slow
def test_there_are_679_gaussoids_of_four_variables():
    # Lnenicka and Matus 2007, remark 6. Rows of the table of one variable less and
    # what is given it are gaussoids of three, which leaves few tables to look at.
    x, y, given = independence_models.statements(4)
    place = {
        (i, j, c): k
        for k, (i, j, c) in enumerate(
            zip(x.tolist(), y.tolist(), given.tolist(), strict=True)
        )
    }
    three = [
        independent
        for independent, _ in all_tables(3)
        if not any(check(independent) for check in AXIOMS.values())
    ]
    i3, j3, c3 = independence_models.statements(3)
    tables = [{}]
    for left_out in range(4):
        others = [k for k in range(4) if k != left_out]
        for bit in (0, 1 << left_out):
            parts = [
                {
                    place[
                        others[i],
                        others[j],
                        sum(1 << others[k] for k in independence_models.members_of(c))
                        | bit,
                    ]: bool(each[i, j, c])
                    for i, j, c in zip(
                        i3.tolist(), j3.tolist(), c3.tolist(), strict=True
                    )
                }
                for each in three
            ]
            tables = [
                table | part
                for table in tables
                for part in parts
                if all(table.get(k, value) == value for k, value in part.items())
            ]
    number = 0
    for table in tables:
        independent = np.zeros((4, 4, 16), bool)
        answers = [table[k] for k in range(24)]
        independent[x, y, given] = independent[y, x, given] = answers
        number += not any(check(independent) for check in AXIOMS.values())
    assert number == 679


def test_all_conditions_hold_of_every_graph_and_its_own_separations():
    graphs = all_dags(4)
    for graph, said in zip(graphs, independence_models.of_dags(graphs), strict=True):
        assert not broken(said, graph)


def test_all_that_is_wrong_with_a_graph_is_named_on_every_table_of_three():
    # Conditions by their definitions, on the collider and the chain.
    for independent, answers in all_tables(3):
        for graph in (COLLIDER, CHAIN):
            above = np.linalg.matrix_power(graph + np.eye(3), 3) > 0
            said = independence_models.of_dags(graph[None])[0]
            joined, found = graph | graph.T, broken(independent, graph)
            expected = {name for name, c in AXIOMS.items() if c(independent)}
            for x, y in itertools.combinations(range(3), 2):
                z = 3 - x - y
                alone, beside = (
                    answers[x, y, frozenset()],
                    answers[x, y, frozenset([z])],
                )
                pairs = (alone, said[x, y, 0]), (beside, said[x, y, 1 << z])
                expected |= {"Markov"} if any(b and not a for a, b in pairs) else set()
                if any(a and not b for a, b in pairs):
                    expected |= {"faithfulness"}
                if joined[x, y] and (alone or beside):
                    expected |= {"adjacency faithfulness"}
                causes = above[z, x] or above[z, y]
                if causes and alone and not beside:
                    expected |= {"ordered upward stability"}
                if not causes and beside and not alone:
                    expected |= {"ordered downward stability"}
                if joined[x, y]:
                    continue
                if graph[x, z] and graph[y, z]:
                    expected |= {"orientation faithfulness"} if beside else set()
                    if not (alone and not beside):
                        expected |= {"collider-stability"}
                else:
                    expected |= {"orientation faithfulness"} if alone else set()
                    expected |= {"V-OUS"} if alone and not beside else set()
            assert found == expected


def test_of_paths_that_cancel_exactly_their_triple_is_reported():
    # 0 -> 1 -> 2 and 0 -> 2 cancel, 3 is an effect of 2.
    weights = np.zeros((4, 4))
    weights[0, 1], weights[1, 2], weights[0, 2], weights[2, 3] = 2, 0.5, -1, 1
    independent = ask_all(covariance_test(covariance_of(weights)), 4, 0.05, (8, 64))
    graph = weights != 0
    said = independence_models.of_dags(graph[None])[0]
    extra = np.argwhere(independent & ~said)
    assert not (said & ~independent).any()
    assert {tuple(row) for row in extra.tolist() if row[0] < row[1]} == {
        (0, 2, 0),  # the cancelling paths
        (0, 2, 1 << 3),  # also given the effect
        (0, 3, 0),
    }
    upward = independence_models.upward_stability(independent, graph)
    assert upward[0] == Violation(
        (0, 2, 1), (), (Statement(0, 2, ()),), (Statement(0, 2, (1,)),)
    )
    assert {each.variables for each in upward} == {(0, 2, 1), (0, 3, 1)}
    adjacency = independence_models.adjacency_faithfulness(independent, graph)
    assert [each[:2] for each in adjacency] == [((0, 2), ()), ((0, 2), (3,))]
    assert broken(independent, graph) == {
        "faithfulness",
        "adjacency faithfulness",
        "orientation faithfulness",  # of 0 -> 2 -> 3
        "ordered upward stability",
    }


def test_a_cancelling_path_alone_is_one_triple():
    weights = np.array([[0, 2, -1], [0, 0, 0.5], [0, 0, 0]])
    independent = ask_all(covariance_test(covariance_of(weights)), 3, 0.05, (8, 64))
    report = assumptions.assumption_report(independent, weights != 0, list("XYZ"))
    rows = report.violations[["condition", "x", "y", "z", "given"]].values.tolist()
    assert rows == [
        ["faithfulness", "X", "Z", None, ()],
        ["adjacency faithfulness", "X", "Z", None, ()],
        ["ordered upward stability", "X", "Z", "Y", ()],
    ]
    assert "X -> Z is an edge, but X and Z are independent" in str(report)
    assert "finds another class: X -> Y, Z -> Y." in str(report)
    assert not report.faithful


def test_fair_coins_and_their_sum_break_composition():
    prob = np.zeros((2, 2, 2))
    for x, y in itertools.product((0, 1), repeat=2):
        prob[x, y, x ^ y] = 0.25
    independent = ask_all(probability_test(prob), 3, 0.05, (8, 64))
    triples = [v.variables for v in independence_models.composition(independent)]
    assert triples == [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
    assert broken(independent, COLLIDER) == {
        "composition",
        "faithfulness",
        "adjacency faithfulness",
        "ordered upward stability",
    }
    # Three collider graphs say one independence each; none says more.
    found = independence_models.minimal_classes(independent)
    assert [(each.graph.sum(), each.faithful) for each in found] == [(2, False)] * 3


def test_a_variable_of_four_classes_breaks_singleton_transitivity():
    # 1 is two coins; 0 reads the one and 2 the other.
    prob = np.zeros((4, 4, 4))
    for one, other, a, b in itertools.product((0, 1), repeat=4):
        share = (0.9 if a == one else 0.1) * (0.9 if b == other else 0.1) / 4
        prob[a, 2 * one + other, b] += share
    independent = ask_all(probability_test(prob), 3, 0.05, (8, 64))
    expected = Violation(
        (0, 2, 1),
        (),
        (Statement(0, 2, ()), Statement(0, 2, (1,))),
        (Statement(0, 1, ()), Statement(1, 2, ())),
    )
    (found,) = independence_models.singleton_transitivity(independent)
    assert found.variables == expected.variables
    assert found.holds == expected.holds
    assert {frozenset(each[:2]) for each in found.missing} == {
        frozenset(each[:2]) for each in expected.missing
    }
    assert "singleton transitivity" in broken(independent, CHAIN)


def test_copies_break_intersection():
    covariance = covariance_of(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    both = [0, 1, 1]  # the third column copies the second

    def test(x, y, z, used):
        inner = covariance_test(covariance)
        found = []
        for i, j, given, live in zip(x, y, z, used, strict=True):
            i, j, held = both[i], both[j], {both[k] for k in given[live]}
            if {i, j} & held:
                found.append(0.0)  # known already
            elif i == j:
                found.append(-np.inf)
            else:
                row = np.array([sorted(held) or [2]])
                args = np.array([i]), np.array([j]), row, np.array([[bool(held)]])
                found.append(inner(*args)[0])
        return np.array(found)

    independent = ask_all(test, 3, 0.05, (8, 64))
    triples = [v.variables for v in independence_models.intersection(independent)]
    assert triples == [(0, 1, 2)]


def test_learning_from_a_faithful_table_is_what_pc_finds():
    for group in classes_of_dags(4):
        expected = group.any(axis=0)
        said = independence_models.of_dags(group[:1])[0]
        np.testing.assert_array_equal(independence_models.natural_graph(said), expected)
        (found,) = independence_models.minimal_classes(said)
        assert found.faithful
        np.testing.assert_array_equal(found.graph, expected)
        test = Separation(marks.from_graph(group[0])).test()
        marked = pc.search(test, 4, pc.Config(), batches=(8, 64)).marks
        np.testing.assert_array_equal(marks.to_graph(marked), expected)


def test_minimal_classes_are_minimal_by_definition():
    classes = [group[0] for group in classes_of_dags(3)]
    said = independence_models.of_dags(np.stack(classes))
    for independent, _ in all_tables(3):
        fits = [k for k, each in enumerate(said) if not (each & ~independent).any()]
        least = {
            meek.completed(classes[k]).tobytes()
            for k in fits
            if not any(
                (said[m] != said[k]).any() and not (said[k] & ~said[m]).any()
                for m in fits
            )
        }
        found = independence_models.minimal_classes(independent)
        assert {each.graph.tobytes() for each in found} == least
        exact = [(each == independent).all() for each in said]
        assert any(each.faithful for each in found) == any(exact)


def test_there_are_as_many_classes_as_are_known():
    sizes = [len(independence_models._classes(d)[0]) for d in (2, 3, 4, 5)]
    assert sizes == [2, 11, 185, 8782]  # Gillispie and Perlman 2002, table 1


def test_colliders_that_contradict_one_another_are_no_graph():
    # A path 0 - 1 - 2 - 3 whose triples both look like colliders.
    independent = table_of(
        4, (0, 2, []), (0, 2, [3]), (1, 3, []), (1, 3, [0]), (0, 3, []), (0, 3, [1, 2])
    )
    assert independence_models.natural_graph(independent) is None
    report = assumptions.assumption_report(
        independent, np.diag([1, 1, 1], 1).astype(bool), list("abcd")
    )
    assert report.natural_graph is None
    assert "finds no DAG" in str(report)


def test_seven_variables_are_quick_and_eight_are_refused():
    graph = np.triu(np.random.default_rng(0).random((7, 7)) < 0.5, 1)
    said = independence_models.of_dags(graph[None])[0]
    report = assumptions.assumption_report(said, graph, list("abcdefg"))
    assert report.faithful
    assert report.violations.empty
    assert len(report.independences) == 672
    np.testing.assert_array_equal(report.natural_graph, meek.completed(graph))
    with pytest.raises(ValueError, match="7 variables are too many, 5 at most"):
        report.minimal_graphs()
    with pytest.raises(ValueError, match="8 variables are too many, 7 at most"):
        ask_all(Separation(np.zeros((8, 8), int)).test(), 8, 0.05)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros((3, 3, 4), bool), r"shape \[d, d, 2\*\*d\]"),
        (np.zeros((3, 3, 8)), "must be bool"),
        (table_of(3, (0, 1, [1])), "or given"),
        (table_of(3, (1, 1, [])), "independent of itself"),
        (np.arange(72).reshape(3, 3, 8) == 8, "symmetric"),
    ],
)
def test_what_is_no_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        assumptions.assumption_report(table, CHAIN, list("abc"))


def test_sentences_name_columns_and_are_cut_only_in_print():
    rng = np.random.default_rng(0)
    independent = np.zeros((5, 5, 32), bool)
    x, y, given = independence_models.statements(5)
    independent[x, y, given] = independent[y, x, given] = rng.random(len(x)) < 0.5
    graph = np.triu(np.ones((5, 5), bool), 2)
    names = ["rain", "sun", "wet", "ice", "fog"]
    report = assumptions.assumption_report(independent, graph, names)
    table = report.violations
    counts = report.counts[report.counts > 0]
    assert table.groupby("condition").size().to_dict() == counts.to_dict()
    for row in table.itertuples():
        told = {row.x, row.y, *row.given} | ({row.z} if row.z else set())
        assert {name for name in names if name in row.sentence} <= told
        assert row.x in row.sentence
    for name, count in report.counts.items():
        if count > 5:
            assert f"- and {count - 5} more" in str(report)
            assert f"{name} is violated {count} times" in str(report)


def test_graphs_are_read_from_frames_networks_and_arrays():
    framed = pd.DataFrame(CHAIN.astype(int), index=list("abc"), columns=list("abc"))
    network = nx.DiGraph([("a", "b"), ("b", "c")])
    for given in (framed, framed.loc[["c", "a", "b"]], network):
        matrix, names = assumptions.read_dag(given)
        assert names == ["a", "b", "c"]
        np.testing.assert_array_equal(matrix, CHAIN)
    matrix, names = assumptions.read_dag(CHAIN)
    assert names is None
    np.testing.assert_array_equal(matrix, CHAIN)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.zeros((2, 3)), r"matrix \[d, d\]"),
        ([[0, 2], [0, 0]], "only 0 and 1"),
        (pd.DataFrame([[0, 1], [0, 0]], index=["a", "b"], columns=["a", "c"]), "same"),
        (pd.DataFrame([[0, 1], [0, 0]], index=["a", "a"], columns=["a", "a"]), "twice"),
        (np.array([[0, 1], [1, 0]]), "edge 0 - 1 has no direction"),
        (np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]), "cycle 0 -> 1 -> 2 -> 0"),
        (nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a")]), "a -> b -> c -> a"),
        (np.eye(2), "cycle 0 -> 0"),
    ],
)
def test_what_is_no_dag_is_refused(graph, message):
    with pytest.raises(ValueError, match=message):
        assumptions.read_dag(graph)


def cancelling(num_rows=3000):
    x, y, z = np.random.default_rng(0).normal(size=(3, num_rows))
    y += 2 * x
    return pd.DataFrame({"cause": x, "between": y, "effect": z + y / 2 - x})


CANCELLING = nx.DiGraph(
    [("cause", "between"), ("between", "effect"), ("cause", "effect")]
)


def test_a_table_is_diagnosed_by_the_names_of_its_columns():
    table = cancelling()
    table["unused"] = 1.0
    report = diagnose_assumptions(table[table.columns[::-1]], CANCELLING, alpha=0.001)
    rows = report.violations[["condition", "x", "y", "z"]].values.tolist()
    assert rows == [
        ["faithfulness", "cause", "effect", None],
        ["adjacency faithfulness", "cause", "effect", None],
        ["ordered upward stability", "cause", "effect", "between"],
    ]
    assert list(report.graph) == ["cause", "between", "effect"]
    # The chain that the table is not Markov to.
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    report = diagnose_assumptions(cancelling().to_numpy(), chain, alpha=0.001)
    assert report.counts["Markov"] == 1
    assert report.counts["V-OUS"] == 1


def test_gaps_are_read_or_filled():
    table = cancelling()
    table.loc[::7, "between"] = np.nan
    report = diagnose_assumptions(table, CANCELLING, alpha=0.001)
    assert report.counts["adjacency faithfulness"] == 1
    assert report.counts["Markov"] == 0


def test_classes_are_tested_as_classes():
    rng = np.random.default_rng(0)
    one, other = rng.integers(2, size=(2, 1000))
    table = pd.DataFrame({"one": one, "other": other, "odd": one ^ other})
    table = table.map(lambda value: "yes" if value else "no")
    graph = nx.DiGraph([("one", "odd"), ("other", "odd")])
    report = diagnose_assumptions(table, graph, alpha=0.01)
    assert report.counts["composition"] == 3
    assert report.counts["Markov"] == 0
    assert len(report.minimal_graphs()) == 3


def test_a_test_may_stand_for_the_table():
    test = Separation(marks.from_graph(COLLIDER)).test()
    assert diagnose_assumptions(test, COLLIDER).faithful
    named = pd.DataFrame(CHAIN, index=list("abc"), columns=list("abc"))
    report = diagnose_assumptions(test, named)
    assert "a and b are independent" in str(report)
    assert report.minimal_graphs()[0].to_numpy().tolist() == COLLIDER.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": np.zeros((2, 2))}, "graph has 2 variables and the table 3"),
        ({"graph": np.zeros((8, 8))}, "8 variables are too many"),
        ({"graph": nx.DiGraph([("cause", "efect")])}, "'efect'"),
        ({"alpha": 1.0}, "alpha must lie between 0 and 1"),
        ({"test": "fisher"}, "test must be one of"),
        ({"test": "g_squared"}, "hold numbers"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        diagnose_assumptions(**{"table": cancelling(99), "graph": CANCELLING} | change)
