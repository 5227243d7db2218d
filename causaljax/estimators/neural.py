"""Neural structural equations."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from causaljax.core.compiling import quick_jit
from causaljax.core.options import check_options
from causaljax.core.problem import padded_size
from causaljax.effects.question import Question, outside
from causaljax.effects.regression import Fit
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.estimators.cost import Cost
from causaljax.kernels import neural
from causaljax.kernels.neural import candidates, equations, pruning
from causaljax.mechanisms import last_layer, mlp
from causaljax.tables import frame, notices
from causaljax.tables.knowledge import suggest

_DRAWS, _DRAWN_ROWS = 100, 2000  # of networks for an interval, and of rows of each
_FAR = 0.5  # nats a column between fitted rows and rows held out, to speak of
_OPTIONS = "learning_rate", "hidden", "layers", "num_updates", "batch_size"


class NeuralDAG(BaseGraphEstimator):
    """A causal graph whose equations are neural networks, and the equations.

    Candidate edges come from a trained network (``AmortizedDAG``) and a search for
    linear relations (``LinearDAG``), which between them give an order of the variables
    and a surplus of edges. Regression networks over the candidates are fitted, and
    parents without effect are removed (``causaljax.kernels.neural.pruning``). Then the
    structural equations of the graph are trained by likelihood
    (``causaljax.kernels.neural.equations``); they answer ``score``, ``sample`` and
    ``average_causal_effect``.

    Args:
      noise: "gaussian", of one scale a variable; "heteroscedastic", of a scale that
        depends on the parents; "flow", of a shape that does.
      intervention: what ``interventions`` did. "perfect" ones cut the variable off
        from its causes; "imperfect" ones changed how it answers to them, differently
        in each regime (without ``regimes``, in each set of targets).
      prior: probabilities of edges beforehand: a DataFrame or array ``[d, d]``, causes
        as rows, or a function of a cause and an effect. Their log-odds are added to
        those of the candidates above; .5 changes nothing, 0 rules an edge out; see
        ``causaljax.tables.priors``.
      min_effect: what an edge must do, between standard deviations of the columns
        and those of their noise; see ``causaljax.kernels.neural.pruning``.
      learning_rate: Adam's, for the equations, at the beginning.
      hidden: units a layer of the equations' networks.
      layers: how many; with 0 the equations are linear.
      num_updates: updates of the networks.
      batch_size: rows an update.
      n_starts: how many times curves and equations are begun; the start whose graph
        has the least loss is kept.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    All options left at None are the kernel's own.

    Attributes:
      networks_: ``mechanisms.mlp.Params`` of the equations, over standardised columns.
      effects_: DataFrame ``[d, d]``, what each candidate edge does, in the units of
        ``min_effect``; of a removed one what it did when last measured.

    ``edge_probabilities_`` say how clearly an edge's effect is above or below the bar,
    and ``cpdag_`` equals ``adjacency_``. There are no ``weights_``.

    Sources: as in the kernel.

    Example:
      >>> import numpy as np
      >>> from causaljax import NeuralDAG
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.normal(size=500)
      >>> table = np.stack([cause, np.sin(cause) + 0.1 * rng.normal(size=500)], axis=1)
      >>> model = NeuralDAG().fit(table)  # doctest: +SKIP
      >>> model.sample(1000, do={"x0": 1.5}).mean()  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        noise="heteroscedastic",
        intervention="perfect",
        prior=None,
        min_effect=None,
        learning_rate=None,
        hidden=None,
        layers=None,
        num_updates=None,
        batch_size=None,
        n_starts=1,
        progress=None,
        random_state=0,
    ):
        self.noise = noise
        self.intervention = intervention
        self.prior = prior
        self.min_effect = min_effect
        self.learning_rate = learning_rate
        self.hidden = hidden
        self.layers = layers
        self.num_updates = num_updates
        self.batch_size = batch_size
        self.n_starts = n_starts
        self.progress = progress
        self.random_state = random_state

    def _reads_regimes(self):
        return self.intervention == "imperfect"

    def _fit_problem(self, problem, columns, bar):
        self._check_starts()
        config = neural.Config(
            pruning=pruning.Config(**self._set_options("min_effect")),
            equations=equations.Config(
                noise=self.noise,
                intervention=self.intervention,
                **self._set_options(*_OPTIONS),
            ),
        )
        check_options(config)
        if self.intervention == "imperfect":
            config, problem = _labelled(config, problem)
        bar.stage("candidate edges")
        prior = self._prior(problem, columns)
        posterior, info = self._run(
            neural.KERNEL,
            problem,
            dataclasses.replace(config, prior=prior),
            bar,
            num_starts=self.n_starts,
            stage="graph and equations",
        )
        fitted, held_out = (info[f"{name}_loss"] for name in ("equations", "held_out"))
        if held_out - fitted > _FAR * len(columns.names):
            notices.warn(
                f"rows that were held out have {held_out - fitted:.1f} nats a row less "
                "than those that the equations learned from: they do not hold for new "
                'rows; take noise="gaussian", fewer hidden units, or more rows',
                stacklevel=4,
            )
        info["edge_probabilities"] = "score"
        graph = posterior.graphs[0]
        return FitResult(graph, graph, None, posterior, info)

    def _cost(self, rows, columns):
        # Curves are fitted on 4,096 rows at most (scripts/bench_scale.py curve).
        seconds = 11 * (columns / 20) ** 2 * (0.3 + 0.7 * min(rows / 4096, 1))
        return Cost(seconds, 0.5 + 8 * 12 * rows * columns / 2**30)

    def _prior(self, problem, columns):
        """Probabilities of candidate edges, with what the user believes of them."""
        given = self._given_prior(columns)
        key = neural.candidate_key(jax.random.key(self._seed))
        found = candidates.shipped_candidates(bool(problem.intervened.any()))
        return np.asarray(candidates.candidate_edges(key, problem, found, given))

    def _notes(self):
        nats = -self.info_["held_out_loss"]
        yield f"Mean log-likelihood of rows held out: {nats:.3f} nats a row."
        yield (
            "Probabilities are scores: how far an edge's effect is above the bar; they "
            "are not calibrated."
        )

    def _relabelled_extra(self, extra, places):
        networks = mlp.take_variables(extra.pop("networks"), places)
        return super()._relabelled_extra(extra, places) | {"networks": networks}

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra = learned.posterior.extra
        self.networks_ = extra["networks"]
        self.effects_ = pd.DataFrame(
            np.asarray(extra["effects"]), index=columns.names, columns=columns.names
        )
        self._columns = columns

    def score(self, X: Any, y: Any = None, *, interventions: Any = None) -> float:
        """Mean log-likelihood of rows, of all their cells together.

        On rows that ``fit`` has not seen it tells how well the graph and its equations
        explain them; it is no measure of the graph alone.

        Args:
          X: as ``fit`` takes it, with the same columns.
          y: ignored.
          interventions: as ``fit`` takes it; cells that were set count for nothing.

        Returns:
          Nats a row, in the units of the columns.

        Raises:
          ValueError: as ``fit``, or if the columns are not those of ``fit``.
          AttributeError: if the estimator has not been fitted.
        """
        del y
        networks, graph, columns = self._equations()
        problem = frame.to_rows(X, columns, interventions=interventions)
        density = np.asarray(_log_density(networks, graph, problem.x)[0], np.float64)
        cells = np.where(problem.intervened, 0, density - np.log(columns.scales))
        return float(cells[problem.weight > 0].sum(axis=1).mean())

    def sample(
        self, n: int = 1000, *, do: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """Rows that the fitted equations give, after an intervention or without one.

        Args:
          n: how many.
          do: values that columns are set to from outside, in their units. One fit and
            the same ``n`` give the same noise whatever is set, so that two tables
            differ by the intervention alone.

        Returns:
          DataFrame ``[n, d]`` in the units of the columns.

        Raises:
          ValueError: if a name is not a column's, a value not a finite number or ``n``
            not a positive whole number.
          AttributeError: if the estimator has not been fitted.

        Warns:
          UserWarning: of values outside the table of the fit.
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise ValueError(f"n must be a positive whole number, not {n!r}")
        networks, graph, columns = self._equations()
        done = np.zeros(len(columns.names), bool)
        values = np.array(columns.means)
        for name, value in (do or {}).items():
            name = str(name)  # as columns are named
            if name not in columns.names:
                hint = suggest(name, columns.names)
                raise ValueError(f"do names an unknown column {name!r}; {hint}")
            place = columns.names.index(name)
            if isinstance(value, bool) or not np.isscalar(value) or not _finite(value):
                raise ValueError(f"do sets {name!r} to {value!r}; give a finite number")
            done[place], values[place] = True, value
            if columns.ranges is not None:
                for words in outside(name, [values[place]], *columns.ranges[place]):
                    warnings.warn(words, stacklevel=2)
        scaled = (values - columns.means) / columns.scales
        dtype = networks.log_scale.dtype
        key = jax.random.fold_in(jax.random.key(self.info_["seed"]), 2)
        rows = _sample(key, networks, graph, int(n), done, jnp.asarray(scaled, dtype))
        rows = np.asarray(rows, np.float64) * columns.scales + columns.means
        rows[:, done] = values[done]  # to the last digit
        return pd.DataFrame(rows, columns=list(columns.names))

    def average_causal_effect(
        self, cause: str, values: Sequence[float], *, n: int = 10_000
    ) -> pd.Series:
        """E[x | do(cause = b)] - E[x | do(cause = a)] of every column x.

        Args:
          cause: a column.
          values: (a, b), in the cause's units.
          n: rows that the means are taken over; see ``sample``.

        Returns:
          One number a column, in its units; 0 for all that the cause does not reach.

        Raises:
          ValueError: as ``sample``, or if ``values`` are not two.
        """
        if len(values) != 2:
            raise ValueError(f"values must be a pair (a, b), not {values!r}")
        low, high = (self.sample(n, do={cause: value}).mean() for value in values)
        return high - low

    def _structural_effect(self, cells, hit):
        networks, graph, columns = self._equations()
        whole = ~np.isnan(cells).any(axis=1)
        number = int(whole.sum())

        def padded(rows):
            size = padded_size(number), cells.shape[1]
            filled = np.zeros(size, networks.log_scale.dtype)
            filled[:number] = rows[whole]
            return filled

        def fit(asked: Question) -> Fit:
            i, j = asked.cause, asked.outcome
            if asked.outcome_code is not None and len(columns.levels[j]) > 2:
                raise ValueError(
                    f"effect: {columns.names[j]!r} has more than two classes, which "
                    "NeuralDAG reads as numbers: take MixedDAG or AmortizedDAG"
                )
            start = float(np.nanmean(cells[:, i]))
            values = np.array(asked.values or (start, start + 1))
            draws = _effect_draws(
                jax.random.fold_in(jax.random.key(self.info_["seed"]), 3),
                networks,
                graph,
                padded((cells - columns.means) / columns.scales),
                padded(~hit),
                np.arange(len(graph)) == i,
                (values - columns.means[i]) / columns.scales[i],
                num_draws=_DRAWS,
                num_rows=_DRAWN_ROWS,
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # ``effect`` tells of the range
                found = self.average_causal_effect(columns.names[i], [*values])
            sign = -1 if asked.outcome_code == 0 else 1  # P(the first class)
            spread = float(np.asarray(draws, np.float64)[:, j].std(ddof=1))
            return Fit(
                sign * float(found.iloc[j]), spread * columns.scales[j], len(cells)
            )

        return fit

    def _equations(self):
        if not hasattr(self, "networks_"):
            raise AttributeError("fit a table before asking for its equations")
        return self.networks_, self.posterior_.graphs[0], self._columns


def _finite(value):
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def _labelled(config, problem):
    """Config and problem with the regimes that networks are dealt out to."""
    regime = np.asarray(problem.regime)
    if not (regime >= 0).any():
        # A regime for each set of targets.
        hit = np.asarray(problem.intervened)
        regime = np.unique(hit, axis=0, return_inverse=True)[1]
    targets = pd.DataFrame(np.asarray(problem.intervened)).groupby(regime).any()
    trained = dataclasses.replace(
        config.equations,
        # A power of two: tables of other numbers of regimes share the program.
        num_regimes=1 << int(regime.max()).bit_length(),
        num_targeted=max(int(targets.to_numpy().sum(axis=0).max()), 1),
    )
    config = dataclasses.replace(config, equations=trained)
    return config, problem._replace(regime=regime.astype(np.int32))


_log_density = quick_jit(mlp.log_density)
_sample = quick_jit(mlp.sample, static_argnames="num_rows")
_effect_draws = quick_jit(
    last_layer.effect_draws, static_argnames=("num_draws", "num_rows")
)
