import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax import simulate
from causaljax.core.types import Kind
from causaljax.graphs.dags import is_acyclic
from causaljax.simulate import training_mix
from causaljax.simulate.training_mix import HIDDEN_SHARE, draw_table

NUM = 200


def _drawing(d, n):
    """A program that draws tables, one a key, as training does.

    Whoever calls it says the share ``hidden``: a default would be another program.
    """
    return jax.jit(
        lambda keys, hidden: jax.lax.map(
            lambda key: draw_table(key, d, n, hidden), keys
        )
    )


draw_sixes = _drawing(6, 200)


@pytest.fixture(scope="module")
def draws():
    return draw_sixes(jax.random.split(jax.random.key(0), NUM), HIDDEN_SHARE)


@pytest.fixture(scope="module")
def pairs():
    return _drawing(2, 400)(jax.random.split(jax.random.key(4), 800), HIDDEN_SHARE)


def test_tables_are_finite_and_graphs_acyclic(draws):
    assert jnp.isfinite(draws.problem.x).all()
    assert jax.vmap(is_acyclic)(draws.graph).all()


def test_columns_hold_what_their_kinds_say(draws):
    whole = np.array(draws.problem.observed.all((1, 2)))
    kinds, tables = np.array(draws.problem.kind), _unstack(draws.problem)
    for kind, table in zip(kinds[whole], np.array(tables, object)[whole], strict=True):
        x = table[0][table[4] > 0]
        for j, of in enumerate(kind):
            values = np.unique(x[:, j])
            if of == Kind.BINARY:
                assert len(values) <= 2
            elif of in (Kind.ORDINAL, Kind.CATEGORICAL):
                assert len(values) <= 8
            elif of == Kind.COUNT and len(values) > 1:
                # Whole numbers before they were scaled, zero or one apart somewhere.
                steps = np.diff(values) / np.diff(values).min()
                assert len(values) < 60 or abs(steps - steps.round()).max() < 0.1
    shares = np.bincount(kinds.ravel(), minlength=5) / kinds.size
    assert shares[0] > 0.6
    assert (shares[1:] > 0.02).all()
    assert 0.4 < (kinds == Kind.CONTINUOUS).all(1).mean() < 0.7
    for of in (Kind.BINARY, Kind.ORDINAL, Kind.CATEGORICAL):
        assert (kinds == of).all(1).any()


def test_a_third_of_the_tables_have_hidden_causes(draws):
    confounded = draws.confounded
    assert (confounded == confounded.swapaxes(1, 2)).all()
    assert not confounded[:, jnp.arange(6), jnp.arange(6)].any()
    assert 0.12 < confounded.any((1, 2)).mean() < 0.4


def test_families_are_those_of_the_simulators_and_none_held_out():
    shares = training_mix._GRAPHS, training_mix._NOISE, training_mix._MECHANISMS
    for share in shares:
        assert sum(share.values()) == pytest.approx(1)
    assert set(training_mix._NOISE) == set(simulate.NOISE)
    held_out = {"sigmoid", "polynomial", "periodic", "post_nonlinear"}
    assert set(training_mix._MECHANISMS) == set(simulate.MECHANISMS) - held_out


def test_columns_are_of_one_size(draws):
    """Apart from missing cells, which hold 0, and rounding."""
    x, weight = draws.problem.x, draws.problem.weight
    size = jnp.sqrt((weight[:, :, None] * x**2).sum(1) / weight.sum(1)[:, None])
    whole = draws.problem.observed.all((1, 2))
    assert np.median(abs(size[whole] - 1)) < 1e-3
    assert (abs(size[whole] - 1) < 0.5).mean() > 0.98


def test_the_mix_has_its_shares(draws):
    hidden = draws.target.any(1)
    recorded = draws.problem.intervened.any((1, 2))
    assert 0.17 < hidden.mean() < 0.37
    assert 0.23 < recorded.mean() < 0.43
    assert not (hidden & recorded).any()
    assert 0.05 < (~draws.problem.observed).any((1, 2)).mean() < 0.27
    assert 0.25 < (draws.problem.weight == 0).any(1).mean() < 0.55
    edges = draws.graph.sum((1, 2))
    assert 0.005 < (edges == 0).mean() < 0.2
    assert edges.max() > 9


def test_tables_of_two_variables_may_have_an_edge_or_none(pairs):
    assert 0.6 < pairs.graph.any((1, 2)).mean() < 0.95


def test_regimes_may_be_many_and_have_several_targets(draws):
    kinds, most = [], []
    for hit in np.array(draws.problem.intervened):
        regimes = np.unique(hit, axis=0)
        kinds.append(len(regimes) - 1)  # the other is "none"
        most.append(hit.sum(1).max())
    assert max(kinds) > 6
    assert max(most) == 4


def test_hidden_interventions_can_be_left_out():
    draws = draw_sixes(jax.random.split(jax.random.key(6), NUM), 0.0)
    assert not draws.target.any()
    assert draws.problem.intervened.any((1, 2)).mean() > 0.25


def test_what_is_revealed_is_true(draws):
    allowed, required = draws.problem.allowed, draws.problem.required
    assert not (required & ~draws.graph).any()
    assert not (draws.graph & ~allowed).any()
    known = draws.known & ~jnp.eye(6, dtype=bool)[None]
    assert (jnp.where(known, draws.graph == required, True)).all()
    assert (jnp.where(known, draws.graph == allowed, True)).all()
    assert (draws.known == draws.known.swapaxes(1, 2)).all()
    assert 0.2 < draws.known.any((1, 2)).mean() < 0.6


def test_no_label_tells_the_order(draws):
    """Edges point up and down the labels alike."""
    up = jnp.triu(draws.graph, 1).sum() / draws.graph.sum()
    assert 0.45 < up < 0.55


def test_perfect_known_interventions_cut_the_target_from_its_parents(pairs):
    natural, cut = [], []
    for graph, problem in zip(
        np.array(pairs.graph & ~pairs.confounded), _unstack(pairs.problem), strict=True
    ):
        if not graph[0, 1] or not problem.intervened[:, 1].any():
            continue
        rows = (problem.weight > 0) & problem.observed.all(1)
        done = problem.intervened[:, 1] & ~problem.intervened[:, 0] & rows
        free = ~problem.intervened.any(1) & rows
        if min(done.sum(), free.sum()) < 60:
            continue
        # A column may be constant, as of one class or set to one value.
        if min(problem.x[which].std(0).min() for which in (done, free)) < 1e-3:
            continue
        natural.append(abs(np.corrcoef(problem.x[free].T)[0, 1]))
        cut.append(abs(np.corrcoef(problem.x[done].T)[0, 1]))
    assert len(cut) >= 8
    # A fifth of the interventions are soft and cut nothing.
    assert np.median(cut) < 0.15
    assert np.median(natural) > 0.3


def _unstack(problem):
    return [
        jax.tree.map(lambda leaf, row=row: np.array(leaf[row]), problem)
        for row in range(len(problem.x))
    ]


@pytest.mark.slow
def test_jit_gives_what_eager_gives():
    eager = draw_table(jax.random.key(8), 3, 40)
    jitted = jax.jit(draw_table, static_argnums=(1, 2))(jax.random.key(8), 3, 40)
    assert (eager.graph == jitted.graph).all()
    assert (eager.problem.kind == jitted.problem.kind).all()
    np.testing.assert_allclose(eager.problem.x, jitted.problem.x, atol=1e-3)


@pytest.mark.slow
def test_vmap_gives_what_one_by_one_gives():
    keys = jax.random.split(jax.random.key(9), 3)
    # A key that goes into every branch of a switch passes for one that is used again.
    with jax.debug_key_reuse(False):
        batch = jax.jit(jax.vmap(lambda key: draw_table(key, 3, 40)))(keys)
        one = jax.jit(draw_table, static_argnums=(1, 2))
        alone = [one(key, 3, 40) for key in keys]
    for i, draw in enumerate(alone):
        assert (batch.graph[i] == draw.graph).all()
        np.testing.assert_allclose(batch.problem.x[i], draw.problem.x, atol=1e-3)
