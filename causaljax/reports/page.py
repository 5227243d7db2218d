"""One HTML page about a fit: graph, evidence, doubts, settings. It needs no network."""

import base64
import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from causaljax.plot import style
from causaljax.reports import page_graph
from causaljax.reports.summary import counted, diagnostics, shown_edges, spelled
from causaljax.tables import edges as edge_tables
from causaljax.tables import files

MEANINGS = {
    "share of class members": "Not estimated. It is the share of those graphs that "
    "fit the data equally well: 1, or 1/2 where the direction is open.",
    "open ends as halves": "No probability. 1 is an edge -->; one half stands for a "
    "direction that an open end leaves possible.",
    "share of refits": "The share of refits to resampled rows that have the edge in "
    "this direction; a refit that leaves the direction open counts half.",
    "posterior probability": "The probability of the edge given the table, under the "
    "likelihood and the prior that the method names.",
    "weighted share of drawn graphs": "The share of graphs with the edge, by weights "
    "that correct how often a network that was trained on the table draws them. It is "
    "as good as the effective sample size is large.",
    "share of particles": "The share of particles whose graph has the edge. Particles "
    "approximate a posterior, with a bias that is not known.",
    "share of samples that have not mixed": "The share of sampled graphs that have the "
    "edge. The samples are no posterior: other chains gave other shares.",
    "calibrated probability": "The probability that a trained network gives the edge. "
    "Calibrated on simulated tables: among those, of the edges with 0.8 about eight in "
    "ten were true. Tables unlike them may be worse.",
    "score": "A score between 0 and 1 by which the method ranks edges. It is not "
    "calibrated.",
    "of a hidden common cause": "The probability that a variable outside the table "
    "is a cause of both.",
}
"""What kinds of number the probabilities of an edge table are."""

_LIMITS = (
    "A graph learned from a table is a hypothesis. It holds as far as the assumptions "
    "of the method do: rows are independent, and no cause of two columns is missing "
    "from the table. AmortizedDAG, and methods that give marks with a circle, allow "
    "for such causes.",
    "A pair without an edge shows no direct effect that these rows can tell from "
    "chance. An effect through other columns may remain: follow the arrows.",
    "A probability says how sure the method is of an edge. It says nothing of the size "
    "of an effect.",
    "A weight is the change of the target for one unit of the source while its other "
    "parents are held fixed, if the relation is linear.",
    "Only an experiment, or knowledge that does not come from this table, can settle "
    "an edge of open direction, or an end with a circle.",
)
_LOADER = (
    'Bokeh.embed.embed_item(JSON.parse(document.getElementById("model").textContent))'
)


def page(edges: pd.DataFrame, names: Sequence[str], record: Mapping[str, Any]) -> str:
    """A page about a fit as HTML.

    Its scripts are bokeh's, named by their hashes in a content security policy: no
    other script runs, and nothing is fetched.

    Args:
      edges: the edge table.
      names: of all columns.
      record: what run.json holds; everything in it may be missing.

    Raises:
      ImportError: without the extra ``report``.
    """
    check_libraries()
    import jinja2
    from bokeh.core.types import ID
    from bokeh.embed import json_item
    from bokeh.resources import Resources

    names = [str(name) for name in names]
    columns = record.get("columns", [])
    about = {row["name"]: _in_words(row) for row in columns}
    resources = Resources(
        mode="inline",
        components=["bokeh", "bokeh-widgets", "bokeh-tables"],
        log_level="warn",
    )
    scripts = [*resources.js_raw, _LOADER]
    present = [mark for mark in edge_tables.MARKS if (edges["mark"] == mark).any()]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("causaljax.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # In bokeh's JSON whatever is referred to comes first.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters["spelled"] = spelled
    convergence = dict(record.get("convergence", {}))
    return environment.get_template("page.html.jinja").render(
        title=f"Causal graph: {counted(edges, len(names))}",
        record=record,
        hashes=[_hash(script) for script in scripts],
        scripts=scripts,
        model=json_item(page_graph.interactive(edges, names, about), ID("graph")),
        marks={mark: (edge_tables.MARKS[mark], style.EDGES[mark]) for mark in present},
        meanings={
            kind: MEANINGS.get(kind, "") for kind in edges["meaning"].unique().tolist()
        },
        limits=_LIMITS,
        shown=shown_edges(edges),
        columns=columns,
        diagnostics=diagnostics(convergence),
        settings={
            name: spelled(json.dumps(value, default=repr, ensure_ascii=False))
            for name, value in _settings(record)
        },
        advice=convergence.get("advice", {}),
    )


def write_page(
    path: str | Path,
    edges: pd.DataFrame,
    names: Sequence[str],
    record: Mapping[str, Any],
) -> None:
    """Writes ``page`` to a file, whole or not at all.

    Raises:
      ValueError: naming the path that cannot be written.
      ImportError: without the extra ``report``.
    """
    path = Path(path)
    check_page(path)
    text = page(edges, names, record)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            made = Path(folder) / "page.html"
            made.write_text(text, encoding="utf-8")
            os.replace(made, path)
    except OSError as error:
        raise ValueError(_refusal(path, error)) from None


def check_page(path: str | Path) -> None:
    """Raises what ``write_page`` would, before a long fit and not after it.

    Raises:
      ValueError: naming the path that cannot be written.
      ImportError: without the extra ``report``.
    """
    path = Path(path)
    check_libraries()
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-"):
            pass
    except OSError as error:
        raise ValueError(_refusal(path, error)) from None


def read_fit(folder: str | Path) -> tuple[pd.DataFrame, list[str], dict[str, Any]]:
    """Reads what ``causaljax fit --out`` wrote, for ``page``.

    Args:
      folder: with edges.csv, adjacency.csv and run.json.

    Returns:
      The edge table, the names of all columns, and the record.

    Raises:
      ValueError: naming the file that is missing or damaged.
    """
    folder, found = Path(folder), []
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: is no folder; name one that causaljax fit --out wrote"
        )
    for name in ("edges.csv", "adjacency.csv", "run.json"):
        try:
            if name == "run.json":
                found.append(json.loads((folder / name).read_text(encoding="utf-8")))
            else:
                found.append(files.read_result(folder / name))
        except FileNotFoundError:
            raise ValueError(
                f"{folder}: has no {name}; name a folder that causaljax fit --out wrote"
            ) from None
        except (OSError, ValueError, LookupError, StopIteration) as error:
            raise ValueError(
                f"{folder / name}: cannot be read ({error}); fit again"
            ) from None
    edges, adjacency, record = found
    names = [str(name) for name in adjacency.columns]
    marked = "mark" in edges and edges["mark"].isin(list(edge_tables.MARKS)).all()
    if not marked or not edges[["source", "target"]].isin(names).all(axis=None):
        raise ValueError(f"{folder / 'edges.csv'}: is no edge table; fit again")
    if not isinstance(record, dict) or "causaljax" not in record:
        raise ValueError(f"{folder / 'run.json'}: is no record of a fit; fit again")
    return edges, names, record


def check_libraries() -> None:
    """Raises ImportError without the extra ``report``."""
    for library in ("bokeh", "jinja2", "fast_sugiyama"):
        if importlib.util.find_spec(library) is None:
            raise ImportError(
                f"a report needs {library}: pip install 'causaljax[report]'"
            )


def _settings(record):
    """The settings, and what was told of the table if anything was."""
    yield from record.get("config", {}).items()
    for name in ("interventions_column", "regimes_column", "weights_column"):
        if record.get(name) is not None:
            yield name.replace("_", " "), record[name]
    for kind, stated in record.get("knowledge", {}).items():
        yield f"knowledge: {kind}", stated


def _refusal(path, error):
    reason = error.strerror or error
    return f"{path}: cannot be written ({reason}): make room or name another file"


def _hash(script):
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _in_words(row):
    """A column as it was read, in a phrase."""
    gaps = f", {row['gaps']} gaps" if row.get("gaps") else ""
    return f"{row['kind']}, {row.get('distinct', 0)} values{gaps}"
