"""Priors of graphs as distributions of numpyro.

Each is normalised exactly over all DAGs and sampled exactly, not by a Markov chain. A
graph is an event ``[d, d]`` with [i, j] = 1 for i -> j; samples are boolean, and
``log_prob`` takes whole and real numbers 0 and 1, too. Graphs are discrete: NUTS does
not sample them. Give them by ``obs=``, draw them by ``Predictive``, or sum them out.

- ``ErdosRenyi``: the odds of an edge, to the number of edges; any d.
- ``ScaleFree``: a power of 1 + degree for each variable; any d.
- ``Modular``: a weight of each parent set of each variable; d to about 12.
- ``OrderBased``: independent edges along an order, summed over orders; d to 16.
- ``UniformOrder`` and ``GraphGivenOrder``: the same with the order beside it; any d.

Shapes follow numpyro: parameters may have batch dimensions, and ``expand``, plates,
pytrees and vmap work as for its own distributions.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpyro import distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import clamp_probs, validate_sample

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array
from causaljax.graphs import dags, in_degrees, linear_extensions, modular

_AT_ONCE = 2**18  # sets of variables, over all graphs, that are in memory at a time
_LARGEST_ERROR = 1e-4  # of probabilities by ``Modular``, relative, through rounding


class _Dag(constraints.ParameterFreeConstraint):
    """A 0/1 matrix without directed cycles."""

    is_discrete = True
    event_dim = 2

    def __call__(self, x):
        x = jnp.asarray(x)
        binary = ((x == 0) | (x == 1)).all(axis=(-2, -1))
        return binary & _over_events(dags.is_acyclic, x != 0, 2)

    def feasible_like(self, prototype):
        return jnp.zeros_like(prototype)


class _Permutation(constraints.ParameterFreeConstraint):
    """The numbers 0, ..., d - 1 in any order."""

    is_discrete = True
    event_dim = 1

    def __call__(self, x):
        x = jnp.asarray(x)
        numbers = jnp.broadcast_to(jnp.arange(x.shape[-1]), x.shape)
        return (jnp.sort(x, axis=-1) == numbers).all(axis=-1)

    def feasible_like(self, prototype):
        prototype = jnp.asarray(prototype)
        numbers = jnp.arange(prototype.shape[-1], dtype=prototype.dtype)
        return jnp.broadcast_to(numbers, prototype.shape)


dag = _Dag()
permutation = _Permutation()


class _OverDags(dist.Distribution):
    """What the priors share: a batch of parameters, one graph of each.

    A subclass gives ``_parameters``, ``[*batch, ...]`` with ``_event`` dimensions for
    one graph; ``_totals``, ``[*batch]``; and of the parameters of one graph ``_draw``,
    so many graphs, and ``_log_weight``, the log probability plus the total.
    """

    support = dag
    pytree_aux_fields: tuple[str, ...] = ("num_variables",)
    num_variables: int
    _parameters: Callable[..., Array]
    _totals: Callable[..., Array]
    _draw: Callable[..., Array]
    _log_weight: Callable[..., Array]
    _event = 1

    def __init__(self, num_variables, batch_shape, validate_args):
        if num_variables < 1:
            raise ValueError(f"num_variables must be at least 1, not {num_variables}")
        self.num_variables = num_variables
        shape = (num_variables, num_variables)
        super().__init__(batch_shape, shape, validate_args=validate_args)

    def _log_weights(self, graphs, parameters):
        return jax.vmap(self._log_weight)(graphs, parameters)

    def sample(self, key, sample_shape=()):
        """Graphs ``[*sample_shape, *batch_shape, d, d]`` bool, drawn independently."""
        parameters = self._parameters()
        flat = parameters.reshape(
            -1, *parameters.shape[parameters.ndim - self._event :]
        )
        keys = jax.random.split(key, len(flat))
        number = math.prod(sample_shape)
        graphs = jax.vmap(lambda key, one: self._draw(key, one, number))(keys, flat)
        graphs = jnp.moveaxis(graphs, 0, 1)
        return graphs.reshape(self.shape(tuple(sample_shape)))

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """Exact log probabilities, ``[*sample_shape, *batch_shape]``, nats.

        Minus infinity for a matrix that is no DAG. Differentiable in the parameters.
        """
        del intermediates
        value = jnp.asarray(value)
        parameters = self._parameters()
        event = parameters.shape[parameters.ndim - self._event :]
        shape = jnp.broadcast_shapes(value.shape[:-2], self.batch_shape)
        parameters = jnp.broadcast_to(parameters, (*shape, *event))
        graphs = jnp.broadcast_to(value != 0, (*shape, *self.event_shape))
        graphs, parameters = (
            graphs.reshape(-1, *self.event_shape),
            parameters.reshape(-1, *event),
        )
        weights = self._log_weights(graphs, parameters)
        logs = weights.reshape(shape) - jnp.broadcast_to(self._totals(), shape)
        return jnp.where(jnp.broadcast_to(dag(value), shape), logs, -jnp.inf)


def _over_events(function, values, event_dim):
    """A function of one event, for each of a batch of any shape."""
    batch = values.shape[: values.ndim - event_dim]
    flat = values.reshape(-1, *values.shape[len(batch) :])
    return jax.vmap(function)(flat).reshape(batch)


def _real(value):
    return jnp.asarray(value, jnp.result_type(float))


class _ByDegrees(_OverDags):
    """p(G) proportional to a product of weights of numbers of parents, or children."""

    direction = "in"

    def _totals(self):
        # Turning all edges maps the DAGs to the DAGs: both directions have one sum.
        return _over_events(in_degrees.log_total, self._parameters(), 1)

    def _draw(self, key, parameters, number):
        graphs = in_degrees.sample_dags(key, parameters, number)
        return graphs if self.direction == "in" else graphs.swapaxes(1, 2)

    def _log_weight(self, graph, parameters):
        degrees = graph.sum(axis=0 if self.direction == "in" else 1)
        return parameters[jnp.minimum(degrees, len(parameters) - 1)].sum()


class ErdosRenyi(_ByDegrees):
    """Independent edges, given that they form no cycle.

        p(G) = (q / (1 - q))^|E(G)| / Z,   Z the sum over all DAGs

    Each ordered pair has an edge with probability q by itself; the prior is that of
    the pairs given that the graph is a DAG. With q = 1/2 all DAGs are equally probable.
    As most graphs with many edges have a cycle, the share of pairs i -> j that have an
    edge is less than q.

    Args:
      num_variables: d, static.
      edge_probability: ``[*batch]`` float in [0, 1], q.
      validate_args: of ``numpyro.distributions.Distribution``.

    ``log_prob`` takes d^3 operations and is differentiable in ``edge_probability``.

    Example: A quarter of 1/25, as there are 25 DAGs of three variables.
      >>> prior = ErdosRenyi(3, 0.5)
      >>> bool(jnp.isclose(prior.log_prob(jnp.zeros((3, 3))), -jnp.log(25.0)))
      True
    """

    arg_constraints: dict[str, Any] = {"edge_probability": constraints.unit_interval}

    def __init__(
        self,
        num_variables: int,
        edge_probability: ArrayLike = 0.5,
        *,
        validate_args: bool | None = None,
    ):
        self.edge_probability = _real(edge_probability)
        super().__init__(num_variables, self.edge_probability.shape, validate_args)

    def _parameters(self):
        q = clamp_probs(self.edge_probability)
        odds = (jnp.log(q) - jnp.log1p(-q))[..., None]
        numbers = jnp.arange(self.num_variables, dtype=odds.dtype)
        return odds * jnp.broadcast_to(numbers, (*odds.shape[:-1], len(numbers)))


class ScaleFree(_ByDegrees):
    """A few variables with many parents, or many children.

        p(G) = prod_j (1 + degree_j(G))^-exponent / Z,   Z the sum over all DAGs

    The degree is the number of parents, or of children. This is not preferential
    attachment (``simulate.scale_free``), whose marginal over orders has no such form.

    Args:
      num_variables: d, static.
      exponent: ``[*batch]`` float, at least 0; at 0 all DAGs are equally probable.
      direction: static; "in" for hubs with many parents, "out" with many children.
      validate_args: of ``numpyro.distributions.Distribution``.

    Raises:
      ValueError: if the direction is another.

    ``log_prob`` takes d^3 operations and is differentiable in ``exponent``.
    Source: Lorch et al. 2021 (DiBS), section 5.1, whose constant Z is unknown.
    """

    arg_constraints: dict[str, Any] = {"exponent": constraints.nonnegative}
    pytree_aux_fields: tuple[str, ...] = ("direction",)

    def __init__(
        self,
        num_variables: int,
        exponent: ArrayLike = 3.0,
        direction: str = "in",
        *,
        validate_args: bool | None = None,
    ):
        if direction not in ("in", "out"):
            raise ValueError(f'direction must be "in" or "out", not {direction!r}')
        self.direction = direction
        self.exponent = _real(exponent)
        super().__init__(num_variables, self.exponent.shape, validate_args)

    def _parameters(self):
        logs = jnp.log1p(jnp.arange(self.num_variables, dtype=self.exponent.dtype))
        shape = (*self.exponent.shape, len(logs))
        return -self.exponent[..., None] * jnp.broadcast_to(logs, shape)


class Modular(_OverDags):
    """A weight for each parent set of each variable.

        p(G) = prod_i exp(log_weights[i, pa_i(G)]) / Z,   Z the sum over all DAGs

    The exact posterior of a modular score under a modular prior is one, so what was
    learned from one table can be the prior of another. ``graphs.modular`` has the sums
    behind it and ``bytes_needed``.

    Args:
      log_weights: ``[*batch, d, 2^d]`` float, nats; parent sets are numbers whose bit j
        is 1 where variable j is in the set. A set that holds the variable itself has
        no weight, whatever is given.
      validate_args: of ``numpyro.distributions.Distribution``.

    Attributes:
      log_weights: the same less the largest of each variable.
      log_total: log Z of these.

    Raises:
      ValueError: if the shape is another, or rounding leaves too few digits of Z.
      TypeError: if jax traces the weights and has no float64.

    Z is summed with signs and needs float64: it is computed when the distribution is
    made. Weights that depend on parameters of a model need ``jax.enable_x64``. Sampling
    and the rest of ``log_prob`` keep to jax's default dtype.
    """

    arg_constraints: dict[str, Any] = {
        "log_weights": constraints.independent(constraints.real, 2)
    }
    pytree_data_fields: tuple[str, ...] = ("log_weights", "log_total")
    _event = 2

    def __init__(self, log_weights: ArrayLike, *, validate_args: bool | None = None):
        shape = jnp.shape(log_weights)
        if len(shape) < 2 or shape[-1] != 2 ** shape[-2]:
            raise ValueError(
                "log_weights must have the shape [..., d, 2^d], a number for each "
                f"parent set of each variable, not {shape}"
            )
        self.log_weights, self.log_total = _relative(log_weights)
        super().__init__(shape[-2], shape[:-2], validate_args)

    def _parameters(self):
        return self.log_weights

    def _totals(self):
        return self.log_total

    def _draw(self, key, parameters, number):
        return modular.sample_dags(key, parameters, number)

    def _log_weight(self, graph, parameters):
        variables = np.arange(len(parameters))
        sets = jnp.where(graph, (1 << variables)[:, None], 0).sum(axis=0)
        return parameters[variables, sets].sum()


def _relative(log_weights):
    """Weights less the largest of each variable, and the logarithm of their sum."""
    if isinstance(log_weights, jax.core.Tracer):
        if not jax.config.values["jax_enable_x64"]:
            raise TypeError(
                "Modular sums its weights in float64 and they depend on what jax "
                "traces: trace the model under `with jax.enable_x64(True):`"
            )
        return _summed(log_weights)[:2]
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        parts = _summed(jnp.asarray(log_weights, np.float64))
        relative, total, error = map(np.asarray, parts)
    if not (error < _LARGEST_ERROR).all():
        raise ValueError(
            "Modular: rounding has eaten the sum of the weights, or no DAG has one; "
            "see graphs.modular.rounding_error"
        )
    return _real(relative), _real(total)


@quick_jit
def _summed(log_weights):
    # Scores of long tables are large numbers, of which float32 would keep few digits.
    weights = jnp.maximum(log_weights, modular.NEVER)
    relative = weights - weights.max(axis=-1, keepdims=True)
    totals = _over_events(modular.log_total, relative, 2)
    return relative, totals, _over_events(modular.rounding_error, relative, 2)


def independent_edges(
    edge_probability: ArrayLike, *, validate_args: bool | None = None
) -> Modular:
    """Edges with probabilities of their own, given that they form no cycle.

        p(G) = prod_{i -> j in G} q_ij / (1 - q_ij) / Z,   Z the sum over all DAGs

    So the edge probabilities of a fitted estimator become a prior. They are those
    before cycles are left out: the prior's own are less where cycles are likely, as
    ``graphs.modular.edge_probabilities`` tells. Which edges go together is lost;
    ``Modular`` of a posterior keeps it.

    Args:
      edge_probability: ``[d, d]`` float in [0, 1], q; the diagonal is not read. Those
        nearer to 0 or 1 than jax's default dtype resolves are taken there.
      validate_args: of ``numpyro.distributions.Distribution``.

    Returns:
      The prior, of d to about 12.

    Raises:
      ValueError: if a probability is not in [0, 1].

    Example:
      >>> import numpy as np
      >>> prior = independent_edges(np.array([[0, 0.9], [0.5, 0]]))
      >>> print(np.exp(prior.log_prob(np.array([[0, 1], [0, 0]]))).round(3))
      0.818
    """
    prob = np.asarray(edge_probability, float)
    d = len(prob)
    off = ~np.eye(d, dtype=bool)
    if prob.shape != (d, d) or not ((prob[off] >= 0) & (prob[off] <= 1)).all():
        raise ValueError(
            "edge_probability must be a square matrix of numbers in [0, 1], [i, j] the "
            f"probability of i -> j; its shape is {prob.shape}"
        )
    least = jnp.finfo(jnp.result_type(float)).eps
    prob = np.clip(np.where(off, prob, 0.5), least, 1 - least)
    members = np.arange(2**d)[:, None] >> np.arange(d)[None] & 1
    return Modular((members @ np.log(prob / (1 - prob))).T, validate_args=validate_args)


class UniformOrder(dist.Distribution):
    """All orders of the variables alike, p = 1 / d!.

    An event is ``[d]`` int, the k-th entry the k-th variable, parents before children.

    Args:
      num_variables: d, static.
      validate_args: of ``numpyro.distributions.Distribution``.
    """

    support = permutation
    arg_constraints: dict[str, Any] = {}
    pytree_aux_fields: tuple[str, ...] = ("num_variables",)

    def __init__(self, num_variables: int, *, validate_args: bool | None = None):
        self.num_variables = num_variables
        super().__init__((), (num_variables,), validate_args=validate_args)

    def sample(self, key, sample_shape=()):
        """Orders ``[*sample_shape, d]`` int, drawn independently."""
        keys = jax.random.split(key, math.prod(sample_shape))
        orders = jax.vmap(lambda one: jax.random.permutation(one, self.num_variables))
        return orders(keys).reshape(self.shape(tuple(sample_shape)))

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """- log d! for each order, ``[*sample_shape]``, nats."""
        del intermediates
        one = _real(-math.lgamma(self.num_variables + 1))
        return jnp.where(permutation(value), one, -jnp.inf)


class GraphGivenOrder(dist.Distribution):
    """Independent edges along an order.

        p(G | order) = prod over i before j: q^G_ij (1 - q)^(1 - G_ij)

    With ``UniformOrder`` both are in the trace of a model:

        order = numpyro.sample("order", UniformOrder(d))
        graph = numpyro.sample("graph", GraphGivenOrder(order, 0.2))

    Args:
      order: ``[*batch, d]`` int, parents before children.
      edge_probability: ``[*batch]`` float in [0, 1], q.
      validate_args: of ``numpyro.distributions.Distribution``.
    """

    support = dag
    arg_constraints: dict[str, Any] = {
        "order": permutation,
        "edge_probability": constraints.unit_interval,
    }

    def __init__(
        self,
        order: ArrayLike,
        edge_probability: ArrayLike = 0.5,
        *,
        validate_args: bool | None = None,
    ):
        order, edge_probability = jnp.asarray(order), _real(edge_probability)
        d = order.shape[-1]
        batch = jnp.broadcast_shapes(order.shape[:-1], edge_probability.shape)
        self.order = jnp.broadcast_to(order, (*batch, d))
        self.edge_probability = jnp.broadcast_to(edge_probability, batch)
        super().__init__(batch, (d, d), validate_args=validate_args)

    def _forward(self):
        """Whether i is before j, ``[*batch, d, d]`` bool."""
        place = jnp.argsort(self.order, axis=-1)
        return place[..., :, None] < place[..., None, :]

    def sample(self, key, sample_shape=()):
        """Graphs ``[*sample_shape, *batch_shape, d, d]`` bool, drawn independently."""
        shape = self.shape(tuple(sample_shape))
        prob = jnp.where(self._forward(), self.edge_probability[..., None, None], 0)
        return jax.random.bernoulli(key, jnp.broadcast_to(prob, shape))

    @validate_sample
    def log_prob(self, value, intermediates=None):
        """Exact log probabilities, ``[*sample_shape, *batch_shape]``, nats.

        Minus infinity if an edge is against the order. Differentiable in
        ``edge_probability``.
        """
        del intermediates
        graph = jnp.asarray(value) != 0
        shape = jnp.broadcast_shapes(graph.shape, self.shape())
        graph = jnp.broadcast_to(graph, shape)
        forward = jnp.broadcast_to(self._forward(), shape)
        logs = _log_edges(graph.sum(axis=(-2, -1)), shape[-1], self.edge_probability)
        return jnp.where((forward | ~graph).all(axis=(-2, -1)), logs, -jnp.inf)


def _log_edges(number, num_variables, edge_probability):
    """Of so many edges, and of the rest of the pairs without one."""
    prob = clamp_probs(edge_probability)
    prob = jnp.broadcast_to(prob, jnp.broadcast_shapes(number.shape, prob.shape))
    pairs = num_variables * (num_variables - 1) // 2
    present = number.astype(prob.dtype)
    return present * jnp.log(prob) + (pairs - present) * jnp.log1p(-prob)


class OrderBased(_OverDags):
    """Independent edges along a uniform order, summed over orders.

        p(G) = L(G) / d! q^|E(G)| (1 - q)^(d (d - 1) / 2 - |E(G)|)

    L(G) is the number of orders that suit G. The prior prefers graphs that suit many
    orders to others with as many edges; ``ErdosRenyi`` does not. q is the share of
    pairs that are joined.

    Args:
      num_variables: d, static.
      edge_probability: ``[*batch]`` float in [0, 1], q.
      validate_args: of ``numpyro.distributions.Distribution``.

    ``log_prob`` sums over 2^d sets: of d above ``linear_extensions.MOST_VARIABLES`` it
    raises ValueError; keep the order in the model then (``GraphGivenOrder``).
    ``sample`` serves any d. Differentiable in ``edge_probability``.

    Example: The two DAGs with one edge share q, the empty graph has the rest.
      >>> prior = OrderBased(2, 0.25)
      >>> bool(jnp.isclose(prior.log_prob(jnp.zeros((2, 2))), jnp.log(0.75)))
      True
    """

    arg_constraints: dict[str, Any] = {"edge_probability": constraints.unit_interval}
    _event = 0

    def __init__(
        self,
        num_variables: int,
        edge_probability: ArrayLike = 0.5,
        *,
        validate_args: bool | None = None,
    ):
        self.edge_probability = _real(edge_probability)
        super().__init__(num_variables, self.edge_probability.shape, validate_args)

    def _parameters(self):
        return self.edge_probability

    def _totals(self):
        return jnp.zeros_like(self.edge_probability)

    def _draw(self, key, parameters, number):
        order_key, edge_key = jax.random.split(key)
        orders = UniformOrder(self.num_variables).sample(order_key, (number,))
        return GraphGivenOrder(orders, parameters).sample(edge_key)

    def _log_weight(self, graph, parameters):
        orders = linear_extensions.log_linear_extensions(graph)
        orders = orders - math.lgamma(self.num_variables + 1)
        edges = _log_edges(graph.sum(), self.num_variables, parameters)
        return orders.astype(edges.dtype) + edges

    def _log_weights(self, graphs, parameters):
        # A graph takes d 2^d numbers.
        at_once = max(1, _AT_ONCE >> self.num_variables)
        return jax.lax.map(
            lambda one: self._log_weight(*one),
            (graphs, parameters),
            batch_size=at_once,
        )
