"""An architecture, what it says of a table, and its trained weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from causaljax.core.types import Array, PyTree
from causaljax.networks.out_of_distribution import Reference


class GraphLogits(NamedTuple):
    """Log odds about a graph, from one table; what is known has already entered.

    ``edge`` and ``confounded`` are answers; the others are helpers in training.
    """

    edge: Array
    """``[d, d]``: i -> j at [i, j], against no edge between i and j. The three cases
    of a pair are softmax(0, edge[i, j], edge[j, i]). The diagonal means nothing."""
    ancestor: Array
    """``[d, d]``: log odds that a directed path leads from i to j, at [i, j]. The
    diagonal means nothing."""
    order: Array
    """``[d]``: greater for causes; order[i] - order[j] are the log odds that i stands
    before j, of pairs joined by a directed path."""
    confounded: Array
    """``[d, d]``, symmetric: log odds that i and j have a common cause that is not in
    the table, be there an edge between them or not. The diagonal means nothing."""
    target: Array
    """``[d]``: log odds that the variable was intervened on in rows that do not say
    so."""


class Network(NamedTuple):
    """An architecture of ``causaljax.networks`` and its size; hashable, a jit constant.

    ``inputs(problem, config)`` is what the network reads of a table, computed once.
    ``edge_logits(params, inputs, allowed, required, config)`` is the forward pass
    and returns ``GraphLogits``.
    """

    inputs: Callable[..., PyTree]
    edge_logits: Callable[..., PyTree]
    config: Any  # hashable


class Calibration(NamedTuple):
    """What turns a network's logits into probabilities: see ``kernels.amortized``."""

    temperature: np.ndarray  # [3] float, of edges
    confounder_temperature: np.ndarray  # [3] float, of hidden common causes
    threshold: float  # at which graphs are best, on calibrated probabilities


class Weights(NamedTuple):
    """A trained network and what its user must know of it.

    ``card`` is for the reader, and JSON; it has at least ``name`` and ``max_columns``,
    the most columns a training table had.
    """

    params: PyTree  # nested dicts of float32 arrays
    network: Network
    calibration: Calibration
    reference: Reference | None  # None if ood_score is not to be judged
    card: dict[str, Any]

    def __repr__(self):
        return f"Weights({self.card['name']!r})"


def network_of(module: Any, config: Any) -> Network:
    """An architecture of ``causaljax.networks`` at one size."""
    return Network(module.inputs, module.edge_logits, config)
