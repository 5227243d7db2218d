"""Causal graphs of tables of many environments that have mechanisms of their own."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pandas as pd

from causaljax.core.options import check_options, settings
from causaljax.core.problem import complete_rows
from causaljax.core.types import MarkedPosterior, make_problem
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.estimators.cdnod import without_row_order
from causaljax.estimators.class_levels import is_class
from causaljax.estimators.independence import MEANINGS, choose
from causaljax.graphs import marks as end_marks
from causaljax.graphs.marks import Mark
from causaljax.kernels.constraint import causal_de_finetti as de_finetti
from causaljax.scores.independence.asking import asking
from causaljax.tables import frame, notices

_TEST = 4  # folded into the key of its draws
_ENOUGH = 200  # environments that tell directions
_LONG = 500  # environments beyond which KCI takes too long


class CausalDeFinetti(BaseGraphEstimator):
    """One causal graph from many environments of two rows or more.

    Each environment (a patient with several visits, a school with several pupils) has
    mechanisms of its own, drawn independently of each other. Then the second row of an
    environment tells of its mechanisms, and of which variable it tells given the first
    row is different in the two directions of an edge: every direction can be told,
    not only an equivalence class (``causaljax.kernels.constraint.causal_de_finetti``).
    It takes some 200 environments, whose rows may be as few as two. It assumes that no
    common cause is missing from the table.

    Args:
      environment: the name of the column that says to which environment a row belongs.
        It is no variable of the graph.
      test: of independence. "auto" is "kci" for numbers in up to 500 environments and
        "rcit" in more, "chi_squared" for tables of classes and "degenerate_gaussian"
        for tables of both; others are as of ``PC``.
      alpha: the level: two variables are independent if the p-value is at least this;
        .05 if None. No correction is made for the number of tests.
      most_tables: how many ordered pairs of rows are read of an environment; 6 if None.
        More tell more and take longer.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Attributes:
      marks_: DataFrame ``[d, d]`` of end marks, of row i and column j the mark at j: 0
        no edge, 1 a tail, 2 an arrow. An edge of two tails, ``---``, is undetermined:
        neither direction was denied, as where mechanisms do not vary.
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, causes before effects, also of
        undetermined edges.
      p_values_: DataFrame ``[d, d]``, of row i and column j the p-value of their
        independence given what is before j; NaN where j was not after i.
      sink_p_values_: Series by column, the p-value of its having no effects among those
        that were left when it was taken away.
      info_: ``info_["environments"]`` is their number.

    Gaps are filled. Rows in which a cell was set from outside are left out.

    Sources: as in the kernel.

    Example:
      >>> import numpy as np
      >>> import pandas as pd
      >>> from causaljax import CausalDeFinetti
      >>> rng = np.random.default_rng(0)
      >>> level = np.repeat(rng.normal(size=(2, 300)), 2, axis=1)
      >>> cause, more = [[0.5], [2]] * level + rng.normal(size=(2, 600))
      >>> patient = np.repeat(np.arange(300), 2)
      >>> table = pd.DataFrame({"a": cause + more, "b": cause, "patient": patient})
      >>> model = CausalDeFinetti(environment="patient").fit(table)
      >>> model.edges_[["source", "mark", "target"]].to_numpy().tolist()
      [['b', '-->', 'a']]
    """

    def __init__(
        self,
        *,
        environment=None,
        test="auto",
        alpha=None,
        most_tables=None,
        progress=None,
        random_state=0,
    ):
        self.environment = environment
        self.test = test
        self.alpha = alpha
        self.most_tables = most_tables
        self.progress = progress
        self.random_state = random_state

    def _reads_classes(self):
        return True

    def _accepts_missing(self):
        return True  # a column without variation depends on nothing

    def _fills_gaps(self, problem, columns):
        return True

    def _num_imputations(self):
        return 1  # rows count, of which there must not be copies

    def _read_table(self, table, sample_weight, **known):
        """As of ``BaseGraphEstimator``; the environments become the problem's regimes.

        The column is taken out first: its labels are names, however many there are.
        """
        table = frame.as_pandas(table)
        if not isinstance(table, pd.DataFrame):
            table = pd.DataFrame(np.asarray(table))
        if known.get("scan") is not None:
            raise ValueError(
                "CausalDeFinetti reads rows of an environment together, and of a file "
                "this long a sample of rows: read it by pandas and give fit the table"
            )
        labels, name, table, known = self._take_out(table, known)
        if sample_weight is not None:
            counted = np.asarray(sample_weight, float) > 0
            labels = labels[counted]
        with without_row_order():
            table, problem, columns = super()._read_table(table, sample_weight, **known)
        out = (*columns.left_out, name)
        columns = dataclasses.replace(columns, left_out=out)
        codes: Any = np.full(len(problem.weight), -1, np.int32)
        codes[: len(labels)] = pd.factorize(labels)[0]
        return table, problem._replace(regime=codes), columns

    def _take_out(self, table, known):
        """The labels of the environments, their column, and what is left without it."""
        names = [str(name) for name in table.columns]
        if self.environment is None or str(self.environment) not in names:
            missing = f"there is no column {self.environment!r}; choose one of {names}"
            if self.environment is None:
                missing = f"give the name of a column, one of {names}"
            raise ValueError(f"environment of CausalDeFinetti: {missing}")
        place = names.index(str(self.environment))
        name = table.columns[place]
        labels = table.iloc[:, place]
        empty = np.flatnonzero(labels.isna())
        if len(empty):
            raise ValueError(
                f"column {names[place]!r} has no environment in {len(empty)} rows, the "
                f"first of them {empty[0]}: fill them, or drop the rows"
            )
        known = dict(known)
        if known.get("kinds"):
            known["kinds"] = {k: v for k, v in known["kinds"].items() if k != name}
        if known.get("columns") is not None:
            known["columns"] = [k for k in known["columns"] if k != name]
        hit = known.get("interventions")
        if isinstance(hit, pd.DataFrame):
            known["interventions"] = hit.drop(columns=[name], errors="ignore")
        elif hit is not None and np.ndim(hit) == 2:
            known["interventions"] = np.delete(np.asarray(hit), place, axis=1)
        return labels.to_numpy(), name, table.drop(columns=[name]), known

    def _fit_problem(self, problem, columns, bar):
        config = de_finetti.Config(**self._set_options("alpha", "most_tables"))
        check_options(config)
        if (np.asarray(problem.required)).any():
            raise ValueError(
                "CausalDeFinetti cannot obey required edges: take CDNOD, or PC"
            )
        if not (problem.allowed | np.eye(len(columns.names), dtype=bool)).all():
            raise ValueError(
                "CausalDeFinetti cannot obey forbidden edges: take CDNOD, or PC"
            )
        d = len(columns.names)
        rows = np.asarray(complete_rows(problem)) & ~problem.intervened.any(axis=1)
        x, environment = problem.x[rows], np.asarray(problem.regime)[rows]
        left, number = self._check_environments(environment)
        kinds = np.asarray(problem.kind)
        classes = np.array([is_class(kind) for kind in kinds], bool)
        x = np.where(classes[None], x, de_finetti.normal_scores(x))
        tables = de_finetti.rows_of_pairs(x, environment, config.most_tables)
        problems = [
            jax.tree.map(np.asarray, make_problem(table, kind=np.tile(kinds, 2)))
            for table in tables
        ]
        names = [*map(str, columns.names)] * 2
        name = self.test
        if name == "auto" and d and not classes.any():
            name = "kci" if number <= _LONG else "rcit"
        chosen = choose(name, problems[0], names)
        bar.stage("testing")
        key = jax.random.fold_in(jax.random.key(self._seed), _TEST)
        tests = [
            asking(chosen.test, jax.random.fold_in(key, k), one, chosen.config)
            for k, one in enumerate(problems)
        ]
        found = de_finetti.search(de_finetti.together(tests), d, config, chosen.batches)
        marks = end_marks.without_cycles(found.marks)
        may = end_marks.may_point(marks)
        place = np.argsort(found.order)
        graph = may & (place[:, None] < place[None])
        info = {
            "converged": True,
            "nonfinite": False,
            "config": settings(config) | {"test": chosen.name},
            "edge_probabilities": "share of class members",
            "test": chosen.name,
            "num_tests": found.num_tests,
            "environments": number,
            "tables": len(tables),
        }
        if left:
            info["environments_left_out"] = left
        sink = found.log_p_sink[place, np.arange(d)] if d else np.zeros(0)
        posterior = MarkedPosterior(
            marks=marks[None],
            log_weight=np.zeros(1),
            extra={"log_p": found.log_p_edge, "log_p_sink": sink},
        )
        return FitResult(graph, may, None, posterior, info, marks)

    def _check_environments(self, environment):
        """How many environments are left out, and how many are read."""
        sizes = np.unique(environment, return_counts=True)[1]
        number, single = int((sizes > 1).sum()), int((sizes == 1).sum())
        if number < 2:
            raise ValueError(
                f"column {self.environment!r} holds {number} environments of two rows "
                "or more, and directions show between many: give more rows, or take PC"
            )
        if single:
            notices.warn(
                f"{single} environments of column {self.environment!r} have one row, "
                "which says nothing of mechanisms: they are left out",
                stacklevel=4,
            )
        if number < _ENOUGH:
            notices.warn(
                f"column {self.environment!r} holds {number} environments of two rows "
                f"or more, and directions need some {_ENOUGH}: edges are likely to be "
                "missed or undetermined",
                stacklevel=4,
            )
        return single, number

    def _relabelled_extra(self, extra, places):
        sink = extra.pop("log_p_sink")[places]
        return super()._relabelled_extra(extra, places) | {"log_p_sink": sink}

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra = learned.posterior.extra
        self.marks_ = frame.to_frame(learned.marks.astype(int), columns)
        self.p_values_ = frame.to_frame(np.exp(extra["log_p"]), columns)
        self.sink_p_values_ = pd.Series(
            np.exp(extra["log_p_sink"]),
            index=pd.Index(columns.names, name="column"),
            name="p_value",
        )

    def _reasons(self, learned, names):
        sink = np.exp(learned.posterior.extra["log_p_sink"])
        reasons = {}
        for i, j in np.argwhere(learned.marks > 0).tolist():
            if learned.marks[i, j] == Mark.ARROW:
                reasons[i, j] = (
                    f"that {names[i]} has no effects is denied, and that {names[j]} "
                    f"has none is not (p = {sink[j]:.2g})"
                )
            else:
                reasons[i, j] = "undetermined: neither direction is denied"
        return reasons

    def _notes(self) -> Iterator[str]:
        info = self.info_
        yield (
            f"Tested by {MEANINGS[info['test']]} in {info['environments']:,} "
            f"environments, {info['num_tests']:,} times over {info['tables']} pairs of "
            f"rows each, at a level of {info['config']['alpha']:g}."
        )
        if (self.edges_["mark"] == "---").any():
            yield (
                "An edge --- is undetermined: no test denied either direction, as "
                "where mechanisms hardly vary between environments or these are few."
            )
        if "environments_left_out" in info:
            yield f"{info['environments_left_out']} environments have one row."
        yield (
            "Probabilities are not estimated: 1 is a direction that is claimed, 0.5 "
            "one that is open."
        )
