"""What the command line says to programs: envelopes, their schema, codes of errors."""

import dataclasses
import io
import json
import re
import sys
from pathlib import Path

import jsonschema
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from causaljax import estimators
from causaljax.cli import command_line, completion, reply, schema
from causaljax.effects.result import Effect
from causaljax.tables import datasets, errors, files
from causaljax.tables.edges import COLUMNS

DOCS = Path(__file__).parents[1] / "docs" / "cli.md"
SCHEMA = schema.make_schema()
FAST = ["--method", "linear", "--set", "noise=gaussian", "--no-cache"]


def ask(capsys, *words, code=0):
    """Runs a command with --json, and gives the envelope, checked by the schema."""
    capsys.readouterr()
    try:
        ended = command_line.main([*map(str, words), "--json"])
    except SystemExit as stop:
        ended = stop.code
    printed = capsys.readouterr()
    assert printed.err == ""
    envelope = json.loads(printed.out)
    jsonschema.validate(envelope, SCHEMA)
    assert ended == code, envelope
    assert (envelope["error"] is None) == (code == 0)
    return envelope


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A table, the folder of a fit with its model, and what the fit printed."""
    folder = tmp_path_factory.mktemp("fit")
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 300))
    table = pd.DataFrame({"a": a, "b": b, "c x": a + b + c, "d": 2 * (a + b + c) + d})
    table.to_csv(folder / "t.csv", index=False)
    out, printed = folder / "out", io.StringIO()
    command = ["fit", str(folder / "t.csv"), *FAST, "--out", str(out), "--save-model"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", printed)
        assert command_line.main([*command, "--json"]) == 0
    return folder, out, printed.getvalue()


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {command["const"] for command in _commands()} == _names_of_commands()


def _commands():
    return [
        one["properties"]["command"]
        for one in SCHEMA["anyOf"]
        if "command" in one["properties"]
    ]


def _names_of_commands():
    parser = command_line.make_parser()
    group = next(one for one in parser._actions if isinstance(one.choices, dict))
    return set(group.choices)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2.0"},
        {"command": "ft"},
        {"result": None},
        {"result": {"file": 1}},
        {"result": {"file": "a", "more": 1}},
        {"more": 1},
        {"error": {"code": "nonsense", "message": ""}},
    ],
)
def test_the_schema_notices_what_is_wrong(change):
    answer = reply.Reply(True, "plot", ["plot"])
    answer.result = {"file": "a"}
    envelope = answer.envelope()
    jsonschema.validate(envelope, SCHEMA)
    envelope |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(envelope, SCHEMA)


def test_a_fit_says_how_it_came_about_and_what_was_found(fitted):
    folder, out, printed = fitted
    envelope = json.loads(printed)
    jsonschema.validate(envelope, SCHEMA)
    run, result = envelope["run"], envelope["result"]
    assert run["settings"]["noise"] == "gaussian"
    assert run["settings"]["num_steps"] == 30  # what was not set, too
    assert run["seed"] == 0
    assert run["data"]["sha256"] == files.fingerprint(folder / "t.csv")
    assert run["arguments"][:2] == ["fit", str(folder / "t.csv")]
    read = files.read_result(out / "edges.csv")
    assert [list(edge) for edge in result["edges"]] == [list(COLUMNS)] * len(read)
    told = [(edge["source"], edge["mark"], edge["target"]) for edge in result["edges"]]
    assert told == list(zip(read.source, read.mark, read.target, strict=True))
    assert result["variables"] == ["a", "b", "c x", "d"]
    assert set(result["files"]) == {path.name for path in out.iterdir()}
    assert "model.safetensors" in result["files"]


def test_a_kept_model_goes_when_a_fit_keeps_none(tmp_path):
    edges = pd.DataFrame({name: [] for name in COLUMNS})
    record, model = {"causaljax": "1"}, tmp_path / files.MODEL
    kept = files.write_results(
        tmp_path, edges, ["a"], record, save_model=lambda path: path.write_text("x")
    )
    assert files.MODEL in kept
    assert model.exists()
    assert files.write_results(tmp_path, edges, ["a"], record) == files.RESULTS
    assert not model.exists()


def test_an_effect_is_that_of_the_kept_model(fitted, capsys):
    folder, out, _ = fitted
    envelope = ask(capsys, "effect", out, "c x", "d", "--values", "0", "-1")
    table = pd.read_csv(folder / "t.csv")
    model = estimators.load(out / files.MODEL)
    expected = model.effect("c x", "d", table, values=(0, -1))
    assert envelope["result"]["estimate"] == expected.estimate
    assert envelope["result"]["identified"] == expected.identified
    assert envelope["run"]["data"]["rows"] == 300
    assert command_line.main(["effect", str(out), "c x", "d"]) == 0
    assert "for one unit more of 'c x'" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_effect_asks_for_the_table_where_it_has_changed(fitted, capsys):
    folder, out, _ = fitted
    path = folder / "t.csv"
    before = path.read_text()
    try:
        pd.read_csv(path)[:100].to_csv(path, index=False)
        envelope = ask(capsys, "effect", out, "c x", "d", code=2)
        assert envelope["error"]["code"] == "unreadable_data"
        assert "--data" in envelope["error"]["message"]
        envelope = ask(capsys, "effect", out, "c x", "d", "--data", path)
        assert envelope["run"]["data"]["rows"] == 100
    finally:
        path.write_text(before)


def test_a_picture_is_drawn_from_results_and_from_files(fitted, tmp_path, capsys):
    _, out, _ = fitted
    for graph, name in ((out, "a.png"), (out / "graph.json", "b.svg")):
        path = tmp_path / name
        envelope = ask(capsys, "plot", graph, path)
        assert envelope["result"] == {"file": str(path)}
        assert path.stat().st_size > 1000


def test_a_page_is_written_from_results(fitted, tmp_path, capsys):
    _, out, _ = fitted
    path = tmp_path / "page.html"
    assert ask(capsys, "report", out, path)["result"] == {"file": str(path)}
    assert path.read_text("utf-8").startswith("<!")


# Graphs compared


def write_graph(path, matrix, names="abcd"):
    frame = pd.DataFrame(matrix, index=list(names), columns=list(names))
    frame.to_csv(path)
    return path


TRUTH = [[0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
GRAPH = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_graphs_are_compared_by_skeleton_and_direction(tmp_path, capsys):
    one = write_graph(tmp_path / "one.csv", TRUTH)
    two = write_graph(tmp_path / "two.csv", GRAPH)
    result = ask(capsys, "compare", one, two)["result"]
    assert result["truth"] == {"source": str(one), "edges": 3}
    assert result["graph"]["edges"] == 2
    assert result["scores"]["shd"] == 3
    assert result["scores"]["skeleton_precision"] == 1
    assert result["scores"]["skeleton_recall"] == pytest.approx(2 / 3)
    assert result["scores"]["oriented_precision"] == 0.25
    assert result["scores"]["sid"] is None  # undefined with an open direction
    assert result["differences"] == [
        {"source": "a", "target": "b", "truth": "-->", "graph": "---"},
        {"source": "a", "target": "c", "truth": "-->", "graph": None},
        {"source": "b", "target": "c", "truth": "-->", "graph": "<--"},
    ]
    assert command_line.main(["compare", str(one), str(two)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "SHD 3 over 4 columns",
        "skeleton",
        "0.667",
        "│ b      │ c      │ -->   │ <--",
    ):
        assert words in printed


def test_one_graph_is_the_same_in_all_its_files(fitted, capsys):
    _, out, _ = fitted
    for name in ("", "cpdag.csv", "edges.csv", "graph.json"):
        for pair in ((out, out / name), (out / name, out)):
            result = ask(capsys, "compare", *pair)["result"]
            assert result["scores"]["shd"] == 0, pair
            assert result["differences"] == []


def test_a_data_set_stands_for_its_true_graph(tmp_path, capsys):
    truth = datasets.load_sachs().truth
    path = tmp_path / "g.json"
    graph = nx.from_pandas_adjacency(truth, create_using=nx.DiGraph)
    path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    result = ask(capsys, "compare", "sachs", path)["result"]
    assert result["scores"]["shd"] == result["scores"]["sid"] == 0
    assert result["truth"]["edges"] == 17


# The same bytes everywhere


def test_the_bytes_are_those_of_any_output(monkeypatch, tmp_path):
    name, printed = "前 \u202e<b>\x1b[31m", []
    graph = write_graph(tmp_path / "g.csv", TRUTH)
    text = graph.read_text()
    graph.write_text(text.replace("a", name.replace("\x1b", "")), encoding="utf-8")
    for encoding, terminal in (("ascii", False), ("cp1252", True), ("utf-8", True)):
        out = io.BytesIO()
        stream = io.TextIOWrapper(out, encoding=encoding, newline="")
        monkeypatch.setattr(stream, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        assert command_line.main(["compare", str(graph), str(graph), "--json"]) == 0
        stream.flush()
        printed.append(out.getvalue())
    assert printed[0] == printed[1] == printed[2]
    assert printed[0].isascii()
    assert json.loads(printed[0])["result"]["variables"][0] == name.replace("\x1b", "")


def test_numbers_are_those_of_json():
    value = {
        1: np.float32(0.5),
        "nan": np.nan,
        "list": np.array([1, 2]),
        "inf": [np.inf],
    }
    assert reply.plain(value) == {"1": 0.5, "nan": None, "list": [1, 2], "inf": [None]}
    assert reply.plain((True, np.bool_(False), None, "a")) == [True, False, None, "a"]


@pytest.mark.parametrize("command", ["datasets", "methods", "schema"])
def test_lists_are_valid(capsys, command):
    envelope = ask(capsys, command)
    assert envelope["command"] == command
    assert command_line.main([command]) == 0
    assert capsys.readouterr().out


def test_methods_have_their_parameters_and_defaults(capsys):
    listed = ask(capsys, "methods")["result"]["methods"]
    assert [method["name"] for method in listed] == list(command_line.METHODS)
    for method in listed:
        model = getattr(estimators, method["estimator"])()
        told = {one["name"]: one["default"] for one in method["parameters"]}
        own = {"progress", "random_state"}
        assert told == {k: v for k, v in model.get_params().items() if k not in own}
        for one in method["parameters"]:
            assert one["what"], (method["name"], one["name"])
    assert command_line.main(["methods"]) == 0
    printed = capsys.readouterr().out
    assert "linear (LinearDAG): A linear causal graph" in printed
    assert re.search(r"^  n_bootstrap=0: refits on resampled rows", printed, re.M)


@pytest.mark.parametrize("shell", completion._SHELLS)
def test_a_shell_learns_the_commands(capsys, shell):
    script = ask(capsys, "completion", shell)["result"]["script"]
    for word in ("--save-model", "compare", "latent-interventions"):
        assert word.lstrip("-") in script
    assert command_line.main(["completion", shell]) == 0
    assert capsys.readouterr().out == script + "\n"


# Every error has a code


def _interrupt(patch):
    def stop(options, said):
        raise KeyboardInterrupt

    patch.setattr(completion, "_complete", stop)


def _without_shtab(patch):
    patch.setitem(sys.modules, "shtab", None)


# Words, and the code, valid option and suggestion that they lead to; {t} is the table,
# {r} the folder of results, {f} the folder of both.
MISTAKES = [
    (["fit"], "usage", None, None),
    (["fit", "{t}", "--metod", "linear"], "usage", "--method", "--method"),
    (["fit", "{t}", "--save-model"], "usage", None, None),
    (["fit", "{t}", "--set", "noise=gaussian"], "usage", None, None),
    (["fitt"], "invalid_choice", "fit", "fit"),
    (["fit", "{t}", "--method", "liner"], "invalid_choice", "mixed", "linear"),
    (["completion", "ksh"], "invalid_choice", "bash", "zsh"),
    (["fit", "{t}", "--seed", "x"], "invalid_option", None, None),
    (["fit", "{t}", "--seed", "-1"], "invalid_option", None, None),
    (["fit", "{t}", "--separator", ",;"], "invalid_option", None, None),
    (["advise", "{t}", "--kinds", "a"], "invalid_option", None, None),
    (
        ["fit", "{t}", "--method", "linear", "--hidden-causes"],
        "option_not_applicable",
        None,
        None,
    ),
    (
        ["fit", "{t}", "--method", "cdnod", "--domain", "a"],
        "option_not_applicable",
        None,
        None,
    ),
    (
        ["advise", "{t}", "--domain", "a", "--hidden-causes", "--no-cache"],
        "invalid_data",
        None,
        None,
    ),
    (["plot", "{r}", "{f}/g.gif"], "invalid_option", ".png", None),
    (["effect", "{r}", "a", "d", "--values", "1", "1"], "invalid_option", None, None),
    (["effect", "{r}", "a", "a"], "invalid_option", None, None),
    (["fit", "{t}", "--number", "1"], "option_not_applicable", None, None),
    (["fit", "sachs", "--decimal", ","], "option_not_applicable", None, None),
    (
        ["fit", "sach", "--with-interventions"],
        "option_not_applicable",
        "sachs",
        "sachs",
    ),
    (
        ["fit", "{t}", "--method", "linear", "--regimes-column", "a"],
        *("option_not_applicable", None, None),
    ),
    (
        ["fit", "{f}", "--format", "dcdi", "--weights-column", "w"],
        *("option_not_applicable", None, None),
    ),
    (["fit", "{t}", "--drop", "c_x"], "unknown_column", "d", "c x"),
    (["fit", "{t}", "--weights-column", "w"], "unknown_column", "c x", None),
    (["effect", "{r}", "c-x", "d"], "unknown_column", "a", "c x"),
    (["fit", "sach"], "file_not_found", "sachs", "sachs"),
    (["fit", "{f}/no.csv"], "file_not_found", None, None),
    (["fit", "{f}/no", "--format", "dcdi"], "file_not_found", None, None),
    (["fit", "{t}", "--knowledge", "{f}/no.toml"], "file_not_found", None, None),
    (["compare", "sachs", "{f}/no.csv"], "file_not_found", "sachs", None),
    (["effect", "{f}/no", "a", "d"], "file_not_found", None, None),
    (["fit", "{f}"], "unreadable_data", None, None),
    (["fit", "{f}/empty.csv"], "unreadable_data", None, None),
    (["fit", "{f}", "--format", "dcdi"], "unreadable_data", None, None),
    (["fit", "{t}", "--columns", "e", *FAST], "unknown_column", "c x", None),
    (["fit", "{t}", "--kinds", "cx=count", *FAST], "unknown_column", "a", "c x"),
    (["advise", "{f}/constant.csv", "--no-cache"], "invalid_data", None, None),
    (["fit", "{t}", "--knowledge", "{t}"], "invalid_knowledge", None, None),
    (["fit", "{t}", *FAST, "--set", "nois=1"], "invalid_setting", "noise", "noise"),
    (["fit", "{t}", *FAST, "--set", "noise"], "invalid_setting", None, None),
    (["fit", "{t}", *FAST, "--set", "noise=loud"], "invalid_setting", None, None),
    (["fit", "{t}", "--out", "{t}"], "unwritable_output", None, None),
    (["plot", "sachs", "{f}/no/g.png"], "unwritable_output", None, None),
    (["compare", "sachs", "{f}"], "unreadable_graph", None, None),
    (["compare", "sachs", "{t}"], "unreadable_graph", None, None),
    (["compare", "sachs", "{r}/model.safetensors"], "unreadable_graph", ".csv", None),
    (["compare", "sachs", "{f}/bad.json"], "unreadable_graph", None, None),
    (["effect", "{f}", "a", "d"], "unreadable_graph", None, None),
    (["plot", "{f}", "{f}/g.png"], "unreadable_graph", None, None),
    (["report", "{f}"], "unreadable_graph", None, None),
    (["report", "{r}", "{f}/no/page.html"], "unwritable_output", None, None),
    (["compare", "sachs", "{r}"], "graphs_differ", None, None),
    (["batch", "{f}/job.toml"], "invalid_job", "inputs", "inputs"),
]


@pytest.fixture
def places(fitted):
    folder, out, _ = fitted
    (folder / "empty.csv").write_text("")
    (folder / "constant.csv").write_text("a,b\n1,2\n1,3\n1,5\n1,4\n")
    (folder / "bad.json").write_text("[1]")
    (folder / "job.toml").write_text("input = 1")
    return {"t": folder / "t.csv", "r": out, "f": folder}


@pytest.mark.parametrize(("words", "code", "option", "meant"), MISTAKES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_mistake_has_its_code(places, capsys, words, code, option, meant):
    words = [word.format(**places) for word in words]
    error = ask(capsys, *words, code=2)["error"]
    assert error["code"] == code, error
    assert "\n" not in error["message"]
    assert error["did_you_mean"] == meant
    assert option is None or option in error["valid_options"]
    assert meant is None or meant in error["valid_options"]
    if meant and code != "option_not_applicable":
        assert f"did you mean {meant}" in error["message"].replace("'", "")


def test_a_missing_library_has_its_code(monkeypatch, capsys):
    _without_shtab(monkeypatch)
    error = ask(capsys, "completion", "bash", code=2)["error"]
    assert error["code"] == "missing_extra"
    assert "causaljax[completion]" in error["message"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_what_is_no_mistake_of_the_user_has_its_code(monkeypatch, capsys, raised):
    def stop(options, said):
        raise raised

    monkeypatch.setattr(command_line.datasets, "_list", stop)
    if isinstance(raised, RuntimeError):
        with pytest.raises(RuntimeError):
            command_line.main(["datasets", "--json"])
        expected = {"code": "internal", "message": "a bug"}
    else:
        assert command_line.main(["datasets", "--json"]) == 130
        expected = {"code": "interrupted", "message": "interrupted"}
    printed = capsys.readouterr().out
    jsonschema.validate(json.loads(printed), SCHEMA)
    assert json.loads(printed)["error"].items() >= expected.items()


def test_every_code_is_raised_here_and_listed_in_the_docs():
    raised = {code for _, code, *_ in MISTAKES}
    raised |= {"missing_extra", "interrupted", "internal"}
    # tests/test_batch.py and tests/test_batch_faults.py
    raised |= {"job_changed", "folder_in_use", "damaged_results", "preempted"}
    assert raised == set(errors.CODES)
    section = DOCS.read_text().partition("## Errors")[2]
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.M))
    assert listed == errors.CODES


def test_every_command_is_listed_in_the_docs():
    listed = re.findall(r"^\| `([a-z]+)[^`]*` \|", DOCS.read_text(), re.M)
    assert _names_of_commands() <= set(listed)


def test_the_schema_knows_all_that_an_effect_says():
    told = [field.name for field in dataclasses.fields(Effect)]
    assert list(schema.RESULTS["effect"]["properties"]) == told
