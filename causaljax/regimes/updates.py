"""How a mixture of regimes changes: its graph, its targets, and regimes that merge."""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.special import logit

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Problem
from causaljax.graphs.dags import free_edges
from causaljax.graphs.hill_climbing import climb
from causaljax.mechanisms import conjugate, regression_network
from causaljax.regimes import intervention_targets, merge
from causaljax.regimes.densities import (
    inputs_of,
    statistics_of_regimes,
    usual_log_density,
)
from causaljax.regimes.initialise import num_labels, targets_known
from causaljax.regimes.state import Config, State

_BIG = 0.01  # the least share of the rows that a reference has


def climb_regimes(
    state: State,
    x: Array,
    begins: Array,
    num_begins: Array,
    due: Array,
    ever: Array,
    known: Array,
    problem: Problem,
    config: Config,
) -> State:
    """The graph of linear mechanisms that has most evidence, targets found along.

    It is climbed from the first ``num_begins`` ``[]`` of ``begins`` ``[b, d, d]`` if
    that is ``due``, and has been at some time if ``ever`` ``[]`` bool.
    """
    d = x.shape[1]
    each = state.responsibilities * state.weight[:, None]
    free = free_edges(problem)
    prior = logit(jnp.asarray(config.target_prior, x.dtype))
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
        return intervention_targets.find_targets(sums, evidence, begin, known, prior)[1]

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
    mechanisms = state.mechanisms
    most = mechanisms.parent_mask.shape[1]
    value, parents = jax.lax.top_k(graph.T.astype(x.dtype), most)
    # A graph that was not climbed keeps its parents in the order of their beliefs.
    return state._replace(
        graph=graph,
        evidence=evidence,
        mechanisms=mechanisms._replace(
            parents=jnp.where(ever, parents, mechanisms.parents),
            parent_mask=jnp.where(ever, value > 0, mechanisms.parent_mask),
        ),
    )


def merge_regimes(
    state: State,
    own: conjugate.Statistics,
    mechanism: Array,
    due: Array,
    config: Config,
) -> tuple[Array, Array]:
    """The regime that each becomes part of, ``[k]``, and how many are joined."""

    def joined():
        gains = merge.joining_gains(
            state.responsibilities,
            state.weight,
            own,
            mechanism,
            config.target_prior,
            state.concentration,
            state.reference,
        )
        label = jnp.arange(config.max_regimes, dtype=jnp.int32) < num_labels(config)
        gains = jnp.where(label[:, None] & label[None, :], -jnp.inf, gains)
        return merge.join(gains)

    zero = 0 * jnp.argmax(state.responsibilities[0]).astype(jnp.int32)
    alone = jnp.arange(config.max_regimes, dtype=jnp.int32) + zero, zero
    return jax.lax.cond(due, joined, lambda: alone)


def targets_of_all(
    begin: Array,
    sums: conjugate.Statistics,
    own: Array,
    usual: Array,
    known: Array,
    config: Config,
) -> Array:
    """The best targets of every variable, ``[k, d]``."""
    prior = logit(jnp.asarray(config.target_prior, own.dtype))

    def of_variable(sums, own, usual, begin):
        found, _ = intervention_targets.best_targets(
            sums, own, begin, known, prior, usual
        )
        return found

    found = jax.vmap(of_variable, (0, 0, 0, 1), 1)(sums, own, usual, begin)
    if not config.max_targets:
        return found
    evidence = jax.vmap(intervention_targets.target_evidence, (0, 0, 1, 0), 1)(
        sums, own, found, usual
    )
    few = intervention_targets.strongest_targets(found, evidence, config.max_targets)
    return jnp.where(known[:, None], found, few)


def evidence_of_targets(state: State, x: Array, config: Config) -> Array:
    """Evidence that each regime intervened on each variable, ``[k, d]``, nats."""
    mechanisms = state.mechanisms

    def of_variable(j):
        curves = jax.tree.map(lambda leaf: leaf[j], mechanisms.curves)
        mean = regression_network.predict(curves, inputs_of(mechanisms, x, j))
        return mean, usual_log_density(mechanisms, x, mean, j)

    mean, usual = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    each = state.responsibilities * state.weight[:, None]
    own, shared = statistics_of_regimes(
        mechanisms, x, mean.T, each, config.intervention
    )
    evidence = conjugate.fit(own)[1]
    as_it_is = jnp.full_like(evidence, -jnp.inf)
    if config.mechanism == "flow":
        as_it_is = matmul(usual, each)
    return jax.vmap(intervention_targets.target_evidence, (0, 0, 1, 0), 1)(
        shared, evidence, state.targets, as_it_is
    )


def regroup(
    state: State,
    x: Array,
    mean: Array,
    usual: Array,
    due: Array,
    known: Array,
    config: Config,
) -> tuple[Array, Array, Array, Array]:
    """Regimes merged if that is due, and targets found anew.

    Gives ``responsibilities``, ``targets``, ``reference``, and how many are merged;
    ``mean`` and ``usual`` ``[n, d]`` are mechanisms' heights and log-densities.
    """
    each = state.responsibilities * state.weight[:, None]
    sums = statistics_of_regimes(state.mechanisms, x, mean, each, config.intervention)
    into, moves = merge_regimes(state, sums[0], matmul(each.T, usual), due, config)
    own, shared = jax.tree.map(functools.partial(merge.gather, into, axis=1), sums)
    responsibilities = merge.gather(into, state.responsibilities, axis=1)
    evidence = conjugate.fit(own)[1]
    as_it_is = jnp.full_like(evidence, -jnp.inf)
    if config.mechanism == "flow":
        as_it_is = matmul((responsibilities * state.weight[:, None]).T, usual).T
    targets = targets_of_all(state.targets, shared, evidence, as_it_is, known, config)
    reference = jnp.where(state.reference < 0, -1, into[state.reference])
    return (
        responsibilities,
        targets,
        reference.astype(jnp.int32),
        moves.astype(jnp.int32),
    )


def fewest_targets(responsibilities: Array, targets: Array, weight: Array) -> Array:
    """The regime, of those that are not small, with the fewest."""
    size = matmul(weight[None, :], responsibilities)[0]
    share = size / jnp.maximum(size.sum(), 1e-6)
    number = jnp.where(share >= _BIG, targets.sum(axis=1), jnp.inf)
    return jnp.argmin(number - share / 2).astype(jnp.int32)


def known_targets(state: State, config: Config) -> Array:
    """Regimes whose targets are known, ``[k]`` bool."""
    index = jnp.arange(config.max_regimes, dtype=jnp.int32)
    known = index == state.reference
    return known | (targets_known(config) & (index < num_labels(config)))
