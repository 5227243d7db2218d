"""Differentiable causal discovery in JAX: tables in, causal graphs out.

Everything loads on first use; importing the package starts nothing.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causaljax.compilation_cache import (
        enable_compilation_cache as enable_compilation_cache,
    )
    from causaljax.estimators import AmortizedDAG as AmortizedDAG
    from causaljax.estimators import LatentInterventionDAG as LatentInterventionDAG
    from causaljax.estimators import LinearDAG as LinearDAG
    from causaljax.estimators import NeuralDAG as NeuralDAG
    from causaljax.frame import Knowledge as Knowledge
    from causaljax.types import Kernel as Kernel
    from causaljax.types import Posterior as Posterior
    from causaljax.types import Problem as Problem
    from causaljax.types import make_problem as make_problem

__version__ = "0.1.0"

_HOME = {
    "AmortizedDAG": "estimators",
    "Kernel": "types",
    "Knowledge": "frame",
    "LatentInterventionDAG": "estimators",
    "LinearDAG": "estimators",
    "NeuralDAG": "estimators",
    "Posterior": "types",
    "Problem": "types",
    "enable_compilation_cache": "compilation_cache",
    "make_problem": "types",
}
_ROOMS = [module.name for module in pkgutil.iter_modules(__path__)]

__all__ = sorted([*_HOME, *_ROOMS])


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
