"""What every estimator shares: parameters, one way to fit, learned attributes."""

import inspect
import time
import warnings
from typing import Any

import jax
import numpy as np

from causaljax import frame
from causaljax.run import run
from causaljax.types import Kernel, Problem, PyTree

_NUM_CHUNKS = 20  # how often a progress bar moves


class BaseGraphEstimator:
    """A kernel behind scikit-learn's interface, over DataFrames.

    A subclass has a keyword-only ``__init__`` that stores its arguments, and
    ``_configure``; both are all it has.

    Attributes:
      edge_probabilities_: DataFrame ``[d, d]``, P(row causes column).
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, acyclic, row -> column.
      weights_: DataFrame ``[d, d]``, the change of the column's variable for one
        unit of the row's, in the units of the table; 0 off the graph.
      graph_: ``networkx.DiGraph``; edges carry ``probability`` and ``weight``.
      posterior_: the kernel's ``Posterior``, as numpy arrays.
      info_: dict of diagnostics, with ``converged`` and the ``seconds`` of the fit.
      n_features_in_: d.
      feature_names_in_: the column names, if the table had strings for names.
    """

    progress: bool
    random_state: int

    def _configure(self, problem: Problem) -> tuple[Kernel, PyTree]:
        """Picks the kernel and its config; raises ValueError for a bad option."""
        raise NotImplementedError

    def _standardises(self) -> bool:
        """Whether columns are brought to standard deviation 1 before the fit."""
        return True

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        interventions: Any = None,
        regimes: Any = None,
        knowledge: frame.Knowledge | None = None,
    ) -> "BaseGraphEstimator":
        """Learns a causal graph from a table.

        Args:
          X: DataFrame or array ``[n, d]`` of finite numbers; not modified.
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
        if not isinstance(self.random_state, int | np.integer):
            raise ValueError(f"random_state must be an int, not {self.random_state!r}")
        problem, columns = frame.to_problem(
            X,
            interventions=interventions,
            regimes=regimes,
            knowledge=knowledge,
            standardise=self._standardises(),
        )
        kernel, config = self._configure(problem)
        start = time.perf_counter()
        posterior, info = self._run(kernel, problem, config)
        posterior, info = jax.tree.map(np.asarray, (posterior, info))
        seconds = time.perf_counter() - start
        self._store(posterior, info, columns, seconds)
        self.n_features_in_ = len(columns.names)
        names = getattr(X, "columns", None)
        if names is not None and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _run(self, kernel, problem, config):
        key = jax.random.key(self.random_state)
        if not self.progress:
            return run(kernel, key, problem, config)
        from rich.progress import Progress

        with Progress(transient=True) as bar:
            task = bar.add_task(f"{type(self).__name__}", total=config.num_steps)
            return run(
                kernel,
                key,
                problem,
                config,
                num_chunks=_NUM_CHUNKS,
                on_chunk=lambda steps, _: bar.update(task, completed=steps),
            )

    def _store(self, posterior, info, columns, seconds):
        best = int(np.argmax(posterior.log_weight))
        graph = posterior.graphs[best]
        # From standard deviations back to the units of the table.
        scales = columns.scales
        weights = posterior.extra["weights"][best] * scales / scales[:, None]
        self.posterior_ = posterior
        self.edge_probabilities_ = frame.to_frame(posterior.edge_prob, columns)
        self.adjacency_ = frame.to_frame(graph.astype(int), columns)
        self.weights_ = frame.to_frame(weights, columns)
        self.graph_ = frame.to_networkx(graph, posterior.edge_prob, weights, columns)
        self.info_ = {name: leaf.item() for name, leaf in info._asdict().items()}
        self.info_["seconds"] = seconds
        if self.info_["nonfinite"]:
            warnings.warn(
                "the loss is not finite: the graph is not to be trusted; look for "
                "columns of extreme scale",
                stacklevel=3,
            )
        elif not self.info_["converged"]:
            warnings.warn(
                "the fit has not converged; raise num_steps or lower learning_rate",
                stacklevel=3,
            )

    # scikit-learn's contract, without importing scikit-learn.

    @classmethod
    def _parameter_names(cls):
        return sorted(set(inspect.signature(cls.__init__).parameters) - {"self"})

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments as they stand; ``deep`` changes nothing."""
        del deep
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> "BaseGraphEstimator":
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
