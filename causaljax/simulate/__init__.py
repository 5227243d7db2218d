"""Simulated tables with known causes: graphs, mechanisms, noise, interventions.

    graph -> weights -> noise -> ``simulate_linear`` -> (``Problem``, ``LinearTruth``)
    graph -> mechanisms -> noise -> ``simulate`` -> (``Problem``, ``SCMTruth``)
    graph -> kinetics -> measurement -> ``simulate_genes`` -> (``Problem``,
    ``GeneTruth``)

``avici_table`` draws the tables AVICI was trained and tested on, graphs included,
``dcdi_table`` those of DCDI, ``faria_table`` those of Faria, Martins and Figueiredo.
``regime_log_likelihood`` says how well regimes could be guessed there.

Everything is pure, jit-able with sizes and names static, and may be vmapped over
keys.
"""

from causaljax.simulate import knowledge as knowledge
from causaljax.simulate import training_mix as training_mix
from causaljax.simulate.avici import avici_table
from causaljax.simulate.columns import SCALINGS
from causaljax.simulate.dcdi import DcdiTruth, dcdi_table
from causaljax.simulate.faria import FariaTruth, faria_table
from causaljax.simulate.gene import (
    PLATFORMS,
    GeneTruth,
    Platform,
    log_normalise,
    simulate_genes,
)
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
from causaljax.simulate.regime_likelihood import (
    RegimeModel,
    linear_regime_log_likelihood,
    regime_log_likelihood,
)
from causaljax.simulate.scm import LinearTruth, SCMTruth, simulate, simulate_linear

__all__ = [
    "HEAVY_NOISE",
    "MECHANISMS",
    "NOISE",
    "PLATFORMS",
    "SCALINGS",
    "DcdiTruth",
    "FariaTruth",
    "GeneTruth",
    "Intervention",
    "Mechanism",
    "SCMTruth",
    "Platform",
    "RegimeModel",
    "LinearTruth",
    "avici_table",
    "bipartite",
    "dcdi_table",
    "draw_targets",
    "erdos_renyi",
    "faria_table",
    "hide_regimes",
    "lattice",
    "linear_regime_log_likelihood",
    "linear_weights",
    "log_normalise",
    "perfect_intervention",
    "random_geometric",
    "regime_log_likelihood",
    "sample_noise",
    "scale_free",
    "scale_intervention",
    "shift_intervention",
    "simulate",
    "simulate_genes",
    "simulate_linear",
    "stochastic_block",
    "watts_strogatz",
]
