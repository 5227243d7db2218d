"""One thin class a method, over DataFrames; each loads on first use."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causaljax.estimators.amortized import AmortizedDAG as AmortizedDAG
    from causaljax.estimators.base import BaseGraphEstimator as BaseGraphEstimator
    from causaljax.estimators.latent_interventions import (
        LatentInterventionDAG as LatentInterventionDAG,
    )
    from causaljax.estimators.linear import LinearDAG as LinearDAG
    from causaljax.estimators.neural import NeuralDAG as NeuralDAG

_HOME = {
    "AmortizedDAG": "amortized",
    "BaseGraphEstimator": "base",
    "LatentInterventionDAG": "latent_interventions",
    "LinearDAG": "linear",
    "NeuralDAG": "neural",
}
_FILES = [module.name for module in pkgutil.iter_modules(__path__)]

__all__ = sorted([*_HOME, *_FILES])


def __getattr__(name: str):
    if name in _FILES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
