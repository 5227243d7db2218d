"""What the fits of a batch job say together."""

import re

import numpy as np
import pytest

from causaljax.batch import output as outputs
from causaljax.batch import summarise, worker
from causaljax.batch.output import Output
from causaljax.cli import command_line
from causaljax.tables.edges import MARKS
from causaljax.tables.errors import CodedError


def test_a_summary_counts_edges_and_bounds_the_false(tmp_path):
    """Four subsamples: a-b in all of them, each way in some, a-c in two."""
    marks = ["-->", "<--", "---", "<--"]
    description = {"bootstraps": 0, "subsamples": 4}
    with Output(tmp_path / "out", description, (0, 1)) as output:
        for number in range(5):
            mark = marks[number - 1] if number else "-->"
            ends = "ba" if mark == "<--" else "ab"
            mark = "-->" if mark == "<--" else mark
            edges = [
                dict(zip(("source", "target", "mark"), (*ends, mark), strict=True))
            ]
            if number in (0, 1, 4):
                edges.append({"source": "a", "target": "c", "mark": "-->"})
            edges.append({"source": "b", "target": "c", "mark": "<->"})
            nothing = dict.fromkeys(outputs.COLUMNS, None) | {"why": ""}
            output.add(
                worker._NOTHING
                | {"task": f"t?subsample={number}", "input": "t", "group": ""}
                | {"settings": "{}", "seed": 0, "resample": "", "replicate": number}
                | {"status": "done", "seconds": 0.5, "candidates": 10, "required": 1}
                | {"edges_found": len(edges) - 1, "edges": [nothing | e for e in edges]}
            )
    found = summarise(tmp_path / "out", 0.9)
    assert not found.edges[["partly_forward", "partly_backward"]].any(axis=None)
    shown = ["source", "target", "adjacent", "forward", "backward", "open"]
    rows = found.edges[[*shown, "confounded", "stable"]].to_numpy().tolist()
    assert rows == [
        ["b", "a", 1, 0.5, 0.25, 0.25, 0, True],
        ["a", "c", 0.5, 0.5, 0, 0, 0, False],
        ["b", "c", 0, 0, 0, 0, 1, False],
    ]
    (fits,) = found.fits.to_dict("records")
    assert (fits["fits"], fits["mean_edges"], fits["stable"]) == (4, 1.5, 1)
    # q = 1.5 - 1 that is required: .5^2 / (.8 * 10)
    np.testing.assert_allclose(fits["false_bound"], 0.03125)
    assert found.bound_holds
    assert found.seconds == 2.5
    with pytest.raises(CodedError, match=r"above 0\.5"):
        summarise(tmp_path / "out", 0.5)


def test_circles_count_as_they_claim(tmp_path, capsys):
    """Of the marks with a circle only o-> says something of a direction."""
    rows = [("a", "b", "o->"), ("b", "a", "o->"), ("b", "a", "o->"), ("a", "b", "o-o")]
    rows += [("a", "b", "--o"), ("b", "a", "-->"), ("a", "b", "---"), ("a", "b", "<->")]
    assert {mark for *_, mark in rows} == set(MARKS)
    nothing = dict.fromkeys(outputs.COLUMNS, None) | {"why": ""}
    with Output(tmp_path / "out", {"bootstraps": 0, "subsamples": 0}, (0, 1)) as output:
        for seed, row in enumerate(rows):
            edge = dict(zip(("source", "target", "mark"), row, strict=True))
            output.add(
                worker._NOTHING
                | {"task": f"t?seed={seed}", "input": "t", "group": "", "seed": seed}
                | {"settings": "{}", "resample": "", "replicate": 0, "seconds": 0.5}
                | {"status": "done", "candidates": 1, "edges": [nothing | edge]}
            )
    (row,) = summarise(tmp_path / "out").edges.to_dict("records")
    assert (row["source"], row["target"], row["stable"]) == ("b", "a", True)
    counts = {"adjacent": 7, "forward": 1, "backward": 0, "partly_forward": 2}
    counts |= {"partly_backward": 2, "open": 2, "confounded": 1}
    assert {name: row[name] * len(rows) for name in counts} == counts
    assert command_line.main(["batch", "summary", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    (head,) = (line for line in told.split("\n") if "source" in line)
    (shown,) = (line for line in told.split("\n") if "88%" in line)
    heads, cells = (
        [cell.strip() for cell in re.split("[┃│]", line)[1:-1]]
        for line in (head, shown)
    )
    assert dict(zip(heads, cells, strict=True)) == {
        **{"source": "b", "target": "a", "adjacent": "88%", "open": "25%"},
        **{"forward": "12%", "backward": "0%"},
        **{"partly forward": "25%", "partly backward": "25%"},
    }


def test_a_folder_of_no_job_has_no_summary(tmp_path):
    with pytest.raises(CodedError, match=r"holds no job\.json"):
        summarise(tmp_path)


def test_a_job_of_failures_has_a_summary_of_them(tmp_path):
    description = {"bootstraps": 0, "subsamples": 0}
    with Output(tmp_path / "out", description, (0, 1)) as output:
        output.add(
            worker._NOTHING
            | {"task": "t?seed=0", "input": "t", "group": "", "settings": "{}"}
            | {"seed": 0, "resample": "", "replicate": 0, "seconds": 0.5}
            | {"status": "failed", "error": "t: the file is empty"}
        )
    found = summarise(tmp_path / "out")
    assert found.edges.empty
    assert found.failures["error"].tolist() == ["t: the file is empty"]
    (fits,) = found.fits.to_dict("records")
    assert (fits["fits"], fits["failed"], fits["candidates"]) == (0, 1, 0)
