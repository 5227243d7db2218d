"""What linear methods have in common: classes, weights, bootstrap, diagnostics."""

import dataclasses
from abc import abstractmethod
from typing import Any

import jax
import numpy as np

from causaljax.core.bootstrap import bootstrap
from causaljax.core.compiling import quick_jit
from causaljax.core.options import check_options
from causaljax.core.types import Kernel, Problem
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.graphs.cpdag import decided_pairs, essential_graph
from causaljax.graphs.edge_probabilities import class_probabilities
from causaljax.reports import sortability
from causaljax.tables.frame import Columns

_SORTABLE = 0.9  # sortability from which a result may ride on it


class BaseLinearDAG(BaseGraphEstimator):
    """A linear causal graph, x_j = sum_i w_ij x_i + e_j, by a kernel of a subclass.

    A subclass has ``_configure`` and the option ``n_bootstrap``; its kernel's posterior
    has ``extra["weights"]``.
    """

    n_bootstrap: int
    n_starts: int = 1

    @abstractmethod
    def _configure(self, interventional: bool) -> tuple[Kernel, Any]:
        """The kernel and its config; raises ValueError for a bad option."""

    def _num_imputations(self):
        # The bootstrap draws rows, of which there must not be copies.
        return 1 if self.n_bootstrap else super()._num_imputations()

    def _fit_problem(self, problem, columns, bar):
        if not isinstance(self.n_bootstrap, int) or self.n_bootstrap < 0:
            raise ValueError(
                f"n_bootstrap must be a whole number, not {self.n_bootstrap!r}"
            )
        kernel, config = self._configure(bool(problem.intervened.any()))
        check_options(config)
        posterior, info = self._run(
            kernel, problem, config, bar, num_starts=self.n_starts
        )
        noise = config.noise
        if noise == "auto":
            found = info["nongaussian_evidence"] > 0
            noise = "nongaussian" if found else "gaussian"
        elif noise == "gaussian":
            info.pop("nongaussian_evidence", None)  # not asked for, not measured
        info["noise"] = noise

        graph = essential = np.asarray(posterior.graphs[0])
        weights = posterior.extra["weights"][0]
        if noise == "gaussian":
            classes, probabilities = of_classes(posterior.graphs, problem)
            essential = np.asarray(classes[0])
            posterior = posterior._replace(edge_prob=probabilities)
        if self.n_bootstrap:
            bar.stage(f"{self.n_bootstrap} bootstrap replicates")
            posterior = bootstrap(
                kernel,
                jax.random.fold_in(jax.random.key(self._seed), 1),
                problem,
                # The noise is chosen once, from all rows.
                dataclasses.replace(config, noise=noise),
                self.n_bootstrap,
            )
            if noise == "gaussian":
                _, probabilities = of_classes(posterior.graphs, problem)
                posterior = posterior._replace(edge_prob=probabilities)
        info |= _sortability(graph, problem, columns)
        return FitResult(graph, essential, weights, posterior, info)

    def _notes(self):
        info, noise = self.info_, self.info_["noise"]
        if noise == "gaussian" and self.graph_.graph["kind"] == "cpdag":
            yield "Edges marked -- fit the data equally well in either direction."
        if "nongaussian_evidence" in info:
            nats = info["nongaussian_evidence"]
            verdict = "for" if nats > 0 else "against"
            yield f"Noise: {noise}, {abs(nats):.0f} nats {verdict} non-Gaussian."
            if noise == "nongaussian":
                yield "Directions rest on linear relations; curved ones can mislead."
        if noise == "equal_variance":
            yield "Assumes that all noise has one variance in the units of the columns."
        criterion = "variance" if noise == "equal_variance" else "r2"
        share = info[f"{criterion}_sortability"]
        if share is not None and share > _SORTABLE:
            name = {"variance": "variances", "r2": "R2 values"}[criterion]
            yield (
                f"Caution: sorting the columns by their {name} gives nearly this order "
                f"(sortability {share:.2f}), and regressing on it a graph at SHD "
                f"{info[f'sort_by_{criterion}_shd']}. The directions may be those of "
                "scale."
            )


def _sortability(graph: np.ndarray, problem: Problem, columns: Columns):
    """What ``info_`` says of orders that could be read off single columns."""
    rows = np.asarray(problem.x)[np.asarray(problem.weight) > 0]
    found: dict[str, float | None] = {}
    baselines = sortability.baselines(graph, rows, columns.scales)
    for name, (share, distance) in baselines.items():
        found[f"{name}_sortability"] = share if graph.any() else None
        found[f"sort_by_{name}_shd"] = distance
    return found


@quick_jit(once=True)
def of_classes(graphs, problem):
    """Essential graphs ``[s, d, d]``, and the mean probability of each edge in them."""
    decided = decided_pairs(problem)
    essential = jax.lax.map(lambda graph: essential_graph(graph, decided), graphs)
    prob = class_probabilities(essential).mean(axis=0)
    return essential, prob.astype(problem.x.dtype)
