"""Numbers of classes, as scores of classes need to know them before they compile."""

from collections.abc import Sequence

import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Kind
from causaljax.scores.classes import FEWEST_ROWS, read_classes

_BOUNDS = (2, 3, 4, 6, 8, 12, 16, 24, 32)  # each has its program

count_classes = quick_jit(lambda problem: read_classes(problem)[1:], once=True)
"""Of a problem: the number of each column's classes, and of those put together."""


def is_class(kind: int) -> bool:
    """Whether the degenerate Gaussian score reads a column of this kind as classes."""
    return kind in (Kind.BINARY, Kind.CATEGORICAL)


def class_bound(names: Sequence[str], levels: np.ndarray, read: np.ndarray) -> int:
    """A bound of the classes of every column that is read as classes.

    Args:
      names: of the columns.
      levels: ``[d]`` int, numbers of their classes.
      read: ``[d]`` bool, which are read as classes.

    Raises:
      ValueError: naming a column that has too many.
    """
    for k in np.flatnonzero(read & (levels > _BOUNDS[-1])):
        raise ValueError(
            f"column {names[k]!r} has {levels[k]} classes of at least {FEWEST_ROWS} "
            f"rows: put some together, {_BOUNDS[-1]} are the most"
        )
    most = max(levels[read], default=2)
    return next(bound for bound in _BOUNDS if bound >= most)
