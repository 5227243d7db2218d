"""The command line, from a file to files."""

import contextlib
import dataclasses
import io
import itertools
import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from conftest import make_weights

from causaljax import (
    LatentInterventionDAG,
    LinearDAG,
    MixedDAG,
    NeuralDAG,
    estimators,
)
from causaljax.cli import command_line, fit, reply
from causaljax.core.types import Posterior
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.networks import weights
from causaljax.reports import summary
from causaljax.tables import datasets, dcdi_format, edges, files, reading
from causaljax.tables.edges import MARKS
from causaljax.tables.frame import to_problem

FAST = ["--method", "continuous", "--set", "num_steps=300"]


@pytest.fixture
def data(tmp_path):
    """Rows of a -> b -> c, b set from outside in half of them."""
    rng = np.random.default_rng(0)
    a, e, f = rng.normal(size=(3, 400))
    target = np.where(np.arange(400) < 200, "", "b")
    b = np.where(target == "b", 3 * e, 2 * a + e)
    frame = pd.DataFrame({"a": a, "b": b, "c": b - a + f})
    frame.assign(target=target).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


COLUMNS = ["--interventions-column", "target"]
LINEAR = ["--method", "linear"]


@pytest.mark.filterwarnings("ignore")
def test_a_file_becomes_files(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        command_line.main(["fit", str(data), "--out", str(out), *COLUMNS, *FAST]) == 0
    )
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
    assert record["config"]["l1"] == 0.06  # what was not set, too
    assert record["seed"] == 0
    assert record["timings"]["fit_seconds"] > 0
    assert {"loss", "acyclicity", "converged", "nonfinite"} <= set(
        record["convergence"]
    )


@pytest.mark.filterwarnings("ignore")
def test_knowledge_files_are_obeyed(data, tmp_path, capsys):
    """One without a header, one the other way round, and one of all kinds."""
    files = {
        "required": ("csv", "c,a\n"),
        "forbidden": ("csv", "effect,cause\nc,b\n"),
        "knowledge": ("toml", 'forbidden = [["c", "b"]]\nsinks = ["a"]\n'),
    }
    out = tmp_path / "out"
    command = ["fit", str(data), "--out", str(out), *COLUMNS, *FAST]
    for option, (ending, text) in files.items():
        path = tmp_path / f"{option}.{ending}"
        path.write_text(text)
        command += [f"--{option}", str(path)]
    assert command_line.main(command) == 0
    adjacency = pd.read_csv(out / "adjacency.csv", index_col=0)
    assert adjacency.loc["c", "a"] == 1
    assert adjacency.loc["b", "c"] == adjacency.loc["c", "b"] == 0
    assert adjacency.loc["a"].sum() == 0
    record = json.loads((out / "run.json").read_text())
    assert record["knowledge"]["forbidden"] == [["c", "b"], ["b", "c"]]
    assert record["knowledge"]["sinks"] == ["a"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--set", "bic_wieght=1"], "did you mean 'bic_weight'"),
        (["--set", "perturb"], "KEY=VALUE"),
        (
            ["--set", "bic_weight=-1"],
            "bic_weight must be a number of at least 0, not -1",
        ),
        (
            ["--set", "bic_weight=high"],
            "bic_weight must be a number of at least 0, not 'high'",
        ),
        (["--set", "l1=1"], "linear has no l1"),
        (["--set", "num_steps=1.5"], "num_steps must be a whole number of at least 1"),
        (["--set", "noise=loud"], "noise must be one of"),
        (["--set", "random_state=1"], "has no random_state"),
        (["--interventions-column", "targt"], "did you mean 'target'"),
        (["--regimes-column", "nope"], "no 'nope'"),
        (["--regimes-column", "c"], "--method linear as it is set reads no regimes"),
        (["--seed", "-1"], "--seed -1: give a whole number from 0 to 4294967295"),
        (["--seed", "4294967296"], "--seed 4294967296: give a whole number"),
        (["--required", "nothing.csv"], "nothing.csv: no such file"),
        (["--knowledge", "nothing.toml"], "nothing.toml: no such file"),
        ([], "column 'target' is constant"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(data, tmp_path, capsys, extra, words):
    out = tmp_path / "out"
    named = not extra or "--interventions-column" in extra
    chosen = extra if named else [*COLUMNS, *extra]
    command = ["fit", str(data), "--out", str(out), *LINEAR, *chosen]
    assert command_line.main(command) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.startswith("causaljax: error: ")
    assert message.count("\n") == 1
    assert not out.exists()


class Bare(BaseGraphEstimator):
    """No more than an estimator must have."""

    def __init__(self, *, progress=None, random_state=0):
        self.progress = progress
        self.random_state = random_state

    def _fit_problem(self, problem, columns, bar):
        graph = np.zeros((len(columns.names),) * 2, bool)
        posterior = Posterior(graph.astype(float), graph[None], np.zeros(1))
        return FitResult(graph, graph, None, posterior, {})


def test_a_method_needs_nothing_of_its_own_to_be_shown_and_written(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(command_line.METHODS, "bare", "Bare")
    monkeypatch.setattr(estimators, "Bare", Bare, raising=False)
    out = tmp_path / "out"
    command = ["fit", str(data), "--method", "bare", "--out", str(out), *COLUMNS]
    assert command_line.main([*command, "--no-cache"]) == 0
    assert "Bare(): 0 edges" in capsys.readouterr().out
    record = json.loads((out / "run.json").read_text())
    assert record["config"] == {}
    assert record["convergence"] == {"edge_probabilities": "score"}


def test_a_missing_file_is_one_line_and_exit_2(capsys):
    assert command_line.main(["fit", "nothing.csv"]) == 2
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
    assert command_line.main([*command, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("table 3, 400 rows, 3 columns", "DAG3.npy", "this graph", "SID"):
        assert word in printed
    edges = pd.read_csv(out / "edges.csv")
    assert set(edges.source + edges.target) == {"x0x1", "x0x2", "x1x2"}
    (folder / "DAG3.npy").unlink()
    assert command_line.main(command) == 0
    assert "this graph" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "dcdi"], "neither data_interv1.npy nor data1.npy"),
        ([], "holds tables of DCDI, numbers [3]: add --format dcdi --number 3"),
        (["--format", "dcdi", *COLUMNS], "--interventions-column: a folder of"),
        (["--number", "3"], "--number: only folders have numbers"),
    ],
)
def test_mistakes_with_folders_exit_2(folder, capsys, options, words):
    assert command_line.main(["fit", str(folder), *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fit"], ["fit", "x.csv", "--seed", "x"], []])
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main(arguments)
    assert stop.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_sachs_needs_no_file(tmp_path, capsys):
    out = tmp_path / "out"
    assert command_line.main(["fit", "sachs", *LINEAR, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("853 rows, 11 columns", "17 edges", "empty graph", "random graph"):
        assert word in printed
    for word in ("skeleton F1", "directed F1", "directions right"):
        assert word in printed
    # All six arrows were against the consensus, and printed with probability 1.
    assert "-->" not in printed.split("Against")[0]
    assert "Not claimed, as the residual is not independent" in printed
    assert sorted(path.name for path in out.iterdir()) == sorted(files.RESULTS)
    assert json.loads((out / "run.json").read_text())["convergence"]["converged"]


def test_what_noise_means_for_the_result_is_said(tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        command_line.main(
            ["fit", "sachs", *LINEAR, "--set", "noise=gaussian", "--out", str(out)]
        )
        == 0
    )
    assert "---: an edge whose direction is not claimed." in capsys.readouterr().out
    cpdag = pd.read_csv(out / "cpdag.csv", index_col=0)
    adjacency = pd.read_csv(out / "adjacency.csv", index_col=0)
    edges = pd.read_csv(out / "edges.csv")
    assert (edges.mark == "---").any()
    twice = cpdag.to_numpy().sum() - adjacency.to_numpy().sum()
    assert twice == (edges.mark == "---").sum()
    options = ["--method", "continuous", "--set", "num_steps=2000"]
    assert command_line.main(["fit", "sachs", *options]) == 0
    assert "all noise has one variance" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_a_network_reads_a_file_with_gaps(data, tmp_path, capsys):
    table = pd.read_csv(data)
    table.loc[::7, "a"] = np.nan
    table.to_csv(data, index=False)
    trained, out = tmp_path / "own.safetensors", tmp_path / "out"
    weights.save_weights(trained, make_weights())
    command = ["fit", str(data), "--method", "amortized", "--out", str(out), *COLUMNS]
    options = ["--set", f"pretrained={trained}", "--set", "threshold=0.1"]
    assert command_line.main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "Pairs joined with probability above 0.10, by network random." in printed
    assert "weight" not in printed  # it has none
    assert "The table is like those it was trained on" in printed
    edges = pd.read_csv(out / "edges.csv")
    assert edges.probability.between(0.05, 1).all()
    assert edges.weight.isna().all()
    record = json.loads((out / "run.json").read_text())
    assert record["config"]["pretrained"] == "random"
    assert 0 < record["convergence"]["ood_score"] < 1
    assert command_line.main([*command, "--set", "pretrained=nothing"]) == 2
    assert "no weights of the name 'nothing'" in capsys.readouterr().err
    assert command_line.main([*command, "--set", "progress=1"]) == 2
    assert "amortized has no progress" in capsys.readouterr().err


def test_datasets_and_version(capsys):
    assert command_line.main(["datasets"]) == 0
    assert "sachs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command_line.main(["--version"])
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
    assert command_line.main(command) == 0
    printed = capsys.readouterr()
    assert "'idle' is taken for the reference" in printed.err
    for word in ("on b", "33.3%", "Regime idle is the reference", "held-out bound"):
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
    assert command_line.main(["fit", str(unrecorded), "--out", str(out), *FAST]) == 0
    assert not (out / "regimes.csv").exists()
    capsys.readouterr()
    wrong = [*command[:4], "--set", "mechanism=round"]
    assert command_line.main(wrong) == 2
    assert "mechanism must be one of" in capsys.readouterr().err


def told(monkeypatch, command, method):
    """What ``fit`` of a method would be given by a command."""
    seen = []

    def fit(self, table, **known):
        seen.append((table, known))
        raise Whole

    monkeypatch.setattr(method, "fit", fit)
    with pytest.raises(Whole):
        command_line.main(command)
    return seen[0]


def test_regimes_of_a_folder_go_to_methods_that_read_them(folder, monkeypatch):
    command = ["fit", str(folder), "--format", "dcdi", "--number", "3"]
    neural = [*command, "--method", "neural"]
    imperfect = [*neural, "--set", "intervention=imperfect"]
    for line, method, read in (
        ([*command, *LINEAR], LinearDAG, False),
        (neural, NeuralDAG, False),
        (imperfect, NeuralDAG, True),
        ([*command, "--method", "latent-interventions"], LatentInterventionDAG, True),
    ):
        _, known = told(monkeypatch, line, method)
        assert (known["regimes"] is not None) == read
        assert known["interventions"].any()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["None", "NA", "null", "drug", ""], ["None", "NA", "null", "drug", None]),
        (["nan", "NaN", "n/a", "N/A", "<NA>"], ["nan", "NaN", "n/a", "N/A", "<NA>"]),
        (["2", "1", "", "1", "3"], [2, 1, None, 1, 3]),
        (["01", "1", "1.0", "", "1"], ["01", "1", "1.0", None, "1"]),
    ],
)
def test_labels_are_what_the_file_says(tmp_path, monkeypatch, cells, expected):
    lines = [f"{k},{k * k},{cell}" for k, cell in enumerate(cells)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,condition", *lines]) + "\n")
    command = ["fit", str(tmp_path / "t.csv"), "--regimes-column", "condition"]
    command += ["--method", "latent-interventions"]
    table, known = told(monkeypatch, command, LatentInterventionDAG)
    assert list(table) == ["a", "b"]
    labels = [None if pd.isna(label) else label for label in known["regimes"]]
    assert list(map(repr, labels)) == list(map(repr, expected))


def test_targets_of_any_name_are_found(tmp_path, monkeypatch):
    names = ["1", "NA", "None", "null", "a;b"]
    cells = ["1", "NA;1", "None", "", "a;b", "null; None"]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 5)), columns=names)
    table.assign(on=cells).to_csv(tmp_path / "t.csv", index=False)
    command = ["fit", str(tmp_path / "t.csv"), "--interventions-column", "on"]
    read, known = told(monkeypatch, [*command, *LINEAR], LinearDAG)
    with pytest.warns(UserWarning, match="6 rows: so few"):
        problem, _ = to_problem(read, interventions=known["interventions"])
    hit = [np.flatnonzero(row).tolist() for row in problem.intervened[:6]]
    assert hit == [[0], [0, 1], [2], [], [4], [2, 3]]


# What is shown


class Shown(LatentInterventionDAG):
    """As much of an estimator of regimes as is shown."""

    def __init__(self, names, regimes, targets, *, reference_known=False):
        size = len(names)
        graph = np.eye(size, k=1, dtype=bool)
        self.n_features_in_ = size
        self.edges_ = edges.edge_table(
            graph, graph, graph * 1.0, names, meaning="score", weights=graph * 2.0
        )
        self.adjacency_ = edges.adjacency(self.edges_, names)
        self.cpdag_ = edges.claims(self.edges_, names)
        self.info_ = {"seconds": 1.0, "loss": 0.5, "reference_known": reference_known}
        self.reference_ = regimes[0]
        share = np.full(len(regimes), 1 / len(regimes))
        self.regime_weights_ = pd.Series(share, index=regimes)
        self.intervention_targets_ = pd.DataFrame(targets, regimes, names)

    def _call(self):
        return "Shown()"


def shown(names, regimes, **options):
    targets = np.ones((len(regimes), len(names)))
    return Shown(names, regimes, targets, **options)


NASTY = [
    *("[/min]", "a [bold]", "[red]a[/red]", "[/]", "\\[a]", "a\\", ":smile:", "a  b"),
    *(" a", "a\nb", "a\tb", "\x1b[31ma", "\u202ea", "\x00", "é", "名前", "x" * 200),
    *("http://a", "1", "None", "{a}", "%s"),
]
names_of_others = st.sampled_from(NASTY) | st.text(max_size=8)


def people():
    """A reply in lines."""
    return reply.Reply(False, "fit", [])


def lines_of(show, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        show(*arguments)
    return out.getvalue().split("\n")


def spelled(name):
    """A name as it is shown, its control characters spelled out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in name
    )


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    names=st.lists(names_of_others, min_size=2, max_size=4, unique=True),
    regimes=st.lists(names_of_others, min_size=1, max_size=3, unique=True),
    path=names_of_others,
)
@hypothesis.example(names=NASTY, regimes=NASTY, path=NASTY[0])
def test_names_are_shown_as_they_are(names, regimes, path):
    stub = shown(names, regimes)
    lines = lines_of(fit.show, people(), stub, path, (5, 2))
    assert lines[0] == f"{spelled(path)}, 5 rows, 2 columns"
    rows = [line for line in lines if line.startswith("│")]
    assert len(rows) == len(names) - 1 + len(regimes)  # none is on two lines
    for row, (source, target) in zip(rows, itertools.pairwise(names), strict=False):
        assert row.startswith(f"│ {spelled(source)} ")
        assert f"│ --> │ {spelled(target)} " in row
    for row, regime in zip(rows[len(names) - 1 :], regimes, strict=True):
        assert row.startswith(f"│ {spelled(regime)} ")
        assert f" {', '.join(map(spelled, names))} " in row
    assert lines[-4].startswith(f"Regime {spelled(regimes[0])} is the reference")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_the_output_has_no_code_for_is_spelled_out(encoding):
    stub, out = shown(["名前", "b"], ["é"]), io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(out, encoding=encoding)) as text:
        fit.show(people(), stub, "前.csv", (5, 2))
        text.flush()
        printed = out.getvalue().decode(encoding)
    assert printed.startswith("\\u524d.csv, 5 rows")
    assert "\\u540d\\u524d" in printed


@pytest.mark.parametrize("name", NASTY)
def test_a_truth_of_any_name_is_compared(name):
    stub = shown([name, "b"], ["0"])
    loaded = reading.Loaded(
        None, "", truth=stub.adjacency_, truth_name="consensus graph"
    )
    scores = fit._scores(loaded, stub)
    assert "this graph" in "\n".join(
        lines_of(fit.show_scores, people(), loaded, scores)
    )


@pytest.mark.parametrize("path", [name for name in NASTY if "//" not in name])
def test_a_path_stays_on_its_line(path, capsys):
    path = path.replace("\x00", "\x01")
    assert command_line.main(["fit", path]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"causaljax: error: {spelled(path)}: ")
    assert message.count("\n") == 1
    assert message[:-1].isprintable()


def test_descriptions_are_shown_as_they_are(monkeypatch, capsys):
    sachs = dataclasses.replace(datasets.load_sachs(), description="[/a] :smile: [b]x")
    monkeypatch.setattr(datasets, "DATASETS", {"[/min]": lambda: sachs})
    assert command_line.main(["datasets"]) == 0
    printed = capsys.readouterr().out
    assert "│ [/min] │ 7466 │ 11" in printed
    assert "[/a] :smile: [b]x" in printed


@pytest.mark.parametrize(
    ("count", "known", "words"),
    [
        (0, True, "is the reference, without targets; those of the others are"),
        (1, False, "is the reference, with a target of its own; those"),
        (4, False, "is the reference, with 4 targets of its own; those"),
    ],
)
def test_what_the_reference_is_is_said(count, known, words):
    targets = np.array([[0.9] * count + [0.1] * (5 - count), [0.9] * 5])
    stub = Shown(list("abcde"), [0, 1], targets, reference_known=known)
    printed = "\n".join(lines_of(fit.show, people(), stub, "x.csv", (9, 5)))
    assert f"Regime 0 {words}" in printed
    assert ("because it has the fewest targets" in printed) != known


# Where results go


@pytest.mark.parametrize("place", ["file", "file/out", "/proc/out", "/dev/full/out"])
def test_a_place_that_cannot_be_written_is_said_before_the_fit(
    data, monkeypatch, capsys, place
):
    monkeypatch.setattr(LinearDAG, "fit", None)  # would be an error of another kind
    (data.parent / "file").write_text("mine")
    out = data.parent / place
    command = ["fit", str(data), "--out", str(out), *COLUMNS, *LINEAR]
    assert command_line.main(command) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"causaljax: error: {out}: ")
    assert message.count("\n") == 1


def test_a_fit_that_fails_leaves_no_folder(data, monkeypatch, capsys):
    def fail(*arguments, **options):
        raise ValueError("no")

    monkeypatch.setattr(LinearDAG, "fit", fail)
    out = data.parent / "a" / "out"
    command = ["fit", str(data), "--out", str(out), *COLUMNS, *LINEAR]
    assert command_line.main(command) == 2
    assert [path.name for path in data.parent.iterdir()] == ["data.csv"]
    capsys.readouterr()


def test_a_folder_without_tables_is_none_to_fit(tmp_path, capsys):
    assert command_line.main(["fit", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "is a folder; give a file, or a folder with --format dcdi" in message


# Tables as they come


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.setitem(command_line.METHODS, "bare", "Bare")
    monkeypatch.setattr(estimators, "Bare", Bare, raising=False)
    return ["--method", "bare", "--no-cache"]


@pytest.fixture
def survey(tmp_path):
    rng = np.random.default_rng(0)
    n = 40
    table = pd.DataFrame(
        {
            "": range(n),
            "income": rng.normal(size=n).round(3),
            "ward [red]": rng.permutation(["b"] * 20 + ["a"] * 12 + ["c"] * 8),
            "visits": rng.poisson(40, n),
            "day": pd.date_range("2026-01-01", periods=n).astype(str),
            "on": ["visits"] + [""] * (n - 1),
            "w": rng.integers(1, 3, n),
        }
    )
    path = tmp_path / "survey.csv"
    table.to_csv(path, index=False, sep=";", decimal=",")
    return path


def test_how_a_table_was_read_is_shown_and_recorded(survey, bare, tmp_path, capsys):
    required = tmp_path / "required.csv"
    required.write_text("cause,effect\nincome,visits\n")
    options = ["--interventions-column", "on", "--weights-column", "w"]
    options += ["--required", str(required), "--out", str(tmp_path / "out")]
    command = ["fit", str(survey), *bare, *options]
    assert command_line.main(command) == 0
    printed = capsys.readouterr()
    said = printed.err.splitlines()
    assert "survey.csv: the first column has no name" in said[0]
    assert "left out: 'day' (an identifier" in said[1]
    assert "'ward [red]'] hold classes without an order" in said[2]
    assert len(said) == 3
    rows = [line for line in printed.out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row.split("│")[1:-1]] for row in rows]
    assert cells[0][:4] == ["income", "continuous", "40", ""]
    assert cells[1][:4] == ["ward [red]", "categorical", "3: b, a, c", ""]
    assert cells[3][:2] == ["day", "left out"]
    assert "survey.csv, 40 rows" in printed.out.split("\n")[0]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["command"] == ["causaljax", *command]
    assert record["data"]["sha256"] == files.fingerprint(survey)
    assert record["interventions_column"] == "on"
    assert record["weights_column"] == "w"
    assert record["knowledge"]["required"] == [["income", "visits"]]
    assert [row["name"] for row in record["columns"]] == [row[0] for row in cells[:4]]


@pytest.mark.parametrize(
    ("options", "columns", "kinds"),
    [
        (["--drop", "day,ward [red]"], ["income", "visits", "on", "w"], None),
        (
            ["--drop", "day", "--drop", "w"],
            ["income", "ward [red]", "visits", "on"],
            None,
        ),
        (
            ["--kinds", "on=binary, visits=count"],
            None,
            {"on": "binary", "visits": "count"},
        ),
        (["--kinds", "a,b=c=binary", "--kinds", "w=count"], None, None),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_columns_and_kinds_reach_the_fit(survey, monkeypatch, options, columns, kinds):
    if "a,b" in options[1]:
        kinds = {"a,b=c": "binary", "w": "count"}
        table = pd.read_csv(survey, sep=";", decimal=",", index_col=0)
        table.rename(columns={"on": "a,b=c"}).to_csv(survey, index=False)
    table, known = told(monkeypatch, ["fit", str(survey), *LINEAR, *options], LinearDAG)
    if columns:
        assert [*table] == columns
    assert known["kinds"] == kinds
    assert known["columns"] is None
    chosen = ["fit", str(survey), *LINEAR, "--columns", "income,visits"]
    with pytest.raises(Whole):
        command_line.main(chosen)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--drop", "dya"], "--drop: the table has no 'dya'; did you mean 'day'?"),
        (["--columns", "income,wrad"], "columns names an unknown column 'wrad'"),
        (["--kinds", "w"], "--kinds w: write COLUMN=KIND"),
        (["--kinds", "w="], "--kinds w=: write COLUMN=KIND"),
        (["--kinds", "w=number"], "'w' the kind 'number': give one of ['continuous'"),
        (["--weights-column", "day"], "sample_weight holds cells that are no numbers"),
        (["--weights-column", "v"], "--weights-column: the table has no 'v'"),
        (
            ["--with-interventions"],
            "is no shipped data set, of which there are ['sachs",
        ),
        (["--separator", ",;"], "--separator ,;: give one character, or tab"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_mistakes_about_columns_exit_2(survey, bare, capsys, options, words):
    assert command_line.main(["fit", str(survey), *bare, *options]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_text_options_mean_nothing_to_a_data_set(capsys):
    for options in (["--separator", ";"], ["--decimal", ","], ["--no-header"]):
        assert command_line.main(["fit", "sachs", *options]) == 2
        assert f"{options[0]}: sachs is no text file" in capsys.readouterr().err


def test_a_column_of_a_folder_may_be_dropped(folder, monkeypatch):
    command = ["fit", str(folder), "--format", "dcdi", "--number", "3", "--drop", "x0"]
    table, known = told(monkeypatch, [*command, *LINEAR], LinearDAG)
    assert [*table] == ["x1", "x2"]
    assert known["interventions"].any(axis=0).tolist() == [True, False]


def test_a_comparison_is_over_the_columns_that_were_taken(bare, capsys):
    assert command_line.main(["fit", "sachs", *bare, "--drop", "PKC,Raf"]) == 0
    printed = capsys.readouterr().out
    edges = datasets.load_sachs().truth.drop(
        index=["PKC", "Raf"], columns=["PKC", "Raf"]
    )
    assert f"consensus graph of {edges.to_numpy().sum()} edges" in printed


def test_a_wide_table_is_summed_up():
    kinds = ["continuous"] * 40 + ["count", "left out"]
    rows = [{"name": f"c{k}", "kind": kind, "note": ""} for k, kind in enumerate(kinds)]
    words, lines = summary.shown_columns(rows)
    assert words == "Columns: 40 continuous, 1 count, 1 left out"
    assert [row[0] for row in lines.rows] == ["c40", "c41"]


def test_targets_of_sachs_are_reached(monkeypatch):
    command = ["fit", "sachs", "--with-interventions"]
    table, known = told(monkeypatch, [*command, *LINEAR], LinearDAG)
    sachs = datasets.load_sachs()
    assert len(table) == len(known["interventions"]) == 853 + 5711
    assert known["regimes"] is None
    mek = np.array([target == "Mek" for target in known["interventions"]])
    assert mek.sum() == (sachs.interventions == "Mek").sum()
    whole = [*command, "--method", "latent-interventions"]
    table, known = told(monkeypatch, whole, LatentInterventionDAG)
    assert len(table) == len(known["interventions"]) == 7466
    assert known["regimes"].tolist() == sachs.condition.tolist()


class Whole(Exception):
    """Raised where a fit would begin."""


def test_hidden_regimes_of_sachs_are_looked_for_in_all_rows(monkeypatch):
    command = ["fit", "sachs", "--method", "latent-interventions"]
    table, known = told(monkeypatch, command, LatentInterventionDAG)
    assert table.shape == (7466, 11)
    assert np.log(datasets.load_sachs().data).equals(table)
    assert known["interventions"] is None
    assert known["regimes"] is None


# Advice


def test_a_setting_without_its_method_is_refused(data, capsys):
    command = ["fit", str(data), "--set", "noise=gaussian", *COLUMNS]
    assert command_line.main(command) == 2
    assert "--set noise=gaussian: name its method" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_table_of_classes_is_given_to_the_method_that_reads_them(
    tmp_path, monkeypatch, capsys
):
    rng = np.random.default_rng(0)
    colour = np.array(["red", "green", "blue"])[rng.integers(0, 3, 200)]
    path = tmp_path / "t.csv"
    pd.DataFrame({"colour": colour, "size": rng.normal(size=200)}).to_csv(
        path, index=False
    )
    assert command_line.main(["advise", str(path), "--no-cache"]) == 0
    printed = capsys.readouterr().out
    assert "--method mixed" in printed
    assert "1 of 2 columns hold classes" in printed
    assert command_line.main(["advise", str(path), "--json", "--no-cache"]) == 0
    advice = json.loads(capsys.readouterr().out)["result"]
    assert advice["method"] == "MixedDAG"
    assert advice["diagnostics"]["kinds"] == {"categorical": 1, "continuous": 1}
    table, known = told(monkeypatch, ["fit", str(path), "--no-cache"], MixedDAG)
    assert [*table] == ["colour", "size"]
    assert known["regimes"] is None


@pytest.mark.filterwarnings("ignore")
def test_what_no_table_tells_is_an_option(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, site = rng.normal(size=300), np.repeat(np.arange(10), 30)
    table = {"site": site, "x": x + site / 3, "y": x + rng.normal(size=300)}
    path = tmp_path / "t.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    assert (
        command_line.main(["advise", str(path), "--domain", "site", "--no-cache"]) == 0
    )
    told = capsys.readouterr().out
    assert "--method cdnod --set domain=site" in told
    assert "Mechanisms may differ by site." in told
    command = ["fit", str(path), "--hidden-causes", "--json", "--no-cache"]
    assert command_line.main(command) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["method"] == "fci"
    assert {edge["mark"] for edge in result["edges"]} <= set(MARKS)
