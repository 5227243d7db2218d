"""What methods that ask tests of independence have in common."""

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from causaljax.core.options import check_options, settings
from causaljax.core.types import MarkedPosterior, Problem
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.estimators.independence import MEANINGS, Chosen, choose
from causaljax.graphs import marks as end_marks
from causaljax.graphs.marks import Mark
from causaljax.graphs.members import extension
from causaljax.kernels.constraint.pc import Found
from causaljax.kernels.constraint.questions import Test
from causaljax.reports.explanation import Explanation
from causaljax.scores.independence.asking import asking
from causaljax.tables import frame

_TEST, _REFITS = 4, 5  # folded into the key of their draws
_FEW = 10  # rows that are left where others were set from outside


class BaseConstraintGraph(BaseGraphEstimator):
    """A graph whose separations are the independences of a table, by a search.

    A subclass has the options ``test``, ``alpha``, ``collider_rule``,
    ``most_conditions`` and ``n_bootstrap``, and ``_config`` and ``_search``.
    """

    test: str
    alpha: float | None
    collider_rule: str | None
    most_conditions: int | None
    n_bootstrap: int
    _open_mark = Mark.TAIL  # of both ends of an edge that may point either way

    @abstractmethod
    def _config(self) -> Any:
        """The settings of the search, checked."""

    @abstractmethod
    def _search(self, test: Test, problem: Problem, chosen: Chosen) -> Found:
        """The search of a table, asked by its test."""

    def separators(self) -> pd.DataFrame:
        """The pairs of columns that a set separates, and the sets.

        Returns:
          DataFrame with ``a`` and ``b``, two columns that no edge joins; ``given``, a
          tuple of the columns that make them independent; and ``p_value`` of that test.
          Pairs that knowledge keeps apart are not among them.

        Raises:
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        rows = [
            {"a": a, "b": b, "given": given, "p_value": self.p_values_.loc[a, b]}
            for (a, b), given in self.sepsets_.items()
        ]
        return pd.DataFrame(rows, columns=["a", "b", "given", "p_value"])

    def explain(self, a: str, b: str) -> Explanation:
        """Why there is an edge between two columns, or none; as of all estimators.

        The tests that decided it are named: the set that separates the two, or that
        none does.
        """
        found = super().explain(a, b)
        sets = self.sepsets_
        given = sets.get((found.source, found.target))
        if given is None:
            given = sets.get((found.target, found.source))
        p_value: Any = self.p_values_.loc[found.source, found.target]
        if given is not None:
            of = f"Given {', '.join(given)}" if given else "Given nothing else"
            said = f"{of}, the test finds the two independent (p = {p_value:.2g})."
        elif not np.isnan(p_value):
            said = (
                f"No set that was tried separates the two: the largest p-value is "
                f"{p_value:.2g}, below {self.info_['config']['alpha']:g}."
            )
        else:
            said = "The two were not tested: knowledge decides."
        return dataclasses.replace(found, sentences=(*found.sentences, said))

    def _accepts_missing(self):
        return True  # a column without variation depends on nothing

    def _reads_classes(self):
        return self.test != "fisher_z"

    def _fills_gaps(self, problem, columns):
        return not choose(self.test, problem, columns.names).reads_gaps

    def _num_imputations(self):
        # The bootstrap draws rows, of which there must not be copies.
        return 1 if self.n_bootstrap else super()._num_imputations()

    def _of_all_rows(self, info):
        return "Correlations" if info["test"] == "fisher_z" else ""

    def _fit_problem(self, problem, columns, bar):
        whole, refits = isinstance(self.n_bootstrap, int), self.n_bootstrap
        if not whole or isinstance(refits, bool) or refits < 0:
            raise ValueError(f"n_bootstrap must be a whole number, not {refits!r}")
        config = self._config()
        check_options(config)
        chosen = choose(self.test, problem, columns.names)
        self._check_rows(problem)
        if not chosen.sums:
            problem = problem._replace(whole=None)
        bar.stage("testing")
        key = jax.random.fold_in(jax.random.key(self._seed), _TEST)
        found = self._asked(key, problem, chosen)
        graphs = self._opened(found.marks)[None]
        said = "share of class members"
        if refits:
            bar.stage(f"{refits} bootstrap replicates")
            graphs = np.stack(list(self._refitted(key, problem, chosen, refits)))
            said = "share of refits"
        elif (found.marks == Mark.CIRCLE).any():
            said = "open ends as halves"
        info: dict[str, Any] = {"config": settings(config), "edge_probabilities": said}
        if left_out := self._left_out(problem):
            info["rows_left_out"] = left_out
        return self._finished(found, graphs, chosen.name, info)

    def _finished(
        self, found: Found, graphs: np.ndarray, test: str, info: dict[str, Any]
    ) -> FitResult:
        """What ``_fit_problem`` hands back.

        Args:
          found: of all rows, over the variables of the problem.
          graphs: ``[s, d, d]`` int8, of ``_opened``, of which the consensus is shown.
          test: its name.
          info: what else there is to say, with "config" and "edge_probabilities".
        """
        shown = end_marks.without_cycles(end_marks.consensus(graphs))
        may = end_marks.may_point(shown)
        verdicts = found.verdicts
        flags = np.stack([verdicts.collider, verdicts.noncollider], axis=1)
        posterior = MarkedPosterior(
            marks=self._closed(graphs),
            log_weight=np.full(len(graphs), -np.log(len(graphs))),
            extra={
                "log_p": found.log_p,
                "separated": found.separated,
                "separators": found.separators,
                # [t, 5]: the triples, whether each is a collider, whether it is none
                "verdicts": np.concatenate([verdicts.triples, flags], axis=1),
            },
        )
        info = {
            "converged": True,
            "nonfinite": False,
            "test": test,
            "num_tests": found.num_tests,
            **info,
            "config": info["config"] | {"test": test},
        }
        closed = self._closed(shown)
        return FitResult(extension(may), may, None, posterior, info, closed)

    def _asked(self, key, problem, chosen) -> Found:
        test = asking(chosen.test, key, problem, chosen.config)
        return self._search(test, problem, chosen)

    def _refitted(self, key, problem, chosen, number) -> Iterator[np.ndarray]:
        """Marks of fits to rows drawn with replacement."""
        draws = np.random.default_rng([self._seed, _REFITS])
        weight = np.asarray(problem.weight, np.float64)
        real = np.flatnonzero(weight > 0)
        share, total = weight[real] / weight.sum(), weight.sum()
        for _ in range(number):
            counts = draws.multinomial(len(real), share)
            drawn = np.zeros_like(weight)
            drawn[real] = counts * total / len(real)
            refit = problem._replace(weight=drawn, whole=None)
            yield self._opened(self._asked(key, refit, chosen).marks)

    def _opened(self, marks):
        """Marks with circles at the ends of edges that may point either way."""
        both = (marks == Mark.TAIL) & (marks.T == Mark.TAIL)
        if self._open_mark == Mark.TAIL:
            marks = np.where(both, Mark.CIRCLE, marks)
        return np.asarray(marks, np.int8)

    def _closed(self, marks):
        """Marks with circles written as the method writes them."""
        circle = marks == Mark.CIRCLE
        return np.where(circle, self._open_mark, marks).astype(np.int8)

    def _check_rows(self, problem: Problem) -> None:
        left = int(((problem.weight > 0) & ~problem.intervened.any(axis=1)).sum())
        if left < _FEW and problem.intervened.any():
            raise ValueError(
                f"{left} rows have no cell that was set from outside, and "
                f"{type(self).__name__} tests independence in such rows alone: give "
                "more of them, or take LinearDAG or AmortizedDAG, which read the others"
            )

    def _left_out(self, problem: Problem) -> int:
        hit = np.asarray(problem.intervened).any(axis=1)
        return int((hit & (np.asarray(problem.weight) > 0)).sum())

    def _notes(self) -> Iterator[str]:
        info = self.info_
        yield (
            f"Tested by {MEANINGS[info['test']]}, {info['num_tests']:,} times, at a "
            f"level of {info['config']['alpha']:g}. A pair is joined unless a set "
            "of other columns makes it independent; that no test found a dependence is "
            "no proof that there is none."
        )
        if "rows_left_out" in info:
            yield (
                f"{info['rows_left_out']} rows in which a cell was set from outside "
                "were left out."
            )
        if info["edge_probabilities"] == "share of class members":
            yield (
                "Probabilities are not estimated: 1 is a direction that is claimed, "
                "0.5 one that is open. n_bootstrap estimates them."
            )

    def _reasons(self, learned, names):
        """What tells the marks of each edge, by the places of its ends."""
        extra, told, marks = learned.posterior.extra, self._evidence, learned.marks
        colliders: dict[tuple[int, int], str] = {}
        for a, b, c, is_collider, _ in extra["verdicts"].tolist():
            if not is_collider:
                continue
            for end, other in ((a, c), (c, a)):
                if marks[end, b] == Mark.ARROW:
                    colliders.setdefault(
                        (end, b),
                        f"{names[b]} makes {names[end]} and {names[other]} dependent "
                        "(an unshielded collider)",
                    )
        reasons = {}
        for i, j in np.argwhere(marks > 0).tolist():
            if told.required[i, j] or told.required[j, i]:
                why = "the knowledge given requires the edge"
            else:
                why = self._why(marks, i, j, colliders, told)
            reasons[i, j] = why
        return reasons

    def _why(self, marks, i, j, colliders, told) -> str:
        """What tells the marks of one edge, drawn from i to j."""
        if marks[i, j] != Mark.ARROW:
            return "the independences do not tell the direction"
        if (i, j) in colliders:
            return colliders[i, j]
        if not told.allowed[j, i]:
            return "the knowledge given forbids the other direction"
        return self._follows

    _follows = "else there would be a cycle or another collider"

    def _relabelled_extra(self, extra, places):
        column = np.argsort(places)  # of the table, of each variable
        separators, verdicts = extra.pop("separators"), extra.pop("verdicts")
        found = super()._relabelled_extra(extra, places)
        moved = np.where(separators >= 0, column[separators], -1)
        found["separators"] = moved[np.ix_(places, places)]
        verdicts = verdicts.copy()
        verdicts[:, :3] = column[verdicts[:, :3]]
        found["verdicts"] = verdicts
        return found

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra: Mapping[str, Any] = learned.posterior.extra
        names = [str(name) for name in self.adjacency_]
        self.marks_ = frame.to_frame(learned.marks.astype(int), columns)
        self.p_values_ = frame.to_frame(np.exp(extra["log_p"]), columns)
        sets = {}
        for i, j in np.argwhere(np.triu(extra["separated"])).tolist():
            given = np.sort(extra["separators"][i, j])
            sets[names[i], names[j]] = tuple(names[k] for k in given if k >= 0)
        self.sepsets_ = sets
