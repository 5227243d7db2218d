"""DiBS: particles that are distributions over graphs, moved by their gradients.

A particle is Z = [U, V] and stands for graphs whose edges are drawn independently,

    P(i -> j | Z) = sigmoid(a_t u_i . v_j),

with a_t growing along the run until each particle is one graph. The particles follow
Stein variational gradient descent of the posterior density

    log p(Z | D) = log p(Z) + log E[p(D | G)] + const,
    log p(Z) = -b_t E[h(G)] + log f(E[G | Z]) - |Z|^2 / (2 s^2) + const,

where expectations are over G given Z, h is a penalty on cycles and f a prior of graphs.
Nothing of it is summed over all graphs. The marginal likelihood p(D | G) is BGe's,
or parameters are particles as well and their likelihood takes its place.

A graph's likelihood is a product over variables, and the parents of two variables are
drawn independently. So the expectation of the product is a product of expectations,

    log E[p(D | G)] = sum_j log E[p(x_j | parents of j)],

and drawn parents of one variable are weighed by that variable's likelihood alone. The
original weighs whole graphs, of which one has all the weight as soon as there are some
dozens of rows.

Sources: Lorch, Rothfuss, Schoelkopf and Krause 2021, "DiBS: Differentiable Bayesian
structure learning", equations 6 to 13 and algorithm 1; Liu and Wang 2016, see
``stein``.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.problem import (
    complete_rows,
    label_free_places,
    like_data,
    take_variables,
)
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree
from causaljax.graphs.acyclicity import polynomial_penalty
from causaljax.graphs.dags import free_edges, greedy_acyclic, path_shares
from causaljax.kernels.dibs import equations, stein
from causaljax.kernels.dibs.graph_prior import GRAPH_PRIORS, edge_log_odds, log_prior
from causaljax.scores import bge

_IN_DOUBT = 0.01  # distance from 0 and 1 within which an edge's probability is decided


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the kernel.

    ``likelihood`` "bge" sums over the parameters of linear equations; with "linear" and
    "network" (one layer of ``hidden`` units) they are particles, too. a_t is ``alpha``
    times the number of the step, and b_t ``beta`` times: how far a particle can go
    while they grow is a matter of steps, too. Where alpha is 0 it is the original's,
    1 with "bge" and 0.05 else. Each step draws ``num_graphs`` graphs of each particle
    for the likelihood and ``num_soft_graphs`` for the penalty; soft ones have edges
    between 0 and 1, the nearer to these the larger ``sharpness``. A particle has
    ``latent_size`` numbers for each variable's parents and as many for its children, 0
    takes d; their prior has the standard deviation ``latent_size ** -0.5``.
    ``bandwidth`` h is that of Z and ``parameter_bandwidth`` that of parameters; 0 takes
    the median rule. ``graph_prior`` is of ``graph_prior.GRAPH_PRIORS``. ``edge_odds``
    multiplies the prior of a graph once for each edge, and ``prior``, ``[d, d]``, holds
    probabilities of edges, as of ``scores.parent_sets.Config``. ``weighting``
    "empirical" gives all particles the same weight in the answer, "mixture" weighs them
    by posterior probability, up to a factor, as DiBS+ does. ``interventional`` False
    promises that no cell is intervened on, which saves a factor d of memory; if one is,
    the answer is NaN.
    """

    likelihood: str = option("bge", choices=("bge", *equations.EQUATIONS))
    hidden: int = option(5, least=1)
    num_particles: int = option(30, least=1)
    num_steps: int = option(2000, least=1)
    num_graphs: int = option(128, least=1)
    num_soft_graphs: int = option(32, least=1)
    alpha: float = option(0.0, least=0)
    beta: float = option(1.0, least=0)
    sharpness: float = option(1.0, above=0)
    latent_size: int = option(0, least=0)
    learning_rate: float = option(0.005, above=0)
    bandwidth: float = option(5.0, least=0)
    parameter_bandwidth: float = option(500.0, least=0)
    graph_prior: str = option("erdos_renyi", choices=GRAPH_PRIORS)
    edge_odds: float = option(1.0, above=0)
    prior: ArrayLike | None = None
    weighting: str = option("empirical", choices=("empirical", "mixture"))
    interventional: bool = option(True)


class Known(NamedTuple):
    """What does not change; variables are in an order that no label decides."""

    places: Array  # [d] int32, of each variable in this order
    free: Array  # [d, d] bool, edges that may be drawn
    required: Array  # [d, d] bool
    log_odds: Array  # [d, d] float, prior of edges, 0 where none may be
    table: PyTree  # (posterior, rows) of ``bge``, or ``equations.Table``


class State(NamedTuple):
    """What a step carries on to the next."""

    step: Array  # [] int32
    latent: Array  # [m, d, k, 2] float, Z: U at [..., 0] and V at [..., 1]
    parameters: PyTree  # of ``equations``, leaves [m, ...]; of BGe ()
    moments: PyTree  # of the optimiser
    known: Known


class Info(NamedTuple):
    """Diagnostics of a step, means over particles."""

    loss: Array  # [] float, -log E[p(D | G)] - log f of Z and of parameters, nats
    acyclicity: Array  # [] float, E[h(G)]
    converged: Array  # [] bool, no edge of a particle is in doubt
    nonfinite: Array  # [] bool, a gradient is not finite


_RMSPROP = optax.scale_by_rms(decay=0.9, eps=1e-8)


def init(key: Array, problem: Problem, config: Config) -> State:
    """Particles drawn from their prior: the only random numbers drawn here."""
    n, d = problem.x.shape
    chex.assert_shape(problem.intervened, (n, d))
    chex.assert_shape([problem.allowed, problem.required], (d, d))
    dtype = problem.x.dtype
    latent_key, parameter_key = jax.random.split(key)
    log_odds = edge_log_odds(config.edge_odds, config.prior, d, dtype)
    free = free_edges(problem) & ~problem.required & (log_odds > -jnp.inf)
    log_odds = jnp.where(free, log_odds, 0)

    # Random numbers go with a variable wherever its column stands.
    counted = jnp.where(complete_rows(problem), problem.weight, 0)
    places = label_free_places(problem.x, counted)
    order = jnp.argsort(places)
    ordered = take_variables(problem, order)
    size = config.latent_size or d
    latent = jax.random.normal(latent_key, (config.num_particles, d, size, 2), dtype)
    latent = latent / size**0.5
    if config.likelihood == "bge":
        parameters: PyTree = ()
        table: PyTree = bge.posterior_scatter(
            ordered, interventional=config.interventional
        )
    else:
        shape = config.num_particles, d, config.hidden
        parameters = equations.draw(parameter_key, config.likelihood, shape, dtype)
        table = equations.read_table(
            config.likelihood, ordered, interventional=config.interventional
        )
    known = Known(
        places=places,
        free=free[order][:, order],
        required=ordered.required,
        log_odds=log_odds[order][:, order],
        table=table,
    )
    moments: Any = _RMSPROP.init((latent, parameters))
    # Inside shard_map a carry made from the data is one that may vary with it.
    latent, parameters, moments = like_data((latent, parameters, moments), counted)
    return State(jnp.zeros((), jnp.int32), latent, parameters, moments, known)


def step(
    key: Array, state: State, problem: Problem, config: Config
) -> tuple[State, Info]:
    """Moves all particles once."""
    del problem
    known, dtype = state.known, state.latent.dtype
    m, d = state.latent.shape[:2]
    likelihood_key, penalty_key = jax.random.split(key)
    number = (state.step + 1).astype(dtype)
    usual = 1.0 if config.likelihood == "bge" else 0.05
    growth = jnp.asarray(config.alpha, dtype)
    alpha = jnp.where(growth > 0, growth, usual) * number
    beta = config.beta * number
    scores = edge_scores(state.latent)

    noise = jax.random.logistic(penalty_key, (config.num_soft_graphs, m, d, d), dtype)
    penalty, slope = jax.value_and_grad(_summed_penalty)(
        scores, noise, alpha, known, config
    )
    prior, prior_slope = jax.value_and_grad(_summed_log_prior)(
        scores, alpha, known, config
    )
    if config.likelihood == "bge":
        evidence, evidence_slope = marginal_evidence(
            likelihood_key, scores, alpha, known, config
        )
        parameter_gradient: PyTree = ()
    else:
        evidence, evidence_slope, parameter_gradient = _joint_evidence(
            likelihood_key, scores, state.parameters, alpha, known, config
        )
    slope = jnp.where(known.free, evidence_slope + prior_slope - beta * slope, 0)
    by_parents = matmul(slope, state.latent[..., 1])
    by_children = matmul(jnp.swapaxes(slope, 1, 2), state.latent[..., 0])
    precision = state.latent.shape[2]  # of the prior
    gradient = jnp.stack([by_parents, by_children], axis=-1)
    gradient = gradient - precision * state.latent

    moves = _stein_direction(
        state.latent, state.parameters, gradient, parameter_gradient, config
    )
    moves, moments = _RMSPROP.update(moves, state.moments)
    latent, parameters = jax.tree.map(
        lambda old, move: old + (config.learning_rate * move).astype(dtype),
        (state.latent, state.parameters),
        moves,
    )
    loss = -(evidence + prior) / m
    finite = jnp.isfinite(loss) & jnp.isfinite(gradient).all()
    doubt = jax.nn.sigmoid(-jnp.abs(alpha * scores))
    info = Info(
        loss=loss,
        acyclicity=penalty / m,
        converged=(jnp.where(known.free, doubt, 0) < _IN_DOUBT).all(),
        nonfinite=~finite,
    )
    new = State(state.step + 1, latent, parameters, moments, known)
    return new, info


def edge_scores(latent: Array) -> Array:
    """u_i . v_j of every pair, ``[m, d, d]``, above 0 where an edge is likely."""
    return matmul(latent[..., 0], jnp.swapaxes(latent[..., 1], -1, -2))


def _edges(logits, known):
    """Probabilities of edges, or soft edges; knowledge is kept to exactly."""
    edges = jnp.where(known.free, jax.nn.sigmoid(logits), 0)
    return jnp.where(known.required, 1, edges)


def _summed_penalty(scores, noise, alpha, known, config):
    """The expected penalty on cycles of soft graphs, summed over particles."""
    soft = _edges(config.sharpness * (noise + alpha * scores[None]), known)
    return polynomial_penalty(soft).sum() / noise.shape[0]


def _summed_log_prior(scores, alpha, known, config):
    expected = _edges(alpha * scores, known)
    each = jax.vmap(log_prior, (0, None, None))
    return each(expected, known.log_odds, config.graph_prior).sum()


def marginal_evidence(
    key: Array, scores: Array, alpha: Array, known: Known, config: Config
) -> tuple[Array, Array]:
    """Evidence by BGe of drawn graphs, and its gradient in the scores.

        d/ds_ij log E[p(x_j | P)] = a E[w (g_ij - p_ij)],
        w = p(x_j | P) / E[p(x_j | P)]

    Weights w of drawn parents P have the mean 1. Less 1, they have the same gradient,
    since E[g_ij] = p_ij, with less variance: where all drawn are the same it is 0.

    Args:
      key: consumed.
      scores: ``[m, d, d]`` float.
      alpha: ``[]`` float, a.
      known: what is known.
      config: settings.

    Returns:
      The evidence, summed over particles, ``[]`` nats, and the gradient ``[m, d, d]``.

    Source: Lorch et al. 2021, equation 12, variable by variable.
    """
    prob = _edges(alpha * scores, known)
    shape = (*scores.shape, config.num_graphs)
    graphs = jax.random.uniform(key, shape, scores.dtype) < prob[..., None]
    posterior, rows = known.table
    local = bge.local_scores(posterior, rows, graphs)  # [m, d, s]
    evidence = jax.nn.logsumexp(local, axis=-1) - jnp.log(
        jnp.asarray(config.num_graphs, local.dtype)
    )
    excess = jax.nn.softmax(local, axis=-1) - 1 / config.num_graphs
    slope = alpha * jnp.where(graphs, excess[:, None], 0).sum(axis=-1)
    return evidence.sum(), slope


def _joint_evidence(key, scores, parameters, alpha, known, config):
    """Evidence, log E[p(D, parameters | G)], by drawn graphs, and its gradients.

    That in the scores is of soft graphs, that in the parameters of hard ones.
    """
    m, d, _ = scores.shape
    noise = jax.random.logistic(key, (m, config.num_graphs, d, d), scores.dtype)
    log_number = jnp.log(jnp.asarray(config.num_graphs, scores.dtype))

    def log_evidence(edges, parameters):
        local = equations.log_likelihoods(parameters, edges, known.table)
        evidence = (jax.nn.logsumexp(local, axis=0) - log_number).sum()
        return evidence + equations.log_prior(parameters)

    def of_scores(scores, parameters, noise):
        soft = _edges(config.sharpness * (noise + alpha * scores[None]), known)
        return log_evidence(soft, parameters)

    def of_particle(particle):
        scores, parameters, noise = particle
        slope = jax.grad(of_scores)(scores, parameters, noise)
        hard = noise + alpha * scores[None] > 0
        hard = (hard & known.free[None] | known.required[None]).astype(scores.dtype)
        return slope, *jax.value_and_grad(log_evidence, argnums=1)(hard, parameters)

    slope, evidence, gradient = jax.lax.map(of_particle, (scores, parameters, noise))
    return evidence.sum(), slope, gradient


def _stein_direction(latent, parameters, gradient, parameter_gradient, config):
    """Directions of all coordinates; similarities of Z and of parameters are added."""
    points, unravel = _raveled(latent)
    own, bandwidth = _similarity(points, config.bandwidth)
    if not jax.tree.leaves(parameters):
        moves = stein.direction(points, _raveled(gradient)[0], own, own, bandwidth)
        return unravel(moves), ()
    others, unravel_others = _raveled(parameters)
    near, width = _similarity(others, config.parameter_bandwidth)
    total = own + near
    moves = stein.direction(points, _raveled(gradient)[0], total, own, bandwidth)
    gradients = _raveled(parameter_gradient)[0]
    other_moves = stein.direction(others, gradients, total, near, width)
    return unravel(moves), unravel_others(other_moves)


def _raveled(tree):
    """Particles as points ``[m, q]``, and what makes a tree of points again."""
    unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], tree))[1]
    points = jax.vmap(lambda one: ravel_pytree(one)[0])(tree)
    return points, jax.vmap(unravel)


def _similarity(points, bandwidth):
    distances = stein.squared_distances(points)
    bandwidth = jnp.asarray(bandwidth, points.dtype)
    median = stein.median_bandwidth(distances)
    bandwidth = jnp.where(bandwidth > 0, bandwidth, median)
    return stein.similarity(distances, bandwidth), bandwidth


def finalise(key: Array, state: State, problem: Problem, config: Config) -> Posterior:
    """The graphs that particles become as a_t grows, those with positive scores.

    Where these have a cycle, edges are taken in falling order of scores, but for those
    that would close one. All particles are kept.

    ``extra`` has ``path_prob``, ``[d, d]``, the weighted share of the graphs with a
    directed path, and ``map_graph``, ``[d, d]`` bool, that of the particle of the
    largest posterior density; of linear equations also ``weights``, ``[s, d, d]``, and
    ``noise_variances``, ``[s, d]``.
    """
    del key, problem
    known = state.known
    scores = jnp.where(known.free, edge_scores(state.latent), 0)
    cut = jax.vmap(greedy_acyclic, in_axes=(0, None, None))
    graphs = cut(scores, 0.0, known.required)
    posteriors = _log_posteriors(graphs, state, config)
    log_weight = _log_weights(graphs, posteriors, config)
    places = known.places

    def relabelled(matrices):
        return matrices[:, places][:, :, places]

    drawn = relabelled(graphs)
    extra = {
        "path_prob": path_shares(drawn, log_weight),
        "map_graph": drawn[jnp.argmax(posteriors)],
    }
    if config.likelihood == "linear":
        weights = jnp.where(graphs, state.parameters.weights, 0)
        variances = jnp.exp(state.parameters.log_variance)
        extra |= {
            "weights": relabelled(weights),
            "noise_variances": variances[:, places],
        }
    prob = jnp.where(graphs, jnp.exp(log_weight)[:, None, None], 0).sum(axis=0)
    # Sums of weights are 1 but for rounding.
    prob = jnp.where(known.required, 1, jnp.minimum(prob, 1))
    return Posterior(
        edge_prob=prob[places][:, places],
        graphs=drawn,
        log_weight=log_weight,
        extra=extra,
    )


def _log_posteriors(graphs, state, config):
    """Of each particle's graph, and of its parameters if it has any, up to a constant.

    They are ``[m]``.
    """
    known = state.known
    each = jax.vmap(log_prior, (0, None, None))
    found = each(graphs, known.log_odds, config.graph_prior)
    if config.likelihood == "bge":
        posterior, rows = known.table
        stacked = jnp.moveaxis(graphs, 0, -1)[None]
        return found + bge.local_scores(posterior, rows, stacked)[0].sum(axis=0)

    def of_particle(particle):
        parameters, graph = particle
        edges = graph.astype(found.dtype)[None]
        local = equations.log_likelihoods(parameters, edges, known.table)
        return local.sum() + equations.log_prior(parameters)

    return found + jax.lax.map(of_particle, (state.parameters, graphs))


def _log_weights(graphs, posteriors, config):
    """Of particles, normalised."""
    if config.weighting == "empirical":
        return jnp.full_like(posteriors, -jnp.log(len(graphs)))
    if config.likelihood == "bge":
        # A graph that several particles have found counts once.
        same = (graphs[:, None] == graphs[None, :]).all(axis=(2, 3))
        posteriors = posteriors - jnp.log(same.sum(axis=1).astype(posteriors.dtype))
    return jax.nn.log_softmax(posteriors)


KERNEL = Kernel(
    init, step, finalise, sums_rows=lambda config: config.likelihood != "network"
)
