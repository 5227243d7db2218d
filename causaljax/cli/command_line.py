"""The command line: ``main``, and the commands that there are."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import causaljax
from causaljax.cli import (
    advise,
    batch,
    compare,
    completion,
    datasets,
    effect,
    fit,
    methods,
    plot,
    report,
    schema,
)
from causaljax.cli.interrupts import INTERRUPTED, leave, prompt_interrupts
from causaljax.cli.reply import Reply, line
from causaljax.estimators.methods import METHODS as METHODS
from causaljax.tables.errors import CodedError
from causaljax.tables.knowledge import closest, suggest

COMMANDS = (
    *(fit, batch, report, plot, effect, compare),
    *(advise, methods, datasets),
    *(schema, completion),
)
"""The commands, a module each: its ``add`` makes the parser."""


def program() -> None:
    """The command: ``main``, and the end of the process."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # of `causaljax methods | head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    leave(code)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
      0; 2 after one line, or one object with ``--json``, on a user's mistake; 75 after
      SIGTERM, of a batch job whose work is kept; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    options, unread = parser.parse_known_args(arguments)
    if unread:
        options.parser.reject(unread)
    options.arguments = arguments
    reply = Reply(options.json, options.parser.prog.split()[-1], arguments)
    try:
        with prompt_interrupts():
            options.command(options, reply)
            reply.end()
    except (ValueError, TypeError) as error:
        reply.fail(error)
        return 75 if getattr(error, "code", None) == "preempted" else 2
    except KeyboardInterrupt:
        reply.interrupted()
        return INTERRUPTED
    except Exception as error:
        if options.json and not isinstance(error, BrokenPipeError):
            reply.fail(error, "internal")
        raise
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(prog="causaljax", description=causaljax.__doc__)
    parser.add_argument(
        "--version", action="version", version=f"causaljax {causaljax.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    for command in commands.choices.values():
        command.set_defaults(parser=command)
        command.add_argument(
            "--json", action="store_true", help="print JSON (see `causaljax schema`)"
        )
    return parser


class _NoChoice(argparse.ArgumentError):
    """A value that is none of an option's choices."""

    def __init__(self, action: argparse.Action, value: Any):
        self.given, self.valid_options = value, [*(action.choices or ())]
        hint = suggest(value, self.valid_options)
        super().__init__(action, f"invalid choice: {value!r}; {hint}")


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes have a code, too."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = list(args or ())
        return super().parse_known_args(args, namespace)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            raise _NoChoice(action, value)

    def reject(self, words: Sequence[str]) -> NoReturn:
        """Ends the program: these words were not understood."""
        known = sorted(self._option_string_actions)
        hint = closest(words[0], known) if words[0].startswith("-") else None
        self._stop(
            CodedError(
                "usage",
                f"unrecognized arguments: {' '.join(words)}"
                + (f"; did you mean {hint}?" if hint else ""),
                given=hint,
                valid_options=known,
            )
        )

    def error(self, message: str) -> NoReturn:
        """Ends the program on a mistake that argparse found."""
        cause = sys.exc_info()[1]
        code, about = "usage", {}
        if isinstance(cause, _NoChoice):
            code = "invalid_choice"
            about = {"given": cause.given, "valid_options": cause.valid_options}
        elif isinstance(cause, argparse.ArgumentError):
            code = "invalid_option"
        self._stop(CodedError(code, message, **about))

    def _stop(self, error):
        if "--json" in self._words:
            command = self.prog.split()[1:]
            name = command[0] if command else None
            Reply(True, name, [*command, *self._words]).fail(error)
        else:
            self.print_usage(sys.stderr)
            print(f"{self.prog}: error: {line(error)}", file=sys.stderr)
        sys.exit(2)
