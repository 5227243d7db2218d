"""Graphs of neural mechanisms: candidate edges, pruning, equations."""

from causaljax.kernels.neural.kernel import (
    KERNEL,
    Config,
    Info,
    State,
    candidate_key,
    finalise,
    init,
    step,
)

__all__ = [
    "KERNEL",
    "Config",
    "Info",
    "State",
    "candidate_key",
    "finalise",
    "init",
    "step",
]
