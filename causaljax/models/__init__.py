"""Likelihoods of tables given a graph."""

from causaljax.models import (
    bge,
    familiarity,
    linear_gaussian,
    linear_nongaussian,
    mlp,
    order_score,
    reinsertion,
    sortability,
    spline,
    tableau,
)

__all__ = [
    "bge",
    "familiarity",
    "linear_gaussian",
    "linear_nongaussian",
    "mlp",
    "order_score",
    "reinsertion",
    "sortability",
    "spline",
    "tableau",
]
