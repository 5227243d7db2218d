"""Amortized inference: one forward pass of a trained network reads a table."""

from causaljax.kernels.amortized.kernel import (
    KERNEL,
    Config,
    Info,
    State,
    check_config,
    configure,
    decide,
    finalise,
    init,
    step,
)

__all__ = [
    "KERNEL",
    "Config",
    "Info",
    "State",
    "check_config",
    "configure",
    "decide",
    "finalise",
    "init",
    "step",
]
