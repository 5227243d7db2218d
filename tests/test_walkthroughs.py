"""The commands of docs/walkthroughs.md, as a new user would run them."""

import importlib.util

import pandas as pd
import pytest
from documents import ROOT, run_page

PAGE = ROOT / "docs" / "walkthroughs.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = ROOT / "examples" / "walkthrough_tables.py"
    spec = importlib.util.spec_from_file_location("walkthrough_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(section, folder):
    """Runs the commands of a section; gives their folder and the graph."""
    run_page(PAGE, section=section)
    (graph,) = folder.glob("*/adjacency.csv")
    return graph.parent, pd.read_csv(graph, index_col=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_proteins(folder, capsys):
    _, graph = follow("Proteins", folder)
    assert graph.to_numpy().sum() > 3
    assert "consensus graph" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nhefs(folder, capsys):
    _, graph = follow("NHEFS", folder)
    assert graph.loc["qsmk", "wt82_71"] == 1
    assert not graph[["sex", "race"]].loc["qsmk":].to_numpy().any()
    assert "gaps come with certain values" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_genes(folder, capsys):
    _, graph = follow("A hundred genes", folder)
    joined = graph.to_numpy() | graph.to_numpy().T
    total, without_regulator = joined.sum() / 2, joined[8:, 8:].sum() / 2
    assert total > 100
    assert without_regulator < 0.1 * total
    assert "--method" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_batches(folder):
    out, graph = follow("Batches that disturbed something", folder)
    targets = pd.read_csv(out / "intervention_targets.csv", index_col="regime")
    assert targets.loc["B"].idxmax() == "heat"
    assert targets.loc["C"].idxmax() == "yield"
    assert graph.loc["feed", "heat"] == graph.loc["heat", "yield"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_survey(folder):
    _, graph = follow("A survey with an order of time", folder)
    assert graph.loc["training", "log_wage"] == graph.loc["school", "training"] == 1
    assert not graph["region"].any()
