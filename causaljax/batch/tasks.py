"""The fits of a job, each with an id that no process and no restart changes."""

import glob
import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pandas as pd

from causaljax.batch.job import Job
from causaljax.tables import reading
from causaljax.tables.errors import CodedError, unknown
from causaljax.tables.reading import Loaded


class Task(NamedTuple):
    """One fit: a table or a group of its rows, settings, a seed, a resample of rows."""

    input: str  # the file, relative to the job's folder
    group: str | None  # label
    swept: Mapping[str, Any]  # settings that differ between tasks
    seed: int
    resample: str  # "bootstrap" or "subsample"; "" for all rows
    replicate: int  # from 1; 0 for all rows

    @property
    def rows_id(self) -> str:
        """What decides the rows: the table, the seed and the number of the resample."""
        parts = [] if self.group is None else [("group", self.group)]
        parts.append(("seed", str(self.seed)))
        if self.resample:
            parts.append((self.resample, str(self.replicate)))
        return f"{_escaped(self.input, '/')}?{_query(parts)}"

    @property
    def id(self) -> str:
        """The task by name, as ``a.csv?seed=0&bootstrap=12&bic_weight=2.0``."""
        swept = [(name, json.dumps(value)) for name, value in self.swept.items()]
        return "&".join(filter(None, (self.rows_id, _query(swept))))

    def weights(self, own: Any, num_rows: int) -> np.ndarray | None:
        """How often each row counts, ``[n]``; None for once.

        A bootstrap draws as many rows as have a weight, by their weights. A subsample
        takes half of them, each at most once. Draws are those of the seed and
        ``rows_id``, so that all settings of a sweep are fitted to the same rows.

        Args:
          own: weights of the table's rows, or None.
          num_rows: n.
        """
        if not self.resample:
            return own
        digest = hashlib.sha256(self.rows_id.encode()).digest()
        random = np.random.default_rng([self.seed, *np.frombuffer(digest, np.uint32)])
        weight = np.ones(num_rows) if own is None else np.asarray(own, np.float64)
        (real,) = np.nonzero(weight > 0)
        if self.resample == "bootstrap":
            total = weight.sum()
            drawn = random.multinomial(len(real), weight / total)
            return drawn * (total / len(real))
        kept = random.permutation(real)[: len(real) // 2]
        return np.where(np.isin(np.arange(num_rows), kept), weight, 0)


def _query(parts):
    return "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in parts)


def _escaped(text, safe=""):
    return quote(text, safe=safe, errors="surrogateescape")


def shown(text: str) -> str:
    """A name as a file of UTF-8 can hold it; names of files may be any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def list_tasks(job: Job) -> list[Task]:
    """All fits of a job, in an order that depends on nothing but the job.

    Raises:
      CodedError: if a pattern matches no file, or groups cannot be read.
    """
    inputs = Inputs(job)
    swept = [
        dict(zip(job.sweep, values, strict=True))
        for values in itertools.product(*job.sweep.values())
    ]
    resample = "bootstrap" if job.bootstraps else "subsample"
    replicates = [("", 0)] + [
        (resample, number) for number in range(1, job.bootstraps + job.subsamples + 1)
    ]
    return [
        Task(name, group, settings, seed, *rows)
        for name in list_inputs(job)
        for group in inputs.groups(name)
        for settings in swept
        for seed in job.seeds
        for rows in replicates
    ]


def list_inputs(job: Job) -> list[str]:
    """The files of a job, relative to its folder, each once and sorted.

    Raises:
      CodedError: if a pattern matches no file.
    """
    found = set()
    for pattern in job.inputs:
        if (job.folder / pattern).is_file():  # a name may hold a bracket
            matches = [pattern]
        else:
            matches = glob.glob(pattern, root_dir=job.folder, recursive=True)
            matches = [name for name in matches if (job.folder / name).is_file()]
        if not matches:
            raise CodedError("file_not_found", f"inputs {pattern}: no such file")
        found |= {os.path.normpath(name) for name in matches}
    return sorted(found)


class Inputs:
    """The files of a job; the last one that was read is kept."""

    def __init__(self, job: Job):
        self._job = job
        self._file: tuple[str, Loaded] | None = None
        self._table: tuple[tuple[str, str | None], Any] | None = None

    def groups(self, name: str) -> list[str | None]:
        """The labels of a file's groups, sorted; None alone if there are none.

        Raises:
          CodedError: if they cannot be read.
        """
        if self._job.group_column is None:
            return [None]
        cells = self._labels(self._read(name))
        if cells.isna().any():
            raise CodedError(
                "invalid_data",
                f"{name}: {self._job.group_column} is empty in {cells.isna().sum()} "
                "rows: fill it, or remove these rows",
            )
        return sorted(cells.map(str).unique())

    def read_table(self, task: Task) -> tuple[Loaded, dict[str, Any]]:
        """What a task learns from, and what ``fit`` is told beside the table.

        Raises:
          CodedError: if it cannot be read.
        """
        name = task.input, task.group
        if self._table is None or self._table[0] != name:
            self._table = name, self._read_table(task)
        loaded, known = self._table[1]
        return loaded, dict(known)

    def _read_table(self, task):
        loaded, options = self._read(task.input), self._job.reading
        whole = isinstance(loaded.table, pd.DataFrame)
        if not whole and (task.resample or task.group is not None):
            raise CodedError(
                "option_not_applicable",
                f"{loaded.source}: is larger than {reading.STREAMED_BYTES // 2**20} "
                "MiB and read part by part, without resamples and groups: cut it into "
                "smaller files, or leave these out",
            )
        if task.group is not None:
            rows = (self._labels(loaded).map(str) == task.group).to_numpy()
            table = loaded.table[rows].drop(columns=self._job.group_column)
            loaded = loaded._replace(table=table.reset_index(drop=True))
        loaded = reading.take_columns(loaded, options)
        return loaded, reading.known(options, loaded) | {"regimes": loaded.regimes}

    def _read(self, name):
        if self._file is None or self._file[0] != name:
            job = self._job
            labelled = [] if job.group_column is None else [job.group_column]
            path = str(job.folder / name)
            self._file = name, reading.read_file(path, job.reading, labelled)
        return self._file[1]

    def _labels(self, loaded):
        table, column = loaded.table, self._job.group_column
        if column not in table.columns:
            what = f"group_column: {loaded.source} has no {column!r}"
            raise unknown("unknown_column", what, column, [*table.columns])
        return table[column]
