"""Equivalence classes of DAGs, and what knowledge and interventions decide in them.

Nothing here is differentiable: graphs are boolean. All functions take one graph,
have static shapes and may be vmapped.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.graphs.dags import topological_order


def dag_to_cpdag(graph: ArrayLike) -> Array:
    """The completed partially directed graph of a DAG's Markov equivalence class.

    An edge is directed if every member of the class has it in that direction.
    The edges into one child after another, in topological order, are labelled
    by looking at the child's last parent alone.

    Args:
      graph: ``[d, d]`` bool, acyclic.

    Returns:
      ``[d, d]`` bool; a directed edge i -> j has a 1 at [i, j] only, an
      undirected one at both places.

    Source: Chickering 1995, "A transformational characterization of equivalent
    Bayesian network structures", algorithms Order-Edges and Label-Edges.

    Example:
      >>> import numpy as np
      >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> int(dag_to_cpdag(chain).sum())  # both edges are undirected
      4
    """
    graph = jnp.asarray(graph, bool)
    order = topological_order(graph)
    position = jnp.argsort(order)

    def label_edges_into(compelled, child):
        parents = graph[:, child]
        last = jnp.argmax(jnp.where(parents, position, -1))
        into_last = compelled[:, last]
        # w -> last is compelled and w, child are not adjacent: reversing
        # last -> child would make a new collider at last.
        unshielded = (into_last & ~parents).any()
        # Another parent not adjacent to the last one: a collider at the child.
        collider = (parents & ~graph[:, last]).at[last].set(False).any()
        labels = parents & (unshielded | collider | into_last)
        return compelled.at[:, child].set(labels), None

    compelled, _ = jax.lax.scan(label_edges_into, jnp.zeros_like(graph), order)
    return graph | (graph & ~compelled).T


def essential_graph(
    graph: ArrayLike, fixed: ArrayLike, doubted: ArrayLike | None = None
) -> Array:
    """What data and outside knowledge leave undecided about a DAG's directions.

    The completed partially directed graph of those members of the DAG's Markov
    equivalence class that agree with it on the fixed pairs: known edges, tiers, or
    pairs of which an intervention hit one variable and not the other. Directions
    that follow from the fixed ones are found by Meek's four rules.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      fixed: ``[d, d]`` bool, pairs whose direction in ``graph`` is known; the order
        within a pair does not matter.
      doubted: ``[d, d]`` bool, edges of which a collider is no evidence. What rests on
        them alone is undirected, and the result may then stand for no class of DAGs.

    Returns:
      ``[d, d]`` bool; an undirected edge has a 1 at both places. What is directed is so
      in ``graph``.

    Source: Meek 1995, "Causal inference and causal explanation with background
    knowledge"; Hauser and Buehlmann 2012 for interventions.

    Example:
      >>> import numpy as np
      >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]], bool)
      >>> known = np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
      >>> int(essential_graph(chain, known).sum())  # a -> b settles b -> c
      2
    """
    graph, fixed = jnp.asarray(graph, bool), jnp.asarray(fixed, bool)
    adjacent = graph | graph.T
    apart = ~adjacent & ~jnp.eye(graph.shape[0], dtype=bool)

    def exists(a, b):
        """[i, j] True if some k has a[i, k] and b[k, j]."""
        return matmul(a.astype(jnp.float32), b.astype(jnp.float32)) > 0

    believed = graph if doubted is None else graph & ~jnp.asarray(doubted, bool)
    colliders = believed & exists(apart, believed)
    directed = graph & (colliders | fixed | fixed.T)

    def rules_three_and_four(neighbours, directed):
        """[j] True if a variable with these undirected neighbours must point at j."""
        pairs = neighbours[:, None] & neighbours[None, :] & apart
        # b -> j <- c with b, c neighbours that are apart.
        three = (exists(pairs, directed) & directed).any(axis=0)
        # b -> c -> j with b a neighbour, b and j apart, c adjacent to the variable.
        four = (exists(directed, directed) & neighbours[:, None] & apart).any(axis=0)
        return three, four

    def grow(state):
        directed, _ = state
        undirected = adjacent & ~directed & ~directed.T
        found = exists(directed.T, apart) | exists(directed, directed)
        three, four = jax.lax.map(
            lambda row: rules_three_and_four(row, directed), undirected
        )
        new = graph & undirected & (found | three | four)
        return directed | new, new.any()

    directed, _ = jax.lax.while_loop(
        lambda state: state[1], grow, (directed, jnp.ones_like(graph[0, 0]))
    )
    undirected = adjacent & ~directed & ~directed.T
    return directed | undirected


def decided_pairs(problem: Problem) -> Array:
    """Pairs whose direction does not rest on an equivalence class alone.

    Prior knowledge decides a pair if an edge is required or one direction is
    forbidden; interventions decide it if some row has one of the two set from
    outside and not the other (Hauser and Buehlmann 2012, theorem 10).

    Args:
      problem: rows of weight 0 do not count.

    Returns:
      ``[d, d]`` bool, symmetric; what ``essential_graph`` takes as ``fixed``.
    """
    known = problem.required | ~problem.allowed
    hit = problem.intervened & (problem.weight > 0)[:, None]
    hit, missed = hit.astype(jnp.float32), (~hit).astype(jnp.float32)
    told_apart = matmul(hit.T, missed) > 0
    decided = known | told_apart
    return (decided | decided.T) & ~jnp.eye(len(known), dtype=bool)
