"""From a file to what ``fit`` is told: how it is read, and what its columns say."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from causaljax.tables import datasets, files, knowledge_files
from causaljax.tables.errors import CodedError, coded, unknown
from causaljax.tables.knowledge import Knowledge

STREAMED_BYTES = 2**28
"""The size of a file from which it is read part by part, and not held."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is read: options of ``causaljax fit`` by their names.

    Attributes:
      interventions_column: its cells name the targets of a row, separated by ";".
      regimes_column: its cells label the regimes of rows.
      weights_column: its cells say how many rows a row stands for.
      columns: those to take, or lists of them separated by ",".
      drop: those to leave out, likewise.
      kinds: entries such as "sex=categorical,age=count".
      separator: of fields, or "tab".
      decimal: "." or ",".
      no_header: the first row is no header.
      knowledge: a file of knowledge.
      required: a table of required edges.
      forbidden: a table of forbidden edges.
    """

    interventions_column: str | None = None
    regimes_column: str | None = None
    weights_column: str | None = None
    columns: Sequence[str] = ()
    drop: Sequence[str] = ()
    kinds: Sequence[str] = ()
    separator: str | None = None
    decimal: str | None = None
    no_header: bool = False
    knowledge: str | None = None
    required: str | None = None
    forbidden: str | None = None


class Loaded(NamedTuple):
    """What there is to learn from, and what is known of the answer."""

    table: Any  # DataFrame, or the Scan of a file that is too long to be held
    source: str  # what it is
    interventions: Any = None  # as fit takes them, and so the regimes
    regimes: Any = None
    weights: pd.Series | None = None
    truth: pd.DataFrame | None = None
    truth_name: str = ""
    caution: str = ""  # what a comparison with the truth cannot show
    fingerprint: str = ""  # SHA-256 of the file or the values

    @property
    def rows(self) -> pd.DataFrame:
        """The table; of one that is too long, a sample of its rows."""
        whole = isinstance(self.table, pd.DataFrame)
        return self.table if whole else self.table.sample


def described(loaded: Loaded) -> dict[str, Any]:
    """What run.json and the envelope say of the data."""
    return {
        "source": loaded.source,
        "rows": loaded.table.shape[0],
        "columns": loaded.table.shape[1],
        "sha256": loaded.fingerprint,
    }


def known(options: Any, loaded: Loaded) -> dict[str, Any]:
    """What ``fit`` is told beside the table and its regimes."""
    names = loaded.table.columns
    columns, kinds = _names(options.columns, names), _kinds(options.kinds, names)
    for option, asked in (("columns", columns), ("kinds", kinds or ())):
        for name in asked:
            if name not in names:
                what = f"--{option} names an unknown column {name!r}"
                raise unknown("unknown_column", what, name, [*names])
    return {
        "interventions": loaded.interventions,
        "knowledge": _knowledge(options, names),
        "kinds": kinds,
        "columns": columns or None,
        "sample_weight": loaded.weights,
    }


def _names(entries, columns):
    """The names in lists separated by commas; a whole entry may be one name."""
    found = []
    for entry in entries:
        parts = [entry] if entry in columns else entry.split(",")
        found += [part if part in columns else part.strip() for part in parts]
    return found


def _kinds(entries, columns):
    """``{column: kind}`` of entries such as sex=categorical,age=count."""
    found, name = {}, ""
    for part in (part for entry in entries for part in entry.split(",")):
        name, separator, kind = f"{name}{part}".rpartition("=")
        if separator:
            found[name if name in columns else name.strip()] = kind.strip()
            name = ""
        else:  # a comma of the column's name
            name = f"{kind},"
    if name or not all(found) or not all(found.values()):
        raise CodedError(
            "invalid_option",
            f"--kinds {','.join(entries)}: write COLUMN=KIND, separated by ','",
        )
    return found or None


def _knowledge(options, columns):
    """What the files of knowledge say together."""
    names, stated = [str(name) for name in columns], Knowledge()
    if options.knowledge is not None:
        stated = _read_knowledge(options.knowledge, names)
    for kind in ("required", "forbidden"):
        if (path := getattr(options, kind)) is not None:
            more = getattr(_read_knowledge(path, names, kind), kind)
            both: dict[str, Any] = {kind: [*getattr(stated, kind), *more]}
            stated = dataclasses.replace(stated, **both)
    return stated


def _read_knowledge(path, *how):
    missing = not Path(path).exists()
    with coded("file_not_found" if missing else "invalid_knowledge"):
        return knowledge_files.read_knowledge(path, *how)


def read_file(path: str, options: Any, names: Sequence[str] = ()) -> Loaded:
    """A file as a table, all of its columns; of a large one the ``Scan``.

    Args:
      path: of a .csv, .tsv or .parquet file.
      options: a ``Reading``, or what has its attributes.
      names: columns of labels besides those that the options name.

    Raises:
      CodedError: for an option that does not fit, or a file that cannot be read.
    """
    labelled = options.interventions_column, options.regimes_column, *names
    separator = {"tab": "\t", "\\t": "\t"}.get(options.separator, options.separator)
    if separator is not None and len(separator) != 1:
        raise CodedError(
            "invalid_option", f"--separator {separator}: give one character, or tab"
        )
    missing = not Path(path).exists()
    if missing and not Path(path).suffix:
        raise unknown(
            "file_not_found",
            f"{path}: no such file, and no data set of that name is shipped",
            path,
            list(datasets.DATASETS),
        )
    form = {
        "separator": separator,
        "decimal": options.decimal,
        "header": not options.no_header,
    }
    if not missing and Path(path).stat().st_size > STREAMED_BYTES:
        return _scan_file(path, options, form)
    with coded("file_not_found" if missing else "unreadable_data"):
        known = [column for column in labelled if column is not None]
        table = files.read_table(path, names=known, **form)
        return Loaded(table, path, fingerprint=files.fingerprint(path))


def _scan_file(path, options, form):
    """A large file, read part by part."""
    from causaljax.tables import scan  # loads jax

    for option in ("interventions", "regimes", "weights"):
        if getattr(options, f"{option}_column") is not None:
            raise CodedError(
                "option_not_applicable",
                f"--{option}-column: {path} is larger than {STREAMED_BYTES // 2**20} "
                "MiB and read part by part, without such a column: cut it into "
                "smaller files, or leave the option out",
            )
    with coded("unreadable_data"):
        names = [*next(files.read_parts(path, rows=1, **form))]
    kept = set(names) - set(_dropped(options.drop, names))
    columns = _names(options.columns, names) or names
    kinds = _kinds(options.kinds, names)
    with coded("unreadable_data"):
        table = scan.scan_file(
            path,
            kinds=kinds,
            columns=[name for name in columns if name in kept or name not in names],
            **form,
        )
        return Loaded(table, path, fingerprint=files.fingerprint(path))


def take_columns(loaded: Loaded, options: Any) -> Loaded:
    """Takes out of a table the columns of interventions, regimes and weights.

    Raises:
      CodedError: for a column that the table does not have.
    """
    if not isinstance(loaded.table, pd.DataFrame):
        return loaded  # which has been read without other columns
    table = loaded.table.copy(deep=False)  # columns are popped
    loaded = loaded._replace(table=table)
    interventions = _take(table, options.interventions_column, "interventions")
    regimes = _take(table, options.regimes_column, "regimes")
    weights = _take(table, options.weights_column, "weights")
    if interventions is not None:
        interventions = [_split(cell, table.columns) for cell in interventions]
        loaded = loaded._replace(interventions=interventions)
    if regimes is not None:
        loaded = loaded._replace(regimes=files.labels(regimes))
    return without(loaded._replace(weights=weights), options.drop)


def without(loaded: Loaded, entries: Sequence[str]) -> Loaded:
    """What was loaded, less the columns of ``--drop``."""
    table, dropped = loaded.table, _dropped(entries, loaded.table.columns)
    if not dropped:
        return loaded
    kept = ~table.columns.isin(dropped)
    interventions = loaded.interventions
    if isinstance(interventions, np.ndarray):
        interventions = interventions[:, kept]
    return loaded._replace(table=table.loc[:, kept], interventions=interventions)


def _dropped(entries, columns):
    """The columns that ``--drop`` names."""
    dropped = _names(entries, columns)
    for name in dropped:
        if name not in columns:
            what = f"--drop: the table has no {name!r}"
            raise unknown("unknown_column", what, name, [*columns])
    return dropped


def _take(table, column, option):
    """Removes a column from the table and returns it; None if none was named."""
    if column is None:
        return None
    if column not in table.columns:
        what = f"--{option}-column: the table has no {column!r}"
        raise unknown("unknown_column", what, column, [*table.columns])
    return table.pop(column)


def _split(cell, columns):
    """The targets named in a cell; a whole column's name may itself hold a ';'."""
    if not isinstance(cell, str) or cell in columns:
        return cell
    return [name.strip() for name in cell.split(";") if name.strip()]
