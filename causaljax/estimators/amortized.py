"""Amortized inference: a trained network reads the table."""

import dataclasses
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from causaljax.core.problem import pad_rows
from causaljax.core.run import numbered_keys, run, run_many
from causaljax.estimators import gaps
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.estimators.progress import Progress
from causaljax.kernels import amortized
from causaljax.networks import fine_tuning
from causaljax.networks.network import Weights
from causaljax.networks.weights import load_weights
from causaljax.tables import frame, notices
from causaljax.tables.edges import DIRECTED, LIKELY
from causaljax.tables.knowledge import Knowledge

_MOST_COLUMNS = 200
_BYTES = 110  # times the cube of the columns: 600 of them took 19 to 30 GB
_PAIRS = 3  # columns: it has the direction of .58 of the cause-effect pairs


class AmortizedDAG(BaseGraphEstimator):
    """A causal graph as a network sees it that was trained on simulated tables.

    One forward pass instead of a search: numbers, classes and counts, linear and
    nonlinear mechanisms, known and hidden interventions, hidden common causes and
    missing cells (NaN) are all one to it. What it says is as good as the table
    resembles its training tables: see ``ood_score_``.

    Args:
      pretrained: name of a network that ships with the package, the path of a
        .safetensors file, or ``causaljax.networks.network.Weights``.
      threshold: pairs that are joined, one way or the other, with this probability
        or less are not joined in ``adjacency_``; None takes the threshold that was
        calibrated with the weights.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed of ``sample_graphs`` and ``fine_tune``, a whole number; or
        None, a numpy Generator or a RandomState, of which each fit draws one
        (``info_["seed"]``).

    Attributes:
      edge_probabilities_: DataFrame ``[d, d]``, calibrated. Where the direction of an
        edge is not identified, both directions share its probability.
      confounder_probabilities_: DataFrame ``[d, d]``, symmetric: P(the two have a
        common cause that is not in the table), be there an edge between them or not;
        calibrated on the training tables, too low where many causes are hidden. An
        edge is ancestral: its cause may act through variables that are not in the
        table.
      ancestor_probabilities_: DataFrame ``[d, d]``, P(a path leads from row to column).
      target_probabilities_: Series, P(the variable was set from outside in some rows
        that ``interventions`` do not tell of).
      ood_score_: how unlike the training tables this one is, 1 being what 1.5 % of
        them exceeds; NaN if the weights cannot tell. Above 1 there is a warning.

    ``cpdag_`` equals ``adjacency_``, and there are no ``weights_``.

    Sources: as in ``causaljax.kernels.amortized``.

    Example:
      >>> from causaljax import AmortizedDAG
      >>> from causaljax import load_sachs
      >>> model = AmortizedDAG().fit(load_sachs().observational)  # doctest: +SKIP
      >>> model.sample_graphs(100).mean(axis=0)  # doctest: +SKIP
    """

    _sampled: np.ndarray | None = None  # [s, d, d], once an effect was asked about

    def __init__(
        self, *, pretrained="pair-v3", threshold=None, progress=None, random_state=0
    ):
        self.pretrained = pretrained
        self.threshold = threshold
        self.progress = progress
        self.random_state = random_state

    def _accepts_missing(self):
        return True

    def _reads_classes(self):
        return True

    def _fit_problem(self, problem, columns, bar):
        weights, config = self._method()
        self._check_size(len(columns.names))
        posterior, info = self._run(amortized.KERNEL, problem, config, bar)
        return self._fit_result(weights, config, problem, posterior, info)

    def fit_many(
        self,
        tables: Sequence[Any],
        *,
        interventions: Sequence[Any] | None = None,
        knowledge: Knowledge | Mapping[str, Any] | None = None,
        kinds: Mapping[Any, str] | None = None,
        columns: Sequence[Hashable] | None = None,
        sample_weight: Sequence[Any] | None = None,
    ) -> "list[AmortizedDAG]":
        """Fits tables of one number of columns together, in one compiled call.

        Args:
          tables: DataFrames or arrays, as ``fit`` takes; they may differ in rows.
          interventions: one entry a table, each as ``fit`` takes it.
          knowledge: of all tables, as ``fit`` takes it.
          kinds: likewise.
          columns: likewise.
          sample_weight: one entry a table, each as ``fit`` takes it, or None.

        Returns:
          One fitted estimator a table, in their order; this one stays unfitted.

        Raises:
          ValueError: as ``fit``, with the number of the table; or if the tables differ
            in columns.
        """
        tables = list(tables)
        targets = _one_a_table(interventions, "interventions", len(tables))
        row_weights = _one_a_table(sample_weight, "sample_weight", len(tables))
        seed = self._new_seed()
        weights, config = self._method()
        start = time.perf_counter()
        problems, named, warned = [], [], []
        for number, table in enumerate(tables):
            try:
                with notices.keeping() as texts:
                    tables[number], problem, names = self._read_table(
                        table,
                        row_weights[number],
                        interventions=targets[number],
                        knowledge=knowledge,
                        kinds=kinds,
                        columns=columns,
                    )
            except ValueError as error:
                raise ValueError(f"table {number}: {error}") from None
            problems.append(problem)
            named.append(names)
            warned.append(texts)
        counts = [len(names.names) for names in named]
        for number, count in enumerate(counts):
            if count != counts[0]:
                raise ValueError(
                    f"table {number} has {count} columns and table 0 has {counts[0]}: "
                    "fit tables of one number of columns together"
                )
        self._check_size(counts[0])
        ordered = [
            frame.sort_variables(problem, names)
            for problem, names in zip(problems, named, strict=True)
        ]
        most = max(len(problem.x) for problem in problems)
        padded = [pad_rows(problem, most) for problem, _, _ in ordered]
        # To a power of two: other numbers of tables share the program.
        full = 1 << (len(tables) - 1).bit_length()
        padded += padded[-1:] * (full - len(tables))
        together = jax.tree.map(lambda *leaves: np.stack(leaves), *padded)
        keys = numbered_keys(jax.random.key(seed), np.arange(len(padded)))
        with Progress(f"{type(self).__name__}, {len(tables)} tables", self.progress):
            # On a CPU one table after another is 3 to 5 times as fast as side by side.
            answers = run_many(
                amortized.KERNEL, keys, together, config, 1, count=len(tables)
            )
            answers = jax.tree.map(np.asarray, answers)
        seconds = (time.perf_counter() - start) / len(tables)

        models: list[AmortizedDAG] = []
        for number, (problem, _, places) in enumerate(ordered):
            model = type(self)(**self.get_params())
            model._seed = seed
            posterior, last = jax.tree.map(lambda leaf, k=number: leaf[k], answers)
            with notices.keeping() as texts:
                info = model._diagnose(last)
                learned = model._fit_result(weights, config, problem, posterior, info)
            learned = model._relabelled(learned, places)
            model._gather(problem, places)
            info = learned.info | {
                "seconds": seconds,
                "rows": int((problem.weight > 0).sum()),
                "warnings": warned[number] + texts,
            }
            missing = gaps.describe(problems[number], named[number].names)
            if missing:
                info["gaps"] = missing
            model._store(learned._replace(info=info), named[number], tables[number])
            models.append(model)
        return models

    def sample_graphs(self, n: int = 100) -> np.ndarray:
        """Whole graphs that could have made the table, drawn from the posterior.

        Unlike single edge probabilities they say what goes together: which edges
        exclude each other, how sure a path is. Knowledge holds in each of them. One fit
        and the same ``n`` give the same graphs.

        Args:
          n: how many.

        Returns:
          ``[n, d, d]`` bool, each acyclic, in the order of the columns; the share with
          an edge is ``.mean(axis=0)``, and ``networkx.DiGraph(graphs[0])`` makes one of
          networkx.

        Raises:
          ValueError: if ``n`` is not a positive whole number.
          AttributeError: if the estimator has not been fitted.
        """
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n must be a positive whole number, not {n!r}")
        if not hasattr(self, "_problem"):
            raise AttributeError("fit a table before sampling graphs")
        config = dataclasses.replace(self._config, num_graphs=int(n))
        key = jax.random.key(self.info_["seed"])
        posterior, _ = run(amortized.KERNEL, key, self._problem, config)
        return np.asarray(posterior.graphs)[:, self._places][:, :, self._places]

    def _graph_draws(self):
        if self._sampled is None:
            self._sampled = self.sample_graphs()
        draws = [(graph, graph) for graph in self._sampled]
        return draws, f"{len(draws)} sampled graphs"

    def fine_tune(
        self, simulator: fine_tuning.Simulator, *, minutes: float = 15
    ) -> "AmortizedDAG":
        """Trains the network on, on tables of a simulator of your own.

        Args:
          simulator: ``key -> (problem, graph)`` in pure jax, always of one shape, with
            columns of standard deviation 1 as ``fit`` makes them; what is told of
            ``graph`` in the problem's knowledge is not learned.
          minutes: how long.

        Returns:
          A new estimator whose ``pretrained`` is the new network;
          ``causaljax.networks.weights.save_weights`` writes it to a file. This one
          stays as it is.

        Raises:
          ValueError: if the simulator returns something else.
        """
        seed = self.info_["seed"] if hasattr(self, "info_") else self._new_seed()
        key = jax.random.fold_in(jax.random.key(seed), 1)
        tuned = fine_tuning.fine_tune(key, self._weights(), simulator, minutes=minutes)
        return type(self)(**self.get_params() | {"pretrained": tuned})

    def _weights(self):
        if isinstance(self.pretrained, Weights):
            return self.pretrained
        return load_weights(self.pretrained)

    def _method(self):
        """The network and the kernel's config, once the options are known to fit."""
        weights = self._weights()
        config = amortized.configure(weights, threshold=self.threshold)
        amortized.check_config(config)
        return weights, config

    def _check_size(self, num_columns):
        if num_columns > _MOST_COLUMNS:
            gigabytes = _BYTES * num_columns**3 / 2**30
            raise ValueError(
                f"the table has {num_columns} columns and AmortizedDAG reads at most "
                f"{_MOST_COLUMNS}: so many would take about {gigabytes:.0f} GiB of "
                "memory, and the network has seen no such table; choose columns "
                "(columns=), or take LinearDAG"
            )

    def _fit_result(self, weights, config, problem, posterior, info):
        """What a run says; warns where the network is out of its depth."""
        self._config, self._sampled = config, None
        self._problem = jax.tree.map(np.asarray, problem)
        score = float(posterior.extra["ood_score"])
        trained, d = weights.card["max_columns"], problem.x.shape[1]
        if d > trained:
            notices.warn(
                f"the table has {d} columns, the network was trained on up to {trained}"
                ": its probabilities are a guess; drop columns or take LinearDAG",
                stacklevel=4,
            )
        if d <= _PAIRS:
            notices.warn(
                f"the table has {d} columns, of which the network saw few tables: the "
                "direction of a curved relation is often wrong; take LinearDAG, which "
                "tests what it claims",
                stacklevel=4,
            )
        if score > 1:
            notices.warn(
                "the table is unlike those that the network was trained on (ood_score_ "
                f"{score:.2f}, above 1 is rare among them): its probabilities may be "
                "too sure; compare with LinearDAG, or fine_tune on your own simulator",
                stacklevel=4,
            )
        info["edge_probabilities"] = "calibrated probability"
        info["ood_score"] = None if np.isnan(score) else score
        info["config"] = {
            "pretrained": weights.card["name"],
            "threshold": float(config.threshold),
            "temperature": np.asarray(config.temperature).tolist(),
        }
        graph = posterior.graphs[0]
        return FitResult(graph, graph, None, posterior, info)

    def _notes(self):
        config, score = self.info_["config"], self.info_["ood_score"]
        name, threshold = config["pretrained"], config["threshold"]
        yield f"Pairs joined with probability above {threshold:.2f}, by network {name}."
        if score is not None:
            likeness = "like" if score <= 1 else "unlike"
            yield (
                f"The table is {likeness} those it was trained on (score {score:.2f}; "
                "above 1 is rare among them)."
            )
        prob = self.confounder_probabilities_
        joined = [
            f"{a} {DIRECTED} {b} ({prob.loc[a, b]:.2f})"
            for a, b in self.graph_.edges
            if prob.loc[a, b] > LIKELY
        ]
        if joined:
            yield (
                "Edges whose ends probably have a common cause besides that is not in "
                f"the table (its probability): {', '.join(joined)}."
            )

    def _relabelled_extra(self, extra, places):
        self._places = places  # of graphs that are sampled later
        return super()._relabelled_extra(extra, places)

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra: Any = learned.posterior.extra
        self.confounder_probabilities_ = frame.to_frame(
            extra["confounder_prob"], columns
        )
        self.ancestor_probabilities_ = frame.to_frame(extra["ancestor_prob"], columns)
        self.target_probabilities_ = pd.Series(
            np.array(extra["target_prob"]), index=list(columns.names)
        )
        self.ood_score_ = float(extra["ood_score"])


def _one_a_table(entries, name, count):
    """What was given of each of some tables, or None of each."""
    entries = [None] * count if entries is None else list(entries)
    if len(entries) != count or not count:
        raise ValueError(
            f"there are {count} tables and {len(entries)} entries of {name}: give at "
            "least one table, and one entry a table"
        )
    return entries
