"""Differentiable causal discovery in JAX: tables in, causal graphs out.

Everything loads on first use; importing the package starts nothing.
"""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.compilation_cache import (
        enable_compilation_cache as enable_compilation_cache,
    )
    from causaljax.core.types import Kernel as Kernel
    from causaljax.core.types import Posterior as Posterior
    from causaljax.core.types import Problem as Problem
    from causaljax.core.types import make_problem as make_problem
    from causaljax.estimators import CDNOD as CDNOD
    from causaljax.estimators import FCI as FCI
    from causaljax.estimators import PC as PC
    from causaljax.estimators import AmortizedDAG as AmortizedDAG
    from causaljax.estimators import BayesianDAG as BayesianDAG
    from causaljax.estimators import CausalDeFinetti as CausalDeFinetti
    from causaljax.estimators import ContinuousDAG as ContinuousDAG
    from causaljax.estimators import FederatedCDNOD as FederatedCDNOD
    from causaljax.estimators import FederatedClient as FederatedClient
    from causaljax.estimators import LatentInterventionDAG as LatentInterventionDAG
    from causaljax.estimators import LinearDAG as LinearDAG
    from causaljax.estimators import MixedDAG as MixedDAG
    from causaljax.estimators import NeuralDAG as NeuralDAG
    from causaljax.estimators import diagnose_assumptions as diagnose_assumptions
    from causaljax.estimators import discover as discover
    from causaljax.estimators import load as load
    from causaljax.estimators import recommend as recommend
    from causaljax.probabilistic import to_numpyro as to_numpyro
    from causaljax.reports.evaluation import compare_graphs as compare_graphs
    from causaljax.tables.datasets import load_sachs as load_sachs
    from causaljax.tables.files import read_result as read_result
    from causaljax.tables.knowledge import Knowledge as Knowledge
    from causaljax.tables.knowledge_files import read_knowledge as read_knowledge

__version__ = "0.1.0"

_HOME = {
    "compilation_cache": ["enable_compilation_cache"],
    "probabilistic": ["to_numpyro"],
    "reports.evaluation": ["compare_graphs"],
    "tables.datasets": ["load_sachs"],
    "tables.files": ["read_result"],
    "estimators": [
        "CDNOD",
        "CausalDeFinetti",
        "FCI",
        "PC",
        "AmortizedDAG",
        "BayesianDAG",
        "ContinuousDAG",
        "FederatedCDNOD",
        "FederatedClient",
        "LatentInterventionDAG",
        "LinearDAG",
        "MixedDAG",
        "NeuralDAG",
        "diagnose_assumptions",
        "discover",
        "load",
        "recommend",
    ],
    "tables.knowledge": ["Knowledge"],
    "tables.knowledge_files": ["read_knowledge"],
    "core.types": ["Kernel", "Posterior", "Problem", "make_problem"],
}
"""Names that can be had from the package itself, by the module they live in."""

_FILES = [
    module.name
    for module in pkgutil.iter_modules(__path__)
    if module.name != "__main__"
]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
