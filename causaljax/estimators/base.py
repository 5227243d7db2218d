"""What every estimator shares: one way to fit, and learned attributes."""

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from causaljax.core.options import settings
from causaljax.core.restarts import best_start
from causaljax.core.run import Saver, run
from causaljax.core.types import (
    Array,
    Kernel,
    Kind,
    MarkedPosterior,
    Posterior,
    Problem,
    PyTree,
)
from causaljax.estimators import cost, gaps
from causaljax.estimators.fitted import Fitted
from causaljax.estimators.progress import Progress
from causaljax.estimators.record import environment
from causaljax.graphs import marks as end_marks
from causaljax.reports import explanation
from causaljax.tables import edges, frame, notices, priors
from causaljax.tables.knowledge import Knowledge
from causaljax.tables.scan import Scan, scan_file

_CHUNKS = range(10, 21)  # parts of a run, after each of which Ctrl-C is heard

_SHOWN_STEPS = 100  # of a run's history
_SEEDS = 2**32  # how many there are
_GAPS = 2  # folded into the key of the draws that fill gaps
_NUM_IMPUTATIONS = 5
_ASSUMED = "missing at random: given the other columns, a cell's value is no reason"
_VARIABLE_AXES = {
    "weights": (1, 2),
    "effects": (0, 1),
    "noise": (0,),
    "ancestor_prob": (0, 1),
    "confounder_prob": (0, 1),
    "order": (0,),
    "target_prob": (0,),
    "targets": (1,),
    "target_evidence": (1,),
    "ood_score": (),
    "responsibilities": (),
    "reference": (),
    "told": (1, 2),
    "essential": (1, 2),
    "doubted": (1, 2),
    "verdict": (1, 2),
    "independence_p": (1, 2),
    "direction_evidence": (1, 2),
    "shape_counts": (1,),
    "map_graph": (0, 1),
    "path_prob": (0, 1),
    "mc_error": (0, 1),
    "rhat": (0, 1),
    "noise_variances": (1,),
    "balance_error": (),
    "effective_sample_size": (),
    "ess": (0, 1),
    "log_p": (0, 1),
    "separated": (0, 1),
}
"""The axes that variables are along, of all that a posterior's ``extra`` may hold."""


class FitResult(NamedTuple):
    """What a method hands back to ``fit``, over variables and not yet columns.

    Arrays are jax's or numpy's. ``info`` becomes ``info_``, and the command line writes
    it to run.json: its values are numbers, strings, booleans, None, and lists and dicts
    of these. No key is compulsory. ``_run`` gives the kernel's diagnostics, "converged"
    and "nonfinite" among them, and the settings as "config".
    """

    graph: Array | np.ndarray  # [d, d] bool, the one graph to show; acyclic
    # [d, d] bool, both ways where a direction is not identified; else ``graph``
    essential: Array | np.ndarray
    # [d, d] float, of the graph, in units of the problem; None if there are none
    weights: Array | np.ndarray | None
    posterior: Posterior | MarkedPosterior
    info: dict[str, Any]
    # [d, d] int8, end marks of the one graph to show, of a ``MarkedPosterior``
    marks: np.ndarray | None = None


class BaseGraphEstimator(Fitted, ABC):
    """A kernel behind scikit-learn's interface, over DataFrames.

    A subclass has a keyword-only ``__init__`` that stores its arguments, and
    ``_fit_problem``; it may override ``_standardises``, ``_accepts_missing``,
    ``_fills_gaps``, ``_skips_outlier_check``, ``_reads_regimes``, ``_reads_classes``,
    ``_relabelled_extra``, ``_edge_price``, ``_direction``, ``_shown_tables`` and
    ``_notes``.

    Attributes:
      edges_: DataFrame of the edges found, one a row, with mark, probability and what
        kind of number it is, weight, stability and reason
        (``tables.edges.edge_table``). Prints, files, ``adjacency_``, ``cpdag_`` and
        ``graph_`` are made from it.
      edge_probabilities_: DataFrame ``[d, d]``, P(row causes column).
      adjacency_: DataFrame ``[d, d]`` of 0 and 1, acyclic, row -> column.
      cpdag_: DataFrame ``[d, d]`` of 0 and 1, the class of graphs that the data
        cannot tell from ``adjacency_``; an undirected edge has a 1 at both places,
        also where a method doubts the direction that the class has.
        Equal to ``adjacency_`` where directions are identified.
      weights_: DataFrame ``[d, d]``, the change of the column's variable for one
        unit of the row's, in the units of the table; 0 off the graph. Only of methods
        that estimate them.
      graph_: ``networkx.DiGraph``; edges carry ``probability``, ``weight`` and
        ``undirected``, and its attribute ``confounded`` holds pairs of mark ``<->``
        (``tables.edges.to_networkx``). ``exchange`` writes it for other programs.
      posterior_: the method's ``Posterior``, or ``MarkedPosterior``, as numpy arrays.
      info_: dict of diagnostics, with ``converged``, the ``config`` (settings that
        were used), the ``columns`` (how each was read: kind, distinct values, gaps,
        classes by their codes), the number of ``rows``, of a file that was read part by
        part the ``sample`` (its ``rows``, and what was learned ``of_all_rows``), the
        ``warnings`` of the fit,
        its ``seconds``, its ``environment`` (versions and device) and its ``seed``: as
        ``random_state`` it gives the same answer again; of methods that take steps the
        ``history``, lists of ``step``, ``loss`` and what else is measured on the way.
      n_features_in_: d.
      feature_names_in_: the column names, if the table had strings for names.
    """

    progress: bool | None
    random_state: Any
    _seed: int  # of the fit that is on its way
    # Of each run of a fit, by its stage and start: where batch jobs keep its state.
    _saver_of: Callable[[str], Saver] | None = None

    @abstractmethod
    def _fit_problem(
        self, problem: Problem, columns: frame.Columns, bar: Progress
    ) -> FitResult:
        """Checks options, runs kernels.

        Args:
          problem: the table, its arrays numpy's. ``x`` is float64, centred, and of
            standard deviation 1 if the method standardises. Variables are sorted
            (``frame.sort_variables``), so that no answer depends on the table's order.
            Rows of ``weight`` 0 are padding, at the end.
          columns: names and units of the variables, in the order of the problem.
          bar: takes the names of stages; ``_run`` tells it of its own.

        Returns:
          What was learned, in the order of the problem.

        Raises:
          ValueError: for a bad option, named.
        """

    def _standardises(self) -> bool:
        """Whether columns are brought to standard deviation 1 before the fit."""
        return True

    def _accepts_missing(self) -> bool:
        """Whether the kernel reads missing cells and columns without variation.

        For other methods gaps are filled (``estimators.gaps``).
        """
        return False

    def _fills_gaps(self, problem: Problem, columns: frame.Columns) -> bool:
        """Whether gaps of a table are filled before the fit."""
        del problem, columns
        return not self._accepts_missing()

    def _num_imputations(self) -> int:
        """How often a gap is filled for a method that does not read gaps."""
        return _NUM_IMPUTATIONS

    def _skips_outlier_check(self) -> bool:
        """Whether rows far from the others are nothing to speak of."""
        return False

    def _reads_regimes(self) -> bool:
        """Whether the method has a use for the regimes of rows."""
        return False

    def _reads_classes(self) -> bool:
        """Whether the method knows classes without an order from numbers."""
        return False

    def _direction(self, info: Mapping[str, Any], claimed: bool) -> str:
        """What tells, of itself, a direction that is claimed, or why one is open."""
        del info, claimed
        return ""

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        interventions: Any = None,
        regimes: Any = None,
        knowledge: Knowledge | Mapping[str, Any] | None = None,
        kinds: Mapping[Any, str] | None = None,
        columns: Sequence[Hashable] | None = None,
        sample_weight: Any = None,
    ) -> Self:
        """Learns a causal graph from a table.

        Args:
          X: DataFrame of pandas, polars or pyarrow, or array ``[n, d]``, of numbers and
            classes, NaN or None where a cell is missing; not modified. Or the path of a
            .csv, .tsv or .parquet file, or a ``tables.scan.Scan``: a table of more rows
            than ``tables.scan.SAMPLE_ROWS`` is then read part by part and not held, as
            docs/large_tables.md explains; ``info_["sample"]`` tells what was learned
            from a sample of its rows. Text of few
            values, categories and booleans are classes. Dates, free text and
            identifiers are left out with a warning. Methods without a model of gaps
            learn from five tables in which they are filled; ``info_["gaps"]`` tells
            of it.
          y: ignored, as scikit-learn's pipelines pass it.
          interventions: a bool frame of X's shape, or for each row a column name, a
            list of them, or None.
          regimes: one label a row, None where unknown; for methods that read them,
            ``LatentInterventionDAG`` and ``NeuralDAG(intervention="imperfect")``.
          knowledge: a ``Knowledge`` or a dict of its fields; obeyed exactly.
          kinds: "continuous", "count", "ordinal", "binary" or "categorical" for columns
            that their cells alone do not tell, as ``{"ward": "categorical"}``;
            ``info_["columns"]`` says how each was read.
          columns: those to take, of X's.
          sample_weight: ``[n]`` numbers of at least 0; a row of weight 2 counts as two
            rows, one of weight 0 is left out.

        Returns:
          The estimator itself.

        Raises:
          ValueError: naming the column, row, edge or option and the fix.
        """
        del y
        self._check_regimes(regimes)
        self._seed = self._new_seed()
        self._prior_given = None
        start = time.perf_counter()
        with (
            notices.keeping() as warned,
            Progress(type(self).__name__, self.progress) as bar,
        ):
            known = {"interventions": interventions, "regimes": regimes}
            known |= {"kinds": kinds, "columns": columns}
            scan = None
            if isinstance(X, str | Path | Scan):
                bar.stage("reading")
                scan = self._scanned(X, sample_weight, **known)
                X = scan.sample
            X, problem, named = self._read_table(
                X,
                sample_weight,
                knowledge=knowledge,
                scan=scan if scan is not None and scan.rows > len(X) else None,
                **known,
            )
            self._forecast(problem, bar)
            ordered, sorted_names, places = frame.sort_variables(problem, named)
            named = self._table_columns = dataclasses.replace(named, scan=None)
            missing = gaps.describe(problem, named.names)
            if missing and self._fills_gaps(ordered, sorted_names):
                bar.stage("filling gaps")
                key = jax.random.fold_in(jax.random.key(self._seed), _GAPS)
                ordered = gaps.fill(key, ordered, self._num_imputations())
                missing |= {
                    "imputations": self._num_imputations(),
                    "assumed": _ASSUMED,
                }
            learned = self._fit_problem(ordered, sorted_names, bar)
            learned = self._relabelled(learned, places)
            self._gather(ordered, places)
        info = learned.info | {
            "seconds": time.perf_counter() - start,
            "rows": int((problem.weight > 0).sum()),
            "warnings": warned,
        }
        if scan is not None and scan.rows > info["rows"]:
            whole = "" if ordered.whole is None else self._of_all_rows(info)
            info["sample"] = {"rows": info["rows"], "of_all_rows": whole}
            info["rows"] = scan.rows
        if missing:
            info["gaps"] = missing
        self._store(learned._replace(info=info), named, X)
        return self

    def _cost(self, rows: int, columns: int) -> cost.Cost | None:
        """What a fit takes; None where nobody knows."""
        del rows, columns
        return None

    def _forecast(self, problem: Problem, bar: Progress) -> None:
        """Says what the fit of a large table takes.

        Raises:
          ValueError: if there is too little memory.
        """
        rows, columns = problem.x.shape
        size = f"{columns:,} columns and {int((problem.weight > 0).sum()):,} rows"
        mend = "choose columns (columns=), or take a machine with more"
        taken = self._cost(rows, columns)
        bar.say(cost.told(taken, size, cost.free_gigabytes(), mend))

    def _of_all_rows(self, info: Mapping[str, Any]) -> str:
        """What is learned from all rows of a file, not from a sample; "" for nothing.

        It begins a sentence, and is several.
        """
        del info
        return ""

    def _scanned(self, table: Any, sample_weight: Any, **known: Any) -> Scan:
        """Reads a file part by part.

        Args:
          table: its path, or a ``Scan`` that is there already.
          sample_weight: as ``fit`` takes it.
          **known: ``interventions``, ``regimes``, ``kinds`` and ``columns``, likewise.

        Raises:
          ValueError: for what cannot be told of a file.
        """
        given = {name: known[name] for name in ("interventions", "regimes")}
        for name, entries in (given | {"sample_weight": sample_weight}).items():
            if entries is not None:
                raise ValueError(
                    f"{name} has one entry a row and X is a file that is read part by "
                    "part: read it by pandas and give fit the table, or leave it out"
                )
        if getattr(self, "n_bootstrap", 0):
            raise ValueError(
                "n_bootstrap draws rows and X is a file that is read part by part: "
                "leave it out, or give fit a table"
            )
        if isinstance(table, Scan):
            return table
        return scan_file(table, kinds=known["kinds"], columns=known["columns"])

    def _gather(self, problem: Problem, places: np.ndarray) -> None:
        """Keeps what ``explain`` asks of a table, of whose columns these are places."""
        self._evidence = explanation.gather(
            problem, places, classes=self._reads_classes(), prior=self._prior_given
        )

    def _read_table(
        self, table: Any, sample_weight: Any, **known: Any
    ) -> tuple[Any, Problem, frame.Columns]:
        """Reads a table; warns of what makes a graph doubtful.

        Args:
          table: as ``fit`` takes it.
          sample_weight: likewise.
          **known: of ``frame.to_problem``, from ``interventions`` to ``columns``.

        Returns:
          The rows of the table that have a weight, the problem and its columns.

        Raises:
          ValueError: as ``fit``.
        """
        table, weight = frame.as_pandas(table), None
        if sample_weight is not None:
            table, weight, known["interventions"], known["regimes"] = frame.take_rows(
                table, sample_weight, known["interventions"], known.get("regimes")
            )
        problem, columns = frame.to_problem(
            table,
            weight=weight,
            standardise=self._standardises(),
            lenient=self._accepts_missing(),
            pooled=self._skips_outlier_check(),
            **known,
        )
        self._warn_of_classes(columns)
        return table, problem, columns

    def _warn_of_classes(self, columns: frame.Columns) -> None:
        """Says which classes are taken for numbers."""
        classes = [
            name
            for name, kind in zip(columns.names, columns.kinds, strict=True)
            if kind == Kind.CATEGORICAL
        ]
        if classes and not self._reads_classes():
            notices.warn(
                f"columns {classes} hold classes without an order, which "
                f"{type(self).__name__} reads as the numbers 0, 1, 2 by falling "
                "frequency; MixedDAG and AmortizedDAG read them as classes",
                stacklevel=4,
            )

    def _check_regimes(self, regimes):
        if regimes is not None and not self._reads_regimes():
            raise ValueError(
                f"regimes have no meaning for {self._call()}: leave them out, or take "
                'LatentInterventionDAG or NeuralDAG(intervention="imperfect")'
            )

    def _new_seed(self) -> int:
        """A seed from ``random_state``: itself, or a draw of a new one."""
        state = self.random_state
        if state is None:
            state = np.random.default_rng()
        if isinstance(state, np.random.Generator):
            return int(state.integers(_SEEDS))
        if isinstance(state, np.random.RandomState):
            return int(state.randint(_SEEDS, dtype=np.uint32))
        whole = isinstance(state, int | np.integer) and not isinstance(state, bool)
        if not whole or not 0 <= state < _SEEDS:
            raise ValueError(
                f"random_state must be a whole number from 0 to {_SEEDS - 1}, None, a "
                f"numpy Generator or a RandomState, not {state!r}: give one of these"
            )
        return int(state)

    def _check_starts(self):
        # pyrefly: ignore [missing-attribute]
        starts = self.n_starts  # of those methods that have it
        if not isinstance(starts, int) or isinstance(starts, bool) or starts < 1:
            raise ValueError(
                f"n_starts must be a positive whole number, not {starts!r}"
            )

    def _set_options(self, *names: str) -> dict[str, Any]:
        """The named options that are set; the config's defaults serve for the rest."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def _given_prior(self, columns: frame.Columns) -> np.ndarray | None:
        """The ``prior`` of the user over the fit's variables, ``[d, d]``, or None."""
        prior = getattr(self, "prior", None)
        if prior is None:
            return None
        # A function is asked once a fit: it may be a language model.
        given = priors.edge_prior(prior, self._table_columns.names)
        self._prior_given = given
        place = [self._table_columns.names.index(name) for name in columns.names]
        return given[np.ix_(place, place)]

    def _with_prior(
        self, problem: Problem, config: Any, columns: frame.Columns
    ) -> tuple[Problem, Any]:
        """The problem and a kernel's config, with the ``prior`` of the user if any.

        An edge of probability 0 counts as forbidden, so directions that follow from
        its absence are known.
        """
        prior = self._given_prior(columns)
        if prior is None:
            return problem, config
        allowed = problem.allowed & ((prior > 0) | problem.required)
        config = dataclasses.replace(config, prior=prior)
        return problem._replace(allowed=allowed), config

    def _relabelled(self, learned: FitResult, places: np.ndarray) -> FitResult:
        """What was learned of ordered variables, by numpy and in the table's order.

        Args:
          learned: over the variables as ``frame.sort_variables`` has them.
          places: ``[d]`` int, the place there of each column.
        """
        info, learned = learned.info, learned._replace(info={})
        learned = jax.tree.map(np.asarray, learned)
        posterior, square = learned.posterior, np.ix_(places, places)
        extra = self._relabelled_extra(dict(posterior.extra or {}), places)
        several = (slice(None), places[:, None], places[None])
        if isinstance(posterior, MarkedPosterior):
            graphs = np.asarray(posterior.marks)[several]
            posterior = posterior._replace(marks=graphs, extra=extra)
        else:
            posterior = posterior._replace(
                edge_prob=posterior.edge_prob[square],
                graphs=posterior.graphs[several],
                extra=extra,
            )
        return FitResult(
            graph=learned.graph[square],
            essential=learned.essential[square],
            weights=None if learned.weights is None else learned.weights[square],
            posterior=posterior,
            info=info,
            marks=None if learned.marks is None else learned.marks[square],
        )

    def _relabelled_extra(
        self, extra: dict[str, Any], places: np.ndarray
    ) -> dict[str, Any]:
        """A posterior's ``extra``, its variables in the table's order.

        ``extra`` is a copy. An override takes out of it what it relabels itself, and
        gives the rest to this one, which knows the keys of ``_VARIABLE_AXES`` alone.

        Raises:
          TypeError: for a key that is not declared there.
        """
        for name in extra:
            if name not in _VARIABLE_AXES:
                raise TypeError(
                    f"{type(self).__name__}: extra[{name!r}] has no declared axes; "
                    "add it to _VARIABLE_AXES in causaljax/estimators/base.py with "
                    "the axes that variables are along, () if there are none, or "
                    "override _relabelled_extra and take it out there"
                )
            for axis in _VARIABLE_AXES[name]:
                extra[name] = np.take(extra[name], places, axis=axis)
        return extra

    def _run(
        self,
        kernel: Kernel,
        problem: Problem,
        config: PyTree,
        bar: Progress,
        *,
        num_starts: int = 1,
        stage: str = "",
    ) -> tuple[Posterior, dict[str, Any]]:
        """Runs a kernel, as ``best_run`` from several starts; warns of failure.

        Returns:
          The posterior, and the last diagnostics with the settings as "config" and,
          of more steps than one, those on the way as "history".
        """
        if kernel.precision != "double":
            problem = jax.device_put(problem)  # once, and not for every chunk
        key, runs, traces = jax.random.key(self._seed), [], []
        keys = [key] if num_starts == 1 else jax.random.split(key, num_starts)
        for number, start_key in enumerate(keys, 1):
            of = f"start {number} of {num_starts}" if num_starts > 1 else ""
            more = (num_starts - number) * config.num_steps
            bar.stage(" ".join(filter(None, (stage, of))), config.num_steps, more)
            chunks = []

            def on_chunk(steps, trace, chunks=chunks):
                bar.steps(steps)
                chunks.append(trace)

            traces.append(chunks)
            runs.append(
                run(
                    kernel,
                    start_key,
                    problem,
                    config,
                    num_chunks=_num_chunks(config.num_steps),
                    on_chunk=on_chunk,
                    saver=self._saver_of and self._saver_of(f"{stage} {of}".strip()),
                )
            )
        best = 0
        if num_starts > 1:
            infos = [info for _, info in runs]
            best = int(best_start(jax.tree.map(lambda *a: jnp.stack(a), *infos)))
        posterior, last = runs[best]
        info = self._diagnose(last) | {"config": settings(config)}
        if config.num_steps > 1:
            info["history"] = _history(traces[best], config.num_steps)
        return posterior, info

    def _diagnose(self, last: Any) -> dict[str, Any]:
        """A run's last diagnostics as a dict; warns of failure."""
        info = {name: leaf.item() for name, leaf in last._asdict().items()}
        if info["nonfinite"]:
            notices.warn(
                "the score is not finite: the graph is not to be trusted; look for "
                "columns of extreme scale",
                stacklevel=5,
            )
        elif not info["converged"]:
            notices.warn("the fit has not converged; raise num_steps", stacklevel=5)
        return info

    def _store(self, learned: FitResult, columns: frame.Columns, table: Any) -> None:
        """Sets the learned attributes, from arrays of numpy's."""
        weights = learned.weights
        if weights is not None:
            # From standard deviations back to the units of the table.
            weights = weights * columns.scales / columns.scales[:, None]
            self.weights_ = frame.to_frame(weights, columns)
        posterior, extra = learned.posterior, learned.posterior.extra
        info = {"config": {}, "edge_probabilities": "score", **learned.info}
        meaning = str(info["edge_probabilities"])
        refitted = meaning == "share of refits"
        confounders, marks = extra.get("confounder_prob"), None
        if isinstance(posterior, MarkedPosterior):
            graphs, shown = np.asarray(posterior.marks), np.asarray(learned.marks)
            edge_prob = end_marks.direction_shares(graphs)
            arrow = graphs == end_marks.Mark.ARROW
            confounders = (arrow & arrow.swapaxes(1, 2)).mean(axis=0)
            marks = {
                (i, j): end_marks.drawn(shown, i, j)
                for i, j in np.argwhere(shown).tolist()
            }
            stability = (graphs > 0).mean(axis=0)
        else:
            edge_prob = posterior.edge_prob
            # A refit of open direction counts half each way.
            stability = edge_prob + edge_prob.T
        self.posterior_ = posterior
        self._table_columns = columns
        self.edge_probabilities_ = frame.to_frame(edge_prob, columns)
        self.edges_ = edges.edge_table(
            learned.graph,
            learned.essential,
            edge_prob,
            columns.names,
            meaning=meaning,
            weights=weights,
            effects=extra.get("effects"),
            stability=stability if refitted else None,
            confounders=confounders,
            why=self._reasons(learned, columns.names),
            marks=marks,
        )
        self.adjacency_ = edges.adjacency(self.edges_, columns.names)
        self.cpdag_ = edges.claims(self.edges_, columns.names)
        self.graph_ = edges.to_networkx(self.edges_, columns.names)
        self.info_: dict[str, Any] = {
            **info,
            "columns": [dict(row) for row in columns.described],
            "seed": self._seed,
            "environment": environment(),
        }
        self.n_features_in_ = len(columns.names)
        labels = getattr(table, "columns", None)
        if labels is not None and all(isinstance(name, str) for name in labels):
            self.feature_names_in_ = np.array(columns.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _reasons(self, learned: FitResult, names: Sequence[str]):
        """Why each edge is there or has its direction, by the places of its ends."""
        told, reasons = self._evidence, {}
        tested = {
            (entry["cause"], entry["effect"]): entry
            for entry in learned.info.get("directions", ())
        }
        for i, j in np.argwhere(learned.graph).tolist():
            test = tested.get((names[i], names[j]))
            claimed = not learned.essential[j, i]
            own = self._direction(learned.info, claimed)
            if told.required[i, j]:
                why = "the knowledge given requires the edge"
            elif test and (not claimed or test["verdict"] == "told"):
                why = test["reason"]
            elif claimed and own and not told.allowed[j, i]:
                why = "the knowledge given forbids the other direction"
            elif claimed and own and told.told_apart[i, j]:
                why = "interventions tell it"
            else:
                why = own
            reasons[i, j] = why
        return reasons


def _history(chunks, num_steps):
    """Diagnostics of some steps of a run, all that are numbers; None if not finite.

    A run that went on from a saved state has chunks of its last steps alone.
    """
    trace = jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks)
    number = len(trace.loss)
    shown = np.unique(np.linspace(0, number - 1, _SHOWN_STEPS).round().astype(int))
    return {"step": (num_steps - number + shown + 1).tolist()} | {
        name: [float(f"{v:.6g}") if np.isfinite(v) else None for v in leaf[shown]]
        for name, leaf in trace._asdict().items()
        if np.issubdtype(leaf.dtype, np.floating)
    }


def _num_chunks(num_steps):
    """Some fifteen chunks, of one length if that can be: it takes one program."""
    even = (number for number in _CHUNKS if num_steps % number == 0)
    return num_steps if num_steps <= max(_CHUNKS) else next(even, min(_CHUNKS))
