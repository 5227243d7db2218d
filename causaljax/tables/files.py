"""Tables and edge lists in, results out; text, JSON and Parquet, never pickle."""

import contextlib
import csv
import gzip
import hashlib
import itertools
import json
import math
import os
import re
import tempfile
import warnings
import zlib
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd

from causaljax.tables import edges as edge_tables
from causaljax.tables.knowledge import position

_READERS = {".csv": ",", ".tsv": "\t", ".parquet": None}
_SEPARATORS = (",", ";", "\t", "|")
PART_ROWS = 65_536
"""Rows of a part of a table that is read part by part."""
_SAMPLE = 200  # rows that are looked at to find out how a file is written
_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
RESULTS = ("edges.csv", "adjacency.csv", "cpdag.csv", "graph.json", "run.json")
"""The files that ``write_results`` writes."""
REGIMES = ("regimes.csv", "intervention_targets.csv")
"""Those it writes besides where rows are of regimes."""
MODEL = "model.safetensors"
"""That which it writes if it is asked to keep the fitted model."""
_ALL = (*RESULTS, *REGIMES, MODEL)


def read_table(
    path: str | Path,
    names: Collection[str] = (),
    *,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool = True,
) -> pd.DataFrame:
    """Reads a table by the ending of its name.

    A text file may be separated by ``;``, tab or ``|`` and have decimal commas; where
    the first rows leave no doubt it is read so. An unnamed first column that tells the
    rows apart is left out.

    Args:
      path: .csv, .tsv (either may end in .gz besides) or .parquet, in any case.
      names: columns whose cells are names or labels. In a text file they stay text,
        "NA" and "None" too; only an empty cell is missing.
      separator: of fields, where the file leaves doubt.
      decimal: "." or ",", likewise.
      header: whether the first row holds names; if not, they are x0, x1 and so on.

    Raises:
      ValueError: if the file is missing, empty, unreadable, of another kind, or of more
        than one meaning.

    Warns:
      UserWarning: if a column is taken for an index.
    """
    path = Path(path)
    kind, packed = _kind_of(path)
    with _named(path, kind):
        if kind == ".parquet":
            table = pd.read_parquet(path)
            table.columns = [str(name) for name in table.columns]
        else:
            layout = _layout(path, packed, separator or _READERS[kind], separator)
            form = _form(layout, names, decimal, header) | {"compression": packed}
            with warnings.catch_warnings():
                # Of rows that end in a separator, which are known to hold no more.
                warnings.simplefilter("ignore", pd.errors.ParserWarning)
                table = pd.read_csv(path, **form, low_memory=False)
                if len(names):
                    texts = _read_text(path, form)
                    named = [name for name in texts.columns if name in names]
                    table = table.assign(**texts[named])
            table = _without_index(table, path, form, layout[0] if header else [])
    if table.empty:
        raise ValueError(f"{path}: the file holds no rows")
    return table


def read_parts(
    path: str | Path,
    columns: Collection[str] | None = None,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool = True,
    rows: int = PART_ROWS,
) -> Generator[pd.DataFrame]:
    """Reads a table as ``read_table`` does, part by part.

    Args:
      path: as there.
      columns: those to read; all if left out.
      separator: as there.
      decimal: as there.
      header: as there.
      rows: how many a part has at most.

    Yields:
      Parts of the table.

    Raises:
      ValueError: as ``read_table``; or if a column's name is unknown.

    Warns:
      UserWarning: as ``read_table``.
    """
    path = Path(path)
    kind, packed = _kind_of(path)
    read, found = _parquet_parts, {}
    if kind != ".parquet":
        read = _text_parts
        found = {"kind": kind, "packed": packed, "separator": separator}
        found |= {"decimal": decimal, "header": header}
    number = 0
    with _named(path, kind):
        for part in read(path, rows, columns, **found):
            number += len(part)
            yield part
    if not number:
        raise ValueError(f"{path}: the file holds no rows")


def _parquet_parts(path, rows, columns):
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        # The table that a part is a part of says what is its index.
        names = [*file.schema_arrow.empty_table().to_pandas().columns]
        chosen = [str(names[k]) for k in _places(columns, [*map(str, names)])]
        for batch in file.iter_batches(rows, columns=chosen):
            part = batch.to_pandas()
            part.columns = [str(name) for name in part.columns]
            yield part[chosen]


def _text_parts(path, rows, columns, *, kind, packed, separator, decimal, header):
    layout = _layout(path, packed, separator or _READERS[kind], separator)
    form = _form(layout, (), decimal, header) | {"compression": packed}
    first = layout[0] if header else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        begin = pd.read_csv(path, **form, nrows=rows, low_memory=False)
    kept = _without_index(begin, path, form, first)
    chosen = [kept.columns[k] for k in _places(columns, [*kept.columns])]
    # What begins as text is text, as in a table that is read at once.
    text = {
        name: str
        for name in kept.columns
        if not pd.api.types.is_numeric_dtype(kept[name].dtype)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        with pd.read_csv(path, **form, dtype=text, chunksize=rows) as parts:
            for part in parts:
                yield part[chosen]


def _places(columns, names):
    """The places of the columns to read."""
    if columns is None:
        return range(len(names))
    try:
        return [position(name, names, "columns") for name in columns]
    except ValueError as error:
        raise _Doubt(str(error)) from None


def _kind_of(path):
    """The ending of a file's name without .gz, and how it is packed."""
    packed: Any = "gzip" if path.suffix.lower() == ".gz" else None
    kind = (path.with_suffix("") if packed else path).suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give a file")
    if kind not in _READERS:
        raise ValueError(f"{path}: unknown kind of file; give one of {list(_READERS)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return kind, packed


@contextlib.contextmanager
def _named(path: Path, kind: str) -> Generator[None]:
    """Makes one line of what goes wrong with a file."""
    try:
        yield
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet needs pyarrow: pip install 'causaljax[parquet]'"
        ) from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path}: the file is empty") from None
    except _Doubt as doubt:
        raise ValueError(f"{path}: {doubt}") from None
    except (ValueError, OSError, EOFError, csv.Error, zlib.error) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: cannot be read as {kind[1:]}: {reason}") from None


class _Doubt(Exception):
    """A file that may mean more than one thing: what, and what to pass."""


class _Rows(list):
    """The first rows of a file, and the separator that makes them."""

    separator: str


def _layout(path, zipped, usual, asked):
    """The first rows as one separator makes rows of one length of them."""
    found = {}
    for separator in dict.fromkeys((usual, *(() if asked else _SEPARATORS))):
        with contextlib.suppress(csv.Error), _opened(path, zipped) as file:
            rows = csv.reader(file, delimiter=separator)
            found[separator] = [row for row in itertools.islice(rows, _SAMPLE) if row]
    best = max(found, key=lambda one: (_evenness(found[one]), one == usual))
    rows = _Rows(found[best])
    rows.separator = best
    if not rows:
        raise pd.errors.EmptyDataError
    return rows


def _evenness(rows):
    """How well rows fit together: as long as the header, or all of one field more."""
    lengths = {len(row) for row in rows[1:]} or {len(row) for row in rows}
    if len(lengths) != 1 or max(lengths) == 1:
        return 0
    more = max(lengths) - len(rows[0])
    return {0: 2, 1: 1}.get(more, 0)


def _opened(path, zipped) -> Any:
    opener = gzip.open if zipped else open
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _form(rows, names, decimal, header):
    """How pandas is to read a file of which these are the first rows."""
    first, *others = rows
    form: dict[str, Any] = {"sep": rows.separator}
    if header:
        _reject_headers(first)
    else:
        first, others = [f"x{k}" for k in range(len(first))], rows
        form |= {"header": None, "names": first}
    form["decimal"] = decimal or _decimal(first, others, names)
    width = len(first)
    longest = max((len(row) for row in others), default=width)
    if longest > width:
        even = all(len(row) == width + 1 for row in others)
        if even and not any(row[-1].strip() for row in others):
            form["index_col"] = False  # each row ends in a separator
        elif even and len({row[0] for row in others}) == len(others) > 1:
            form["index_col"] = 0
        else:
            number = next(k for k, row in enumerate(others) if len(row) == longest)
            raise ValueError(
                f"row {number} has {longest} fields and the header {width}: name each "
                "column in the header; quote fields that hold a separator"
            )
    return form


def _reject_headers(first):
    """Rejects what pandas would rename or take for names."""
    for name in first:
        if name and first.count(name) > 1:
            raise _Doubt(f"column name {name!r} occurs more than once: rename one")
    numbers = [float(cell) for cell in first if _is_number(cell)]
    filled = [cell for cell in first if cell.strip()]
    counted = [numbers == [*range(k, k + len(numbers))] for k in (0, 1)]
    whole = all(number.is_integer() for number in numbers)
    only = len(numbers) == len(filled) > 0 and not any(counted)
    if only or (not whole and len(numbers) >= len(filled) / 2):
        raise _Doubt(
            f"the first row holds numbers ({', '.join(filled[:4])}), no names: add "
            "--no-header if the file has no header, or name the columns by words"
        )


def _decimal(first, rows, names):
    """The decimal mark of the columns of numbers."""
    points, commas = [], []
    for k, name in enumerate(first):
        if name in names:
            continue
        found = {row[k].strip() for row in rows if k < len(row)}
        cells = sorted(found - {"", "NA", "NaN"})
        if all(_is_number(cell) or _COMMA.fullmatch(cell) for cell in cells):
            points += [cell for cell in cells if "." in cell]
            commas += [cell for cell in cells if "," in cell]
    if not commas:
        return "."
    if points:
        raise _Doubt(
            f"cells as {points[0]!r} and as {commas[0]!r} occur: add --decimal ',' or "
            "--decimal '.'"
        )
    if all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise _Doubt(
            f"{commas[0]!r} may be a number of thousands or have a decimal comma: add "
            "--decimal ',' if it has one, or remove the commas"
        )
    return ","


def _is_number(cell):
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _without_index(table, path, form, header):
    """The table without columns that nobody named."""
    if form.get("index_col", False) is not False:
        if not table.index.is_unique:
            raise _Doubt(
                "rows have one field more than the header: name each column in it"
            )
        warnings.warn(
            f"{path}: rows have one field more than the header: the first is taken for "
            "an index and left out",
            stacklevel=3,
        )
        return table.reset_index(drop=True)
    for k in reversed([k for k, name in enumerate(header) if not name]):
        cells = table.iloc[:, k]
        tells = cells.is_unique and not pd.api.types.is_float_dtype(cells.dtype)
        if k == 0 and tells and len(header) > 1:
            warnings.warn(
                f"{path}: the first column has no name and tells the rows apart: it is "
                "taken for an index and left out",
                stacklevel=3,
            )
        elif cells.notna().any():
            raise _Doubt(f"column {k + 1} has no name: name it in the header")
        table = table.drop(columns=table.columns[k])
    return table


def _read_text(path, form):
    """Cells as they stand in the file; an empty one is missing."""
    text = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    return pd.read_csv(path, **form, **text)


def fingerprint(data: str | Path | pd.DataFrame) -> str:
    """The SHA-256 of a file, or of the cells and names of a table, in hexadecimals."""
    if isinstance(data, pd.DataFrame):
        digest = hashlib.sha256(json.dumps([*map(str, data.columns)]).encode())
        digest.update(
            pd.util.hash_pandas_object(data, index=False).to_numpy().tobytes()
        )
        return digest.hexdigest()
    with Path(data).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def regime_table(regimes: pd.Series, probabilities: pd.DataFrame) -> pd.DataFrame:
    """The regime of each row and the probability of each, by the rows' index."""
    named = probabilities.rename(columns="P({})".format)
    return named.assign(regime=regimes)[["regime", *named]].rename_axis("row")


def labels(cells: pd.Series) -> pd.Series:
    """Labels that were read as text: ints where all are whole numbers.

    "007" and "1.0" are none, so that no label changes on its way.
    """
    known = cells.dropna()
    if not all(isinstance(cell, str) and _is_whole(cell) for cell in known):
        return cells
    numbers = [cell if pd.isna(cell) else int(cell) for cell in cells]
    return pd.Series(numbers, index=cells.index, dtype=object)


def _is_whole(text):
    try:
        return str(int(text)) == text
    except ValueError:
        return False


def read_result(path: str | Path) -> pd.DataFrame:
    """Reads one of the tables that ``write_results`` writes, names as they were.

    Pandas by itself takes a column called "1" for a number and one called "NA" for a
    missing cell.

    Args:
      path: of edges.csv, adjacency.csv, cpdag.csv, regimes.csv or
        intervention_targets.csv.

    Returns:
      The table; all but that of edges have their first column for index. Regimes that
      are all whole numbers are ints.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    # By their places, as a column may be called what the index is.
    table = pd.DataFrame(rows, columns=range(len(header)), dtype=object)
    if header == list(edge_tables.COLUMNS):
        table = table.set_axis(header, axis=1)
        for name in edge_tables.NUMBERS:
            table[name] = pd.to_numeric(table[name]).astype(float)
        return table
    num_labels = {"regime": 1, "row": 2}.get(header[0], 0)  # columns of labels
    for place in range(len(header)):
        if place == 1 < num_labels:
            # Regimes of rows are numbers if all regimes are: P(1), P(2) and so on.
            if all(_is_whole(name[2:-1]) for name in header[2:]):
                table[place] = labels(table[place])
        elif place < num_labels:
            table[place] = labels(table[place])
        elif place > 0:
            table[place] = pd.to_numeric(table[place])
    index = table[0].rename(header[0])
    return table.drop(columns=0).set_axis(header[1:], axis=1).set_index(index)


def check_writable(folder: str | Path) -> None:
    """Raises ValueError if results could not be written, or not without harm.

    A file is written there on trial; afterwards all is as it was. The results of an
    earlier run, known by their run.json, may be replaced, other files of their names
    not.
    """
    folder = Path(folder)
    with _made(folder) as made:
        present = [name for name in _ALL if (folder / name).exists()]
        if present and not _is_ours(folder / "run.json"):
            raise ValueError(
                f"{folder}: holds {present[0]}, which this program did not write; "
                "name another folder"
            )
        for name in present:
            if (folder / name).is_dir():
                raise ValueError(f"{folder / name}: is a folder; remove it")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
            (Path(scratch) / "trial").write_text("trial")
        _remove(made)


@contextlib.contextmanager
def _made(folder: Path) -> Generator[list[Path], None, None]:
    """Makes a folder and those above it; undone if what follows fails.

    Gives the folders that were made, inner ones first. An OSError becomes a
    ValueError of one line.
    """
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: is a file; name a folder")
        made += [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        yield made
    except BaseException as error:
        _remove(made)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise ValueError(
                f"{folder}: results cannot be written there ({reason}): make room for "
                "them or name another folder"
            ) from None
        raise


def _remove(folders):
    for path in folders:
        with contextlib.suppress(OSError):  # was not made, or others have used it
            path.rmdir()


def _is_ours(record):
    try:
        return "causaljax" in json.loads(record.read_text())
    except (OSError, ValueError):
        return False


def write_results(
    folder: str | Path,
    edges: pd.DataFrame,
    names: Sequence[str],
    record: Any,
    regimes: pd.DataFrame | None = None,
    targets: pd.DataFrame | None = None,
    save_model: Callable[[Path], None] | None = None,
) -> tuple[str, ...]:
    """Writes ``RESULTS`` into a folder, and ``REGIMES`` if they are given.

    All are written aside first and then moved into place, so that a failure leaves
    no partial result. ``REGIMES`` and ``MODEL`` of an earlier run are removed.
    ``read_result`` reads the tables again.

    Args:
      folder: made if missing.
      edges: the edge table of a fit (``tables.edges``), from which all is made:
        edges.csv holds it, adjacency.csv and cpdag.csv its matrices, graph.json its
        graph in networkx's node-link form.
      names: of all columns, in their order.
      record: what run.json holds; anything JSON can express.
      regimes: what ``regime_table`` makes, or None.
      targets: ``[k, d]``, P(the regime disturbed the column), or None.
      save_model: writes ``MODEL`` to a path, as an estimator's ``save``, or None.

    Returns:
      The names of the files written.

    Raises:
      ValueError: as ``check_writable``.
    """
    folder = Path(folder)
    check_writable(folder)
    graph = edge_tables.to_networkx(edges, names)
    node_link = nx.node_link_data(graph, edges="edges")
    with (
        _made(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch,
    ):
        made = Path(scratch)
        # Quotes keep a carriage return in a name from ending its row.
        quoted: Any = {"quoting": csv.QUOTE_NONNUMERIC}
        edges.to_csv(made / "edges.csv", index=False, **quoted)
        edge_tables.adjacency(edges, names).to_csv(made / "adjacency.csv", **quoted)
        edge_tables.claims(edges, names).to_csv(made / "cpdag.csv", **quoted)
        (made / "graph.json").write_text(json.dumps(node_link, indent=1) + "\n")
        (made / "run.json").write_text(json.dumps(record, indent=1) + "\n")
        tables = dict(zip(REGIMES, (regimes, targets), strict=True))
        for name, table in tables.items():
            if table is not None:
                table.to_csv(made / name, **quoted)
        if save_model is not None:
            save_model(made / MODEL)
        names = tuple(name for name in _ALL if (made / name).exists())
        for name in names:
            os.replace(made / name, folder / name)
        for name in set(_ALL) - set(names):
            (folder / name).unlink(missing_ok=True)
    return names
