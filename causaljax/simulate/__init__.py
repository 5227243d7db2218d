"""Simulated tables with known causes: graphs, mechanisms, noise, interventions.

    graph -> weights -> noise -> ``simulate_linear`` -> (``Problem``, ``Truth``)
    graph -> mechanisms -> noise -> ``simulate`` -> (``Problem``, ``Origin``)

Everything is pure, jit-able with sizes and names static, and may be vmapped over
keys.
"""

from causaljax.simulate.columns import SCALINGS
from causaljax.simulate.graphs import (
    bipartite,
    erdos_renyi,
    lattice,
    random_geometric,
    scale_free,
    stochastic_block,
    watts_strogatz,
)
from causaljax.simulate.interventions import (
    Intervention,
    draw_targets,
    hide_regimes,
    perfect_intervention,
    scale_intervention,
    shift_intervention,
)
from causaljax.simulate.mechanisms import MECHANISMS, Mechanism, linear_weights
from causaljax.simulate.noise import HEAVY_NOISE, NOISE, sample_noise
from causaljax.simulate.scm import Origin, Truth, simulate, simulate_linear

__all__ = [
    "HEAVY_NOISE",
    "MECHANISMS",
    "NOISE",
    "SCALINGS",
    "Intervention",
    "Mechanism",
    "Origin",
    "Truth",
    "bipartite",
    "draw_targets",
    "erdos_renyi",
    "hide_regimes",
    "lattice",
    "linear_weights",
    "perfect_intervention",
    "random_geometric",
    "sample_noise",
    "scale_free",
    "scale_intervention",
    "shift_intervention",
    "simulate",
    "simulate_linear",
    "stochastic_block",
    "watts_strogatz",
]
