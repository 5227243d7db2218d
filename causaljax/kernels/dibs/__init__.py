"""Posteriors over graphs by particles: DiBS."""

from causaljax.kernels.dibs.kernel import (
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
