"""``causaljax report``, and ``fit --report``: one HTML page about a fit."""

from pathlib import Path
from typing import Any

import causaljax
from causaljax.cli.reply import Reply
from causaljax.tables.errors import CodedError, coded

NAME = "report.html"
"""Of the page, where none is given."""


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "report", help="write an HTML page about results of `fit --out`"
    )
    parser.set_defaults(command=_report)
    parser.add_argument("folder", metavar="DIR", help="that `fit --out` wrote")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help=f"of the page; {NAME} in DIR if left out",
    )


def _report(options: Any, reply: Reply) -> None:
    path = Path(options.file or Path(options.folder) / NAME)
    with coded("unreadable_graph"):
        fit = causaljax.reports.page.read_fit(options.folder)
    check(path)
    reply.run = {"settings": {"folder": options.folder}}
    reply.result = {"file": write(path, *fit)}
    reply.say(f"Wrote {path}")


def path_of(report: str | None, out: str | None) -> Path | None:
    """Where ``fit --report [FILE] [--out DIR]`` puts the page; None if none is wanted.

    Args:
      report: "" for --report without FILE.
      out: the folder for results.
    """
    return None if report is None else Path(report or Path(out or "") / NAME)


def check(path: Path, out: str | None = None) -> None:
    """Raises what ``write`` would, before a long fit.

    Args:
      path: of the page.
      out: a folder that is known to be writable, and may not be there yet.
    """
    try:
        with coded("unwritable_output"):
            if out is not None and path.parent == Path(out) and not path.is_dir():
                causaljax.reports.page.check_libraries()
            else:
                causaljax.reports.page.check_page(path)
    except ImportError as error:
        raise CodedError("missing_extra", str(error)) from None


def write(path: Path, edges: Any, names: list[str], record: dict[str, Any]) -> str:
    """Writes a page, and returns its path."""
    with coded("unwritable_output"):
        causaljax.reports.page.write_page(path, edges, names, record)
    return str(path)
