"""Random directed acyclic graphs.

Each function takes a key and static sizes and returns one ``[d, d]`` bool graph
whose labels are randomly permuted, so that no label says where a variable stands
in the order. Shapes depend on the sizes only: jit with the sizes static, vmap
over the key. Graphs are boolean, so nothing here is differentiable.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.types import Array


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


def scale_free(
    key: Array,
    num_variables: int,
    edges_per_variable: int,
    power: ArrayLike = 1.0,
    direction: str = "in",
) -> Array:
    """Preferential attachment: a few variables have very many parents or children.

    Variables are added one by one. Each sends an edge to
    ``edges_per_variable`` distinct earlier ones (to all of them while they are
    fewer), drawn one after another with probability proportional to
    (in-degree + 1) to the given power.

    Args:
      key: consumed.
      num_variables: d, static.
      edges_per_variable: m, static, a whole number of at least 1; "SF2" is 2.
        The graph has m d - m (m + 1) / 2 edges if m < d.
      power: at least 0; at 0 no variable is preferred, above 1 few take all.
      direction: static; "in" for hubs with many parents, "out" for the same graph
        with every edge turned: hubs with many children.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if ``edges_per_variable`` is not a whole number of at least 1, or
        the direction is another.

    Source: Barabasi and Albert 1999; as in Zheng et al. 2018 (NOTEARS), which
    takes igraph's ``Barabasi(n, m, directed=True)``: edges point from the new
    variable to the old.
    """
    if edges_per_variable < 1 or edges_per_variable != int(edges_per_variable):
        raise ValueError(
            "edges_per_variable of scale_free must be a whole number of at least 1, "
            f"not {edges_per_variable}"
        )
    if direction not in ("in", "out"):
        raise ValueError(f'direction must be "in" or "out", not {direction!r}')
    key_attach, key_labels = jax.random.split(key)
    graph = attach(key_attach, num_variables, int(edges_per_variable), power)
    return _permuted(key_labels, graph if direction == "in" else graph.T)


def attach(
    key: Array, num_variables: int, num_targets: Array | int, power: ArrayLike = 1.0
) -> Array:
    """Preferential attachment as in ``scale_free``, labels in order of arrival.

    Args:
      key: consumed.
      num_variables: d, static.
      num_targets: ``[]`` int, at least 1; how many earlier variables each one sends
        an edge to.
      power: as in ``scale_free``.

    Returns:
      ``[d, d]`` bool, i -> j only where j < i.
    """
    power = jnp.asarray(power, jnp.float32)
    variables = jnp.arange(num_variables)
    noise = jax.random.gumbel(key, (num_variables, num_variables), jnp.float32)

    def add(in_degree, inputs):
        variable, noise = inputs
        earlier = variables < variable
        # The largest Gumbel scores are draws without replacement.
        score = power * jnp.log1p(in_degree) + noise
        chosen = largest(jnp.where(earlier, score, -jnp.inf), num_targets)
        return in_degree + chosen.astype(jnp.float32), chosen

    start = jnp.zeros(num_variables, jnp.float32)
    return jax.lax.scan(add, start, (variables, noise))[1]


def largest(scores: Array, num: Array | int) -> Array:
    """Where the ``num`` largest scores are; those of minus infinity never are.

    Args:
      scores: any shape, without ties.
      num: ``[]`` int, at least 0; it may exceed the number of scores.

    Returns:
      bool, of the shape of ``scores``.
    """
    place = jnp.clip(scores.size - num, 0, scores.size - 1)
    enough = scores >= jnp.sort(scores, axis=None)[place]
    return enough & (scores > -jnp.inf) & (num > 0)


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
    variables = jnp.arange(num_variables)
    near = jnp.tile(variables, half)
    far = (near + jnp.repeat(jnp.arange(1, half + 1), num_variables)) % num_variables
    key_moves, key_ends, key_order, key_labels = jax.random.split(key, 4)
    skeleton = _rewired(key_moves, key_ends, num_variables, near, far, rewire_prob)
    return _permuted(key_labels, jnp.triu(_permuted(key_order, skeleton)))


def lattice(
    key: Array,
    num_variables: int,
    num_dimensions: int,
    rewire_prob: ArrayLike,
    directions: str = "order",
) -> Array:
    """A small world on a lattice without borders, from which variables are lost.

    Each variable of the smallest cube with at least d is joined to its next ones
    along every dimension, edges are rewired as in ``watts_strogatz``, and all but d
    variables are taken away at random, with their edges.

    Args:
      key: consumed.
      num_variables: d, static, at least 2.
      num_dimensions: static, at least 1.
      rewire_prob: in [0, 1].
      directions: static; "order" directs edges along a uniform order, "position"
        along the rows of the lattice, so that neighbours tend to be in line.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if a size is out of range or ``directions`` is another.

    Source: Watts and Strogatz 1998; Lorch et al. 2022 (AVICI), with "position".
    """
    if num_variables < 2 or num_dimensions < 1:
        raise ValueError(
            "lattice needs at least 2 variables and 1 dimension, not "
            f"{num_variables} and {num_dimensions}"
        )
    # A float root may fall on either side of a whole number.
    side = round(num_variables ** (1 / num_dimensions))
    side += side**num_dimensions < num_variables
    size = side**num_dimensions
    key_moves, key_ends, key_kept, key_rest = jax.random.split(key, 4)

    edges = []
    for stride in (side**k for k in range(num_dimensions)):
        for site in range(size):
            place = site // stride % side
            # On a ring of two, the way back is the way there.
            if side > 2 or place == 0:
                edges.append((site, site + ((place + 1) % side - place) * stride))
    near, far = jnp.array(edges).T
    skeleton = _rewired(key_moves, key_ends, size, near, far, rewire_prob)
    kept = jnp.sort(jax.random.permutation(key_kept, size)[:num_variables])
    return _directed(key_rest, skeleton[kept][:, kept], directions)


def stochastic_block(
    key: Array,
    num_variables: int,
    edges_per_variable: ArrayLike,
    num_blocks: int,
    between: ArrayLike = 0.1,
) -> Array:
    """Independent edges, more of them within blocks than between them.

    Blocks are what random cuts leave of the variables: their sizes differ.
    Directions follow a uniform order. With one block, edges are equally probable
    everywhere: the G(n, p) model, as opposed to the G(n, m) of ``erdos_renyi``.

    Args:
      key: consumed.
      num_variables: d, static.
      edges_per_variable: at least 0, on average; the probability of an edge within
        a block is at most 0.99, which caps it.
      num_blocks: static, from 1 to d.
      between: in [0, 1], the probability of an edge between two blocks, relative
        to that of an edge within one.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if ``num_blocks`` is out of range.

    Source: Holland et al. 1983; as in Lorch et al. 2022 (AVICI).
    """
    if not 1 <= num_blocks <= num_variables:
        raise ValueError(
            f"num_blocks must be from 1 to num_variables = {num_variables}, "
            f"not {num_blocks}"
        )
    key_cuts, key_edges, key_rest = jax.random.split(key, 3)
    cuts = jax.random.permutation(key_cuts, num_variables)[: num_blocks - 1]
    block = (cuts[None, :] <= jnp.arange(num_variables)[:, None]).sum(axis=1)
    same = block[:, None] == block[None, :]
    relative = jnp.where(same, 1, jnp.asarray(between, jnp.float32))
    relative = jnp.triu(relative, k=1)
    num_edges = jnp.asarray(edges_per_variable, jnp.float32) * num_variables
    # Nothing is possible where nothing is between and every block is one variable.
    within = jnp.minimum(num_edges / jnp.maximum(relative.sum(), 1e-6), 0.99)
    edges = jax.random.uniform(key_edges, relative.shape, jnp.float32)
    edges = edges < within * relative
    return _directed(key_rest, edges | edges.T, "order")


def random_geometric(
    key: Array, num_variables: int, radius: ArrayLike, directions: str = "order"
) -> Array:
    """Uniform points in the unit square, joined where they are close.

    Args:
      key: consumed.
      num_variables: d, static.
      radius: at least 0; points closer than this are joined.
      directions: static; "order" directs edges along a uniform order, "position"
        along the first coordinate.

    Returns:
      ``[d, d]`` bool, acyclic.

    Raises:
      ValueError: if ``directions`` is another.

    Source: Gilbert 1961; Lorch et al. 2022 (AVICI), with "position".
    """
    key_points, key_rest = jax.random.split(key)
    points = jax.random.uniform(key_points, (num_variables, 2), jnp.float32)
    points = points[jnp.argsort(points[:, 0])]
    squared = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    close = squared < jnp.asarray(radius, jnp.float32) ** 2
    close = close & ~jnp.eye(num_variables, dtype=bool)
    return _directed(key_rest, close, directions)


def _rewired(key_moves, key_ends, num_variables, near, far, rewire_prob):
    """The undirected graph of the edges near - far, each perhaps moved."""
    variables = jnp.arange(num_variables)

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
    return skeleton


def _directed(key, skeleton, directions):
    """Directs an undirected graph along an order, then permutes the labels."""
    if directions not in ("order", "position"):
        raise ValueError(
            f'directions must be "order" or "position", not {directions!r}'
        )
    key_order, key_labels = jax.random.split(key)
    if directions == "order":
        skeleton = _permuted(key_order, skeleton)
    return _permuted(key_labels, jnp.triu(skeleton, k=1))


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
