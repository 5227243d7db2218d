"""Differentiable causal discovery in JAX: tables in, causal graphs out."""

__version__ = "0.1.0"
