"""A mixture of regimes under a truncated Dirichlet process, with targets to be found.

Row n is of regime k with probability pi_k, and variable j of regime k is a target with
probability rho. With q(pi) of Beta sticks, R_kj = q(variable j is a target of k) and
the log-densities l0 of the mechanisms and l1 of the interventions,

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

less the divergences of the sticks and of the targets from their priors.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006,
section 3, for the sticks' updates in closed form.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, xlogy
from jax.typing import ArrayLike

from causaljax.core.linalg import map_factorisations
from causaljax.core.types import Array
from causaljax.mechanisms import conjugate

_FEWEST_REGIMES = 5  # left alone, by which a column's drift can be judged


def target_divergence(targets: Array, prior: ArrayLike, reference: ArrayLike) -> Array:
    """KL(q || p) of targets ``[k, d]`` from Bernoulli(prior), ``[]``, nats.

    That of the regime that has none, the ``reference``, is 0; -1 if there is none.
    """
    cross = xlogy(targets, prior) + xlogy(1 - targets, 1 - prior)
    each = -(entr(targets) + entr(1 - targets) + cross)
    free = jnp.arange(len(targets), dtype=jnp.int32) != reference
    return jnp.where(free[:, None], each, 0).sum()


def find_targets(
    sums: conjugate.Statistics,
    own: Array,
    begin: Array,
    known: Array,
    prior: ArrayLike,
    usual: ArrayLike = -jnp.inf,
) -> tuple[Array, Array]:
    """Which regimes disturbed a variable, read-outs of its mechanism integrated out.

    Regime after regime is compared with all others that left the variable alone,

        logit R_k = prior + own_k - [log p(rows of k and of those) - log p(those)]

    so that a mechanism learned from the wrong rows has no say. Where noise is not
    normal, what is in brackets can be less than the log-likelihood of k's rows by the
    mechanism as it is, which then takes its place.

    Args:
      sums: leaves ``[k, ...]``, of a variable's rows by regime and the features that
        its mechanism is linear in.
      own: ``[k]``, log-evidence of a density of the regime's own, nats.
      begin: ``[k]`` in [0, 1], R before.
      known: ``[k]`` bool, where R stays what it is.
      prior: ``[]``, log-odds.
      usual: ``[k]``, log-likelihood of the rows by the mechanism as it is, nats.

    Returns:
      R ``[k]``, and the score ``[]`` of mechanism and targets together, nats.
    """

    def update(found, regime):
        index, alone, as_it_is = regime
        its_own = index == order
        others = 1 - jnp.where(its_own, 1, found)
        pair = jnp.stack([others, jnp.where(its_own, 1, others)])
        # In one call, and not side by side: see ``core.linalg.map_factorisations``.
        without, joined = conjugate.fit(_weighted(pair, sums))[1]
        more = jnp.maximum(as_it_is - joined + without, 0)
        new = jax.nn.sigmoid(prior + alone - joined + without - more)
        return jnp.where(its_own & ~known, new, found), (more, joined)

    order = jnp.arange(len(own), dtype=jnp.int32)
    usual = jnp.broadcast_to(jnp.asarray(usual, own.dtype), own.shape)
    # After the last regime comes none: the mechanism's rows as they are in the end.
    each = (
        jnp.arange(len(own) + 1, dtype=jnp.int32),
        jnp.pad(own, (0, 1)),
        jnp.pad(usual, (0, 1), constant_values=-jnp.inf),
    )
    found, (more, joined) = jax.lax.scan(update, begin, each)
    worth = found * (own + prior) + (1 - found) * more[:-1]
    worth = worth + entr(found) + entr(1 - found)
    return found, joined[-1:].sum() + worth.sum()


def target_evidence(
    sums: conjugate.Statistics,
    own: Array,
    targets: Array,
    usual: ArrayLike = -jnp.inf,
) -> Array:
    """Evidence that each regime intervened on a variable, given the other regimes.

        own_k - [log p(rows of k and of those left alone) - log p(those)]

    It is what ``find_targets`` adds to the prior log-odds.

    Args:
      sums: as of ``find_targets``.
      own: the same.
      targets: ``[k]`` in [0, 1], P(the regime intervened on the variable).
      usual: as of ``find_targets``.

    Returns:
      ``[k]``, nats.
    """
    order = jnp.arange(len(own), dtype=jnp.int32)
    usual = jnp.broadcast_to(jnp.asarray(usual, own.dtype), own.shape)

    def of_regime(regime):
        index, alone, as_it_is = regime
        its_own = index == order
        others = 1 - jnp.where(its_own, 1, targets)
        pair = jnp.stack([others, jnp.where(its_own, 1, others)])
        without, joined = conjugate.fit(_weighted(pair, sums))[1]
        return alone - jnp.maximum(joined - without, as_it_is)

    return map_factorisations(of_regime, (order, own, usual))


def beyond_drift(evidence: Array, targets: Array, counted: Array) -> Array:
    """Evidence less what sensors' drift adds to it in every regime.

    What the least disturbed column of a regime has is evidence of nothing; a column
    gains g_kj = e_kj - min_j e_kj by it. Among regimes that left a column alone the
    median gain is log 2, that of a chi-squared of two degrees of freedom over 2, unless
    the mechanism itself drifts from regime to regime. Then all gains of the column are
    divided by

        max(1, median_k g_kj / log 2),

    the median over the regimes with R_kj of at most 1/2.

    Args:
      evidence: ``[k, d]``, e, nats.
      targets: ``[k, d]`` in [0, 1], R.
      counted: ``[k]`` bool, regimes to judge by; evidence of others stays.

    Returns:
      ``[k, d]``, nats.

    Source: Devlin and Roeder 1999 (genomic control), on evidence in place of a test.
    """
    gain = evidence - evidence.min(axis=1, keepdims=True)
    alone = (targets <= 0.5) & counted[:, None]
    number = alone.sum(axis=0)
    ordered = jnp.sort(jnp.where(alone, gain, jnp.inf), axis=0)
    middle = jnp.maximum(number - 1, 0) // 2
    median = jnp.take_along_axis(ordered, middle[None], axis=0)[0]
    inflation = jnp.maximum(median / jnp.log(2.0), 1)
    inflation = jnp.where(number >= _FEWEST_REGIMES, inflation, 1)
    deflated = evidence - gain + gain / inflation[None, :]
    return jnp.where(counted[:, None], deflated, evidence)


def strongest_targets(targets: Array, evidence: Array, most: int) -> Array:
    """Targets ``[k, d]`` of regimes, at most so many of each: those of most evidence.

    Args:
      targets: ``[k, d]`` in [0, 1].
      evidence: ``[k, d]``, nats.
      most: how many, static.
    """
    rank = jnp.argsort(jnp.argsort(-evidence, axis=1), axis=1)
    return jnp.where(rank < most, targets, 0)


def furthest_targets(
    sums: conjugate.Statistics,
    own: Array,
    begin: Array,
    known: Array,
    prior: ArrayLike,
) -> Array:
    """Targets ``[k]`` to begin ``find_targets`` with, the furthest regimes first.

    From no targets on, that regime becomes one that gains most, so long as one gains.
    In an order of their numbers the mechanism would be learned from the first, and if
    that is a target all others would be found to be.

    Args:
      sums: as of ``find_targets``.
      own: the same.
      begin: ``[k]``, R of those that are known.
      known: as of ``find_targets``.
      prior: the same.
    """
    k = len(own)
    eye = jnp.eye(k, dtype=own.dtype)

    def gains(found):
        each = jnp.concatenate([(1 - found)[None] * (1 - eye), (1 - found)[None]])
        evidence = conjugate.fit(_weighted(each, sums))[1]
        gain = prior + own + evidence[:-1] - evidence[-1]
        return jnp.where(known | (found > 0), -jnp.inf, gain)

    def goes_on(carry):
        return carry[1].max() > 0

    def add(carry):
        found, gain = carry
        first = (jnp.arange(k) == jnp.argmax(gain)) & (gain < jnp.inf)
        found = jnp.where(first, 1, found)
        return found, gains(found)

    # At first nothing is added: outside the loop gains would be compiled once more.
    found = jnp.where(known, begin, 0) + 0 * own
    return jax.lax.while_loop(goes_on, add, (found, 0 * own + jnp.inf))[0]


def best_targets(
    sums: conjugate.Statistics,
    own: Array,
    begin: Array,
    known: Array,
    prior: ArrayLike,
    usual: ArrayLike = -jnp.inf,
) -> tuple[Array, Array]:
    """``find_targets`` from three sides, the best kept: one alone leads into dead ends.

    They are ``begin``, ``furthest_targets``, and all that are not known to be none;
    arguments and results are those of ``find_targets``.
    """
    furthest = furthest_targets(sums, own, begin, known, prior)
    starts = jnp.stack([begin, furthest, jnp.ones_like(begin)])
    starts = jnp.where(known[None, :], begin[None, :], starts)
    found, score = map_factorisations(
        lambda start: find_targets(sums, own, start, known, prior, usual), starts
    )
    best = jnp.arange(len(score)) == jnp.argmax(score)
    return jnp.where(best[:, None], found, 0).sum(axis=0), score.max()


def _weighted(each, sums):
    """Sums over regimes, weighted; what subtraction leaves is not positive definite."""
    return jax.tree.map(
        lambda leaf: jnp.tensordot(each, leaf, 1, precision="highest"), sums
    )
