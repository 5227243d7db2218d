"""Edges to begin with, from the two methods that need no search of their own kind.

A trained network reads the table at once (``kernels.amortized``), and a search over
orders finds the best linear graph (``kernels.order_search``). The probability that an
edge is begun with is a blend of what the two say,

    p_ij = b P(i -> j by the network) + (1 - b) [i -> j in the linear graph]

On curved mechanisms the network is right more often; the linear graph holds strong
edges that the network is unsure of. What a user believes beforehand is added to their
log-odds (``informed``).
"""

import dataclasses

import jax
import jax.numpy as jnp

from causaljax.core.options import option
from causaljax.core.run import run
from causaljax.core.types import Array, ArrayLike, Problem
from causaljax.kernels import amortized, order_search
from causaljax.networks.weights import load_weights

_DOUBT = 0.005  # of the two methods, so that a belief can bring an edge back


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the two methods.

    ``blend`` is the share of the network in the result; with .6 an edge that only one
    of the two believes in is a candidate, and the network's come first.
    """

    network: amortized.Config
    search: order_search.Config = order_search.Config()
    blend: float = option(0.6, least=0)


def shipped_candidates(interventional: bool) -> Config:
    """How estimators find candidate edges: by the network that ships with the package.

    Args:
      interventional: whether there are intervened cells, which the linear search then
        passes over.
    """
    return Config(
        network=amortized.configure(load_weights()),
        search=order_search.Config(interventional=interventional),
    )


def candidate_edges(
    key: Array, problem: Problem, config: Config, prior: ArrayLike | None = None
) -> Array:
    """Probabilities of edges before curves are fitted.

    Args:
      key: typed key, consumed.
      problem: the table; columns of standard deviation 1.
      config: settings.
      prior: ``[d, d]`` in [0, 1], what is believed beforehand (``informed``).

    Returns:
      ``[d, d]`` float, in the dtype of ``problem.x``.

    Differentiable: in the table, through the network alone.
    """
    network_key, search_key = jax.random.split(key)
    learned, _ = run(amortized.KERNEL, network_key, problem, config.network)
    linear, _ = run(order_search.KERNEL, search_key, problem, config.search)
    graph = jnp.asarray(linear.graphs[0]).astype(learned.edge_prob.dtype)
    blend = jnp.asarray(config.blend, graph.dtype)
    found = blend * learned.edge_prob + (1 - blend) * graph
    return found if prior is None else informed(found, prior)


def informed(found: Array, prior: ArrayLike) -> Array:
    """Probabilities of edges by the data, and by a belief beforehand.

        logit(q) = logit(p by the data) + logit(prior)

    A prior of .5 changes nothing, 0 and 1 decide. In place of what the data say a prior
    of .9 and .1 did not help or did harm (``scripts/bench_prior.py``; 12 tables of 8
    variables and 300 rows): ``NeuralDAG`` had a mean F1 of .83 without a prior. With
    the prior from a source that is right in all, in eight and in six of ten cases it
    had .83, .77 and .72 in place, and has .96, .93 and .87 by this sum.

    Args:
      found: ``[d, d]`` float, by the data.
      prior: ``[d, d]`` in [0, 1].
    """
    found = jnp.clip(found, _DOUBT, 1 - _DOUBT)
    prior = jnp.asarray(prior).astype(found.dtype)
    there = found * prior
    return there / (there + (1 - found) * (1 - prior))
