"""Linear DAGs by continuous optimisation: NOTEARS, GOLEM, DAGMA."""

from causaljax.kernels.continuous.kernel import (
    KERNEL,
    Config,
    Info,
    State,
    finalise,
    init,
    step,
)

__all__ = [
    "KERNEL",
    "Config",
    "Info",
    "State",
    "finalise",
    "init",
    "step",
]
