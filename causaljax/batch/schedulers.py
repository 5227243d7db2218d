"""The tasks of a job by schedulers that people have: Dask and Ray."""

import dataclasses
import functools
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from causaljax.batch.job import Job, read_job
from causaljax.batch.output import Output, Record
from causaljax.batch.tasks import Inputs, Task, list_tasks
from causaljax.batch.worker import check_libraries, finish, keep_records, run_task


def submit(
    job: Job | str | Path, client: Any, tell: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Does a job by the workers of a scheduler, with the results of ``run_job``.

    Workers fit and this process writes, so workers need to see the inputs and not the
    output. A job that was stopped goes on from the tasks that were done.

    Args:
      job: a job, or the path of a job file.
      client: a ``dask.distributed.Client``, whose workers have one thread each, or the
        module ``ray`` after ``ray.init``.
      tell: as ``run_job`` takes it.

    Returns:
      As ``run_job``.

    Raises:
      CodedError: as ``run_job``.
      TypeError: for a client of another kind.
    """
    check_libraries()
    job = job if isinstance(job, Job) else read_job(job)
    results = _results_of(client)
    tasks = list_tasks(job)
    job = dataclasses.replace(job, folder=job.folder.absolute())
    fit = functools.partial(_fit, job)
    with Output(job.output_folder, job.describe(), (0, 1)) as output:
        report = keep_records(
            output, tasks, lambda todo: results(client, fit, todo), tell, (0, 1)
        )
    return finish(job, tasks, report)


_inputs: dict[str, Inputs] = {}
"""Of the job that a worker is at, by its ``repr``: tables are read once a worker."""


def _fit(job, task):
    name = repr(job)
    if name not in _inputs:
        _inputs.clear()
        _inputs[name] = Inputs(job)
    return run_task(job, task, _inputs[name])


def _results_of(client):
    """The adapter for a client, by the package it is of."""
    module = isinstance(client, types.ModuleType)
    kind = client.__name__ if module else type(client).__module__
    adapters = {"distributed": _by_dask, "ray": _by_ray}
    try:
        return adapters[kind.split(".")[0]]
    except KeyError:
        raise TypeError(
            f"client is a {type(client).__name__}: give a dask.distributed.Client, or "
            "the module ray after ray.init()"
        ) from None


def _by_dask(
    client: Any, fit: Callable[[Task], Record], tasks: list[Task]
) -> Iterable[Record]:
    from dask.distributed import as_completed

    futures = client.map(fit, tasks, pure=False)
    for _, record in as_completed(futures, with_results=True):
        yield record


def _by_ray(
    client: Any, fit: Callable[[Task], Record], tasks: list[Task]
) -> Iterable[Record]:
    del client  # ray has one for each process
    import ray

    remote = ray.remote(lambda task: fit(task))  # it takes functions alone
    waiting = [remote.remote(task) for task in tasks]
    while waiting:
        (done,), waiting = ray.wait(waiting, num_returns=1)
        yield ray.get(done)
