"""Graphs as boolean matrices: penalties, exact operations, metrics."""

from causaljax.graphs import acyclicity, metrics, ops

__all__ = ["acyclicity", "metrics", "ops"]
