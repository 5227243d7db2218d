"""How sure the means of trained networks are: a posterior of their last layer."""

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array
from causaljax.mechanisms import mlp


def effect_draws(
    key: Array,
    params: mlp.Params,
    graph: Array,
    x: Array,
    counted: Array,
    cause: Array,
    values: Array,
    *,
    num_draws: int,
    num_rows: int,
) -> Array:
    """Effects by networks whose last layers are drawn from their posterior.

        w_j | x ~ Normal(w_j trained, (F' diag(1 / s^2) F + h I)^-1)

    w_j are the weights and the bias of the mean of variable j, F the h numbers of the
    layer before and a 1, s the noise's scale, all of regime 0. The layers before, the
    scales and the shape of the noise stay as trained. Each draw answers by its rows
    after the cause was set to either value, with the same noise.

    Args:
      key: consumed.
      params: trained.
      graph: ``[d, d]`` bool, acyclic.
      x: ``[n, d]`` float, the rows that the networks were trained on, or others.
      counted: ``[n, d]`` float, the weight of each cell; 0 where it was set.
      cause: ``[d]`` bool, True for the cause.
      values: ``[2]`` float, a and b.
      num_draws: s, static.
      num_rows: that means are taken over, static.

    Returns:
      ``[s, d]`` float, E[x_j | do(cause = b)] - E[x_j | do(cause = a)].

    Source: Daxberger et al. 2021, "Laplace Redux", section 3, for the last layer alone;
    Snoek et al. 2015, "Scalable Bayesian optimization using deep neural networks".
    """
    noise_key, draw_key = jax.random.split(key)
    parents = graph.T.astype(x.dtype)

    def factor(j):
        """The means' weights and the Cholesky factor of their precision."""
        networks = jax.tree.map(lambda leaf: leaf[0, j], params)
        inputs = mlp.last_inputs(networks, parents[j], x)
        features = jnp.concatenate([inputs, jnp.ones_like(x[:, :1])], axis=1)
        _, log_scale, _ = mlp.outputs(networks, parents[j], x)
        weight = counted[:, j] * jnp.exp(-2 * log_scale)
        prior = inputs.shape[1] * jnp.eye(features.shape[1], dtype=x.dtype)
        precision = matmul((features * weight[:, None]).T, features) + prior
        return jnp.linalg.cholesky(precision)

    factors = jax.lax.map(factor, jnp.arange(len(graph)))

    def effect(key):
        drawn = jax.random.normal(key, factors.shape[:2], x.dtype)
        moved = jax.vmap(
            lambda lower, z: jax.scipy.linalg.solve_triangular(lower.T, z, lower=False)
        )(factors, drawn)
        weights, biases = params.weights[-1], params.biases[-1]
        changed = params._replace(
            weights=(*params.weights[:-1], weights.at[0, :, :, 0].add(moved[:, :-1])),
            biases=(*params.biases[:-1], biases.at[0, :, 0].add(moved[:, -1])),
        )

        def mean(value):
            set_to = jnp.where(cause, value, 0)
            same = jax.random.clone(noise_key)
            rows = mlp.sample(same, changed, graph, num_rows, cause, set_to)
            return rows.mean(axis=0)

        low, high = jax.lax.map(mean, values)
        return high - low

    return jax.lax.map(effect, jax.random.split(draw_key, num_draws))
