import functools
import itertools

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import sklearn.metrics

from causaljax.graphs import acyclicity, cpdag, dags, metrics


@functools.cache
def compiled(function):
    """A function of one graph, for a batch of them."""
    return jax.jit(jax.vmap(function))


def over_batch(function, *arguments):
    answers = compiled(function)(*map(jnp.asarray, arguments))
    return jax.tree.map(np.asarray, answers)


def digraph(graph):
    return nx.from_numpy_array(np.asarray(graph, int), create_using=nx.DiGraph)


def all_digraphs(d):
    """Every directed graph without self-loops, ``[2^(d(d-1)), d, d]`` bool."""
    off_diagonal = np.argwhere(~np.eye(d, dtype=bool))
    bits = np.arange(2 ** len(off_diagonal))[:, None] >> np.arange(len(off_diagonal))
    graphs = np.zeros((len(bits), d, d), bool)
    graphs[:, *off_diagonal.T] = bits & 1
    return graphs


@functools.cache
def small_graphs():
    graphs = all_digraphs(4)
    is_dag = [nx.is_directed_acyclic_graph(digraph(graph)) for graph in graphs]
    return graphs, np.array(is_dag)


def small_dags():
    graphs, is_dag = small_graphs()
    return graphs[is_dag]


def random_dags(num_graphs, d, edge_prob, seed=0):
    rng = np.random.default_rng(seed)
    graphs = np.triu(rng.random((num_graphs, d, d)) < edge_prob, 1)
    labels = [rng.permutation(d) for _ in range(num_graphs)]
    return np.stack([g[np.ix_(p, p)] for g, p in zip(graphs, labels, strict=True)])


def ring(d, length=None):
    """A directed cycle through ``length`` of d shuffled variables."""
    nodes = np.random.default_rng(d).permutation(d)[: length or d]
    graph = np.zeros((d, d), bool)
    graph[nodes, np.roll(nodes, -1)] = True
    return graph


# Exact predicates and orders


def test_is_acyclic_on_every_graph_of_four_variables():
    graphs, expected = small_graphs()
    assert expected.sum() == 543
    np.testing.assert_array_equal(over_batch(dags.is_acyclic, graphs), expected)


@pytest.mark.parametrize("d", [2, 3, 10, 15, 20, 64, 65, 200])
def test_is_acyclic_on_long_cycles(d):
    cycle = ring(d)
    path = cycle.copy()
    path[tuple(np.argwhere(cycle)[d // 2])] = False
    both = np.stack([cycle, path])
    np.testing.assert_array_equal(over_batch(dags.is_acyclic, both), [False, True])
    start = np.flatnonzero(~path.any(axis=0)).item()
    closure = over_batch(dags.transitive_closure, both)
    assert closure[0].all()
    assert closure[1].sum() == d * (d - 1) / 2
    assert closure[1, start].sum() == d - 1


def test_self_loop_is_a_cycle():
    graphs = np.zeros((3, 4, 4), bool)
    graphs[0, 2, 2] = graphs[1, 0, 1] = True
    graphs[2] = np.eye(4)
    np.testing.assert_array_equal(
        over_batch(dags.is_acyclic, graphs), [False, True, False]
    )


def test_closure_is_that_of_networkx():
    rng = np.random.default_rng(0)
    graphs = np.concatenate([rng.random((40, 9, 9)) < 0.15, random_dags(10, 9, 0.3)])
    expected = [
        nx.to_numpy_array(nx.transitive_closure(digraph(graph), reflexive=False)) > 0
        for graph in graphs
    ]
    assert any(np.diagonal(graph).any() for graph in expected)
    np.testing.assert_array_equal(over_batch(dags.transitive_closure, graphs), expected)


@pytest.mark.parametrize("graphs", [small_dags(), random_dags(30, 20, 0.2)])
def test_topological_order_puts_parents_first(graphs):
    orders = over_batch(dags.topological_order, graphs)
    for graph, order in zip(graphs, orders, strict=True):
        assert sorted(order) == list(range(len(graph)))
        assert not np.tril(graph[np.ix_(order, order)]).any()


def test_topological_order_breaks_ties_as_stated():
    graph = np.zeros((4, 4), bool)
    graph[3, 0] = graph[2, 0] = graph[3, 1] = True
    assert dags.topological_order(jnp.array(graph)).tolist() == [2, 3, 1, 0]


def slow_greedy(strength, threshold, required):
    graph = digraph(required)
    order = np.argsort(-strength.ravel(), kind="stable")
    for source, target in zip(*np.divmod(order, len(strength)), strict=True):
        fits = source != target and not nx.has_path(graph, target, source)
        if fits and strength[source, target] > threshold:
            graph.add_edge(source, target)
    return nx.to_numpy_array(graph, dtype=bool)


@pytest.mark.parametrize("required_prob", [0.0, 0.2])
def test_greedy_takes_the_strongest_edges_that_fit(required_prob):
    rng = np.random.default_rng(1)
    strength = rng.random((40, 7, 7)).round(1).astype(np.float32)  # with ties
    threshold = rng.uniform(0, 0.9, 40).round(1).astype(np.float32)
    required = random_dags(40, 7, required_prob, seed=2)
    graphs = over_batch(dags.greedy_acyclic, strength, threshold, required)
    expected = list(map(slow_greedy, strength, threshold, required))
    np.testing.assert_array_equal(graphs, expected)
    assert graphs[required].all()
    assert all(nx.is_directed_acyclic_graph(digraph(graph)) for graph in graphs)


def test_greedy_ignores_what_is_not_finite():
    strength = np.array([[0, np.nan, 1], [2, 0, np.inf], [0.5, 0, 0]], np.float32)
    graph = dags.greedy_acyclic(jnp.array(strength), 0.1, jnp.zeros((3, 3), bool))
    np.testing.assert_array_equal(graph, [[0, 0, 1], [1, 0, 0], [0, 0, 0]])


# Equivalence classes


def colliders(graph):
    """Unshielded ones: (parent, child, parent)."""
    d = len(graph)
    return frozenset(
        (i, child, j)
        for child in range(d)
        for i, j in itertools.combinations(np.flatnonzero(graph[:, child]), 2)
        if not graph[i, j] and not graph[j, i]
    )


def test_cpdag_is_the_union_of_the_class_for_every_small_dag():
    dags, classes = small_dags(), {}
    names = [((graph | graph.T).tobytes(), colliders(graph)) for graph in dags]
    for name, graph in zip(names, dags, strict=True):
        classes[name] = classes.get(name, False) | graph
    assert len(classes) == 185  # Gillispie and Perlman 2002, table 1
    expected = [classes[name] for name in names]
    np.testing.assert_array_equal(over_batch(cpdag.dag_to_cpdag, dags), expected)


def meek_cpdag(graph):
    """Colliders, then Meek's rules 1 to 3 until nothing changes."""
    d = len(graph)
    mark = graph | graph.T  # [i, j] and not [j, i]: directed
    adjacent = mark.copy()

    def orient(i, j):
        mark[j, i] = False

    for i, child, j in colliders(graph):
        orient(i, child)
        orient(j, child)
    directed = lambda i, j: mark[i, j] and not mark[j, i]  # noqa: E731
    undirected = lambda i, j: mark[i, j] and mark[j, i]  # noqa: E731
    changed = True
    while changed:
        before = mark.copy()
        for a, b in itertools.permutations(range(d), 2):
            if not undirected(a, b):
                continue
            others = [c for c in range(d) if c not in (a, b)]
            chain = any(directed(c, a) and not adjacent[c, b] for c in others)
            triangle = any(directed(a, c) and directed(c, b) for c in others)
            kite = any(
                undirected(a, c)
                and undirected(a, e)
                and directed(c, b)
                and directed(e, b)
                and not adjacent[c, e]
                for c, e in itertools.combinations(others, 2)
            )
            if chain or triangle or kite:
                orient(a, b)
        changed = not np.array_equal(mark, before)
    return mark


@pytest.mark.parametrize("edge_prob", [0.15, 0.4])
def test_cpdag_is_that_of_meeks_rules(edge_prob):
    graphs = random_dags(12, 12, edge_prob, seed=3)
    expected = np.stack(list(map(meek_cpdag, graphs)))
    assert (expected & expected.swapaxes(1, 2)).any()
    assert (expected != expected.swapaxes(1, 2)).any()
    np.testing.assert_array_equal(over_batch(cpdag.dag_to_cpdag, graphs), expected)


# Penalties


def spectral(weights, num_iterations=3000):
    vector = jnp.full(len(weights), len(weights) ** -0.5, weights.dtype)
    vectors = acyclicity.power_iteration(weights, vector, vector, num_iterations)
    return acyclicity.spectral_penalty(weights, *jax.lax.stop_gradient(vectors))


PENALTIES = {
    "expm": acyclicity.expm_penalty,
    "logdet": acyclicity.logdet_penalty,
    "spectral": spectral,
}
REFERENCES = {
    "expm": lambda a: np.trace(scipy.linalg.expm(a)) - len(a),
    "logdet": lambda a: -np.linalg.slogdet(np.eye(len(a)) - a)[1],
    "spectral": lambda a: np.abs(np.linalg.eigvals(a)).max(),
}


def dense_weights(num, d=5, radius=0.4, seed=0):
    """Signed, every entry in use, spectral radius of W * W as stated."""
    weights = np.random.default_rng(seed).normal(size=(num, d, d))
    radii = [np.abs(np.linalg.eigvals(w * w)).max() for w in weights]
    return weights * np.sqrt(radius / np.array(radii))[:, None, None]


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_and_gradient_are_exact(name, x64):
    weights = dense_weights(6)
    both = jax.value_and_grad(PENALTIES[name])
    values, gradients = over_batch(both, weights)
    reference = REFERENCES[name]
    np.testing.assert_allclose(values, [reference(w * w) for w in weights], rtol=1e-9)

    small = 1e-6 * np.eye(25).reshape(25, 5, 5)
    slope = [
        [(reference((w + e) ** 2) - reference((w - e) ** 2)) / 2e-6 for e in small]
        for w in weights
    ]
    np.testing.assert_allclose(gradients.reshape(6, 25), slope, rtol=1e-5, atol=1e-7)


def test_logdet_penalty_with_a_scale(x64):
    weights = dense_weights(1, radius=1.5)[0]
    expected = 5 * np.log(2) - np.linalg.slogdet(2 * np.eye(5) - weights**2)[1]
    assert acyclicity.logdet_penalty(jnp.array(weights), 2.0) == pytest.approx(expected)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_is_zero_on_dags_and_positive_on_cycles(name, x64):
    graphs, is_dag = small_graphs()
    some = np.random.default_rng(0).permutation(len(graphs))[:400]
    graphs, is_dag = np.concatenate([graphs[some], small_dags()]), is_dag[some]
    is_dag = np.append(is_dag, np.ones(543, bool))
    weights = 0.5 * graphs * np.random.default_rng(1).choice([-1, 1], graphs.shape)
    values = over_batch(PENALTIES[name], weights)
    # The power iteration's floor leaves floor^(1/4) on paths of four variables.
    rest = 1e-3 if name == "spectral" else 1e-12
    assert np.abs(values[is_dag]).max() < rest
    assert values[~is_dag].min() > max(100 * rest, 1e-4)
    assert (~is_dag).sum() > 100


@pytest.mark.parametrize("name", PENALTIES)
def test_penalty_of_float32_is_float32(name):
    weights = dense_weights(3).astype(np.float32)
    values = over_batch(PENALTIES[name], weights)
    assert values.dtype == np.float32
    expected = [REFERENCES[name](w.astype(float) ** 2) for w in weights]
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_every_warm_penalty_is_checked():
    assert PENALTIES.keys() == acyclicity.PENALTIES.keys()


@functools.cache
def warm_step(name):
    return jax.jit(acyclicity.PENALTIES[name].gradient)


@pytest.mark.parametrize("name", PENALTIES)
def test_warm_gradient_settles_on_the_gradient(name, x64):
    weights = jnp.array(dense_weights(1)[0])
    memory = acyclicity.PENALTIES[name].start(jnp.zeros_like(weights))
    steps = 200
    for k in range(steps + 30):  # walk there, then stay
        point = weights * min(k / steps, 1.0)
        gradient, memory, valid = warm_step(name)(point, memory)
        assert valid, k
    expected = over_batch(jax.grad(PENALTIES[name]), weights[None])[0]
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_warm_logdet_refuses_a_jump_out_of_its_domain():
    inside = jnp.array(dense_weights(1, radius=0.4)[0], jnp.float32)
    memory = acyclicity.PENALTIES["logdet"].start(inside)
    for k in range(60):
        _, memory, valid = warm_step("logdet")(inside * min(k / 50, 1), memory)
        assert valid
    _, _, valid = warm_step("logdet")(inside * np.float32(1.02), memory)
    assert valid
    outside = inside * np.float32(np.sqrt(1.3 / 0.4))
    _, _, valid = warm_step("logdet")(outside, memory)
    assert not valid
    _, _, valid = warm_step("logdet")(jnp.full_like(inside, jnp.nan), memory)
    assert not valid


# Metrics


def pairs(seed=0, num=30, d=6):
    """Random pairs of DAGs, then equal, empty and full ones."""
    truth = random_dags(num, d, 0.4, seed)
    estimate = random_dags(num, d, 0.4, seed + 1)
    empty, full = np.zeros((d, d), bool), np.triu(np.ones((d, d), bool), 1)
    truth = np.concatenate([truth, [truth[0], empty, full, empty, full]])
    estimate = np.concatenate([estimate, [truth[0], full, empty, empty, full.T]])
    return truth, estimate


def slow_shd(truth, estimate):
    d = len(truth)
    return sum(
        (truth[i, j], truth[j, i]) != (estimate[i, j], estimate[j, i])
        for i, j in itertools.combinations(range(d), 2)
    )


def test_shd_counts_pairs_joined_differently():
    truth, estimate = pairs()
    expected = list(map(slow_shd, truth, estimate))
    np.testing.assert_array_equal(over_batch(metrics.shd, truth, estimate), expected)
    assert expected[-5:] == [0, 15, 15, 0, 15]  # a reversal counts once


def test_cpdag_shd_compares_classes():
    truth, estimate = pairs()
    classes = [[meek_cpdag(g) for g in graphs] for graphs in (truth, estimate)]
    expected = list(map(slow_shd, *classes))
    found = over_batch(metrics.cpdag_shd, truth, estimate)
    np.testing.assert_array_equal(found, expected)
    assert expected[-1] == 0  # all full graphs are equivalent


@pytest.mark.parametrize("name", ["edge_accuracy", "skeleton_accuracy"])
def test_accuracy_is_that_of_sklearn(name):
    truth, estimate = pairs()
    found = over_batch(getattr(metrics, name), truth, estimate)
    if name == "edge_accuracy":
        where = np.nonzero(~np.eye(6, dtype=bool))
    else:
        where = np.triu_indices(6, 1)
        truth = truth | truth.swapaxes(1, 2)
        estimate = estimate | estimate.swapaxes(1, 2)
    for i, both in enumerate(zip(truth, estimate, strict=True)):
        expected = sklearn.metrics.precision_recall_fscore_support(
            *(graph[where] for graph in both), average="binary", zero_division=0
        )[:3]
        np.testing.assert_allclose([leaf[i] for leaf in found], expected, rtol=1e-6)


@pytest.mark.parametrize("digits", [1, 8])
def test_areas_are_those_of_sklearn(digits):
    rng = np.random.default_rng(digits)
    truth = random_dags(20, 6, 0.4)
    strength = (rng.random(truth.shape) + 0.3 * truth).round(digits)
    strength = strength.astype(np.float32)
    strength[:, range(6), range(6)] = 9  # the diagonal is ignored
    where = np.nonzero(~np.eye(6, dtype=bool))
    for function, reference in (
        (metrics.auroc, sklearn.metrics.roc_auc_score),
        (metrics.auprc, sklearn.metrics.average_precision_score),
    ):
        expected = [
            reference(t[where], s[where]) for t, s in zip(truth, strength, strict=True)
        ]
        found = over_batch(function, truth, strength)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_areas_where_there_is_nothing_to_rank():
    empty, full = np.zeros((4, 4), bool), ~np.eye(4, dtype=bool)
    truth = np.stack([empty, full])
    strength = np.random.default_rng(0).random((2, 4, 4)).astype(np.float32)
    assert np.isnan(over_batch(metrics.auroc, truth, strength)).all()
    areas = over_batch(metrics.auprc, truth, strength)
    assert np.isnan(areas[0])
    assert areas[1] == 1
    some = np.stack([ring(4)])
    flat = np.zeros((1, 4, 4), np.float32)
    assert over_batch(metrics.auroc, some, flat) == 0.5
    assert over_batch(metrics.auprc, some, flat) == pytest.approx(4 / 12)


@pytest.mark.parametrize(
    "name", ["shd", "cpdag_shd", "edge_accuracy", "skeleton_accuracy"]
)
def test_vmap_is_a_loop(name):
    truth, estimate = (graphs[-8:] for graphs in pairs())
    function = getattr(metrics, name)
    batch = over_batch(function, truth, estimate)
    single = jax.jit(function)
    for i in range(8):
        one = single(jnp.array(truth[i]), jnp.array(estimate[i]))
        assert jax.tree.map(lambda leaf, i=i: leaf[i], batch) == one
