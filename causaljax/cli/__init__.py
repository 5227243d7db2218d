"""The command line, and Ctrl-C that is heard within seconds."""

from causaljax.cli.command_line import main, program

__all__ = ["main", "program"]
