"""Scores of an answer to a table of hidden regimes, for `bench_latent.py`."""

from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from latent_tables import Drawn
from sklearn.metrics import adjusted_rand_score, average_precision_score

from causaljax.graphs import metrics
from causaljax.reports.evaluation import sid

_NOTABLE = 0.01  # share of the rows of a regime that counts


class Found(NamedTuple):
    """What a method says of a table; k learned regimes, None if it has none."""

    graph: np.ndarray  # [d, d] bool, both ways where undirected
    strength: np.ndarray  # [d, d]
    seconds: float = 0.0
    labels: np.ndarray | None = None  # [n] int, from 0 to k - 1
    targets: np.ndarray | None = None  # [k, d], probabilities
    told: np.ndarray | None = None  # [n] bool, rows whose label was known
    bits: float = float("nan")  # log-likelihood of a fresh row


def learned_regimes(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Each row's place among the rows of the targets, and those.

    Raises:
      ValueError: if a row's label has no place.
    """
    labels = model.regime_probabilities_.columns.get_indexer(np.asarray(model.regimes_))
    if (labels < 0).any():
        raise ValueError("regimes_ holds a label that regime_probabilities_ lacks")
    return labels, model.intervention_targets_.to_numpy()


def match(regime: np.ndarray, labels: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """The learned regime of each true one, such that they share most rows.

    Args:
      regime: `[n]`, true, from 0 to r - 1.
      labels: `[n]`, learned, from 0 to k - 1.
      sizes: (r, k).

    Returns:
      `[r]` int, -1 where a true regime shares no row with what is left for it.
    """
    counts = np.zeros(sizes, int)
    np.add.at(counts, (regime, labels), 1)
    true, learned = scipy.optimize.linear_sum_assignment(counts, maximize=True)
    matched = np.full(sizes[0], -1)
    shared = counts[true, learned] > 0
    matched[true[shared]] = learned[shared]
    return matched


def matched_targets(drawn: Drawn, found: Found) -> np.ndarray:
    """`[r, d]`, probabilities of targets, 0 where a true regime was not found."""
    labels, targets = np.asarray(found.labels), np.asarray(found.targets)
    matched = match(drawn.regime, labels, (len(drawn.targets), len(targets)))
    return np.where(matched[:, None] >= 0, targets[matched], 0)


def target_f1(truth: np.ndarray, said: np.ndarray) -> float:
    """F1 over all pairs of a true regime and a variable; 1 if there are none."""
    said = said > 0.5
    either = truth.sum() + said.sum()
    return 2 * float((truth & said).sum() / either) if either else 1.0


def target_auprc(truth: np.ndarray, said: np.ndarray) -> float:
    """Average precision over the same pairs, those of regime 0 left out."""
    return float(average_precision_score(truth[1:].ravel(), said[1:].ravel()))


def expected_shd(truth: np.ndarray, strength: np.ndarray) -> float:
    """Mean SHD of graphs whose pairs are drawn one by one from the probabilities."""
    forth, back = strength, strength.T
    apart = np.maximum(1 - forth - back, 0)
    right = np.where(truth, forth, np.where(truth.T, back, apart))
    return float(np.triu(1 - right, 1).sum())


def score(drawn: Drawn, found: Found) -> dict[str, float]:
    """All figures of one answer, NaN where they are not defined."""
    graph = np.asarray(found.graph, bool)
    undirected = (graph & graph.T).any()
    figures = {
        "edges": float(np.triu(graph | graph.T).sum()),
        "shd": float(metrics.shd(drawn.graph, graph)),
        "shd2": float((drawn.graph != graph).sum()),
        "expected_shd": expected_shd(drawn.graph, found.strength),
        "sid": float("nan") if undirected else float(sid(drawn.graph, graph)),
        "f1": float(metrics.edge_accuracy(drawn.graph, graph).f1),
        "auprc": float(metrics.auprc(drawn.graph, found.strength.astype("f4"))),
        "bits": found.bits,
        "seconds": found.seconds,
    }
    of_regimes = ("targets", "target_auprc", "regimes", "ari", "ceiling")
    figures |= dict.fromkeys(of_regimes, float("nan"))
    if found.labels is not None:
        figures |= _of_regimes(drawn, found)
    return figures


def _of_regimes(drawn, found):
    labels, regime = found.labels, drawn.regime
    num_notable = (np.bincount(labels) > _NOTABLE * len(labels)).sum()
    figures = {"regimes": float(num_notable)}
    if found.targets is not None:
        said = matched_targets(drawn, found)
        figures["targets"] = target_f1(drawn.targets, said)
        if drawn.targets.any():
            figures["target_auprc"] = target_auprc(drawn.targets, said)
    untold = np.ones(len(labels), bool) if found.told is None else ~found.told
    if untold.any():
        figures["ari"] = adjusted_rand_score(regime[untold], labels[untold])
        if drawn.guess is not None:
            ceiling = adjusted_rand_score(regime[untold], drawn.guess[untold])
            figures["ceiling"] = ceiling
    return figures
