"""Linear structural equations."""

import dataclasses
from typing import Any

import jax
import numpy as np

from causaljax import sortability
from causaljax.bootstrap import bootstrap, direction_probabilities
from causaljax.compiling import quick_jit
from causaljax.estimators.base import BaseGraphEstimator, Learned
from causaljax.graphs.ops import decided_pairs, essential_graph
from causaljax.kernels import dagma, order

_NOISES = ("auto", "gaussian", "nongaussian", "equal_variance")
_DESCENT = (
    "acyclicity",
    "sparsity",
    "concavity",
    "start_scale",
    "threshold",
    "learning_rate",
)
_SEARCH = ("penalty", "perturb")


class LinearDAG(BaseGraphEstimator):
    """A linear causal graph, x_j = sum_i w_ij x_i + e_j.

    Searches over orders of the variables for the best penalised likelihood
    (``causaljax.kernels.order``). The older way, descent under an acyclicity penalty
    (``causaljax.kernels.dagma``: NOTEARS, GOLEM, DAGMA), is taken for
    ``noise="equal_variance"`` or when ``acyclicity`` is named; options of the one
    are errors with the other.

    Args:
      noise: "gaussian" identifies an equivalence class, see ``cpdag_``.
        "nongaussian" identifies the graph. "auto" begins with Gaussian noise and
        goes on to non-Gaussian where the residuals' negentropy earns more likelihood
        than the BIC of two parameters a variable: ``info_["noise"]`` tells which was
        taken, ``info_["nongaussian_evidence"]`` by how many nats. "equal_variance"
        identifies the graph if all noise has one variance in the columns as given,
        and follows their units if not; it is never chosen for you.
      penalty: nats an edge costs, in units of the BIC's log(n)/2; 2 if None.
      perturb: how many variables a step moves at random; 8 if None.
      acyclicity: "logdet" (DAGMA), "expm" (NOTEARS) or "spectral".
      sparsity: weight of the summed absolute coefficients; 0.06 if None.
      concavity: 0, or None, prices absolute coefficients; above 0 the price grows
        ever slower and is level from sparsity / concavity on (minimax concave).
      start_scale: standard deviation of the coefficients that the descent starts
        from; 0 if None.
      n_starts: how many starts of the descent, of which the best is kept; 1 if None.
      threshold: edges of smaller absolute coefficient are dropped, in standard
        deviations or for equal variances in the units of the columns; 0.3 if None.
      learning_rate: size of the first steps; 0.01 if None.
      num_steps: length of the search or descent; the kernel's own if None.
      n_bootstrap: refits on resampled rows from which ``edge_probabilities_`` are
        counted; 0 for none.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Sources: as in the kernels.

    Example:
      >>> import numpy as np
      >>> from causaljax import LinearDAG
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.uniform(size=500)
      >>> table = np.stack([cause, cause + rng.uniform(size=500)], axis=1)
      >>> model = LinearDAG().fit(table)
      >>> model.adjacency_.to_numpy().tolist(), model.info_["noise"]
      ([[0, 1], [0, 0]], 'nongaussian')
    """

    def __init__(
        self,
        *,
        noise="auto",
        penalty=None,
        perturb=None,
        acyclicity=None,
        sparsity=None,
        concavity=None,
        start_scale=None,
        n_starts=None,
        threshold=None,
        learning_rate=None,
        num_steps=None,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.noise = noise
        self.penalty = penalty
        self.perturb = perturb
        self.acyclicity = acyclicity
        self.sparsity = sparsity
        self.concavity = concavity
        self.start_scale = start_scale
        self.n_starts = n_starts
        self.threshold = threshold
        self.learning_rate = learning_rate
        self.num_steps = num_steps
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _descends(self):
        return self.noise == "equal_variance" or self.acyclicity is not None

    def _standardises(self):
        return self.noise != "equal_variance"

    def _double_precision(self):
        return not self._descends()

    def _learn(self, problem, columns, bar):
        kernel, config = self._method(problem)
        posterior, info = self._run(
            kernel, problem, config, bar, num_starts=self.n_starts or 1
        )
        noise = self.noise
        if noise == "auto":
            found = info["nongaussian_evidence"] > 0
            noise = "nongaussian" if found else "gaussian"
        elif noise == "gaussian":
            info.pop("nongaussian_evidence", None)  # not asked for, not measured
        info["noise"] = noise

        graph: Any = np.asarray(posterior.graphs[0])
        score_equivalent = noise == "gaussian"
        essential: Any = graph
        if score_equivalent:
            essential = np.asarray(_essential(graph, problem))
            either: Any = essential
            probabilities = direction_probabilities(either)
            posterior = posterior._replace(
                edge_prob=probabilities.astype(posterior.edge_prob.dtype)
            )
        weights = posterior.extra["weights"][0]
        if self.n_bootstrap:
            bar.stage(f"{self.n_bootstrap} bootstrap replicates")
            posterior = bootstrap(
                kernel,
                jax.random.fold_in(jax.random.key(self._seed), 1),
                problem,
                # The noise is chosen once, from all rows.
                dataclasses.replace(config, noise=noise),
                self.n_bootstrap,
                score_equivalent=score_equivalent,
            )
        info |= _sortability(graph, problem, columns)
        info["config"] = dataclasses.asdict(config)
        return Learned(graph, essential, weights, posterior, info)

    def _method(self, problem):
        """The kernel and its config, once the options are known to fit together."""
        if self.noise not in _NOISES:
            raise ValueError(
                f"noise must be one of {list(_NOISES)}, not {self.noise!r}"
            )
        if not isinstance(self.n_bootstrap, int) or self.n_bootstrap < 0:
            raise ValueError(
                f"n_bootstrap must be a whole number, not {self.n_bootstrap!r}"
            )
        idle = _SEARCH if self._descends() else (*_DESCENT, "n_starts")
        for name in idle:
            if getattr(self, name) is not None:
                way = "descent" if self._descends() else "search over orders"
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no meaning for the {way} that "
                    f"noise={self.noise!r}, acyclicity={self.acyclicity!r} choose"
                )
        self._check_starts()
        if not self._descends():
            config = order.Config(
                noise=self.noise,
                interventional=_interventional(problem),
                **self._given("num_steps", *_SEARCH),
            )
            order.check_config(config)
            return order.KERNEL, config
        if self.noise not in ("gaussian", "equal_variance"):
            raise ValueError(
                f"acyclicity needs noise 'gaussian' or 'equal_variance', "
                f"not {self.noise!r}"
            )
        config = dagma.Config(
            noise=self.noise,
            interventional=_interventional(problem),
            **self._given("num_steps", *_DESCENT),
        )
        dagma.check_config(config)
        return dagma.KERNEL, config

    def _check_starts(self):
        starts = self.n_starts
        if starts is None:
            return
        super()._check_starts()
        if starts > 1 and not self.start_scale:
            raise ValueError(
                f"n_starts={starts} needs a start_scale above 0: without it all starts "
                "are one"
            )
        if starts > 1 and self.n_bootstrap:
            raise ValueError(
                f"n_bootstrap={self.n_bootstrap} refits from one start: leave "
                f"n_starts={starts} out"
            )


def _interventional(problem):
    return bool(problem.intervened.any())


def _sortability(graph, problem, columns):
    """What ``info_`` says of orders that could be read off single columns."""
    real = np.asarray(problem.weight) > 0
    rows = np.asarray(problem.x)[real]
    found: dict[str, float | None] = {}
    baselines = sortability.baselines(graph, rows, columns.scales)
    for name, (share, distance) in baselines.items():
        found[f"{name}_sortability"] = share if graph.any() else None
        found[f"sort_by_{name}_shd"] = distance
    return found


@quick_jit(once=True)
def _essential(graph, problem):
    return essential_graph(graph, decided_pairs(problem))
