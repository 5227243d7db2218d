"""The methods that `bench_latent.py` compares, each a `Drawn` to a `Found`.

truth      the true model, which guesses each row's regime
empty      no edge
pooled     NeuralDAG, or LinearDAG of linear mechanisms, not knowing of regimes
amortized  AmortizedDAG on the pooled rows
mixture    what one would do by hand, see `mixture`
oracle     LatentInterventionDAG told every row's regime and all targets
labels     the same told every row's regime and no targets
hidden     the same told nothing
partial    the same told regime and targets of a tenth of the rows
"""

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import rivals
from latent_scores import Found, learned_regimes
from latent_tables import Drawn
from sklearn.mixture import GaussianMixture

import causaljax


def truth(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """The ceiling."""
    del setting
    return Found(
        drawn.graph,
        drawn.graph.astype(float),
        labels=drawn.guess,
        targets=drawn.targets.astype(float),
        bits=drawn.bits,
    )


def empty(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """No edge at all."""
    del setting
    nothing = np.zeros(drawn.graph.shape)
    return Found(nothing > 0, nothing)


def pooled(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """A method of the same mechanisms that takes the rows for one regime's."""
    del setting
    linear = drawn.cell.model == "linear"
    return fitted(causaljax.LinearDAG() if linear else causaljax.NeuralDAG(), drawn)


def amortized(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """The trained network on the pooled rows."""
    del setting
    return fitted(causaljax.AmortizedDAG(), drawn)


def mixture(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """A Gaussian mixture, then an order search on its largest component.

    Components have full covariances and as many are taken, up to twice the truth, as
    BIC likes best. The largest is taken for the rows that were left alone, and flop
    searches among its rows only; the other rows do not speak of the graph.
    """
    del setting
    start = time.perf_counter()
    table = drawn.table.to_numpy()
    candidates = [
        GaussianMixture(count, random_state=0).fit(table)
        for count in range(1, 2 * len(drawn.targets) + 1)
    ]
    best = min(candidates, key=lambda candidate: candidate.bic(table))
    labels = best.predict(table)
    reference = table[labels == np.bincount(labels).argmax()]
    seconds = time.perf_counter() - start
    standard = (reference - reference.mean(axis=0)) / reference.std(axis=0)
    result = rivals.run("flop", standard)
    graph = result.graph > 0
    return Found(
        graph,
        graph * (1 - graph.T / 2),
        seconds=seconds + result.seconds,
        labels=labels,
        bits=best.score(drawn.fresh.to_numpy()) / math.log(2),
    )


def oracle(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """Labels and targets known."""
    everyone = np.ones(len(drawn.table), bool)
    return _latent(drawn, setting, everyone, acted_on=drawn.targets[drawn.regime])


def labels(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """Labels known, targets not."""
    return _latent(drawn, setting, np.ones(len(drawn.table), bool))


def hidden(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """Nothing known."""
    return _latent(drawn, setting, None)


def partial(drawn: Drawn, setting: dict[str, Any]) -> Found:
    """Labels and targets of some rows known."""
    acted_on = drawn.targets[drawn.regime] & drawn.told[:, None]
    return _latent(drawn, setting, drawn.told, acted_on=acted_on)


def latent_dag(drawn: Drawn, **setting: Any) -> Any:
    """The estimator for a table, with room for twice as many regimes as there are."""
    usual = {
        "max_regimes": 2 * len(drawn.targets),
        "mechanism": drawn.cell.model,
        "intervention": drawn.cell.intervention,
    }
    return causaljax.LatentInterventionDAG(**usual | setting)


def _latent(drawn, setting, told, acted_on=None):
    """Told the regimes of some rows, and of those the targets if they are given."""
    known: dict[str, Any] = {}
    if told is not None:
        known["regimes"] = pd.Series(drawn.regime, dtype=object).where(told)
    if acted_on is not None:
        known["interventions"] = pd.DataFrame(acted_on, columns=drawn.table.columns)
    if told is not None and told.all():
        setting = {"max_regimes": len(drawn.targets)} | setting  # there are no others
    return fitted(latent_dag(drawn, **setting), drawn, told=told, **known)


def fitted(
    model: Any, drawn: Drawn, *, told: np.ndarray | None = None, **known: Any
) -> Found:
    """An estimator on the rows of a table, its score on the fresh ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(drawn.table, **known)
        seconds = time.perf_counter() - start
    bits = float("nan")
    if hasattr(model, "score"):
        bits = model.score(drawn.fresh) / math.log(2)
    found = Found(
        model.adjacency_.to_numpy() > 0,
        model.edge_probabilities_.to_numpy(),
        seconds=seconds,
        told=told,
        bits=bits,
    )
    if hasattr(model, "regimes_"):
        place, targets = learned_regimes(model)
        found = found._replace(labels=place, targets=targets)
    return found


METHODS: dict[str, Callable[[Drawn, dict[str, Any]], Found]] = {
    method.__name__: method
    for method in (
        truth,
        empty,
        pooled,
        amortized,
        mixture,
        oracle,
        labels,
        hidden,
        partial,
    )
}
"""In the order of a cell's rows; remarks on the last two refer to those before."""
