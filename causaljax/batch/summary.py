"""All shards of a job as one: how often each edge was found, failures, time."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from causaljax.batch.output import (
    alone,
    count_tasks,
    read_description,
    read_results,
    write_whole,
    writing,
)
from causaljax.tables.edges import (
    CONFOUNDED,
    DIRECTED,
    HALF_UNDIRECTED,
    OPEN,
    PARTLY_DIRECTED,
)
from causaljax.tables.errors import CodedError

FILES = ("summary-edges.csv", "summary-fits.csv", "summary-failures.csv")
"""What ``write`` makes: the tables of a ``Summary``."""

THRESHOLD = 0.75
"""The share of fits from which a pair counts as stable, if nothing else is asked."""

_BY = ["input", "group", "settings"]


class Summary(NamedTuple):
    """What a job has found.

    Attributes:
      edges: a row a pair of columns that some fit has joined, for each table and
        settings: "source" and "target" (the commoner direction), "adjacent" (the share
        of fits that join the two), "forward" (that claim source -> target), "backward",
        "partly_forward" (source o-> or --o target), "partly_backward", "open" (of a
        mark that may point either way), "confounded" (<->), "stable".
      fits: a row a table and settings: "fits" (those that "edges" counts), "failed",
        "seconds", "mean_edges", "candidates", "stable" (how many pairs) and
        "false_bound" (below how many of them are false on average, see ``summarise``).
      failures: a row a task that failed, with its error.
      tasks: how many were tried.
      seconds: of all fits together.
      bound_holds: whether the fits are those that the bound is about.
    """

    edges: pd.DataFrame
    fits: pd.DataFrame
    failures: pd.DataFrame
    tasks: int
    seconds: float
    bound_holds: bool


def summarise(folder: str | Path, threshold: float = THRESHOLD) -> Summary:
    """Merges the shards of a job.

    Counted are the refits on resampled rows, or where the job has none all its fits.
    A pair of columns is stable if the share of fits that join it reaches the threshold
    t. With q joined pairs a fit on average and p pairs that knowledge leaves open,

        E[number of stable pairs that are false] <= q^2 / ((2 t - 1) p).

    Assumed are fits to random halves of the rows (``subsamples``), that the method is
    no worse than guessing, and that false pairs are exchangeable: none is likelier to
    be found than another. The last is strong where columns have common causes. For
    bootstraps the bound is no more than a guide.

    Args:
      folder: the job's output.
      threshold: t, above .5 and at most 1.

    Raises:
      CodedError: if the folder is none of a job, a file is damaged, or for a threshold
        out of bounds.

    Source: Meinshausen and Bühlmann 2010, "Stability selection", theorem 1.
    """
    folder = Path(folder)
    if not 0.5 < threshold <= 1:
        raise CodedError(
            "invalid_option",
            f"threshold {threshold}: give a number above 0.5 and at most 1",
        )
    return _summary(read_description(folder), *read_results(folder), threshold)


def _summary(description, tasks, edges, threshold):
    refits = description["bootstraps"] + description["subsamples"] > 0
    done = tasks[tasks["status"] == "done"]
    counted = done[done["replicate"] > 0] if refits else done
    fits = _fits(tasks, counted)
    shares = _shares(edges, counted, fits, threshold)
    stable = shares[shares["stable"]].groupby(_BY).size()
    fits["stable"] = stable.reindex(fits.index, fill_value=0).astype(int)
    found = fits["mean_edges"] - fits["required"]
    with np.errstate(divide="ignore", invalid="ignore"):
        fits["false_bound"] = found**2 / ((2 * threshold - 1) * fits["candidates"])
    failures = tasks.loc[tasks["status"] == "failed", ["task", "error"]]
    return Summary(
        edges=shares,
        fits=fits.drop(columns="required").reset_index(),
        failures=failures.reset_index(drop=True),
        tasks=len(tasks),
        seconds=float(tasks["seconds"].sum()),
        bound_holds=description["subsamples"] > 0,
    )


def _fits(tasks, counted):
    """A row a table and settings, of all that were tried."""
    every, of_counted = tasks.groupby(_BY), counted.groupby(_BY)
    fits = pd.DataFrame(
        {
            "fits": of_counted.size(),
            "failed": every["status"].agg(lambda status: (status == "failed").sum()),
            "seconds": every["seconds"].sum(),
            "mean_edges": of_counted["edges_found"].mean(),
            # Resamples may lack columns; with the fewest pairs the bound is largest.
            "candidates": of_counted["candidates"].min(),
            "required": of_counted["required"].max(),
        }
    )
    whole = ["fits", "failed", "candidates", "required"]
    fits[whole] = fits[whole].fillna(0).astype(int)
    return fits


def _shares(edges, counted, fits, threshold):
    """A row a pair of columns, with shares of the fits."""
    rows = edges.merge(counted[["task", *_BY]], on="task")
    names = np.sort(rows[["source", "target"]].to_numpy(dtype=object), axis=1)
    ahead = rows["source"].to_numpy(dtype=object) == names[:, 0]
    directed = rows["mark"] == DIRECTED
    partly = rows["mark"].isin((PARTLY_DIRECTED, HALF_UNDIRECTED))
    rows = rows[_BY].assign(
        source=names[:, 0],
        target=names[:, 1],
        adjacent=rows["mark"] != CONFOUNDED,
        forward=directed & ahead,
        backward=directed & ~ahead,
        partly_forward=partly & ahead,
        partly_backward=partly & ~ahead,
        open=rows["mark"].isin(OPEN),
        confounded=rows["mark"] == CONFOUNDED,
    )
    turning = [("forward", "backward"), ("partly_forward", "partly_backward")]
    kinds = ["adjacent", *turning[0], *turning[1], "open", "confounded"]
    shares = rows.groupby([*_BY, "source", "target"])[kinds].sum().reset_index()
    number = fits["fits"].reindex(pd.MultiIndex.from_frame(shares[_BY])).to_numpy()
    shares[kinds] = shares[kinds].to_numpy() / number[:, None]
    onwards, back = ([pair[way] for pair in turning] for way in (0, 1))
    turned = shares[back].sum(axis=1) > shares[onwards].sum(axis=1)
    for one, other in (("source", "target"), *turning):
        shares[one], shares[other] = (
            shares[one].where(~turned, shares[other]),
            shares[other].where(~turned, shares[one]),
        )
    shares["stable"] = shares["adjacent"] >= threshold
    order = [*_BY, "adjacent", "forward", "source", "target"]
    ascending = [True] * 3 + [False] * 2 + [True] * 2
    return shares.sort_values(order, ascending=ascending, ignore_index=True)


def write(folder: Path, found: Summary) -> list[str]:
    """Writes the tables of a summary as CSV into the job's folder.

    Returns:
      The names of the files.
    """
    tables = found.edges, found.fits, found.failures
    for name, table in zip(FILES, tables, strict=True):
        text = io.StringIO()
        # Quotes keep a carriage return in a name from ending its row.
        table.to_csv(text, index=False, quoting=csv.QUOTE_NONNUMERIC)
        with writing(folder):
            write_whole(folder / name, text.getvalue().encode())
    return list(FILES)


def write_if_complete(folder: Path, num_tasks: int) -> Summary | None:
    """Writes the summary and returns it if all tasks were tried."""
    if count_tasks(folder) < num_tasks:
        return None
    with writing(folder), alone(folder):
        tasks, edges = read_results(folder)
        if len(tasks) < num_tasks:
            return None
        found = _summary(read_description(folder), tasks, edges, THRESHOLD)
        write(folder, found)
    return found
