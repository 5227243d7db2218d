"""The laws of kernels, for each of them. A new kernel is a new row of REGISTRY."""

import dataclasses
import functools
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from conftest import kernel_modules, stand_in
from jax.sharding import AxisType, PartitionSpec

from causaljax.core import run
from causaljax.core.linalg import matmul
from causaljax.core.options import option
from causaljax.core.types import Kernel, Kind, Posterior, Problem, make_problem
from causaljax.graphs.dags import is_acyclic
from causaljax.kernels import (
    amortized,
    continuous,
    dibs,
    gflownet,
    latent_interventions,
    mixed_order,
    neural,
    order_search,
)
from causaljax.kernels.latent_interventions import mixture
from causaljax.kernels.neural import equations, pruning
from causaljax.kernels.posterior import exact, partition_mcmc
from causaljax.networks import network, out_of_distribution

NUM_ROWS = 40
NUM_KEPT = 32  # of them, where the rest is padding
NUM_STEPS = 60
NUM_FITS = 4  # in a batch, over two devices


def linear_problem(seed, dtype=np.float32):
    """A linear table, [40, 4]: 2 -> 0 -> 3 -> 1 <- 2; the last rows set 3."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NUM_ROWS, 4)) * [1.0, 0.5, 1.0, 0.7]
    intervened = np.zeros((NUM_ROWS, 4), bool)
    intervened[-10:, 3] = True
    x[:, 0] += 1.5 * x[:, 2]
    x[:, 3] += np.where(intervened[:, 3], 0, -1.2 * x[:, 0])
    x[:, 1] += 1.1 * x[:, 2] + 0.9 * x[:, 3]
    return make_problem(
        x.astype(dtype),
        intervened=intervened,
        regime=intervened[:, 3],
        weight=rng.uniform(0.5, 1.5, NUM_ROWS),
    )


class Row(NamedTuple):
    """A kernel, its settings, and what the laws must know of it.

    Every row gives ``kernel``, ``config``, ``problem``, ``parameters`` and ``sweep``.
    ``parameters`` takes floats out of a state: any that depend on the table and on each
    leaf in ``sweep``, which names at least one. The other fields are for methods that
    differ from a descent: a single pass has ``short=1`` and ``moves=False``, a search
    ``smooth=False``.
    """

    kernel: Kernel
    config: object  # of NUM_STEPS steps
    problem: Callable[..., Problem]  # (seed, dtype) -> a table with a clear answer
    parameters: Callable = attrgetter("weights")  # what of a state is smooth in x
    sweep: tuple[str, ...] = ()  # config leaves the parameters feel
    short: int = 20  # steps taken one by one; few if each compiles loops of its own
    compiled: int = 0  # of them, first, even where the others are not
    smooth: bool = True  # a search has no gradients, and is soon at its end
    smooth_steps: int = 20  # taken for gradients; beliefs may decide what is drawn next
    moves: bool = True  # later steps change the state
    samples: bool = False  # the graphs are drawn at random
    answer: Callable = lambda posterior: posterior  # what of it padding must not change
    fewer: Callable = functools.partial(dataclasses.replace, num_steps=1)  # steps


# Edges to begin with: those of `linear_problem`.
STARTED = np.zeros((4, 4), np.float32)
STARTED[[2, 0, 3, 2], [0, 3, 1, 1]] = 0.9, 0.8, 0.7, 0.6

REGISTRY = {
    f"dagma-{noise}-{acyclicity}": Row(
        kernel=continuous.KERNEL,
        config=continuous.Config(
            noise=noise,
            acyclicity=acyclicity,
            num_steps=NUM_STEPS,
            learning_rate=0.1,
            l1=0.05,
        ),
        problem=linear_problem,
        sweep=("l1", "learning_rate"),
    )
    for noise, acyclicity in (
        ("equal_variance", "logdet"),
        ("gaussian", "expm"),
        ("gaussian", "spectral"),
    )
}
REGISTRY |= {
    f"order-{noise}": Row(
        # Laws of arithmetic in the dtype of the problem, whatever `run` does with it.
        kernel=order_search.KERNEL._replace(precision="single"),
        config=order_search.Config(noise=noise, num_steps=NUM_STEPS, perturb=2),
        problem=linear_problem,
        parameters=attrgetter("score"),
        sweep=("bic_weight",),
        short=2,
        smooth=False,
    )
    for noise in ("gaussian", "auto")  # which goes on to non-Gaussian noise
}


def class_problem(seed, dtype=np.float32):
    """``linear_problem``, each column above or below its median."""
    problem = linear_problem(seed, dtype)
    high = problem.x > jnp.median(problem.x, axis=0)[None]
    return problem._replace(
        x=high.astype(problem.x.dtype),
        kind=jnp.full_like(problem.kind, Kind.CATEGORICAL),
    )


REGISTRY |= {
    f"mixed-{score}": Row(
        # Laws of arithmetic in the dtype of the problem, as of the order search.
        kernel=mixed_order.KERNEL._replace(precision="single"),
        config=mixed_order.Config(
            score=score, most_classes=2, num_steps=NUM_STEPS, perturb=2
        ),
        problem=class_problem if score == "bdeu" else linear_problem,
        parameters=attrgetter("local"),
        sweep=sweep,
        short=2,
        smooth=False,
    )
    for score, sweep in (
        ("bdeu", ("equivalent_sample_size",)),
        ("degenerate_gaussian", ("bic_weight",)),
    )
}


def random_network():
    """Weights in float64, which float32 mode takes for float32."""
    config = stand_in.NetworkConfig()
    params = stand_in.init_params(jax.random.key(7), config)
    rng = np.random.default_rng(0)
    statistics = 2 * stand_in.NUM_STATISTICS
    summaries = rng.normal(size=(50, statistics))
    reference = out_of_distribution.fit_reference({4: summaries})
    double = functools.partial(np.asarray, dtype=np.float64)
    return {
        "params": jax.tree.map(double, params),
        "reference": jax.tree.map(double, reference),
        "temperature": np.array([0.1, 0.2, -0.1]),
        "confounder_temperature": np.array([0.2, -0.1, 0.1]),
        "network": network.Network(stand_in.inputs, stand_in.edge_logits, config),
    }


REGISTRY |= {
    f"amortized-{num_graphs}": Row(
        kernel=amortized.KERNEL,
        config=amortized.Config(
            num_steps=NUM_STEPS,
            num_graphs=num_graphs,
            threshold=0.3,
            **random_network(),
        ),
        problem=linear_problem,
        parameters=attrgetter("edge"),
        sweep=("temperature",),
        short=1,
        moves=False,
        samples=num_graphs > 0,
    )
    for num_graphs in (0, 3)
}

# Few iterations: each takes its step or does not, so that rounding grows along a fit,
# and an edge at the bar may then stay in one program and go in another.
PRUNING = pruning.Config(
    num_steps=NUM_STEPS, hidden=2, num_iterations=3, min_effect=0.8
)
# Its first steps are those of ``pruning``.
REGISTRY["neural"] = Row(
    kernel=neural.KERNEL,
    config=neural.Config(
        prior=STARTED,
        pruning=dataclasses.replace(PRUNING, num_steps=3),
        equations=equations.Config(
            hidden=4,
            layers=1,
            num_steps=NUM_STEPS - 3,
            num_updates=2 * NUM_STEPS,
            batch_size=16,
            intervention="imperfect",
            num_regimes=2,
        ),
    ),
    problem=linear_problem,
    parameters=lambda state: state.equations.networks.weights[-1],
    sweep=("prior",),
    fewer=functools.partial(dataclasses.replace, pruning=PRUNING),
    short=5,
    smooth=False,
)


def targets_and_scale(state):
    return jnp.concatenate([state.targets.ravel(), state.mechanisms.scale])


def found_by_a_search(state):
    found = state.current
    return jnp.concatenate([state.prior, found.regimes["targets"]]) + found.loss


def without_padding(posterior):
    """With the regimes of rows that ``test_padding_changes_nothing`` keeps."""
    responsibilities = posterior.extra["responsibilities"][:NUM_KEPT]
    return posterior._replace(
        extra=posterior.extra | {"responsibilities": responsibilities}
    )


MIXTURE = {
    "max_regimes": 3,
    "num_iterations": 2,
    "num_updates": 3,
    "target_prior": 0.3,
}
REGISTRY |= {
    # The regimes of a graph, which all of a search is made of.
    "mixture-flow": Row(
        kernel=mixture.KERNEL,
        config=mixture.Config(
            **MIXTURE,
            mechanism="flow",
            start=STARTED,
            num_steps=NUM_STEPS,
            cell_share=0.1,
            held_share=0.1,
        ),
        problem=linear_problem,
        parameters=targets_and_scale,
        answer=without_padding,
        sweep=("target_prior",),
        short=7,  # the first with regimes is the last of them
        compiled=6,
        smooth=False,
    ),
    "latent-linear": Row(
        # Laws of arithmetic in the dtype of the problem, as of the order search.
        kernel=latent_interventions.LINEAR_KERNEL._replace(precision="single"),
        config=latent_interventions.Config(
            prior=STARTED,
            mixture=mixture.Config(**MIXTURE, mechanism="linear", num_steps=10),
            num_doubtful=NUM_STEPS - 1,
        ),
        problem=linear_problem,
        parameters=found_by_a_search,
        answer=without_padding,
        sweep=("prior",),
        fewer=functools.partial(dataclasses.replace, num_doubtful=0),
        short=2,
        smooth=False,
    ),
    "latent-network": Row(
        kernel=latent_interventions.KERNEL._replace(precision="single"),
        config=latent_interventions.Config(
            prior=STARTED,
            pruning=dataclasses.replace(PRUNING, num_steps=3),
            careful=dataclasses.replace(PRUNING, num_steps=4),
            mixture=mixture.Config(**MIXTURE, num_steps=10),
            num_alternations=(NUM_STEPS - 7) // 2,
            num_splits=1,
        ),
        problem=linear_problem,
        parameters=found_by_a_search,
        answer=without_padding,
        sweep=("prior",),
        fewer=functools.partial(dataclasses.replace, num_alternations=0),
        short=4,
        smooth=False,
    ),
}
REGISTRY |= {
    f"posterior-{name}": Row(
        # Laws of arithmetic in the dtype of the problem, as of the order search.
        kernel=module.KERNEL._replace(precision="single"),
        config=module.Config(num_steps=NUM_STEPS, num_graphs=8),
        problem=linear_problem,
        parameters=attrgetter("log_weights"),
        sweep=("edge_odds",),
        short=2,
        smooth=False,
        moves=moves,
        samples=True,
    )
    for name, module, moves in (
        ("exact", exact, False),
        ("mcmc", partition_mcmc, True),
    )
}
REGISTRY |= {
    f"dibs-{name}": Row(
        kernel=dibs.KERNEL,
        config=dibs.Config(
            likelihood=likelihood,
            num_steps=NUM_STEPS,
            num_particles=3,
            num_graphs=8,
            num_soft_graphs=4,
            learning_rate=0.02,
            weighting=weighting,
        ),
        problem=linear_problem,
        parameters=attrgetter("latent"),
        sweep=("beta", "learning_rate"),
        samples=True,
        short=5,
        smooth_steps=5,
    )
    for name, likelihood, weighting in (
        ("marginal", "bge", "mixture"),
        ("joint", "linear", "empirical"),
    )
}
REGISTRY["gflownet"] = Row(
    kernel=gflownet.KERNEL,
    config=gflownet.Config(
        learning_rate=0.03,
        hidden=8,
        num_environments=16,
        batch_size=16,
        buffer_size=256,
        num_graphs=200,
        num_steps=NUM_STEPS,
    ),
    problem=linear_problem,
    parameters=lambda state: state.policy[-1].weights,
    smooth_steps=2,  # later ones draw by what was learned
    sweep=("learning_rate",),
    short=2,
    samples=True,
)
SLOW = {"latent-network", "mixed-bdeu"}  # programs that take long to compile


# Batches of them do, too; other rows have the same laws in the fast tests.
SLOW_IN_BATCHES = {"order-auto", "latent-linear"}


def names(rows, slow=frozenset()):
    """Names of rows, for parameters of tests."""
    slow, mark = SLOW | slow, pytest.mark.slow
    return [pytest.param(name, marks=mark if name in slow else ()) for name in rows]


def with_setting(config, name, value):
    """A config with one leaf, or every entry of it, at a value."""
    shape = np.shape(getattr(config, name))
    return dataclasses.replace(config, **{name: value + jnp.zeros(shape)})


# One row a kernel, its last: laws of what is compiled, not of what is configured.
LAST = {row.kernel: name for name, row in REGISTRY.items()}.values()
ONE_EACH = names(LAST)
# On two virtual devices of a CPU its factorisations wait for each other (jaxlib 0.10).
SHARDED = names(
    (name for name in (*LAST, "order-gaussian") if name != "latent-network"),
    SLOW_IN_BATCHES | {"mixture-flow"},
)
SMOOTH = names(name for name, row in REGISTRY.items() if row.smooth)


@pytest.fixture(params=names(REGISTRY))
def row(request):
    return REGISTRY[request.param]


def fit(row, problem, config=None, seed=0, **options):
    key, config = jax.random.key(seed), row.config if config is None else config
    posterior, info = run.run(row.kernel, key, problem, config, **options)
    return jax.tree.map(np.asarray, (posterior, info))


def start(row, problem, config):
    # Through the program that run.run compiled.
    return run._init(row.kernel, jax.random.key(1), problem, config)


def advance(row, state, problem, config, num_steps):
    return run.advance(
        row.kernel, jax.random.key(2), state, problem, config, num_steps=num_steps
    )[0]


def short_fit(row, problem):
    """State, parameters and answer after a few steps."""
    state = start(row, problem, row.config)
    state = advance(row, state, problem, row.config, row.short)
    answer, _ = run._finalise(
        row.kernel, jax.random.key(3), state, problem, row.config, None
    )
    return state, row.parameters(state), answer


def eager_fit(row, problem):
    """The same, operation by operation."""
    state = row.kernel.init(jax.random.key(1), problem, row.config)
    state = advance(row, state, problem, row.config, row.compiled)
    for t in range(row.compiled, row.short):
        step_key = jax.random.fold_in(jax.random.key(2), t)
        state, _ = row.kernel.step(step_key, state, problem, row.config)
    answer = row.kernel.finalise(jax.random.key(3), state, problem, row.config)
    return state, row.parameters(state), answer


def traceable_fit(row):
    """All of a fit as one function of arrays."""

    def whole(key, problem, config):
        init_key, step_key, final_key = jax.random.split(key, 3)
        state = row.kernel.init(init_key, problem, config)
        state, info = run.advance(
            row.kernel, step_key, state, problem, config, num_steps=NUM_STEPS
        )
        posterior = row.kernel.finalise(final_key, state, problem, config)
        return posterior, jax.tree.map(lambda leaf: leaf[-1], info)

    return whole


def signature(tree):
    """The structure of a pytree, and the shape and dtype of each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]


def assert_same(actual, expected, tolerance=0.0):
    """Trees are equal; real numbers up to a tolerance."""
    assert signature(actual) == signature(expected)
    for one, other in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
        if not jnp.issubdtype(one.dtype, jnp.floating):
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def scaled_configs(row):
    """A batch of configs in which every leaf varies."""
    factors = np.linspace(0.8, 1.2, NUM_FITS, dtype=np.float32)
    return jax.tree.map(
        lambda leaf: np.multiply.outer(factors, np.float32(leaf)), row.config
    )


def take(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def test_every_kernel_has_a_row():
    # A row may change the precision, by which nothing but `run` goes.
    rows = {row.kernel[:3] for row in REGISTRY.values()}
    rows.add(pruning.KERNEL[:3])  # whose steps are the first of those of "neural"
    for module in kernel_modules():
        for name, kernel in vars(module).items():
            if isinstance(kernel, Kernel) and not name.startswith("_"):
                assert kernel[:3] in rows, (
                    f"{module.__name__}.{name} has no row in REGISTRY of "
                    "tests/test_contract.py: add a Row, or name here what it is part of"
                )


# Shapes and types


def undeclared(config):
    """Numbers of a config that are not declared by ``option``, by name."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from undeclared(value)
        elif isinstance(value, int | float) and "bounds" not in field.metadata:
            yield field.name


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Loose:
    inner: order_search.Config = order_search.Config()
    start: object = None
    rate: float = 0.1
    good: float = option(0.1)
    size: int = option(3)


def test_a_number_that_is_no_option_is_noticed():
    assert list(undeclared(Loose(start=STARTED))) == ["rate"]


@pytest.mark.parametrize(("mode", "dtype"), [(0, "f4"), (1, "f4"), (1, "f8")])
def test_shapes_and_dtypes_follow_the_inputs(row, mode, dtype):
    kernel, config = row.kernel, row.config
    with jax.enable_x64(bool(mode)):
        problem = row.problem(0, dtype)
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(kernel.init, key, problem, config)
        stepped, info = jax.eval_shape(kernel.step, key, state, problem, config)
        posterior = jax.eval_shape(kernel.finalise, key, state, problem, config)

    assert signature(stepped) == signature(state)
    assert hasattr(state, "_fields"), "State is a NamedTuple"
    assert (state.step.shape, state.step.dtype) == ((), jnp.int32), (
        "State.step counts steps, [] int32"
    )
    lacking = {"loss", "converged", "nonfinite"} - set(info._fields)
    assert not lacking, f"Info lacks {lacking}, which estimators and best_start read"
    assert {leaf.shape for leaf in info} == {()}, "Info holds scalars"
    assert list(undeclared(config)) == [], (
        "numbers of a Config are declared by causaljax.core.options.option, with a "
        "float (a leaf) or an int (static) as their default"
    )
    for leaf in jax.tree.leaves(config):
        assert not isinstance(leaf, int), "an int of a Config is static: see `option`"

    n, d = problem.x.shape
    assert isinstance(posterior, Posterior)
    samples = posterior.log_weight.shape[0]
    assert posterior.edge_prob.shape == (d, d)
    assert (posterior.graphs.shape, posterior.graphs.dtype) == ((samples, d, d), bool)
    for leaf in jax.tree.leaves((state, info, posterior)):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            assert leaf.dtype == dtype, (
                "floats have the dtype of problem.x: cast leaves of Config to it, "
                "jnp.asarray(config.rate, dtype)"
            )


def test_values_have_the_shapes_foretold(row):
    problem = row.problem(0)
    foretold = jax.eval_shape(
        traceable_fit(row), jax.random.key(0), problem, row.config
    )
    assert signature(fit(row, problem)) == signature(foretold)


def test_step_counts_itself(row):
    problem = row.problem(0)
    state = start(row, problem, row.config)
    assert state.step == 0
    assert advance(row, state, problem, row.config, 20).step == 20


def test_config_cannot_be_changed(row):
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.config.num_steps = 1


# Answers


def masked_problem(row):
    """One edge forbidden that the answer had, and one required that it had not."""
    problem = row.problem(0)
    graph = fit(row, problem)[0].graphs[0]
    forbidden = np.argwhere(graph)[0]
    joined = graph | graph.T | np.eye(len(graph), dtype=bool)
    free = np.argwhere(~joined)[0]
    allowed, required = np.array(problem.allowed), np.array(problem.required)
    allowed[tuple(forbidden)] = False
    required[tuple(free)] = True
    return problem._replace(allowed=jnp.array(allowed), required=jnp.array(required))


@pytest.mark.parametrize("masked", [False, True])
def test_posterior_is_valid(row, masked):
    problem = masked_problem(row) if masked else row.problem(0)
    posterior, info = fit(row, problem)
    assert not info.nonfinite
    assert posterior.graphs.any()
    assert (posterior.edge_prob >= 0).all()
    assert (posterior.edge_prob <= 1).all()
    assert np.exp(posterior.log_weight).sum() == pytest.approx(1, abs=1e-5)
    for graph in posterior.graphs:
        assert is_acyclic(graph)
        assert nx.is_directed_acyclic_graph(nx.DiGraph(list(np.argwhere(graph))))
    assert posterior.graphs[:, problem.required].all()
    assert (posterior.edge_prob[problem.required] == 1).all()
    assert not posterior.graphs[:, ~problem.allowed].any()
    assert not posterior.edge_prob[~problem.allowed].any()


def test_relabelled_variables_relabel_the_answer(row):
    problem = masked_problem(row)
    labels = np.array([3, 1, 0, 2])
    relabelled = problem._replace(
        x=problem.x[:, labels],
        observed=problem.observed[:, labels],
        intervened=problem.intervened[:, labels],
        allowed=problem.allowed[np.ix_(labels, labels)],
        required=problem.required[np.ix_(labels, labels)],
    )
    config = row.config
    for name in ("start", "prior"):
        if getattr(config, name, None) is not None:
            edges = getattr(config, name)[np.ix_(labels, labels)]
            config = dataclasses.replace(config, **{name: edges})
    expected, _ = fit(row, problem)
    actual, _ = fit(row, relabelled, config)
    assert not np.array_equal(actual.graphs, expected.graphs)
    probabilities = expected.edge_prob[np.ix_(labels, labels)]
    assert_same(actual.edge_prob, probabilities, 1e-3)
    if not row.samples:
        graphs = expected.graphs[:, labels][:, :, labels]
        assert_same(actual.graphs, graphs)


def test_padding_changes_nothing(row):
    problem = row.problem(0)
    full = NUM_KEPT
    rng = np.random.default_rng(1)
    garbage = 10.0 ** rng.uniform(0, 15, (8, 4)) * rng.choice([-1, 1], (8, 4))
    padded = problem._replace(
        x=problem.x.at[full:].set(garbage.astype(np.float32)),
        observed=problem.observed.at[full + 4 :].set(rng.random((4, 4)) < 0.8),
        intervened=problem.intervened.at[full:].set(rng.random((8, 4)) < 0.5),
        regime=problem.regime.at[full:].set(7),
        weight=problem.weight.at[full:].set(0),
    )
    rows = {name: getattr(problem, name)[:full] for name in problem._fields[:5]}
    _, params, answer = short_fit(row, padded)
    _, expected_params, expected = short_fit(row, problem._replace(**rows))
    answers = row.answer(answer), row.answer(expected)
    assert_same((params, answers[0]), (expected_params, answers[1]), 1e-3)
    heavy = padded._replace(weight=problem.weight)
    assert not np.allclose(short_fit(row, heavy)[1], params)


# One computation, whatever the way to run it


def test_same_key_same_answer(row):
    assert_same(fit(row, row.problem(0), seed=5), fit(row, row.problem(0), seed=5))


def test_resuming_changes_no_bit(row):
    problem, config = row.problem(0), row.config
    state = start(row, problem, config)
    at_once = advance(row, state, problem, config, NUM_STEPS)
    early = advance(row, state, problem, config, 20)
    late = early
    for _ in range(2):
        late = advance(row, late, problem, config, 20)
    assert_same(late, at_once)
    if row.smooth and row.moves:
        assert not np.array_equal(row.parameters(early), row.parameters(at_once))


def test_chunks_change_no_bit(row):
    problem, seen = row.problem(0), []
    chunked = fit(row, problem, num_chunks=3, on_chunk=lambda *c: seen.append(c[0]))
    assert_same(chunked, fit(row, problem))
    assert seen == [20, 40, row.config.num_steps]


class Draws(NamedTuple):
    step: jax.Array
    draws: jax.Array


def draw(key, state, problem, config):
    drawn = jax.random.uniform(key)
    draws = state.draws.at[state.step].set(drawn)
    return Draws(state.step + 1, draws), drawn


@pytest.mark.parametrize("num_chunks", [1, 2, 3, 5, 9])
def test_every_step_has_a_key_of_its_own(num_chunks):
    zero = jnp.zeros((), jnp.int32)
    kernel = Kernel(
        init=lambda key, problem, config: Draws(zero, jnp.zeros(config.num_steps)),
        step=draw,
        finalise=lambda key, state, problem, config: state.draws,
    )
    config, seen = dataclasses.replace(continuous.Config(), num_steps=5), []
    draws, last = run.run(
        kernel,
        jax.random.key(3),
        linear_problem(0),
        config,
        num_chunks=num_chunks,
        on_chunk=lambda done, _: seen.append(done),
    )
    step_key = jax.random.split(jax.random.key(3), 3)[1]
    keys = [jax.random.fold_in(step_key, t) for t in range(5)]
    np.testing.assert_array_equal(draws, [jax.random.uniform(key) for key in keys])
    assert len(set(draws.tolist())) == 5
    assert last == draws[-1]
    assert seen[-1] == 5
    assert len(seen) <= num_chunks


def test_jit_is_eager(row):
    problem = row.problem(0)
    assert_same(short_fit(row, problem), eager_fit(row, problem), 1e-3)


def test_one_trace_serves_every_real_setting(row):
    traces = []

    def counted(function):
        def wrapper(*arguments):
            traces.append(function.__name__)
            return function(*arguments)

        return wrapper

    kernel, problem = Kernel(*map(counted, row.kernel[:3])), row.problem(0)

    def trace(config):
        jax.eval_shape(lambda: run.run(kernel, jax.random.key(0), problem, config))
        return len(traces)

    once = trace(row.config)
    assert set(traces) == {"init", "step", "finalise"}
    for factor in (0.5, 2.0):
        scaled = jax.tree.map(lambda leaf, by=factor: leaf * by, row.config)
        assert trace(scaled) == once
    assert trace(row.fewer(row.config)) > once


@pytest.fixture
def batched():
    """Under vmap a key that both branches of a conditional have counts as reused."""
    with jax.debug_key_reuse(False):
        yield


@pytest.mark.usefixtures("batched")
@pytest.mark.parametrize(
    "row", names(REGISTRY, SLOW_IN_BATCHES | {"mixture-flow"}), indirect=True
)
def test_vmap_over_one_setting_is_a_loop(row):
    problem, name = row.problem(0), row.sweep[0]
    values = jnp.array([0.01, 0.1, 0.5])

    def parameters(begin, value):
        config = with_setting(row.config, name, value)
        state = begin(problem, config)
        return row.parameters(advance(row, state, problem, config, 20))

    init = functools.partial(row.kernel.init, jax.random.key(1))
    sweep = jax.jit(jax.vmap(functools.partial(parameters, init)))(values)
    loop = [parameters(functools.partial(start, row), float(v)) for v in values]
    assert_same(sweep, jnp.stack(loop), 1e-3)
    assert not np.allclose(loop[0], loop[2], atol=1e-2)


@pytest.mark.usefixtures("batched")
@pytest.mark.parametrize("row", names(REGISTRY, SLOW_IN_BATCHES), indirect=True)
def test_vmap_over_problems_is_a_loop(row):
    problems = [row.problem(seed) for seed in range(3)]
    config = row.config

    def parameters(problem):
        state = row.kernel.init(jax.random.key(1), problem, config)
        return row.parameters(advance(row, state, problem, config, 20))

    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    batch = jax.jit(jax.vmap(parameters))(together)
    loop = [
        row.parameters(advance(row, start(row, p, config), p, config, 20))
        for p in problems
    ]
    assert_same(batch, jnp.stack(loop), 1e-3)
    assert not np.allclose(loop[0], loop[2], atol=1e-2)


@pytest.mark.usefixtures("batched")
@pytest.mark.parametrize("row", SHARDED, indirect=True)
def test_a_batch_over_two_devices_is_a_loop(row):
    problems = [row.problem(seed) for seed in range(NUM_FITS)]
    problems = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    arguments = problems, scaled_configs(row)
    keys = jax.vmap(jax.random.key)(jnp.arange(NUM_FITS))

    def batched(check_vma):
        return jax.shard_map(
            jax.vmap(traceable_fit(row)),
            mesh=jax.make_mesh((2,), ("fit",), axis_types=(AxisType.Auto,)),
            in_specs=PartitionSpec("fit"),
            out_specs=PartitionSpec("fit"),
            check_vma=check_vma,
        )

    # Programs that factorise matrices at the same time can wait for each other.
    answers = jax.block_until_ready(jax.jit(batched(True))(keys, *arguments))
    assert len(answers[0].edge_prob.sharding.device_set) == 2
    unchecked = jax.eval_shape(batched(False), keys, *arguments)
    assert signature(unchecked) == signature(answers)
    losses = []
    for i in range(NUM_FITS):
        # Numbers stay numbers, for which a fit is compiled already.
        problem, config = jax.tree.map(
            lambda leaf: leaf.item() if isinstance(leaf, np.generic) else leaf,
            take(arguments, i),
        )
        alone = fit(row, problem, config, seed=i)
        assert_same(take(answers, i), alone, 5e-3)
        losses.append(alone[1].loss)
    assert losses[0] != losses[1]


# Gradients


def smooth_answer(row):
    """Sum of squared parameters after some steps, as a function of x and config."""
    num_steps = row.smooth_steps

    def answer(x, config, problem):
        problem = problem._replace(x=x)
        init_key, step_key = jax.random.split(jax.random.key(0))
        state = row.kernel.init(init_key, problem, config)
        state, _ = run.advance(
            row.kernel, step_key, state, problem, config, num_steps=num_steps
        )
        return sum(
            jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(row.parameters(state))
        )

    answer = jax.value_and_grad(answer, argnums=(0, 1))
    return jax.jit(answer)


@pytest.mark.parametrize("row", SMOOTH, indirect=True)
def test_gradients_are_finite_in_float32(row):
    problem = row.problem(0)
    _, gradients = smooth_answer(row)(problem.x, row.config, problem)
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all()
    assert (gradients[0] != 0).any()
    assert all((getattr(gradients[1], name) != 0).all() for name in row.sweep)


def test_a_whole_run_is_no_function_of_what_only_steers_its_descent():
    """As ``run`` says: the answer is estimated anew on the graph that was found."""
    row = REGISTRY["dagma-gaussian-expm"]
    problem = row.problem(0)

    def answer(l1):
        config = dataclasses.replace(row.config, l1=l1)
        posterior, _ = run.run(row.kernel, jax.random.key(0), problem, config)
        return jnp.abs(posterior.extra["weights"]).sum()

    assert answer(0.05) > 0
    assert jax.jit(jax.grad(answer))(0.05) == 0


@pytest.mark.parametrize("row", SMOOTH, indirect=True)
def test_gradients_are_those_of_finite_differences(row, x64):
    problem = row.problem(0, np.float64)
    answer = smooth_answer(row)
    _, (by_x, by_config) = answer(problem.x, row.config, problem)
    small = 1e-6
    for name in row.sweep:
        value = getattr(row.config, name)
        ends = [
            answer(
                problem.x, with_setting(row.config, name, value + sign * small), problem
            )[0]
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * small)
        np.testing.assert_allclose(getattr(by_config, name).sum(), slope, rtol=1e-4)

    direction = np.random.default_rng(0).normal(size=problem.x.shape)
    ends = [
        answer(problem.x + sign * small * direction, row.config, problem)[0]
        for sign in (1, -1)
    ]
    slope = (ends[0] - ends[1]) / (2 * small)
    np.testing.assert_allclose((by_x * direction).sum(), slope, rtol=1e-4)


# Export


def export_text(function, *arguments):
    """StableHLO of a function of a key and arrays, for three platforms."""

    def with_key(key_data, *arguments):
        return function(jax.random.wrap_key_data(key_data), *arguments)

    platforms = ["cpu", "cuda", "tpu"]
    export = jax.export.export(jax.jit(with_key), platforms=platforms)
    exported = export(jax.ShapeDtypeStruct((2,), jnp.uint32), *arguments)
    assert list(exported.platforms) == platforms
    return exported.mlir_module()


PRODUCTS = ("stablehlo.dot_general", "stablehlo.dot ", "stablehlo.convolution")


def products(text):
    return [line for line in text.splitlines() if any(op in line for op in PRODUCTS)]


def imprecise_products(text):
    """Products that an accelerator may compute in less than float32."""
    return [line for line in products(text) if line.count("HIGHEST") != 2]


@pytest.mark.parametrize("row", ONE_EACH, indirect=True)
def test_step_exports_with_every_product_at_highest_precision(row):
    kernel, problem, config = row.kernel, row.problem(0), row.config
    key = jax.random.key(0)
    state = jax.eval_shape(kernel.init, key, problem, config)
    texts = [
        export_text(kernel.init, problem, config),
        export_text(kernel.step, state, problem, config),
        export_text(kernel.finalise, state, problem, config),
    ]
    assert any(map(products, texts))
    for text in texts:
        assert imprecise_products(text) == []


@pytest.mark.parametrize(
    "function",
    [
        jnp.dot,
        jnp.convolve,
        functools.partial(jnp.dot, precision="high"),
        lambda a, b: matmul(a, b) + jnp.dot(a, b),
        lambda a, b: jax.lax.map(lambda c: jnp.dot(c, b), jnp.outer(a, b)),
    ],
)
def test_export_law_notices_an_imprecise_product(function):
    text = export_text(lambda key, *ab: function(*ab), jnp.ones(3), jnp.ones(3))
    assert imprecise_products(text)


def test_export_law_accepts_precise_products():
    def function(key, a, b):
        return jnp.convolve(a, b, precision="highest")[:3] + matmul(a, b)

    text = export_text(function, jnp.ones(3), jnp.ones(3))
    found = products(text)
    assert {op for op in PRODUCTS for line in found if op in line} == {
        "stablehlo.dot_general",
        "stablehlo.convolution",
    }
    assert imprecise_products(text) == []
