"""The regimes that a mixture of interventions found."""

from typing import Any

from causaljax.plot import style

_LEAST = 0.01  # share of the rows, below which a regime is not shown
_FEW = 14  # columns, up to which cells hold their numbers
_CELL = 0.34  # inches


def regimes(estimator: Any, *, ax: Any = None) -> Any:
    """Draws regimes: what each intervened on, and which rows are of it.

    On ``ax``, ``intervention_targets_``: regimes by columns, P(the regime disturbed the
    column). Right of it, over the same regimes, ``regime_probabilities_``: P(the row is
    of the regime), rows in their order. The share of the rows stands beside each
    regime. Regimes of less than a hundredth of the rows are left out, except the
    reference.

    Args:
      estimator: a fitted ``LatentInterventionDAG``.
      ax: matplotlib's Axes; a new figure if None.

    Returns:
      The Axes of the targets; those of the rows are the last of ``ax.figure.axes``.

    Raises:
      ValueError: if the estimator has no regimes.
      ImportError: without the extra ``plot``.
    """
    if not hasattr(estimator, "intervention_targets_"):
        raise ValueError(
            f"{type(estimator).__name__} has no regimes: fit a LatentInterventionDAG"
        )
    shares = estimator.regime_weights_
    shown = [
        name
        for name in estimator.intervention_targets_.index
        if shares[name] >= _LEAST or name == estimator.reference_
    ]
    targets = estimator.intervention_targets_.loc[shown]
    rows = estimator.regime_probabilities_[shown].to_numpy().T
    size, count = targets.shape[1], len(shown)
    ax = style.axes(ax, 2 * max(_CELL * size, 2) + 2.6, _CELL * count + 1.9)
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    image = ax.imshow(targets, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if size <= _FEW:
        style.number_cells(ax, targets.to_numpy())
    style.label_ticks(ax.xaxis, targets.columns, rotation=90, fontsize=8)
    reference = {estimator.reference_: ", reference"}
    texts = [
        f"{text}{reference.get(name, '')}: {shares[name]:.1%}"
        for name, text in zip(shown, style.labels(shown), strict=True)
    ]
    style.label_ticks(ax.yaxis, texts, most=50, fontsize=8)
    ax.set(xlabel="intervention targets", ylabel="regime: share of rows")

    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("probability")
    right = make_axes_locatable(ax).append_axes("right", "100%", 0.15, sharey=ax)
    right.imshow(
        rows, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    right.tick_params(labelleft=False)
    right.set_xlabel("rows, in their order")
    return ax
