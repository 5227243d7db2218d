"""What a fitted estimator says of the graph that it found."""

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from causaljax.effects import estimation, question, regression
from causaljax.effects.result import Effect
from causaljax.estimators.parameters import Parameters
from causaljax.estimators.record import run_record
from causaljax.exchange import dags
from causaljax.reports import explanation, page
from causaljax.reports.summary import Lines, as_html, counted, summary
from causaljax.tables import edges, frame, model_files

_UNTOLD = (
    "fit knew which cells were set from outside, and of these rows nothing is told: "
    "give interventions="
)


class Fitted(Parameters):
    """Words, effects, pages and files of what an estimator found."""

    edges_: pd.DataFrame
    edge_probabilities_: pd.DataFrame
    adjacency_: pd.DataFrame
    cpdag_: pd.DataFrame
    graph_: nx.DiGraph
    posterior_: Any  # a ``Posterior`` or a ``MarkedPosterior``
    info_: dict[str, Any]
    n_features_in_: int
    _prior_given: np.ndarray | None = None  # to the fit, in the table's order
    _evidence: explanation.Evidence  # of its table
    _table_columns: frame.Columns  # of its table, in the table's order

    def _notes(self) -> Iterable[str]:
        """What a reader of the fitted result should know of it, a sentence each.

        They stand below the edges.
        """
        return ()

    def _all_notes(self) -> Iterator[str]:
        """``_notes``, after what was learned from a sample of the rows."""
        sample, rows = self.info_.get("sample"), self.info_.get("rows", 0)
        if sample is not None:
            drawn = f"a sample of {sample['rows']:,} of {rows:,} rows"
            whole = sample["of_all_rows"]
            learned = f"Learned from {drawn}, drawn without replacement."
            if whole:
                learned = f"{whole} are those of all rows; what else was learned is of "
                learned += f"{drawn}, drawn without replacement."
            yield learned
        yield from self._notes()

    def _shown_tables(self) -> Iterable[Lines]:
        """What else was found, as tables to be shown below the edges."""
        return ()

    def _edge_price(
        self, info: Mapping[str, Any], found: explanation.Association, effect: str
    ) -> float | None:
        """Nats that an edge costs, where the score is Gaussian but for them.

        None where the method has no such score of the effect's column.
        """
        del info, found, effect
        return None

    def summary(self) -> str:
        """What was found, how columns were read, diagnostics, edges and notes, as text.

        Raises:
          AttributeError: if the estimator has not been fitted.
        """
        return self._summary()

    def _summary(self, *, ascii_only: bool = False) -> str:
        self._check_fitted()
        return summary(
            self._call(),
            self.edges_,
            self.n_features_in_,
            self.info_,
            self._shown_tables(),
            self._all_notes(),
            ascii_only=ascii_only,
        )

    def explain(self, a: str, b: str) -> explanation.Explanation:
        """Why there is an edge between two columns, or none.

        Args:
          a: a column.
          b: another.

        Returns:
          An ``Explanation``; ``print`` shows it in words. Its association is that of a
          linear Gaussian model of the table whatever the method: of curved relations
          it may miss what the method saw.

        Raises:
          ValueError: if one is no column of the fit, or both are one.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        extra = self.posterior_.extra or {}
        return explanation.explain(
            self._evidence,
            self.edges_,
            self.edge_probabilities_,
            (str(a), str(b)),
            info=self.info_,
            confounders=extra.get("confounder_prob"),
            price=self._edge_price,
        )

    def effect(
        self,
        cause: str,
        outcome: str,
        data: Any,
        *,
        values: Sequence[Any] | None = None,
        outcome_class: Any = None,
        level: float = 0.9,
        interventions: Any = None,
    ) -> Effect:
        """The total effect of one column on another, by the graph and a table.

            E[outcome | do(cause = b)] - E[outcome | do(cause = a)]

        By linear regression on an adjustment set of the graph, its O-set
        (``causaljax.effects.adjustment.optimal_set``); ``NeuralDAG`` asks its
        structural equations. Where the graph does not tell the effect, as a direction
        is open or a hidden common cause likely, the answer is "not identified" with the
        reason. The interval covers the doubt of the graph where the method has several
        (``AmortizedDAG``, ``n_bootstrap``), and says what it covers.

        Args:
          cause: a column.
          outcome: another.
          data: rows to estimate from, as ``fit`` takes them, with the columns of
            ``fit``: its table, or others of the same kind.
          values: (a, b) of the cause, in its units, or two of its classes. If left out:
            one unit more of a number, the larger of two values against the smaller, the
            rarer of two classes against the other.
          outcome_class: of an outcome of classes the one whose probability is asked
            about, as the difference of two; the rarer of two if left out.
          level: of the interval.
          interventions: as ``fit`` takes it, of the rows of ``data``; where the outcome
            or a column between it and the cause was set, a row does not count.

        Returns:
          An ``Effect``; ``print`` shows it in words.

        Raises:
          ValueError: naming the column, class, value or option and the fix.
          AttributeError: if the estimator has not been fitted.

        Warns:
          UserWarning: of values outside the table and of rows that are left out.
        """
        self._check_fitted()
        cells, hit = frame.to_cells(
            data, self._table_columns, interventions=interventions
        )
        asked = question.ask(
            self._table_columns,
            cells,
            str(cause),
            str(outcome),
            values,
            outcome_class,
        )
        if interventions is None and self._evidence.told_apart.any():
            asked = asked._replace(cautions=(*asked.cautions, _UNTOLD))
        draws, what = self._graph_draws()
        found = estimation.estimate(
            asked,
            estimation.Table(
                list(self._table_columns.names),
                cells,
                self._set_cells(cells, hit),
                [len(levels) for levels in self._table_columns.levels],
            ),
            estimation.Graphs(
                self.cpdag_.to_numpy().astype(bool),
                self.adjacency_.to_numpy().astype(bool),
                self._hidden_causes(),
                draws,
                what,
            ),
            level,
            self._structural_effect(cells, hit),
        )
        for words in found.warnings:
            warnings.warn(words, stacklevel=2)
        return found

    def _hidden_causes(self) -> np.ndarray | None:
        """``[d, d]`` bool, pairs that a hidden common cause may join; None for none."""
        hidden = (self.posterior_.extra or {}).get("confounder_prob")
        return None if hidden is None else np.asarray(hidden) > edges.LIKELY

    def _graph_draws(self) -> tuple[Sequence[tuple[np.ndarray, np.ndarray]], str]:
        """Graphs that could have made the table: claims and DAG of each, in words."""
        return (), ""

    def _set_cells(self, cells: np.ndarray, hit: np.ndarray) -> np.ndarray:
        """The cells of rows that were set from outside, known (``hit``) or found."""
        del cells
        return hit

    def _structural_effect(
        self, cells: np.ndarray, hit: np.ndarray
    ) -> Callable[[question.Question], regression.Fit] | None:
        """An estimate of effects by equations of the method's own, if it has any.

        Args:
          cells: ``[n, d]`` float, the rows as ``frame.to_cells`` reads them.
          hit: ``[n, d]`` bool, the cells that were set from outside.
        """
        del cells, hit
        return None

    def iter_dags(self) -> Iterator[nx.DiGraph]:
        """The DAGs that ``cpdag_`` stands for, one by one; see ``exchange.iter_dags``.

        Where a method doubts a direction, ``cpdag_`` leaves open more than the class of
        ``adjacency_`` does, and ``adjacency_`` need not be among them.

        Raises:
          ValueError: if there is none.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        return dags.iter_dags(self.graph_)

    def report(self, path: str | Path) -> None:
        """Writes one HTML page about the fit, which opens without network.

        It holds the graph to pan, zoom, search and cut at a probability, the edge
        table, what can and cannot be concluded, the warnings of the fit, how columns
        were read, settings, diagnostics, and versions and seed.

        Args:
          path: of the file; one that is there is replaced when the new one is complete.

        Raises:
          ValueError: naming the path that cannot be written.
          ImportError: without the extra ``report``.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        names = [str(name) for name in self.adjacency_]
        page.write_page(path, self.edges_, names, run_record(self))

    def save(self, path: str | Path) -> None:
        """Writes the fitted estimator to a file that ``causaljax.load`` reads.

        The file is safetensors with a JSON header, no pickle, with a checksum by which
        damage is found. It holds the attributes and what the methods need:
        ``LatentInterventionDAG`` and ``AmortizedDAG`` keep numbers of single rows,
        ``AmortizedDAG`` the rows themselves and its network. A ``prior`` that is a
        function is saved as the matrix it gave, a ``random_state`` that draws seeds as
        the seed that it drew.

        Args:
          path: of the file; one that is there is replaced when the new one is complete.

        Raises:
          ValueError: naming what a file cannot hold, or the path that cannot be
            written.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        made = {"graph_", "_metadata_request"}  # again, or by scikit-learn
        state = {name: kept for name, kept in vars(self).items() if name not in made}
        names = list(self.adjacency_)
        if callable(state.get("prior")):
            state["prior"] = pd.DataFrame(self._prior_given, index=names, columns=names)
        if isinstance(self.random_state, np.random.Generator | np.random.RandomState):
            state["random_state"] = self.info_["seed"]
        own = sys.modules["causaljax"].__version__  # of the package above this one
        about = {"causaljax": own, "edges": len(self.edges_)}
        model_files.write_model(path, type(self), state, about)

    def _check_fitted(self):
        if not hasattr(self, "edges_"):
            raise AttributeError(
                f"this {type(self).__name__} has not been fitted: call fit first"
            )

    def _repr_html_(self):
        if not hasattr(self, "edges_"):
            return as_html(self._call())
        found = counted(self.edges_, self.n_features_in_)
        return as_html(self._call(), found, self.edges_)

    def __repr__(self):
        if not hasattr(self, "edges_"):
            return self._call()
        return f"{self._call()}: {counted(self.edges_, self.n_features_in_)}"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "edges_")
