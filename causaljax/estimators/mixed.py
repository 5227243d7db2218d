"""Causal graphs of tables of classes and numbers, by a search over orders."""

import dataclasses
import math

import numpy as np

from causaljax.core.options import check_options
from causaljax.core.types import Kind, Whole
from causaljax.estimators.base import FitResult
from causaljax.estimators.class_base import BaseClassDAG
from causaljax.estimators.class_levels import class_bound, count_classes, is_class
from causaljax.kernels import mixed_order
from causaljax.scores.classes import FEWEST_ROWS

_NUMBERS = (Kind.CONTINUOUS, Kind.COUNT)


class MixedDAG(BaseClassDAG):
    """A causal graph of a table of classes, counts and numbers.

    Searches over orders of the variables for the graph of the best score
    (``causaljax.kernels.mixed_order``). What each column holds is the table's matter:
    classes without an order are read as classes and their names do not matter. The
    scores identify an equivalence class of graphs, see ``cpdag_``.

    Args:
      score: "degenerate_gaussian" reads classes, ordered classes, counts and numbers:
        the indicators of classes and the numbers are taken for jointly Gaussian.
        "bdeu" (Bayesian Dirichlet, likelihood equivalent, uniform) and "bic" (of
        multinomial distributions) read classes alone, with any dependence of a class
        on its causes. "auto" is "degenerate_gaussian" for every table, as
        docs/methods/mixed.md explains; ``info_["score"]`` tells which was taken.
      bic_weight: what a parameter costs by "bic" and "degenerate_gaussian", in units
        of the BIC's log(n)/2; 1 if None.
      equivalent_sample_size: of the prior of "bdeu"; 1 if None. More of it draws more
        edges.
      prior: probabilities of edges beforehand: a DataFrame or array ``[d, d]``, causes
        as rows, or a function of a cause and an effect. Their log-odds, in nats, join
        the score of the graph; .5 changes nothing, 0 rules an edge out. A direction
        that only the prior tells is open in ``cpdag_``. See
        ``causaljax.tables.priors``.
      perturb: how many variables a step moves at random; 6 if None.
      num_steps: length of the search; 20 if None.
      n_bootstrap: refits on resampled rows from which ``edge_probabilities_`` are
        counted. 0 for none: they are then 1 for a directed edge of ``cpdag_`` and 1/2
        each way for an undirected one, and no measure of doubt.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Classes of fewer than 5 rows are put together: ``info_["pooled_classes"]`` has the
    number of them by column.

    Sources: as in the kernel and ``causaljax.scores``.

    Example:
      >>> import numpy as np
      >>> from causaljax import MixedDAG
      >>> rng = np.random.default_rng(0)
      >>> a, b = rng.integers(0, 2, (2, 500))
      >>> noisy = rng.uniform(size=500) < 0.1
      >>> table = np.stack([a, b, np.where(noisy, 1 - (a | b), a | b)], axis=1)
      >>> MixedDAG().fit(table).adjacency_.to_numpy().tolist()
      [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    """

    def __init__(
        self,
        *,
        score="auto",
        bic_weight=None,
        equivalent_sample_size=None,
        prior=None,
        perturb=None,
        num_steps=None,
        n_bootstrap=0,
        progress=None,
        random_state=0,
    ):
        self.score = score
        self.bic_weight = bic_weight
        self.equivalent_sample_size = equivalent_sample_size
        self.prior = prior
        self.perturb = perturb
        self.num_steps = num_steps
        self.n_bootstrap = n_bootstrap
        self.progress = progress
        self.random_state = random_state

    def _reads_classes(self):
        return True

    def _of_all_rows(self, info):
        if info["score"] != "degenerate_gaussian":
            return ""
        return "Numbers of classes, means, variances and correlations"

    def _fit_problem(self, problem, columns, bar):
        self._check_bootstrap()
        groups = []
        if problem.whole is None or self.score not in ("auto", "degenerate_gaussian"):
            problem = problem._replace(whole=None)
            levels, pooled = (np.asarray(leaf) for leaf in count_classes(problem))
        else:
            groups = [
                _groups(columns.scan.counts(name) if is_class(kind) else None)
                for name, kind in zip(columns.names, problem.kind, strict=True)
            ]
            levels = np.array([max(len(group), 1) for group, _ in groups])
            pooled = np.array([number for _, number in groups])
        config = self._configure(problem, columns, levels)
        if problem.whole is not None:
            found = _whole_blocks(columns, groups, levels, config.most_classes)
            problem = problem._replace(whole=found)
        problem, config = self._with_prior(problem, config, columns)
        kernel = mixed_order.KERNEL
        posterior, info = self._run(kernel, problem, config, bar)
        info["score"] = config.score
        reads_all = config.score != "degenerate_gaussian"
        info["pooled_classes"] = {
            name: int(count)
            for name, count, kind in zip(
                columns.names, pooled, problem.kind, strict=True
            )
            if count and (reads_all or is_class(kind))
        }
        graph = posterior.graphs[0]
        essential, posterior, said = self._with_probabilities(
            posterior, kernel, problem, config, bar
        )
        return FitResult(graph, essential, None, posterior, info | said)

    def _configure(self, problem, columns, levels):
        kinds = np.asarray(problem.kind)
        numbers = np.isin(kinds, _NUMBERS)
        score = self.score
        if score == "auto":
            score = "degenerate_gaussian"
        unread = {"bdeu": "bic_weight"}.get(score, "equivalent_sample_size")
        if score in mixed_order.SCORES and getattr(self, unread) is not None:
            raise ValueError(f"{unread} has no meaning for the score {score}: drop it")
        options = self._set_options(
            "bic_weight", "equivalent_sample_size", "perturb", "num_steps"
        )
        config = mixed_order.Config(
            score=score, interventional=bool(problem.intervened.any()), **options
        )
        check_options(config)
        if score != "degenerate_gaussian" and numbers.any():
            named = [columns.names[k] for k in np.flatnonzero(numbers)]
            raise ValueError(
                f"the score {score} reads classes, and columns {named} hold numbers: "
                'take score="degenerate_gaussian", or cut them into classes'
            )
        read = np.array([is_class(kind) for kind in kinds])
        read |= score != "degenerate_gaussian"
        most = class_bound(columns.names, levels, read)
        return dataclasses.replace(config, most_classes=most)

    def _direction(self, info, claimed):
        del info
        if claimed:
            return "its equivalence class tells it"
        return "either direction fits the data equally well"

    def _edge_price(self, info, found, effect):
        del effect
        if info["score"] != "degenerate_gaussian":
            return None
        parameters = found.widths[0] * found.widths[1]
        return info["config"]["bic_weight"] * math.log(found.rows) / 2 * parameters

    def _notes(self):
        info = self.info_
        yield f"Score: {info['score']}."
        if self.graph_.graph["kind"] == "cpdag":
            yield "Edges marked --- fit the data equally well in either direction."
        if not self.n_bootstrap:
            yield (
                "Probabilities are those of the equivalence class alone, 1 or 1/2; "
                "n_bootstrap measures doubt."
            )
        if info["pooled_classes"]:
            found = ", ".join(
                f"{name} ({count})" for name, count in info["pooled_classes"].items()
            )
            yield f"Classes of under {FEWEST_ROWS} rows were put together: {found}."


def _groups(counts):
    """The classes of a column, rare ones put together, and how many those are.

    As ``scores.classes.read_classes`` reads rows.
    """
    if counts is None:
        return [], 0
    order = sorted(counts, key=lambda level: -counts[level])
    groups = [[level] for level in order if counts[level] >= FEWEST_ROWS]
    rare = [level for level in order if counts[level] < FEWEST_ROWS]
    if rare and (sum(counts[k] for k in rare) >= FEWEST_ROWS or not groups):
        groups.append(rare)
    elif rare:
        groups[-1] += rare
    return groups, len(rare)


def _whole_blocks(columns, groups, levels, most_classes):
    """The covariance over all rows of what ``degenerate_gaussian.blocks`` reads."""
    width, scan, parts = max(most_classes - 1, 1), columns.scan, []
    for k, (group, _) in enumerate(groups):
        name, scale = columns.names[k], columns.scales[k]
        if group:
            known = dict.fromkeys((level for one in group for level in one), 0.0)
            block = [
                scan.combination(name, known | dict.fromkeys(one, 1.0))
                for one in group[1:]
            ]
        else:
            codes = {level: code for code, level in enumerate(columns.levels[k])}
            factors = scan.combination(name, codes)
            block = [{place: by / scale for place, by in factors.items()}]
        parts += block + [{}] * (width - len(block))
    return Whole(
        rows=np.float64(scan.rows),
        covariance=scan.covariance(parts),
        levels=levels.astype(np.int32),
    )
