"""What linear methods have in common: weights, notes on directions and sortability."""

import dataclasses
from abc import abstractmethod
from typing import Any

import numpy as np

from causaljax.core.options import check_options
from causaljax.core.types import Kernel, Problem
from causaljax.estimators.base import FitResult
from causaljax.estimators.class_base import BaseClassDAG
from causaljax.kernels.order_search import Verdict
from causaljax.reports import sortability
from causaljax.tables.edges import UNDIRECTED
from causaljax.tables.frame import Columns

_SHOWN = 5  # edges that a note lists
_REASONS = {
    Verdict.TOLD: "non-Gaussian noise tells it",
    Verdict.NOT_TOLD: "noise near to Gaussian does not tell it",
    Verdict.FEW_VALUES: "a column of classes or few values has no such noise",
    Verdict.DEPENDENT: "the residual is not independent of the cause (a curved "
    "relation, classes, noise of unequal size or a hidden cause)",
    Verdict.NEAR_DEPENDENT: "an edge that a path joins it to does not fit the linear "
    "model",
    Verdict.UNCOUNTED: "a neighbouring edge did not fit the linear model",
}
_SORTABLE = 0.9  # sortability from which a result may ride on it


class BaseLinearDAG(BaseClassDAG):
    """A linear causal graph, x_j = sum_i w_ij x_i + e_j, by a kernel of a subclass.

    A subclass has ``_configure`` and the option ``n_bootstrap``; its kernel's posterior
    has ``extra["weights"]`` and ``extra["told"]``.
    """

    n_starts: int = 1

    @abstractmethod
    def _configure(self, interventional: bool) -> tuple[Kernel, Any]:
        """The kernel and its config; raises ValueError for a bad option."""

    def _fit_problem(self, problem, columns, bar):
        self._check_bootstrap()
        kernel, config = self._configure(bool(problem.intervened.any()))
        check_options(config)
        problem, config = self._with_prior(problem, config, columns)
        posterior, info = self._run(
            kernel, problem, config, bar, num_starts=self.n_starts
        )
        graph = np.asarray(posterior.graphs[0])
        weights = posterior.extra["weights"][0]
        found, refits = posterior.extra, config
        if config.noise == "auto":
            # For refits the noise is chosen once, from all rows.
            counts = np.asarray(found["shape_counts"][0])
            noise = "nongaussian" if counts.any() else "gaussian"
            refits = dataclasses.replace(config, noise=noise)
            if counts.any():
                refits = dataclasses.replace(refits, shapes=counts)
            info["nongaussian_columns"] = [
                name
                for name, counted in zip(columns.names, counts, strict=True)
                if counted
            ]
        elif config.noise == "gaussian":
            info.pop("nongaussian_evidence", None)  # not asked for, not measured
        info["noise"] = refits.noise
        essential, posterior, said = self._with_probabilities(
            posterior, kernel, problem, refits, bar
        )
        info |= said
        if config.noise == "auto":
            info["directions"] = _directions(found, np.asarray(essential), columns)
        info |= _sortability(graph, problem, columns)
        return FitResult(graph, essential, weights, posterior, info)

    def _of_all_rows(self, info):
        return "Means, variances and correlations"

    def _direction(self, info, claimed):
        if not claimed:
            return "noise of this kind does not tell it"
        if info["noise"] == "equal_variance" or "directions" not in info:
            assumed = {"equal_variance": "noise of equal variance, which is assumed,"}
            assumed["nongaussian"] = "non-Gaussian noise, which is assumed,"
            if info["noise"] in assumed:
                return f"{assumed[info['noise']]} tells it"
        return "its equivalence class tells it"

    def _notes(self):
        info, noise = self.info_, self.info_["noise"]
        if "directions" in info:
            yield from _reasons(info)
        elif noise == "nongaussian":
            yield (
                "All directions are claimed: noise='nongaussian' says that relations "
                "are linear, noise independent and no cause hidden. Nothing was tested."
            )
        if info["edge_probabilities"] == "share of class members":
            yield (
                "Probabilities are not estimated: 1 is an edge of the one graph found, "
                "0.5 one of open direction. n_bootstrap estimates them."
            )
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


def _directions(found, essential, columns):
    """What is known of the direction of each edge, by its names, sorted."""
    arrays = [
        np.asarray(found[name][0])
        for name in ("verdict", "independence_p", "direction_evidence")
    ]
    entries = []
    for i, j in np.argwhere(arrays[0] != Verdict.NO_EDGE):
        verdict, p_value, nats = (array[i, j].item() for array in arrays)
        entries.append(
            {
                "cause": columns.names[i],
                "effect": columns.names[j],
                "claimed": not essential[j, i].item(),
                "verdict": Verdict(verdict).name.lower(),
                "reason": _REASONS[verdict],
                "independence_p": p_value,
                "direction_nats": nats,
            }
        )
    return sorted(
        entries, key=lambda entry: (str(entry["cause"]), str(entry["effect"]))
    )


def _reasons(info):
    """Sentences about the edges whose direction is not claimed."""
    shaped = info["nongaussian_columns"]
    number = len(shaped) or "no"
    yield (
        f"Non-Gaussian noise counts in {number} column{'s' * (len(shaped) != 1)}; it "
        "tells a direction where relations are linear and residuals independent."
    )
    open_edges = [entry for entry in info["directions"] if not entry["claimed"]]
    for reason in dict.fromkeys(entry["reason"] for entry in open_edges):
        edges = [
            f"{entry['cause']} {UNDIRECTED} {entry['effect']}"
            for entry in open_edges
            if entry["reason"] == reason
        ]
        more = len(edges) - _SHOWN
        listed = ", ".join(edges[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        yield f"Not claimed, as {reason}: {listed}."
