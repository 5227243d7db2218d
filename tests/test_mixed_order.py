"""Order search on classes and numbers, against enumeration in numpy."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from causaljax import LinearDAG, MixedDAG
from causaljax.core import run
from causaljax.core.types import Kind, make_problem
from causaljax.graphs.cpdag import dag_to_cpdag
from causaljax.graphs.dags import is_acyclic
from causaljax.kernels import mixed_order
from causaljax.scores import degenerate_gaussian, discrete
from causaljax.scores.classes import read_classes

NUM_ROWS, LEVELS = 300, (2, 3, 2, 3)
CONFIG = mixed_order.Config(most_classes=3, num_steps=5, equivalent_sample_size=10.0)


def draw_classes(seed):
    """[300, 4] classes of 0 -> 2 <- 1, 2 -> 3; 3 may be set in 60 rows."""
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
    if interventions:
        intervened[:60, 3], x[:60, 3] = True, rng.integers(0, 3, 60)
    problem = make_problem(x, kind=kinds, weight=weight, intervened=intervened)
    return jax.tree.map(np.asarray, problem)


def numpy_local(problem, j, parents, score, bic_weight=1.0, size=10.0):
    """A local score from its definition."""
    use = np.asarray((problem.weight > 0) & ~problem.intervened[:, j])
    x, w = (np.asarray(leaf, float)[use] for leaf in (problem.x, problem.weight))
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
    acyclic = np.asarray(jax.jit(jax.vmap(is_acyclic))(jnp.asarray(np.stack(found))))
    return np.stack(found)[acyclic]


def totals(local):
    """The scores of all graphs, from those of families."""
    return np.array(
        [
            sum(local[j, tuple(np.flatnonzero(graph[:, j]).tolist())] for j in range(4))
            for graph in graphs()
        ]
    )


def fit(problem, config, seed=0):
    posterior, info = run.run(mixed_order.KERNEL, jax.random.key(seed), problem, config)
    return np.asarray(posterior.graphs[0]), info


@functools.cache
def classes_of_graphs():
    """The essential graph of each of ``graphs``, as one number."""
    essential = jax.jit(jax.vmap(dag_to_cpdag))(jnp.asarray(graphs()))
    return np.asarray(essential).reshape(-1, 16) @ 2 ** np.arange(16)


FAMILIES = [
    (j, parents)
    for j in range(4)
    for count in range(4)
    for parents in itertools.combinations([k for k in range(4) if k != j], count)
]


@functools.partial(jax.jit, static_argnums=1)
def toggled_scores(problem, score):
    """Of each of ``FAMILIES``, ``[32, 4]``."""
    classes = read_classes(problem)
    nodes = jnp.array([j for j, _ in FAMILIES])
    given = jnp.array([np.isin(np.arange(4), parents) for _, parents in FAMILIES])
    if score == "degenerate_gaussian":
        blocks = degenerate_gaussian.blocks(problem, classes, 3, interventional=True)

        def gaussian(j, parents):
            return degenerate_gaussian.toggled_scores(blocks, j, parents, 1.0)[0]

        return jax.lax.map(lambda family: gaussian(*family), (nodes, given))
    table = discrete.class_table(problem, classes, 3, interventional=True)

    def local(counts, levels, configurations):
        if score == "bdeu":
            return discrete.bdeu(counts, levels, configurations, jnp.asarray(10.0))
        return discrete.log_likelihood(counts)

    def multinomial(j, parents):
        scores, configurations = discrete.toggled_scores(table, j, parents, local)
        price = jnp.log(table.rows[j]) / 2 * (table.levels[j] - 1)
        return scores - (price * configurations if score == "bic" else 0)

    return jax.lax.map(lambda family: multinomial(*family), (nodes, given))


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_local_scores_are_those_of_the_definition(score):
    mixed = None if score == "degenerate_gaussian" else Kind.CATEGORICAL
    with jax.enable_x64(True):
        problem = tables(1, kind=mixed, interventions=True)
        found = np.asarray(toggled_scores(problem, score))
    wanted = {
        (j, parents): numpy_local(problem, j, parents, score) for j, parents in FAMILIES
    }
    for (j, parents), row in zip(FAMILIES, found, strict=True):
        expected = [
            wanted[j, tuple(sorted(set(parents) ^ ({u} - {j})))] for u in range(4)
        ]
        tolerance = 2e-3 if score == "degenerate_gaussian" else 1e-9  # its ridge
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_the_best_of_all_graphs_is_found(score):
    for seed, interventions in ((0, False), (1, False), (1, True)):
        problem = tables(
            seed,
            kind=None if score == "degenerate_gaussian" else Kind.CATEGORICAL,
            interventions=interventions,
        )
        worth = totals(
            {family: numpy_local(problem, *family, score) for family in FAMILIES}
        )
        found, _ = fit(problem, dataclasses.replace(CONFIG, score=score))
        place = np.flatnonzero((graphs() == found).all(axis=(1, 2)))[0]
        assert worth[place] > worth.max() - 2e-3
        if interventions:
            assert found[2, 3]
        else:
            assert classes_of_graphs()[place] == classes_of_graphs()[worth.argmax()]


def test_a_prior_joins_the_score():
    """The best graph is that of the score and the log-odds; .5 changes nothing."""
    problem = tables(1, kind=None)
    worth = totals(
        {
            family: numpy_local(problem, *family, "degenerate_gaussian")
            for family in FAMILIES
        }
    )
    without, moved = graphs()[worth.argmax()], 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        prior = rng.choice([0, 0.01, 0.2, 0.5, 0.8, 0.99, 1], (4, 4))
        odds = np.minimum(prior, 1 - np.finfo(float).epsneg)
        odds = np.log(np.maximum(odds, 1e-300)) - np.log1p(-odds)
        total = worth + np.where(graphs(), odds[None], 0).sum(axis=(1, 2))
        found, info = fit(problem, dataclasses.replace(CONFIG, prior=prior), seed)
        place = np.flatnonzero((graphs() == found).all(axis=(1, 2)))[0]
        assert total[place] > total.max() - 2e-3
        assert info.loss == pytest.approx(-total[place] / problem.weight.sum(), 1e-2)
        moved += (found != without).any()
    assert moved > 1
    unsure = dataclasses.replace(CONFIG, prior=np.full((4, 4), 0.5))
    assert (fit(problem, unsure)[0] == fit(problem, CONFIG)[0]).all()


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_members_of_a_class_tie(score):
    mixed = None if score == "degenerate_gaussian" else Kind.CATEGORICAL
    with jax.enable_x64(True):
        found = np.asarray(toggled_scores(tables(0, kind=mixed), score))
    local = {
        family: row[family[0]] for family, row in zip(FAMILIES, found, strict=True)
    }
    worth = totals(local)
    classes, place = np.unique(classes_of_graphs(), return_inverse=True)
    assert len(classes) == 185  # of four variables
    for k in range(len(classes)):
        values = worth[place == k]
        np.testing.assert_allclose(values, values[0], rtol=1e-8)


@pytest.mark.parametrize("score", mixed_order.SCORES)
def test_other_names_of_classes_change_nothing(score):
    problem = tables(3)
    names = np.array([5.0, -1.0, 2.0])
    renamed = problem._replace(x=jnp.asarray(names[np.asarray(problem.x, int)]))
    config = dataclasses.replace(CONFIG, score=score)
    assert (fit(problem, config)[0] == fit(renamed, config)[0]).all()


def test_knowledge_is_obeyed():
    problem = tables(0)
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


@pytest.mark.slow
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


def frame_of_classes(seed):
    return pd.DataFrame(draw_classes(seed).astype(int), columns=list("abcd"))


def test_estimator_reads_classes():
    table = frame_of_classes(0).astype(str).astype("category")
    model = MixedDAG(num_steps=5, n_bootstrap=5, progress=False).fit(table)
    assert model.info_["score"] == "degenerate_gaussian"
    assert model.info_["pooled_classes"] == {}
    assert model.cpdag_.to_numpy().tolist() == [
        [0, 0, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ]
    assert 0.5 < model.edge_probabilities_.loc["b", "c"] <= 1
    assert any("degenerate" in note for note in model._notes())


def random_mixture(seed, num_rows=600):
    """Classes a -> k, and numbers x and y: a -> x <- c, x -> y."""
    rng = np.random.default_rng(seed)
    a, c = rng.integers(0, 4, num_rows), rng.integers(0, 3, num_rows)
    chances = rng.dirichlet(np.full(4, 0.5), 4)
    k = (rng.random((num_rows, 1)) > chances.cumsum(axis=1)[a][:, :3]).sum(axis=1)
    x = rng.normal(size=4)[a] + rng.normal(size=3)[c] + rng.normal(size=num_rows) / 2
    y = x + rng.normal(size=num_rows)
    classes = pd.DataFrame({"a": a, "c": c, "k": k}).astype("category")
    return classes.assign(x=x, y=y)


@pytest.mark.filterwarnings("ignore:.*hold classes without an order:UserWarning")
def test_classes_are_worth_reading_as_classes():
    """F1 of the skeleton, beside the linear search on codes, in the mean."""
    truth = np.zeros((5, 5), bool)
    truth[[0, 0, 1, 3], [3, 2, 3, 4]] = True  # of a, c, k, x, y
    truth |= truth.T
    scores = {MixedDAG(num_steps=5): [], LinearDAG(noise="gaussian", num_steps=5): []}
    for seed in range(4):
        for model, found in scores.items():
            graph = model.fit(random_mixture(seed)).adjacency_.to_numpy() > 0
            graph |= graph.T
            found.append(2 * (graph & truth).sum() / (graph.sum() + truth.sum()))
    mixed, linear = (np.mean(found) for found in scores.values())
    assert mixed > 0.9
    assert mixed > linear + 0.15


def test_estimator_refuses_numbers_where_classes_are_asked_for():
    table = frame_of_classes(0).astype({name: "category" for name in "abc"})
    table["d"] += np.random.default_rng(0).normal(size=NUM_ROWS)
    with pytest.raises(ValueError, match="hold numbers"):
        MixedDAG(score="bdeu").fit(table)
    with pytest.raises(ValueError, match="equivalent_sample_size has no meaning"):
        MixedDAG(score="bic", equivalent_sample_size=3.0).fit(table)
    with pytest.raises(ValueError, match="score must be one of"):
        MixedDAG(score="likelihood").fit(table)
