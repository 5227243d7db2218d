"""One thin class a method, over DataFrames."""

from causaljax.estimators.amortized import AmortizedDAG
from causaljax.estimators.base import BaseGraphEstimator
from causaljax.estimators.linear import LinearDAG

__all__ = ["AmortizedDAG", "BaseGraphEstimator", "LinearDAG"]
