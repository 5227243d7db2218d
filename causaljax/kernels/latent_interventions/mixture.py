"""The regimes of rows and what each intervened on, where the graph is given.

Data are pooled from experiments; each disturbed some variables (its targets, R_kj = 1)
and left the rest alone. Regime 0 disturbed none. Rows are explained by

    log p(x_n) >= logsumexp_k { E log pi_k + sum_j [(1 - R_kj) l0_nj + R_kj l1_njk] }

l0 the log-density of a variable's mechanism, a curve over its candidate parents
(``mechanisms.regression_network``), and l1 that of what regime k did to it: a normal
density of its own (perfect interventions), or a read-out of its own from the
mechanism's hidden units (imperfect ones), coefficients and variance integrated out
(``mechanisms.conjugate``).
Assignments are summed out; the loss is minus the mean of this over rows held out, plus
the divergences of sticks and targets from their priors, a share a row learned from.
Targets, sticks and densities are updated in closed form and curves by some
Levenberg-Marquardt iterations a step, on the cells that were not taken for disturbed
ones. Two regimes become one where the bound gains.

Steps come in three parts. At first each variable alone is a mixture of its mechanism
and of something wide, which tells what cells look disturbed. Then regimes begin in one
of ``INITIALISATIONS``. Those named by a variable keep it as their target for a time;
others keep their rows, as mechanisms of wrong targets would scatter them, and pieces
of one are merged. At last all are updated together. The reference, if not told, is a
regime without targets, or that of fewest. Linear mechanisms choose their parents
themselves, by evidence, at any time (``graphs.hill_climbing``); of others the graph
is given.

Sources: Faria, Martins and Figueiredo 2022 for the model; Blei and Jordan 2006 for the
truncated process; Heller and Ghahramani 2005 for joining by marginal likelihood.
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from causaljax.core.linalg import matmul
from causaljax.core.options import check_options
from causaljax.core.problem import (
    complete_rows,
    held_out_rows,
    label_free_places,
    like_data,
    thin_rows,
)
from causaljax.core.types import Array, Kernel, Posterior, Problem
from causaljax.graphs.dags import free_edges, greedy_acyclic
from causaljax.graphs.edge_probabilities import edge_probabilities
from causaljax.mechanisms import regression_network
from causaljax.regimes import intervention_targets, stick_breaking
from causaljax.regimes.densities import (
    describe,
    first_shapes,
    fit_mechanisms,
    fit_shapes,
    log_densities_of_targets,
)
from causaljax.regimes.initialise import (
    cell_step,
    is_given,
    labelled_regimes,
    num_cell_steps,
    num_labels,
    or_else,
    targets_known,
)
from causaljax.regimes.state import (
    HIDDEN,
    Config,
    Mechanisms,
    State,
)
from causaljax.regimes.updates import (
    climb_regimes,
    evidence_of_targets,
    fewest_targets,
    known_targets,
    regroup,
)

_HELD_OUT = 0.1  # the share of the rows that is not learned from
_CLIMB_EVERY = 3  # steps, later on
_FIRST_SHARE = 0.1  # of cells that are disturbed, before it is known


class Info(NamedTuple):
    """Diagnostics of a step."""

    loss: Array  # [] float, minus the held-out bound, nats a row
    moves: Array  # [] int, regimes that became one with another
    converged: Array  # [] bool, the loss is finite: each step ends its work
    nonfinite: Array  # [] bool, the loss is not finite


def check_config(config: Config) -> None:
    """Raises ValueError, naming the option, if a setting makes no sense."""
    check_options(config)
    number: Any = config.num_labels
    if number > config.max_regimes:
        raise ValueError(
            f"max_regimes={config.max_regimes} leaves no room for the "
            f"{number:g} regimes that have labels"
        )


def init(key: Array, problem: Problem, config: Config) -> State:
    """Random curves. Rows with a gap are left out, as those of weight 0 are."""
    n, d = problem.x.shape
    k, dtype = config.max_regimes, problem.x.dtype
    chex.assert_shape([problem.intervened, problem.observed], (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    counted = complete_rows(problem)
    weight = jnp.where(counted, problem.weight, 0)
    held = held_out_rows(counted, _HELD_OUT, dtype)
    learned = jnp.where(held, 0, weight)
    rows = jnp.arange(n)
    if n > config.num_rows:
        rows = thin_rows(learned, config.num_rows)

    belief = jnp.zeros((d, d), dtype) if config.start is None else config.start
    belief = jnp.where(free_edges(problem), jnp.asarray(belief).astype(dtype), 0)
    belief = jnp.where(problem.required, 1, belief)
    graph = greedy_acyclic(belief, config.min_prior_prob, problem.required)
    most, hidden = max(min(config.max_parents, d - 1), 1), HIDDEN[config.mechanism]
    # Neither parents that are as likely nor random numbers go by the labels.
    places = label_free_places(problem.x, weight)
    order = jnp.argsort(places)
    value, parents = jax.lax.top_k(jnp.where(graph, belief + 1, 0).T[:, order], most)
    parents = order[parents].astype(jnp.int32)
    curves = regression_network.init_curves(key, d, most, hidden, dtype)
    curves = jax.tree.map(lambda leaf: leaf[places], curves)
    state = State(
        step=jnp.zeros((), jnp.int32),
        mechanisms=Mechanisms(
            curves=curves,
            scale=jnp.ones(d, dtype),
            shapes=first_shapes(d, 1 + most + hidden, dtype, config),
            parents=parents,
            parent_mask=value > 0,
        ),
        graph=graph,
        evidence=jnp.zeros((d, d), dtype),
        reference=-(~targets_known(config)).astype(jnp.int32),
        intervened_prob=jnp.full((n, d), _FIRST_SHARE, dtype),
        responsibilities=jnp.full((n, k), 1 / k, dtype),
        targets=jnp.zeros((k, d), dtype),
        concentration=jnp.asarray(config.concentration, dtype),
        rows=rows,
        weight=learned,
        held_out=jnp.where(held, weight, 0),
    )
    state = like_data(state, weight)._replace(step=state.step, rows=rows)
    return with_given(state, config)


def with_given(state: State, config: Config) -> State:
    """The state with the responsibilities and targets that the config gives."""
    responsibilities = or_else(config.responsibilities, state.responsibilities)
    targets = or_else(config.targets, state.targets)
    cells = jnp.where(
        is_given(config.targets),
        _cells(responsibilities, targets),
        state.intervened_prob,
    )
    return state._replace(
        responsibilities=responsibilities, targets=targets, intervened_prob=cells
    )


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """One round of updates; see above for which."""
    # Which regime a row is of is no smooth question.
    state, problem, config = jax.lax.stop_gradient((state, problem, config))
    x = jnp.where((state.weight + state.held_out)[:, None] > 0, problem.x, 0)
    begins, phase = state.step < _cell_steps(config), _phase(state, config)
    if config.mechanism == "linear":
        state = _climbed(state, x, begins, phase, problem, config)
    state, mean = fit_mechanisms(state, x, config)
    new, loss, moves = jax.lax.cond(
        begins,
        lambda: cell_step(key, state, x, mean, problem, config),
        lambda: _regime_step(state, x, mean, phase, problem, config),
    )
    return new._replace(step=state.step + 1), Info(
        loss=loss,
        moves=moves,
        converged=jnp.isfinite(loss),
        nonfinite=~jnp.isfinite(loss),
    )


def _steps(share, config):
    return round(share * config.num_steps)


def _cell_steps(config):
    # What goes on from another fit has no use for a beginning.
    number = jnp.where(is_given(config.targets), 0, num_cell_steps(config))
    return number.astype(jnp.int32)


def _cells(responsibilities, targets):
    """P(disturbed) of every cell; rounding must not lead out of [0, 1]."""
    return jnp.clip(matmul(responsibilities, targets), 0, 1)


class _Phase(NamedTuple):
    """What the number of a step with regimes says of it."""

    age: Array  # [] int, of the regimes
    early: Array  # [] bool, regimes are new
    by_variable: Array  # [] bool, each began with a variable's name
    known: Array  # [k] bool, whose targets stay


def _phase(state, config):
    labels = num_labels(config)
    age = state.step - _cell_steps(config)
    early, fresh = (
        age < _steps(config.held_share, config),
        ~is_given(config.responsibilities),
    )
    by_variable = fresh & (jnp.asarray(config.initialisation) == 0)
    # Of what began from targets those stay for a time, of others the assignments.
    unlabelled = jnp.arange(config.max_regimes, dtype=jnp.int32) >= labels
    known = known_targets(state, config) | (early & by_variable & unlabelled)
    return _Phase(age, early, by_variable, known)


def _climbed(state, x, begins, phase, problem, config):
    """The state with the graph of linear mechanisms, if it is time to look for it."""
    age, early, known = phase.age, phase.early, phase.known
    due = early | (age % _CLIMB_EVERY == 0) | (state.step == config.num_steps - 1)
    # The first graph was made for cells, without regimes: from nothing, too.
    graphs = jnp.stack([state.graph, problem.required])
    number = jnp.where(age == 0, 2, 1)
    return climb_regimes(
        state, x, graphs, number, due & ~begins, ~begins, known, problem, config
    )


def _regime_step(state, x, mean, phase, problem, config):
    """Densities, targets, then assignments by turns; graph and curves are there."""
    weight, labels = state.weight, num_labels(config)
    age, early, by_variable, known = phase
    held = early & ~by_variable
    _, told = labelled_regimes(problem, config)
    state, usual = fit_shapes(state, x, mean, config)

    # Groups of rows are pieces of regimes to begin with, and pieces look disturbed.
    pieces = (jnp.asarray(config.initialisation) > 0) & early
    due = pieces | ((age >= _steps(config.merge_share, config)) & (age % 2 == 0))
    # Labels may be known while their targets are not.
    waits = early & by_variable & ((labels == 0) | targets_known(config))
    as_they_are = (
        state.responsibilities,
        state.targets,
        state.reference,
        0 * state.reference,
    )
    begun, targets, reference, moves = jax.lax.cond(
        waits,
        lambda: as_they_are,
        lambda: regroup(state, x, mean, usual, due, known, config),
    )

    untouched = matmul(usual, (1 - targets).T)
    disturbed_log_densities = functools.partial(
        log_densities_of_targets, state.mechanisms, x, mean, config.intervention
    )

    def update(_, carry):
        responsibilities, _ = carry
        each = responsibilities * weight[:, None]
        sticks = stick_breaking.sticks(each.sum(axis=0), state.concentration)
        joint = stick_breaking.expected_log_weights(sticks)[None, :] + told
        joint = joint + untouched + disturbed_log_densities(each, targets)
        moved = jnp.where(held, responsibilities, jax.nn.softmax(joint, axis=1))
        return moved, logsumexp(joint, axis=1)

    num_updates = jnp.where(held, 1, config.num_updates)
    carry = begun, jnp.zeros_like(weight) + 0 * begun[:, 0]
    responsibilities, bounds = jax.lax.fori_loop(0, num_updates, update, carry)

    # Late, and none that has targets: all other regimes would get them.
    found = fewest_targets(responsibilities, targets, weight)
    now = (
        (age >= _steps(config.reference_share, config))
        & (reference < 0)
        & ~targets_known(config)
    )
    now = now & (targets[found].max() < 0.5)
    reference = jnp.where(now, found, reference)
    is_reference = jnp.arange(config.max_regimes, dtype=jnp.int32) == reference
    is_reference = is_reference & ~targets_known(config)
    targets = jnp.where(is_reference[:, None], 0, targets)
    concentration = state.concentration
    sticks = stick_breaking.sticks(
        (responsibilities * weight[:, None]).sum(axis=0), concentration
    )
    divergence = stick_breaking.stick_divergence(sticks, concentration)
    divergence += intervention_targets.target_divergence(
        targets, config.target_prior, reference
    )
    rows = jnp.maximum(state.held_out.sum(), 1e-6)
    loss = -(bounds * state.held_out).sum() / rows
    loss += divergence / jnp.maximum(weight.sum(), 1)
    if config.concentration_learned:
        concentration = stick_breaking.expected_concentration(sticks)
    new = state._replace(
        responsibilities=responsibilities,
        targets=targets,
        concentration=concentration,
        intervened_prob=_cells(responsibilities, targets),
        reference=reference.astype(jnp.int32),
    )
    return new, loss, moves.astype(jnp.int32)


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graph, and the regimes.

    Edges of linear mechanisms have those of ``graphs.edge_probabilities``; those of
    others are the candidates as they were given. ``extra`` holds ``responsibilities``
    ``[n, k]``, ``targets`` ``[k, d]``, ``target_evidence`` ``[k, d]`` in nats,
    ``reference`` ``[]`` and the ``model``.
    """
    del key
    prob = state.graph.astype(problem.x.dtype)
    if config.mechanism == "linear":
        prob = edge_probabilities(
            state.graph, state.evidence, problem.allowed, problem.required
        )
    x = jnp.where((state.weight + state.held_out)[:, None] > 0, problem.x, 0)
    each = state.responsibilities * state.weight[:, None]
    sticks = stick_breaking.sticks(each.sum(axis=0), state.concentration)
    log_weights = stick_breaking.expected_log_weights(sticks)
    model = describe(state, x, each, log_weights, config.intervention)
    fewest = fewest_targets(state.responsibilities, state.targets, state.weight)
    return Posterior(
        edge_prob=prob,
        graphs=state.graph[None],
        log_weight=jnp.zeros_like(prob[0, :1]),
        extra={
            "responsibilities": state.responsibilities,
            "targets": state.targets,
            "target_evidence": evidence_of_targets(state, x, config),
            "reference": jnp.where(state.reference < 0, fewest, state.reference),
            "model": model,
        },
    )


KERNEL = Kernel(init, step, finalise)
