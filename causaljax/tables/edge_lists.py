"""Tables of edges that people write: a cause and an effect a row."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from causaljax.tables.files import read_table
from causaljax.tables.knowledge import matching, suggest

HEADERS = (
    ("cause", "effect"),
    ("source", "target"),
    ("from", "to"),
    ("parent", "child"),
)
"""What the columns of a table of edges may be called, in any case and order."""

KINDS = ("required", "forbidden")
"""What knowledge may say of an edge."""

_DELIMITERS = {".csv": (",", ";", "\t"), ".tsv": ("\t",)}


def unreadable(path: Path, error: OSError) -> ValueError:
    """What to raise of a file that the system does not open."""
    return ValueError(f"{path}: {(error.strerror or str(error)).lower()}; give a file")


class ListedEdge(NamedTuple):
    """A row of a table of edges."""

    where: str  # it stands
    cause: str
    effect: str
    mark: str  # as written; "-->" without a column of marks
    kind: str | None  # of KINDS


class _Places(NamedTuple):
    """Of the columns of a table of edges."""

    cause: int
    effect: int
    kind: int | None = None
    mark: int | None = None  # of an edge table that was written


def read_edge_list(path: Path, names: Sequence[str] | None) -> Iterator[ListedEdge]:
    """Reads a table of edges.

    Args:
      path: .csv, .tsv (either may end in .gz) or .parquet, its header one of
        ``HEADERS``; it may have the columns ``mark`` and ``kind`` besides.
      names: of the columns that it speaks of. A text file may lack the header if the
        cells of its first line are among them.

    Raises:
      ValueError: if the file cannot be read, or a line is no edge.
    """
    (place, first), *rows = _read_rows(path)
    text = place is not None
    places = _header(path, first, names if text else None)
    if places is None:
        places = _Places(0, 1, _headerless_kind(path, first))
        rows = [(place, first), *rows]
    if not rows:
        raise ValueError(f"{path}: the file holds no rows")
    for number, (line, cells) in enumerate(rows):
        where = f"row {number}" if line is None else f"line {line}"
        if len(cells) > len(first):
            raise ValueError(
                f"{path}: {where} has {len(cells)} cells, the first line {len(first)}: "
                'put names that hold a comma between "'
            )
        padded = [*cells, *[""] * (len(first) - len(cells))]
        cause, effect = padded[places.cause], padded[places.effect]
        if not cause or not effect:
            raise ValueError(f"{path}: {where} lacks a cause or an effect: complete it")
        mark = "-->" if places.mark is None else padded[places.mark].strip()
        kind = None
        if places.kind is not None:
            kind = padded[places.kind].strip().lower()
            if kind not in KINDS:
                raise ValueError(
                    f"{path}: {where} is of kind {padded[places.kind]!r}: write "
                    "required or forbidden"
                )
        yield ListedEdge(where, cause, effect, mark, kind)


def _read_rows(path):
    """The cells of each row as they stand, and its line; of Parquet there is none."""
    zipped = path.suffix.lower() == ".gz"
    ending = (path.with_suffix("") if zipped else path).suffix.lower()
    if ending == ".parquet":
        table = read_table(path)
        cells = table.astype(object).where(table.notna(), "").astype(str)
        rows = cells.itertuples(index=False, name=None)
        return [(None, list(row)) for row in (table.columns, *rows)]
    if ending not in _DELIMITERS:
        raise ValueError(
            f"{path}: unknown kind of file; give .csv, .tsv, .parquet or .toml"
        )
    rows = []
    try:
        opened = gzip.open if zipped else open
        with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
            lines = file.read()
        for delimiter in _DELIMITERS[ending]:
            text = io.StringIO(lines, newline="")
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            rows = [(reader.line_num, row) for row in reader if any(row)]
            if rows and len(rows[0][1]) > 1:
                return rows
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, EOFError, csv.Error, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read as {ending[1:]}: {error}") from None
    what = "two columns are needed, the cause and the effect"
    raise ValueError(f"{path}: {what if rows else 'the file is empty'}")


def _header(path, first, names):
    """The places that a header gives, or None if the first line is an edge."""
    cells = [cell.strip().lower() for cell in first]
    found = [pair for pair in HEADERS if set(pair) <= set(cells)]
    shown, free = ",".join(first), _free_header(names)
    unknown = [cell for cell in first[:2] if names and not matching(cell, names)]
    is_edge = names is not None and not unknown
    if is_edge and found:
        raise ValueError(
            f"{path}: the first line, {shown}, may be a header or an edge between "
            f"columns of these names: write {free} above the edges, in place of the "
            "header if there is one"
        )
    if len(found) > 1 or any(cells.count(cell) > 1 for pair in found for cell in pair):
        raise ValueError(
            f"{path}: the header, {shown}, names more than one cause and effect: keep "
            "one pair of columns"
        )
    if found:
        extra = (cells.index(c) if c in cells else None for c in ("kind", "mark"))
        return _Places(*map(cells.index, found[0]), *extra)
    if is_edge:
        return None
    hint = ""
    if unknown:
        hint = f"; the table has no {unknown[0]!r}, {suggest(unknown[0], names)}"
    raise ValueError(
        f"{path}: the first line, {shown}, is neither a header nor an edge between "
        f"columns of the table: write {free} above the edges{hint}"
    )


def _free_header(names):
    """A header that can be no edge of the table, if there is one."""
    free = (pair for pair in HEADERS if not names or not set(pair) <= set(names))
    return ",".join(next(free, HEADERS[0]))


def _headerless_kind(path, first):
    if len(first) == 2:
        return None
    if len(first) == 3 and first[2].strip().lower() in KINDS:
        return 2
    raise ValueError(
        f"{path}: has {len(first)} columns and no header: write one that names cause "
        "and effect above the edges"
    )
