"""Posteriors over causal graphs: exact, or by samples that are checked."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from causaljax.core.compiling import quick_jit
from causaljax.core.options import check_options
from causaljax.core.types import Kernel, Kind
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.estimators.class_levels import class_bound, count_classes, is_class
from causaljax.estimators.cost import Cost
from causaljax.graphs import modular
from causaljax.graphs.edge_probabilities import consensus
from causaljax.kernels import dibs, gflownet
from causaljax.kernels.posterior import exact, partition_mcmc
from causaljax.probabilistic import EffectPosterior, averaged_effects, to_arviz
from causaljax.reports import evaluation
from causaljax.scores.parent_sets import SCORES
from causaljax.tables import frame, notices
from causaljax.tables.edges import DIRECTED

_OPTIONS = {
    "exact": ("num_graphs",),
    "mcmc": ("num_graphs", "num_candidates", "num_chains", "num_steps"),
    "dibs": ("num_particles", "num_steps"),
    "gflownet": ("num_graphs", "num_steps"),
}
METHODS = ("auto", *_OPTIONS)
# What is no sample of the posterior has another name.
_MEANINGS = {"dibs": "share of particles", "gflownet": "weighted share of drawn graphs"}
_MOST_EXACT = 12  # columns: twice as many take a million times as long
_TOLD = 0.9  # posterior probability of a direction, given the edge, to claim it
_LEFT_OUT = 0.1  # probability of an edge outside the candidates, to speak of it
_FEW_DRAWS = 400  # independent graphs: a standard error of .025
_consensus = quick_jit(consensus, once=True)
_UNMIXED = "share of samples that have not mixed"
_EFFECTS = 3  # folded into the key of their draws
_NUMBERS = (Kind.CONTINUOUS, Kind.COUNT, Kind.ORDINAL)


class BayesianDAG(BaseGraphEstimator):
    """The posterior over causal graphs, and what it leaves open.

        P(G | table) is proportional to P(table | G) P(G)

    Every number that this class calls a posterior probability is one, under the
    likelihood and prior that are named here: the exact sum over all DAGs for few
    columns, and for more the average over Markov chains that have been found to mix.
    Chains that have not mixed are not called a posterior.

    Args:
      method: "exact" sums over all DAGs (``causaljax.kernels.posterior.exact``); time
        and memory grow as 3^d and 4^d, and what they will be is said before it starts.
        "mcmc" samples ordered partitions and graphs
        (``causaljax.kernels.posterior.partition_mcmc``). "auto" is "exact" up to 12
        columns and "mcmc" beyond. "dibs" moves particles along gradients of the
        posterior density (``causaljax.kernels.dibs``): an approximation with a bias,
        whose shares of particles are not called probabilities. "gflownet" trains a
        network to draw graphs (``causaljax.kernels.gflownet``), for few columns.
      score: the likelihood. "bge" takes columns for jointly Gaussian numbers, "bdeu"
        for classes, "degenerate_gaussian" takes the indicators of classes and the
        numbers for jointly Gaussian, with the BIC in place of the marginal likelihood.
        "auto" is "bge" for tables of numbers, "bdeu" for tables of classes and
        "degenerate_gaussian" for tables of both.
      edges_per_variable: what the prior expects, before acyclicity is asked for. A
        graph has prior odds w for each of its edges, with
        (d - 1) w / (1 + 2 w) = edges_per_variable and w at most 1; at 1 all DAGs are
        equally probable. 2 if None.
      prior: probabilities of edges beforehand: a DataFrame or array ``[d, d]``, causes
        as rows, or a function of a cause and an effect. Their log-odds, in nats, join
        the score of the graph; .5 changes nothing, 0 rules an edge out. See
        ``causaljax.tables.priors``.
      bic_weight: what a parameter costs by "degenerate_gaussian", in units of the BIC's
        log(n)/2; 1 if None.
      equivalent_sample_size: of the prior of "bdeu"; 1 if None.
      num_graphs: how many graphs are kept; 1,000 if None, or 10,000 of "gflownet".
      num_candidates: of "mcmc", how many variables may be parents of each; 12 if None.
      num_chains: of "mcmc"; 4 if None.
      num_particles: of "dibs"; 30 if None.
      num_steps: of "mcmc", of each chain, 5,000 if None; of "dibs", 2,000; or of
        "gflownet", 12,000.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Attributes:
      edge_probabilities_: DataFrame ``[d, d]``, P(row causes column | table).
      path_probabilities_: DataFrame ``[d, d]``, P(a directed path leads from row to
        column | table).
      map_graph_: DataFrame ``[d, d]`` of 0 and 1, the graph of the largest posterior
        probability: of all DAGs by "exact", of those that were met by "mcmc". It is
        one of a class that the table often cannot tell apart.
      mc_errors_: DataFrame ``[d, d]``, the standard errors of ``edge_probabilities_``
        that come from sampling; 0 for "exact", NaN for "dibs", whose error is not
        known.
      adjacency_: DataFrame ``[d, d]`` of 0 and 1: pairs that are joined with a
        probability above 1/2, each in its more probable direction, as far as that is
        acyclic.
      cpdag_: the same, with both directions of an edge whose direction has a
        probability of .9 or less, given the edge.

    Gaps are filled five times and count as rows of a fifth: the doubt that they leave
    is larger than the posterior says.

    Sources: as in the kernels and in ``causaljax.scores.parent_sets``.

    Example:
      >>> import numpy as np
      >>> from causaljax import BayesianDAG
      >>> rng = np.random.default_rng(0)
      >>> a, b = rng.normal(size=(2, 200))
      >>> table = np.stack([a, b, a + b + rng.normal(size=200)], axis=1)
      >>> model = BayesianDAG().fit(table)
      >>> model.adjacency_.to_numpy().tolist()
      [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    """

    def __init__(
        self,
        *,
        method="auto",
        score="auto",
        edges_per_variable=None,
        prior=None,
        bic_weight=None,
        equivalent_sample_size=None,
        num_graphs=None,
        num_candidates=None,
        num_chains=None,
        num_particles=None,
        num_steps=None,
        progress=None,
        random_state=0,
    ):
        self.method = method
        self.score = score
        self.edges_per_variable = edges_per_variable
        self.prior = prior
        self.bic_weight = bic_weight
        self.equivalent_sample_size = equivalent_sample_size
        self.num_graphs = num_graphs
        self.num_candidates = num_candidates
        self.num_chains = num_chains
        self.num_particles = num_particles
        self.num_steps = num_steps
        self.progress = progress
        self.random_state = random_state

    def sample_graphs(self, n: int = 100) -> np.ndarray:
        """Whole graphs from the posterior.

        They are those that the fit kept: all different draws, evenly spread over the
        chains. One fit and the same ``n`` give the same graphs.

        Args:
          n: how many, at most ``num_graphs``.

        Returns:
          ``[n, d, d]`` bool, each acyclic, in the order of the columns.

        Raises:
          ValueError: if ``n`` is no whole number from 1 to ``num_graphs``.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        graphs = np.asarray(self.posterior_.graphs)
        kept = len(graphs)
        if not isinstance(n, int | np.integer) or not 1 <= n <= kept:
            raise ValueError(
                f"n must be a whole number from 1 to {kept}, as many graphs as the fit "
                f"kept, not {n!r}: set num_graphs for more"
            )
        return graphs[(np.arange(n) * kept) // n]

    def parent_sets(self, variable: str, *, least: float = 0.001) -> pd.DataFrame:
        """The sets of parents that a variable may have, by falling probability.

        Args:
          variable: a column.
          least: sets of less probability are left out.

        Returns:
          DataFrame with ``parents``, a tuple of names, and ``probability``: exact, or
          by "mcmc" the share of the graphs that were kept.

        Raises:
          ValueError: if there is no such column.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        names = [str(name) for name in self.adjacency_]
        if str(variable) not in names:
            raise ValueError(f"there is no column {variable!r}: columns are {names}")
        j, d = names.index(str(variable)), len(names)
        exact_ones = (self.posterior_.extra or {}).get("parent_sets")
        if exact_ones is not None:
            numbers, shares = np.arange(2**d), np.asarray(exact_ones[j], float)
        else:
            held = np.asarray(self.posterior_.graphs)[:, :, j]
            sets, counts = np.unique(held, axis=0, return_counts=True)
            numbers = [sum(1 << int(i) for i in np.flatnonzero(one)) for one in sets]
            shares = counts / len(held)
        order = np.argsort(-shares, kind="stable")
        rows = [
            {
                "parents": tuple(
                    names[i] for i in range(d) if int(numbers[k]) >> i & 1
                ),
                "probability": float(shares[k]),
            }
            for k in order
            if shares[k] >= least
        ]
        return pd.DataFrame(rows, columns=["parents", "probability"])

    def expected_shd(self, truth: Any) -> float:
        """The posterior mean of the structural Hamming distance to a graph.

            E SHD = sum over pairs of 1 - P(the pair is joined as in the graph)

        Args:
          truth: a DAG as a DataFrame with the columns' names, an array ``[d, d]`` in
            their order, or a ``networkx.DiGraph``.

        Raises:
          ValueError: if its shape or names do not fit.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        return evaluation.expected_shd(truth, self.edge_probabilities_)

    def effect_posterior(
        self,
        cause: str,
        outcome: str,
        data: Any,
        *,
        level: float = 0.9,
        interventions: Any = None,
    ) -> EffectPosterior:
        """The posterior of a total effect, over graphs and weights together.

            d E[outcome | do(cause = a)] / d a,  averaged over graphs

        Each graph that was kept has one draw of its weights from their exact posterior,
        under the prior of the score "bge" (``probabilistic.averaged_effects``). Where
        directions are open, graphs without a path have the effect 0, and the interval
        says so; ``effect`` calls such an effect "not identified".

        Args:
          cause: a column of numbers.
          outcome: another.
          data: rows to estimate from: the table of ``fit``, without gaps.
          level: of the interval, above 0 and below 1.
          interventions: as ``fit`` takes it, of the rows of ``data``.

        Returns:
          Mean, central interval and draws, in units of the outcome per unit of the
          cause.

        Raises:
          ValueError: naming the column or option and the fix.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        if self.info_["score"] != "bge":
            raise ValueError(
                "effect_posterior draws weights of linear equations of numbers, and "
                f"this fit's score is {self.info_['score']}: take effect"
            )
        names = list(self._table_columns.names)
        for name in (cause, outcome):
            if str(name) not in names:
                raise ValueError(f"there is no column {name!r}: columns are {names}")
        if str(cause) == str(outcome):
            raise ValueError(f"cause and outcome are both {cause!r}: take two columns")
        cells, hit = frame.to_cells(
            data, self._table_columns, interventions=interventions
        )
        gaps = np.flatnonzero(np.isnan(cells).any(axis=0))
        if len(gaps):
            raise ValueError(
                f"column {names[gaps[0]]!r} has gaps: give effect_posterior complete "
                "rows"
            )
        return averaged_effects(
            jax.random.fold_in(jax.random.key(self.info_["seed"]), _EFFECTS),
            np.asarray(self.posterior_.graphs),
            cells,
            names.index(str(cause)),
            names.index(str(outcome)),
            intervened=hit,
            level=level,
        )

    def to_arviz(self) -> Any:
        """The graphs that were kept as ``arviz.InferenceData``, by chains.

        Raises:
          ImportError: without the extra ``arviz``.
          AttributeError: if the estimator has not been fitted.
        """
        self._check_fitted()
        graphs = np.asarray(self.posterior_.graphs)
        chains = self.info_["config"].get("num_chains", 1)
        # Graph k is of chain k modulo their number.
        whole = graphs[: len(graphs) // chains * chains]
        by_chain = whole.reshape(-1, chains, *graphs.shape[1:]).swapaxes(0, 1)
        return to_arviz(by_chain, [str(name) for name in self.adjacency_])

    def _reads_classes(self):
        return True

    def _cost(self, rows, columns):
        if self._chosen_method(columns) != "exact":
            return None
        return Cost(
            seconds=2e-8 * columns * 4.0**columns,
            gigabytes=modular.bytes_needed(columns, sampling=True) / 2**30,
        )

    def _fit_problem(self, problem, columns, bar):
        problem = problem._replace(whole=None)
        method = self._chosen_method(len(columns.names))
        kernel, config, score = self._configure(method, problem, columns)
        problem, config = self._with_prior(problem, config, columns)
        posterior, info = self._run(kernel, problem, config, bar)
        posterior = _of_one_weight(posterior)
        extra = dict(posterior.extra)
        info |= {"method": method, "score": score}
        mixed = "posterior probability" if info["converged"] else _UNMIXED
        info["edge_probabilities"] = _MEANINGS.get(method, mixed)
        if "left_out" in extra:
            info["left_out"] = float(extra.pop("left_out"))
            self._warn_of_candidates(info["left_out"], config.num_candidates)
        if method == "gflownet":
            info["effective_sample_size"] = float(extra["effective_sample_size"])
            self._warn_of_draws(info["effective_sample_size"])
            errors = np.asarray(posterior.edge_prob)
            errors = np.sqrt(errors * (1 - errors) / info["effective_sample_size"])
            extra["mc_error"] = errors
        graph, essential = _consensus(
            np.asarray(posterior.edge_prob), np.asarray(problem.required), _TOLD
        )
        return FitResult(graph, essential, None, posterior._replace(extra=extra), info)

    def _chosen_method(self, num_columns: int) -> str:
        if self.method not in METHODS:
            raise ValueError(
                f"method must be one of {list(METHODS)}, not {self.method!r}"
            )
        if self.method != "auto":
            return self.method
        return "exact" if num_columns <= _MOST_EXACT else "mcmc"

    def _configure(self, method: str, problem: Any, columns: frame.Columns):
        for name in sorted({name for names in _OPTIONS.values() for name in names}):
            if getattr(self, name) is not None and name not in _OPTIONS[method]:
                raise ValueError(
                    f"{name} has no meaning for the method {method}: leave it out"
                )
        kinds = np.asarray(problem.kind)
        numbers = np.isin(kinds, _NUMBERS)
        score = self.score
        if score == "auto":
            classes = np.array([is_class(kind) for kind in kinds])
            score = "degenerate_gaussian" if classes.any() else "bge"
            if not np.isin(kinds, (Kind.CONTINUOUS, Kind.COUNT)).any():
                score = "bdeu"
        elif score not in SCORES:
            raise ValueError(f"score must be one of {['auto', *SCORES]}, not {score!r}")
        for name, reader in (
            ("bic_weight", "degenerate_gaussian"),
            ("equivalent_sample_size", "bdeu"),
        ):
            if getattr(self, name) is not None and score != reader:
                raise ValueError(
                    f"{name} has no meaning for the score {score}: leave it out"
                )
        return self._kernel(method, score, problem, columns, numbers)

    def _kernel(self, method, score, problem, columns, numbers):
        levels, _ = (np.asarray(leaf) for leaf in count_classes(problem))
        kinds = np.asarray(problem.kind)
        read = np.array([is_class(kind) for kind in kinds])
        if score == "bdeu":
            read |= True
            counted = np.isin(kinds, (Kind.CONTINUOUS, Kind.COUNT))
            if counted.any():
                named = [columns.names[k] for k in np.flatnonzero(counted)]
                raise ValueError(
                    f"the score bdeu reads classes, and columns {named} hold numbers: "
                    'take score="degenerate_gaussian", or cut them into classes'
                )
        if score == "bge" and not numbers.all():
            named = [
                columns.names[k] for k in np.flatnonzero(kinds == Kind.CATEGORICAL)
            ]
            if named:
                raise ValueError(
                    f"the score bge reads numbers, and columns {named} hold classes: "
                    'take score="degenerate_gaussian"'
                )
        most = 2 if score == "bge" else class_bound(columns.names, levels, read)
        options = self._set_options(*_OPTIONS[method])
        intervened = bool(np.asarray(problem.intervened).any())
        odds = self._edge_odds(len(columns.names))
        if method == "dibs":
            if score != "bge":
                raise ValueError(
                    f"the method dibs reads numbers, and the score is {score}: take "
                    'method="mcmc"'
                )
            config = dibs.Config(edge_odds=odds, interventional=intervened, **options)
            check_options(config)
            return dibs.KERNEL, config, score
        options |= self._set_options("bic_weight", "equivalent_sample_size")
        modules = {"exact": exact, "mcmc": partition_mcmc, "gflownet": gflownet}
        module = modules[method]
        config = module.Config(
            score=score,
            most_classes=most,
            edge_odds=odds,
            interventional=intervened,
            **options,
        )
        check_options(config)
        kernel: Kernel = module.KERNEL
        return kernel, config, score

    def _edge_odds(self, d: int) -> float:
        """Prior odds of an edge; see ``edges_per_variable``."""
        expected = 2.0 if self.edges_per_variable is None else self.edges_per_variable
        number = isinstance(expected, int | float | np.number)
        if not number or isinstance(expected, bool) or not expected > 0:
            raise ValueError(
                f"edges_per_variable must be a number above 0, not {expected!r}"
            )
        room = d - 1 - 2 * expected
        return min(1.0, expected / room) if room > 0 else 1.0

    def _warn_of_draws(self, size: float) -> None:
        if size < _FEW_DRAWS:
            notices.warn(
                f"the graphs that the network drew count as {size:.0f} independent ones"
                ': raise num_steps, or take method="exact" or "mcmc"',
                stacklevel=5,
            )

    def _warn_of_candidates(self, left_out: float, num_candidates: int) -> None:
        if left_out > _LEFT_OUT:
            notices.warn(
                f"an edge from a variable that is not among the {num_candidates} "
                f"candidates of another has a probability of about {left_out:.2f}: "
                "raise num_candidates",
                stacklevel=5,
            )

    def _diagnose(self, last: Any) -> dict[str, Any]:
        info = {name: leaf.item() for name, leaf in last._asdict().items()}
        told = {"rhat", "rounding"} & set(info)
        if info["nonfinite"] or info["converged"] or not told:
            return super()._diagnose(last)
        if "rhat" in told:
            notices.warn(
                "the chains have not mixed: the largest split R-hat of an edge is "
                f"{info['rhat']:.2f} and should be below 1.05. The shares are no "
                "posterior probabilities: raise num_steps",
                stacklevel=5,
            )
        else:
            notices.warn(
                "the sums over all DAGs lost their digits (relative error about "
                f'{info["rounding"]:.0e}): take method="mcmc"',
                stacklevel=5,
            )
        return info

    def _direction(self, info: Mapping[str, Any], claimed: bool) -> str:
        meaning = info["edge_probabilities"]
        if claimed:
            return f"its {meaning}, given the edge, is above {_TOLD}"
        return f"neither direction has nearly all of the edge's {meaning}"

    def _graph_draws(self):
        graphs = self.sample_graphs(min(100, len(self.posterior_.graphs)))
        return [(graph, graph) for graph in graphs], f"{len(graphs)} sampled graphs"

    def _notes(self):
        info = self.info_
        odds = info["config"]["edge_odds"]
        prior = "all DAGs equally probable" if odds == 1 else f"odds {odds:.2g} an edge"
        how = {
            "exact": "Exact sums over all DAGs",
            "mcmc": "Markov chains over ordered partitions",
            "gflownet": "Graphs drawn by a network that was trained on this table",
            "dibs": "Particles moved by gradients (DiBS), a biased approximation",
        }[info["method"]]
        yield f"{how}; likelihood {info['score']}, prior {prior}."
        if info["method"] == "mcmc":
            yield (
                f"Largest split R-hat of an edge {info['rhat']:.3f}, largest standard "
                f"error of a probability {info['mc_error']:.3f}."
            )
        if not info["converged"]:
            yield "The shares are no posterior probabilities: the samples are not fit."
        yield (
            f"Of an edge marked {DIRECTED}, the direction has more than {_TOLD} of the "
            f"edge's {info['edge_probabilities']}. map_graph_ is one graph of many: "
            "sample_graphs returns more."
        )

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        extra: Any = learned.posterior.extra
        self.path_probabilities_ = frame.to_frame(extra["path_prob"], columns)
        self.map_graph_ = frame.to_frame(
            np.asarray(extra["map_graph"]).astype(int), columns
        )
        errors = extra.get("mc_error")
        if errors is None:  # of exact sums there is none, of particles nobody knows
            error = 0.0 if learned.info["method"] == "exact" else np.nan
            errors = np.full(np.shape(extra["path_prob"]), error)
        self.mc_errors_ = frame.to_frame(errors, columns)

    def _relabelled_extra(self, extra, places):
        sets = extra.pop("parent_sets", None)
        found = super()._relabelled_extra(extra, places)
        if sets is not None:
            # Bit i of a set's number over columns is bit places[i] over variables.
            numbers = np.arange(sets.shape[1])
            moved = sum((numbers >> i & 1) << int(p) for i, p in enumerate(places))
            found["parent_sets"] = np.asarray(sets)[places][:, moved]
        return found


def _of_one_weight(posterior):
    """The posterior with graphs repeated by their weights, which are then equal."""
    shares = np.exp(np.asarray(posterior.log_weight, np.float64))
    number = len(shares)
    if np.ptp(shares) < 1e-6 / number:
        return posterior
    places = np.searchsorted(
        np.cumsum(shares) / shares.sum(), (np.arange(number) + 0.5) / number
    )
    return posterior._replace(
        graphs=np.asarray(posterior.graphs)[places],
        log_weight=np.full_like(np.asarray(posterior.log_weight), -np.log(number)),
    )
