"""Mistakes of users: each has a code that programs can rely on."""

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

from causaljax.tables.knowledge import closest, suggest

CODES = {
    "usage": "the words of the command line do not fit together",
    "invalid_choice": "an option has a value that is none of its choices",
    "invalid_option": "an option has a value that cannot be read",
    "option_not_applicable": "an option has no meaning for these data or this method",
    "unknown_column": "an option names a column that the table does not have",
    "file_not_found": "a file or a folder does not exist",
    "unreadable_data": "a file or a folder cannot be read as a table",
    "invalid_data": "the table, as the options read it, cannot be learned from",
    "invalid_knowledge": "a file of knowledge cannot be read, or contradicts itself",
    "invalid_setting": "`--set` names no parameter of the method, or a wrong value",
    "invalid_job": "a job file has a key or a value that does not fit",
    "job_changed": "a folder holds results of another job, or of inputs as they were",
    "folder_in_use": "another process of the job has the same place",
    "damaged_results": "a file of results is cut or was changed",
    "unwritable_output": "results cannot be written to that place",
    "unreadable_graph": "a file or a folder holds no graph that can be read",
    "graphs_differ": "two graphs are not about the same columns",
    "missing_extra": "a library of an extra is not installed",
    "preempted": "SIGTERM ended the command, whose work is kept (exit code 75)",
    "interrupted": "Ctrl-C ended the command (exit code 130)",
    "internal": "a mistake of causaljax itself (exit code 1): please report it",
}
"""The codes of errors, and what each means; docs/cli.md lists them."""


class CodedError(ValueError):
    """A mistake that the command line reports in one line, or as an object of JSON.

    Attributes:
      code: a key of ``CODES``.
      valid_options: what could stand in the place of the mistake, if that is a list.
      did_you_mean: the one of them that is close to what was given, or None.

    Args:
      code: as the attribute.
      message: what is wrong and what to do, in one line.
      given: what was given in the place of one of the valid options.
      valid_options: as the attribute.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        given: Any = None,
        valid_options: Sequence[str] = (),
    ):
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.valid_options = [str(option) for option in valid_options]
        self.did_you_mean = closest(given, self.valid_options)

    @property
    def message(self) -> str:
        """What is wrong and what to do."""
        return str(self)


def unknown(
    code: str, what: str, given: Any, valid_options: Sequence[str]
) -> CodedError:
    """An error about a name that is none of those there are.

    Args:
      code: a key of ``CODES``.
      what: the beginning of the message; its end tells the closest name, or all.
      given: the name.
      valid_options: the names that there are.
    """
    options = [str(option) for option in valid_options]
    message = f"{what}; {suggest(given, options)}"
    return CodedError(code, message, given=given, valid_options=options)


@contextlib.contextmanager
def coded(code: str) -> Generator[None]:
    """Within, a mistake that the library reports gets a code.

    Args:
      code: a key of ``CODES``.

    Raises:
      CodedError: in the place of a ValueError or a TypeError.
    """
    try:
        yield
    except CodedError:
        raise
    except (ValueError, TypeError) as error:
        raise CodedError(code, str(error)) from error
