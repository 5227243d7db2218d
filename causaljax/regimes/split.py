"""Regimes that are two: some of their rows disturbed in a variable, others not.

Groups of rows that differ in one target only are easily taken for one regime. Within
regime k, cells of variable j are then a mixture,

    s_kj Normal(x_j | own) + (1 - s_kj) p(x_j | parents)

whose share s and density of its own are found by expectation and maximisation.
"""

import jax
import jax.numpy as jnp

from causaljax.core.compiling import quick_jit
from causaljax.core.types import Array
from causaljax.mechanisms import conjugate, regression_network
from causaljax.regimes.densities import (
    Model,
    inputs_of,
    log_normal,
    own_features,
    usual_log_density,
)
from causaljax.regimes.initialise import WIDE
from causaljax.regimes.merge import FEWEST_ROWS

_ITERATIONS = 10
_LEAST_SHARE = 0.1  # share of a regime's rows that can be a regime


@quick_jit(static_argnames="intervention")
def split_regime(
    model: Model,
    x: Array,
    weight: Array,
    responsibilities: Array,
    able: Array,
    intervention: str,
) -> tuple[Array, Array, Array]:
    """Makes the regime two that most looks like two.

    Args:
      model: mechanisms and targets, as a posterior of the kernel has them.
      x: ``[n, d]``, in the units of the model, without gaps.
      weight: ``[n]``, of rows.
      responsibilities: ``[n, k]``, responsibilities.
      able: ``[k]`` bool, regimes that may be split.
      intervention: as in the kernel's ``Config``, static.

    Returns:
      New responsibilities and targets ``[k, d]``: the disturbed rows move to that of
      these regimes which has fewest. And the log-likelihood that is gained, ``[]``,
      nats: -inf if no regime can be split or no place is empty.
    """
    each = responsibilities * weight[:, None]
    size = each.sum(axis=0)
    rows = jnp.maximum(size, 1e-6)
    place = jnp.argmin(jnp.where(able, size, jnp.inf))

    def of_variable(best, j):
        curves = jax.tree.map(lambda leaf: leaf[j], model.mechanisms.curves)
        mean = regression_network.predict(curves, inputs_of(model.mechanisms, x, j))
        usual = usual_log_density(model.mechanisms, x, mean, j)[:, None]
        features, residual = own_features(model.mechanisms, x, mean, j, intervention)

        def other(cells):
            found = conjugate.fit(
                conjugate.statistics(each * cells, features, residual)
            )[0]
            return conjugate.expected_log_density(found, features, residual)

        def iterate(carry, _):
            cells, share = carry
            disturbed = jnp.log(share)[None, :] + other(cells)
            either = jnp.logaddexp(disturbed, jnp.log1p(-share)[None, :] + usual)
            cells = jnp.exp(disturbed - either)
            share = (each * cells).sum(axis=0) / rows
            share = jnp.clip(share, 1e-3, 1 - 1e-3)
            return (cells, share), (each * either).sum(axis=0)

        cells = jax.nn.sigmoid(log_normal(x[:, j], WIDE)[:, None] - usual)
        begun = jnp.broadcast_to(cells, each.shape), jnp.full_like(size, 0.5)
        (cells, share), bounds = jax.lax.scan(iterate, begun, length=_ITERATIONS)
        whole = (each * other(jnp.ones_like(cells))).sum(axis=0)
        gain = bounds[-1] - jnp.maximum(whole, (each * usual).sum(axis=0))
        two = able & (jnp.minimum(share, 1 - share) > _LEAST_SHARE)
        gain = jnp.where(two & jnp.isfinite(gain), gain, -jnp.inf)
        which = jnp.argmax(gain)
        new = gain[which], which, j, cells[:, which]
        better = new[0] > best[0]
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best), None

    variables = jnp.arange(x.shape[1])
    nothing = -jnp.inf * jnp.ones_like(size[0]), place, variables[0], 0 * weight
    (gain, which, j, cells), _ = jax.lax.scan(of_variable, nothing, variables)
    moved = responsibilities[:, which] * cells
    parted = responsibilities.at[:, which].add(-moved).at[:, place].add(moved)
    targets = model.targets.at[place].set(model.targets[which])
    targets = targets.at[place, j].set(1).at[which, j].set(0)
    empty = (size[place] <= FEWEST_ROWS) & able[place]
    return parted, targets, jnp.where(empty, gain, -jnp.inf)
