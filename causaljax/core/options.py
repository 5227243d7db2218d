"""Options of kernels: bounds are declared on ``Config`` fields and checked here.

A ``Config`` is a frozen dataclass whose fields say what values make sense::

    penalty: float = option(2.0, least=0)
    noise: str = option("gaussian", choices=("gaussian", "nongaussian"))
    num_steps: int = option(30, least=1)

Numbers are leaves of the pytree, so a change of value does not compile again; whole
numbers, strings and booleans are static.
"""

import dataclasses
import math
from collections.abc import Collection
from typing import Any


def option(
    default: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Collection[str] | None = None,
    static: bool = False,
) -> Any:
    """A field of a ``Config`` with its default and its bounds.

    Args:
      default: its type says what the option is: a float is a leaf; an int, a string or
        a boolean is static.
      least: the least value.
      above: what the value must be greater than.
      below: what the value must be less than.
      choices: the strings that can be chosen.
      static: whether a float is static, too, as what decides when steps do what.

    Returns:
      A dataclass field.
    """
    bounds = {"least": least, "above": above, "below": below, "choices": choices}
    metadata = {"bounds": bounds, "static": static or isinstance(default, int | str)}
    return dataclasses.field(default=default, metadata=metadata)


def check_options(config: Any) -> None:
    """Checks every field made by ``option``, also of configs inside the config.

    Args:
      config: a dataclass of concrete values; checking is for the host, before ``run``.

    Raises:
      ValueError: naming the option, what it may be and what it is.

    Example:
      >>> @dataclasses.dataclass
      ... class Config:
      ...     rate: float = option(0.1, above=0, below=1)
      >>> check_options(Config(rate=2.0))
      Traceback (most recent call last):
      ValueError: rate must be a number above 0 and below 1, not 2.0
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            check_options(value)
        elif "bounds" in field.metadata:
            _check(field.name, value, field.default, **field.metadata["bounds"])


def settings(config: Any) -> dict[str, Any]:
    """What a config says, for a record of a fit: all fields made by ``option``.

    Args:
      config: a dataclass of concrete values, also of other configs.

    Returns:
      Values by the names of their fields; those of a config inside the config are a
      dict of their own. Other fields hold arrays, which are no settings.

    Example:
      >>> @dataclasses.dataclass
      ... class Config:
      ...     rate: float = option(0.1, above=0, below=1)
      ...     start: object = None
      >>> settings(Config())
      {'rate': 0.1}
    """
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found[field.name] = settings(value)
        elif "bounds" in field.metadata:
            found[field.name] = value
    return found


def _check(name, value, default, least, above, below, choices):
    if choices is not None:
        # A list or an array is no choice either, and cannot be looked up in a dict.
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}")
        return
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, not {value!r}")
        return
    whole = isinstance(default, int)
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("of at least", least), ("above", above), ("below", below))
        if bound is not None
    ]
    kind = "a whole number" if whole else "a number"
    wanted = " ".join([kind, " and ".join(bounds)]).strip()
    number = _number(value, whole)
    fits = (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (below is None or number < below)
    )
    if not fits:
        raise ValueError(f"{name} must be {wanted}, not {value!r}")


def _number(value, whole):
    """The value as a float; NaN if it is no number of the kind wanted."""
    if whole and (not isinstance(value, int) or isinstance(value, bool)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
