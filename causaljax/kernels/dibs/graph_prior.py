"""Beliefs about graphs before the table is seen."""

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.types import Array
from causaljax.graphs.edge_probabilities import prior_log_odds

GRAPH_PRIORS = ("erdos_renyi", "scale_free")


def edge_log_odds(
    edge_odds: ArrayLike, prior: ArrayLike | None, num_variables: int, dtype: DTypeLike
) -> Array:
    """What each edge adds to the logarithm of a graph's prior.

    Args:
      edge_odds: above 0, of every edge.
      prior: ``[d, d]`` probabilities of edges, whose log-odds are added
        (``edge_probabilities.prior_log_odds``), or None.
      num_variables: d, static.
      dtype: of the result.

    Returns:
      ``[d, d]`` float, nats; -inf where ``prior`` is 0.
    """
    log_odds = jnp.log(jnp.asarray(edge_odds, dtype))
    odds = jnp.zeros((num_variables, num_variables), dtype) + log_odds
    return odds if prior is None else odds + prior_log_odds(prior, dtype)


def log_prior(edges: Array, log_odds: Array, graph_prior: str) -> Array:
    """The logarithm of a graph's prior, but for a constant.

        sum_ij g_ij l_ij,   and for "scale_free" besides   -3 sum_j log(1 + sum_i g_ij)

    Args:
      edges: ``[d, d]`` float in [0, 1], or a graph.
      log_odds: ``[d, d]`` float, finite, l.
      graph_prior: of ``GRAPH_PRIORS``.

    Returns:
      ``[]`` float, nats.

    Differentiable: in edges and log_odds.
    Source: Lorch et al. 2021 (DiBS); the factor 3 is theirs.
    """
    edges = edges.astype(log_odds.dtype)
    linear = (edges * log_odds).sum()
    if graph_prior == "scale_free":
        return linear - 3 * jnp.log1p(edges.sum(axis=0)).sum()
    return linear
