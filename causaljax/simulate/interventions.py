"""What is done to a system, regime by regime.

Regime 0 is the system left alone. An intervention is data, not a kind: the three
functions below fill the same arrays, and regimes or variables of different kinds
may share one ``Intervention``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from causaljax.core.types import Array, Problem


class Intervention(NamedTuple):
    """How each regime differs from the system left alone.

    The value of a variable with mechanism f and noise e (standard deviation 1) is

        f(parents) + scale * noise_scale * e + shift    where ``cut`` is False,
                     scale * e               + shift    where ``cut`` is True.

    ``shift``, and ``scale`` where ``cut``, are in the units of the table as
    returned. Where ``targets`` is False: no cut, shift 0, scale 1.
    """

    targets: Array  # [r, d] bool, row 0 all False
    cut: Array  # [r, d] bool, True where parents no longer matter
    shift: Array  # [r, d] float, added
    scale: Array  # [r, d] float, >= 0, multiplies the noise


def perfect_intervention(
    targets: ArrayLike, mean: ArrayLike = 0.0, sd: ArrayLike = 0.0
) -> Intervention:
    """Sets the targets from outside, whatever their parents: do(x = value).

    Args:
      targets: ``[r, d]`` bool, row 0 all False.
      mean: ``[]`` or ``[r, d]``, the value.
      sd: ``[]`` or ``[r, d]``, at least 0; the value's standard deviation. 0 sets
        a constant; otherwise the value has the simulation's noise family.

    Returns:
      The intervention.

    Raises:
      ValueError: if ``targets`` is not a matrix.

    Differentiable: in ``mean`` and ``sd``.
    Source: Pearl 2009, section 3.2.
    """
    return on_targets(targets, cut=True, shift=mean, scale=sd)


def shift_intervention(targets: ArrayLike, amount: ArrayLike) -> Intervention:
    """Adds a constant to the mechanism of the targets.

    Args:
      targets: ``[r, d]`` bool, row 0 all False.
      amount: ``[]`` or ``[r, d]``.

    Returns:
      The intervention.

    Raises:
      ValueError: if ``targets`` is not a matrix.

    Differentiable: in ``amount``.
    """
    return on_targets(targets, cut=False, shift=amount, scale=1.0)


def scale_intervention(targets: ArrayLike, factor: ArrayLike) -> Intervention:
    """Multiplies the noise of the targets.

    Args:
      targets: ``[r, d]`` bool, row 0 all False.
      factor: ``[]`` or ``[r, d]``, at least 0.

    Returns:
      The intervention.

    Raises:
      ValueError: if ``targets`` is not a matrix.

    Differentiable: in ``factor``.
    """
    return on_targets(targets, cut=False, shift=0.0, scale=factor)


def draw_targets(
    key: Array, num_variables: int, num_regimes: int, targets_per_regime: int
) -> Array:
    """Targets for every regime but the first, which is left alone.

    Variables are dealt from one shuffled pack that is used again from the start
    when it runs out: targets are distinct within a regime, and the numbers of
    regimes in which two variables are targets differ by at most 1. With
    ``num_regimes = d + 1`` and one target a regime, each variable has its regime.

    Args:
      key: consumed.
      num_variables: d, static.
      num_regimes: r, static, at least 1, regime 0 included.
      targets_per_regime: static, from 1 to d.

    Returns:
      ``[r, d]`` bool, row 0 all False.

    Raises:
      ValueError: if a count is out of range.
    """
    if num_regimes < 1:
        raise ValueError(f"num_regimes must be at least 1, not {num_regimes}")
    if not 1 <= targets_per_regime <= num_variables:
        raise ValueError(
            f"targets_per_regime must be from 1 to num_variables = {num_variables}, "
            f"not {targets_per_regime}"
        )
    pack = jax.random.permutation(key, num_variables)
    regime = jnp.repeat(jnp.arange(1, num_regimes), targets_per_regime)
    dealt = pack[jnp.arange(regime.size) % num_variables]
    return jnp.zeros((num_regimes, num_variables), bool).at[regime, dealt].set(True)


def draw_target_sets(
    key: Array,
    num_variables: int,
    num_regimes: int,
    targets_per_regime: int | tuple[int, int],
    alike: ArrayLike = False,
) -> Array:
    """Targets for every regime but the first, of one number or of random numbers.

    Args:
      key: consumed.
      num_variables: d, static.
      num_regimes: r, static, regime 0 included.
      targets_per_regime: static. 1 is as in ``draw_targets``: every variable has its
        turn before one has a second. Otherwise uniform subsets of so many variables,
        independent between regimes; a pair (low, high) draws their size evenly, low
        and high included.
      alike: ``[]`` bool; if True all these subsets are of one size.

    Returns:
      ``[r, d]`` bool, row 0 all False.

    Raises:
      ValueError: if a count is out of range.
    """
    if isinstance(targets_per_regime, int):
        targets_per_regime = (targets_per_regime, targets_per_regime)
    low, high = targets_per_regime
    if not 1 <= low <= high <= num_variables:
        raise ValueError(
            "targets_per_regime must be a number, or a pair (low, high), from 1 to "
            f"num_variables = {num_variables}, not {targets_per_regime}"
        )
    if high == 1 or num_regimes < 1:
        return draw_targets(key, num_variables, num_regimes, 1)
    key_size, key_rank = jax.random.split(key)
    size = jax.random.randint(key_size, (num_regimes,), low, high + 1)
    size = jnp.where(alike, size[:1], size).at[0].set(0)
    score = jax.random.uniform(key_rank, (num_regimes, num_variables), jnp.float32)
    rank = jnp.argsort(jnp.argsort(score, axis=1), axis=1)
    return rank < size[:, None]


def hide_regimes(problem: Problem) -> Problem:
    """The same table, without the record of what was done to which row.

    Args:
      problem: of any table.

    Returns:
      The problem with every regime unknown (-1) and no cell known as intervened.

    Differentiable: in ``problem.x`` and ``problem.weight``.
    """
    return problem._replace(
        regime=jnp.full_like(problem.regime, -1),
        intervened=jnp.zeros_like(problem.intervened),
    )


def on_targets(
    targets: ArrayLike, cut: ArrayLike, shift: ArrayLike, scale: ArrayLike
) -> Intervention:
    """Any intervention; what is said of other cells than the targets is ignored.

    Args:
      targets: ``[r, d]`` bool, row 0 all False.
      cut: ``[]`` or ``[r, d]`` bool, as in ``Intervention``; so are the others.
      shift: ``[]`` or ``[r, d]``.
      scale: ``[]`` or ``[r, d]``, at least 0.

    Returns:
      The intervention.

    Raises:
      ValueError: if ``targets`` is not a matrix.

    Differentiable: in ``shift`` and ``scale``.
    """
    targets = jnp.asarray(targets, bool)
    if targets.ndim != 2:
        raise ValueError(
            f"targets must have two dimensions [r, d], not shape {targets.shape}"
        )
    return Intervention(
        targets=targets,
        cut=targets & cut,
        shift=jnp.where(targets, jnp.asarray(shift, float), 0),
        scale=jnp.where(targets, jnp.asarray(scale, float), 1),
    )
