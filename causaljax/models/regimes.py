"""A mixture of regimes under a truncated Dirichlet process, with targets to be found.

Row n is of regime k with probability pi_k, and variable j of regime k is a target with
probability rho. With q(pi) of Beta sticks, R_kj = q(variable j is a target of k) and
the log-densities l0 of the mechanisms and l1 of the interventions,

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

less the divergences of the sticks and of the targets from their priors.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006,
section 3, for the sticks' updates in closed form.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, entr, gammaln, xlogy
from jax.typing import ArrayLike

from causaljax.graphs.ops import matmul
from causaljax.models import conjugate
from causaljax.types import Array

FEWEST_ROWS = 0.5  # rows of a regime that is there


class Sticks(NamedTuple):
    """Posterior of the weights: pi_k = v_k prod_{l before k} (1 - v_l), v ~ Beta(a, b).

    The last stick is all that is left and has no part.
    """

    a: Array  # [k] float
    b: Array  # [k] float
    place: Array  # [k] int, in the order in which sticks are broken


def sticks(counts: Array, concentration: ArrayLike) -> Sticks:
    """The best sticks for expected numbers of rows.

        a_k = 1 + N_k,  b_k = concentration + sum_{l after k} N_l

    Args:
      counts: ``[k]`` float, N, in any order: the largest regime breaks its stick first.
      concentration: ``[]`` float, positive; more of it expects more regimes.

    Differentiable: in both.
    Source: Blei and Jordan 2006, equations 18 and 19.
    """
    index = jnp.arange(len(counts), dtype=jnp.int32)
    # All pairs are compared: sorts and cumulative sums take longer to compile.
    alike = counts[None, :] == counts[:, None]
    after = counts[None, :] < counts[:, None]
    after = after | (alike & (index[None, :] > index[:, None]))
    b = jnp.where(after, counts[None, :], 0).sum(axis=1)
    b = b + jnp.asarray(concentration, b.dtype)
    return Sticks(1 + counts, b, after.sum(axis=0, dtype=jnp.int32))


def expected_log_weights(posterior: Sticks) -> Array:
    """E log pi_k, ``[k]``, nats; differentiable.

    Example:
      >>> import jax.numpy as jnp
      >>> even = sticks(jnp.array([1000.0, 1000.0]), 1.0)
      >>> [round(float(p), 2) for p in jnp.exp(expected_log_weights(even))]
      [0.5, 0.5]
    """
    place = posterior.place
    broken, left = _expected_logs(posterior)
    before = place[None, :] < place[:, None]
    return broken + jnp.where(before, left[None, :], 0).sum(axis=1)


def _expected_logs(posterior):
    """E log v and E log(1 - v), ``[k]`` each; 0 of the last."""
    a, b, place = posterior
    of_a, of_b, total = digamma(jnp.stack([a, b, a + b]))
    breaks = place < len(a) - 1
    return jnp.where(breaks, of_a - total, 0), jnp.where(breaks, of_b - total, 0)


def stick_divergence(posterior: Sticks, concentration: ArrayLike) -> Array:
    """KL(q || p) of the sticks from Beta(1, concentration), ``[]``, nats."""
    a, b, place = posterior
    concentration = jnp.asarray(concentration, b.dtype)
    of_a, of_b, total = gammaln(jnp.stack([a, b, a + b]))
    broken, left = _expected_logs(posterior)
    each = total - of_a - of_b - jnp.log(concentration)
    each = each + (a - 1) * broken + (b - concentration) * left
    return jnp.where(place < len(a) - 1, each, 0).sum()


def expected_concentration(posterior: Sticks) -> Array:
    """E of the concentration under a Gamma(1, 1) prior, ``[]``, given the sticks.

        (1 + K - 1) / (1 - sum_{k < K} E log(1 - v_k))

    Differentiable: in the sticks.
    Source: Blei and Jordan 2006, section 3, on a prior of the concentration.

    Example:
      >>> import jax.numpy as jnp
      >>> few = sticks(jnp.array([1000.0, 0.0, 0.0, 0.0]), 1.0)
      >>> many = sticks(jnp.array([250.0, 250.0, 250.0, 250.0]), 1.0)
      >>> bool(expected_concentration(few) < expected_concentration(many))
      True
    """
    _, left = _expected_logs(posterior)
    return len(left) / (1 - left.sum())


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
        # One call: batches of LAPACK side by side can wait for each other for ever.
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
    found, score = jax.lax.map(
        lambda start: find_targets(sums, own, start, known, prior, usual), starts
    )
    best = jnp.arange(len(score)) == jnp.argmax(score)
    return jnp.where(best[:, None], found, 0).sum(axis=0), score.max()


def _weighted(each, sums):
    """Sums over regimes, weighted; what subtraction leaves is not positive definite."""
    return jax.tree.map(
        lambda leaf: jnp.tensordot(each, leaf, 1, precision="highest"), sums
    )


def joining_gains(
    belonging: Array,
    weight: Array,
    sums: conjugate.Statistics,
    mechanism: Array,
    prior: ArrayLike,
    concentration: ArrayLike,
    reference: ArrayLike,
) -> Array:
    """What the bound gains by making two regimes one, ``[k, k]``, nats.

    That of their rows' log-evidence, every variable a target or not as suits them,
    of the Dirichlet process, and of assignments that need no longer be told apart.
    -inf for empty regimes and below the diagonal.

    Args:
      belonging: ``[n, k]``, responsibilities.
      weight: ``[n]``.
      sums: leaves ``[d, k, ...]``, of densities of the regimes' own.
      mechanism: ``[k, d]``, log-likelihood of the regimes' rows as usual.
      prior: ``[]``, P(target).
      concentration: ``[]``, of the process.
      reference: ``[]`` int, the regime without targets.

    Source: Heller and Ghahramani 2005, for the idea.
    """
    k = belonging.shape[1]
    prior = jnp.asarray(prior, weight.dtype)
    index = jnp.arange(k, dtype=jnp.int32)

    def score(own, mechanism):
        usual, other = jnp.log1p(-prior) + mechanism, jnp.log(prior) + own
        return jnp.logaddexp(usual, other).sum(axis=-1)

    def evidence_of_pairs(sums):
        # With each other and with nobody, in one call: batches of LAPACK side by side
        # can wait for each other for ever.
        def added(leaf):
            other = jnp.concatenate([leaf, jnp.zeros_like(leaf[:1])])
            return other[:, None] + leaf[None, :]

        return conjugate.fit(jax.tree.map(added, sums))[1]

    found = jax.lax.map(evidence_of_pairs, sums)
    alone = score(found[:, -1].T, mechanism)
    pairs = found[:, :-1].transpose(1, 2, 0)
    usual = mechanism[:, None] + mechanism[None, :]
    together = score(pairs, usual)
    is_reference = index == reference
    alone = jnp.where(is_reference, mechanism.sum(axis=-1), alone)
    with_it = is_reference[:, None] | is_reference[None, :]
    together = jnp.where(with_it, usual.sum(axis=-1), together)

    counts = matmul(weight[None, :], belonging)[0]
    size = jnp.maximum(counts, FEWEST_ROWS)
    process = gammaln(size[:, None] + size[None, :]) - gammaln(size)[:, None]
    process = process - gammaln(size)[None, :] - jnp.log(concentration)

    def told_apart(column):
        spread = entr(column)[:, None] + entr(belonging)
        return matmul(weight[None, :], spread - entr(column[:, None] + belonging))[0]

    gains = together - alone[:, None] - alone[None, :] + process
    gains = gains - jax.lax.map(told_apart, belonging.T)
    there = counts > FEWEST_ROWS
    able = (index[:, None] < index[None, :]) & there[:, None] & there[None, :]
    return jnp.where(able, gains, -jnp.inf)


def join(gains: Array) -> tuple[Array, Array]:
    """Makes pairs of regimes one that gain most from each other.

    What gains more from another waits: its pieces would mix with those of strangers.

    Args:
      gains: ``[k, k]``, above the diagonal; those above 0 are worth it.

    Returns:
      ``[k]`` int, the regime that each becomes part of, its own number if of none
      other, the earlier of a pair; and how many pairs were joined.
    """
    index = jnp.arange(len(gains), dtype=jnp.int32)
    above = index[:, None] < index[None, :]
    gains = jnp.where(above, gains, -jnp.inf)
    gains = jnp.maximum(gains, gains.T)
    top = gains.max(axis=1)
    first = jnp.where(gains == top[:, None], index[None, :], len(gains) - 1)
    best = first.min(axis=1)
    joined = (best[best] == index) & (top > 0)
    into = jnp.where(joined, jnp.minimum(index, best), index)
    return into, joined.sum(dtype=jnp.int32) // 2


def gather(into: Array, leaf: Array, axis: int) -> Array:
    """Sums over the regimes that ``join`` made one, along an axis of regimes."""
    moved = into[:, None] == jnp.arange(len(into), dtype=into.dtype)[None, :]
    summed = jnp.tensordot(
        jnp.moveaxis(leaf, axis, -1), moved.astype(leaf.dtype), 1, precision="highest"
    )
    return jnp.moveaxis(summed, -1, axis)
