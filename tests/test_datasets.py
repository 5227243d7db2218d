import hashlib
import importlib.resources
import re

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax.tables import datasets

FOLDER = importlib.resources.files("causaljax.tables.datasets") / "sachs"
COUNTS = [853, 902, 911, 723, 810, 799, 848, 913, 707]
TARGETS = [None, None, "Akt", "PKC", "PIP2", "Mek", "PIP3", "PKC", "PKA"]


@pytest.fixture
def sachs():
    return datasets.load_sachs()


def test_shipped_files_have_the_checksums_of_their_readme():
    checksums = re.findall(
        r"^ +([0-9a-f]{64})  (\S+)$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    shipped = {file.name for file in FOLDER.iterdir()} - {"README.md"}
    assert {name for _, name in checksums} == shipped
    for checksum, name in checksums:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == checksum


def test_data_is_the_whole_table(sachs):
    assert sachs.data.shape == (7466, 11)
    assert (sachs.data.dtypes == np.float64).all()
    assert np.isfinite(sachs.data.to_numpy()).all()
    assert (sachs.data.to_numpy() > 0).all()
    for rows in (sachs.data, sachs.condition, sachs.interventions):
        assert rows.index.equals(pd.RangeIndex(7466))


def test_each_condition_has_its_count_and_target(sachs):
    assert sachs.condition.value_counts().sort_index().to_dict() == dict(
        enumerate(COUNTS, start=1)
    )
    for condition, target in enumerate(TARGETS, start=1):
        rows = sachs.interventions[sachs.condition == condition]
        assert set(rows) == {target}
    conditions = pd.read_csv(str(FOLDER / "conditions.csv"))
    assert conditions["n"].to_list() == COUNTS


def test_parts_are_rows_of_the_table(sachs):
    pd.testing.assert_frame_equal(sachs.observational, sachs.data.iloc[:853])
    pd.testing.assert_frame_equal(sachs.interventional, sachs.data.iloc[853 + 902 :])


def test_truth_is_the_consensus_graph(sachs):
    assert list(sachs.truth.index) == list(sachs.data.columns)
    assert list(sachs.truth.columns) == list(sachs.data.columns)
    assert (sachs.truth.dtypes == np.int64).all()
    graph = nx.from_pandas_adjacency(sachs.truth, create_using=nx.DiGraph)
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph.edges) == {
        *(("PKA", effect) for effect in ("Akt", "Erk", "Jnk", "Mek", "P38", "Raf")),
        *(("PKC", effect) for effect in ("Jnk", "Mek", "P38", "PKA", "Raf")),
        *(("Raf", "Mek"), ("Mek", "Erk"), ("Erk", "Akt")),
        *(("Plcg", "PIP2"), ("Plcg", "PIP3"), ("PIP3", "PIP2")),
    }


def test_measured_level_of_an_inhibited_target_may_rise(sachs):
    """The trap that the README warns of, in its numbers."""
    levels = np.log(sachs.data)
    baseline = levels[sachs.condition == 1]
    shift = (levels.groupby(sachs.condition).mean() - baseline.mean()) / baseline.std()
    assert round(shift.loc[6, "Mek"], 1) == 4.4
    assert round(shift.loc[4, "PKC"], 1) == 2.5
    assert abs(shift.loc[9, "PKA"]) < 0.05
    assert (shift.loc[4].abs() > 2).sum() == 9


def test_every_call_returns_fresh_copies(sachs):
    original = datasets.load_sachs()
    sachs.data.iloc[:] = 0.0
    sachs.condition.iloc[:] = 3
    sachs.interventions.iloc[:] = "Raf"
    sachs.truth.iloc[:] = 1
    again = datasets.load_sachs()
    pd.testing.assert_frame_equal(again.data, original.data)
    pd.testing.assert_series_equal(again.condition, original.condition)
    pd.testing.assert_series_equal(again.interventions, original.interventions)
    pd.testing.assert_frame_equal(again.truth, original.truth)

    part = again.observational
    part.iloc[:] = 0.0
    pd.testing.assert_frame_equal(again.data, original.data)


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_every_dataset_is_coherent(name):
    dataset = datasets.DATASETS[name]()
    assert dataset.description
    assert len(dataset.data) == len(dataset.condition) == len(dataset.interventions)
    assert set(dataset.interventions) - {None} <= set(dataset.data.columns)
    assert dataset.truth.columns.equals(dataset.data.columns)
    assert len(repr(dataset)) < 300
