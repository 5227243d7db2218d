"""One graph, many regimes, and no record of which row is of which.

Data are pooled from experiments; each disturbed some variables (its targets, R_kj = 1)
and left the rest alone. Regime 0 disturbed none. Rows are explained by

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

l0 the log-density of a variable's mechanism, a curve over its candidate parents
(``models.curve``), and l1 that of what regime k did to it: a normal density of its own
(perfect interventions), or a read-out of its own from the mechanism's hidden units
(imperfect ones), coefficients and variance integrated out (``models.conjugate``).
Assignments are summed out; the loss is minus the mean of this over rows held out, plus
the divergences of sticks and targets from their priors, a share a row learned from.
Targets, sticks and densities are updated in closed form and curves by some
Levenberg-Marquardt iterations a step, on the cells that were not taken for disturbed
ones. Two regimes become one where the bound gains.

Steps come in three parts. At first each variable alone is a mixture of its mechanism
and of something wide, which tells what cells look disturbed. Then regimes begin in one
of ``STARTS``. Those named by a variable keep it as their target for a time; others keep
their rows, as mechanisms of wrong targets would scatter them, and pieces of one join.
At last all are updated together. The reference, if not told, is a regime without
targets, or that of fewest. Linear mechanisms choose their parents themselves, by
evidence, at any time (``graphs.climb``); of others the graph is given.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006 for the
truncated process; Heller and Ghahramani 2005 for joining by marginal likelihood.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from causaljax.graphs.climb import edge_probabilities
from causaljax.graphs.ops import (
    greedy_acyclic,
    label_free_places,
    matmul,
    transitive_closure,
)
from causaljax.models import curve, regimes
from causaljax.models.mechanisms import (
    describe,
    first_shapes,
    fit_mechanisms,
    fit_shapes,
    log_densities_of_targets,
)
from causaljax.models.regime_starts import (
    CELL_STEPS,
    cell_step,
    is_given,
    num_labels,
    or_else,
    targets_known,
    told_regimes,
)
from causaljax.models.regime_updates import (
    climb_regimes,
    fewest_targets,
    known_targets,
    regrouped,
)
from causaljax.types import Array, Kernel, Posterior, Problem, static

INTERVENTIONS = ("perfect", "imperfect")
HIDDEN = {"linear": 0, "network": 16, "flow": 16}
"""Mechanisms, with the hidden units of their curves."""
STARTS = ("targets", "patterns", "columns")
"""One regime a variable, that variable its target; or groups of rows alike in which
cells look disturbed, and in their values; or groups of rows alike in all values."""

_HELD_OUT = 0.1  # the share of the rows that is not learned from
_GOLDEN = 0.6180339887498949
_HELD_STEPS = 6  # while either targets or rows of regimes are left as they are
_REFERENCE_STEP = 8  # from which on one is chosen
_UNJOINED_STEPS = 10  # before two may become one
_CLIMB_EVERY = 3  # steps, later on
_FIRST_SHARE = 0.1  # of cells that are disturbed, before it is known


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``start`` holds probabilities of edges from another method; those of more than
    ``least_belief`` are candidates, of which a variable keeps the ``max_parents``
    likeliest. ``kind`` is the number of one of ``STARTS``. To go on from ``belonging``
    of rows instead, give it, and from ``targets`` as well if they are not to be found
    anew; arrays of NaN are as good as None. ``concentration`` is that of the Dirichlet
    process and ``sparsity`` the prior probability of a target.
    ``decay`` is the precision of a normal prior of the curves' parameters.

    Rows whose regime is from 0 to ``num_labels - 1`` belong there, with probability
    1 - ``label_noise``. With ``targets_known`` (0 or 1) their intervened cells tell
    their regimes' targets, and regime 0 is the reference.
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
    num_labels: ArrayLike = 0.0
    targets_known: ArrayLike = 0.0
    intervention: str = static(default="perfect")
    mechanism: str = static(default="network")
    max_regimes: int = static(default=20)
    concentration_learned: bool = static(default=False)
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
    shapes: Array  # [d, m, b] float, of their noise (``models.noise_shape``) or empty
    graph: Array  # [d, d] bool, candidate parents; acyclic
    evidence: Array  # [d, d] float, for edges, nats, if mechanisms are linear
    reference: Array  # [] int32, the regime without targets, -1 if none is known
    parents: Array  # [d, p] int, the same by variable
    there: Array  # [d, p] bool, whether a place is taken
    cells: Array  # [n, d] float, P(the cell is disturbed)
    belonging: Array  # [n, k] float, P(the row is of the regime)
    targets: Array  # [k, d] float, P(the regime disturbed the variable)
    concentration: Array  # [] float
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
    number: Any = config.num_labels
    if isinstance(number, bool) or number < 0 or number != int(number):
        raise ValueError(
            f"num_labels must be a whole number of at least 0, not {number!r}"
        )
    if number > config.max_regimes:
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
    # Neither parents that are as likely nor random numbers go by the labels.
    places = label_free_places(problem.x, weight)
    order = jnp.argsort(places)
    value, parents = jax.lax.top_k(jnp.where(graph, belief + 1, 0).T[:, order], most)
    parents = order[parents].astype(jnp.int32)
    curves = curve.first_curves(key, d, most, hidden, dtype)
    curves = jax.tree.map(lambda leaf: leaf[places] + zero, curves)
    belonging, targets = jnp.full((n, k), 1 / k, dtype), jnp.zeros((k, d), dtype)
    cells = jnp.full((n, d), _FIRST_SHARE, dtype)
    belonging = or_else(config.belonging, belonging)
    targets = or_else(config.targets, targets)
    cells = jnp.where(is_given(config.targets), _cells(belonging, targets), cells)
    return State(
        step=jnp.zeros((), jnp.int32),
        curves=curves,
        scale=jnp.ones(d, dtype) + zero,
        shapes=first_shapes(d, 1 + most + hidden, dtype, config) + zero,
        graph=graph,
        evidence=jnp.zeros((d, d), dtype) + zero,
        reference=zero.astype(jnp.int32) - (~targets_known(config)).astype(jnp.int32),
        parents=parents,
        there=value > 0,
        cells=cells + zero,
        belonging=belonging + zero,
        targets=targets + zero,
        concentration=jnp.asarray(config.concentration, dtype) + zero,
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
    begins = state.step < _cell_steps(config)
    if config.mechanism == "linear":
        state = _climbed(state, x, begins, problem, config)
    state, mean = fit_mechanisms(state, x, config)
    new, loss, moves = jax.lax.cond(
        begins,
        lambda: cell_step(key, state, x, mean, problem, config),
        lambda: _regime_step(state, x, mean, problem, config),
    )
    return new._replace(step=state.step + 1), Info(
        loss=loss,
        moves=moves,
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _cell_steps(config):
    # What goes on from another fit has no use for a beginning.
    return jnp.where(is_given(config.targets), 0, CELL_STEPS).astype(jnp.int32)


def _free(problem):
    return problem.allowed & ~transitive_closure(problem.required).T


def _cells(belonging, targets):
    """P(disturbed) of every cell; rounding must not lead out of [0, 1]."""
    return jnp.clip(matmul(belonging, targets), 0, 1)


class _Phase(NamedTuple):
    """What the number of a step with regimes says of it."""

    age: Array  # [] int, of the regimes
    early: Array  # [] bool, regimes are new
    by_variable: Array  # [] bool, each began with a variable's name
    known: Array  # [k] bool, whose targets stay


def _phase(state, config):
    labels = num_labels(config)
    age = state.step - _cell_steps(config)
    early, fresh = age < _HELD_STEPS, ~is_given(config.belonging)
    by_variable = fresh & (jnp.asarray(config.kind) == 0)
    # Of what began from targets those stay for a time, of others the assignments.
    unlabelled = jnp.arange(config.max_regimes, dtype=jnp.int32) >= labels
    known = known_targets(state, config) | (early & by_variable & unlabelled)
    return _Phase(age, early, by_variable, known)


def _climbed(state, x, begins, problem, config):
    """The state with the graph of linear mechanisms, if it is time to look for it."""
    age, early, _, known = _phase(state, config)
    due = early | (age % _CLIMB_EVERY == 0) | (state.step == config.num_steps - 1)
    # The first graph was made for cells, without regimes: from nothing, too.
    graphs = jnp.stack([state.graph, problem.required])
    number = jnp.where(age == 0, 2, 1)
    return climb_regimes(
        state, x, graphs, number, due & ~begins, ~begins, known, problem, config
    )


def _regime_step(state, x, mean, problem, config):
    """Densities, targets, then assignments by turns; graph and curves are there."""
    weight, labels = state.weight, num_labels(config)
    age, early, by_variable, known = _phase(state, config)
    held = early & ~by_variable
    _, told = told_regimes(problem, config)
    state, usual = fit_shapes(state, x, mean, config)

    # Groups of rows are pieces of regimes to begin with, and pieces look disturbed.
    pieces = (jnp.asarray(config.kind) > 0) & early
    due = pieces | ((age >= _UNJOINED_STEPS) & (age % 2 == 0))
    # Labels may be known while their targets are not.
    waits = early & by_variable & ((labels == 0) | targets_known(config))
    as_they_are = state.belonging, state.targets, state.reference, 0 * state.reference
    begun, targets, reference, moves = jax.lax.cond(
        waits,
        lambda: as_they_are,
        lambda: regrouped(state, x, mean, usual, due, known, config),
    )

    untouched = matmul(usual, (1 - targets).T)
    disturbed_log_densities = functools.partial(
        log_densities_of_targets, state, x, mean, config.intervention
    )

    def update(_, carry):
        belonging, _ = carry
        each = belonging * weight[:, None]
        sticks = regimes.sticks(each.sum(axis=0), state.concentration)
        joint = regimes.expected_log_weights(sticks)[None, :] + told
        joint = joint + untouched + disturbed_log_densities(each, targets)
        moved = jnp.where(held, belonging, jax.nn.softmax(joint, axis=1))
        return moved, logsumexp(joint, axis=1)

    num_updates = jnp.where(held, 1, config.num_updates)
    carry = begun, jnp.zeros_like(weight) + 0 * begun[:, 0]
    belonging, bounds = jax.lax.fori_loop(0, num_updates, update, carry)

    # Late, and none that has targets: all other regimes would get them.
    found = fewest_targets(belonging, targets, weight)
    now = (age >= _REFERENCE_STEP) & (reference < 0) & ~targets_known(config)
    now = now & (targets[found].max() < 0.5)
    reference = jnp.where(now, found, reference)
    is_reference = jnp.arange(config.max_regimes, dtype=jnp.int32) == reference
    is_reference = is_reference & ~targets_known(config)
    targets = jnp.where(is_reference[:, None], 0, targets)
    concentration = state.concentration
    sticks = regimes.sticks((belonging * weight[:, None]).sum(axis=0), concentration)
    divergence = regimes.stick_divergence(sticks, concentration)
    divergence += regimes.target_divergence(targets, config.sparsity, reference)
    rows = jnp.maximum(state.held_out.sum(), 1e-6)
    loss = -(bounds * state.held_out).sum() / rows
    loss += divergence / jnp.maximum(weight.sum(), 1)
    if config.concentration_learned:
        concentration = regimes.expected_concentration(sticks)
    new = state._replace(
        belonging=belonging,
        targets=targets,
        concentration=concentration,
        cells=_cells(belonging, targets),
        reference=reference.astype(jnp.int32),
    )
    return new, loss, moves.astype(jnp.int32)


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
    sticks = regimes.sticks(each.sum(axis=0), state.concentration)
    log_weights = regimes.expected_log_weights(sticks)
    model = describe(state, x, each, log_weights, config.intervention)
    fewest = fewest_targets(state.belonging, state.targets, state.weight)
    return Posterior(
        edge_prob=prob,
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={
            "belonging": state.belonging,
            "targets": state.targets,
            "reference": jnp.where(state.reference < 0, fewest, state.reference),
            "model": model,
        },
    )


KERNEL = Kernel(init, step, finalise)
