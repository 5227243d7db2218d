"""Knowledge from files: TOML of its fields, and tables of edges."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from causaljax.tables.edge_lists import KINDS, read_edge_list, unreadable
from causaljax.tables.knowledge import Knowledge, as_knowledge


def read_knowledge(
    path: str | Path, names: Iterable[Any] | None = None, kind: str | None = None
) -> Knowledge:
    """Reads knowledge from a file.

    A .toml file has the fields of ``Knowledge`` for keys. A .csv, .tsv (either may end
    in .gz) or .parquet file is a table of edges, its header one of
    ``edge_lists.HEADERS``. Its
    column ``kind``, if there is one, says "required" or "forbidden"; without it all
    edges are required. A text file may lack the header if the cells of its first line
    are columns of the table. Where that cannot be decided, an error says what to do,
    so that no edge is lost or read the wrong way round.

    Args:
      path: of the file.
      names: of the table's columns. Without them a table of edges needs a header.
      kind: "required" or "forbidden" if the file is a table of such edges alone.

    Raises:
      ValueError: if the file cannot be read, or a line is no edge.
    """
    path = Path(path)
    if path.suffix.lower() == ".toml":
        if kind is not None:
            raise ValueError(
                f"{path}: a TOML file says itself what is {kind}: give it as knowledge "
                "(--knowledge), or a table of edges"
            )
        return _read_toml(path)
    listed = None if names is None else [str(name) for name in names]
    edges: dict[str, list[tuple[str, str]]] = {word: [] for word in KINDS}
    for edge in read_edge_list(path, listed):
        if edge.mark != "-->":
            raise ValueError(
                f"{path}: {edge.where} has the mark {edge.mark!r}, which is no "
                "directed edge: remove it, or write --> if its direction is known"
            )
        of = edge.kind or kind or "required"
        if kind not in (None, of):
            raise ValueError(
                f"{path}: {edge.where} is of kind {of}, and the file was given for "
                f"{kind} edges: give it as knowledge (--knowledge)"
            )
        edges[of].append((edge.cause, edge.effect))
    return Knowledge(required=edges["required"], forbidden=edges["forbidden"])


def _read_toml(path):
    try:
        with path.open("rb") as file:
            return as_knowledge(tomllib.load(file))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:  # of the parser, too
        raise ValueError(f"{path}: {error}") from None
