"""How a fit went."""

from typing import Any

import numpy as np

from causaljax.plot import style

_COLORS = {"loss": style.BLUE, "equations_loss": style.GREEN}
_OTHER = style.VERMILION


def convergence(estimator: Any, *, ax: Any = None) -> Any:
    """Draws the losses of a fit by its steps, ``info_["history"]``.

    Args:
      estimator: a fitted one.
      ax: matplotlib's Axes; a new figure if None.

    Returns:
      The Axes: a line for each loss, nats a row (of least squares, half squares).

    Raises:
      ValueError: if the fit had one step only or its file kept no history.
      ImportError: without the extra ``plot``.
    """
    history = estimator.info_.get("history", {"step": []})
    if len(history["step"]) < 2:
        raise ValueError(
            f"this {type(estimator).__name__} has no history to draw: its method "
            "takes one step, or it was saved by an earlier version"
        )
    ax = style.axes(ax, 6, 3.6)
    for name, values in history.items():
        if name == "loss" or name.endswith("_loss"):
            cells = np.array(values, float)  # None is NaN
            color = _COLORS.get(name, _OTHER)
            ax.plot(
                history["step"],
                cells,
                color=color,
                label=name.replace("_", " "),
                marker="o" if np.isfinite(cells).sum() <= 30 else None,
                markersize=3,
            )
    ax.set(xlabel="step", ylabel="loss a row")
    ax.legend(frameon=False, labelcolor=style.TEXT)
    return ax
