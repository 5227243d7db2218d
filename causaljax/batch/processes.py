"""Which process this is, of how many, and the runtime that joins them."""

import atexit
import os
import sys
from typing import Any

import jax

# Index and count of processes that a launcher started. A process has a place in
# each of them at once: a task of an array can be a step of several processes.
_COUNTED = (
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),  # srun; sbatch alone sets no step
    ("MEGASCALE_SLICE_ID", "MEGASCALE_NUM_SLICES"),  # several TPU slices
)


def start(distributed: str = "off") -> None:
    """Joins the processes of a job by ``jax.distributed``, if asked.

    It must be called before anything touches a device, and does nothing if the
    processes are joined already. Independent fits need no runtime: ``share`` reads
    which part of a job is this process's from the environment, and a lost process
    then stops no other.

    Args:
      distributed: "off"; "auto", by which jax asks the launcher (Cloud TPU, GKE,
        SLURM, Open MPI); or "host:port,count,index" with the address of process 0,
        the number of processes and the number of this one, from 0.

    Raises:
      ValueError: if ``distributed`` is none of these.
    """
    asked = _parse_distributed(distributed)
    if asked is None or jax.distributed.is_initialized():
        return
    jax.distributed.initialize(**asked)
    atexit.register(_leave)


def _leave():
    """Leaves with the others: process 0 holds the service that they are joined by.

    A process that ends by an error does not wait for them.
    """
    if getattr(sys, "last_type", None) is None:
        jax.distributed.shutdown()


def _parse_distributed(text: str) -> dict[str, Any] | None:
    """Arguments of ``jax.distributed.initialize``, or None for "off"."""
    if text in {"off", "auto"}:
        return None if text == "off" else {}
    address, *numbers = text.rsplit(",", 2)
    host, colon, port = address.rpartition(":")
    if len(numbers) == 2 and host and colon and port.isdigit():
        count, index = map(_whole, numbers)
        if 0 <= index < count:
            return {
                "coordinator_address": address,
                "num_processes": count,
                "process_id": index,
            }
    raise ValueError(
        f'distributed is {text!r}; it must be "off", "auto" or "host:port,count,index" '
        'with an index from 0 to count - 1, like "10.0.0.1:1234,8,0"'
    )


def share() -> tuple[int, int]:
    """The number of this process, from 0, and the number of processes of the job.

    They come from ``jax.distributed`` if the processes are joined. Otherwise they are
    read off the environment, in which launchers write them:

    - SLURM: tasks of an array (``SLURM_ARRAY_TASK_ID``), processes of ``srun``
      (``SLURM_PROCID``), or both, counted within each task;
    - Kubernetes: ``JOB_COMPLETION_INDEX`` of an indexed job. Kubernetes writes no
      count, so the manifest of the job must set ``JOB_COMPLETIONS``;
    - hosts of TPU slices: ``TPU_WORKER_ID`` and ``TPU_WORKER_HOSTNAMES``, with
      ``MEGASCALE_SLICE_ID`` for several slices. They go before the Kubernetes index,
      which counts the same hosts.

    Returns:
      (index, count); (0, 1) for a process that no launcher started.

    Raises:
      ValueError: if a launcher's numbers are no index and count.
    """
    if jax.distributed.is_initialized():
        return jax.process_index(), jax.process_count()
    index, count = 0, 1
    for part, parts in _places(os.environ):
        index, count = index * parts + part, count * parts
    return index, count


def _places(environment):
    """(index, count) in each launcher that has started this process."""
    if "SLURM_ARRAY_TASK_ID" in environment:
        yield _array_task(environment)
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "").split(",")
    for names in _COUNTED:
        if names[1] in environment:
            yield _place(environment, names)
    if len(hosts) > 1:
        yield _place(
            environment | {"TPU_WORKER_HOSTNAMES": str(len(hosts))},
            ("TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES"),
        )
    elif "JOB_COMPLETION_INDEX" in environment:
        yield _place(environment, ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"))


def _array_task(environment):
    names = {"ID": "", "MIN": "", "MAX": "", "COUNT": "", "STEP": "1"}
    task, first, last, count, step = (
        _whole(environment.get(f"SLURM_ARRAY_TASK_{name}", default))
        for name, default in names.items()
    )
    if min(task, first, last, count, step) < 0 or last - first != step * (count - 1):
        raise ValueError(
            "the array of SLURM is no range like --array=0-7 or --array=0-70:10; start "
            "it as one, so that each task knows its share"
        )
    return (task - first) // max(step, 1), count


def _place(environment, names):
    index, count = (_whole(environment.get(name, "")) for name in names)
    if not 0 <= index < count:
        values = ", ".join(f"{name} = {environment.get(name)!r}" for name in names)
        raise ValueError(
            f"{values}: an index from 0 and a count above it are needed, "
            "to know which share of the job is this process's"
        )
    return index, count


def _whole(text):
    """A number of digits only; -1 for any other text."""
    return int(text) if text.isascii() and text.isdigit() else -1
