"""``causaljax datasets``: the data sets that ship."""

from typing import Any

import causaljax
from causaljax.cli.reply import Reply


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser("datasets", help="list the data sets that ship")
    parser.set_defaults(command=_list)


def _list(options: Any, reply: Reply) -> None:
    del options
    found = []
    for name, load in causaljax.tables.datasets.DATASETS.items():
        dataset = load()
        rows, columns = dataset.data.shape
        found.append(
            {
                "name": name,
                "rows": rows,
                "columns": columns,
                "what": dataset.description,
            }
        )
    reply.result = {"datasets": found}
    reply.show(("name", "rows", "columns", "what"), [row.values() for row in found])
