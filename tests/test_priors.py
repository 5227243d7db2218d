"""Priors from questions: a truth oracle, one that errs, answers that are none."""

import hypothesis
import hypothesis.strategies as st
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax.tables.priors import ask_breadth_first, ask_pairs, edge_prior


def random_dag(seed, d=8):
    """A DAG over letters whose alphabet says nothing of its order."""
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.permutation(list("abcdefgh"[:d]))]
    upper = np.triu(rng.random((d, d)) < 0.3, 1)
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((names[i], names[j]) for i, j in np.argwhere(upper))
    return graph


def oracle(graph, asked):
    """Answers that are true, and a note of what was asked."""

    def question(cause, columns, edges):
        asked.append(cause)
        assert sorted(columns) == sorted(graph)
        assert set(edges) <= set(graph.edges)
        if cause is None:
            return [name for name in columns if not list(graph.predecessors(name))]
        return graph.successors(cause)

    return question


@pytest.mark.parametrize("seed", range(5))
def test_the_truth_gives_its_graph(seed):
    graph, asked = random_dag(seed), []
    names = sorted(graph)
    truth = nx.to_pandas_adjacency(graph, nodelist=names)
    found = ask_breadth_first(oracle(graph, asked), names)
    expected = truth * 0.8 + 0.1 * (1 - np.eye(8))
    pd.testing.assert_frame_equal(found, expected)
    assert asked[0] is None
    assert sorted(asked[1:]) == names
    sure = ask_breadth_first(oracle(graph, []), names, present=1, absent=0)
    pd.testing.assert_frame_equal(sure, truth)
    pd.testing.assert_frame_equal(ask_pairs(graph.has_edge, names), truth)


def test_every_pair_is_asked_about_once():
    asked = []

    def question(cause, effect):
        asked.append((cause, effect))
        return 0.25 if cause < effect else 0.75

    prior = ask_pairs(question, pd.Index(["b", "c", "a"]))
    assert len(asked) == len(set(asked)) == 6
    assert list(prior.index) == list(prior.columns) == ["b", "c", "a"]
    assert prior.loc["a", "b"] == prior.loc["b", "c"] == 0.25
    assert prior.loc["c", "b"] == 0.75
    assert (np.diag(prior) == 0).all()


@pytest.mark.filterwarnings("ignore:.*would close a cycle")
@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(data=st.data(), seed=st.integers(0, 9))
def test_any_answers_give_a_dag(data, seed):
    """Of an oracle that errs: some wrong names, some right ones left out."""
    graph, asked, named = random_dag(seed), [], set()
    answer = oracle(graph, asked)

    def noisy(cause, columns, edges):
        assert nx.is_directed_acyclic_graph(nx.DiGraph(edges))
        right = set(answer(cause, columns, ()))
        given = right ^ data.draw(st.sets(st.sampled_from(columns), max_size=3))
        if cause is not None:
            named.update((cause, effect) for effect in given)
        return given

    prior = ask_breadth_first(noisy, sorted(graph))
    assert len(asked) == 9
    assert len(set(asked)) == 9
    kept = nx.from_pandas_adjacency(prior == 0.9, create_using=nx.DiGraph)
    assert nx.is_directed_acyclic_graph(kept)
    assert set(kept.edges) <= named
    for cause, effect in named - set(kept.edges):
        assert nx.has_path(kept, effect, cause)
    assert np.isin(prior, [0, 0.1, 0.9]).all()


@pytest.mark.filterwarnings("ignore:.*would close a cycle")
def test_a_source_that_mostly_knows_is_mostly_right():
    """One answer of ten is wrong; precision and recall stay near .9."""
    rng, right, told, there = np.random.default_rng(0), 0, 0, 0
    for seed in range(30):
        graph = random_dag(seed)
        answer = oracle(graph, [])

        def question(cause, columns, edges, answer=answer, graph=graph):
            del edges
            true = set(answer(cause, columns, ()))
            kept = {name for name in true if rng.random() < 0.9}
            strangers = sorted(set(graph) - true - {cause})
            wrong = rng.random() < 0.1 * len(true)
            return kept | ({str(rng.choice(strangers))} if wrong else set())

        prior = ask_breadth_first(question, sorted(graph))
        found = set(nx.from_pandas_adjacency(prior == 0.9, nx.DiGraph).edges)
        right += len(found & set(graph.edges))
        told, there = told + len(found), there + graph.number_of_edges()
    assert right / told > 0.85
    assert right / there > 0.85


def test_edges_that_close_a_cycle_are_refused():
    effects = {None: [], "a": ["b"], "b": ["c"], "c": ["a", "c"]}
    with pytest.warns(UserWarning, match="'c' -> 'a', 'c' -> 'c' would close a cycle"):
        prior = ask_breadth_first(lambda cause, *_: effects[cause], ["a", "b", "c"])
    assert prior.loc["c", "a"] == 0.1
    assert prior.loc["b", "c"] == 0.9


def test_the_order_of_the_columns_changes_nothing():
    effects = {None: ["b"], "a": ["c"], "b": ["c"], "c": ["a"]}
    priors = []
    for names in (["a", "b", "c"], ["c", "b", "a"]):
        with pytest.warns(UserWarning, match="'a' -> 'c' would close a cycle"):
            found = ask_breadth_first(lambda cause, *_: effects[cause], names)
        priors.append(found.loc[["a", "b", "c"], ["a", "b", "c"]])
    pd.testing.assert_frame_equal(*priors)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (["a", "q", "r"], r"which columns none causes names \['q', 'r'\]"),
        ("a", "is 'a': give a list of names"),
        (None, "is None: give a list of names"),
    ],
)
def test_answers_that_are_none_are_named(answer, words):
    with pytest.raises(ValueError, match=words):
        ask_breadth_first(lambda *_: answer, ["a", "b"])


def test_the_question_is_named_whose_answer_is_wrong():
    with pytest.raises(ValueError, match=r"what 'b' causes names \['q'\]"):
        ask_breadth_first(lambda cause, *_: ["q"] if cause else ["b"], ["a", "b"])


@pytest.mark.parametrize("answer", [1.5, -0.1, np.nan, "likely", None])
def test_a_probability_that_is_none_names_its_pair(answer):
    with pytest.raises(ValueError, match="'a' -> 'b' is .*: give a number from 0 to 1"):
        ask_pairs(lambda *_: answer, ["a", "b"])


def test_options_and_names_are_checked():
    with pytest.raises(ValueError, match="absent is 2: give a number"):
        ask_breadth_first(lambda *_: [], ["a", "b"], absent=2)
    for ask in (ask_pairs, ask_breadth_first):
        with pytest.raises(ValueError, match="holds one name twice"):
            ask(lambda *_: [], ["a", "a"])
        with pytest.raises(ValueError, match="names is 'ab'"):
            ask(lambda *_: [], "ab")


def test_a_matrix_and_a_question_say_the_same():
    names = ("b", "a", "c")
    told = {("a", "b"): 0.9, ("b", "c"): 0.2}
    asked = edge_prior(lambda cause, effect: told.get((cause, effect), 0.1), names)
    expected = np.array([[0, 0.1, 0.2], [0.9, 0, 0.1], [0.1, 0.1, 0]])
    np.testing.assert_array_equal(asked, expected)
    frame = pd.DataFrame(expected, index=names, columns=names)
    order = ["c", "b", "a"]
    np.testing.assert_array_equal(edge_prior(frame.loc[order, order], names), expected)
    np.testing.assert_array_equal(edge_prior(expected + 9 * np.eye(3), names), expected)


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (np.zeros((2, 2)), r"has shape \(2, 2\): give a matrix of shape \(3, 3\)"),
        (np.full((3, 3), 2.0), "holds 2.0 for 'a' -> 'b': give probabilities"),
        (np.full((3, 3), np.nan), "holds nan for 'a' -> 'b': give probabilities"),
        (pd.DataFrame(0.5, index=["a", "b", "q"], columns=["a", "b", "c"]), "the rows"),
        ("edges.csv", "prior is 'edges.csv': give a matrix"),
        (lambda *_: 3, "'a' -> 'b' is 3: give a number"),
    ],
)
def test_what_is_no_prior_is_said(prior, words):
    with pytest.raises(ValueError, match=words):
        edge_prior(prior, ("a", "b", "c"))
