"""Likelihoods of tables given a graph."""

from causaljax.models import (
    bge,
    linear_gaussian,
    linear_nongaussian,
    order_score,
    reinsertion,
    sortability,
    tableau,
)

__all__ = [
    "bge",
    "linear_gaussian",
    "linear_nongaussian",
    "order_score",
    "reinsertion",
    "sortability",
    "tableau",
]
