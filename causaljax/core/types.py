"""The types every room shares: problems, posteriors, kernels.

Orientation is fixed here, once: ``graph[i, j] = 1`` means i -> j, as in the rows
of a networkx adjacency matrix.

Dimension letters used in every shape comment: ``n`` rows, ``d`` variables,
``s`` graph samples, ``r`` regimes, ``b`` a batch.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Array = jax.Array
PyTree = Any

static = functools.partial(dataclasses.field, metadata={"static": True})
"""A ``Config`` field that jit treats as a constant: ints, strings, booleans."""


class Kind(enum.IntEnum):
    """What the numbers of a column mean."""

    CONTINUOUS = 0
    COUNT = 1  # whole numbers of occurrences
    ORDINAL = 2  # classes in an order
    BINARY = 3  # two classes
    CATEGORICAL = 4  # classes without an order


class Whole(NamedTuple):
    """Sums over all rows of a table, where a problem holds but a sample of them.

    What is a function of these sums is learned from all rows, all else from the sample.
    """

    rows: ArrayLike  # [] float, how many rows there are
    covariance: Array  # [d, d] float, about their mean, divided by ``rows``
    # [d] int32, numbers of classes, where the covariance is that of the indicators that
    # ``scores.degenerate_gaussian.blocks`` reads
    levels: Array | None = None


class Problem(NamedTuple):
    """A table and what is known about it, as arrays.

    ``x`` is finite everywhere; cells where ``observed`` is False hold a filler.
    A row of ``weight`` 0 is padding and changes no answer.
    """

    x: Array  # [n, d] float
    observed: Array  # [n, d] bool, False where the table had a gap
    intervened: Array  # [n, d] bool, True where the cell was set from outside
    regime: Array  # [n] int32, -1 where unknown
    weight: Array  # [n] float, >= 0
    allowed: Array  # [d, d] bool, False forbids i -> j
    required: Array  # [d, d] bool, True demands i -> j
    kind: Array  # [d] int8, of ``Kind``; the classes of a column are its values
    # Of a table too long to be held, of which the rows are a sample: without gaps and
    # interventions.
    whole: Whole | None = None


class Posterior(NamedTuple):
    """What every kernel returns: beliefs about graphs.

    A point method returns one graph (s = 1) of log weight 0 and edge
    probabilities 0 and 1.
    """

    edge_prob: Array  # [d, d] float in [0, 1]
    graphs: Array  # [s, d, d] bool, each acyclic
    log_weight: Array  # [s] float, nats, normalised over s
    extra: PyTree = None  # what only some methods know, e.g. {"weights": [s, d, d]}


class MarkedPosterior(NamedTuple):
    """Beliefs about graphs whose edges carry marks, as hidden causes ask for.

    ``marks[k, i, j]`` is the mark at j of the edge between i and j in the k-th graph;
    ``causaljax.graphs.marks.Mark`` names them.
    """

    marks: ArrayLike  # [s, d, d] int8
    log_weight: ArrayLike  # [s] float, nats, normalised over s
    extra: PyTree = None  # what only some methods know


def _one(d: int) -> int:
    """One fit after another: right where loops of a fit end by what they have found."""
    return 1


def _never(config: PyTree) -> bool:
    return False


class Kernel(NamedTuple):
    """A method as three pure functions; a module constant, so jit caches hit.

    ``init(key, problem, config) -> state``,
    ``step(key, state, problem, config) -> (state, info)``,
    ``finalise(key, state, problem, config) -> Posterior``.

    ``state`` is a NamedTuple with a field ``step`` (int32 scalar, the number of
    steps taken); ``config`` is a frozen dataclass pytree whose static field
    ``num_steps`` is the number of steps a full run takes. ``brief`` is True for
    a method that fits small tables so fast that optimising its programs does not pay.
    ``precision`` is "single", by which arithmetic follows the dtype of the problem, or
    "double" for a method whose decisions float32 cannot make: ``core.run`` then works
    in float64, whatever jax's own setting. A "mixed" one follows the dtype of the
    problem but for parts that need float64. ``staged`` is True for a method whose step
    is put together from compiled parts: unless jax traces them, its steps are taken one
    by one and each part is compiled by itself, which is sooner done. ``fits_at_once``
    says how many problems of d variables a device should work on side by side.
    ``sums_rows`` says of a config whether all that is read of the rows are weighted
    sums over them, so that rows can lie on many devices.
    """

    init: Callable[..., PyTree]
    step: Callable[..., tuple[PyTree, PyTree]]
    finalise: Callable[..., Posterior]
    brief: bool = False
    precision: str = "single"
    staged: bool = False
    fits_at_once: Callable[[int], int] = _one
    sums_rows: Callable[[PyTree], bool] = _never


def make_problem(
    x: ArrayLike,
    *,
    observed: ArrayLike | None = None,
    intervened: ArrayLike | None = None,
    regime: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    allowed: ArrayLike | None = None,
    required: ArrayLike | None = None,
    kind: ArrayLike | None = None,
) -> Problem:
    """Builds a ``Problem`` from a matrix, filling in what is not said.

    Left out, ``observed`` is all True, ``intervened`` all False, ``regime`` all
    -1, ``weight`` all 1, ``allowed`` every edge but self-loops, ``required`` no
    edge and ``kind`` continuous throughout.

    Args:
      x: ``[n, d]``, the table; its dtype (float32 or float64) is kept.
      observed: ``[n, d]`` bool.
      intervened: ``[n, d]`` bool.
      regime: ``[n]`` int.
      weight: ``[n]``, at least 0.
      allowed: ``[d, d]`` bool; the diagonal is always forbidden.
      required: ``[d, d]`` bool.
      kind: ``[d]`` int, of ``Kind``.

    Returns:
      The problem.

    Raises:
      ValueError: if an argument's shape does not fit ``x``.

    Example:
      >>> import numpy as np
      >>> make_problem(np.zeros((5, 3), np.float32)).allowed.sum().item()
      6
    """
    x = jnp.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"x must have two dimensions [n, d], not shape {x.shape}")
    n, d = x.shape

    # What is left out is made by numpy: each operation of jax's would be compiled.
    def filled(name, value, shape, dtype, default):
        array = np.full(shape, default, dtype) if value is None else value
        array = jnp.asarray(array, dtype)
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}; x asks for {shape}")
        return array

    off_diagonal = ~np.eye(d, dtype=bool)
    if allowed is not None:
        off_diagonal = off_diagonal & filled("allowed", allowed, (d, d), bool, True)
    return Problem(
        x=x,
        observed=filled("observed", observed, (n, d), bool, True),
        intervened=filled("intervened", intervened, (n, d), bool, False),
        regime=filled("regime", regime, (n,), np.int32, -1),
        weight=filled("weight", weight, (n,), x.dtype, 1),
        allowed=jnp.asarray(off_diagonal),
        required=filled("required", required, (d, d), bool, False),
        kind=filled("kind", kind, (d,), np.int8, Kind.CONTINUOUS),
    )
