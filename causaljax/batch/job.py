"""A batch job: which tables, by which method and settings, and how often."""

import dataclasses
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import jax
import numpy as np

from causaljax.estimators.methods import METHODS, make
from causaljax.tables.errors import CodedError, unknown
from causaljax.tables.files import fingerprint
from causaljax.tables.reading import Reading

_PLAIN = (bool, int, float, str, type(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Many fits: every table by every combination of settings, seeds and resamples.

    Attributes:
      inputs: files, or patterns such as "tables/*.csv", relative to ``folder``.
      method: a name of ``causaljax fit --method``.
      output: the folder of the results, relative to ``folder``.
      settings: parameters of the method.
      sweep: lists of values of parameters; every combination is fitted.
      seeds: of the fits; that of one seed is the fit of ``fit --seed``.
      bootstraps: refits of each table, to as many rows drawn with replacement.
      subsamples: refits of each table, to half of its rows.
      group_column: its labels divide every table into tables of their own.
      read: how files are read, as ``fit`` is told it.
      checkpoint_seconds: between two checkpoints of a fit that takes long.
      folder: what paths are relative to.

    Raises:
      CodedError: for a value that does not fit, with the key.
    """

    inputs: Sequence[str]
    method: str
    output: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sweep: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    bootstraps: int = 0
    subsamples: int = 0
    group_column: str | None = None
    read: Reading = Reading()
    checkpoint_seconds: float = 60
    folder: Path = Path()

    def __post_init__(self):
        if self.method not in METHODS:
            what = f"method is {self.method!r}, which is none"
            raise unknown("invalid_choice", what, self.method, list(METHODS))
        for name, holds, form in _FORMS:
            if not holds(getattr(self, name)):
                raise _wrong(f"{name} is {getattr(self, name)!r}: give {form}")
        if self.bootstraps and self.subsamples:
            raise _wrong("bootstraps and subsamples are both given: take one of them")
        for name in self.sweep:
            if name in self.settings:
                raise _wrong(f"{name} is both set and swept: take one of them")
        make(self.method, {**self.settings, **self.sweep})

    @property
    def output_folder(self) -> Path:
        """The folder of the results, made by the first process."""
        return (self.folder / self.output).absolute()

    @property
    def reading(self) -> Reading:
        """How files are read, its own files by their paths from here."""
        names = ("knowledge", "required", "forbidden")
        given = {name: getattr(self.read, name) for name in names}
        paths: dict[str, Any] = {
            name: str(self.folder / path) for name, path in given.items() if path
        }
        return dataclasses.replace(self.read, **paths)

    def describe(self) -> dict[str, Any]:
        """All that decides the results, of JSON's types; no paths but of inputs."""
        told = dataclasses.asdict(self)
        for name in ("folder", "output", "checkpoint_seconds"):
            del told[name]
        for name in ("knowledge", "required", "forbidden"):
            if told["read"][name]:
                path = Path(getattr(self.reading, name))
                if not path.is_file():
                    raise CodedError("file_not_found", f"{path}: no such file")
                told["read"][name] = fingerprint(path)
        told["versions"] = {
            "causaljax": sys.modules["causaljax"].__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
        }
        return json.loads(json.dumps(told, sort_keys=True))

    @classmethod
    def of(cls, fields: Mapping[str, Any], folder: Path = Path()) -> Self:
        """A job by the keys of a job file.

        Args:
          fields: by the names of the attributes; ``inputs`` may be one pattern, and
            ``read`` a mapping.
          folder: as the attribute.

        Raises:
          CodedError: for an unknown or missing key, or a value that does not fit.
        """
        fields = dict(fields)
        known = [field.name for field in dataclasses.fields(cls)]
        known.remove("folder")
        _reject_unknown(fields, known, "")
        for name in ("inputs", "method", "output"):
            if name not in fields:
                raise _wrong(f"{name} is missing: add it")
        if isinstance(fields["inputs"], str):
            fields["inputs"] = [fields["inputs"]]
        read = fields.get("read", {})
        if not isinstance(read, Mapping):
            raise _wrong(f"read is {read!r}: give a table [read]")
        _reject_unknown(read, list(_READ), "read.")
        for name, value in read.items():
            default = _READ[name]
            wanted = str if default is None else list if default == () else bool
            items = value if isinstance(value, list) else []
            if not isinstance(value, wanted) or not all(
                isinstance(item, str) for item in items
            ):
                form = {str: "text", list: "a list of texts", bool: "true or false"}
                raise _wrong(f"read.{name} is {value!r}: give {form[wanted]}")
        fields["read"] = Reading(**read)
        return cls(**fields, folder=folder)


_READ = {field.name: field.default for field in dataclasses.fields(Reading)}


def _texts(value):
    return isinstance(value, Sequence) and all(isinstance(one, str) for one in value)


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _plain(value):
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return isinstance(value, _PLAIN)


_FORMS = (
    ("inputs", lambda v: not isinstance(v, str) and v and _texts(v), "files"),
    ("output", lambda v: isinstance(v, str) and v, "a folder"),
    (
        "settings",
        lambda v: isinstance(v, Mapping) and all(map(_plain, v.values())),
        "parameters of the method, numbers, texts, true or false",
    ),
    (
        "sweep",
        lambda v: (
            isinstance(v, Mapping)
            and all(
                isinstance(values, Sequence)
                and not isinstance(values, str)
                and values
                and all(map(_plain, values))
                and len(set(map(repr, values))) == len(values)
                for values in v.values()
            )
        ),
        "a list of different values for each parameter",
    ),
    (
        "seeds",
        lambda v: (
            isinstance(v, Sequence)
            and v
            and all(_whole(seed) and seed < 2**32 for seed in v)
            and len(set(v)) == len(v)
        ),
        f"a list of different whole numbers from 0 to {2**32 - 1}",
    ),
    ("bootstraps", _whole, "a whole number"),
    ("subsamples", _whole, "a whole number"),
    ("group_column", lambda v: v is None or isinstance(v, str), "a column"),
    (
        "checkpoint_seconds",
        lambda v: isinstance(v, int | float) and not isinstance(v, bool) and v >= 0,
        "a number of seconds",
    ),
)
"""Attributes, what must hold of each, and how to say so."""


def _wrong(message):
    return CodedError("invalid_job", message)


def _reject_unknown(fields, known, prefix):
    for name in fields:
        if name not in known:
            raise unknown("invalid_job", f"{prefix}{name} is no key", name, known)


def read_job(path: str | Path) -> Job:
    """Reads a job file, TOML of the attributes of ``Job``.

    Paths in it are relative to its folder.

    Raises:
      CodedError: naming the file, and the key or the line.
    """
    path = Path(path)
    if not path.is_file():
        raise CodedError("file_not_found", f"{path}: no such file")
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise CodedError("invalid_job", f"{path}: is no TOML: {error}") from None
    try:
        return Job.of(fields, path.parent)
    except CodedError as error:
        raise CodedError(
            error.code,
            f"{path}: {error}",
            given=error.did_you_mean,
            valid_options=error.valid_options,
        ) from None
