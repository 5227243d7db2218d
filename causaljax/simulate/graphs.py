"""Random directed acyclic graphs.

Each function takes a key and static sizes and returns one ``[d, d]`` bool graph
whose labels are randomly permuted, so that no label says where a variable stands
in the order. Shapes depend on the sizes only: jit with the sizes static, vmap
over the key. Graphs are boolean, so nothing here is differentiable.
"""

import jax
import jax.numpy as jnp

from causaljax.types import Array


def erdos_renyi(key: Array, num_variables: int, edges_per_variable: float) -> Array:
    """A uniformly chosen set of edges, directed along a uniform order.

    The G(n, m) model: the number of edges is exact, so that "ER2" is
    ``edges_per_variable=2``.

    Args:
      key: consumed.
      num_variables: d, static.
      edges_per_variable: static, at least 0; the graph has
        ``round(edges_per_variable * d)`` edges, or all d (d - 1) / 2 if that is
        fewer.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if ``edges_per_variable`` is negative.

    Source: Erdos and Renyi 1959; as in Zheng et al. 2018 (NOTEARS).
    """
    sources, sinks = jnp.triu_indices(num_variables, k=1)
    return _uniform_edges(key, num_variables, edges_per_variable, sources, sinks)


def bipartite(key: Array, num_variables: int, edges_per_variable: float) -> Array:
    """A uniformly chosen set of edges from one half of the variables to the other.

    Args:
      key: consumed.
      num_variables: d, static; d // 2 variables are sources, the others sinks.
      edges_per_variable: static, at least 0; the graph has
        ``round(edges_per_variable * d)`` edges, or every edge from a source to a
        sink if that is fewer.

    Returns:
      ``[d, d]`` bool, acyclic, no path longer than one edge.

    Raises:
      ValueError: if ``edges_per_variable`` is negative.
    """
    half = num_variables // 2
    variables = jnp.arange(num_variables)
    sources = jnp.repeat(variables[:half], num_variables - half)
    sinks = jnp.tile(variables[half:], half)
    return _uniform_edges(key, num_variables, edges_per_variable, sources, sinks)


def scale_free(key: Array, num_variables: int, edges_per_variable: int) -> Array:
    """Preferential attachment: a few variables have very many parents.

    Variables are added one by one. Each sends an edge to
    ``edges_per_variable`` distinct earlier ones (to all of them while they are
    fewer), drawn one after another with probability proportional to in-degree + 1.

    Args:
      key: consumed.
      num_variables: d, static.
      edges_per_variable: m, static, a whole number of at least 1; "SF2" is 2.
        The graph has m d - m (m + 1) / 2 edges if m < d.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if ``edges_per_variable`` is not a whole number of at least 1.

    Source: Barabasi and Albert 1999; as in Zheng et al. 2018 (NOTEARS), which
    takes igraph's ``Barabasi(n, m, directed=True)``: edges point from the new
    variable to the old.
    """
    if edges_per_variable < 1 or edges_per_variable != int(edges_per_variable):
        raise ValueError(
            "edges_per_variable of scale_free must be a whole number of at least 1, "
            f"not {edges_per_variable}"
        )
    num_targets = min(int(edges_per_variable), num_variables)
    variables = jnp.arange(num_variables)
    key_attach, key_labels = jax.random.split(key)
    noise = jax.random.gumbel(key_attach, (num_variables, num_variables), jnp.float32)

    def attach(in_degree, inputs):
        variable, noise = inputs
        earlier = variables < variable
        # The largest Gumbel scores are draws without replacement.
        score = jnp.where(earlier, jnp.log1p(in_degree) + noise, -jnp.inf)
        _, best = jax.lax.top_k(score, num_targets)
        chosen = jnp.zeros_like(earlier).at[best].set(True) & earlier
        return in_degree + chosen.astype(jnp.float32), chosen

    _, graph = jax.lax.scan(
        attach, jnp.zeros(num_variables, jnp.float32), (variables, noise)
    )
    return _permuted(key_labels, graph)


def watts_strogatz(
    key: Array, num_variables: int, neighbours: int, rewire_prob: Array | float
) -> Array:
    """A small-world ring, directed along a uniform order.

    Each variable is joined to its nearest ones on a ring. Then each edge, in
    turn, moves its far end with probability ``rewire_prob`` to a variable chosen
    uniformly among those its near end is not yet joined to. The order that gives
    the directions is drawn apart from the ring.

    Args:
      key: consumed.
      num_variables: d, static.
      neighbours: static and even, from 2 to d - 1: half on each side.
      rewire_prob: in [0, 1].

    Returns:
      ``[d, d]`` bool, acyclic, with d ``neighbours`` / 2 edges.

    Raises:
      ValueError: if ``neighbours`` is odd or out of range.

    Source: Watts and Strogatz 1998.
    """
    if neighbours % 2 or not 2 <= neighbours < num_variables:
        raise ValueError(
            "neighbours must be an even number from 2 to num_variables - 1 = "
            f"{num_variables - 1}, not {neighbours}"
        )
    half = neighbours // 2
    key_moves, key_ends, key_order, key_labels = jax.random.split(key, 4)

    variables = jnp.arange(num_variables)
    near = jnp.tile(variables, half)
    far = (near + jnp.repeat(jnp.arange(1, half + 1), num_variables)) % num_variables

    def joined(skeleton, first, second, value):
        return skeleton.at[first, second].set(value).at[second, first].set(value)

    def rewire(skeleton, inputs):
        first, second, moves, score = inputs
        free = ~skeleton[first] & (variables != first)
        other = jnp.argmax(jnp.where(free, score, -1))
        end = jnp.where(moves & free.any(), other, second)
        skeleton = joined(skeleton, first, second, False)
        return joined(skeleton, first, end, True), None

    moves = jax.random.uniform(key_moves, near.shape, jnp.float32) < rewire_prob
    score = jax.random.uniform(key_ends, (near.size, num_variables), jnp.float32)
    empty = jnp.zeros((num_variables, num_variables), bool)
    skeleton, _ = jax.lax.scan(
        rewire, joined(empty, near, far, True), (near, far, moves, score)
    )
    return _permuted(key_labels, jnp.triu(_permuted(key_order, skeleton)))


def _uniform_edges(key, num_variables, edges_per_variable, sources, sinks):
    """Chooses among the pairs source -> sink, then permutes the labels."""
    if edges_per_variable < 0:
        raise ValueError(
            f"edges_per_variable must be at least 0, not {edges_per_variable}"
        )
    num_edges = round(edges_per_variable * num_variables)
    key_edges, key_labels = jax.random.split(key)
    chosen = jax.random.permutation(key_edges, jnp.arange(sources.size) < num_edges)
    graph = jnp.zeros((num_variables, num_variables), bool)
    return _permuted(key_labels, graph.at[sources, sinks].set(chosen))


def _permuted(key, graph):
    """The same graph under uniformly permuted labels."""
    order = jax.random.permutation(key, graph.shape[0])
    return graph[order][:, order]
