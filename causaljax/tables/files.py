"""Tables and edge lists in, results out; text, JSON and Parquet, never pickle."""

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd

_READERS = {".csv": ",", ".tsv": "\t", ".parquet": None}
RESULTS = ("edges.csv", "adjacency.csv", "cpdag.csv", "graph.json", "run.json")
"""The files that ``write_results`` writes."""
REGIMES = ("regimes.csv", "intervention_targets.csv")
"""Those it writes besides where rows are of regimes."""


def read_table(path: str | Path, names: Collection[str] = ()) -> pd.DataFrame:
    """Reads a table with a header row, by the ending of its name.

    Args:
      path: .csv, .tsv (either may end in .gz besides) or .parquet, in any case.
      names: columns whose cells are names or labels. In a text file they stay text,
        "NA" and "None" too; only an empty cell is missing.

    Raises:
      ValueError: if the file is missing, empty, unreadable or of another kind.
    """
    path = Path(path)
    zipped = path.suffix.lower() == ".gz"
    kind = (path.with_suffix("") if zipped else path).suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give a file")
    if kind not in _READERS:
        raise ValueError(f"{path}: unknown kind of file; give one of {list(_READERS)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if kind == ".parquet":
            table = pd.read_parquet(path)
            table.columns = [str(name) for name in table.columns]
        else:
            packed: Any = "gzip" if zipped else None
            form = {"sep": _READERS[kind], "compression": packed}
            _reject_repeated_header(path, form)
            table = pd.read_csv(path, **form)
            if len(names):
                texts = _read_text(path, form, usecols=lambda name: name in names)
                table = table.assign(**texts)
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet needs pyarrow: pip install 'causaljax[parquet]'"
        ) from None
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path}: the file is empty") from None
    except (ValueError, OSError) as error:  # parser and decoding errors are ValueErrors
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: cannot be read as {kind[1:]}: {reason}") from None
    if table.empty:
        raise ValueError(f"{path}: the file holds no rows")
    return table


def _read_text(path, form, **options):
    """Cells as they stand in the file; an empty one is missing."""
    text = {"dtype": str, "keep_default_na": False, "na_values": [""]}
    return pd.read_csv(path, **form, **text, **options)


def _reject_repeated_header(path, form):
    """Repeated names are an error, which pandas would hide by renaming them."""
    header = _read_text(path, form, header=None, nrows=1)
    names = header.iloc[0].dropna()
    for name in names[names.duplicated()]:
        raise ValueError(f"column name {name!r} occurs more than once: rename one")


def edge_table(graph: nx.DiGraph) -> pd.DataFrame:
    """The edges of a fitted graph: source, target, probability, weight, undirected.

    Where ``undirected`` is True source and target might as well be swapped. Weights
    are missing where the method has none.
    """
    marks = ["probability", "weight", "undirected"]
    rows = [(u, v, *map(e.get, marks)) for u, v, e in graph.edges(data=True)]
    return pd.DataFrame(rows, columns=["source", "target", *marks])


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
    if header == list(edge_table(nx.DiGraph())):
        table = table.set_axis(header, axis=1)
        for name in ("probability", "weight"):
            table[name] = pd.to_numeric(table[name])
        return table.assign(undirected=table["undirected"] == "True")
    num_labels = {"regime": 1, "row": 2}.get(header[0], 0)  # columns of labels
    for place in range(len(header)):
        if place < num_labels:
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
        present = [name for name in RESULTS + REGIMES if (folder / name).exists()]
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
    graph: nx.DiGraph,
    adjacency: pd.DataFrame,
    cpdag: pd.DataFrame,
    record: Any,
    regimes: pd.DataFrame | None = None,
    targets: pd.DataFrame | None = None,
) -> tuple[str, ...]:
    """Writes ``RESULTS`` into a folder, and ``REGIMES`` if they are given.

    All are written aside first and then moved into place, so that a failure leaves
    no partial result. ``REGIMES`` of an earlier run are removed. ``read_result``
    reads the tables again.

    Args:
      folder: made if missing.
      graph: a fitted graph; graph.json holds it in networkx's node-link form.
      adjacency: 0/1, causes as rows.
      cpdag: likewise, an undirected edge with a 1 at both places.
      record: what run.json holds; anything JSON can express.
      regimes: what ``regime_table`` makes, or None.
      targets: ``[k, d]``, P(the regime disturbed the column), or None.

    Returns:
      The names of the files written.

    Raises:
      ValueError: as ``check_writable``.
    """
    folder = Path(folder)
    check_writable(folder)
    node_link = nx.node_link_data(graph, edges="edges")
    with (
        _made(folder),
        tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch,
    ):
        made = Path(scratch)
        edge_table(graph).to_csv(made / "edges.csv", index=False)
        adjacency.to_csv(made / "adjacency.csv")
        cpdag.to_csv(made / "cpdag.csv")
        (made / "graph.json").write_text(json.dumps(node_link, indent=1) + "\n")
        (made / "run.json").write_text(json.dumps(record, indent=1) + "\n")
        tables = dict(zip(REGIMES, (regimes, targets), strict=True))
        for name, table in tables.items():
            if table is not None:
                table.to_csv(made / name)
        names = tuple(name for name in RESULTS + REGIMES if (made / name).exists())
        for name in names:
            os.replace(made / name, folder / name)
        for name in set(REGIMES) - set(names):
            (folder / name).unlink(missing_ok=True)
    return names
