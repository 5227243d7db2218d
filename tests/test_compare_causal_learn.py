"""The choices that `scripts/compare_causal_learn.py` tries where graphs differ."""

import pathlib

import numpy as np
import pytest
from test_marks import classes_of_dags, random_dag

from causaljax.graphs import marks, meek
from causaljax.graphs.separation import Separation
from causaljax.kernels.constraint import pc

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import compare_causal_learn

    return compare_causal_learn


def test_where_the_test_knows_the_graph_all_choices_find_its_class(
    compare, monkeypatch
):
    for group in classes_of_dags(4)[::7]:
        test = Separation(marks.from_graph(group[0])).test()
        monkeypatch.setattr(compare, "our_test", lambda *_, test=test: (test, (8, 64)))
        for stronger in (False, True):
            found = compare.variants(np.zeros((9, 4)), "chisq", stronger=stronger)
            assert len(found) == 8
            for graph in found.values():
                np.testing.assert_array_equal(graph, group.any(axis=0))


def test_without_choices_of_causal_learn_the_search_is_ours(compare, monkeypatch):
    def noisy(x, y, z, used):
        questions = zip(x, y, z, used, strict=True)
        seeds = [[*sorted((i, j)), *sorted(k[u])] for i, j, k, u in questions]
        return np.log([np.random.default_rng(seed).random() ** 3 for seed in seeds])

    monkeypatch.setattr(compare, "our_test", lambda *_: (noisy, (8, 64)))
    every = compare.variants(np.zeros((9, 7)), "chisq")
    found = pc.search(noisy, 7, pc.Config(collider_rule="separator"), batches=(8, 64))
    np.testing.assert_array_equal(every[()], marks.to_graph(found.marks))
    assert compare.reason(every, every[()]) == "none"
    other = every[compare.CHOICES]
    assert compare.reason(every, other) != "not explained"


def test_rules_in_turn_close_a_pattern_as_rules_at_once_do(compare):
    rng = np.random.default_rng(0)
    for _ in range(20):
        pattern = meek.pattern(random_dag(rng, 7, 0.5))
        np.testing.assert_array_equal(
            compare.close_in_turn(pattern), meek.close(pattern)
        )


def test_tables_of_classes_have_as_many_rows_and_classes_as_asked(compare):
    table, graph = compare.class_table(np.random.default_rng(0), 6, 300, 1)
    assert table.shape == (300, 6)
    assert graph.sum() == 6
    assert set(np.unique(table)) <= {0, 1, 2}


def test_graphs_are_read_as_they_are_written(compare, tmp_path):
    path = tmp_path / "graph.txt"
    path.write_text(
        "Graph Nodes:\na;b;c\n\nGraph Edges:\n1. a o-> b\n2. b <-> c\n3. c --> a\n"
    )
    names, found = compare.read_marked(path)
    assert names == ["a", "b", "c"]
    drawn = [marks.drawn(found, i, j) for i, j in ((0, 1), (1, 2), (2, 0))]
    assert drawn == ["o->", "<->", "-->"]
