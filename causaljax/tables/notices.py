"""Warnings that a fit keeps besides showing them, so that a report can repeat them."""

import contextlib
import contextvars
import warnings
from collections.abc import Generator

_kept: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar(
    "kept", default=None
)


def warn(text: str, *, stacklevel: int) -> None:
    """Warns as ``warnings.warn`` does; the text is kept where ``keeping`` asks for it.

    Args:
      text: of the warning.
      stacklevel: as ``warnings.warn`` takes it in place of this function.
    """
    kept = _kept.get()
    if kept is not None and text not in kept:
        kept.append(text)
    warnings.warn(text, stacklevel=stacklevel + 1)


@contextlib.contextmanager
def keeping() -> Generator[list[str]]:
    """Collects the texts of ``warn``, whatever Python's filters do with them.

    Example:
      >>> with keeping() as texts, warnings.catch_warnings(action="ignore"):
      ...     warn("column 'a' is constant", stacklevel=1)
      >>> texts
      ["column 'a' is constant"]
    """
    texts: list[str] = []
    token = _kept.set(texts)
    try:
        yield texts
    finally:
        _kept.reset(token)
