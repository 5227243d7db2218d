"""An effect, its interval, and in words what both rest on."""

import dataclasses
import html

import numpy as np
import scipy.special

from causaljax.effects.regression import Fit
from causaljax.reports.summary import spelled

_HALVINGS = 60  # of the range in which a quantile lies
_FAR = 40.0  # standard errors beyond which nothing lies


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """The total effect of a cause on an outcome; ``print`` it.

    Attributes:
      cause: the column that is set from outside.
      outcome: the column whose mean, or probability of a class, is asked about.
      change: of the cause, in words.
      unit: of the estimate, in words.
      identified: whether the graph tells the effect.
      reaches: whether a directed path leads from cause to outcome in the graph, or may.
      estimate: E[outcome | do(cause = b)] - E[outcome | do(cause = a)]; of an outcome
        of classes the difference of the probabilities of ``outcome_class``. None if the
        effect is not identified.
      interval: (low, high), or None.
      level: the probability with which the interval is meant to hold the effect.
      reason: why the effect is not identified, or "".
      possible: the effects that members of the class of graphs give, rising, where open
        directions are the reason; else empty.
      adjusted_for: the columns held fixed, in the one graph found; None where no
        directed path leads from cause to outcome, or where structural equations answer.
      method: what estimated the effect.
      covers: what the interval takes into account.
      values: (a, b), if they were given or follow from the column.
      outcome_class: of an outcome of classes, else None.
      rows: that the estimate in the one graph found is from.
      warnings: a sentence each.
    """

    cause: str
    outcome: str
    change: str
    unit: str
    identified: bool
    reaches: bool
    estimate: float | None
    interval: tuple[float, float] | None
    level: float
    reason: str = ""
    possible: tuple[float, ...] = ()
    adjusted_for: tuple[str, ...] | None = None
    method: str = ""
    covers: str = ""
    values: tuple | None = None
    outcome_class: object = None
    rows: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """All of it in words, a sentence each."""
        what = f"Effect of {self.cause!r} on {self.unit}, {self.change}"
        if self.estimate is None or self.interval is None:
            said = [f"{what}: not identified, as {self.reason}."]
            if self.possible:
                listed = ", ".join(f"{number:.4g}" for number in self.possible)
                said.append(f"Possible effects, by the open directions: {listed}.")
        else:
            low, high = self.interval
            said = [
                f"{what}: {self.estimate:.4g} ({100 * self.level:g} % interval "
                f"{low:.4g} to {high:.4g})."
            ]
            if not self.reaches:
                said.append(
                    "In the graph no directed path leads from cause to outcome."
                )
            if self.adjusted_for is not None:
                held = ", ".join(repr(name) for name in self.adjusted_for) or "nothing"
                said.append(f"Adjusted for: {held}.")
            said.append(f"Estimated by {self.method}, from {self.rows} rows.")
            said.append(f"The interval covers {self.covers}.")
        return said + [f"Caution: {words}." for words in self.warnings]

    def __str__(self):
        return "\n".join(spelled(line) for line in self.sentences)

    def _repr_html_(self):
        lines = (html.escape(spelled(line)) for line in self.sentences)
        return "\n".join(f"<p>{line}</p>" for line in lines)


def interval(fits: list[Fit], weights: np.ndarray, level: float) -> tuple[float, float]:
    """The central interval of a mixture of estimates.

        F(v) = sum_i w_i T_i((v - b_i) / s_i),    from F = (1 - level) / 2 to 1 - that

    T_i is Student's t of the fit's degrees of freedom, b_i its estimate and s_i its
    standard error, where that is 0 a step. One fit gives the usual interval.

    Args:
      fits: one a graph.
      weights: their shares, of sum 1.
      level: of the interval, above 0 and below 1.

    Returns:
      (low, high).

    Example:
      >>> sure, none = Fit(1.0, 0.0, 9), Fit(0.0, 0.0, 9)
      >>> interval([sure, none], np.array([0.5, 0.5]), level=0.9)
      (0.0, 1.0)
    """
    centre, error, freedom = (
        np.array(parts, float) for parts in zip(*fits, strict=True)
    )
    step = error == 0
    scale = np.where(step, 1, error)

    def share(value):
        below = scipy.special.stdtr(freedom, (value - centre) / scale)
        return float(weights @ np.where(step, value >= centre, below))

    def quantile(wanted):
        for place in np.unique(centre[step]):
            jump = float(weights[step & (centre == place)].sum())
            if share(place) - jump < wanted <= share(place):
                return float(place)
        # Student's t of few degrees of freedom has its ends farther out.
        far = np.maximum(_FAR, np.abs(scipy.special.stdtrit(freedom, wanted)))
        low, high = (centre - far * error).min(), (centre + far * error).max()
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if share(middle) >= wanted else (middle, high)
        return float(high)

    tail = (1 - level) / 2
    return quantile(tail), quantile(1 - tail)
