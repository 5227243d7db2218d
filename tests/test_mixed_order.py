"""Order search on classes and numbers, against enumeration in numpy."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causaljax import MixedDAG
from causaljax.core import run
from causaljax.core.types import Kind, make_problem
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import is_acyclic
from causaljax.kernels import mixed_order
from causaljax.scores import degenerate_gaussian, discrete
from causaljax.scores.classes import read_classes
from causaljax.tables import frame

NUM_ROWS, LEVELS = 300, (2, 3, 2, 3)
CONFIG = mixed_order.Config(most_classes=3, num_steps=5)


def draw_classes(seed):
    """[300, 4] classes of 0 -> 2 <- 1, 2 -> 3; weights; two cells a row set."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, NUM_ROWS), rng.integers(0, 3, NUM_ROWS)
    c = (rng.random(NUM_ROWS) < 0.1 + 0.25 * b + 0.3 * a).astype(int)
    d = np.where(rng.random(NUM_ROWS) < 0.6, 2 * c, rng.integers(0, 3, NUM_ROWS))
    return np.stack([a, b, c, d], axis=1).astype(float)


def tables(seed, *, kind=Kind.CATEGORICAL, interventions=False):
    rng = np.random.default_rng(seed)
    x = draw_classes(seed)
    if kind is None:
        x[:, 1] = x[:, 1] + rng.normal(size=NUM_ROWS)
        kind = [Kind.BINARY, Kind.CONTINUOUS, Kind.BINARY, Kind.CATEGORICAL]
    kinds = np.broadcast_to(np.asarray(kind), 4)
    weight = rng.choice([0.0, 0.5, 1.0, 2.0], NUM_ROWS)
    intervened = np.zeros((NUM_ROWS, 4), bool)
    intervened[:60, 3] = interventions
    return make_problem(x, kind=kinds, weight=weight, intervened=intervened)


def numpy_local(problem, j, parents, score, bic_weight=1.0, size=10.0):
    """A local score from its definition."""
    use = np.asarray((problem.weight > 0) & ~problem.intervened[:, j])
    x, w = np.asarray(problem.x)[use], np.asarray(problem.weight)[use]
    price = bic_weight * np.log(w.sum()) / 2
    if score == "degenerate_gaussian":
        blocks = []
        for k, kind in enumerate(np.asarray(problem.kind)):
            levels = np.unique(x[:, k])[:-1]
            of_numbers = kind == Kind.CONTINUOUS
            blocks.append(x[:, [k]] if of_numbers else x[:, [k]] == levels)
        given = [blocks[k] for k in parents]

        def log_det(some):
            if not some:
                return 0.0
            columns = np.concatenate(some, axis=1).astype(float)
            return np.linalg.slogdet(
                np.atleast_2d(np.cov(columns.T, aweights=w, ddof=0))
            )[1]

        width = blocks[j].shape[1] * sum(block.shape[1] for block in given)
        change = log_det([blocks[j], *given]) - log_det(given) - log_det([blocks[j]])
        return -w.sum() / 2 * change - price * width
    q = math.prod(LEVELS[k] for k in parents)
    r, total = LEVELS[j], 0.0
    for configuration in itertools.product(*[range(LEVELS[k]) for k in parents]):
        rows = (x[:, list(parents)] == configuration).all(axis=1)
        counts = [w[rows & (x[:, j] == level)].sum() for level in range(r)]
        if score == "bdeu":
            total += math.lgamma(size / q) - math.lgamma(size / q + sum(counts))
            for count in counts:
                total += math.lgamma(size / (q * r) + count)
                total -= math.lgamma(size / (q * r))
        else:
            total += sum(
                count * np.log(count / sum(counts)) for count in counts if count
            )
    return total - (price * q * (r - 1) if score == "bic" else 0)


@functools.cache
def graphs():
    """All 543 acyclic graphs of four variables."""
    pairs = list(itertools.permutations(range(4), 2))
    found = []
    for pattern in itertools.product([0, 1], repeat=len(pairs)):
        graph = np.zeros((4, 4), bool)
        for (i, j), present in zip(pairs, pattern, strict=True):
            graph[i, j] = present
        if not (graph & graph.T).any():
            found.append(graph)
    acyclic = np.asarray(jax.vmap(is_acyclic)(jnp.asarray(np.stack(found))))
    return np.stack(found)[acyclic]


def totals(problem, score):
    """The scores of all graphs."""
    local = {
        (j, parents): numpy_local(problem, j, parents, score)
        for j in range(4)
        for count in range(4)
        for parents in itertools.combinations([k for k in range(4) if k != j], count)
    }
    return np.array(
        [
            sum(local[j, tuple(np.flatnonzero(graph[:, j]).tolist())] for j in range(4))
            for graph in graphs()
        ]
    )


def fit(problem, config, seed=0):
    posterior, info = run.run(mixed_order.KERNEL, jax.random.key(seed), problem, config)
    return np.asarray(posterior.graphs[0]), info


def class_of(graph):
    return np.asarray(dag_to_cpdag(jnp.asarray(graph)))


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_local_scores_are_those_of_the_definition(score):
    with jax.enable_x64(True):
        mixed = None if score == "degenerate_gaussian" else Kind.CATEGORICAL
        problem = tables(1, kind=mixed, interventions=True)
        classes = read_classes(problem)

        def toggled(j, parents):
            if score == "degenerate_gaussian":
                table = degenerate_gaussian.blocks(
                    problem, classes, 3, interventional=True
                )
                return degenerate_gaussian.toggled_scores(table, j, parents, 1.0)[0]
            table = discrete.class_table(problem, classes, 3, interventional=True)

            def local(counts, levels, configurations):
                if score == "bdeu":
                    return discrete.bdeu(counts, levels, configurations, 10.0)
                return discrete.log_likelihood(counts)

            scores, configurations = discrete.toggled_scores(table, j, parents, local)
            price = jnp.log(table.rows[j]) / 2 * (table.levels[j] - 1)
            return scores - (price * configurations if score == "bic" else 0)

        toggled = jax.jit(toggled)
        for j, parents in (
            (0, ()),
            (1, (0,)),
            (2, (0, 1)),
            (3, (0, 2)),
            (3, (0, 1, 2)),
        ):
            given = np.isin(np.arange(4), parents)
            found = np.asarray(toggled(j, jnp.asarray(given)))
            wanted = []
            for u in range(4):
                now = given ^ ((np.arange(4) == u) & (u != j))
                family = tuple(np.flatnonzero(now).tolist())
                wanted.append(numpy_local(problem, j, family, score))
            tolerance = 2e-3 if score == "degenerate_gaussian" else 1e-9  # its ridge
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_the_best_of_all_graphs_is_found(score):
    for seed in (0, 1, 2):
        problem = tables(
            seed, kind=None if score == "degenerate_gaussian" else Kind.CATEGORICAL
        )
        worth = totals(problem, score)
        found, _ = fit(problem, dataclasses.replace(CONFIG, score=score))
        place = np.flatnonzero((graphs() == found).all(axis=(1, 2)))[0]
        assert worth[place] > worth.max() - 2e-3
        best = class_of(graphs()[worth.argmax()])
        assert (class_of(found) == best).all()


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_members_of_a_class_tie(score):
    problem = tables(
        0, kind=None if score == "degenerate_gaussian" else Kind.CATEGORICAL
    )
    worth = totals(problem, score)
    classes = {}
    for graph, value in zip(graphs(), worth, strict=True):
        classes.setdefault(class_of(graph).tobytes(), []).append(value)
    assert len(classes) == 185  # of four variables
    for values in classes.values():
        np.testing.assert_allclose(values, values[0], rtol=1e-8)


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_other_names_of_classes_change_nothing(score):
    problem = tables(3)
    names = np.array([5.0, -1.0, 2.0])
    renamed = problem._replace(x=jnp.asarray(names[np.asarray(problem.x, int)]))
    config = dataclasses.replace(CONFIG, score=score)
    assert (fit(problem, config)[0] == fit(renamed, config)[0]).all()


def test_interventions_and_knowledge_decide_directions():
    problem = tables(0, interventions=True)
    allowed = ~np.eye(4, dtype=bool)
    allowed[0, 2] = False
    required = np.zeros((4, 4), bool)
    required[3, 1] = True
    told = problem._replace(
        allowed=jnp.asarray(allowed), required=jnp.asarray(required)
    )
    config = dataclasses.replace(CONFIG, score="bic")
    found, _ = fit(told, config)
    assert found[3, 1]
    assert not found[0, 2]
    assert fit(problem, config)[0][2, 3]


def test_too_many_classes_are_flagged():
    _, info = fit(tables(0), dataclasses.replace(CONFIG, score="bic", most_classes=2))
    assert info.nonfinite


def test_rare_classes_are_pooled():
    column = np.repeat([0.0, 1.0, 2.0, 3.0], [200, 94, 4, 2])
    rare = np.repeat([0.0, 1.0], [297, 3])
    found = read_classes(make_problem(np.stack([column, rare], axis=1)))
    assert found.levels.tolist() == [3, 1]
    assert found.pooled.tolist() == [2, 1]
    assert np.bincount(np.asarray(found.codes[:, 0])).tolist() == [200, 94, 6]


@pytest.fixture
def kinds(monkeypatch):
    """Columns of the kinds that a test asks for."""
    asked, to_problem = [], frame.to_problem

    def with_kinds(*args, **options):
        problem, columns = to_problem(*args, **options)
        return problem._replace(kind=np.array(asked, np.int8)), columns

    monkeypatch.setattr(frame, "to_problem", with_kinds)
    return asked


def test_estimator_reads_classes(kinds):
    kinds[:] = [Kind.CATEGORICAL] * 4
    model = MixedDAG(num_steps=5, n_bootstrap=5, progress=False).fit(draw_classes(0))
    assert model.info_["score"] == "bic"
    assert model.info_["pooled_classes"] == {}
    assert model.cpdag_.to_numpy().tolist() == [
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ]
    assert 0.5 < model.edge_probabilities_.to_numpy()[1, 2] <= 1
    assert any("bic" in note for note in model._notes())


def test_estimator_refuses_numbers_where_classes_are_asked_for(kinds):
    kinds[:] = [Kind.CATEGORICAL] * 3 + [Kind.COUNT]
    with pytest.raises(ValueError, match=r"columns \['x3'\] hold numbers"):
        MixedDAG(score="bdeu").fit(draw_classes(0))
    with pytest.raises(ValueError, match="equivalent_sample_size has no meaning"):
        MixedDAG(equivalent_sample_size=3.0).fit(draw_classes(0))
    with pytest.raises(ValueError, match="score must be one of"):
        MixedDAG(score="likelihood").fit(draw_classes(0))
