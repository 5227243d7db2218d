"""Graphs and structural equations in numpyro models, and draws for arviz.

Graph priors are distributions of numpyro, ``to_numpyro`` makes a model of the
structural equations of a graph, and ``to_arviz`` hands draws of graphs to arviz.
Modules load on first use.
"""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.probabilistic.arviz_export import mcmc_to_arviz as mcmc_to_arviz
    from causaljax.probabilistic.arviz_export import to_arviz as to_arviz
    from causaljax.probabilistic.effect_posterior import (
        EffectPosterior as EffectPosterior,
    )
    from causaljax.probabilistic.effect_posterior import (
        averaged_effects as averaged_effects,
    )
    from causaljax.probabilistic.graph_priors import ErdosRenyi as ErdosRenyi
    from causaljax.probabilistic.graph_priors import GraphGivenOrder as GraphGivenOrder
    from causaljax.probabilistic.graph_priors import Modular as Modular
    from causaljax.probabilistic.graph_priors import OrderBased as OrderBased
    from causaljax.probabilistic.graph_priors import ScaleFree as ScaleFree
    from causaljax.probabilistic.graph_priors import UniformOrder as UniformOrder
    from causaljax.probabilistic.graph_priors import (
        independent_edges as independent_edges,
    )
    from causaljax.probabilistic.structural_model import (
        StructuralModel as StructuralModel,
    )
    from causaljax.probabilistic.structural_model import to_numpyro as to_numpyro

_HOME = {
    "arviz_export": ["mcmc_to_arviz", "to_arviz"],
    "effect_posterior": ["EffectPosterior", "averaged_effects"],
    "graph_priors": [
        "ErdosRenyi",
        "GraphGivenOrder",
        "Modular",
        "OrderBased",
        "ScaleFree",
        "UniformOrder",
        "independent_edges",
    ],
    "structural_model": ["StructuralModel", "to_numpyro"],
}
"""Names that can be had from the package itself, by the module they live in."""

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
