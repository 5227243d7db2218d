"""One thin class a method, over DataFrames."""

from causaljax.estimators.amortized import AmortizedDAG
from causaljax.estimators.base import BaseGraphEstimator
from causaljax.estimators.latent_interventions import LatentInterventionDAG
from causaljax.estimators.linear import LinearDAG
from causaljax.estimators.neural import NeuralDAG

__all__ = [
    "AmortizedDAG",
    "BaseGraphEstimator",
    "LatentInterventionDAG",
    "LinearDAG",
    "NeuralDAG",
]
