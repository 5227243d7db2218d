"""Tables and edge lists in, results out; text, JSON and Parquet, never pickle."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd

_READERS = {".csv": ",", ".tsv": "\t", ".parquet": None}
RESULTS = ("edges.csv", "adjacency.csv", "cpdag.csv", "graph.json", "run.json")
"""The files that ``write_results`` writes."""
REGIMES = ("regimes.csv", "intervention_targets.csv")
"""Those it writes besides where rows are of regimes."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Reads a table with a header row, by the ending of its name.

    Args:
      path: .csv, .tsv (either may end in .gz besides) or .parquet.

    Raises:
      ValueError: if the file is missing, empty, unreadable or of another kind.
    """
    path = Path(path)
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in _READERS:
        raise ValueError(f"{path}: unknown kind of file; give one of {list(_READERS)}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if kind == ".parquet":
            table = pd.read_parquet(path)
        else:
            _reject_repeated_header(path, _READERS[kind])
            table = pd.read_csv(path, sep=_READERS[kind])
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


def _reject_repeated_header(path, separator):
    """Repeated names are an error, which pandas would hide by renaming them."""
    header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str)
    names = header.iloc[0].dropna()
    for name in names[names.duplicated()]:
        raise ValueError(f"column name {name!r} occurs more than once: rename one")


def read_edges(path: str | Path) -> list[tuple[str, str]]:
    """Reads pairs (cause, effect) from the first two columns of a table.

    Raises:
      ValueError: if the file cannot be read or has a row without both names.
    """
    table = read_table(path)
    if table.shape[1] < 2:
        raise ValueError(f"{path}: two columns are needed, the cause and the effect")
    pairs = table.iloc[:, :2]
    if pairs.isna().any(axis=None):
        row = int(pairs.isna().any(axis=1).to_numpy().argmax())
        raise ValueError(f"{path}: row {row} lacks a cause or an effect: complete it")
    return list(pairs.astype(str).itertuples(index=False, name=None))


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


def check_writable(folder: str | Path) -> None:
    """Raises ValueError if writing results would touch files that are not ours.

    The results of an earlier run, known by their run.json, may be replaced.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; name a folder")
    present = [name for name in RESULTS + REGIMES if (folder / name).exists()]
    if present and not _is_ours(folder / "run.json"):
        raise ValueError(
            f"{folder}: holds {present[0]}, which this program did not write; "
            "name another folder"
        )


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

    All are written beside the folder first and then moved into place, so that
    a failure leaves no partial result. ``REGIMES`` of an earlier run are removed.

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
    folder.mkdir(parents=True, exist_ok=True)
    node_link = nx.node_link_data(graph, edges="edges")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as scratch:
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
            else:
                (folder / name).unlink(missing_ok=True)
        names = tuple(name for name in RESULTS + REGIMES if (made / name).exists())
        for name in names:
            os.replace(made / name, folder / name)
    return names
