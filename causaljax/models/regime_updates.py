"""How a mixture of regimes changes: its graph, its targets, and regimes that join.

States and settings are those of ``kernels.latent_interventions``.
"""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.special import logit

from causaljax.graphs.climb import climb
from causaljax.graphs.ops import matmul, transitive_closure
from causaljax.models import conjugate, regimes
from causaljax.models.mechanisms import statistics_of_regimes
from causaljax.models.regime_starts import num_labels, targets_known

_BIG = 0.01  # the least share of the rows that a reference has


def climb_regimes(state, x, begins, num_begins, due, ever, known, problem, config):
    """The graph of linear mechanisms that has most evidence, targets found along.

    It is climbed from the first ``num_begins`` ``[]`` of ``begins`` ``[b, d, d]`` if
    that is ``due``, and has been at some time if ``ever`` ``[]`` bool.
    """
    d = x.shape[1]
    each = state.belonging * state.weight[:, None]
    free = problem.allowed & ~transitive_closure(problem.required).T
    prior = logit(jnp.asarray(config.sparsity, x.dtype))
    design = jnp.concatenate([jnp.ones_like(x[:, :1]), x], axis=1)
    moments = jax.lax.map(lambda w: matmul(design.T * w[None, :], design), each.T)
    counts, variables = each.sum(axis=0), jnp.arange(d)

    def score(parents, j):
        used = jnp.concatenate([jnp.ones_like(parents[:1]), parents]).astype(x.dtype)
        square = moments[:, j + 1, j + 1]
        # A feature that is 0 throughout leaves the evidence as it is.
        sums = conjugate.Statistics(
            count=counts,
            features=moments * used[None, :, None] * used[None, None, :],
            product=moments[:, :, j + 1] * used[None, :],
            square=square,
        )
        own = sums
        if config.intervention == "perfect":
            first = moments[:, :1, j + 1]
            own = conjugate.Statistics(counts, moments[:, :1, :1], first, square)
        evidence = conjugate.fit(own)[1]
        begin = state.targets[:, j]
        return regimes.find_targets(sums, evidence, begin, known, prior)[1]

    itself = jnp.eye(d, dtype=bool)

    def column(parents, j):
        turned = (parents[None, :] ^ itself) & (variables != j)[None, :]
        scores = jax.vmap(score, (0, None))(turned, j)
        # Without itself, that is as it is: the score of j comes back in that place.
        own = jnp.where(variables == j, scores, 0).sum()
        gains = jnp.where(parents, own - scores, scores - own)
        return jnp.where(variables == j, own, gains)

    def climbed():
        # As local as the data, which shard_map asks of what a loop carries.
        zero = jnp.zeros_like(state.evidence) + 0 * counts[0]

        def attempt(number, best):
            begun = begins[number] | (zero > 0)
            found = climb(column, begun, free, problem.required)
            worth = jnp.where(itself, found.gains, 0).sum()
            new = found.graph, jnp.where(itself, 0, found.gains), worth
            better = worth > best[2]
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)

        first = begins[0] | (zero > 0), zero, 0 * counts[0] - jnp.inf
        graph, gains, _ = jax.lax.fori_loop(0, num_begins, attempt, first)
        return graph, gains

    as_it_was = state.graph, state.evidence
    graph, evidence = jax.lax.cond(due, climbed, lambda: as_it_was)
    most = state.there.shape[1]
    value, parents = jax.lax.top_k(graph.T.astype(x.dtype), most)
    # A graph that was not climbed keeps its parents in the order of their beliefs.
    return state._replace(
        graph=graph,
        evidence=evidence,
        parents=jnp.where(ever, parents, state.parents),
        there=jnp.where(ever, value > 0, state.there),
    )


def join_regimes(state, own, mechanism, due, config):
    """The regime that each becomes part of, ``[k]``, and how many are joined."""

    def joined():
        gains = regimes.joining_gains(
            state.belonging,
            state.weight,
            own,
            mechanism,
            config.sparsity,
            state.concentration,
            state.reference,
        )
        label = jnp.arange(config.max_regimes, dtype=jnp.int32) < num_labels(config)
        gains = jnp.where(label[:, None] & label[None, :], -jnp.inf, gains)
        return regimes.join(gains)

    zero = 0 * jnp.argmax(state.belonging[0]).astype(jnp.int32)
    alone = jnp.arange(config.max_regimes, dtype=jnp.int32) + zero, zero
    return jax.lax.cond(due, joined, lambda: alone)


def targets_of_all(begin, sums, own, usual, known, config):
    """The best targets of every variable, ``[k, d]``."""
    prior = logit(jnp.asarray(config.sparsity, own.dtype))

    def of_variable(sums, own, usual, begin):
        return regimes.best_targets(sums, own, begin, known, prior, usual)[0]

    return jax.vmap(of_variable, (0, 0, 0, 1), 1)(sums, own, usual, begin)


def regrouped(state, x, mean, usual, due, known, config):
    """Regimes joined if that is due, and targets found anew.

    Gives ``belonging``, ``targets``, ``reference``, and how many regimes are joined;
    ``mean`` and ``usual`` ``[n, d]`` are mechanisms' heights and log-densities.
    """
    each = state.belonging * state.weight[:, None]
    sums = statistics_of_regimes(state, x, mean, each, config.intervention)
    into, moves = join_regimes(state, sums[0], matmul(each.T, usual), due, config)
    own, shared = jax.tree.map(functools.partial(regimes.gather, into, axis=1), sums)
    belonging = regimes.gather(into, state.belonging, axis=1)
    evidence = conjugate.fit(own)[1]
    as_it_is = jnp.full_like(evidence, -jnp.inf)
    if config.mechanism == "flow":
        as_it_is = matmul((belonging * state.weight[:, None]).T, usual).T
    targets = targets_of_all(state.targets, shared, evidence, as_it_is, known, config)
    reference = jnp.where(state.reference < 0, -1, into[state.reference])
    return belonging, targets, reference.astype(jnp.int32), moves.astype(jnp.int32)


def fewest_targets(belonging, targets, weight):
    """The regime, of those that are not small, with the fewest."""
    size = matmul(weight[None, :], belonging)[0]
    share = size / jnp.maximum(size.sum(), 1e-6)
    number = jnp.where(share >= _BIG, targets.sum(axis=1), jnp.inf)
    return jnp.argmin(number - share / 2).astype(jnp.int32)


def known_targets(state, config):
    """Regimes whose targets are known, ``[k]`` bool."""
    index = jnp.arange(config.max_regimes, dtype=jnp.int32)
    known = index == state.reference
    return known | (targets_known(config) & (index < num_labels(config)))
