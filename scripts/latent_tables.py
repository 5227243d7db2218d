"""Tables whose rows come from unlabelled regimes, for `bench_latent.py`.

A `Cell` is one kind of data; `draw` makes a table of it, with the answers and with
what the true model itself would say: its guess of every row's regime, the ceiling of
all guesses, and its log-likelihood of fresh rows of the same system. Rows are shuffled,
since simulated ones come in blocks of a regime, and columns standardised over all
rows. Systems of DCDI's cells, not rows, are those of `bench_tables.py`.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.special
from bench_tables import SEED

from causaljax import simulate
from causaljax.simulate import MECHANISMS
from causaljax.tables import datasets

FRESH = 6  # every sixth row is kept from the fit
LABELLED = 0.1  # of the rows, where some labels are known
STRENGTHS = 0.5, 1.0, 2.0, 4.0  # of shifts, in standard deviations
_BLOCKS = 10  # regimes' worth of rows that BaCaDI's tables have left alone


class Want(NamedTuple):
    """What hidden labels should reach, None or False where nothing is asked."""

    gap: float | None = None  # of the median SHD, above that of known labels
    ari: float | None = None  # share of the ceiling
    targets: float | None = None  # F1 after matching
    start: bool = False  # no table's SHD above the amortized network's
    pooled: bool = False  # median SHD not above that without regimes


class Cell(NamedTuple):
    """One kind of table; hashable, so that one program draws all its tables."""

    name: str
    # Whose generator, or what is done to a system of standardised columns.
    source: str = "dcdi"  # "faria", "bacadi", "sachs", "shift", "set", "scale", "none"
    mechanism: str = "linear"
    size: int = 10
    degree: int = 1  # edges a variable
    rows: int = 10_000
    multi_target: bool = False
    strength: float = 0.0  # of "shift" and "set" in sds, of "scale" a factor
    intervention: str = "perfect"  # what the estimator is told they are
    want: Want = Want()

    @property
    def model(self) -> str:
        """The mechanism that the estimator is told to fit."""
        fitted = {"linear": "linear", "nonadditive_network": "flow"}
        return fitted.get(self.mechanism, "network")


class Drawn(NamedTuple):
    """A table and the truth about it; n rows, d columns, r regimes."""

    cell: Cell
    table: pd.DataFrame  # [n, d]
    fresh: pd.DataFrame  # more rows, in the same units
    graph: np.ndarray  # [d, d] bool
    regime: np.ndarray  # [n] int, 0 was left alone
    targets: np.ndarray  # [r, d] bool
    told: np.ndarray  # [n] bool, whose label is known where some are
    guess: np.ndarray | None  # [n], the most likely regimes by the true model
    bits: float  # the true model's, a fresh row


def draw(cell: Cell, number: int) -> Drawn:
    """Table `number` of a cell."""
    rng = np.random.default_rng([SEED, number])
    if cell.source == "sachs":
        return _sachs(cell, rng)
    # As bench_tables splits it.
    key = jax.random.split(jax.random.fold_in(jax.random.key(SEED), number))[1]
    made = _make(cell._replace(name="", want=Want()), key)
    x, regime, targets, graph, log_likelihood = map(np.asarray, made)
    x, log_likelihood = x.astype(float), log_likelihood.astype(float)
    order = rng.permutation(len(x))
    rows, fresh = order[order % FRESH != FRESH - 1], order[order % FRESH == FRESH - 1]
    mean, sd = x[rows].mean(axis=0), x[rows].std(axis=0)
    names = [f"x{j}" for j in range(cell.size)]
    share = np.bincount(regime[rows], minlength=len(targets)) / len(rows)
    joint = log_likelihood + np.log(share)
    nats = scipy.special.logsumexp(joint[fresh], axis=1).mean() + np.log(sd).sum()
    return Drawn(
        cell=cell,
        table=pd.DataFrame((x[rows] - mean) / sd, columns=names),
        fresh=pd.DataFrame((x[fresh] - mean) / sd, columns=names),
        graph=graph,
        regime=regime[rows],
        targets=targets,
        told=rng.random(len(rows)) < LABELLED,
        guess=joint[rows].argmax(axis=1),
        bits=float("nan") if cell.source == "none" else float(nats) / math.log(2),
    )


def _sachs(cell, rng):
    """All rows, on a log scale; there are no fresh ones and no true model."""
    data = datasets.load_sachs()
    table = data.data.transform("log")
    table = (table - table.mean()) / table.std(ddof=0)
    regime, conditions = pd.factorize(data.condition, sort=True)
    names = table.columns.to_numpy()
    acted_on = pd.Series(data.interventions).groupby(data.condition.to_numpy()).first()
    return Drawn(
        cell=cell,
        table=table,
        fresh=table,
        graph=data.truth.to_numpy() > 0,
        regime=regime,
        targets=np.stack([names == acted_on[label] for label in conditions]),
        told=rng.random(len(table)) < LABELLED,
        guess=None,
        bits=float("nan"),
    )


@functools.partial(jax.jit, static_argnums=0)
def _make(cell, key):
    """Rows in blocks, their regimes, targets, graph and log-likelihoods."""
    rows = cell.rows * FRESH // (FRESH - 1)
    published = {
        "mechanism": cell.mechanism,
        "num_variables": cell.size,
        "edges_per_variable": cell.degree,
        "num_rows": rows,
    }
    if cell.source == "faria":
        problem, truth = simulate.faria_table(
            key, multi_target=cell.multi_target, **published
        )
    elif cell.source == "dcdi":
        each = 1 if cell.size <= 10 else (1, 2)  # as in bench_tables
        problem, truth = simulate.dcdi_table(key, targets_per_regime=each, **published)
    elif cell.source == "bacadi":
        return _bacadi(cell, key, rows)
    else:
        return _standard(cell, key, rows)
    log_likelihood = simulate.regime_log_likelihood(problem, truth)
    return problem.x, problem.regime, truth.targets, truth.graph, log_likelihood


def _bacadi(cell, key, rows):
    """Few rows, a third of them left alone; every variable set once, around 5."""
    graph_key, weight_key, key = jax.random.split(key, 3)
    graph = simulate.erdos_renyi(graph_key, cell.size, cell.degree)
    nothing = jnp.zeros((_BLOCKS, cell.size), bool)
    targets = jnp.concatenate([nothing, jnp.eye(cell.size, dtype=bool)])
    done = simulate.perfect_intervention(targets, 5.0, 0.5)
    weights = simulate.linear_weights(weight_key, graph, 0.5, 2.0)
    problem, truth = simulate.simulate_linear(
        key, graph, rows, noise_scale=0.5, weights=weights, intervention=done
    )
    log_likelihood = simulate.linear_regime_log_likelihood(problem, truth, done)
    last = _BLOCKS - 1
    regime = jnp.maximum(problem.regime - last, 0)
    return problem.x, regime, targets[last:], graph, log_likelihood[:, last:]


def _standard(cell, key, rows):
    """Internally standardised columns; every variable is acted on in one regime."""
    graph_key, target_key, sign_key, key = jax.random.split(key, 4)
    graph = simulate.erdos_renyi(graph_key, cell.size, cell.degree)
    num_regimes = 1 if cell.source == "none" else cell.size + 1
    targets = simulate.draw_targets(target_key, cell.size, num_regimes, 1)
    shift = cell.strength * jax.random.rademacher(sign_key, targets.shape, float)
    if cell.source == "set":
        done = simulate.perfect_intervention(targets, shift, 1.0)
    elif cell.source == "scale":
        done = simulate.scale_intervention(targets, cell.strength)
    else:
        done = simulate.shift_intervention(targets, shift)
    options = {"scaling": "internal", "intervention": done}
    if cell.mechanism == "linear":
        problem, truth = simulate.simulate_linear(key, graph, rows, **options)
        log_likelihood = simulate.linear_regime_log_likelihood(problem, truth, done)
    else:
        problem, _ = simulate.simulate(
            key, graph, rows, mechanism=cell.mechanism, **options
        )
        log_likelihood = additive_log_likelihood(key, problem, graph, done, cell)
    return problem.x, problem.regime, targets, graph, log_likelihood


def additive_log_likelihood(key, problem, graph, done, cell):
    """Log density of each row in each regime, for `simulate` with additive noise.

    The mechanisms are drawn again from the key that the table came from. What columns
    were divided by is not told: it, and the noise that is left, are regressed on the
    rows in which a column was left alone.

    Args:
      key: that of `simulate`, internally standardised.
      problem: the table as generated.
      graph: `[d, d]` bool.
      done: the intervention.
      cell: says the mechanism.

    Returns:
      `[n, r]`, nats.
    """
    family = MECHANISMS[cell.mechanism]
    same_key = jax.random.split(jax.random.clone(key), 3)[0]
    params = family.draw(same_key, graph, problem.x.dtype)
    # Not from problem.regime, as shapes depend on it: regimes have equal sizes.
    num_baseline = -(-len(problem.x) // len(done.targets))
    total = jnp.zeros((len(problem.x), len(done.targets)))
    for j in range(cell.size):
        own = jax.tree.map(lambda leaf, j=j: leaf[j], params)
        parents = jnp.where(graph[None, :, j], problem.x, 0)
        silence = jnp.zeros(len(problem.x))
        signal = family.apply(own, parents, graph[:, j].any(), silence, num_baseline)
        untouched = (~problem.intervened[:, j]).astype(float)
        mean, sd = _regress(problem.x[:, j], signal, untouched)
        cut, scale = done.cut[None, :, j], done.scale[None, :, j]
        centre = jnp.where(cut, 0, mean[:, None]) + done.shift[None, :, j]
        width = jnp.where(cut, scale, sd * scale)
        total += jax.scipy.stats.norm.logpdf(problem.x[:, j, None], centre, width)
    return total


def _regress(column, signal, weight):
    """A column's mean given its signal, in every row, and the sd around it."""

    def average(values):
        return jnp.average(values, weights=weight)

    spread = signal - average(signal)
    variance = average(spread**2)
    slope = average(spread * column) / jnp.where(variance > 0, variance, 1)
    mean = average(column) + slope * spread
    return mean, jnp.sqrt(average((column - mean) ** 2))


def faria(size: int) -> list[Cell]:
    """Faria, Martins and Figueiredo's generator, perfect interventions."""
    want = Want(gap={10: 0, 20: 1}.get(size), ari=0.95, targets=0.9)
    return [
        Cell(
            f"{mechanism} d{size} {'multi' if multi else 'single'}",
            source="faria",
            mechanism=mechanism,
            size=size,
            multi_target=multi,
            want=want,
        )
        for mechanism in ("linear", "network")
        for multi in (False, True)
    ]


_DCDI_NAMES = {"network": "additive", "nonadditive_network": "non-additive"}


def dcdi(size: int) -> list[Cell]:
    """DCDI's generator, perfect interventions, one or four edges a variable."""
    return [
        Cell(
            f"{_DCDI_NAMES.get(mechanism, mechanism)} d{size} e{degree}",
            mechanism=mechanism,
            size=size,
            degree=degree,
            want=Want(gap={1: 1, 4: 4}[degree], ari=0.7, start=True),
        )
        for mechanism in ("linear", "network", "nonadditive_network")
        for degree in (1, 4)
    ]


def weak(size: int = 10) -> list[Cell]:
    """Internally standardised systems under interventions from weak to strong."""
    want = Want(pooled=True)
    cells = []
    for mechanism in ("linear", "network"):
        cell = Cell("", mechanism=mechanism, size=size, want=want)
        for source, intervention in (("shift", "imperfect"), ("set", "perfect")):
            cells += [
                cell._replace(
                    name=f"{mechanism} d{size} {source} {strength:g}",
                    source=source,
                    strength=strength,
                    intervention=intervention,
                )
                for strength in STRENGTHS
            ]
        cells.append(
            cell._replace(
                name=f"{mechanism} d{size} scale 3",
                source="scale",
                strength=3.0,
                intervention="imperfect",
            )
        )
    return cells


def bacadi(size: int = 20) -> Cell:
    """BaCaDI's setting: 100 rows left alone, d environments of 10 rows.

    As in its public code, weights have magnitudes .5 to 2; noise, as it is drawn and
    in cells that are set, has standard deviation .5.
    """
    rows = 10 * (_BLOCKS + size)
    return Cell(f"bacadi d{size} e2", source="bacadi", size=size, degree=2, rows=rows)


def alone(size: int = 10) -> list[Cell]:
    """Nothing done to anything; the last has no edges either."""
    cell = Cell("", source="none", size=size)
    return [
        cell._replace(name="linear, left alone"),
        cell._replace(name="network, left alone", mechanism="network"),
        cell._replace(name="noise", mechanism="network", degree=0),
    ]


def sachs() -> list[Cell]:
    """The protein data, taken for imperfect and for perfect interventions."""
    return [
        Cell(f"Sachs {kind}", "sachs", "network", 11, intervention=kind)
        for kind in ("imperfect", "perfect")
    ]
