"""One graph, many regimes, and no record of which row is of which.

Data are pooled from experiments; each disturbed some variables (its targets, R_kj = 1)
and left the rest alone. Regime 0 disturbed none. Rows are explained by

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

l0 the log-density of a variable's mechanism, a curve over its candidate parents
(``models.curve``), and l1 that of what regime k did to it: a normal density of its own
(perfect interventions), or a read-out of its own from the mechanism's hidden units
(imperfect ones), coefficients and variance integrated out (``models.conjugate``).
Assignments are summed out. Targets, sticks and densities are updated in closed form
and curves by some Levenberg-Marquardt iterations a step, on the cells that were not
taken for disturbed ones. Two regimes become one where the bound gains.

Steps come in three parts. At first each variable alone is a mixture of its mechanism
and of something wide, which tells what cells look disturbed. Then regimes begin in one
of ``STARTS``, and are left as they are until targets have settled: mechanisms of wrong
targets would scatter their rows. The regime of fewest targets becomes the reference.
At last all are updated together. Linear mechanisms choose their parents themselves, by
evidence, at any time (``graphs.climb``); of others the graph is given.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006 for the
truncated process; Heller and Ghahramani 2005 for joining by marginal likelihood.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import logit, logsumexp
from jax.typing import ArrayLike

from causaljax.graphs.climb import climb, edge_probabilities
from causaljax.graphs.ops import greedy_acyclic, matmul, transitive_closure
from causaljax.models import conjugate, curve, regimes
from causaljax.models.gaussian_mixture import gaussian_mixture
from causaljax.types import Array, Kernel, Posterior, Problem, static

INTERVENTIONS = ("perfect", "imperfect")
HIDDEN = {"linear": 0, "network": 16}
"""Mechanisms, with the hidden units of their curves."""
STARTS = ("targets", "patterns", "columns")
"""One regime a variable, that variable its target; or groups of rows alike in which
cells look disturbed, and in their values; or groups of rows alike in all values."""

_HELD_OUT = 0.1  # the share of the rows that is not learned from
_GOLDEN = 0.6180339887498949
_FIRST_SIZE = 0.5  # standard deviation of the hidden units' weights to begin with
_WIDE = 1.5  # standard deviation of disturbed cells, for two steps
_CELL_STEPS = 6  # before there are regimes
_HELD_STEPS = 6  # while regimes are left as they are
_UNJOINED_STEPS = 10  # before two may become one
_CLIMB_EVERY = 3  # steps, later on
_FIRST_SHARE, _SHARE = 0.1, (0.005, 0.5)  # of a variable's cells that are disturbed
_PER_REGIME = 4  # groups of rows that a regime may begin with
_BIG = 0.01  # the least share of the rows that a reference has


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; those of more than
    ``least_belief`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. ``kind`` is the number of one of ``STARTS``; ``belonging`` and
    ``targets``, if given, are what to go on from instead. ``concentration`` is that of
    the Dirichlet process and ``sparsity`` the prior probability of a target.
    ``decay`` is the precision of a normal prior of the curves' parameters.

    Rows whose regime is from 0 to ``num_labels - 1`` belong there, with probability
    1 - ``label_noise``. With ``targets_known`` their intervened cells tell their
    regimes' targets, and regime 0 is the reference.
    """

    start: ArrayLike | None = None  # [d, d] float in [0, 1]
    belonging: ArrayLike | None = None  # [n, k] float
    targets: ArrayLike | None = None  # [k, d] float
    kind: ArrayLike = 0.0
    least_belief: float = 0.1
    concentration: float = 1.0
    sparsity: float = 0.1
    label_noise: float = 0.0
    decay: float = 1.0
    intervention: str = static(default="perfect")
    mechanism: str = static(default="network")
    max_regimes: int = static(default=20)
    num_labels: int = static(default=0)
    targets_known: bool = static(default=False)
    max_parents: int = static(default=10)
    num_iterations: int = static(default=4)
    num_updates: int = static(default=10)
    num_rows: int = static(default=4096)
    num_steps: int = static(default=30)


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    curves: curve.Curve  # leaves [d, ...], of mechanisms
    scale: Array  # [d] float, standard deviations of their noise
    graph: Array  # [d, d] bool, candidate parents; acyclic
    evidence: Array  # [d, d] float, for edges, nats, if mechanisms are linear
    reference: Array  # [] int32, the regime without targets, -1 if not known yet
    parents: Array  # [d, p] int, the same by variable
    there: Array  # [d, p] bool, whether a place is taken
    cells: Array  # [n, d] float, P(the cell is disturbed)
    belonging: Array  # [n, k] float, P(the row is of the regime)
    targets: Array  # [k, d] float, P(the regime disturbed the variable)
    rows: Array  # [m] int, that curves are fitted on
    weight: Array  # [n] float, of rows to learn from
    held_out: Array  # [n] float, of rows to score on


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus the held-out bound, nats a row
    moves: Array  # [] int, regimes that became one with another
    converged: Array  # [] bool, the loss is finite: each step ends its work
    nonfinite: Array  # [] bool, the loss is not finite


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    for name, choices in (("intervention", INTERVENTIONS), ("mechanism", HIDDEN)):
        value = getattr(config, name)
        if value not in choices:
            raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}")
    for name, low, high in (
        ("least_belief", 0, 1),
        ("concentration", 0, math.inf),
        ("sparsity", 0, 1),
        ("label_noise", 0, 1),
        ("decay", 0, math.inf),
    ):
        value = getattr(config, name)
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a number, not {value!r}") from None
        least = number >= low if name in ("least_belief", "label_noise") else number > 0
        if not (least and number < high):
            raise ValueError(f"{name} must be between {low} and {high}, not {value!r}")
    for name, least in (
        ("max_regimes", 1),
        ("num_labels", 0),
        ("max_parents", 1),
        ("num_iterations", 1),
        ("num_updates", 1),
        ("num_rows", 1),
        ("num_steps", 1),
    ):
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(
                f"{name} must be a whole number of at least {least}, not {value!r}"
            )
    if config.num_labels > config.max_regimes:
        raise ValueError(
            f"max_regimes={config.max_regimes} leaves no room for the "
            f"{config.num_labels} regimes that have labels"
        )


def init(key: Array, problem: Problem, config: Config) -> State:
    """Random curves. Rows with a gap are left out, as those of weight 0 are."""
    n, d = problem.x.shape
    k, dtype = config.max_regimes, problem.x.dtype
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    counted = problem.observed.all(axis=1) & (problem.weight > 0)
    weight = jnp.where(counted, problem.weight, 0)
    # Of any stretch of rows the same share is held out, and padding moves none.
    held = (jnp.cumsum(counted).astype(dtype) * _GOLDEN) % 1 < _HELD_OUT
    learned = jnp.where(held, 0, weight)
    rows = jnp.arange(n)
    if n > config.num_rows:
        cumulative = jnp.cumsum(learned)
        part = (jnp.arange(config.num_rows, dtype=dtype) + 0.5) / config.num_rows
        rows = jnp.searchsorted(cumulative, part * cumulative[-1], side="right")
        rows = jnp.minimum(rows, n - 1)

    zero = 0 * weight[0]  # as local as the data, which shard_map asks of what they feed
    belief = jnp.zeros((d, d), dtype) if config.start is None else config.start
    belief = jnp.where(_free(problem), jnp.asarray(belief).astype(dtype), 0)
    belief = jnp.where(problem.required, 1, belief)
    graph = greedy_acyclic(belief, config.least_belief, problem.required)
    most, hidden = max(min(config.max_parents, d - 1), 1), HIDDEN[config.mechanism]
    value, parents = jax.lax.top_k(jnp.where(graph, belief + 1, 0).T, most)
    key_inputs, key_biases = jax.random.split(key)
    shape = (d, most, hidden)
    curves = curve.Curve(
        inputs=_FIRST_SIZE * jax.random.normal(key_inputs, shape, dtype) + zero,
        passed=jnp.zeros((d, most), dtype) + zero,
        biases=jax.random.normal(key_biases, (d, hidden), dtype) + zero,
        outputs=jnp.zeros((d, hidden), dtype) + zero,
        offset=jnp.zeros(d, dtype) + zero,
    )
    belonging, targets = jnp.full((n, k), 1 / k, dtype), jnp.zeros((k, d), dtype)
    cells = jnp.full((n, d), _FIRST_SHARE, dtype)
    if config.belonging is not None and config.targets is not None:
        belonging = jnp.asarray(config.belonging).astype(dtype)
        targets = jnp.asarray(config.targets).astype(dtype)
        cells = _cells(belonging, targets)
    return State(
        step=jnp.zeros((), jnp.int32),
        curves=curves,
        scale=jnp.ones(d, dtype) + zero,
        graph=graph,
        evidence=jnp.zeros((d, d), dtype) + zero,
        reference=(zero - int(not config.targets_known)).astype(jnp.int32),
        parents=parents,
        there=value > 0,
        cells=cells + zero,
        belonging=belonging + zero,
        targets=targets + zero,
        rows=rows,
        weight=learned,
        held_out=jnp.where(held, weight, 0),
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """One round of updates; see above for which."""
    # Which regime a row is of is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    x = jnp.where((state.weight + state.held_out)[:, None] > 0, problem.x, 0)
    first = _cell_steps(config)

    def early():
        return _cell_step(key, state, x, problem, config)

    def late():
        return _regime_step(state, x, problem, config)

    if first:
        new, loss, moves = jax.lax.cond(state.step < first, early, late)
    else:
        new, loss, moves = late()
    return new._replace(step=state.step + 1), Info(
        loss=loss,
        moves=moves,
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _cell_steps(config):
    return _CELL_STEPS if config.belonging is None else 0


def _free(problem):
    return problem.allowed & ~transitive_closure(problem.required).T


def _cells(belonging, targets):
    """P(disturbed) of every cell; rounding must not lead out of [0, 1]."""
    return jnp.clip(matmul(belonging, targets), 0, 1)


# Mechanisms


def _inputs(state, x, j):
    """A variable's candidate parents, ``[n, p]``, 0 where a place is not taken."""
    return jnp.where(state.there[j][None, :], x[:, state.parents[j]], 0)


def _fit_mechanisms(state, x, config):
    """The state with curves fitted on, and their heights ``[n, d]``."""
    few, weight = x[state.rows], state.weight[state.rows]
    weight = weight * state.weight.sum() / jnp.maximum(weight.sum(), 1e-6)
    most = state.parents.shape[1]
    sizes = sorted({max(most // part, 1) for part in (4, 2, 1)})

    def fit_on(size, begun, inputs, y, used):
        small = begun._replace(inputs=begun.inputs[:size], passed=begun.passed[:size])
        found, scale = curve.fit(
            small, inputs[:, :size], y, used, config.decay, config.num_iterations
        )
        return begun._replace(
            inputs=begun.inputs.at[:size].set(found.inputs),
            passed=begun.passed.at[:size].set(found.passed),
            biases=found.biases,
            outputs=found.outputs,
            offset=found.offset,
        ), scale

    branches = [functools.partial(fit_on, size) for size in sizes]

    def of_variable(j):
        begun = jax.tree.map(lambda leaf: leaf[j], state.curves)
        used = (1 - state.cells[state.rows, j]) * weight
        inputs = _inputs(state, few, j)
        # The fewer parents, the smaller the regressions; places are taken in order.
        number = state.there[j].sum()
        which = sum((number > size).astype(jnp.int32) for size in sizes[:-1])
        found, scale = jax.lax.switch(which, branches, begun, inputs, few[:, j], used)
        return found, scale, curve.predict(found, _inputs(state, x, j))

    curves, scale, mean = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return state._replace(curves=curves, scale=scale), mean.T


def _features(state, x, j):
    """What a mechanism's read-out is linear in, ``[n, m]``; the first is 1."""
    inputs = _inputs(state, x, j)
    own = jax.tree.map(lambda leaf: leaf[j], state.curves)
    unit = jax.nn.silu(matmul(inputs, own.inputs) + own.biases[None, :])
    return jnp.concatenate([jnp.ones_like(x[:, :1]), inputs, unit], axis=1)


def _log_normal(residual, scale):
    z = residual / scale
    return -0.5 * (math.log(2 * math.pi) + z**2) - jnp.log(scale)


# Before there are regimes


def _cell_step(key, state, x, problem, config):
    """Each variable is a mixture of its mechanism and of something else."""
    state, mean = _fit_mechanisms(state, x, config)
    weight, new = state.weight, state.step < 2
    one = jnp.ones_like(x[:, :1])
    # Medians stand fast while disturbed cells still weigh in.
    size = jnp.where(weight[:, None] > 0, jnp.abs(x - mean), jnp.inf)
    half = ((weight > 0).sum() / 2).astype(jnp.int32)
    median = jnp.maximum(1.4826 * jnp.sort(size, axis=0)[half], 1e-4)
    scale = jnp.where(new, jnp.minimum(state.scale, median), state.scale)
    usual = _log_normal(x - mean, scale[None, :])

    def other(column):
        x, cells = column
        sums = conjugate.statistics((cells * weight)[:, None], one, x)
        found, _ = conjugate.fit(sums)
        return conjugate.expected_log_density(found, one, x)[:, 0]

    other = jax.lax.map(other, (x.T, state.cells.T)).T
    other = jnp.where(new, _log_normal(x, _WIDE), other)
    share = matmul(weight[None, :], state.cells)[0] / jnp.maximum(weight.sum(), 1)
    share = jnp.clip(share, *_SHARE)
    odds = logit(share)[None, :] + other - usual
    cells = jax.nn.sigmoid(odds)
    if config.targets_known:
        known = _told(problem, config)[0]
        cells = jnp.where(known[:, None], problem.intervened.astype(cells.dtype), cells)
    moved = state._replace(cells=cells.astype(x.dtype))
    begun = jax.lax.cond(
        state.step == _CELL_STEPS - 1,
        lambda: _begin(key, moved, x, odds, share, problem, config),
        lambda: moved,
    )
    zero = 0 * jnp.argmax(share).astype(jnp.int32)
    return begun, jnp.full_like(share[0], jnp.inf), zero


def _told(problem, config):
    """Which rows have labels, and log-probabilities of regimes given them."""
    known = (problem.regime >= 0) & (problem.regime < config.num_labels)
    label = jnp.where(known, problem.regime, 0)
    index = jnp.arange(config.max_regimes, dtype=label.dtype)
    its_own = label[:, None] == index[None, :]
    noise = jnp.asarray(config.label_noise, problem.x.dtype)
    other = jnp.log(noise / max(config.max_regimes - 1, 1))
    prior = jnp.where(its_own, jnp.log1p(-noise), other)
    return known, jnp.where(known[:, None], prior, 0)


def _begin(key, state, x, odds, share, problem, config):
    """Regimes: those that have labels, and in the places left those of a start."""
    d, labels = x.shape[1], config.num_labels
    free = config.max_regimes - labels
    known, told = _told(problem, config)
    weight = jnp.where(known, 0, state.weight)
    belonging = jax.nn.softmax(told, axis=1)

    def by_targets():
        most, which = jax.lax.top_k(share, min(free - (labels == 0), d))
        score = odds[:, which]
        if labels == 0:
            score = jnp.concatenate([jnp.zeros_like(odds[:, :1]), score], axis=1)
        found = jax.nn.softmax(score, axis=1)
        return jnp.pad(found, ((0, 0), (0, free - found.shape[1])))

    def by_groups(features):
        return gaussian_mixture(
            key,
            features,
            x,
            weight,
            num_groups=_PER_REGIME * free,
            most=free,
            concentration=config.concentration,
        )

    if free:
        kind = jnp.asarray(config.kind).astype(jnp.int32)
        # One mixture serves both kinds; columns of 0 move no row.
        cells = jnp.concatenate([2 * state.cells, state.cells * x], axis=1)
        columns = jnp.concatenate([x, jnp.zeros_like(x)], axis=1)
        features = jnp.where(kind == 1, cells, columns)
        found = jnp.where(kind == 0, by_targets(), by_groups(features))
        found = jnp.pad(found, ((0, 0), (labels, 0)))
        belonging = jnp.where(known[:, None], belonging, found)
    each = belonging * state.weight[:, None]
    size = jnp.maximum(each.sum(axis=0), 1e-6)
    targets = matmul(each.T, state.cells) / size[:, None] > 0.5
    targets = _told_targets(targets.astype(x.dtype), problem, config)
    return state._replace(belonging=belonging, targets=targets)


# Regimes


def _told_targets(targets, problem, config):
    """Targets of regimes with labels are what their rows say, if that is told."""
    if not (config.targets_known and config.num_labels):
        return targets
    known, _ = _told(problem, config)
    label = jnp.where(known, problem.regime, 0)
    told = jnp.zeros(targets.shape, bool)
    told = told.at[label].max(problem.intervened & known[:, None])
    has_label = (jnp.arange(len(targets)) < config.num_labels)[:, None]
    return jnp.where(has_label, told.astype(targets.dtype), targets)


def _regime_step(state, x, problem, config):
    """Graph, mechanisms, targets, then densities and assignments by turns."""
    d, weight = x.shape[1], state.weight
    age = state.step - _cell_steps(config)
    held = age < _HELD_STEPS
    known = _known_targets(state, config)
    variables = jnp.arange(d)
    each = state.belonging * weight[:, None]
    _, told = _told(problem, config)
    if config.mechanism == "linear":
        due = held | (age % _CLIMB_EVERY == 0) | (state.step == config.num_steps - 1)
        # The first graph was made for cells, without regimes.
        begin = jnp.where(age == 0, problem.required, state.graph)
        state = _climbed(state, x, each, begin, due, known, problem, config)
    state, mean = _fit_mechanisms(state, x, config)
    usual = _log_normal(x - mean, state.scale[None, :])

    def own_features(j):
        return _own_features(state, x, mean[:, j], j, config.intervention)

    def evidences(j):
        own = conjugate.statistics(each, *own_features(j))
        shared = own
        if config.intervention == "perfect":
            residual = x[:, j] - mean[:, j]
            shared = conjugate.statistics(each, _features(state, x, j), residual)
        return shared, conjugate.fit(own)[1]

    sums, own = jax.lax.map(evidences, variables)
    targets = _targets(state.targets, sums, own, known, config)

    def densities(each):
        def of_variable(j):
            features, cells = own_features(j)
            sums = conjugate.statistics(each, features, cells)
            found, _ = conjugate.fit(sums)
            log_density = conjugate.expected_log_density(found, features, cells)
            return sums, log_density * targets[:, j][None, :]

        sums, own = jax.lax.map(of_variable, variables)
        return sums, own.sum(axis=0)

    untouched = matmul(usual, (1 - targets).T)

    def update(belonging, _):
        each = belonging * weight[:, None]
        sticks = regimes.sticks(each.sum(axis=0), config.concentration)
        joint = regimes.expected_log_weights(sticks)[None, :] + told
        joint = joint + untouched + densities(each)[1]
        moved = jnp.where(held, belonging, jax.nn.softmax(joint, axis=1))
        return moved, logsumexp(joint, axis=1)

    belonging, bounds = jax.lax.scan(update, state.belonging, length=config.num_updates)
    rows = jnp.maximum(state.held_out.sum(), 1e-6)
    loss = -(bounds[-1] * state.held_out).sum() / rows

    def joined():
        each = belonging * weight[:, None]
        gains = regimes.joining_gains(
            belonging,
            weight,
            densities(each)[0],
            matmul(each.T, usual),
            config.sparsity,
            config.concentration,
            state.reference,
        )
        label = jnp.arange(config.max_regimes) < config.num_labels
        gains = jnp.where(label[:, None] & label[None, :], -jnp.inf, gains)
        return regimes.join(gains)

    due = (age >= _UNJOINED_STEPS) & (age % 2 == 0)
    zero = 0 * jnp.argmax(belonging[0]).astype(jnp.int32)
    alone = jnp.arange(config.max_regimes, dtype=jnp.int32) + zero, zero
    into, moves = jax.lax.cond(due, joined, lambda: alone)
    belonging = regimes.gather(belonging, into)
    reference = jnp.where(state.reference < 0, -1, into[state.reference])
    if not config.targets_known:
        now = age == _HELD_STEPS - 1
        found = _fewest_targets(belonging, targets, weight)
        reference = jnp.where(now, found, reference)
        index = jnp.arange(config.max_regimes, dtype=jnp.int32)
        is_reference = index == reference
        targets = jnp.where(is_reference[:, None], 0, targets)
    new = state._replace(
        belonging=belonging,
        targets=targets,
        cells=_cells(belonging, targets),
        reference=reference.astype(jnp.int32),
    )
    return new, loss, moves.astype(jnp.int32)


def _known_targets(state, config):
    """Regimes whose targets are known, ``[k]`` bool."""
    index = jnp.arange(config.max_regimes, dtype=jnp.int32)
    known = index == state.reference
    return known | (config.targets_known & (index < config.num_labels))


def _targets(begin, sums, own, known, config):
    """One at a time leads into dead ends: from three sides, and the best kept."""
    prior = logit(jnp.asarray(config.sparsity, own.dtype))
    starts = jnp.stack([begin, jnp.zeros_like(begin), jnp.ones_like(begin)])
    starts = jnp.where(known[None, :, None], begin[None], starts)

    def of_variable(sums, own, starts):
        found, score = jax.lax.map(
            lambda start: regimes.find_targets(sums, own, start, known, prior), starts
        )
        return found[jnp.argmax(score)]

    return jax.vmap(of_variable, (0, 0, 2), 1)(sums, own, starts)


def _climbed(state, x, each, graph, due, known, problem, config):
    """The graph of linear mechanisms that has most evidence, targets found along."""
    d = x.shape[1]
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

    def column(parents, j):
        turned = parents[None, :] ^ (variables[:, None] == variables[None, :])
        turned = jnp.concatenate([parents[None], turned & (variables != j)[None, :]])
        scores = jax.vmap(score, (0, None))(turned, j)
        there, other = scores[0], scores[1:]
        return jnp.where(parents, there - other, other - there)

    def climbed():
        found = climb(column, graph, _free(problem), problem.required)
        return found.graph, found.gains

    as_it_was = state.graph, state.evidence
    graph, evidence = jax.lax.cond(due, climbed, lambda: as_it_was)
    most = state.there.shape[1]
    value, parents = jax.lax.top_k(graph.T.astype(x.dtype), most)
    return state._replace(
        graph=graph, evidence=evidence, parents=parents, there=value > 0
    )


def _fewest_targets(belonging, targets, weight):
    """The regime, of those that are not small, with the fewest."""
    size = matmul(weight[None, :], belonging)[0]
    share = size / jnp.maximum(size.sum(), 1e-6)
    number = jnp.where(share >= _BIG, targets.sum(axis=1), jnp.inf)
    return jnp.argmin(number - share / 2).astype(jnp.int32)


class Model(NamedTuple):
    """What a fit knows of rows; leaves of mechanisms ``[d, ...]``."""

    curves: curve.Curve
    scale: Array  # [d]
    parents: Array  # [d, p]
    there: Array  # [d, p]
    targets: Array  # [k, d]
    log_weights: Array  # [k], E log pi
    own: conjugate.Fit  # leaves [d, k, ...], densities of the regimes' own


def regime_log_likelihoods(model: Model, x: Array, intervention: str) -> Array:
    """The bound on log p(x_n, regime k), ``[n, k]``, nats in the units of x.

    Args:
      model: ``extra["model"]`` of a posterior.
      x: ``[n, d]``, in the units of the table that was fitted.
      intervention: as in ``Config``, static.
    """

    def of_variable(j):
        own = jax.tree.map(lambda leaf: leaf[j], model.curves)
        mean = curve.predict(own, _inputs(model, x, j))
        usual = _log_normal(x[:, j] - mean, model.scale[j])
        features, cells = _own_features(model, x, mean, j, intervention)
        fit = jax.tree.map(lambda leaf: leaf[j], model.own)
        other = conjugate.expected_log_density(fit, features, cells)
        disturbed = model.targets[:, j][None, :]
        return (1 - disturbed) * usual[:, None] + disturbed * other

    each = jax.lax.map(of_variable, jnp.arange(x.shape[1]))
    return model.log_weights[None, :] + each.sum(axis=0)


def _own_features(model, x, mean, j, intervention):
    """What a regime's own density of a variable is linear in, and its cells."""
    if intervention == "perfect":
        return jnp.ones_like(x[:, :1]), x[:, j]
    return _features(model, x, j), x[:, j] - mean


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and the regimes.

    Edges of linear mechanisms have the probabilities of ``graphs.climb``; those of
    others are the candidates as they were given. ``extra`` holds ``belonging``
    ``[n, k]``, ``targets`` ``[k, d]``, ``reference`` ``[]`` and the ``model``.
    """
    del key
    prob = state.graph.astype(state.scale.dtype)
    if config.mechanism == "linear":
        prob = edge_probabilities(
            state.graph, state.evidence, problem.allowed, problem.required
        )
    x = jnp.where((state.weight + state.held_out)[:, None] > 0, problem.x, 0)
    each = state.belonging * state.weight[:, None]

    def own(j):
        curves = jax.tree.map(lambda leaf: leaf[j], state.curves)
        mean = curve.predict(curves, _inputs(state, x, j))
        features, cells = _own_features(state, x, mean, j, config.intervention)
        return conjugate.fit(conjugate.statistics(each, features, cells))[0]

    sticks = regimes.sticks(each.sum(axis=0), config.concentration)
    model = Model(
        curves=state.curves,
        scale=state.scale,
        parents=state.parents,
        there=state.there,
        targets=state.targets,
        log_weights=regimes.expected_log_weights(sticks),
        own=jax.lax.map(own, jnp.arange(x.shape[1])),
    )
    return Posterior(
        edge_prob=prob,
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={
            "belonging": state.belonging,
            "targets": state.targets,
            "reference": state.reference,
            "model": model,
        },
    )


KERNEL = Kernel(init, step, finalise)
