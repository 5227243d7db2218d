"""Batch jobs: tasks, what is kept of them, and what they say together."""

import dataclasses
import errno
import itertools
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from test_cli_json import ask

import causaljax
from causaljax.batch import (
    Job,
    read_job,
    run_job,
    schedulers,
    summarise,
    summary,
    tasks,
    worker,
)
from causaljax.batch import output as outputs
from causaljax.batch.output import Output
from causaljax.tables.errors import CodedError

TOML = """
inputs = "t*.csv"
method = "linear"
output = "out"
seeds = [0, 3]
bootstraps = 1
[settings]
noise = "gaussian"
[sweep]
bic_weight = [1.0, 2.5]
"""


@pytest.fixture
def folder(tmp_path):
    """Two tables, one with a strange name and strange columns, and a job file."""
    rng = np.random.default_rng(0)
    for name, columns in (("t 1&=.csv", ["a", "b,;", "c"]), ("t2.csv", list("xyz"))):
        x = rng.normal(size=(60, 3))
        x[:, 1] += 2 * x[:, 0]
        pd.DataFrame(x, columns=columns).to_csv(tmp_path / name, index=False)
    (tmp_path / "job.toml").write_text(TOML)
    return tmp_path


@pytest.fixture
def job(folder):
    return read_job(folder / "job.toml")


@pytest.fixture
def quick(monkeypatch):
    """Fits that take no time: the pairs that are correlated; names those it fitted."""
    fitted = []

    def fit(job, task, inputs, checkpoints):
        loaded, _ = inputs.read_table(task)
        fitted.append(task.id)
        weights = task.weights(loaded.weights, len(loaded.table))
        names = [str(name) for name in loaded.table]
        covariance = np.cov(loaded.table.T, aweights=weights)
        edges = [
            {"source": names[i], "target": names[j], "mark": "-->", "meaning": "score"}
            | {"probability": 1.0, "weight": covariance[i, j], "why": "told\r\nso"}
            | {"effect_size": float("nan"), "stability": float("nan")}
            for i, j in itertools.combinations(range(len(names)), 2)
            if abs(covariance[i, j]) > 0.5
        ]
        return worker._NOTHING | {
            "status": "done",
            "edges": edges,
            "edges_found": len(edges),
            "candidates": len(names) * (len(names) - 1) // 2,
            "sha256": loaded.fingerprint,
        }

    monkeypatch.setattr(worker, "_fit", fit)
    return fitted


def results(folder):
    """What a folder holds but times, by values."""
    found, edges = outputs.read_results(folder)
    return found.drop(columns="seconds"), edges


def assert_same_results(one, other):
    for mine, theirs in zip(results(one), results(other), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)


# Jobs and tasks


def test_every_task_has_a_name_that_says_what_it_is(folder, job):
    listed = tasks.list_tasks(read_job(folder / "job.toml"))
    names = [task.id for task in listed]
    assert len(set(names)) == len(names) == 2 * 2 * 2 * 2
    assert names[1] == "t%201%26%3D.csv?seed=0&bootstrap=1&bic_weight=1.0"
    assert names[-1] == "t2.csv?seed=3&bootstrap=1&bic_weight=2.5"


def test_names_of_files_may_be_any_bytes(folder, job):
    try:
        os.rename(folder / "t2.csv", os.fsencode(folder) + b"/t\xff.csv")
    except OSError:
        pytest.skip("the file system has no such names")
    listed = tasks.list_tasks(read_job(folder / "job.toml"))
    assert any(task.id.startswith("t%FF.csv?seed=0") for task in listed)
    assert "t\\udcff.csv" in {tasks.shown(task.input) for task in listed}


def test_resamples_are_those_of_the_task_whatever_the_settings(folder, job):
    drawn = {task.id: task.weights(None, 60) for task in tasks.list_tasks(job)}
    assert drawn["t2.csv?seed=0&bic_weight=1.0"] is None
    rows = {}
    for name, weights in drawn.items():
        if weights is not None:
            assert weights.sum() == 60
            rows.setdefault(name.partition("&bic")[0], []).append(weights)
    assert all(np.array_equal(*pair) for pair in rows.values())
    first = [pair[0] for pair in rows.values()]
    assert len({weights.tobytes() for weights in first}) == len(rows)


def test_a_subsample_is_half_of_the_rows_and_keeps_their_weights():
    task = tasks.Task("t.csv", None, {}, 0, "subsample", 1)
    own = np.array([0, 1, 2, 3, 4, 5.0, 6, 7, 8])
    weights = task.weights(own, 9)
    assert (weights > 0).sum() == 4
    assert set(weights) <= set(own)
    task = task._replace(resample="bootstrap")
    drawn = task.weights(own, 9)
    assert drawn[0] == 0
    np.testing.assert_allclose(drawn.sum(), own.sum())


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("[settings", "invalid_job", "is no TOML"),
        ('inptus = "x"', "invalid_job", "did you mean 'inputs'"),
        ('method = "liner"', "invalid_choice", "did you mean 'linear'"),
        ("seeds = [0, 0]", "invalid_job", "different whole numbers"),
        ("seeds = [-1]", "invalid_job", "seeds"),
        ("bootstraps = true", "invalid_job", "bootstraps is True"),
        ("subsamples = 3", "invalid_job", "take one of them"),
        ("checkpoint_seconds = -1", "invalid_job", "checkpoint_seconds"),
        ("settings = {nois = 1}", "invalid_setting", "did you mean 'noise'"),
        ("sweep = {noise = 1}", "invalid_job", "list of different values"),
        ("sweep = {noise = ['a']}", "invalid_job", "both set and swept"),
        ("read = {no_header = 1}", "invalid_job", "read.no_header is 1"),
        ("read = {drop = [1]}", "invalid_job", "read.drop"),
        ("read = {dorp = []}", "invalid_job", "did you mean 'drop'"),
        ("inputs = []", "invalid_job", "inputs"),
        ('output = ""', "invalid_job", "output"),
    ],
)
def test_mistakes_in_a_job_file_are_told_with_the_file(folder, change, code, said, job):
    key = change.partition(" = ")[0]
    lines = [
        line
        for line in TOML.partition("[settings]")[0].split("\n")
        if line.partition(" = ")[0] != key
    ]
    text = "\n".join([*lines, change])
    if key not in ("settings", "[settings"):
        text += "\n[settings]\nnoise = 'gaussian'"
    (folder / "job.toml").write_text(text)
    with pytest.raises(CodedError, match="job.toml: ") as found:
        read_job(folder / "job.toml")
    assert said in str(found.value)
    assert found.value.code == code


def test_inputs_that_are_not_there_are_named(folder):
    job = Job(inputs=["u*.csv"], method="linear", output="out", folder=folder)
    with pytest.raises(CodedError, match=r"u\*\.csv: no such file"):
        run_job(job)


# What is kept


def test_a_job_is_its_tasks_in_whatever_processes(folder, quick, tmp_path, job):
    report = run_job(job)
    assert (report["done"], report["complete"]) == (16, True)
    assert len(quick) == 16
    again = run_job(job)
    assert (again["done"], len(quick)) == (16, 16)
    other = dataclasses.replace(job, output="other")
    reports = [run_job(other, (index, 3)) for index in (2, 0, 1)]
    assert [one["complete"] for one in reports] == [False, False, True]
    assert_same_results(folder / "out", folder / "other")
    for name in summary.FILES[::2]:
        first, second = (folder / out / name for out in ("out", "other"))
        assert first.read_bytes() == second.read_bytes()


def test_the_lines_on_progress_name_the_process(folder, quick, monkeypatch, job):
    monkeypatch.setattr(worker, "_EVERY", 0)
    told = []
    run_job(read_job(folder / "job.toml"), (1, 2), told.append)
    assert len(told) == 9
    assert told[0] == "process 1 of 2: 1 of 8 tasks, 0 s"
    assert told[1].startswith("process 1 of 2: 2 of 8 tasks, 0 s, about ")
    assert told[-1] == "process 1 of 2: 8 tasks, 0 s"


def test_groups_are_tables_of_their_own(tmp_path, quick):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"])
    table["b"] += table["a"]
    table["ward"] = ["NA", "007", "x&y"] * 30
    table.to_csv(tmp_path / "t.csv", index=False)
    job = Job(
        inputs=["t.csv"],
        method="linear",
        output="out",
        group_column="ward",
        folder=tmp_path,
    )
    run_job(job)
    found, edges = results(tmp_path / "out")
    assert list(found["group"]) == ["007", "NA", "x&y"]
    assert set(edges["source"]) | set(edges["target"]) == {"a", "b"}
    table.loc[3, "ward"] = None
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(CodedError, match="ward is empty in 1 rows"):
        run_job(job)


def test_a_corrupt_table_fails_by_name_and_the_rest_go_on(folder, quick, job):
    (folder / "t0.csv").write_bytes(b"a,b\n1,2,3\n\xff\xfe,\n")
    report = run_job(job)
    assert (report["done"], report["failed"]) == (16, 8)
    found = summarise(folder / "out")
    assert len(found.failures) == 8
    assert found.failures["task"].str.startswith("t0.csv?seed=").all()
    assert found.failures["error"].str.contains("t0.csv: cannot be read as csv").all()
    # Mended, it is tried again, and nothing else is.
    shutil.copy(folder / "t2.csv", folder / "t0.csv")
    quick.clear()
    assert run_job(job)["failed"] == 0
    assert all(name.startswith("t0.csv") for name in quick)
    assert len(quick) == 8
    assert summarise(folder / "out").failures.empty


def test_a_job_of_which_every_task_fails_is_a_mistake(folder, capsys, job):
    (folder / "t2.csv").unlink()
    (folder / "t 1&=.csv").write_text("a,b\n")
    words = ["batch", folder / "job.toml", "--no-cache"]
    error = ask(capsys, *words, code=2)["error"]
    assert error["code"] == "invalid_data"
    assert error["message"].startswith("all 8 tasks failed, t%201%26%3D.csv?seed=0")


def test_another_job_is_refused_the_folder(folder, quick, job):
    run_job(job)
    for change in ({"seeds": [0]}, {"settings": {}}, {"bootstraps": 3}):
        with pytest.raises(CodedError, match=f"{next(iter(change))} differ") as found:
            run_job(dataclasses.replace(job, **change))
        assert found.value.code == "job_changed"
    run_job(dataclasses.replace(job, checkpoint_seconds=1))
    with pytest.raises(CodedError, match="which is of no job"):
        run_job(dataclasses.replace(job, output="."))


def test_a_table_that_has_changed_is_refused(folder, quick, job):
    run_job(job, (0, 2))
    with (folder / "t2.csv").open("a") as file:
        file.write("1,2,3\n")
    with pytest.raises(CodedError, match=r"t2\.csv: has changed") as found:
        run_job(job, (0, 1))
    assert found.value.code == "job_changed"


def test_two_processes_of_one_place_do_not_run_at_once(folder, quick, job):
    with Output(job.output_folder, job.describe(), (0, 2)):
        for process in ((0, 2), (0, 1), (1, 3)):
            with pytest.raises(CodedError, match="process 0 of 2 .* runs") as found:
                run_job(job, process)
            assert found.value.code == "folder_in_use"
        run_job(job, (1, 2))
    assert run_job(job)["complete"]


def killed(job, number):
    """A job that ends as if by kill -9 when it has begun its n-th fit."""

    class Kill(BaseException):
        pass

    fit, begun = worker._fit, []

    def counted(*args):
        begun.append(args)
        if len(begun) == number:
            raise Kill
        return fit(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_fit", counted)
        with pytest.raises(Kill):
            run_job(job)


def test_a_killed_job_goes_on_with_the_task_it_was_at(folder, quick, monkeypatch, job):
    monkeypatch.setattr(outputs, "_SHARD", 4)
    run_job(dataclasses.replace(job, output="whole"))
    quick.clear()
    killed(job, 7)
    with next((folder / "out").glob("journal-*")).open("ab") as file:
        file.write(b'0badc0de {"task": "cut')  # as a kill may leave it
    killed(job, 4)
    run_job(job, (0, 1))
    assert len(quick) == len(set(quick)) == 16
    assert_same_results(folder / "whole", folder / "out")


@pytest.mark.parametrize("damage", ["cut", "changed"])
@pytest.mark.parametrize("kind", ["tasks", "edges", "manifest", "journal", "job"])
def test_damage_is_noticed_and_mended(folder, quick, monkeypatch, job, kind, damage):
    monkeypatch.setattr(outputs, "_SHARD", 4)
    job = dataclasses.replace(job, bootstraps=0)
    killed(job, 7)  # a shard, and a journal of two lines
    path = sorted((folder / "out").glob(f"{kind}*"))[0]
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        path.write_bytes(content[:-9])
    else:
        path.write_bytes(content[:middle] + b"#" + content[middle + 1 :])
    if (kind, damage) != ("journal", "cut"):  # which a kill does, too
        for read in (run_job, lambda job: summarise(job.output_folder)):
            with pytest.raises(CodedError, match=path.name) as found:
                read(job)
            assert found.value.code == "damaged_results"
        path.unlink()
    if kind == "job":
        with pytest.raises(CodedError, match="name another folder"):
            run_job(job)
        return
    assert run_job(job)["complete"]
    again = {"job": 0, "tasks": 4, "edges": 4, "manifest": 4, "journal": 2}[kind]
    again = 1 if (kind, damage) == ("journal", "cut") else again
    assert len(quick) == 8 + again
    assert len(summarise(folder / "out").fits) == 4


class Full:
    """A file on a disk that takes no more after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, content):
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.file.write(content[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_is_told_in_one_line_and_costs_the_last_task(folder, quick, job):
    run_job(dataclasses.replace(job, output="whole"))
    quick.clear()
    enter = Output.__enter__

    def small(output):
        enter(output)
        output._file = Full(output._file, 2000)
        return output

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "__enter__", small)
        with pytest.raises(CodedError, match=r"No space left on device\); .* kept"):
            run_job(job)
    done = len(quick) - 1
    assert done > 1
    assert len(outputs.read_results(folder / "out")[0]) == done
    run_job(job)
    assert len(quick) == 16 + 1
    assert_same_results(folder / "whole", folder / "out")


def test_a_full_disk_leaves_no_half_of_a_shard(folder, quick, monkeypatch, job):

    def refuse(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(CodedError, match="No space left"):
            run_job(dataclasses.replace(job, output="never"))
    killed(job, 9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(CodedError, match="No space left"):
            run_job(job)
    assert not list((folder / "out").glob("*.parquet"))
    assert not list((folder / "out").glob(".writing-*"))
    assert run_job(job)["complete"]
    assert len(quick) == 16


@pytest.mark.parametrize("output", ["t2.csv", "t2.csv/out", "/proc/out"])
def test_a_folder_that_cannot_be_written_is_named(folder, quick, output):
    job = dataclasses.replace(read_job(folder / "job.toml"), output=output)
    with pytest.raises(CodedError, match="cannot be written there") as found:
        run_job(job)
    assert found.value.code == "unwritable_output"
    assert quick == []


def test_a_client_of_no_scheduler_is_refused(folder, job):
    with pytest.raises(TypeError, match=r"give a dask\.distributed\.Client"):
        schedulers.submit(folder / "job.toml", json)


# On the command line


def test_options_say_what_a_job_file_says(folder, quick, capsys, job, monkeypatch):
    monkeypatch.chdir(folder)
    tables = sorted(path.name for path in folder.glob("*.csv"))
    words = ["--method", "linear", "--set", "noise=gaussian", "--seeds", "0", "3"]
    words += ["--bootstraps", "1", "--sweep", "bic_weight=[1.0,2.5]", "--no-cache"]
    told = ask(capsys, "batch", *tables, *words, "--out", folder / "flags")
    assert told["result"]["work"]["done"] == 16
    run_job(job)
    assert_same_results(folder / "out", folder / "flags")
    told = ask(capsys, "batch", "summary", folder / "flags", "--threshold", "0.6")
    assert told["result"]["summary"]["threshold"] == 0.6
    assert told["result"]["summary"]["tasks"] == 16


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--out", "x"], "usage", "--out: write it into"),
        (["--threshold", ".9"], "option_not_applicable", "batch summary DIR"),
        (["--process", "2/2"], "invalid_option", "--process 2/2: write I/N"),
        (["--process", "1"], "invalid_option", "--process 1: write I/N"),
    ],
)
def test_mistakes_on_the_command_line(folder, capsys, words, code, said, job):
    error = ask(capsys, "batch", folder / "job.toml", *words, code=2)["error"]
    assert error["code"] == code
    assert said in error["message"]
    error = ask(capsys, "batch", folder / "t2.csv", code=2)["error"]
    assert error["message"] == "--method: add it, or name a .toml file"


def test_a_process_says_that_others_have_not_ended(folder, quick, capsys, job):
    told = ask(capsys, "batch", folder / "job.toml", "--process", "0/2", "--no-cache")
    assert told["result"]["work"]["complete"] is False
    assert told["result"]["summary"] is None


# What is computed


def test_tasks_are_the_fits_of_the_estimator(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    table["c"] += table["a"] + table["b"]
    table.to_parquet(tmp_path / "t.parquet")
    job = Job(
        inputs=["t.parquet"],
        method="linear",
        output="out",
        settings={"noise": "gaussian"},
        seeds=[3],
        folder=tmp_path,
    )
    run_job(job)
    model = causaljax.LinearDAG(noise="gaussian", random_state=3).fit(table)
    found, edges = results(tmp_path / "out")
    wanted = model.edges_.sort_values(["source", "target"], ignore_index=True)
    pd.testing.assert_frame_equal(
        edges.drop(columns="task"), wanted, check_exact=True, check_dtype=False
    )
    assert found["candidates"].tolist() == [6]
    assert found["rows"].tolist() == [300]
