"""The folder of a job's results: a journal, shards, manifests; each file is whole.

What a task gave is a line of the process's journal as soon as it is done. After some
tasks the journal becomes a shard: two Parquet files, one row a task and one row an
edge, named with their checksums by the manifest of the process. A file is written under
another name and renamed, a line has a checksum: what is cut or changed is noticed.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import filelock
import pandas as pd

from causaljax.batch.stopping import Unwritable
from causaljax.tables.edges import COLUMNS, NUMBERS
from causaljax.tables.errors import CodedError

Record = Mapping[str, Any]
"""What a task gave: columns of ``TASKS``, and "edges", a list of rows of ``edges_``."""

TASKS = {
    "task": "str",
    "input": "str",
    "group": "str",
    "settings": "str",
    "seed": "int64",
    "resample": "str",
    "replicate": "int64",
    "status": "str",
    "error": "str",
    "seconds": "float64",
    "rows": "int64",
    "variables": "int64",
    "edges_found": "int64",
    "candidates": "int64",
    "required": "int64",
    "converged": "bool",
    "warnings": "str",
    "sha256": "str",
}
"""Columns of a shard's table of tasks, and their types."""

_EDGES = {"task": "str"} | {
    name: "float64" if name in NUMBERS else "str" for name in COLUMNS
}

JOB = "job.json"
_TABLES = ("tasks", "edges")
_SHARD = 1000  # tasks of a shard
_LOCKS = "locks"
_BEGUN = ".writing-"


class Output:
    """The results of one process, and what all processes have done before.

    A context: within, no other process of the same number works in the folder.

    Args:
      folder: of the job.
      description: of the job, as ``Job.describe`` gives it.
      process: number of this one, and how many there are.

    Attributes:
      status: by the ids of tasks that were tried, "done" or "failed".
      digests: by inputs, the SHA-256 of the file that done tasks have read.
    """

    def __init__(
        self, folder: Path, description: Mapping[str, Any], process: tuple[int, int]
    ):
        self._folder, self._description = folder, description
        self._name = "{}-of-{}".format(*process)
        self._parts = process[1]
        self._pending: list[Record] = []
        self._shards: list[dict[str, Any]] = []
        self._file: Any = None
        self.status: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def __enter__(self) -> Self:
        with writing(self._folder), contextlib.ExitStack() as stack:
            (self._folder / _LOCKS).mkdir(parents=True, exist_ok=True)
            with alone(self._folder):
                self._check_job()
                stack.enter_context(self._own_place())
            self._take_up()
            self._locked = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._locked:
            try:
                if exception[0] is None:
                    self._make_shard()
            finally:
                self._file.close()

    def add(self, record: Record) -> None:
        """Keeps what a task gave.

        Raises:
          Unwritable: if that cannot be; what was kept before stays.
        """
        with writing(self._folder):
            line = _line(record)
            while line:  # a disk that is full takes a part
                line = line[self._file.write(line) :]
        self._note(record)
        self._pending.append(record)
        if len(self._pending) >= _SHARD:
            self._make_shard()

    def _note(self, record):
        if self.status.get(record["task"]) != "done":
            self.status[record["task"]] = record["status"]
        if record["status"] == "done":
            self.digests[record["input"]] = record["sha256"]

    def _check_job(self):
        path = self._folder / JOB
        if not path.exists():
            ours = _LOCKS, f"{_BEGUN}{JOB}"
            others = [name for name in os.listdir(self._folder) if name not in ours]
            if others:
                raise CodedError(
                    "unwritable_output",
                    f"{self._folder}: holds {others[0]}, which is of no job; name "
                    "another folder",
                )
            write_whole(path, sealed(self._description))
            return
        before = unsealed(path)
        if before != self._description:
            changed = sorted(
                key
                for key in {*before, *self._description}
                if before.get(key) != self._description.get(key)
            )
            raise CodedError(
                "job_changed",
                f"{self._folder}: holds results of another job ({', '.join(changed)} "
                "differ); name another folder, or remove this one",
            )

    @contextlib.contextmanager
    def _own_place(self):
        """The lock of this process, if no other of its number or of other shares runs.

        Shares are those of a number of processes, and do not fit those of another.
        """
        locks = self._folder / _LOCKS
        for path in sorted(locks.glob("process-*.lock")):
            if not path.stem.endswith(f"-of-{self._parts}"):
                with self._held(path):
                    pass
        with self._held(locks / f"process-{self._name}.lock"):
            yield

    @contextlib.contextmanager
    def _held(self, path):
        try:
            with filelock.FileLock(path, timeout=0):
                yield
        except filelock.Timeout:
            raise CodedError(
                "folder_in_use",
                f"{self._folder}: {path.stem.replace('-', ' ')} of this job runs "
                "already: let it end, name another folder, or give this process a "
                "number of its own",
            ) from None

    @property
    def _journal(self):
        return self._folder / f"journal-{self._name}.jsonl"

    @property
    def _manifest(self):
        return self._folder / f"manifest-{self._name}.json"

    def _take_up(self):
        """Reads what was done; a line that was being written is cut off."""
        for path, shards in _manifests(self._folder):
            present = [one for one in shards if _is_there(self._folder, one)]
            for shard in present:
                tasks, _ = _read_shard(self._folder, shard)
                for record in tasks.to_dict("records"):
                    self._note(record)
            if path == self._manifest:
                self._shards = present
        for path in sorted(self._folder.glob("journal-*.jsonl")):
            found = list(_read_journal(path))
            for record in found:
                self._note(record)
            if path == self._journal:
                self._pending = [*found]
        self._renew_journal()

    def _make_shard(self):
        """The journal as a shard, and an empty journal."""
        if not self._pending:
            return
        with writing(self._folder):
            number = _next_number(self._folder, self._name)
            shard: dict[str, Any] = {"num_tasks": len(self._pending)}
            for kind, table in zip(_TABLES, _tables(self._pending), strict=True):
                name = f"{kind}-{self._name}-{number:05d}.parquet"
                content = io.BytesIO()
                table.to_parquet(content, index=False)
                write_whole(self._folder / name, content.getvalue())
                shard[kind] = {"file": name, "sha256": _sha256(content.getvalue())}
            self._shards.append(shard)
            write_whole(self._manifest, sealed({"shards": self._shards}))
            self._pending = []
            self._file.close()
            self._renew_journal()

    def _renew_journal(self):
        """A journal of what is pending; a new file, as others may read the old one."""
        write_whole(self._journal, b"".join(map(_line, self._pending)))
        self._file = self._journal.open("ab", buffering=0)


@contextlib.contextmanager
def alone(folder: Path) -> Generator[None]:
    """Within, no other process of the job is in such a block."""
    with filelock.FileLock(folder / _LOCKS / "folder.lock"):
        yield


def read_description(folder: Path) -> dict[str, Any]:
    """The job whose results a folder holds, as ``Job.describe`` gives it."""
    if not (folder / JOB).is_file():
        raise CodedError(
            "file_not_found", f"{folder}: holds no {JOB}: is no folder of a batch job"
        )
    return unsealed(folder / JOB)


def count_tasks(folder: Path) -> int:
    """How many records there are, which is soon told; a task may have several."""
    in_shards = sum(
        shard["num_tasks"] for _, shards in _manifests(folder) for shard in shards
    )
    journals = folder.glob("journal-*.jsonl")
    return in_shards + sum(path.read_bytes().count(b"\n") for path in journals)


def read_results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tasks and the edges of all processes, each task once, sorted by id.

    A task that failed and was done later counts as done.

    Raises:
      CodedError: naming a file that is cut or changed.
    """
    tables = [
        _read_shard(folder, shard)
        for _, shards in _manifests(folder)
        for shard in shards
        if _is_there(folder, shard)
    ]
    for path in sorted(folder.glob("journal-*.jsonl")):
        tables.append(_tables(list(_read_journal(path))))
    tasks, edges = (
        pd.concat([*of_kind, empty], ignore_index=True)
        for of_kind, empty in zip(
            zip(*tables, strict=True) if tables else ([], []),
            _tables([]),
            strict=True,
        )
    )
    tasks = tasks.sort_values(["task", "status"], kind="stable")  # "done" comes first
    tasks = tasks.drop_duplicates("task").reset_index(drop=True)
    edges = edges.drop_duplicates(["task", "source", "target", "mark"])
    edges = edges.sort_values(["task", "source", "target"], kind="stable")
    return tasks, edges.reset_index(drop=True)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is there as a whole or not at all, also after a crash."""
    made = path.with_name(f"{_BEGUN}{path.name}")  # whoever writes it does so alone
    try:
        with made.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            made.unlink()
        raise
    with contextlib.suppress(OSError):  # not every system opens folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def writing(folder: Path) -> Generator[None]:
    """Within, what the disk refuses becomes an error of one line."""
    try:
        yield
    except OSError as error:
        raise Unwritable(
            "unwritable_output",
            f"{folder}: results cannot be written there "
            f"({error.strerror or error}); what was done before is kept: make room, or "
            "name another folder, and start again",
        ) from None


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def sealed(content: Any) -> bytes:
    """JSON with its own checksum."""
    text = json.dumps(content, sort_keys=True)
    whole = {"sha256": _sha256(text.encode()), "content": content}
    return json.dumps(whole, sort_keys=True, indent=1).encode()


def unsealed(path: Path) -> Any:
    """What ``sealed`` was given; raises CodedError for another file."""
    try:
        whole = json.loads(path.read_bytes())
        text = json.dumps(whole["content"], sort_keys=True)
        if whole["sha256"] == _sha256(text.encode()):
            return whole["content"]
    except (ValueError, LookupError, TypeError):
        pass
    raise _damaged(path)


def _damaged(path):
    fix = "remove it, and what it held is computed again"
    if path.name == JOB:
        fix = "name another folder"
    return CodedError("damaged_results", f"{path}: is cut or was changed: {fix}")


def _line(record):
    text = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal; a line that was begun and not ended is none.

    Raises:
      CodedError: for a whole line that was changed.
    """
    *lines, _ = path.read_bytes().split(b"\n")
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            raise _damaged(path)
        yield json.loads(text)


def _manifests(folder: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    for path in sorted(folder.glob("manifest-*.json")):
        yield path, unsealed(path)["shards"]


def _is_there(folder, shard):
    """Whether both files are there; where one was removed, its tasks are to do."""
    return all((folder / shard[kind]["file"]).exists() for kind in _TABLES)


def _read_shard(folder, shard):
    """The tables of tasks and of edges."""
    tables = []
    for kind in _TABLES:
        path = folder / Path(shard[kind]["file"]).name
        content = path.read_bytes()
        if _sha256(content) != shard[kind]["sha256"]:
            raise _damaged(path)
        tables.append(pd.read_parquet(io.BytesIO(content)))
    return tables


def _next_number(folder, name):
    pattern = re.compile(rf"(?:tasks|edges)-{name}-(\d+)\.parquet")
    found = [pattern.fullmatch(entry) for entry in os.listdir(folder)]
    return max((int(match[1]) for match in found if match), default=-1) + 1


def _tables(records: Sequence[Record]) -> list[pd.DataFrame]:
    """Rows of tasks and of their edges, of the same types whatever they hold."""
    tasks = pd.DataFrame(
        {name: [record[name] for record in records] for name in TASKS}
    ).astype(TASKS)
    rows = [
        {"task": record["task"], **row} for record in records for row in record["edges"]
    ]
    edges = pd.DataFrame(rows, columns=["task", *COLUMNS])
    return [tasks, edges.astype(_EDGES)]
