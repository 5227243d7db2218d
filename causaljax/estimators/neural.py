"""Neural structural equations."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from causaljax import frame
from causaljax.compiling import quick_jit
from causaljax.estimators.base import BaseGraphEstimator, Learned
from causaljax.kernels import amortized, neural, order, pruning
from causaljax.models import mlp
from causaljax.run import run
from causaljax.types import Problem
from causaljax.weights import kernel_config, load_weights

_START = 0.6, 0.4  # how much the trained network and the linear search are believed
_OPTIONS = "learning_rate", "hidden", "layers", "num_updates", "batch_size"


class NeuralDAG(BaseGraphEstimator):
    """A causal graph whose equations are neural networks, and the equations.

    Begins with what a trained network (``AmortizedDAG``) and a search on linear
    relations (``LinearDAG``) find at once: the order, and a surplus of candidate edges.
    Curves over the candidates are fitted down to their noise, and edges of little
    effect dropped (``causaljax.kernels.pruning``). The equations of the graph that is
    left are trained by likelihood (``causaljax.kernels.neural``), and can be asked:
    ``score``, ``sample``, ``average_causal_effect``.

    Args:
      least_effect: what an edge must do, between standard deviations of the columns
        and those of their noise; see the kernel.
      noise: "gaussian", of one scale a variable; "heteroscedastic", of a scale that
        depends on the parents; "flow", of a shape that does.
      intervention: what ``interventions`` did. "perfect" ones cut the variable off
        from its causes; "imperfect" ones changed how it answers to them, differently
        in each regime (without ``regimes``, in each set of targets).
      learning_rate: Adam's, for the equations, at the beginning.
      hidden: units a layer of the equations' networks.
      layers: how many; with 0 the equations are linear.
      num_updates: updates of the networks.
      batch_size: rows an update.
      n_starts: how many times curves and equations are begun; of either the ones of
        least loss are kept.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    All options left at None are the kernels' own.

    Attributes:
      networks_: ``models.mlp.Params`` of the equations, over standardised columns.
      effects_: DataFrame ``[d, d]``, what each candidate edge does, in the units of
        ``least_effect``; of a dropped one what it did when last measured.

    ``edge_probabilities_`` say how clearly an edge's effect is above or below the bar,
    and ``cpdag_`` equals ``adjacency_``. There are no ``weights_``.

    Sources: as in the two kernels.

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
        least_effect=None,
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
        self.least_effect = least_effect
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

    def _learn(self, problem, columns, bar):
        del columns
        self._check_starts()
        pruned = pruning.Config(**self._given("least_effect"))
        fitted = neural.Config(
            num_steps=1,
            noise=self.noise,
            interventions=self.intervention,
            **self._given(*_OPTIONS),
        )
        pruning.check_config(pruned)
        neural.check_config(fitted)
        bar.stage("candidate edges")
        start = _start(problem, self._seed).astype(problem.x.dtype)
        config = dataclasses.replace(pruned, start=start)
        posterior, info = self._run(
            pruning.KERNEL,
            problem,
            config,
            bar,
            num_starts=self.n_starts,
            stage="graph",
        )

        # The networks of just this graph: there is nothing left to search.
        graph: Any = np.asarray(posterior.graphs[0])
        if self.intervention == "imperfect":
            fitted, problem = _labelled(fitted, problem)
        settled = problem._replace(allowed=graph, required=graph)
        equations, trained = self._run(
            neural.KERNEL,
            settled,
            fitted,
            bar,
            num_starts=self.n_starts,
            stage="equations",
        )

        used = {
            "pruning": dataclasses.asdict(pruned),
            "equations": dataclasses.asdict(fitted),
        }
        del used["pruning"]["start"], used["equations"]["start"]  # matrices, or None
        info |= {"loss": trained["loss"], "config": used}
        extra = posterior.extra | equations.extra
        return Learned(graph, graph, None, posterior._replace(extra=extra), info)

    def _relabelled_extra(self, extra, places):
        networks = mlp.take_variables(extra["networks"], places)
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
        """
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
            raise ValueError(f"n must be a positive whole number, not {n!r}")
        networks, graph, columns = self._equations()
        done = np.zeros(len(columns.names), bool)
        values = np.array(columns.means)
        for name, value in (do or {}).items():
            name = str(name)  # as columns are named
            if name not in columns.names:
                hint = frame.suggest(name, columns.names)
                raise ValueError(f"do names an unknown column {name!r}; {hint}")
            place = columns.names.index(name)
            if isinstance(value, bool) or not np.isscalar(value) or not _finite(value):
                raise ValueError(f"do sets {name!r} to {value!r}; give a finite number")
            done[place], values[place] = True, value
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
    regime = _regimes(problem)
    targets = pd.DataFrame(np.asarray(problem.intervened)).groupby(regime).any()
    config = dataclasses.replace(
        config,
        # A power of two: tables of other numbers of regimes share the program.
        num_regimes=1 << int(regime.max()).bit_length(),
        num_targeted=max(int(targets.to_numpy().sum(axis=0).max()), 1),
    )
    return config, problem._replace(regime=regime.astype(np.int32))


def _regimes(problem):
    """A label for each row: the caller's, or one for each set of targets."""
    regime = np.asarray(problem.regime)
    if (regime >= 0).any():
        return regime
    return np.unique(np.asarray(problem.intervened), axis=0, return_inverse=True)[1]


def _start(problem: Problem, seed: int) -> np.ndarray:
    """Probabilities of edges from the two methods that need no search of their own."""
    key_network, key_linear = jax.random.split(jax.random.key(seed))
    network = kernel_config(load_weights("pair-v1"))
    learned, _ = run(amortized.KERNEL, key_network, problem, network)
    hit = bool(problem.intervened.any())
    with jax.enable_x64(True):
        x: Any = np.asarray(problem.x, np.float64)
        weight: Any = np.asarray(problem.weight, np.float64)
        double = problem._replace(x=x, weight=weight)
        config = order.Config(interventional=hit)
        linear, _ = run(order.KERNEL, key_linear, double, config)
        linear = np.asarray(linear.graphs[0])
    one, other = _START
    return one * np.asarray(learned.edge_prob) + other * linear


_log_density = quick_jit(mlp.log_density)
_sample = quick_jit(mlp.sample, static_argnames="num_rows")
