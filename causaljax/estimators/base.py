"""What every estimator shares: parameters, one way to fit, learned attributes."""

import inspect
import time
import warnings
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from causaljax import frame
from causaljax.restarts import best_run
from causaljax.run import run
from causaljax.types import Array, Kernel, Posterior, Problem, PyTree

_NUM_CHUNKS = 20  # how often a progress bar moves


class Learned(NamedTuple):
    """What a method hands back to ``fit``, over variables and not yet columns."""

    graph: Array  # [d, d] bool, the one graph to show
    essential: Array  # [d, d] bool, both ways where a direction is not identified
    weights: Array | None  # [d, d] float, of the graph, in units of the problem
    posterior: Posterior
    info: dict[str, Any]


class BaseGraphEstimator(ABC):
    """A kernel behind scikit-learn's interface, over DataFrames.

    A subclass has a keyword-only ``__init__`` that stores its arguments, and
    ``_learn``; it may have ``_standardises``, ``_lenient``, ``_pooled`` and
    ``_double_precision`` besides.

    Attributes:
      edge_probabilities_: DataFrame ``[d, d]``, P(row causes column).
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, acyclic, row -> column.
      cpdag_: DataFrame ``[d, d]`` of 0 and 1, the class of graphs that the data
        cannot tell from ``adjacency_``; an undirected edge has a 1 at both places.
        Equal to ``adjacency_`` where directions are identified.
      weights_: DataFrame ``[d, d]``, the change of the column's variable for one
        unit of the row's, in the units of the table; 0 off the graph. Only of methods
        that estimate them.
      graph_: ``networkx.DiGraph``; edges carry ``probability``, ``weight`` and
        ``undirected``.
      posterior_: the method's ``Posterior``, as numpy arrays.
      info_: dict of diagnostics, with ``converged`` and the ``seconds`` of the fit.
      n_features_in_: d.
      feature_names_in_: the column names, if the table had strings for names.
    """

    progress: bool
    random_state: int

    @abstractmethod
    def _learn(self, problem: Problem, columns: frame.Columns) -> Learned:
        """Checks options, runs kernels; raises ValueError for a bad option."""

    def _standardises(self) -> bool:
        """Whether columns are brought to standard deviation 1 before the fit."""
        return True

    def _lenient(self) -> bool:
        """Whether the method reads missing cells and columns without variation."""
        return False

    def _pooled(self) -> bool:
        """Whether rows far from the others are nothing to speak of."""
        return False

    def _double_precision(self) -> bool:
        """Whether the method needs float64."""
        return False

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        interventions: Any = None,
        regimes: Any = None,
        knowledge: frame.Knowledge | None = None,
    ) -> Self:
        """Learns a causal graph from a table.

        Args:
          X: DataFrame or array ``[n, d]`` of finite numbers, or for some methods NaN
            where a cell is missing; not modified.
          y: ignored, as scikit-learn's pipelines pass it.
          interventions: a bool frame of X's shape, or for each row a column name, a
            list of them, or None.
          regimes: one label a row, None where unknown.
          knowledge: required and forbidden edges, tiers; obeyed exactly.

        Returns:
          The estimator itself.

        Raises:
          ValueError: naming the column, row, edge or option and the fix.
        """
        del y
        self._check_random_state()
        start = time.perf_counter()
        # The global flag stays as the user set it.
        double = jax.enable_x64(True) if self._double_precision() else nullcontext()
        with double:
            problem, columns = frame.to_problem(
                X,
                interventions=interventions,
                regimes=regimes,
                knowledge=knowledge,
                standardise=self._standardises(),
                lenient=self._lenient(),
                pooled=self._pooled(),
            )
            learned = self._learn(problem, columns)
            arrays = jax.tree.map(np.asarray, learned._replace(info={}))
        info = learned.info | {"seconds": time.perf_counter() - start}
        self._store(arrays._replace(info=info), columns, X)
        return self

    def _check_random_state(self):
        if not isinstance(self.random_state, int | np.integer):
            raise ValueError(f"random_state must be an int, not {self.random_state!r}")

    def _check_starts(self):
        # pyrefly: ignore [missing-attribute]
        starts = self.n_starts  # of those methods that have it
        if not isinstance(starts, int) or isinstance(starts, bool) or starts < 1:
            raise ValueError(
                f"n_starts must be a positive whole number, not {starts!r}"
            )

    def _given(self, *names: str) -> dict[str, Any]:
        """The named options that are set; the config's defaults serve for the rest."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def _run(
        self, kernel: Kernel, problem: Problem, config: PyTree, num_starts: int = 1
    ) -> tuple[Posterior, dict[str, Any]]:
        """Runs a kernel, with a progress bar if one is wanted; warns of failure."""
        key = jax.random.key(self.random_state)
        if num_starts > 1:
            posterior, last = best_run(kernel, key, problem, config, num_starts)
        elif self.progress:
            from rich.progress import Progress

            with Progress(transient=True) as bar:
                task = bar.add_task(type(self).__name__, total=config.num_steps)
                posterior, last = run(
                    kernel,
                    key,
                    problem,
                    config,
                    num_chunks=_NUM_CHUNKS,
                    on_chunk=lambda steps, _: bar.update(task, completed=steps),
                )
        else:
            posterior, last = run(kernel, key, problem, config)
        return posterior, self._diagnose(last)

    def _diagnose(self, last: Any) -> dict[str, Any]:
        """A run's last diagnostics as a dict; warns of failure."""
        info = {name: leaf.item() for name, leaf in last._asdict().items()}
        if info["nonfinite"]:
            warnings.warn(
                "the score is not finite: the graph is not to be trusted; look for "
                "columns of extreme scale",
                stacklevel=5,
            )
        elif not info["converged"]:
            warnings.warn("the fit has not converged; raise num_steps", stacklevel=5)
        return info

    def _store(self, learned: Learned, columns: frame.Columns, table: Any) -> None:
        """Sets the learned attributes, from arrays of numpy's."""
        weights = learned.weights
        if weights is not None:
            # From standard deviations back to the units of the table.
            weights = weights * columns.scales / columns.scales[:, None]
            self.weights_ = frame.to_frame(weights, columns)
        graph, edge_prob = learned.graph, learned.posterior.edge_prob
        self.posterior_ = learned.posterior
        self.edge_probabilities_ = frame.to_frame(edge_prob, columns)
        self.adjacency_ = frame.to_frame(graph.astype(int), columns)
        self.cpdag_ = frame.to_frame(learned.essential.astype(int), columns)
        self.graph_ = frame.to_networkx(
            graph, learned.essential, edge_prob, weights, columns
        )
        self.info_ = learned.info
        self.n_features_in_ = len(columns.names)
        names = getattr(table, "columns", None)
        if names is not None and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    # scikit-learn's contract, without importing scikit-learn.

    @classmethod
    def _parameter_names(cls):
        return sorted(set(inspect.signature(cls.__init__).parameters) - {"self"})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments as they stand; ``deep`` changes nothing."""
        del deep
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Changes constructor arguments.

        Raises:
          ValueError: if a name is not one of them.
        """
        names = self._parameter_names()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {names}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self):
        defaults = inspect.signature(type(self).__init__).parameters
        changed = ", ".join(
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default
        )
        return f"{type(self).__name__}({changed})"

    def __sklearn_tags__(self):
        # pyrefly: ignore [missing-module-attribute]
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(),
        )
