"""``causaljax plot``: a picture of a graph."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import causaljax
from causaljax import plot as plots
from causaljax.cli.graph_files import read_graph
from causaljax.cli.reply import Reply
from causaljax.tables.errors import CodedError, coded

_ENDINGS = (".png", ".pdf", ".svg")


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser("plot", help="draw a graph")
    parser.set_defaults(command=_plot)
    parser.add_argument(
        "graph",
        help="a folder of results, a .csv or .json file of a graph, or a data set's "
        "name",
    )
    parser.add_argument(
        "path", metavar="FILE", help=f"of the picture: {', '.join(_ENDINGS)}"
    )


def _plot(options: Any, reply: Reply) -> None:
    path = Path(options.path)
    if path.suffix.lower() not in _ENDINGS:
        raise CodedError(
            "invalid_option",
            f"{path}: unknown kind of picture; give one of {list(_ENDINGS)}",
            given=path.suffix,
            valid_options=_ENDINGS,
        )
    drawn = _graph(options.graph)
    try:
        axes = plots.graph(drawn)
    except ImportError as error:
        raise CodedError("missing_extra", str(error)) from None
    with coded("unwritable_output"):
        try:
            axes.figure.savefig(path)
        except OSError as error:
            raise ValueError(
                f"{path}: cannot be written ({error.strerror or error})"
            ) from None
    reply.run = {"settings": {"graph": options.graph}}
    reply.result = {"file": str(path)}
    reply.say(f"Wrote {path}")


def _graph(source):
    """What is drawn: all that is known of the edges."""
    if Path(source).is_dir():
        with coded("unreadable_graph"):
            edges, names, _ = causaljax.reports.page.read_fit(source)
        return SimpleNamespace(edges_=edges, adjacency_=names)
    found = read_graph(source)
    if found.edges is None:
        return found.claims
    return SimpleNamespace(edges_=found.edges, adjacency_=found.claims)
