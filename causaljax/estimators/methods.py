"""Names of methods, and estimators by them."""

from collections.abc import Mapping
from typing import Any

from causaljax import estimators
from causaljax.tables.errors import unknown

METHODS = {
    "linear": "LinearDAG",
    "mixed": "MixedDAG",
    "continuous": "ContinuousDAG",
    "amortized": "AmortizedDAG",
    "bayesian": "BayesianDAG",
    "neural": "NeuralDAG",
    "pc": "PC",
    "fci": "FCI",
    "cdnod": "CDNOD",
    "causal-de-finetti": "CausalDeFinetti",
    "latent-interventions": "LatentInterventionDAG",
}
"""Names of ``--method`` and the estimators behind them."""

_OWN = {"progress", "random_state"}  # parameters that whoever runs a fit sets


def method_name(estimator: str) -> str:
    """The name of ``--method`` for that of an estimator."""
    return next(name for name, known in METHODS.items() if known == estimator)


def make(method: str, settings: Mapping[str, Any] | None = None) -> Any:
    """An estimator by the name of its method.

    Args:
      method: a key of ``METHODS``.
      settings: parameters that differ from the defaults.

    Raises:
      CodedError: for a parameter that the method does not have.
    """
    estimator = getattr(estimators, METHODS[method])()
    names = parameter_names(estimator)
    for name, value in (settings or {}).items():
        if name not in names:
            what = f"--set {name}={value}: {method} has no {name}"
            raise unknown("invalid_setting", what, name, names)
        estimator.set_params(**{name: value})
    return estimator


def parameter_names(estimator: Any) -> list[str]:
    """The parameters that ``--set`` may change."""
    return sorted(set(estimator.get_params()) - _OWN)
