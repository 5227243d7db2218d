"""What one process of a job does: its share of the tasks, one after another."""

import hashlib
import importlib.util
import json
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from causaljax.batch import summary
from causaljax.batch.checkpoints import Checkpoints
from causaljax.batch.job import Job
from causaljax.batch.output import Output, Record
from causaljax.batch.stopping import JobStopped, Preempted, hearing_sigterm
from causaljax.batch.tasks import Inputs, Task, list_tasks, shown
from causaljax.estimators.methods import make
from causaljax.tables.edges import CONFOUNDED
from causaljax.tables.errors import CodedError

_EVERY = 30.0  # seconds from one line on progress to the next


def run_job(
    job: Job,
    process: tuple[int, int] = (0, 1),
    tell: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Does the tasks of one process that are not done yet.

    Process i of n takes every n-th task of the job, from the i-th. A task whose fit
    fails is recorded with its error, and tried again when the job is started again.
    The process that ends last writes the summary.

    Args:
      job: what to fit.
      process: the number of this process, from 0, and how many there are
        (``processes.share``).
      tell: takes a line on progress, every 30 seconds and at the end.

    Returns:
      What was done: "process", "processes", "tasks" (of this process), "done",
      "failed", "seconds", and "complete": whether all tasks of all processes were
      tried.

    Raises:
      CodedError: if the job does not fit its folder or its inputs, another process has
        its place, results cannot be written, or every task failed.
      Preempted: after SIGTERM, when the state of the fit in progress is on disk.
    """
    check_libraries()
    index, count = process
    tasks = list_tasks(job)
    mine = tasks[index::count]
    with (
        hearing_sigterm() as asked,
        Output(job.output_folder, job.describe(), process) as output,
    ):
        inputs = Inputs(job)

        def records(todo):
            for task in todo:
                if asked():
                    raise Preempted
                yield run_task(job, task, inputs, _checkpoints(job, task, asked))

        report = keep_records(output, mine, records, tell, process)
    return finish(job, tasks, report)


def finish(job: Job, tasks: list[Task], report: dict[str, Any]) -> dict[str, Any]:
    """Writes the summary if all tasks were tried, and says so in the report.

    Args:
      job: that has been done, in whole or in part.
      tasks: all of its tasks.
      report: of ``keep_records``.

    Raises:
      CodedError: if every task of the job failed.
    """
    found = summary.write_if_complete(job.output_folder, len(tasks))
    if found is not None and len(found.failures) == found.tasks:
        first = found.failures.iloc[0]
        raise CodedError(
            "invalid_data",
            f"all {found.tasks} tasks failed, {first['task']} first: {first['error']}",
        )
    return report | {"complete": found is not None}


def keep_records(
    output: Output,
    tasks: list[Task],
    records: Callable[[list[Task]], Iterable[Record]],
    tell: Callable[[str], None] | None,
    process: tuple[int, int],
) -> dict[str, Any]:
    """Keeps the records of tasks as they come; skips those that are done.

    Args:
      output: to keep them in.
      tasks: of this process.
      records: gives those of tasks, in any order.
      tell: as ``run_job`` takes it.
      process: likewise.
    """
    todo = [task for task in tasks if output.status.get(task.id) != "done"]
    before, start = len(tasks) - len(todo), time.monotonic()
    first, told, failed = start, start, 0
    for number, record in enumerate(records(todo), 1):
        _check_input(output, record)
        output.add(record)
        failed += record["status"] == "failed"
        now = time.monotonic()
        if number == 1:
            first = now  # before it, programs were compiled
        if tell and now - told >= _EVERY:
            told, left = now, None
            if number > 1:
                left = (len(todo) - number) * (now - first) / (number - 1)
            done = f"{before + number} of {len(tasks)} tasks"
            tell(_line(process, done, failed, now - start, left))
    seconds = time.monotonic() - start
    if tell:
        done = f"{len(tasks)} tasks" + (f", {before} before" if before else "")
        tell(_line(process, done, failed, seconds))
    return {
        "process": process[0],
        "processes": process[1],
        "tasks": len(tasks),
        "done": len(tasks) - failed,
        "failed": failed,
        "seconds": seconds,
    }


def _line(process, done, failed, seconds, left=None):
    parts = [f"process {process[0]} of {process[1]}: {done}"]
    parts += [f"{failed} failed"] * (failed > 0)
    parts += [f"{seconds:.0f} s"]
    parts += [] if left is None else [f"about {left:.0f} s left"]
    return ", ".join(parts)


def _check_input(output, record):
    """Refuses results of one table as it was and as it is."""
    before = output.digests.get(record["input"])
    if record["status"] == "done" and before not in (None, record["sha256"]):
        raise CodedError(
            "job_changed",
            f"{record['input']}: has changed since other tasks of the job read it; "
            "restore it, or name another output folder",
        )


def check_libraries() -> None:
    """Raises CodedError if a library of the extra is not installed."""
    for name in ("pyarrow", "orbax.checkpoint"):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise CodedError(
                "missing_extra",
                f"batch jobs need {name}: pip install 'causaljax[batch]'",
            )


def _checkpoints(job, task, asked):
    name = hashlib.sha256(task.id.encode()).hexdigest()
    folder: Path = job.output_folder / "checkpoints" / name
    return Checkpoints(folder, job.checkpoint_seconds, asked)


def run_task(
    job: Job,
    task: Task,
    inputs: Inputs | None = None,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """One fit, as a record of JSON's types; a failure is part of it.

    Args:
      job: of the task.
      task: which fit.
      inputs: the job's files, for whoever runs several tasks.
      checkpoints: where the state of the fit is kept, if anywhere.

    Raises:
      JobStopped: if the fit was stopped and did not fail.
    """
    start = time.perf_counter()
    record = {
        "task": task.id,
        "input": shown(task.input),
        "group": task.group or "",
        "settings": json.dumps({**job.settings, **task.swept}, sort_keys=True),
        "seed": task.seed,
        "resample": task.resample,
        "replicate": task.replicate,
    }
    try:
        found = _fit(job, task, inputs or Inputs(job), checkpoints)
    except JobStopped:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        found = _NOTHING | {"status": "failed", "error": shown(kind + words)}
    if checkpoints is not None:
        checkpoints.remove()
    return record | found | {"seconds": time.perf_counter() - start}


_NOTHING = {
    "status": "",
    "error": "",
    "rows": 0,
    "variables": 0,
    "edges_found": 0,
    "candidates": 0,
    "required": 0,
    "converged": False,
    "warnings": "[]",
    "sha256": "",
    "edges": [],
}
"""What a failed fit has to say."""


def _fit(job, task, inputs, checkpoints):
    estimator = make(job.method, {**job.settings, **task.swept})
    estimator.set_params(progress=False, random_state=task.seed)
    estimator._saver_of = checkpoints
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # info_ keeps those of the fit
        loaded, known = inputs.read_table(task)
        known["sample_weight"] = task.weights(loaded.weights, len(loaded.table))
        estimator.fit(loaded.table, **known)
    info, evidence = estimator.info_, estimator._evidence
    required = np.triu(evidence.required | evidence.required.T, 1)
    possible = np.triu(evidence.allowed | evidence.allowed.T, 1)
    notices = [] if checkpoints is None else checkpoints.notices
    return {
        "status": "done",
        "error": "",
        "rows": int(info["rows"]),
        "variables": len(estimator.adjacency_),
        "edges_found": int((estimator.edges_["mark"] != CONFOUNDED).sum()),
        "candidates": int((possible & ~required).sum()),
        "required": int(required.sum()),
        "converged": bool(info.get("converged", True)),
        "warnings": json.dumps([*info["warnings"], *notices]),
        "sha256": loaded.fingerprint,
        "edges": estimator.edges_.astype({"source": str, "target": str}).to_dict(
            "records"
        ),
    }
