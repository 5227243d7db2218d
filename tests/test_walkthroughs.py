"""The commands of docs/walkthroughs.md, as a new user would run them."""

import importlib.util
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from causaljax.cli import command_line

ROOT = Path(__file__).parents[1]
SECTIONS = re.split(
    r"^## ", (ROOT / "docs" / "walkthroughs.md").read_text(), flags=re.M
)
TITLES = {section.split("\n")[0].split(":")[0]: section for section in SECTIONS[1:]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = ROOT / "examples" / "walkthrough_tables.py"
    spec = importlib.util.spec_from_file_location("walkthrough_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def follow(title, folder):
    """Writes the section's knowledge, runs its commands; gives the graph."""
    section = TITLES[title]
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", section, flags=re.S))
    commands = blocks["bash"].strip().split("\n")
    assert len(commands) <= 3
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "causaljax"
        if "--knowledge" in words:
            name = words[words.index("--knowledge") + 1]
            (folder / name).write_text(blocks["toml"])
        assert command_line.main([*words, "--no-cache"]) == 0
    out = folder / words[words.index("--out") + 1]
    return out, pd.read_csv(out / "adjacency.csv", index_col=0)


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
