"""Priors of graphs in numpyro, against every DAG of three and four variables."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro.distributions import batch_util
from numpyro.infer import Predictive
from numpyro.infer.util import log_density
from test_graph_sums import assert_frequencies, every_dag

from causaljax.probabilistic import (
    ErdosRenyi,
    GraphGivenOrder,
    Modular,
    OrderBased,
    ScaleFree,
    UniformOrder,
    graph_priors,
    independent_edges,
)

pytestmark = pytest.mark.usefixtures("numpyro_rules")

DAGS = {d: every_dag(d) for d in (3, 4)}
EDGES = np.random.default_rng(0).uniform(0.1, 0.8, (4, 4))
WEIGHTS = np.random.default_rng(1).normal(scale=2, size=(4, 16))


@jax.jit
def log_prob(prior, graphs):
    return prior.log_prob(graphs)


def in_sets(graphs):
    return (graphs * (1 << np.arange(4))[:, None]).sum(axis=1)


def suiting(graph):
    """How many orders suit a graph, by brute force."""
    left = [(frozenset(range(len(graph))))]
    count = 0
    while left:
        one = left.pop()
        count += not one
        left += [one - {i} for i in one if not graph[i, list(one)].any()]
    return count


# Each prior and its weights of graphs, not normalised.
PRIORS = {
    "sparse": (lambda: ErdosRenyi(4, 0.2), lambda g: 0.25 ** g.sum(axis=(1, 2))),
    "uniform": (lambda: ErdosRenyi(3), lambda g: np.ones(len(g))),
    "in": (
        lambda: ScaleFree(4, 2.0),
        lambda g: ((1.0 + g.sum(axis=1)) ** -2).prod(axis=1),
    ),
    "out": (
        lambda: ScaleFree(4, direction="out"),
        lambda g: ((1.0 + g.sum(axis=2)) ** -3).prod(axis=1),
    ),
    "modular": (
        lambda: Modular(WEIGHTS),
        lambda g: np.exp(WEIGHTS[np.arange(4), in_sets(g)].sum(axis=1)),
    ),
    "edges": (
        lambda: independent_edges(EDGES),
        lambda g: np.where(g, EDGES / (1 - EDGES), 1).prod(axis=(1, 2)),
    ),
    "order": (
        lambda: OrderBased(4, 0.3),
        lambda g: (
            np.array([suiting(one) for one in g])
            * (0.3 / 0.7) ** g.sum(axis=(1, 2))
            * (0.7**6 / 24)
        ),
    ),
}


@pytest.fixture(scope="module", params=PRIORS)
def known(request):
    """A prior, every DAG of its variables and their probabilities."""
    make, weigh = PRIORS[request.param]
    prior = make()
    graphs = DAGS[prior.num_variables]
    weights = weigh(graphs)
    return prior, graphs, weights / weights.sum()


def test_probabilities_are_exact(known):
    prior, graphs, prob = known
    found = np.asarray(log_prob(prior, graphs))
    np.testing.assert_allclose(np.exp(found), prob, rtol=2e-5)
    assert abs(np.exp(found.astype(float)).sum() - 1) < 2e-5


def test_the_reference_of_orders_is_normalised_as_it_stands():
    _, weigh = PRIORS["order"]
    assert math.isclose(weigh(DAGS[4]).sum(), 1)


def test_samples_have_their_probabilities(known):
    prior, graphs, prob = known
    draw = jax.jit(lambda p, key: p.sample(key, (20, 500)))
    samples = np.asarray(draw(prior, jax.random.key(5)))
    assert samples.shape == (20, 500, *prior.event_shape)
    assert samples.dtype == bool
    assert_frequencies(samples.reshape(-1, *prior.event_shape), graphs, prob)


def test_a_cycle_has_no_probability(known):
    prior, graphs, _ = known
    cycle = np.zeros_like(graphs[0])
    cycle[[0, 1], [1, 0]] = True
    both = np.stack([cycle, graphs[0]])
    np.testing.assert_array_equal(np.isneginf(log_prob(prior, both)), [True, False])


def test_values_that_are_no_graphs_are_told():
    prior = ErdosRenyi(3, validate_args=True)
    with pytest.warns(UserWarning, match="Out-of-support"):
        assert np.isneginf(prior.log_prob(np.full((3, 3), 0.5)))


def test_flattening_and_expanding(known):
    prior, graphs, prob = known
    leaves, tree = jax.tree.flatten(prior)
    again = jax.tree.unflatten(tree, leaves)
    assert type(again) is type(prior)
    assert again.num_variables == prior.num_variables
    wide = again.expand((2, 1))
    assert wide.shape((5,)) == (5, 2, 1, *prior.event_shape)
    found = np.asarray(log_prob(wide, graphs[:3, None, None]))
    expected = np.log(prob[:3])[:, None, None]
    np.testing.assert_allclose(found, np.broadcast_to(expected, (3, 2, 1)), rtol=1e-4)


def test_a_plate_of_graphs():
    prior = ScaleFree(4, direction="out")

    def model(graph=None):
        with numpyro.plate("tables", 3):
            numpyro.sample("graph", prior, obs=graph)

    drawn = Predictive(model, num_samples=4)(jax.random.key(0))["graph"]
    assert drawn.shape == (4, 3, 4, 4)
    assert graph_priors.dag(drawn).all()
    density, _ = log_density(model, (), {"graph": jnp.asarray(DAGS[4][:3])}, {})
    expected = np.asarray(log_prob(prior, DAGS[4][:3])).sum()
    np.testing.assert_allclose(density, expected, rtol=1e-4)


BATCHED = {
    "hubs": (lambda q: ScaleFree(3, q, "out"), np.array([[0.0, 1.0, 3.0]] * 2)),
    "order": (lambda q: OrderBased(3, q), np.array([[0.2, 0.5, 0.7]] * 2)),
    "modular": (Modular, np.random.default_rng(2).normal(size=(2, 3, 3, 8))),
}


@pytest.mark.parametrize("name", BATCHED)
def test_batches_are_many_of_one(name):
    make, parameters = BATCHED[name]
    batch = make(parameters)
    assert batch.batch_shape == (2, 3)
    graph = DAGS[3][[3, 9, 20]]
    found = log_prob(batch, graph)
    expected = [
        [log_prob(make(parameters[i, j]), graph[j]) for j in range(3)] for i in range(2)
    ]
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-5)
    samples = jax.jit(lambda p, key: p.sample(key, (4000,)))(batch, jax.random.key(1))
    share = np.asarray(samples).mean(axis=0)
    assert share.shape == (2, 3, 3, 3)
    prob = np.exp(log_prob(batch, DAGS[3][:, None, None]))
    expected = np.einsum("sij,sab->ijab", prob, DAGS[3])
    np.testing.assert_allclose(share, expected, atol=0.04)


def test_a_distribution_may_be_the_answer_of_vmap():
    odds = np.array([0.2, 0.6])
    mapped = batch_util.promote_batch_shape(
        jax.vmap(lambda q: ErdosRenyi(3, q), out_axes=0)(odds)
    )
    assert mapped.batch_shape == (2,)
    found = log_prob(mapped, DAGS[3][7])
    expected = [log_prob(ErdosRenyi(3, q), DAGS[3][7]) for q in odds]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_edge_probability_can_be_learned():
    graphs = DAGS[3][[0, 4, 12]]

    def log_posterior(q):
        return ErdosRenyi(3, q).log_prob(graphs).sum()

    value, gradient = jax.jit(jax.value_and_grad(log_posterior))(0.3)

    def exact(q):
        logs = np.log(q / (1 - q)) * DAGS[3].sum(axis=(1, 2))
        mine = np.log(q / (1 - q)) * graphs.sum(axis=(1, 2))
        return (mine - np.logaddexp.reduce(logs)).sum()

    assert math.isclose(value, exact(0.3), rel_tol=1e-5)
    slope = (exact(0.3 + 1e-6) - exact(0.3 - 1e-6)) / 2e-6
    assert math.isclose(gradient, slope, rel_tol=1e-4)


def test_certain_edges_leave_finite_numbers():
    prior = independent_edges(np.array([[0, 1.0, 0.5], [0, 0, 1.0], [0, 0, 0]]))
    chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert math.isclose(float(np.exp(prior.log_prob(chain))), 0.5, rel_tol=1e-4)
    assert np.isfinite(ErdosRenyi(3, 1.0).log_prob(chain))


def test_order_and_graph_are_in_one_trace():
    def model(graph=None):
        order = numpyro.sample("order", UniformOrder(3))
        numpyro.sample("graph", GraphGivenOrder(order, 0.3), obs=graph)

    drawn = Predictive(model, num_samples=50)(jax.random.key(0))
    place = np.argsort(drawn["order"], axis=1)
    cause, effect = drawn["graph"].nonzero()[1:]
    which = drawn["graph"].nonzero()[0]
    assert (place[which, cause] < place[which, effect]).all()
    # Summed over orders, it is the prior of graphs alone.
    orders = np.array(
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    )
    joint = jax.jit(
        lambda order, graph: log_density(model, (graph,), {}, {"order": order})[0]
    )
    for graph in DAGS[3][::5]:
        logs = [joint(order, graph) for order in orders]
        alone = log_prob(OrderBased(3, 0.3), graph)
        assert math.isclose(np.logaddexp.reduce(logs), float(alone), rel_tol=1e-5)


def test_orders_are_uniform():
    samples = UniformOrder(3).sample(jax.random.key(0), (6000,))
    _, counts = np.unique(samples, axis=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 25
    assert graph_priors.permutation(samples).all()
    assert not graph_priors.permutation(np.array([0, 0, 2]))
    prob = UniformOrder(3).log_prob(samples[0])
    assert math.isclose(np.exp(prob), 1 / 6, rel_tol=1e-5)


def test_weights_of_a_model_need_double_precision():
    # jax 0.10 mixes up a constant of numpy's between the two precisions.
    def total(shift):
        return Modular(WEIGHTS.copy() + shift).log_prob(DAGS[4][5])

    with pytest.raises(TypeError, match="enable_x64"):
        jax.jit(total)(0.0)
    with jax.enable_x64(True):
        found = jax.jit(total)(1.0)
    np.testing.assert_allclose(found, log_prob(Modular(WEIGHTS), DAGS[4][5]), rtol=1e-5)


def test_weights_known_before_tracing_are_summed_in_double_precision():
    compiled = jax.jit(lambda graph: Modular(WEIGHTS).log_prob(graph))
    np.testing.assert_allclose(
        compiled(DAGS[4][5]), log_prob(Modular(WEIGHTS), DAGS[4][5]), rtol=1e-6
    )


def test_weights_may_be_scores_of_long_tables():
    far = Modular(WEIGHTS - 1e6)
    np.testing.assert_allclose(
        log_prob(far, DAGS[4]), log_prob(Modular(WEIGHTS), DAGS[4]), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Modular(np.zeros((3, 9))), r"shape \[..., d, 2\^d\].*\(3, 9\)"),
        (lambda: Modular(np.full((2, 4), np.nan)), "rounding|invalid log_weights"),
        (lambda: ScaleFree(3, direction="up"), '"in" or "out"'),
        (lambda: ErdosRenyi(0), "at least 1"),
        (lambda: ErdosRenyi(3, 1.5, validate_args=True), "invalid edge_probability"),
        (lambda: independent_edges(np.full((2, 2), 2.0)), r"numbers in \[0, 1\]"),
        (lambda: OrderBased(17).log_prob(np.zeros((17, 17))), "at most 16"),
    ],
)
def test_mistakes_are_told(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_many_variables():
    prior = ErdosRenyi(40, 0.05)
    graphs = jax.jit(lambda p, key: p.sample(key, (20,)))(prior, jax.random.key(0))
    logs = log_prob(prior, graphs)
    assert np.isfinite(logs).all()
    assert OrderBased(40, 0.1).sample(jax.random.key(0)).shape == (40, 40)
