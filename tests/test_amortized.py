"""Amortized inference with random weights: knowledge, samples, calibration."""

import dataclasses

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from conftest import make_weights, stand_in

from causaljax.core import run
from causaljax.core.types import make_problem
from causaljax.graphs.dags import transitive_closure
from causaljax.kernels import amortized
from causaljax.networks import out_of_distribution

RANDOM = make_weights()
D = 6


def table(seed=0, n=200, d=D):
    rng = np.random.default_rng(seed)
    mixing = np.eye(d) + np.triu(rng.normal(size=(d, d)), 1)
    return pd.DataFrame(
        rng.exponential(size=(n, d)) @ mixing, columns=list("abcdef")[:d]
    )


def problem(seed=0, n=200, d=D, **knowledge):
    x = table(seed, n, d).to_numpy(np.float32)
    return make_problem((x - x.mean(0)) / x.std(0), **knowledge)


def mask(d, *pairs):
    result = np.zeros((d, d), bool)
    for pair in pairs:
        result[pair] = True
    return result


def fit(given, key=0, **settings):
    config = dataclasses.replace(amortized.configure(RANDOM), **settings)
    answer = run.run(amortized.KERNEL, jax.random.key(key), given, config)
    return jax.tree.map(np.asarray, answer)


def is_acyclic(graph):
    return nx.is_directed_acyclic_graph(nx.DiGraph(graph))


# The kernel


KNOWN = {
    "required": mask(D, (3, 1), (1, 0), (4, 2)),
    "allowed": ~mask(D, (0, 2), (2, 0), (5, 4), (0, 5)),
}


@pytest.mark.parametrize("sharpness", [0.0, 4.0])
def test_knowledge_holds_in_every_belief_and_sample(sharpness):
    given = problem(**KNOWN)
    temperature = np.array([-sharpness, 0, 0], np.float32)
    posterior, _ = fit(given, num_graphs=60, temperature=temperature)
    prob, ancestor = posterior.edge_prob, posterior.extra["ancestor_prob"]
    required, allowed = KNOWN["required"], KNOWN["allowed"]
    assert (prob[required] == 1).all()
    assert not prob[~allowed].any()
    assert not prob[required.T].any()
    assert prob[0, 3] == 0  # 3 -> 1 -> 0 is required
    assert (prob + prob.T <= 1 + 1e-6).all()
    assert ancestor[3, 0] == 1
    assert ancestor[0, 3] == 0
    assert (ancestor >= prob).all()
    assert not np.diagonal(ancestor).any()
    assert posterior.graphs.shape == (60, D, D)
    for graph in posterior.graphs:
        assert is_acyclic(graph)
        assert graph[required].all()
        assert not graph[~allowed].any()
        assert transitive_closure(graph)[3, 0]
    distinct = {graph.tobytes() for graph in posterior.graphs}
    assert len(distinct) > (1 if sharpness else 20)
    point = fit(given)[0].graphs[0]
    assert is_acyclic(point)
    assert point[required].all()
    assert not point[~allowed].any()


def test_samples_never_close_a_cycle_even_if_the_network_wants_to():
    """Every edge is all but certain in both directions."""

    def always(params, inputs, allowed, required, config):
        edge = 30 * jnp.ones_like(inputs[..., 0])
        return stand_in.GraphLogits(edge, edge, edge[0], edge, edge[0])

    network = RANDOM.network._replace(edge_logits=always)
    for num_rounds in (1, 4, 10, 100):
        posterior, _ = fit(
            problem(), num_graphs=20, network=network, num_rounds=num_rounds
        )
        for graph in posterior.graphs:
            assert is_acyclic(graph)
            assert graph.sum() == D * (D - 1) / 2
        orders = {tuple(graph.sum(axis=0)) for graph in posterior.graphs}
        assert len(orders) > 10


def test_samples_without_conflicts_follow_the_probabilities():
    def calm(params, inputs, allowed, required, config):
        edge = jnp.asarray([[0.0, 0.5, -1], [-0.5, 0, -jnp.inf], [-jnp.inf] * 3])
        return stand_in.GraphLogits(edge, edge, edge[0], edge, edge[0])

    network = RANDOM.network._replace(edge_logits=calm)
    posterior, _ = fit(problem(d=3), num_graphs=4000, network=network)
    np.testing.assert_allclose(posterior.graphs.mean(0), posterior.edge_prob, atol=0.03)


def test_what_was_drawn_is_revealed_to_the_network():
    """A network that takes all pairs to be like the first, which is even."""

    def follow(params, inputs, allowed, required, config):
        ahead = jnp.triu(jnp.ones_like(allowed), 1)
        none_told = (~allowed & ~allowed.T & ahead).any()
        like = jnp.where(required.any(), 50.0, -50.0) * jnp.ones_like(inputs[..., 0])
        first = jnp.zeros_like(like).at[1, 0].set(-50.0)  # the others are less certain
        edge = jnp.where(required.any() | none_told, like, first)
        edge = jnp.where(ahead | ~none_told & ~required.any(), edge, -60.0)
        return stand_in.GraphLogits(edge, edge, edge[0], edge, edge[0])

    network = RANDOM.network._replace(edge_logits=follow)
    graphs = fit(problem(d=4), num_graphs=60, network=network, num_rounds=6)[0].graphs
    sizes = graphs.sum(axis=(1, 2))
    assert set(sizes.tolist()) == {0, 6}
    assert 15 < (sizes == 6).sum() < 45
    assert (graphs[sizes == 6] == np.triu(np.ones((4, 4), bool), 1)).all()


def test_higher_temperature_is_less_sure():
    entropies, tops = [], []
    for t0 in (-1.0, 0.0, 1.0, 2.0):
        posterior, info = fit(problem(), temperature=np.array([t0, 0, 0], np.float32))
        entropies.append(info.loss)
        both = posterior.edge_prob + posterior.edge_prob.T
        tops.append(np.abs(both - 2 / 3)[~np.eye(D, dtype=bool)].max())
    assert (np.diff(entropies) > 0).all()
    assert entropies[-1] <= np.log(3)
    assert (np.diff(tops) < 0).all()


def test_temperature_follows_columns_and_seen_rows():
    given = problem(n=100)
    by_rows = np.array([0, 0, 0.5], np.float32)
    half = given._replace(weight=given.weight.at[:50].set(0))
    gaps = given._replace(observed=given.observed.at[:, :3].set(False))
    config = dataclasses.replace(amortized.configure(RANDOM), temperature=by_rows)

    def sharpness(problem, config=config):
        return amortized.init(jax.random.key(0), problem, config).sharpness

    expected = (1000 / 100) ** 0.5
    assert sharpness(given) == pytest.approx(expected, rel=1e-5)
    assert sharpness(half) == pytest.approx(expected * 2**0.5, rel=1e-5)
    assert sharpness(gaps) == pytest.approx(expected * 2**0.5, rel=1e-5)
    by_columns = np.array([0, 1, 0], np.float32)
    config = dataclasses.replace(config, temperature=by_columns)
    assert sharpness(given, config) == pytest.approx(20 / D, rel=1e-5)


def test_missing_cells_hold_no_information():
    given = problem()
    observed = given.observed.at[::3, 2].set(False)
    one = given._replace(observed=observed)
    other = one._replace(x=jnp.where(observed, one.x, 1e6))
    np.testing.assert_allclose(fit(one)[0].edge_prob, fit(other)[0].edge_prob)
    assert not np.allclose(fit(one)[0].edge_prob, fit(given)[0].edge_prob)


def test_relabelling_relabels_all_beliefs():
    labels = np.array([3, 5, 0, 1, 4, 2])
    given = problem(**KNOWN)
    grid = np.ix_(labels, labels)
    moved = given._replace(
        x=given.x[:, labels],
        allowed=given.allowed[grid],
        required=given.required[grid],
    )
    expected, actual = fit(given)[0], fit(moved)[0]
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(actual.edge_prob, expected.edge_prob[grid], **close)
    np.testing.assert_array_equal(actual.graphs[0], expected.graphs[0][grid])
    for name, value in expected.extra.items():
        value = value[{0: (), 1: (labels,), 2: grid}[value.ndim]]
        np.testing.assert_allclose(actual.extra[name], value, **close)


def test_settings_are_checked():
    config = amortized.configure(RANDOM)
    for change, words in (
        ({"threshold": 1.0}, "threshold must be a number of at least 0 and below 1"),
        ({"temperature": np.zeros(2)}, "temperature must be three numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            amortized.check_config(dataclasses.replace(config, **change))


# Strangeness


def test_strangeness_does_not_see_scale_or_order():
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(400, D, D, 3)) * rng.uniform(
        0.5, 1.5, size=(400, 1, 1, 3)
    )
    scale = np.array([0.1, 5, 1])

    def scores(tables, probes):
        tables, probes = np.float32(tables), np.float32(probes)
        reference = out_of_distribution.fit_reference(
            {D: jax.vmap(out_of_distribution.summarise)(tables)}
        )
        judge = jax.vmap(lambda probe: out_of_distribution.ood_score(probe, reference))
        return judge(probes)

    plain = scores(tables, tables)
    assert (plain > 1).mean() < 0.02
    moved = scores(tables * scale, tables * scale)
    np.testing.assert_allclose(moved, plain, rtol=1e-3)
    labels = rng.permutation(D)
    relabelled = scores(tables, tables[:, labels][:, :, labels])
    np.testing.assert_allclose(relabelled, plain, rtol=1e-3)
    assert (scores(tables, tables + 3) > 2).all()
    constant = np.concatenate([tables, np.ones((400, D, D, 1))], axis=-1)
    assert np.isfinite(scores(constant, constant)).all()


def test_strangeness_is_judged_among_tables_of_about_that_size():
    """A mean of few pairs that would be strange for one of many is not for few."""
    rng = np.random.default_rng(0)

    def draw(d, num_tables):
        statistics = rng.normal(size=(num_tables, d, d, 3)).astype(np.float32)
        statistics[..., 2] = np.log(d / 20)  # but for rounding one number for all
        statistics[..., 2] += 1e-7 * rng.random(size=(num_tables, 1, 1))
        return statistics, jax.vmap(out_of_distribution.summarise)(statistics)

    reference = out_of_distribution.fit_reference(
        {d: draw(d, 600)[1] for d in (2, 8, 32)}
    )
    judge = jax.vmap(lambda table: out_of_distribution.ood_score(table, reference))
    for d in (2, 4, 8, 16, 32, 40):
        tables, _ = draw(d, 200)
        assert (judge(tables) > 1).mean() < 0.04
    moved = np.array([0.5, 0.5, 0], np.float32)
    assert (judge(draw(32, 20)[0] + moved) > 1).all()
    assert (judge(draw(2, 20)[0] + moved) > 1).mean() < 0.5


def test_a_pair_is_joined_in_its_likelier_direction_if_joined_at_all():
    nothing = jnp.zeros((3, 3), bool)

    def decided(entries, required=nothing):
        prob = jnp.zeros((3, 3))
        for place, value in entries.items():
            prob = prob.at[place].set(value)
        graph = amortized.decide(prob, 0.5, required)
        return sorted(map(tuple, np.argwhere(graph).tolist()))

    assert decided({(0, 1): 0.46, (1, 0): 0.44}) == [(0, 1)]
    assert decided({(0, 1): 0.26, (1, 0): 0.2}) == []
    chain = {(0, 1): 0.9, (1, 2): 0.8}
    # The third edge would close a cycle: turned if that is likely enough.
    assert decided(chain | {(2, 0): 0.5, (0, 2): 0.4}) == [(0, 1), (0, 2), (1, 2)]
    assert decided(chain | {(2, 0): 0.6, (0, 2): 0.1}) == [(0, 1), (1, 2)]
    back = nothing.at[2, 0].set(True)
    assert decided(chain, back) == [(0, 1), (2, 0)]
