"""Simulated tables with known causes: graphs, mechanisms, noise, interventions.

    graph -> weights -> noise -> ``simulate_linear`` -> (``Problem``, ``Truth``)

Everything is pure, jit-able with sizes and names static, and may be vmapped over
keys.
"""

from causaljax.simulate.graphs import (
    bipartite,
    erdos_renyi,
    scale_free,
    watts_strogatz,
)
from causaljax.simulate.interventions import (
    Intervention,
    draw_targets,
    perfect_intervention,
    scale_intervention,
    shift_intervention,
)
from causaljax.simulate.mechanisms import linear_weights
from causaljax.simulate.noise import NOISE, sample_noise
from causaljax.simulate.scm import SCALINGS, Truth, simulate_linear

__all__ = [
    "NOISE",
    "SCALINGS",
    "Intervention",
    "Truth",
    "bipartite",
    "draw_targets",
    "erdos_renyi",
    "linear_weights",
    "perfect_intervention",
    "sample_noise",
    "scale_free",
    "scale_intervention",
    "shift_intervention",
    "simulate_linear",
    "watts_strogatz",
]
