"""DAGs of tables of classes and numbers by search over orders."""

from causaljax.kernels.mixed_order.kernel import (
    KERNEL,
    SCORES,
    Config,
    Info,
    State,
    finalise,
    init,
    step,
)

__all__ = [
    "KERNEL",
    "SCORES",
    "Config",
    "Info",
    "State",
    "finalise",
    "init",
    "step",
]
