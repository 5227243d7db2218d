"""DCDI's folders of tables, read and written; never pickle.

A folder holds any number of tables, numbered from 1. Files of table k:

- ``data_interv{k}.npy``: ``[n, d]``, all rows;
- ``intervention{k}.csv``: a line a row, the positions of its targets separated by
  commas, empty where nothing was done;
- ``regime{k}.csv``: a line a row, a whole number; 0 is the observational regime.
  Older folders lack it;
- ``data{k}.npy``: ``[m, d]``, observational rows;
- ``DAG{k}.npy``: ``[d, d]`` 0/1, the graph, causes as rows, if it is known.
"""

import csv
import dataclasses
import zipfile
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DcdiTable:
    """One table of a folder.

    Attributes:
      x: ``[n, d]`` float64, raw.
      intervened: ``[n, d]`` bool, True at a row's targets.
      regime: ``[n]`` int, at least 0; 0 is observational.
      graph: ``[d, d]`` bool, causes as rows, or None if unknown.
    """

    x: np.ndarray
    intervened: np.ndarray
    regime: np.ndarray
    graph: np.ndarray | None = None


def read_dcdi(folder: str | Path, number: int = 1) -> DcdiTable:
    """Reads one table of a folder in DCDI's format.

    That is ``data_interv{number}.npy`` with what was done to its rows, or, where
    there is no such file, ``data{number}.npy``, which is observational. Without
    ``regime{number}.csv`` every set of targets is a regime, in order of appearance.

    Args:
      folder: where the files are.
      number: which table.

    Raises:
      ValueError: if a file that is needed is missing, cannot be read or
        does not fit the others; it names the file.

    Source: the public code of Brouillard et al. 2020 (DCDI).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    paths = _paths(folder, number)
    path = paths["all"] if paths["all"].exists() else paths["observational"]
    if not path.exists():
        raise ValueError(
            f"{folder}: holds neither {paths['all'].name} nor {path.name}; give the "
            "number of a table that is there"
        )
    x = _matrix(path)
    intervened, regime = np.zeros(x.shape, bool), np.zeros(len(x), int)
    if path == paths["all"]:
        intervened = _read_targets(paths["targets"], x.shape)
        if paths["regime"].exists():
            regime = _read_regimes(paths["regime"], intervened)
        else:
            regime = _number_regimes(intervened)
    graph = None
    if paths["graph"].exists():
        graph = _read_graph(paths["graph"], x.shape[1])
    return DcdiTable(x=x, intervened=intervened, regime=regime, graph=graph)


def write_dcdi(folder: str | Path, table: DcdiTable, number: int = 1) -> None:
    """Writes one table into a folder in DCDI's format.

    Rows of regime 0 are written once more, as the observational table; a table
    without other rows has no ``data_interv{number}.npy``. The CPDAG, which DCDI's
    folders have as well, is left out: nothing of what is read above needs it.

    Args:
      folder: made if missing.
      table: what to write; its regime 0 must be observational.
      number: which table of the folder it becomes.

    Raises:
      ValueError: if a part of the table does not fit its ``x``, a row of regime 0
        has a target, or a file of that number exists.
    """
    folder = Path(folder)
    x = np.asarray(table.x, np.float64)
    intervened, regime = np.asarray(table.intervened), np.asarray(table.regime)
    if x.ndim != 2 or intervened.shape != x.shape or regime.shape != x.shape[:1]:
        raise ValueError(
            f"x, intervened and regime have shapes {x.shape}, {intervened.shape} and "
            f"{regime.shape}; give [n, d], [n, d] and [n]"
        )
    if (regime < 0).any():
        raise ValueError("regime holds a negative number: every row needs a regime")
    if intervened[regime == 0].any():
        raise ValueError("a row of regime 0 has a target: 0 is the observational one")
    if table.graph is not None and np.shape(table.graph) != 2 * x.shape[1:]:
        raise ValueError(
            f"graph has shape {np.shape(table.graph)}; x asks for {2 * x.shape[1:]}"
        )
    paths = _paths(folder, number)
    for path in paths.values():
        if path.exists():
            raise ValueError(f"{path}: exists; choose another number or folder")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(paths["observational"], x[regime == 0])
    if (regime != 0).any():
        np.save(paths["all"], x)
        targets = [np.flatnonzero(row).tolist() for row in intervened]
        for name, rows in (("targets", targets), ("regime", regime[:, None])):
            with paths[name].open("w", newline="") as file:
                csv.writer(file).writerows(rows)
    if table.graph is not None:
        np.save(paths["graph"], np.asarray(table.graph, np.float64))


def _paths(folder, number):
    names = {
        "all": f"data_interv{number}.npy",
        "targets": f"intervention{number}.csv",
        "regime": f"regime{number}.csv",
        "observational": f"data{number}.npy",
        "graph": f"DAG{number}.npy",
    }
    return {part: folder / name for part, name in names.items()}


def _matrix(path):
    """A numpy file of two dimensions as float64."""
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        reason = "; ".join(str(error).splitlines())
        raise ValueError(
            f"{path}: cannot be read as an array of numbers: {reason}"
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: is no array of numbers; save one with numpy.save")
    if array.ndim != 2:
        raise ValueError(f"{path}: has shape {array.shape}; two dimensions are needed")
    return array.astype(np.float64)


def _lines(path, num_rows):
    """The cells of a CSV file without a header, a list a line."""
    if not path.exists():
        raise ValueError(f"{path}: no such file; add it, or take data_interv away")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ValueError(f"{path}: cannot be read as csv: {error}") from None
    if len(lines) != num_rows:
        raise ValueError(
            f"{path}: has {len(lines)} lines for {num_rows} rows of data; give one each"
        )
    return lines


def _whole_number(path, row, cell):
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if value < 0 or not value.is_integer():
        raise ValueError(
            f"{path}: line {row + 1} holds {cell!r}; give a whole number from 0"
        )
    return int(value)


def _read_targets(path, shape):
    intervened = np.zeros(shape, bool)
    for row, line in enumerate(_lines(path, shape[0])):
        for cell in filter(str.strip, line):
            target = _whole_number(path, row, cell)
            if target >= shape[1]:
                raise ValueError(
                    f"{path}: line {row + 1} names variable {target}; the data have "
                    f"0 to {shape[1] - 1}"
                )
            intervened[row, target] = True
    return intervened


def _read_regimes(path, intervened):
    lines = _lines(path, len(intervened))
    for row, line in enumerate(lines):
        if len(line) != 1:
            raise ValueError(
                f"{path}: line {row + 1} holds {line}; give one whole number"
            )
    cells = [_whole_number(path, row, line[0]) for row, line in enumerate(lines)]
    regime = np.array(cells, int)
    for row in np.flatnonzero((regime == 0) & intervened.any(axis=1)):
        raise ValueError(
            f"{path}: line {row + 1} says regime 0, which is observational, and that "
            "row has a target: number regimes with targets from 1"
        )
    return regime


def _number_regimes(intervened):
    """One regime a set of targets: 0 the empty one, others as they appear."""
    labels: dict[tuple[int, ...], int] = {(): 0}
    sets = [tuple(np.flatnonzero(row).tolist()) for row in intervened]
    return np.array([labels.setdefault(key, len(labels)) for key in sets], int)


def _read_graph(path, num_variables):
    graph = _matrix(path)
    if graph.shape != (num_variables, num_variables):
        raise ValueError(
            f"{path}: has shape {graph.shape}; the data have {num_variables} variables"
        )
    if not np.isin(graph, (0, 1)).all():
        raise ValueError(f"{path}: holds other numbers than 0 and 1")
    return graph.astype(bool)
