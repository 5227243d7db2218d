"""Likelihoods of neural networks, one a variable.

    x_j | parents ~ Normal(f_j(g_1j x_1, ..., g_dj x_d), s_j),  f_j a network

The scale is a constant or the network's second output, and a spline, further outputs,
may bend the normal into other noise. The graph multiplies the inputs, so that it may
be anything in [0, 1] and has a gradient. A perfect intervention takes a cell out of
the likelihood; under imperfect ones the cell has a network of its own, one for each
regime.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from causaljax.core.linalg import matmul
from causaljax.core.problem import complete_rows
from causaljax.core.types import Array, Problem
from causaljax.graphs.dags import topological_order
from causaljax.mechanisms import spline

NOISES = {"gaussian": 1, "heteroscedastic": 2, "flow": 2 + spline.NUM_PARAMETERS}
"""Kinds of noise, with the number of outputs of their networks."""

_SCALE_RANGE = 3.0  # nats that parents can move the log of a scale either way


class Params(NamedTuple):
    """Networks of r regimes; of one regime where interventions are perfect.

    Layer l maps ``h_l`` numbers to ``h_l+1``: ``h_0`` is d, the last is that of
    ``NOISES``: the mean, then what moves the scale, then the spline.
    """

    weights: tuple[Array, ...]  # one a layer, [r, d, h_l, h_l+1] float
    biases: tuple[Array, ...]  # one a layer, [r, d, h_l+1] float
    log_scale: Array  # [r, d] float, of the standard deviation
    log_floor: Array  # [r, d] float, below which it does not fall; not learned


def init(
    key: Array,
    num_variables: int,
    hidden: int,
    layers: int,
    *,
    num_regimes: int = 1,
    noise: str = "gaussian",
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Random networks, the same ones in every regime, scales of 1 and floors of 0.

    Weights and biases are normal of variance one over the number of inputs of
    their layer; the last bias is 0.

    Args:
      key: consumed.
      num_variables: d, static.
      hidden: units a layer, static.
      layers: number of hidden layers, static; with 0 the mean is linear.
      num_regimes: r, static. 1 if interventions are perfect, or there are none;
        for imperfect ones the number of regimes, the observational one included.
      noise: static. "gaussian": of one scale a variable. "heteroscedastic": of a scale
        that depends on the parents. "flow": besides, of a shape that does.
      dtype: of the parameters.

    Returns:
      The parameters.

    Raises:
      ValueError: if a size is out of range or the noise is not known.
    """
    if noise not in NOISES:
        raise ValueError(f"noise must be one of {list(NOISES)}, not {noise!r}")
    for name, value, least in (
        ("num_variables", num_variables, 1),
        ("hidden", hidden, 1),
        ("layers", layers, 0),
        ("num_regimes", num_regimes, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    sizes = [num_variables, *[hidden] * layers, NOISES[noise]]
    weights, biases = [], []
    for step, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        key_weight, key_bias = jax.random.split(jax.random.fold_in(key, step))
        shape = (num_variables, inputs, outputs)
        weight = jax.random.normal(key_weight, shape, dtype)
        bias = jax.random.normal(key_bias, (num_variables, outputs), dtype)
        if step == layers:
            bias = jnp.zeros_like(bias)
        weights.append(weight / math.sqrt(inputs))
        biases.append(bias / math.sqrt(inputs))
    zeros = jnp.zeros(num_variables, dtype)
    one = Params(tuple(weights), tuple(biases), zeros, zeros - jnp.inf)
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * num_regimes), one)


def take_variables(params: Params, order: ArrayLike) -> Params:
    """The networks with their variables in another order.

    Args:
      params: of d variables.
      order: ``[d]`` int, the variable that comes to each place.
    """
    moved = jax.tree.map(lambda leaf: leaf[:, order], params)
    first, *rest = moved.weights
    return moved._replace(weights=(first[:, :, order], *rest))


def conditional(networks: Params, parents: Array, x: Array, values: Array) -> Array:
    """Log density of one variable's cells given one set of parents.

    With m the network's first output, t its second and b the ``spline.bend`` of the
    others, or 0 and the identity where there are none,

        z = (x_j - m) / s,  s = exp(log_scale + 3 tanh(t / 3)) + exp(log_floor),
        l = -1/2 log(2 pi) - b(z)^2 / 2 + log b'(z) - log s

    Hidden layers are silu(u) = u / (1 + exp(-u)), a straight line far out.

    Args:
      networks: one variable's network in one regime: leaves without ``[r, d]``.
      parents: ``[d]`` float in [0, 1], 0 for the variable itself.
      x: ``[n, d]`` float.
      values: ``[n]`` float, x_j.

    Returns:
      ``[n]`` float, nats in the units of x.

    Differentiable: in everything.
    Source: Brouillard et al. 2020 (DCDI), section 3.3, with smooth units.
    """
    mean, log_scale, raw = outputs(networks, parents, x)
    z = (values - mean) * jnp.exp(-log_scale)
    log_slope = jnp.zeros_like(z)
    if raw is not None:
        z, log_slope = spline.bend(z, raw)
    return -0.5 * (math.log(2 * math.pi) + z**2) + log_slope - log_scale


def respond(networks: Params, parents: Array, x: Array, noise: Array) -> Array:
    """The variable's cells that standard normal noise ``[n]`` gives; ``[n]``.

    The density of the result is ``conditional``, whose arguments the others are.
    """
    mean, log_scale, raw = outputs(networks, parents, x)
    z = noise if raw is None else spline.unbend(noise, raw)
    return mean + z * jnp.exp(log_scale)


def last_inputs(networks: Params, parents: Array, x: Array) -> Array:
    """What the last layer reads, ``[n, h]``; arguments as of ``conditional``."""
    inputs = x * parents[None, :]
    for weight, bias in zip(networks.weights[:-1], networks.biases[:-1], strict=True):
        inputs = jax.nn.silu(matmul(inputs, weight) + bias[None, :])
    return inputs


def outputs(
    networks: Params, parents: Array, x: Array
) -> tuple[Array, Array, Array | None]:
    """Mean and log scale, ``[n]``, and the spline's parameters, if there are any.

    Arguments as of ``conditional``.
    """
    last = matmul(last_inputs(networks, parents, x), networks.weights[-1])
    last = last + networks.biases[-1][None, :]
    log_scale = jnp.broadcast_to(networks.log_scale, x.shape[:1])
    if last.shape[1] > 1:
        log_scale = log_scale + _SCALE_RANGE * jnp.tanh(last[:, 1] / _SCALE_RANGE)
    log_scale = jnp.logaddexp(log_scale, jax.lax.stop_gradient(networks.log_floor))
    raw = last[:, 2:] if last.shape[1] > 2 else None
    return last[:, 0], log_scale, raw


def log_density(params: Params, graph: ArrayLike, x: Array) -> Array:
    """Log density of every cell given its parents, under every regime's network.

    Args:
      params: of r regimes.
      graph: ``[d, d]``, bool or float in [0, 1]; its diagonal does not count.
      x: ``[n, d]`` float.

    Returns:
      ``[r, n, d]`` float, nats in the units of x; see ``conditional``.

    Differentiable: in everything; a graph must be float for that.
    """
    d = x.shape[1]
    graph = jnp.asarray(graph).astype(x.dtype)
    by_child = jnp.where(jnp.eye(d, dtype=bool), 0, graph).T
    of_variables = jax.vmap(conditional, (0, 0, None, 1), out_axes=1)
    return jax.vmap(of_variables, (0, None, None, None))(params, by_child, x, x)


def log_prob(params: Params, graph: ArrayLike, problem: Problem) -> Array:
    """Log-likelihood of each variable's mechanism, summed over rows by weight.

    A cell that was not intervened on counts under regime 0's network. One that was
    counts for nothing with parameters of one regime (perfect interventions), and
    under the network of its row's regime with parameters of more (imperfect ones).
    Rows with a gap count for nothing; so does an intervened cell whose regime is
    unknown, 0 or has no network.

    Args:
      params: of r regimes.
      graph: ``[d, d]``, bool or float in [0, 1]; its diagonal does not count.
      problem: the table.

    Returns:
      ``[d]`` float, nats.

    Differentiable: in params, in graph if it is float, in x and weight.
    Source: Brouillard et al. 2020 (DCDI), equations 5 and 6.

    Example:
      >>> from causaljax import make_problem
      >>> problem = make_problem(jnp.ones((5, 3)))
      >>> params = init(jax.random.key(0), 3, hidden=8, layers=1)
      >>> log_prob(params, jnp.zeros((3, 3)), problem).shape
      (3,)
    """
    counted = complete_rows(problem)
    # What does not count must not spoil the gradient of what does.
    x = jnp.where(counted[:, None], problem.x, 0)
    density = log_density(params, graph, x)
    regime = jnp.broadcast_to(problem.regime[:, None], x.shape)
    has_own = (regime > 0) & (regime < density.shape[0])
    network = jnp.where(problem.intervened & has_own, regime, 0)
    chosen = jnp.take_along_axis(density, network[None], axis=0)[0]
    counts = counted[:, None] & (~problem.intervened | has_own)
    return jnp.where(counts, problem.weight[:, None] * chosen, 0).sum(axis=0)


def sample(
    key: Array, params: Params, graph: Array, num_rows: int, done: Array, values: Array
) -> Array:
    """Rows of the structural equations, some variables set from outside.

    Args:
      key: consumed.
      params: of r regimes; regime 0's networks answer.
      graph: ``[d, d]`` bool, acyclic.
      num_rows: n, static.
      done: ``[d]`` bool, the variables that are set.
      values: ``[d]`` float, what they are set to; the rest does not count.

    Returns:
      ``[n, d]`` float.

    Differentiable: in params and values.
    """
    d = graph.shape[0]
    noise = jax.random.normal(key, (num_rows, d), values.dtype)

    def fill(x, j):
        networks = jax.tree.map(lambda leaf: leaf[0, j], params)
        column = respond(networks, graph[:, j].astype(x.dtype), x, noise[:, j])
        return x.at[:, j].set(jnp.where(done[j], values[j], column)), None

    return jax.lax.scan(fill, jnp.zeros_like(noise), topological_order(graph))[0]
