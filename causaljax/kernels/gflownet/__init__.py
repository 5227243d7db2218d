"""Posteriors over DAGs by an amortised sampler: DAG-GFlowNet."""

from causaljax.kernels.gflownet.kernel import (
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
