"""One graph and regimes of rows that nobody labelled."""

from causaljax.kernels.latent_interventions.kernel import (
    CELL_PRICES,
    KERNEL,
    LINEAR_KERNEL,
    Config,
    Info,
    State,
    check_config,
    finalise,
    init,
    step,
)
from causaljax.regimes.state import HIDDEN, INITIALISATIONS, INTERVENTIONS

__all__ = [
    "CELL_PRICES",
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
