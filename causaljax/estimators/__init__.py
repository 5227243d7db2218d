"""One thin class a method, over DataFrames; each loads on first use."""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.estimators.advice import Advice as Advice
    from causaljax.estimators.advice import discover as discover
    from causaljax.estimators.advice import recommend as recommend
    from causaljax.estimators.amortized import AmortizedDAG as AmortizedDAG
    from causaljax.estimators.assumptions import (
        diagnose_assumptions as diagnose_assumptions,
    )
    from causaljax.estimators.base import BaseGraphEstimator as BaseGraphEstimator
    from causaljax.estimators.bayesian import BayesianDAG as BayesianDAG
    from causaljax.estimators.causal_de_finetti import (
        CausalDeFinetti as CausalDeFinetti,
    )
    from causaljax.estimators.cdnod import CDNOD as CDNOD
    from causaljax.estimators.continuous import ContinuousDAG as ContinuousDAG
    from causaljax.estimators.fci import FCI as FCI
    from causaljax.estimators.federated import FederatedCDNOD as FederatedCDNOD
    from causaljax.estimators.federated_client import FederatedClient as FederatedClient
    from causaljax.estimators.federated_messages import Agreement as Agreement
    from causaljax.estimators.federated_messages import ClientSummary as ClientSummary
    from causaljax.estimators.federated_messages import ClientSums as ClientSums
    from causaljax.estimators.latent_interventions import (
        LatentInterventionDAG as LatentInterventionDAG,
    )
    from causaljax.estimators.linear import LinearDAG as LinearDAG
    from causaljax.estimators.mixed import MixedDAG as MixedDAG
    from causaljax.estimators.neural import NeuralDAG as NeuralDAG
    from causaljax.estimators.pc import PC as PC
    from causaljax.estimators.saved import load as load

_HOME = {
    "advice": ["Advice", "discover", "recommend"],
    "amortized": ["AmortizedDAG"],
    "assumptions": ["diagnose_assumptions"],
    "base": ["BaseGraphEstimator"],
    "bayesian": ["BayesianDAG"],
    "causal_de_finetti": ["CausalDeFinetti"],
    "cdnod": ["CDNOD"],
    "continuous": ["ContinuousDAG"],
    "fci": ["FCI"],
    "federated": ["FederatedCDNOD"],
    "federated_client": ["FederatedClient"],
    "federated_messages": ["Agreement", "ClientSummary", "ClientSums"],
    "latent_interventions": ["LatentInterventionDAG"],
    "linear": ["LinearDAG"],
    "mixed": ["MixedDAG"],
    "neural": ["NeuralDAG"],
    "pc": ["PC"],
    "saved": ["load"],
}
"""Names that can be had from the package itself, by the module they live in."""

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
