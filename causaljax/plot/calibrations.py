"""Whether stated probabilities come true."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from causaljax.plot import style

_NUM_BINS = 10
_MARKERS = "osD^v"
SURE = 0.01
"""Cases stated to be less likely flatter every method."""


class Reliability(NamedTuple):
    """Stated probabilities, by bins of equal width, and what came true."""

    stated: np.ndarray  # [bins], the mean in the bin
    true: np.ndarray  # [bins]
    counts: np.ndarray  # [bins]
    error: float  # expected calibration error
    sure_error: float  # likewise, over cases stated above SURE


def reliability(stated: ArrayLike, true: ArrayLike) -> Reliability:
    """How often what was stated with a probability is true.

    The error is ``sum_b n_b |mean stated - share true| / n`` over ten bins b of equal
    width.

    Args:
      stated: probabilities, of any shape; what is beyond 0 or 1 is of the last bin.
      true: bool, of the same shape.

    Raises:
      ValueError: if shapes differ.

    Source: Guo et al. 2017.

    Example:
      >>> found = reliability([0.25, 0.25, 0.9, 0.9], [False, True, True, True])
      >>> found.counts[[2, 9]].tolist(), round(found.error, 3)
      ([2, 2], 0.175)
    """
    stated, true = np.asarray(stated, float), np.asarray(true)
    if stated.shape != true.shape:
        raise ValueError(
            f"stated is of shape {stated.shape} and true of {true.shape}: give one "
            "answer for each probability"
        )
    stated, true = stated.ravel(), true.ravel().astype(bool)
    error, columns = _bins(stated, true)
    sure_error, _ = _bins(stated[stated > SURE], true[stated > SURE])
    return Reliability(*columns, error, sure_error)


def _bins(stated, true):
    bins = np.clip((stated * _NUM_BINS).astype(int), 0, _NUM_BINS - 1)
    counts = np.bincount(bins, minlength=_NUM_BINS)
    mean_stated = np.bincount(bins, stated, _NUM_BINS) / np.maximum(counts, 1)
    mean_true = np.bincount(bins, true, _NUM_BINS) / np.maximum(counts, 1)
    gaps = np.abs(mean_stated - mean_true)
    error = float(np.sum(gaps * counts) / max(counts.sum(), 1))
    return error, (mean_stated, mean_true, counts)


def calibration(
    stated: ArrayLike, true: ArrayLike, *, label: str = "", ax: Any = None
) -> Any:
    """Draws a reliability diagram: stated probabilities against what came true.

    A point is a bin of stated probabilities, ten of equal width; on the diagonal they
    come true as often as stated. The panel below counts the cases of each bin. Drawn
    again on the same Axes, another curve joins the first.

    Args:
      stated: probabilities, such as those of edges of simulated tables; of any shape.
      true: bool, of the same shape.
      label: what the legend calls the curve; it adds the expected calibration error.
      ax: matplotlib's Axes; a new figure if None.

    Returns:
      The Axes; the panel of counts is ``ax.child_axes[0]``.

    Raises:
      ValueError: if shapes differ or a probability is not in [0, 1].
      ImportError: without the extra ``plot``.
    """
    stated = np.asarray(stated, float)
    wrong = stated[~((stated >= 0) & (stated <= 1))]
    if wrong.size:
        raise ValueError(f"stated has {wrong[0]}: probabilities are from 0 to 1")
    found = reliability(stated, true)
    ax = style.axes(ax, 5, 6)
    if not ax.child_axes:
        ax.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        ax.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share that is true")
        ax.tick_params(labelbottom=False)
        below = ax.inset_axes((0, -0.3, 1, 0.26), sharex=ax)
        below.set(yscale="log", xlabel="stated probability", ylabel="cases")
    number = len(ax.lines) - 1
    color = style.CYCLE[number % len(style.CYCLE)]
    shown = found.counts > 0
    ax.plot(
        found.stated[shown],
        found.true[shown],
        color=color,
        marker=_MARKERS[number % len(_MARKERS)],
        label=f"{label}{': ' * bool(label)}ECE {found.error:.3f}",
    )
    ax.child_axes[0].stairs(
        np.maximum(found.counts, 0.5), np.linspace(0, 1, _NUM_BINS + 1), color=color
    )
    ax.child_axes[0].set_ylim(bottom=0.8)
    ax.legend(frameon=False, labelcolor=style.TEXT, loc="upper left")
    return ax
