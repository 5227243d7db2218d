"""What functions of this room share: settings, mechanisms, a mixture's state."""

import dataclasses
from typing import NamedTuple

import jax
from jax.typing import ArrayLike

from causaljax.core.options import option
from causaljax.core.types import Array
from causaljax.mechanisms.regression_network import Curve

INTERVENTIONS = ("perfect", "imperfect")
HIDDEN = {"linear": 0, "network": 16, "flow": 16}
"""Mechanisms, with the hidden units of their curves."""
INITIALISATIONS = ("targets", "patterns", "columns")
"""One regime a variable, that variable its target; or groups of rows alike in which
cells look disturbed, and in their values; or groups of rows alike in all values."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; those of more than
    ``min_prior_prob`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. ``initialisation`` is the number of one of ``INITIALISATIONS``. To go on
    from ``responsibilities`` of rows instead, give them, and ``targets`` as well if
    they are not to be found anew; arrays of NaN are as good as None.
    ``concentration`` is that of the Dirichlet process and ``target_prior`` the prior
    probability of a target. ``weight_decay`` is the precision of a normal prior of the
    curves' parameters.

    A regime has at most ``max_targets`` targets, those of most evidence; 0 allows any
    number.

    Rows whose regime is from 0 to ``num_labels - 1`` belong there, with probability
    1 - ``label_noise``. With ``targets_known`` (0 or 1) their intervened cells tell
    their regimes' targets, and regime 0 is the reference.

    A run is scheduled by shares of ``num_steps``. In the first ``cell_share`` of the
    steps there are no regimes. Shares of the steps after that: for ``held_share``
    either targets or rows of new regimes stay as they are, from ``reference_share`` on
    a reference is chosen, and from ``merge_share`` on any two regimes may merge.
    """

    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    responsibilities: ArrayLike | None = None  # [n, k] float
    targets: ArrayLike | None = None  # [k, d] float
    initialisation: ArrayLike = option(0.0, least=0, below=len(INITIALISATIONS))
    min_prior_prob: float = option(0.1, least=0, below=1)
    concentration: float = option(1.0, above=0)
    target_prior: float = option(0.1, above=0, below=1)
    label_noise: float = option(0.0, least=0, below=1)
    weight_decay: float = option(1.0, above=0)
    cell_share: float = option(0.3, least=0, below=1, static=True)
    held_share: float = option(0.3, least=0, static=True)
    reference_share: float = option(0.4, least=0, static=True)
    merge_share: float = option(0.5, least=0, static=True)
    num_labels: ArrayLike = option(0.0, least=0)
    targets_known: ArrayLike = option(0.0, least=0)
    intervention: str = option("perfect", choices=INTERVENTIONS)
    mechanism: str = option("network", choices=HIDDEN)
    max_regimes: int = option(20, least=1)
    max_targets: int = option(0, least=0)
    concentration_learned: bool = option(False)
    max_parents: int = option(10, least=1)
    num_iterations: int = option(4, least=1)
    num_updates: int = option(10, least=1)
    num_rows: int = option(4096, least=1)
    num_steps: int = option(20, least=1)


class Mechanisms(NamedTuple):
    """p(x_j given its candidate parents) of all variables; leaves ``[d, ...]``."""

    curves: Curve
    scale: Array  # [d] float, standard deviations of the noise
    shapes: Array  # [d, m, b] float, of the noise (``noise_shape``), or [d, 0, 0]
    parents: Array  # [d, p] int, the candidate parents in their places
    parent_mask: Array  # [d, p] bool, whether a place is taken


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    mechanisms: Mechanisms
    graph: Array  # [d, d] bool, candidate parents; acyclic
    evidence: Array  # [d, d] float, for edges, nats, if mechanisms are linear
    reference: Array  # [] int32, the regime without targets, -1 if none is known
    intervened_prob: Array  # [n, d] float, P(the cell was intervened on)
    responsibilities: Array  # [n, k] float, P(the row is of the regime)
    targets: Array  # [k, d] float, P(the regime intervened on the variable)
    concentration: Array  # [] float
    rows: Array  # [m] int, that curves are fitted on
    weight: Array  # [n] float, of rows to learn from
    held_out: Array  # [n] float, of rows to score on
