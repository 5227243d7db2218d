"""Exact operations on directed graphs: closure, orders, equivalence classes.

Nothing here is differentiable: graphs are boolean. All functions take one graph,
have static shapes and may be vmapped.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.types import Array, Problem


def matmul(a: Array, b: Array) -> Array:
    """Matrix product at the highest precision the device has.

    Accelerators multiply float32 matrices in bfloat16 unless told otherwise;
    whatever feeds a score, a factorisation or a penalty is multiplied here.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def transitive_closure(graph: ArrayLike) -> Array:
    """Which variables reach which along at least one edge.

    Args:
      graph: ``[d, d]`` bool, may have cycles and self-loops.

    Returns:
      ``[d, d]`` bool, [i, j] True if a directed path of length >= 1 leads from
      i to j.
    """
    reach = jnp.asarray(graph, bool)
    d = reach.shape[0]

    def lengthen(_, reach):
        paths = reach.astype(jnp.float32)
        return reach | (matmul(paths, paths) > 0)

    # A loop: unrolled, it was much of what several kernels had to compile.
    return jax.lax.fori_loop(0, math.ceil(math.log2(max(d, 2))), lengthen, reach)


def is_acyclic(graph: ArrayLike) -> Array:
    """Whether a graph has no directed cycle, self-loops included; exact.

    The penalties of ``graphs.acyclicity`` cannot tell: in float32 they are 0 for
    a long cycle.

    Args:
      graph: ``[d, d]`` bool.

    Returns:
      ``[]`` bool.

    Example:
      >>> import numpy as np
      >>> bool(is_acyclic(np.array([[0, 1], [0, 0]], bool)))
      True
      >>> bool(is_acyclic(np.array([[0, 1], [1, 0]], bool)))
      False
    """
    return ~jnp.diagonal(transitive_closure(graph)).any()


def topological_order(graph: ArrayLike) -> Array:
    """The variables with every parent before its children.

    Ties go to the variable with fewer ancestors, then to the lower index.

    Args:
      graph: ``[d, d]`` bool, acyclic (a cycle's order means nothing).

    Returns:
      ``[d]`` int32, the k-th entry is the k-th variable.
    """
    ancestors = transitive_closure(graph).sum(axis=0)
    return jnp.argsort(ancestors, stable=True).astype(jnp.int32)


def greedy_acyclic(
    strength: ArrayLike, threshold: ArrayLike, required: ArrayLike
) -> Array:
    """The acyclic graph that takes the strongest edges first.

    Starting from the required edges, edges are tried in falling order of
    strength; one that would close a cycle is passed over; those of strength
    ``threshold`` or less are never tried.

    Args:
      strength: ``[d, d]`` float, at least 0; non-finite entries count as 0.
      threshold: ``[]`` float, at least 0.
      required: ``[d, d]`` bool, acyclic.

    Returns:
      ``[d, d]`` bool, acyclic, a superset of ``required``.
    """
    strength, required = jnp.asarray(strength), jnp.asarray(required, bool)
    d = strength.shape[0]
    strength = jnp.where(jnp.isfinite(strength), strength, 0)
    candidate = (strength > threshold) & ~required & ~jnp.eye(d, dtype=bool)
    order = jnp.argsort(-jnp.where(candidate, strength, -1).ravel(), stable=True)

    def add_edge(state):
        position, graph, reach = state
        source, target = jnp.divmod(order[position], d)
        fits = ~reach[target, source]
        # Everything that reaches the source now reaches what the target reaches.
        before = reach[:, source].at[source].set(True)
        after = reach[target].at[target].set(True)
        reach = reach | (fits & before[:, None] & after[None, :])
        graph = graph.at[source, target].max(fits)
        return position + 1, graph, reach

    start = (jnp.zeros_like(order[0]), required, transitive_closure(required))
    num_candidates = candidate.sum()
    _, graph, _ = jax.lax.while_loop(
        lambda state: state[0] < num_candidates, add_edge, start
    )
    return graph


def pair_probabilities(logits: Array) -> Array:
    """Probabilities of the three states of each pair: i -> j, j -> i, or no edge.

    P(i -> j) = exp(l_ij) / (1 + exp(l_ij) + exp(l_ji))

    Args:
      logits: ``[d, d]`` float, of i -> j against no edge; -inf where it is ruled out.

    Returns:
      ``[d, d]`` float; P(i -> j) + P(j -> i) is at most 1.

    Differentiable: in logits that are finite.
    """
    top = jnp.maximum(jnp.maximum(logits, logits.T), 0)
    sizes = jnp.exp(logits - top)
    return sizes / (jnp.exp(-top) + sizes + sizes.T)


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


def essential_graph(graph: ArrayLike, fixed: ArrayLike) -> Array:
    """What data and outside knowledge leave undecided about a DAG's directions.

    The completed partially directed graph of those members of the DAG's Markov
    equivalence class that agree with it on the fixed pairs: known edges, tiers, or
    pairs of which an intervention hit one variable and not the other. Directions
    that follow from the fixed ones are found by Meek's four rules.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      fixed: ``[d, d]`` bool, pairs whose direction in ``graph`` is known; the order
        within a pair does not matter.

    Returns:
      ``[d, d]`` bool; an undirected edge has a 1 at both places.

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
    cpdag = dag_to_cpdag(graph)
    adjacent = graph | graph.T
    apart = ~adjacent & ~jnp.eye(graph.shape[0], dtype=bool)
    directed = graph & (~cpdag.T | fixed | fixed.T)

    def exists(a, b):
        """[i, j] True if some k has a[i, k] and b[k, j]."""
        return matmul(a.astype(jnp.float32), b.astype(jnp.float32)) > 0

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
        new = undirected & (found | three | four)
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


def label_free_places(x: Array, weight: Array) -> Array:
    """The variables' places in an order that does not depend on their labels.

    What is drawn for each place and dealt out by it goes with a variable wherever its
    column stands: relabelled variables then give the relabelled answer.

    Args:
      x: ``[n, d]``; the order is that of the third moments.
      weight: ``[n]``, of rows; those of weight 0 do not count.

    Returns:
      ``[d]`` int32, the place of each variable.
    """
    x = jnp.where(weight[:, None] > 0, x, 0)
    third, index = jnp.sum(weight[:, None] * x**3, axis=0), jnp.arange(x.shape[1])
    alike = third[None, :] == third[:, None]
    before = third[None, :] < third[:, None]
    before = before | (alike & (index[None, :] < index[:, None]))
    return before.sum(axis=1, dtype=jnp.int32)
