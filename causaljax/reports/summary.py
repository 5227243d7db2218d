"""A fitted graph in words: the text that is printed, and the same as HTML."""

import collections
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from causaljax.tables import edges as edge_tables

_MANY_COLUMNS = 30  # from which on columns of plain numbers are not shown one by one
_MANY_CLASSES = 5  # of a column that are shown
_WIDEST = 100_000  # characters of a table's line
# Numbers and words of info_ that are told elsewhere.
_ELSEWHERE = ("nonfinite", "seconds", "rows", "edge_probabilities")


class Lines(NamedTuple):
    """A table to be shown: what heads its columns, and its rows of text."""

    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


def spelled(text: Any) -> str:
    """Text of others on one line: what a terminal would obey is spelled out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )


def text_table(lines: Lines, *, ascii_only: bool = False) -> str:
    """A table as text, as wide as it comes: names that are cut are others' names."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*lines.heads, box=box.ASCII if ascii_only else box.HEAVY_HEAD)
    for row in lines.rows:
        # Nothing in the cells is markup.
        table.add_row(*(Text(spelled(cell)) for cell in row))
    console = Console(width=_WIDEST, file=io.StringIO(), color_system=None)
    with console.capture() as text:
        console.print(table)
    return text.get().rstrip("\n")


def shown_edges(edges: pd.DataFrame) -> Lines:
    """An edge table as it is shown: what it knows nothing of is left out."""
    meanings = edge_tables.directed_edges(edges)["meaning"].unique().tolist()
    heads = ["source", "", "target"]
    cells: list[Any] = [edges[name] for name in ("source", "mark", "target")]
    if not len(edges) or not set(edges["meaning"]) <= edge_tables.NO_ESTIMATE:
        heads.append(meanings[0] if len(meanings) == 1 else "probability")
        cells.append([f"{number:.2f}" for number in edges["probability"]])
    for name, form in (("weight", ".3g"), ("effect_size", ".3g"), ("stability", ".2f")):
        if edges[name].notna().any():
            heads.append(name.replace("_", " "))
            cells.append(
                [
                    "" if pd.isna(number) else f"{number:{form}}"
                    for number in edges[name]
                ]
            )
    return Lines(heads, list(zip(*cells, strict=True)))


def shown_columns(described: Sequence[Mapping[str, Any]]) -> tuple[str, Lines]:
    """How each column was read; of a wide table, what is not plain numbers.

    Args:
      described: ``info_["columns"]``.

    Returns:
      A sentence, empty for a table that is not wide, and the columns.
    """
    words, shown = "", described
    if len(described) > _MANY_COLUMNS:
        kinds = collections.Counter(row["kind"] for row in described)
        words = "Columns: " + ", ".join(f"{kinds[kind]} {kind}" for kind in kinds)
        shown = [row for row in described if row["kind"] != "continuous"]
        shown = shown[:_MANY_COLUMNS]
    rows = []
    for row in shown:
        values, classes = str(row.get("distinct", "")), row.get("classes", ())
        if classes:
            more = ", ..." if len(classes) > _MANY_CLASSES else ""
            values += f": {', '.join(classes[:_MANY_CLASSES])}{more}"
        gaps = row.get("gaps") or ""
        rows.append((row["name"], row["kind"], values, gaps, row["note"]))
    return words, Lines(["column", "read as", "values", "gaps", "note"], rows)


def diagnostics(info: Mapping[str, Any]) -> list[str]:
    """The numbers of ``info_``, a line each; settings and lists are left to it."""
    lines = []
    for name, value in info.items():
        if name in _ELSEWHERE or not isinstance(value, bool | int | float | str):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, float):
            value = f"{value:.4g}"
        lines.append(f"{name.replace('_', ' ')}: {spelled(value)}")
    return lines


def counted(edges: pd.DataFrame, num_columns: int) -> str:
    """What was found, in a phrase: "5 edges among 7 columns, 2 of open direction"."""
    number = len(edge_tables.directed_edges(edges))
    words = f"{number} edge{'s' * (number != 1)} among {num_columns} columns"
    for marks, what in (
        ([edge_tables.UNDIRECTED], "of open direction"),
        (edge_tables.CIRCLED, "with an end that is not told"),
        ([edge_tables.CONFOUNDED], "with a likely hidden cause"),
    ):
        if number := int(edges["mark"].isin(marks).sum()):
            pairs = f"pair{'s' * (number != 1)} " * (edge_tables.CONFOUNDED in marks)
            words += f", {number} {pairs}{what}"
    return words


def summary(
    call: str,
    edges: pd.DataFrame,
    num_columns: int,
    info: Mapping[str, Any],
    more: Iterable[Lines] = (),
    notes: Iterable[str] = (),
    *,
    ascii_only: bool = False,
) -> str:
    """A fit in words.

    Args:
      call: the estimator and its parameters.
      edges: the edge table.
      num_columns: that are variables.
      info: ``info_``.
      more: further tables.
      notes: what a reader should know, a sentence each.
      ascii_only: draw no lines that ASCII has no code for.

    Returns:
      Text of several lines: what was found, how the columns were read, diagnostics, the
      edges, further tables, what the marks mean, and the notes.
    """
    words, columns = shown_columns(info.get("columns", ()))
    seconds = f" in {info['seconds']:.1f} s" if "seconds" in info else ""
    parts = [f"{spelled(call)}: {counted(edges, num_columns)}{seconds}"]
    if "advice" in info:
        reasons = " ".join(info["advice"]["reasons"])
        parts.append(f"The method was chosen by the table: {spelled(reasons)}")
    parts += [words] * bool(words)
    tables = [columns] * bool(columns.rows)
    parts += [text_table(table, ascii_only=ascii_only) for table in tables]
    parts += diagnostics(info)
    for table in (shown_edges(edges), *more):
        parts.append(text_table(table, ascii_only=ascii_only))
    parts += [spelled(line) for line in (*legend(edges), *notes)]
    return "\n".join(parts)


def legend(edges: pd.DataFrame) -> list[str]:
    """What the marks mean that are not plain arrows, a line each."""
    return [
        f"{mark}: {meaning}."
        for mark, meaning in edge_tables.MARKS.items()
        if mark != edge_tables.DIRECTED and (edges["mark"] == mark).any()
    ]


def as_html(call: str, found: str = "", edges: pd.DataFrame | None = None) -> str:
    """An estimator as a notebook shows it; names are escaped.

    Args:
      call: the estimator and its parameters.
      found: what it found, in a phrase.
      edges: the edge table, of a fitted one.
    """
    head = html.escape(spelled(call)) + (f": {html.escape(found)}" if found else "")
    parts = [f"<p><code>{head}</code></p>"]
    if edges is not None:
        lines = shown_edges(edges)
        why = [[spelled(cell)] for cell in edges["why"]]
        if any(cell for (cell,) in why):
            rows = [[*row, *cell] for row, cell in zip(lines.rows, why, strict=True)]
            lines = Lines([*lines.heads, "why"], rows)
        parts.append("<table>")
        for kind, rows in (("th", [lines.heads]), ("td", lines.rows)):
            for row in rows:
                cells = (html.escape(spelled(cell)) for cell in row)
                line = "".join(f"<{kind}>{cell}</{kind}>" for cell in cells)
                parts.append(f"<tr>{line}</tr>")
        parts.append("</table>")
        parts += [f"<p>{html.escape(line)}</p>" for line in legend(edges)]
    return "\n".join(parts)
