"""One graph and regimes of rows that nobody labelled."""

from causaljax.kernels.latent_interventions.kernel import (
    KERNEL,
    LINEAR_KERNEL,
    Info,
    check_config,
    finalise,
    init,
    step,
)
from causaljax.regimes.state import (
    HIDDEN,
    INITIALISATIONS,
    INTERVENTIONS,
    Config,
    State,
)

__all__ = [
    "HIDDEN",
    "INITIALISATIONS",
    "INTERVENTIONS",
    "KERNEL",
    "LINEAR_KERNEL",
    "Config",
    "Info",
    "State",
    "check_config",
    "finalise",
    "init",
    "step",
]
