"""The command line, from a file to files."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import make_weights

from causaljax import LatentInterventionDAG, cli, datasets, dcdi_format, files, weights

FAST = ["--set", "num_steps=300", "--set", "noise=equal_variance"]


@pytest.fixture
def data(tmp_path):
    """Ten rows a regime of a -> b -> c, b set from outside in half of them."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 400))
    target = np.where(np.arange(400) < 200, "", "b")
    b = np.where(target == "b", 3 * e, 2 * a + e)
    frame = pd.DataFrame({"a": a, "b": b, "c": b - a + f})
    frame = frame.assign(target=target, batch=np.arange(400) % 2)
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


COLUMNS = ["--interventions-column", "target", "--regimes-column", "batch"]


@pytest.mark.filterwarnings("ignore")
def test_a_file_becomes_files(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["fit", str(data), "--out", str(out), *COLUMNS, *FAST]) == 0
    assert "3 columns" in capsys.readouterr().out
    edges = pd.read_csv(out / "edges.csv")
    assert set(zip(edges.source, edges.target, strict=True)) == {
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    }
    assert edges.weight.round(0).tolist() == [2, -1, 1]
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["num_steps"] == 300
    assert record["config"]["noise"] == "equal_variance"
    assert record["config"]["sparsity"] == 0.06  # what was not set, too
    assert record["seed"] == 0
    assert record["timings"]["fit_seconds"] > 0
    assert {"loss", "penalty", "converged", "nonfinite"} <= set(record["convergence"])


@pytest.mark.filterwarnings("ignore")
def test_knowledge_files_are_obeyed(data, tmp_path, capsys):
    required, forbidden = tmp_path / "required.csv", tmp_path / "forbidden.csv"
    required.write_text("cause,effect\nc,a\n")
    forbidden.write_text("cause,effect\nb,c\n")
    out = tmp_path / "out"
    command = ["fit", str(data), "--out", str(out), *COLUMNS, *FAST]
    command += ["--required", str(required), "--forbidden", str(forbidden)]
    assert cli.main(command) == 0
    adjacency = pd.read_csv(out / "adjacency.csv", index_col=0)
    assert adjacency.loc["c", "a"] == 1
    assert adjacency.loc["b", "c"] == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--set", "sparsty=1"], "did you mean 'sparsity'"),
        (["--set", "sparsity"], "KEY=VALUE"),
        (["--set", "penalty=-1"], "penalty must be finite and at least 0"),
        (["--set", "penalty=high"], "penalty must be a number, not 'high'"),
        (["--set", "sparsity=1"], "sparsity=1 has no meaning for the search"),
        (["--set", "num_steps=1.5"], "num_steps must be a positive whole number"),
        (["--set", "noise=loud"], "noise must be one of"),
        (["--set", "random_state=1"], "has no random_state"),
        (["--interventions-column", "targt"], "did you mean 'target'"),
        (["--regimes-column", "nope"], "no 'nope'"),
        (["--required", "nothing.csv"], "nothing.csv: no such file"),
        ([], "'target' is of type"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(data, tmp_path, capsys, extra, words):
    out = tmp_path / "out"
    chosen = (
        extra
        if "--interventions-column" in extra or not extra
        else [
            *COLUMNS[:2],
            *extra,
        ]
    )
    assert cli.main(["fit", str(data), "--out", str(out), *chosen]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.startswith("causaljax: error: ")
    assert message.count("\n") == 1
    assert not out.exists()


def test_a_missing_file_is_one_line_and_exit_2(capsys):
    assert cli.main(["fit", "nothing.csv"]) == 2
    assert capsys.readouterr().err == "causaljax: error: nothing.csv: no such file\n"


@pytest.fixture
def folder(tmp_path):
    """x0 -> x1 -> x2 in table 3 of a folder, x1 set from outside in half of it."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 400))
    regime = np.repeat([0, 1], 200)
    b = np.where(regime == 1, 2 + e, 2 * a + e)
    table = dcdi_format.DcdiTable(
        x=np.stack([a, b, b - a + f], axis=1),
        intervened=np.outer(regime == 1, [False, True, False]),
        regime=regime,
        graph=np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool),
    )
    dcdi_format.write_dcdi(tmp_path / "folder", table, 3)
    return tmp_path / "folder"


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_dcdi_is_compared_with_its_graph(folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["fit", str(folder), "--format", "dcdi", "--number", "3", *FAST]
    assert cli.main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("table 3, 400 rows, 3 columns", "DAG3.npy", "this graph", "SID"):
        assert word in printed
    edges = pd.read_csv(out / "edges.csv")
    assert set(edges.source + edges.target) == {"x0x1", "x0x2", "x1x2"}
    (folder / "DAG3.npy").unlink()
    assert cli.main(command) == 0
    assert "this graph" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "dcdi"], "neither data_interv1.npy nor data1.npy"),
        (["--format", "dcdi", *COLUMNS], "--interventions-column: a folder of"),
        (["--number", "3"], "--number: only folders have numbers"),
    ],
)
def test_mistakes_with_folders_exit_2(folder, capsys, options, words):
    assert cli.main(["fit", str(folder), *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fit"], ["fit", "x.csv", "--seed", "x"], []])
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_sachs_needs_no_file(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["fit", "sachs", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("853 rows, 11 columns", "17 edges", "empty graph", "random graph"):
        assert word in printed
    assert "nats for non-Gaussian" in printed
    assert "Directions rest on linear relations" in printed
    assert sorted(path.name for path in out.iterdir()) == sorted(files.RESULTS)
    assert json.loads((out / "run.json").read_text())["convergence"]["converged"]


def test_what_noise_means_for_the_result_is_said(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["fit", "sachs", "--set", "noise=gaussian", "--out", str(out)]) == 0
    assert "-- fit the data equally well in either direction" in capsys.readouterr().out
    cpdag = pd.read_csv(out / "cpdag.csv", index_col=0)
    adjacency = pd.read_csv(out / "adjacency.csv", index_col=0)
    edges = pd.read_csv(out / "edges.csv")
    assert edges.undirected.any()
    twice = cpdag.to_numpy().sum() - adjacency.to_numpy().sum()
    assert twice == edges.undirected.sum()
    options = ["--set", "noise=equal_variance", "--set", "num_steps=2000"]
    assert cli.main(["fit", "sachs", *options]) == 0
    assert "all noise has one variance" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_a_network_reads_a_file_with_gaps(data, tmp_path, capsys):
    table = pd.read_csv(data)
    table.loc[::7, "a"] = np.nan
    table.to_csv(data, index=False)
    trained, out = tmp_path / "own.safetensors", tmp_path / "out"
    weights.save_weights(trained, make_weights())
    command = ["fit", str(data), "--method", "amortized", "--out", str(out), *COLUMNS]
    options = ["--set", f"weights={trained}", "--set", "threshold=0.1"]
    assert cli.main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "Pairs joined with probability above 0.10, by network random." in printed
    assert "weight" not in printed.split("edges in")[1]  # it has none
    assert "The table is like those it was trained on" in printed
    edges = pd.read_csv(out / "edges.csv")
    assert edges.probability.between(0.05, 1).all()
    assert edges.weight.isna().all()
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["weights"] == "random"
    assert 0 < record["convergence"]["ood_score"] < 1
    assert cli.main([*command, "--set", "weights=nothing"]) == 2
    assert "no weights of the name 'nothing'" in capsys.readouterr().err
    assert cli.main([*command, "--set", "progress=1"]) == 2
    assert "amortized has no progress" in capsys.readouterr().err


def test_datasets_and_version(capsys):
    assert cli.main(["datasets"]) == 0
    assert "sachs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("causaljax ")


@pytest.fixture
def unrecorded(tmp_path):
    """a -> b -> c, b set from outside in a third of the rows and c in another."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 450))
    done = np.arange(450) % 3
    b = np.where(done == 1, 8 + 0.2 * e, 2 * a + e)
    c = np.where(done == 2, -9 + 0.2 * f, b - a + f)
    frame = pd.DataFrame({"a": a, "b": b, "c": c})
    frame["batch"] = np.array(["idle", "on b", "on c"])[done]
    frame.to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_regimes_become_files(unrecorded, tmp_path, capsys):
    out, table = tmp_path / "out", pd.read_csv(unrecorded)
    options = ["--set", "mechanism=linear", "--set", "max_regimes=3"]
    command = ["fit", str(unrecorded), "--method", "latent-interventions", *options]
    command += ["--regimes-column", "batch", "--out", str(out)]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert "'idle' is taken for the reference" in printed.err
    for word in ("on b", "33.3%", "Regime idle is the reference", "Held-out"):
        assert word in printed.out
    assert f"Wrote {', '.join(files.RESULTS + files.REGIMES)} to" in printed.out
    regimes = pd.read_csv(out / "regimes.csv", index_col="row")
    assert regimes.index.tolist() == list(range(450))
    assert regimes.regime.tolist() == table.batch.tolist()
    assert list(regimes.columns) == ["regime", "P(idle)", "P(on b)", "P(on c)"]
    np.testing.assert_allclose(regimes.iloc[:, 1:].sum(axis=1), 1, atol=1e-5)
    targets = pd.read_csv(out / "intervention_targets.csv", index_col="regime")
    assert list(targets.columns) == ["a", "b", "c"]
    assert targets.round().to_numpy().tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1]]
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["max_regimes"] == 3
    assert record["convergence"]["broad_regimes"] == []
    # A method without regimes leaves none behind in the same folder.
    table.drop(columns="batch").to_csv(unrecorded, index=False)
    assert cli.main(["fit", str(unrecorded), "--out", str(out), *FAST]) == 0
    assert not (out / "regimes.csv").exists()
    capsys.readouterr()
    wrong = [*command[:4], "--set", "mechanism=round"]
    assert cli.main(wrong) == 2
    assert "mechanism must be one of" in capsys.readouterr().err


class Whole(Exception):
    """Raised where a fit would begin."""


def test_hidden_regimes_of_sachs_are_looked_for_in_all_rows(monkeypatch):
    seen = []

    def fit(self, table, **known):
        seen.append((table, known))
        raise Whole

    monkeypatch.setattr(LatentInterventionDAG, "fit", fit)
    with pytest.raises(Whole):
        cli.main(["fit", "sachs", "--method", "latent-interventions"])
    ((table, known),) = seen
    assert table.shape == (7466, 11)
    assert np.log(datasets.load_sachs().data).equals(table)
    assert known["interventions"] is None
    assert known["regimes"] is None
