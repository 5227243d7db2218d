"""Total effects with the doubt of the graph and of the weights."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array, make_problem
from causaljax.scores import bge_weights


class EffectPosterior(NamedTuple):
    """Draws of the effect of one more unit of the cause on the mean of the outcome."""

    mean: float
    interval: tuple[float, float]  # central, of the level asked for
    draws: np.ndarray  # [s] float, one for each graph


def averaged_effects(
    key: Array,
    graphs: ArrayLike,
    x: ArrayLike,
    cause: int,
    outcome: int,
    *,
    intervened: ArrayLike | None = None,
    level: float = 0.9,
) -> EffectPosterior:
    """The posterior of a total effect, averaged over graphs, for linear equations.

        d E[x_outcome | do(x_cause = a)] / d a = ((I - W)^-1)[cause, outcome]

    Each graph has one draw of its weights W from their exact posterior
    (``scores.bge_weights``), so draws are of graphs and weights together. An interval
    of graphs that agree is that of the weights; where most graphs have no path, it
    holds 0.

    Args:
      key: typed key.
      graphs: ``[s, d, d]`` bool, draws from a posterior, each counting alike. Repeat
        the graph s times where it is known.
      x: ``[n, d]`` float, without gaps, in any units.
      cause: its place among the columns.
      outcome: its place.
      intervened: ``[n, d]`` bool, cells that were set from outside.
      level: of the interval, above 0 and below 1.

    Returns:
      Mean, interval and draws, in units of the outcome per unit of the cause.

    Raises:
      ValueError: if a shape does not fit, x has a gap, or a column does not vary.

    Example: Along a -> b -> c.
      >>> import jax
      >>> rng = np.random.default_rng(0)
      >>> a = rng.normal(size=400)
      >>> b = 2 * a + rng.normal(size=400)
      >>> c = 0.5 * b + rng.normal(size=400)
      >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> graphs = np.repeat(chain[None], 500, axis=0)
      >>> x = np.stack([a, b, c], axis=1)
      >>> found = averaged_effects(jax.random.key(0), graphs, x, 0, 2)
      >>> found.interval[0] < 1 < found.interval[1]
      True
    """
    x, graphs = np.asarray(x, float), np.asarray(graphs, bool)
    if x.ndim != 2 or graphs.ndim != 3 or graphs.shape[1:] != (x.shape[1],) * 2:
        raise ValueError(
            f"graphs have the shape {graphs.shape}, x {x.shape}: [s, d, d] and [n, d] "
            "fit together"
        )
    if not 0 < level < 1:
        raise ValueError(f"level must be above 0 and below 1, not {level!r}")
    spread = x.std(axis=0)
    bad = np.flatnonzero(~(np.isfinite(spread) & (spread > 0)))
    if len(bad):
        raise ValueError(
            f"column {bad[0]} of x has a gap or does not vary: fill it or leave it out"
        )
    problem = make_problem((x - x.mean(axis=0)) / spread, intervened=intervened)
    total = np.asarray(_draw(key, graphs, problem), float)[:, cause, outcome]
    draws = total * spread[outcome] / spread[cause]
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return EffectPosterior(float(draws.mean()), (float(low), float(high)), draws)


@quick_jit
def _draw(key, graphs, problem):
    return bge_weights.total_effects(bge_weights.draw_weights(key, graphs, problem))
