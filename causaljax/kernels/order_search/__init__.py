"""Linear DAGs by search over orders: reinsertions and iterated local search."""

from causaljax.kernels.order_search.directions import Verdict
from causaljax.kernels.order_search.kernel import (
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
    "Verdict",
    "finalise",
    "init",
    "step",
]
