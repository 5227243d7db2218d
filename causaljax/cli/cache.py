"""Compiled programs on disk, for a command that runs again."""

from typing import Any

import causaljax
from causaljax.cli.reply import Reply


def enable_cache(options: Any, reply: Reply) -> None:
    """Keeps programs on disk unless ``--no-cache``; where it cannot, it says so."""
    if options.no_cache:
        return
    try:
        causaljax.enable_compilation_cache()
    except ValueError as error:
        reply.warn(f"{error}, or --no-cache")
