"""Likelihoods of tables given a graph."""

from causaljax.models import linear_gaussian

__all__ = ["linear_gaussian"]
