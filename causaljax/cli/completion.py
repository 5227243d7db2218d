"""``causaljax completion``: what a shell needs to complete the commands."""

from typing import Any

from causaljax.cli.reply import Reply
from causaljax.tables.errors import CodedError

_SHELLS = ("bash", "zsh", "tcsh", "fish")
_FILES = {
    *("data", "truth", "graph", "folder", "path"),
    *("knowledge", "required", "forbidden", "out"),
}
"""Arguments and options that name files or folders."""


def add(commands: Any) -> None:
    """Adds the command to those of the program."""
    parser = commands.add_parser(
        "completion", help="print a script by which a shell completes the commands"
    )
    parser.set_defaults(command=_complete)
    parser.add_argument("shell", choices=_SHELLS)


def _complete(options: Any, reply: Reply) -> None:
    try:
        import shtab
    except ImportError:
        raise CodedError(
            "missing_extra",
            "completion needs shtab: pip install 'causaljax[completion]'",
        ) from None
    from causaljax.cli.command_line import make_parser

    parser = make_parser()
    for command in _commands(parser):
        for action in command._actions:
            if action.dest in _FILES:
                action.complete = shtab.FILE
    script = shtab.complete(parser, options.shell)
    reply.result = {"shell": options.shell, "script": script}
    reply.write(script)


def _commands(parser):
    """The parsers of the commands."""
    group = next(one for one in parser._actions if isinstance(one.choices, dict))
    return group.choices.values()
