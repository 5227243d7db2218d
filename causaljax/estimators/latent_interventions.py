"""Rows pooled from experiments that nobody recorded."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import scipy.special

from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows, padded_size
from causaljax.core.types import make_problem
from causaljax.estimators.base import BaseGraphEstimator, FitResult
from causaljax.graphs.cpdag import decided_pairs, essential_graph
from causaljax.graphs.edge_probabilities import symmetrise_undirected
from causaljax.kernels import latent_interventions
from causaljax.kernels.latent_interventions import mixture
from causaljax.kernels.neural import pruning
from causaljax.kernels.neural.candidates import candidate_edges, shipped_candidates
from causaljax.regimes import densities
from causaljax.regimes.merge import FEWEST_ROWS
from causaljax.reports.summary import Lines
from causaljax.tables import frame, notices

_LEAST_SHARE = 0.001  # of the rows, of a regime that is shown
_LIKELY = 0.5  # probability above which a target is shown
_BROAD = 0.5  # share of the variables that a regime disturbs when it is suspicious
_OPTIONS = "intervention", "mechanism", "label_noise", "max_targets"


class LatentInterventionDAG(BaseGraphEstimator):
    """One causal graph, the regimes that rows are of, and what each disturbed.

    Rows come from experiments; each disturbed some variables and left the mechanisms
    of the others as they are. What is known of them goes to ``fit``: nothing at all;
    ``regimes`` of all rows or some (None or NaN where unknown); besides,
    ``interventions``, the targets of rows that have a regime. With ``interventions``
    alone each set of targets is a regime.

    What can be told, and what cannot: regimes whose rows overlap cannot be told apart
    row by row, by anyone. Targets are relative to the reference, the regime that was
    not disturbed: if nobody says which, it is the one of fewest targets, and has some
    if none is without. A regime that disturbs most variables explains anything;
    ``info_["broad_regimes"]`` names those, and there is a warning. That weak shifts and
    curved mechanisms do not imitate each other is not known of any method.

    Args:
      max_regimes: the most there can be; about twice as many as are expected is good.
        None: 2 (d + 1), or with ``regimes`` for all rows just these.
      max_targets: the most columns that an experiment can have intervened on, where
        that is known; those of most evidence are kept. None: any number.
      intervention: "perfect" ones cut targets off from their causes and set them to
        normal values of their own; "imperfect" ones change how targets answer.
      mechanism: "linear", "network" (curves) or "flow" (curves, and noise whose shape
        depends on the causes; without causes it stays normal).
      concentration: of the Dirichlet process, positive; more of it expects more
        regimes. 1 if None; "learned" finds it, under a Gamma(1, 1) prior.
      prior: probabilities of edges beforehand: a DataFrame or array ``[d, d]``, causes
        as rows, or a function of a cause and an effect. Their log-odds are added to
        those that a trained network and a search for linear relations find; .5 changes
        nothing, 0 rules an edge out; see ``causaljax.tables.priors``.
      label_noise: probability that a row's regime in ``regimes`` is wrong; 0 if None.
      progress: show a progress bar; None shows one if the standard error stream is
        a terminal and the fit takes more than a second.
      random_state: seed, a whole number; or None, a numpy Generator or a RandomState,
        of which each fit draws one (``info_["seed"]``).

    Attributes:
      regimes_: Series, the likeliest regime of each row, by the labels given or numbers
        that go on from them; without labels 0 is the reference.
      regime_probabilities_: DataFrame ``[n, k]``.
      intervention_targets_: DataFrame ``[k, d]``, P(the regime disturbed the column).
      target_evidence_: DataFrame ``[k, d]``, nats of evidence that the regime
        intervened on the column, by which targets are ranked; negative speaks against.
      regime_weights_: Series, shares of the rows.
      n_regimes_: how many hold more than a hundredth of the rows.
      reference_: the regime that targets are relative to.

    With linear mechanisms ``cpdag_`` shows what the class and the targets leave
    undirected; otherwise it equals ``adjacency_``. There are no ``weights_``.

    Sources: as in ``causaljax.kernels.latent_interventions``.

    Example:
      >>> from causaljax import LatentInterventionDAG
      >>> from causaljax import load_sachs
      >>> sachs = load_sachs()
      >>> model = LatentInterventionDAG(intervention="imperfect")
      >>> model.fit(np.log(sachs.data)).regimes_.value_counts()  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        max_regimes=None,
        max_targets=None,
        intervention="perfect",
        mechanism="network",
        concentration=None,
        prior=None,
        label_noise=None,
        progress=None,
        random_state=0,
    ):
        self.max_regimes = max_regimes
        self.max_targets = max_targets
        self.intervention = intervention
        self.mechanism = mechanism
        self.concentration = concentration
        self.prior = prior
        self.label_noise = label_noise
        self.progress = progress
        self.random_state = random_state

    def _skips_outlier_check(self):
        return True

    def _num_imputations(self):
        return 1  # each row of the table has its regime

    def _reads_regimes(self):
        return True

    def _fit_problem(self, problem, columns, bar):
        problem, regimes, labels = self._known(problem, columns)
        config = self._configured(problem, columns, regimes, bar)
        latent_interventions.check_config(config)
        linear = regimes.mechanism == "linear"
        posterior, info = self._run(
            latent_interventions.LINEAR_KERNEL
            if linear
            else latent_interventions.KERNEL,
            problem,
            config,
            bar,
            stage="graph and regimes",
        )
        posterior = jax.tree.map(np.asarray, posterior)
        graph = essential = posterior.graphs[0]
        if linear:
            # Directions that neither the class nor targets decide.
            cells = posterior.extra["responsibilities"] @ posterior.extra["targets"]
            disturbed = problem._replace(intervened=cells > 0.5)
            essential, prob = _settled(posterior.edge_prob, graph, disturbed)
            posterior = posterior._replace(edge_prob=prob)
        real = np.asarray(problem.weight) > 0
        extra = posterior.extra | {
            "responsibilities": posterior.extra["responsibilities"][real]
        }
        posterior = posterior._replace(extra=extra)
        order = _order(extra, labels)
        names = _names(order, labels)
        reference = names[order.index(int(extra["reference"]))]
        broad = (extra["targets"][order] > 0.5).mean(axis=1) > _BROAD
        info |= {
            "start": latent_interventions.INITIALISATIONS[info.pop("initialisation")],
            "reference_known": regimes.targets_known and 0 in labels,
            "broad_regimes": [
                name for name, far in zip(names, broad, strict=True) if far
            ],
        }
        self._warn(info, reference)
        self._found = _Found(names, order, reference, regimes)
        return FitResult(graph, essential, None, posterior, info)

    def _known(self, problem, columns):
        """Problem and config with what the user knows; labels by their codes."""
        real = np.asarray(problem.weight) > 0
        regime = np.array(problem.regime)
        hit = np.asarray(problem.intervened)
        labels = dict(enumerate(columns.regimes))
        if hit.any() and not labels:
            sets, regime[real] = np.unique(hit[real], axis=0, return_inverse=True)
            labels = dict(enumerate(range(len(sets))))
        lost = np.flatnonzero(hit.any(axis=1) & (regime < 0))
        if len(lost):
            raise ValueError(
                f"row {lost[0]} has interventions and no regime: give it a label in "
                "regimes, or no interventions"
            )
        if labels:
            # Code 0 is for rows that nothing was done to, or else nobody's.
            idle = np.array([not hit[regime == code].any() for code in labels])
            sizes = np.array([(regime == code).sum() for code in labels])
            first = int(np.argmax(np.where(idle, sizes, -1)))
            spare = hit.any() and not idle.any()
            codes = np.arange(len(labels)) + spare
            if not spare:
                codes[first], codes[0] = codes[0], codes[first]
            regime = np.where(regime >= 0, codes[regime], -1)
            labels = {int(codes[code]): _plain(name) for code, name in labels.items()}
        num_labels = max(labels) + 1 if labels else 0
        most = self.max_regimes
        if most is None:
            all_told = bool(labels) and (regime[real] >= 0).all()
            most = num_labels if all_told else max(2 * (hit.shape[1] + 1), num_labels)
        learned = self.concentration == "learned"
        # Linear regressions converge at once.
        curved = self.mechanism != "linear"
        regimes = mixture.Config(
            num_rows=2048 if curved else 4096,
            num_iterations=12 if curved else 4,
            max_regimes=most,
            num_labels=num_labels,
            targets_known=bool(hit.any()),
            concentration_learned=learned,
            **self._set_options(*_OPTIONS, *([] if learned else ["concentration"])),
        )
        return problem._replace(regime=regime.astype(np.int32)), regimes, labels

    def _configured(self, problem, columns, regimes, bar):
        """The kernel's config, with beliefs in edges or how they are found."""
        mixture.check_config(regimes)
        prior = self._given_prior(columns)
        found = shipped_candidates(interventional=True)
        if regimes.mechanism == "linear":
            bar.stage("candidate edges")
            key, hit = jax.random.key(self._seed), problem.intervened.any()
            once = shipped_candidates(bool(hit))
            prior, found = candidate_edges(key, problem, once, prior), None
        config = latent_interventions.Config(
            prior=prior,
            mixture=regimes,
            cell_price=latent_interventions.CELL_PRICES[regimes.mechanism],
            candidates=found,
        )
        if regimes.targets_known and (problem.regime[problem.weight > 0] >= 0).all():
            # One graph is judged, and on as many rows as NeuralDAG has.
            config = dataclasses.replace(config, careful=pruning.Config())
        return config

    def _warn(self, info, reference):
        if info["broad_regimes"]:
            notices.warn(
                f"regimes {info['broad_regimes']} disturb most columns: what disturbs "
                "everything explains anything, and says nothing about causes",
                stacklevel=4,
            )
        if not info["reference_known"]:
            notices.warn(
                f"regime {reference!r} is taken for the reference because it has the "
                "fewest targets; targets are relative to it",
                stacklevel=4,
            )

    def _shown_tables(self):
        rows = []
        shares = self.regime_weights_.to_dict()
        for name, targets in self.intervention_targets_.iterrows():
            share = shares[name]
            if share >= _LEAST_SHARE or name == self.reference_:
                hit = ", ".join(targets.index[targets > _LIKELY])
                rows.append((name, f"{share:.1%}", hit))
        yield Lines(["regime", "share", "targets"], rows)

    def _notes(self):
        targets = (self.intervention_targets_.loc[self.reference_] > 0.5).sum()
        own = f"with {targets} targets of its own" if targets > 1 else "without targets"
        own = "with a target of its own" if targets == 1 else own
        yield (
            f"Regime {self.reference_} is the reference, {own}; those of the others "
            "are relative to it."
        )
        if not self.info_["reference_known"]:
            yield "It is taken for that because it has the fewest targets."
        yield (
            f"Loss {self.info_['loss']:.3f} nats a row: minus the held-out bound, with "
            "the prices of edges and of intervened cells."
        )

    def _relabelled_extra(self, extra, places):
        model = densities.take_variables(extra.pop("model"), places)
        return super()._relabelled_extra(extra, places) | {"model": model}

    def _store(self, learned, columns, table):
        super()._store(learned, columns, table)
        names, order, reference, _ = self._found
        extra = learned.posterior.extra
        index = getattr(table, "index", None)
        self.regime_probabilities_ = pd.DataFrame(
            extra["responsibilities"][:, order], index=index, columns=list(names)
        )
        # A fit that failed has said so; its rows are of the first regime.
        likely = np.nan_to_num(extra["responsibilities"][:, order]).argmax(axis=1)
        labels = pd.Series([names[k] for k in likely], index=index)
        self.regimes_ = labels.infer_objects()
        self.intervention_targets_ = pd.DataFrame(
            extra["targets"][order], index=list(names), columns=list(columns.names)
        )
        self.target_evidence_ = pd.DataFrame(
            extra["target_evidence"][order],
            index=list(names),
            columns=list(columns.names),
        )
        self.regime_weights_ = self.regime_probabilities_.mean(axis=0)
        self.n_regimes_ = int((self.regime_weights_ > 0.01).sum())
        self.reference_ = reference
        self._columns = columns

    def predict_regimes(self, X: Any) -> pd.Series:
        """The likeliest regime of rows, which need not be those of ``fit``.

        Args:
          X: as ``fit`` takes it, with the same columns.

        Raises:
          ValueError: as ``fit``, or if the columns are not those of ``fit``.
          AttributeError: if the estimator has not been fitted.
        """
        joint = self._joint(X)
        best = joint[:, self._found.order].argmax(axis=1)
        names = np.array(self._found.names, dtype=object)[best]
        return pd.Series(names, index=getattr(X, "index", None)).infer_objects()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-likelihood of rows of unknown regime (its bound), nats a row.

        Args:
          X: as ``fit`` takes it, with the same columns; units are those of X.
          y: ignored.

        Raises:
          ValueError: as ``fit``, or if the columns are not those of ``fit``.
          AttributeError: if the estimator has not been fitted.
        """
        del y
        joint = self._joint(X)
        units = np.log(self._columns.scales).sum()
        return float(np.logaddexp.reduce(joint, axis=1).mean() - units)

    def _set_cells(self, cells, hit):
        x = np.nan_to_num((cells - self._columns.means) / self._columns.scales)
        problem = pad_rows(make_problem(x), padded_size(len(x)))
        model, config = self.posterior_.extra["model"], self._found.config
        joint = np.asarray(_likelihoods(model, problem.x, config.intervention))
        share = scipy.special.softmax(joint[: len(x)].astype(np.float64), axis=1)
        return hit | (share @ self.posterior_.extra["targets"] > 0.5)

    def _joint(self, X):
        """Log-likelihoods of rows and regimes ``[n, k]``."""
        if not hasattr(self, "reference_"):
            raise AttributeError("fit a table before asking about rows")
        shape, left_out = np.shape(X), len(self._columns.left_out)
        taken = self.n_features_in_, self.n_features_in_ + left_out
        if len(shape) == 2 and shape[1] not in taken:
            raise ValueError(
                f"X has {shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        model, config = self.posterior_.extra["model"], self._found.config
        problem = frame.to_rows(X, self._columns)
        joint = _likelihoods(model, problem.x, config.intervention)
        return np.asarray(joint, np.float64)[problem.weight > 0]


class _Found(NamedTuple):
    """What learned arrays of regimes mean."""

    names: tuple  # of regimes, in the order in which they are shown
    order: list[int]  # their places
    reference: Any
    config: mixture.Config


def _order(extra, labels):
    """Places of regimes: those with labels or the reference, then by weight."""
    size, reference = extra["responsibilities"].sum(axis=0), int(extra["reference"])
    there = (size >= FEWEST_ROWS) | (np.arange(len(size)) == reference)
    first = [reference] if not labels else []
    rest = [code for code in labels if code not in first]
    unnamed = [k for k in np.argsort(-size) if there[k] and k not in first + rest]
    return first + rest + [int(k) for k in unnamed]


def _names(order, labels):
    """Labels as they were given; other regimes are numbered, after them."""
    numbers = [name for name in labels.values() if isinstance(name, int)]
    after = max(numbers, default=-1) + 1
    new = iter(range(after, after + len(order)))
    named = len(numbers) == len(labels)
    return tuple(
        labels[k] if k in labels else (next(new) if named else f"new {next(new)}")
        for k in order
    )


def _plain(name):
    """A label as Python has it: 3.0 is 3, as columns with gaps hold whole numbers."""
    if isinstance(name, np.generic):
        name = name.item()
    return int(name) if isinstance(name, float) and name.is_integer() else name


@quick_jit(once=True)
def _settled(prob, graph, problem):
    """What targets and the class leave open of a graph, and probabilities of edges."""
    essential = essential_graph(graph, decided_pairs(problem))
    return essential, symmetrise_undirected(prob, graph, essential)


_likelihoods = quick_jit(
    densities.regime_log_likelihoods, static_argnames="intervention"
)
