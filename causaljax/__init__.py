"""Differentiable causal discovery in JAX: tables in, causal graphs out.

Everything loads on first use; importing the package starts nothing.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Kernel": "types",
    "Knowledge": "frame",
    "LinearDAG": "estimators",
    "Posterior": "types",
    "Problem": "types",
    "make_problem": "types",
}
_ROOMS = (
    "datasets",
    "estimators",
    "evaluation",
    "files",
    "frame",
    "graphs",
    "kernels",
    "models",
    "run",
    "simulate",
    "types",
)

__all__ = sorted([*_HOME, *_ROOMS])


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
