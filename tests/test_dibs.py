"""DiBS against sums over all graphs and loops in numpy."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_contract import linear_problem

from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs.acyclicity import polynomial_penalty
from causaljax.kernels import dibs
from causaljax.kernels.dibs import equations, kernel, stein
from causaljax.kernels.dibs.graph_prior import edge_log_odds, log_prior
from causaljax.scores import bge
from causaljax.scores.families import schur_complements

SMALL = dibs.Config(num_particles=2, num_graphs=4, num_soft_graphs=2, num_steps=1)


def graphs_of(d):
    """Every graph of d variables, those with cycles, too, ``[2^(d(d-1)), d, d]``."""
    off = ~np.eye(d, dtype=bool)
    bits = np.array(list(itertools.product([False, True], repeat=d * (d - 1))))
    graphs = np.zeros((len(bits), d, d), bool)
    graphs[:, off] = bits
    return graphs


def three_columns(num_rows=12):
    x = np.random.default_rng(0).normal(size=(num_rows, 3))
    x[:, 2] += x[:, 0] - x[:, 1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return make_problem(x.astype(np.float32))


# Scores of many families


@pytest.mark.parametrize(("d", "shared"), [(5, True), (5, False), (35, True)])
def test_schur_complements_are_those_of_numpy(d, shared):
    """Also where sets of parents take more than one word."""
    rng = np.random.default_rng(d)
    factors = rng.normal(size=(1 if shared else d, 2 * d, d)).astype(np.float32)
    matrix = np.einsum("kni,knj->kij", factors, factors)
    graphs = rng.random((2, d, d, 3)) < 0.4
    graphs &= ~np.eye(d, dtype=bool)[None, :, :, None]
    graphs[0, :, 0, 0] = False
    logs, left = jax.jit(schur_complements, static_argnums=2)(matrix, graphs, 1e-6)
    for c, j, s in np.ndindex(2, d, 3):
        parents, own = np.flatnonzero(graphs[c, :, j, s]), matrix[-1 if shared else j]
        family = np.append(parents, j)
        of_parents = np.linalg.slogdet(own[np.ix_(parents, parents)].astype(float))[1]
        of_family = np.linalg.slogdet(own[np.ix_(family, family)].astype(float))[1]
        assert logs[c, j, s] == pytest.approx(of_parents, abs=2e-3)
        assert np.log(left[c, j, s]) == pytest.approx(of_family - of_parents, abs=2e-3)


def test_scores_of_many_graphs_are_those_of_one():
    problem = linear_problem(0)
    rng = np.random.default_rng(0)
    graphs = (rng.random((2, 4, 4, 3)) < 0.5) & ~np.eye(4, dtype=bool)[None, ..., None]

    @jax.jit
    def both(graphs, problem):
        table = bge.posterior_scatter(problem, interventional=True)
        stacked = jnp.moveaxis(graphs, 3, 1).reshape(-1, 4, 4)
        one = functools.partial(bge.bge, problem=problem)
        return bge.local_scores(*table, graphs), jax.lax.map(one, stacked)

    many, single = both(graphs, problem)
    np.testing.assert_allclose(
        np.moveaxis(many, 2, 1).reshape(-1, 4), single, rtol=1e-5, atol=1e-3
    )


def test_float32_is_enough_for_tables_of_a_thousand_rows():
    """Within 0.2 nats of thousands, where columns are nearly copies."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 6))
    for j in range(1, 6):
        x[:, j] = 2 * x[:, j - 1] + 0.3 * x[:, j]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    graphs = np.triu(rng.random((64, 6, 6)) < 0.6, 1).transpose(1, 2, 0)[None]

    @jax.jit
    def scores(x):
        table = bge.posterior_scatter(make_problem(x), interventional=False)
        return bge.local_scores(*table, graphs).sum(axis=1)

    single = np.asarray(scores(x.astype(np.float32)))
    with jax.enable_x64(True):
        double = np.asarray(scores(x))
    np.testing.assert_allclose(single - single.mean(), double - double.mean(), atol=0.2)


# Gradients


@pytest.fixture(scope="module")
def marginal():
    """Scores of a particle, the exact gradient, and a function that estimates it."""
    problem, alpha = three_columns(), 1.5
    state = dibs.init(jax.random.key(0), problem, SMALL)
    scores = np.random.default_rng(1).normal(size=(1, 3, 3)).astype(np.float32)
    graphs = graphs_of(3)
    local = bge.local_scores(*state.known.table, np.moveaxis(graphs, 0, -1)[None])
    local = np.asarray(local[0].sum(axis=0), float)  # [s]
    off = ~np.eye(3, dtype=bool)

    def log_evidence(scores):
        prob = 1 / (1 + np.exp(-alpha * scores))
        drawn = np.where(graphs, prob, 1 - prob)[:, off].prod(axis=1)
        return np.log((drawn * np.exp(local - local.max())).sum()) + local.max()

    exact = np.zeros((3, 3))
    for place in np.argwhere(off):
        step = np.zeros((3, 3))
        step[tuple(place)] = 1e-5
        ends = [log_evidence(scores[0] + sign * step) for sign in (1, -1)]
        exact[tuple(place)] = (ends[0] - ends[1]) / 2e-5

    @functools.partial(jax.jit, static_argnums=1)
    def estimate(keys, num_graphs):
        config = dataclasses.replace(SMALL, num_graphs=num_graphs)

        def one(words):
            key = jax.random.wrap_key_data(words)
            return kernel.marginal_evidence(
                key, jnp.asarray(scores), jnp.float32(alpha), state.known, config
            )

        return jax.lax.map(one, jax.random.key_data(keys))

    return log_evidence(scores[0]), exact, estimate


def test_evidence_and_its_gradient_are_those_of_all_graphs(marginal):
    evidence, exact, estimate = marginal
    found, slope = estimate(jax.random.split(jax.random.key(0), 1), 100_000)
    assert found[0] == pytest.approx(evidence, abs=0.02)
    np.testing.assert_allclose(slope[0, 0], exact, atol=0.02)
    assert np.abs(exact).max() > 0.2


def test_estimates_of_few_graphs_are_right_on_average(marginal):
    """But for the bias of a ratio, which falls as one over their number."""
    _, exact, estimate = marginal
    _, slopes = estimate(jax.random.split(jax.random.key(1), 200), 512)
    slopes = np.asarray(slopes)[:, 0]
    error = slopes.std(axis=0) / np.sqrt(200)
    assert (np.abs(slopes.mean(axis=0) - exact) < 4 * error + 0.03).all()


def test_expected_penalty_and_its_gradient():
    """Of soft graphs, against the definition, sample by sample."""
    d, num = 3, 5
    rng = np.random.default_rng(0)
    noise = rng.logistic(size=(num, 1, d, d)).astype(np.float32)
    scores = rng.normal(size=(1, d, d)).astype(np.float32)
    state = dibs.init(jax.random.key(0), three_columns(), SMALL)

    def expected(scores):
        soft = 1 / (1 + np.exp(-(noise[:, 0] + 2.0 * scores)))
        soft = soft * ~np.eye(d, dtype=bool)
        powers = [np.linalg.matrix_power(np.eye(d) + g / d, d) for g in soft]
        return np.mean([np.trace(power) - d for power in powers])

    penalty = jax.jit(jax.value_and_grad(kernel._summed_penalty), static_argnums=4)
    value, slope = penalty(scores, noise, jnp.float32(2), state.known, SMALL)
    assert value == pytest.approx(expected(scores[0]), rel=1e-5)
    for i, j in ((0, 1), (2, 0)):
        step = np.zeros((d, d))
        step[i, j] = 1e-4
        ends = [expected(scores[0] + sign * step) for sign in (1, -1)]
        assert slope[0, i, j] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3)
    assert not slope[0].diagonal().any()


def test_polynomial_penalty_sees_cycles_alone():
    cycle = np.roll(np.eye(5, dtype=np.float32), 1, axis=1)
    assert polynomial_penalty(cycle) == pytest.approx(5 / 5**5 * 1, rel=1e-3)
    assert polynomial_penalty(np.triu(np.ones((5, 5), np.float32), 1)) == 0


@pytest.mark.parametrize("median", [False, True])
def test_stein_direction_is_that_of_a_loop(median):
    rng = np.random.default_rng(0)
    points, gradients = rng.normal(size=(2, 4, 3)).astype(np.float32)
    pairs = itertools.combinations(range(4), 2)
    squares = [np.sum((points[a] - points[b]) ** 2) for a, b in pairs]
    width = np.median(squares) / np.log(4) if median else 2.0

    @jax.jit
    def found(points, gradients):
        distances = stein.squared_distances(points)
        h = stein.median_bandwidth(distances) if median else 2.0
        near = stein.similarity(distances, h)
        return stein.direction(points, gradients, near, near, h)

    expected = np.zeros((4, 3))
    for a, b in itertools.product(range(4), repeat=2):
        apart = points[b] - points[a]
        k = np.exp(-(apart @ apart) / width)
        expected[a] += (k * gradients[b] - 2 / width * apart * k) / 4
    np.testing.assert_allclose(found(points, gradients), expected, rtol=1e-4, atol=1e-5)


# Likelihoods of equations


@pytest.mark.parametrize("kind", equations.EQUATIONS)
def test_log_likelihoods_are_sums_over_cells_left_alone(kind):
    problem, d = linear_problem(0), 4
    problem = problem._replace(observed=problem.observed.at[0, 1].set(False))
    drawn = equations.draw(jax.random.key(0), kind, (1, d, 3), jnp.float32)
    one = jax.tree.map(lambda leaf: leaf[0], drawn)
    edges = np.random.default_rng(0).random((2, d, d)).astype(np.float32)
    edges *= ~np.eye(d, dtype=bool)

    @jax.jit
    def found(parameters, edges, problem):
        table = equations.read_table(kind, problem, interventional=True)
        return equations.log_likelihoods(parameters, edges, table)

    x, weight = np.asarray(problem.x, float), np.asarray(problem.weight, float).copy()
    weight[0] = 0  # a gap
    leaves = jax.tree.map(lambda leaf: np.asarray(leaf, float), one)
    for s, j in np.ndindex(2, d):
        own = np.where(problem.intervened[:, j], 0, weight)
        if kind == "linear":
            mean = x @ (edges[s, :, j] * leaves.weights[:, j])
            rest = x[:, j] - mean
            rest = rest - (own @ rest) / own.sum()  # the intercept
        else:
            inputs = edges[s, :, j, None] * leaves.inputs[:, j]
            hidden = np.maximum(x @ inputs + leaves.thresholds[j], 0)
            rest = x[:, j] - hidden @ leaves.outputs[j] - leaves.means[j]
        log_variance = leaves.log_variance[j]
        each = np.log(2 * np.pi) + log_variance + rest**2 / np.exp(log_variance)
        expected = -0.5 * (own * each).sum()
        actual = found(one, edges, problem)[s, j]
        assert actual == pytest.approx(expected, rel=1e-4)


def test_graph_priors():
    graph = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    odds = edge_log_odds(0.25, None, 3, jnp.float32)
    expected = 3 * np.log(0.25)
    assert log_prior(graph, odds, "erdos_renyi") == pytest.approx(expected, rel=1e-5)
    # Beliefs about edges join the odds of all.
    prior = np.full((3, 3), 0.5)
    prior[0, 1] = 0.8
    believed = edge_log_odds(0.25, prior, 3, jnp.float32)
    expected += np.log(4)
    found = log_prior(graph, believed, "erdos_renyi")
    assert found == pytest.approx(expected, rel=1e-5)
    none = edge_log_odds(1.0, None, 3, jnp.float32)
    expected = -3 * (np.log(2) + np.log(3))
    assert log_prior(graph, none, "scale_free") == pytest.approx(expected, rel=1e-5)


# Answers


FITTED = dibs.Config(num_steps=500, num_particles=10, num_graphs=32, num_soft_graphs=8)


@pytest.fixture(scope="module")
def fits():
    """Answers for an easy table, by likelihood."""
    problem = linear_problem(0)._replace(weight=jnp.ones(40))
    return {
        kind: run.run(
            dibs.KERNEL,
            jax.random.key(0),
            problem,
            dataclasses.replace(FITTED, likelihood=kind),
        )
        for kind in ("bge", "linear")
    }


@pytest.mark.parametrize("kind", ["bge", "linear"])
def test_an_easy_table_gives_its_graph_more_than_others(fits, kind):
    truth = np.zeros((4, 4), bool)
    truth[[2, 0, 3, 2], [0, 3, 1, 1]] = True
    posterior, info = fits[kind]
    assert not info.nonfinite
    joined = np.asarray(posterior.edge_prob + posterior.edge_prob.T)
    pairs = np.triu(np.ones((4, 4), bool), 1)
    # Expected pairs that are wrongly joined or not: the empty graph has all four.
    wrong = np.abs(joined - (truth | truth.T))[pairs].sum()
    assert wrong < 3


def test_parameters_are_those_of_the_graphs(fits):
    posterior, _ = fits["linear"]
    weights = np.asarray(posterior.extra["weights"])
    assert weights.shape == posterior.graphs.shape
    assert not weights[~np.asarray(posterior.graphs)].any()
    assert (np.asarray(posterior.extra["noise_variances"]) > 0).all()


def test_mixture_counts_a_graph_once():
    """However many particles have found it; then by posterior probability."""
    problem, config = linear_problem(0), dataclasses.replace(FITTED, num_particles=3)
    state = dibs.init(jax.random.key(0), problem, config)
    score = np.zeros((3, 4, 4), np.float32)
    score[:2, 0, 3] = 1.0
    score[2, 1, 2] = 1.0
    latent = np.zeros((3, 4, 4, 2), np.float32)
    latent[..., 0], latent[..., 1] = score, np.eye(4)
    state = state._replace(latent=jnp.asarray(latent))
    config = dataclasses.replace(config, weighting="mixture")
    posterior = jax.jit(dibs.finalise)(jax.random.key(0), state, problem, config)
    weight = np.exp(posterior.log_weight)
    assert weight[0] == weight[1]
    total = [np.asarray(bge.bge(posterior.graphs[k], problem)).sum() for k in range(3)]
    np.testing.assert_allclose(
        np.log(2 * weight[0] / weight[2]), total[0] - total[2], atol=1e-2
    )


def test_a_cycle_loses_its_weakest_edge():
    problem = linear_problem(0)
    state = dibs.init(jax.random.key(0), problem, SMALL)
    score = np.zeros((4, 4), np.float32)
    score[[0, 1, 2], [1, 2, 0]] = 3.0, 2.0, 1.0
    latent = np.zeros((2, 4, 4, 2), np.float32)
    latent[..., 0], latent[..., 1] = score, np.eye(4)
    state = state._replace(latent=jnp.asarray(latent))
    posterior = jax.jit(dibs.finalise)(jax.random.key(0), state, problem, SMALL)
    places = np.asarray(state.known.places)
    kept = {(0, 1), (1, 2)}
    found = np.argwhere(posterior.graphs[0])
    assert {(int(places[i]), int(places[j])) for i, j in found} == kept


def test_a_prior_of_0_forbids_and_one_near_1_decides():
    problem = linear_problem(0)
    prior = np.full((4, 4), 0.5)
    prior[0, 3], prior[1, 2], prior[2, 1] = 0.0, 1.0, 0.0
    config = dataclasses.replace(FITTED, prior=prior, num_steps=200)
    posterior, _ = run.run(dibs.KERNEL, jax.random.key(0), problem, config)
    assert posterior.edge_prob[0, 3] == 0
    assert posterior.edge_prob[2, 1] == 0
    assert posterior.edge_prob[1, 2] > 0.5


@pytest.mark.slow
def test_networks_find_a_curve():
    """That a line does not see, in a table with rows of weight 0.

    Many particles stay in local modes without the edge; few have its reverse.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 3))
    x[:, 1] = np.abs(x[:, 0]) + 0.2 * x[:, 1]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    x[100:] = 1e6
    problem = make_problem(x.astype(np.float32), weight=np.arange(128) < 100)
    config = dataclasses.replace(
        FITTED, likelihood="network", num_steps=800, alpha=0.01, learning_rate=0.02
    )
    posterior, info = run.run(dibs.KERNEL, jax.random.key(0), problem, config)
    assert not info.nonfinite
    assert posterior.edge_prob[0, 1] > 0.45
    assert posterior.edge_prob[0, 1] > posterior.edge_prob[1, 0] + 0.3
