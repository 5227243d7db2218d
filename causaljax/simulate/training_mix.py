"""Endless tables of known graph for networks to learn from.

One table is one key: graph, mechanisms, noise, kinds of columns, hidden variables,
scales, interventions, gaps and what is revealed of the graph are all drawn afresh.
Held out, so that they can test a trained network: Watts-Strogatz graphs; Cauchy
noise; negative binomial counts; classes by noisy OR; the mechanism families "sigmoid",
"polynomial", "periodic" and "post_nonlinear" of ``MECHANISMS``; and every published
generator (``gene``, ``avici``, ``dcdi``, ``faria``). The other mechanisms are of the
same kind as those of ``MECHANISMS``, but their parameters have distributions of their
own.

Branches are real branches (``lax.switch``) as long as tables are drawn one by one, as
``lax.map`` does; under vmap every branch would be computed.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.linalg import matmul
from causaljax.core.types import Array, Kind, Problem
from causaljax.simulate.classes import class_logits, draw_classes, marks
from causaljax.simulate.columns import fill_columns
from causaljax.simulate.graphs import attach, largest
from causaljax.simulate.hidden import draw_hidden, project
from causaljax.simulate.interventions import (
    Intervention,
    draw_target_sets,
    draw_targets,
    on_targets,
)
from causaljax.simulate.knowledge import draw_knowledge
from causaljax.simulate.mechanisms import (
    fourier_features,
    hidden_units,
    linear_weights,
    signed_uniform,
)
from causaljax.simulate.noise import NOISE, mixture, student_t
from causaljax.simulate.realisations import (
    Realisation,
    continuous,
    draw_realisation,
    measure,
    realise,
    see,
    told_kind,
)

HIDDEN_SHARE = 0.31
"""Of the tables, how many are pooled from interventions that nobody recorded."""

VARIED_SHARE = 0.62
"""Of the tables, how many may hold classes and counts, and are varied besides."""

CONFOUNDED_SHARE = 1 / 3
"""Of the tables, how many have hidden variables."""

# How often each family is drawn.
_GRAPHS = {
    "uniform": 0.38, "blocks": 0.12, "geometric": 0.12, "popularity": 0.14,
    "attachment": 0.24,
}  # fmt: skip
_NOISE = {
    "gaussian": 0.42, "laplace": 0.13, "uniform": 0.11, "exponential": 0.13,
    "gumbel": 0.06, "student_t": 0.08, "mixture": 0.07,
}  # fmt: skip
_MECHANISMS = {
    "linear": 0.34, "network": 0.21, "gaussian_process": 0.23, "additive": 0.16,
    "nonadditive_network": 0.06,
}  # fmt: skip
_VARIED_MECHANISMS = ("product", "threshold", "curves")  # of some of the columns
_NUM_FEATURES = 48  # of a Gaussian process, and of a sum of functions of one parent
_NUM_HIDDEN = 16  # units of a network
_BLOCK_BONUS = 2.3  # log of the odds of an edge within a block to one between two


class Draw(NamedTuple):
    """A table and what made it."""

    problem: Problem  # ``allowed`` and ``required`` hold what was revealed
    graph: Array  # [d, d] bool, paths through hidden variables as edges
    confounded: Array  # [d, d] bool, symmetric: pairs with a hidden common cause
    known: Array  # [d, d] bool, symmetric: pairs revealed whole
    target: Array  # [d] bool, targets of interventions nobody recorded


def draw_table(
    key: Array, num_variables: int, num_rows: int, hidden: float = HIDDEN_SHARE
) -> Draw:
    """One table of the training mix.

    Graphs are uniform, scale-free in either direction, in blocks, geometric, or of
    uneven popularity, of .5 to 3 edges a variable; of 0 to .5 in a tenth of the
    tables, and in 1 / d of those of less than ten variables. Mechanisms are linear,
    networks (also with the noise inside), Gaussian processes or sums of functions of
    one parent each; noise Gaussian, Laplace, uniform, exponential, Gumbel, Student-t or
    in two lumps, sometimes of varying scale. In half of the tables each column is
    standardised before its children see it. A share ``hidden`` of the tables is
    pooled from regimes of unknown label, target and number: up to d of one target
    each, or up to 2 d of one to four. Of the others 55 % have no interventions and
    in 45 % they are known. Some rows are padding in 40 %, cells are missing in 15 %,
    columns rounded in 5 %; in half, part of the graph is revealed.

    So far 38 % of the tables, of numbers only. The others hold classes and counts as
    ``draw_realisation`` says, cut or counted from a value or drawn given the parents;
    they may also have products, thresholds and curves of parents, noise that is nearly
    none or grows with the signal, root causes on a grid of few values, noise that
    depends on the row before, and rows selected by the value of a column.

    In a third of the tables variables are hidden, mostly those with most children: one
    to d / 4 of them, or to 2 if d is 4 to 7, and in half of these tables the most.
    They are not targets of interventions.

    Args:
      key: consumed.
      num_variables: d, static, at least 2.
      num_rows: n, static; rows of weight 0 included.
      hidden: share of the tables whose interventions nobody recorded, in [0, 1].

    Returns:
      The draw, float32, finite. ``problem.kind`` is what a reader of the table is
      told, as ``told_kind`` has it.
    """
    d, n = num_variables, num_rows
    keys = iter(jax.random.split(key, 16))
    system = _system(next(keys), d)
    total = system.absent.size
    shown = jnp.nonzero(~(system.absent | system.hidden), size=d)[0]
    graph, confounded = jax.lax.cond(
        system.hidden.any(),
        lambda: project(system.graph, system.hidden),
        lambda: (system.graph, jnp.zeros_like(system.graph)),
    )
    graph, confounded = (m[shown][:, shown] for m in (graph, confounded))
    allowed, required, known = draw_knowledge(next(keys), graph)
    # Until here parents stand before children.
    order = jax.random.permutation(next(keys), d)
    shown = shown[order]
    graph, confounded, allowed, required, known = (
        matrix[order][:, order]
        for matrix in (graph, confounded, allowed, required, known)
    )
    done, regime, recorded = _interventions(next(keys), d, n, hidden)
    done = _to_rows(done, regime, shown, total)
    weight = _row_weights(next(keys), n)
    is_varied = jax.random.bernoulli(next(keys), VARIED_SHARE)
    variety = jax.lax.cond(
        is_varied,
        lambda key: _draw_variety(key, system.graph, n),
        lambda key: _no_variety(total),
        next(keys),
    )
    noise = _noise(next(keys), total, n, system.absent)
    noise = jax.lax.cond(
        is_varied,
        lambda key: _varied_noise(key, noise, variety),
        lambda key: noise,
        next(keys),
    )
    x = _columns(next(keys), system, noise, done, weight, variety)[:, shown]
    how = jax.tree.map(lambda leaf: leaf[shown], variety.realisation)
    x, weight, kind = jax.lax.cond(
        is_varied,
        lambda key: _as_shown(key, x, weight, how),
        lambda key: (x, weight, jnp.full(d, Kind.CONTINUOUS, jnp.int8)),
        next(keys),
    )
    x = _scaled(x, weight, is_varied)
    x = _rounded(next(keys), x, how.is_discrete)
    observed = _observed(next(keys), d, n)
    targets = done.targets[:, shown]
    problem = Problem(
        x=jnp.where(observed, x, 0),
        observed=observed,
        intervened=targets & recorded,
        regime=jnp.full(n, -1, jnp.int32),
        weight=weight,
        allowed=allowed,
        required=required,
        kind=kind,
    )
    hit = jnp.any(targets & (weight > 0)[:, None], axis=0)
    return Draw(problem, graph, confounded, known, hit & ~recorded)


def _uniform(key, low=0.0, high=1.0, shape=()):
    return jax.random.uniform(key, shape, jnp.float32, low, high)


def _log_uniform(key, low, high, shape=()):
    return jnp.exp(_uniform(key, jnp.log(low), jnp.log(high), shape))


def _normal(key, *shape):
    return jax.random.normal(key, shape, jnp.float32)


def _choose(key, shares, shape=()):
    return jax.random.choice(key, len(shares), shape, p=jnp.array(shares))


def _families(key, shares, alike, d):
    """The place in ``shares`` of each variable's family, ``[d]``.

    With probability ``alike`` all variables are of one family.
    """
    key_family, key_alike = jax.random.split(key)
    family = _choose(key_family, list(shares.values()), (d,))
    return jnp.where(jax.random.bernoulli(key_alike, alike), family[0], family)


class _System(NamedTuple):
    """Variables in and out of the table, parents before children."""

    graph: Array  # [d + e, d + e] bool
    hidden: Array  # [d + e] bool, they act and are not shown
    absent: Array  # [d + e] bool, the last ones, which do not exist


def _system(key, d):
    """The variables of a table, and in some draws hidden ones besides."""
    most = max(d // 4, 2 if d >= 4 else 1)
    keys = jax.random.split(key, 4)
    some = jax.random.bernoulli(keys[0], CONFOUNDED_SHARE)
    # Tables with as many as there may be are the hardest, so they are half.
    num_hidden = jax.random.randint(keys[1], (), 1, 2 * most)
    num_hidden = jnp.minimum(num_hidden, most)
    num_hidden = jnp.where(some, num_hidden, 0)
    graph = _graph(keys[2], d + most, d + num_hidden)
    absent = jnp.arange(d + most) >= d + num_hidden
    hidden = draw_hidden(keys[3], graph, ~absent, num_hidden)
    return _System(graph, hidden, absent)


def _to_rows(done, regime, shown, total):
    """What is done to each cell, ``[n, total]``; nothing where nothing is shown."""

    def spread(leaf, elsewhere):
        everywhere = jnp.full((leaf.shape[0], total), elsewhere, leaf.dtype)
        return everywhere.at[:, shown].set(leaf)[regime]

    return Intervention(
        targets=spread(done.targets, False),
        cut=spread(done.cut, False),
        shift=spread(done.shift, 0),
        scale=spread(done.scale, 1),
    )


class _Variety(NamedTuple):
    """What sets a varied table apart from one of numbers that follow ``_columns``."""

    realisation: Realisation
    is_varied: Array  # [] bool
    noise_factor: Array  # [d], of the noise of variables with parents
    multiplied: Array  # [] bool, noise grows with the signal
    grid_size: Array  # [d] int32, values of root causes on a grid, else 0
    memory: Array  # [d], correlation of the noise with that of the row before


def _no_variety(d):
    zero = jnp.zeros(d, jnp.float32)
    no = jnp.zeros((), bool)
    return _Variety(continuous(d), no, zero + 1, no, zero.astype(jnp.int32), zero)


def _draw_variety(key, graph, n):
    d = graph.shape[0]
    keys = iter(jax.random.split(key, 16))
    realisation = draw_realisation(next(keys), d)
    is_root = ~graph.any(axis=0)
    precise = jax.random.bernoulli(next(keys), 0.15)
    precise = precise & jax.random.bernoulli(next(keys), 0.4, (d,))
    factor = jnp.where(precise, _log_uniform(next(keys), 0.01, 0.15, (d,)), 1)
    # Counts have noise of their own.
    dampened = _uniform(next(keys), shape=(d,))
    factor = jnp.where(realisation.is_count, dampened, factor)
    gridded = jax.random.bernoulli(next(keys), 0.12)
    gridded = gridded & is_root & jax.random.bernoulli(next(keys), 0.7, (d,))
    grid_size = jax.random.randint(next(keys), (d,), 2, 12)
    remembers = jax.random.bernoulli(next(keys), 0.1)
    remembers = remembers & jax.random.bernoulli(next(keys), 0.8, (d,))
    return _Variety(
        realisation=realisation,
        is_varied=jnp.ones((), bool),
        noise_factor=jnp.where(is_root, 1, factor),
        multiplied=jax.random.bernoulli(next(keys), 0.1),
        grid_size=jnp.where(gridded, grid_size, 0),
        memory=jnp.where(remembers, _uniform(next(keys), 0.3, 0.95), 0),
    )


def _varied_noise(key, noise, variety):
    """Root causes on a grid, and rows that depend on the row before."""
    size = jnp.maximum(variety.grid_size, 2).astype(jnp.float32)[None, :]

    def gridded():
        place = jnp.floor(size * jax.random.uniform(key, noise.shape, jnp.float32))
        even = (place - (size - 1) / 2) / jnp.sqrt((size**2 - 1) / 12)
        return jnp.where(variety.grid_size[None, :] > 0, even, noise)

    noise = jax.lax.cond((variety.grid_size > 0).any(), gridded, lambda: noise)
    fresh = jnp.sqrt(1 - variety.memory**2)

    def remembering():
        def follow(before, row):
            now = variety.memory * before + fresh * row
            return now, now

        return jax.lax.scan(follow, noise[0], noise)[1]

    return jax.lax.cond((variety.memory > 0).any(), remembering, lambda: noise)


def _as_shown(key, x, weight, how):
    """Table, weights and kinds as a reader gets them."""
    measure_key, select_key, kind_key = jax.random.split(key, 3)
    num_rows = weight.sum().astype(jnp.int32)
    x = measure(measure_key, x, how, num_rows)
    weight = _selected(select_key, x, weight, num_rows)
    return x, weight, told_kind(kind_key, x, weight, how)


def _selected(key, x, weight, num_rows):
    """In 5 % of the tables rows are left out by the value of a column."""
    keys = jax.random.split(key, 6)
    some = jax.random.bernoulli(keys[0], 0.05)
    column = x[:, jax.random.randint(keys[1], (), 0, x.shape[1])]
    quantiles = marks(keys[2], column, num_rows)
    least = quantiles[jax.random.randint(keys[3], (), 6, 40)]
    anyway = jax.random.bernoulli(keys[4]) & (
        _uniform(keys[5], shape=weight.shape) < 0.2
    )
    selected = weight * ((column >= least) | anyway).astype(weight.dtype)
    return jnp.where(some & (selected.sum() >= 20), selected, weight)


def _scaled(x, weight, is_varied):
    """Columns of size 1; those of a varied table have mean 0 besides."""
    count = jnp.maximum(weight.sum(), 1)
    mean = jnp.where(is_varied, matmul(weight, x) / count, 0)
    x = x - mean[None, :]
    square = (weight[:, None] * x**2).sum(axis=0) / count
    x = x / jnp.maximum(jnp.sqrt(square), 1e-6)[None, :]
    return jnp.nan_to_num(x, posinf=0, neginf=0)


def _graph(key, most, d):
    """``[most, most]`` bool, parents before children; only the first d have edges."""
    keys = iter(jax.random.split(key, 10))
    size = d.astype(jnp.float32)
    few = jax.random.bernoulli(next(keys), jnp.maximum(0.1, 1 / size))
    degree = _uniform(next(keys), jnp.where(few, 0, 0.5), jnp.where(few, 0.5, 3))
    limit = jnp.maximum(0.7 * size * (size - 1) / 2, 1.0)
    num_edges = jnp.minimum(jnp.round(size * degree), limit).astype(jnp.int32)
    kind = _choose(next(keys), list(_GRAPHS.values()))

    # All but "attachment" take the edges of the highest scores.
    chance = jax.random.gumbel(next(keys), (most, most), jnp.float32)
    num_blocks = jax.random.randint(next(keys), (), 2, 6)
    block = jax.random.randint(next(keys), (most,), 0, num_blocks)
    place = _uniform(next(keys), shape=(most, 2))
    out, into = _normal(next(keys), 2, most)
    scores = {
        "uniform": chance,
        "blocks": chance + jnp.where(block[:, None] == block[None], _BLOCK_BONUS, 0),
        "geometric": -((place[:, None] - place[None]) ** 2).sum(axis=-1),
        "popularity": chance + out[:, None] + into[None],
        "attachment": chance,  # it joins every variable, so it is not for few edges
    }
    score = jnp.stack([scores[name] for name in _GRAPHS])[kind]
    present = jnp.arange(most) < d
    above = jnp.triu(jnp.ones((most, most), bool), 1)
    possible = above & present[None, :]
    scored = largest(jnp.where(possible, score, -jnp.inf), num_edges)

    mean_degree = jnp.round(num_edges.astype(jnp.float32) / size)
    num_targets = jnp.maximum(mean_degree, 1).astype(jnp.int32)
    attached = attach(next(keys), most, num_targets)
    turned = jax.random.bernoulli(next(keys))
    last_first = jnp.roll(attached[::-1, ::-1], (d - most, d - most), (0, 1))
    attached = jnp.where(turned, attached.T, last_first)
    attached = attached & present[:, None] & present[None, :]
    is_attached = (kind == list(_GRAPHS).index("attachment")) & ~few
    return jnp.where(is_attached, attached, scored)


def _interventions(key, d, n, hidden):
    """What is done in each regime, each row's regime, and whether that is recorded.

    Shifts, and scales where cut, are in standard deviations of the rows of the column
    that are left alone.
    """
    keys = iter(jax.random.split(key, 16))
    none, recorded = 0.55 * (1 - hidden), 0.45 * (1 - hidden)
    kind = _choose(next(keys), [none, recorded, hidden])

    several = jax.random.bernoulli(next(keys), 0.35)  # targets in one regime
    most = 2 * d
    num_regimes = jax.random.randint(next(keys), (), 1, jnp.where(several, most, d) + 1)
    every = jax.random.bernoulli(next(keys), 0.45)
    num_regimes = jnp.where(every & ~several, d, num_regimes)
    sizes, alike = (1, min(4, d)), jax.random.bernoulli(next(keys))
    targets = jnp.where(
        several,
        draw_target_sets(next(keys), d, most + 1, sizes, alike),
        draw_targets(next(keys), d, most + 1, 1),
    )
    regime = jax.random.randint(next(keys), (n,), 1, num_regimes + 1)
    alone = _uniform(next(keys), shape=(n,)) <= _uniform(next(keys), 0.03, 0.7)
    regime = jnp.where(alone | (kind == 0), 0, regime)

    cut = jax.random.bernoulli(next(keys), 0.8)
    moved = jax.random.bernoulli(next(keys), 0.85)
    low = jnp.where(cut, _uniform(next(keys), 0.5, 2), 0.5)
    high = jnp.where(cut, 2.5 * low, 2.5)
    shift = jnp.where(moved, signed_uniform(next(keys), targets.shape, low, high), 0)
    # Some perfect ones set a constant; some others leave the noise as it is.
    fixed = moved & jax.random.bernoulli(next(keys), jnp.where(cut, 0.25, 0.5))
    spread = _uniform(next(keys), 0.2, 1.5, targets.shape)
    scale = jnp.where(fixed, jnp.where(cut, 0.0, 1.0), spread)
    return on_targets(targets, cut, shift, scale), regime, kind == 1


def _row_weights(key, n):
    count_key, padded_key = jax.random.split(key)
    padded = jax.random.bernoulli(padded_key, 0.4)
    count = jnp.where(padded, _log_uniform(count_key, min(30, n), n), n)
    return (jnp.arange(n, dtype=jnp.float32) < count).astype(jnp.float32)


def _noise(key, d, n, absent):
    """``[n, d]`` of mean 0 and standard deviation 1; absent variables have none."""
    keys = iter(jax.random.split(key, 5))
    freedom = _log_uniform(next(keys), 2.5, 8.0)
    lump = _uniform(next(keys), 0.5, 0.95)
    varied = {
        "student_t": functools.partial(student_t, df=freedom),
        "mixture": functools.partial(mixture, mean=lump),
    }
    draws = [{**NOISE, **varied}[name] for name in _NOISE]
    draws.append(lambda key, shape, dtype: jnp.zeros(shape, dtype))  # if absent
    branches = [
        functools.partial(draw, shape=(n,), dtype=jnp.float32) for draw in draws
    ]
    family = _families(next(keys), _NOISE, 0.75, d)
    family = jnp.where(absent, len(_NOISE), family)
    noise = jax.lax.map(
        lambda column: jax.lax.switch(column[0], branches, column[1]),
        (family, jax.random.split(next(keys), d)),
    )
    lean = jax.random.rademacher(next(keys), (d,), jnp.float32)
    return jnp.clip(noise.T * lean[None, :], -20, 20)


def _columns(
    key: Array,
    system: _System,
    noise: Array,
    done: Intervention,
    weight: Array,
    variety: _Variety,
) -> Array:
    """What children see of the columns, filled parents first, ``[n, d]``."""
    graph, how = system.graph, variety.realisation.among_variables()
    n, d = noise.shape
    keys = iter(jax.random.split(key, 15))
    internal = jax.random.bernoulli(next(keys), 0.5)
    family = _families(next(keys), _MECHANISMS, 0.85, d)
    # Signals whose size is not drawn, but follows from the weights.
    is_plain = jax.random.bernoulli(next(keys), 0.65) & (
        family == list(_MECHANISMS).index("linear")
    )
    low = _uniform(next(keys), 0.2, 1)
    high = low + _uniform(next(keys), 0.2, 2)
    weights = linear_weights(next(keys), graph, low, high)
    signal_size = _log_uniform(next(keys), 0.7, 4.0)
    length = _uniform(next(keys), 0.7, 2.5)
    uneven = jax.random.bernoulli(next(keys), 0.4)
    noise_scale = jnp.where(uneven, _log_uniform(next(keys), 0.3, 2.0, (d,)), 1.0)
    noise_scale = noise_scale * variety.noise_factor
    varying = jax.random.bernoulli(next(keys), jnp.where(variety.is_varied, 0.25, 0.15))
    column_key = next(keys)
    # Not in every table, or classes would never follow equations that are all linear.
    other_key, some_key = jax.random.split(next(keys))
    some = jax.random.bernoulli(some_key, 0.3) & variety.is_varied
    other = jax.random.bernoulli(other_key, 0.4, (d,)) & some
    which = jax.random.randint(next(keys), (d,), 0, len(_VARIED_MECHANISMS))
    family = jnp.where(other, len(_MECHANISMS) + which, family)
    is_plain = is_plain & ~other
    unit_noise = noise * done.scale
    num_rows = weight.sum().astype(jnp.int32)

    def moments(column, j):
        """Of the rows in which the column is left alone."""
        natural = jnp.where(done.targets[:, j], 0, weight)
        count = jnp.maximum(natural.sum(), 1)
        mean = (natural * column).sum() / count
        variance = (natural * (column - mean) ** 2).sum() / count
        return mean, jnp.sqrt(jnp.maximum(variance, 1e-10))

    def shown_moments(column, j):
        """Only tables standardised column by column are centred; codes stay codes."""
        mean, sd = moments(column, j)
        is_code = how.generated[j]
        return jnp.where(internal & ~is_code, mean, 0), jnp.where(is_code, 1, sd)

    def respond(x, means, sds, j):
        del means
        noise = unit_noise[:, j]
        keys = jax.random.split(jax.random.fold_in(column_key, j), 4)
        is_parent = graph[:, j]
        parents = jax.lax.cond(
            (is_parent & how.is_discrete).any(),
            lambda key: jnp.where(is_parent[None, :], see(key, x, how), 0),
            lambda key: jnp.where(is_parent[None, :], x, 0),
            keys[3],
        )
        # Discrete parents have no scale that is theirs.
        seen_weights = jnp.where(internal | how.is_discrete, 1, sds) * weights[:, j]

        def classes(key):
            logits_key, class_key = jax.random.split(key)
            is_class = is_parent & how.is_class
            logits = class_logits(logits_key, parents, x, is_class, how.is_ordered[j])
            return draw_classes(class_key, logits, how.num_classes[j])

        signals = {
            "linear": lambda key: matmul(parents, seen_weights),
            **_nonlinear(is_parent, parents, noise, length),
        }
        branches = [signals[name] for name in (*_MECHANISMS, *_VARIED_MECHANISMS)]
        branches += [classes, lambda key: jnp.zeros(n, jnp.float32)]
        branch = jnp.where(how.generated[j], len(branches) - 2, family[j])
        branch = jnp.where(system.absent[j], len(branches) - 1, branch)
        signal = jax.lax.switch(branch, branches, keys[0])
        codes = signal
        mean, sd = moments(signal, j)
        size = signal_size * jnp.exp(0.3 * _normal(keys[1]))
        signal = jnp.where(is_plain[j], signal, (signal - mean) / sd * size)
        swing = jnp.exp(jnp.tanh(matmul(parents, _normal(keys[2], d))))
        noise = noise_scale[j] * noise * jnp.where(varying, swing, 1)
        has_parents = is_parent.any()
        grows = variety.multiplied & has_parents
        noise = noise * jnp.where(grows, 0.05 + jnp.abs(signal), 1)
        value = jnp.where(has_parents, signal, 0) + noise
        return jnp.where(how.generated[j], codes, value)

    realise_key = next(keys)

    def realised(column, j):
        key = jax.random.fold_in(realise_key, j)
        this = jax.tree.map(lambda leaf: leaf[j], how)
        return realise(key, column, this, done.targets[:, j], num_rows)

    x, _, _ = fill_columns(
        respond, jnp.arange(d), unit_noise, done.cut, done.shift, shown_moments,
        realised,
    )  # fmt: skip
    return x


def _nonlinear(is_parent, parents, noise, length):
    """What a child gets from its parents: family -> ``key -> [n]``, of any scale."""
    d, m = parents.shape[1], _NUM_FEATURES

    def network(key, noise=None):
        keys = jax.random.split(key, 4)
        params = {
            "inputs": signed_uniform(keys[0], (d, _NUM_HIDDEN), 0.3, 2),
            "bias": _normal(keys[1], _NUM_HIDDEN),
            "noise": _normal(keys[2], _NUM_HIDDEN),
        }
        units = hidden_units(params, parents, noise)
        return matmul(units, _normal(keys[3], _NUM_HIDDEN))

    def gaussian_process(key):
        keys = jax.random.split(key, 3)
        frequencies = _normal(keys[0], d, m) / length
        phases = _uniform(keys[1], 0, 2 * math.pi, (m,))
        features = fourier_features(parents, frequencies, phases)
        return matmul(features, _normal(keys[2], m))

    def additive(key):
        keys = jax.random.split(key, 5)
        logits = jnp.where(is_parent, 0, -jnp.inf)
        source = jax.random.categorical(keys[0], logits, shape=(m,))
        slope = 1.5 / length * _normal(keys[1], m)
        params = {
            "inputs": jax.nn.one_hot(source, d, axis=0) * slope[None, :],
            "bias": _uniform(keys[2], -3, 3, (m,)),
        }
        wave = jax.random.bernoulli(keys[3])
        bend = functools.partial(jax.lax.cond, wave, jnp.cos, jnp.tanh)
        return matmul(hidden_units(params, parents, bend=bend), _normal(keys[4], m))

    def product(key):
        keys = jax.random.split(key, 3)
        first = jax.random.bernoulli(keys[0], 0.5, (d,))
        weights = signed_uniform(keys[1], (d,), 0.5, 1.5)
        bias = 0.7 * _normal(keys[2], 2)
        return (bias[0] + matmul(parents, jnp.where(first, weights, 0))) * (
            bias[1] + matmul(parents, jnp.where(first, 0, weights))
        )

    def threshold(key):
        keys = jax.random.split(key, 2)
        centred = parents - parents.mean(axis=0, keepdims=True)
        above = centred > 0.7 * _normal(keys[0], d)[None, :]
        return matmul(above.astype(jnp.float32), steps_of(keys[1]))

    def curves(key):
        """A cube beside a line, an exponential, a hinge or a square of each."""
        keys = jax.random.split(key, 4)
        centred = parents - parents.mean(axis=0, keepdims=True)
        centred = jnp.clip(centred, -5, 5)
        cubic = _log_uniform(keys[0], 0.03, 0.5, (d,))[None, :]
        shape = jax.random.randint(keys[1], (d,), 0, 4)[None, :]
        bent = jnp.select(
            [shape == 0, shape == 1, shape == 2],
            [
                centred + cubic * centred**3,
                jnp.exp((1 - cubic) * centred),
                jnp.maximum(centred, 0),
            ],
            centred**2,
        )
        return matmul(bent, steps_of(keys[2]))

    def steps_of(key):
        weights = signed_uniform(key, (d,), 0.5, 1.5)
        return jnp.where(is_parent, weights, 0)

    return {
        "product": product,
        "threshold": threshold,
        "curves": curves,
        "network": network,
        "gaussian_process": gaussian_process,
        "additive": additive,
        "nonadditive_network": lambda key: network(key, noise),
    }


def _rounded(key, x, is_discrete):
    """Some columns of some tables hold few distinct values."""
    some, which, steps = jax.random.split(key, 3)
    step = _log_uniform(steps, 0.2, 1.5, (1, x.shape[1]))
    which = jax.random.bernoulli(some, 0.05) & jax.random.bernoulli(
        which, 0.5, (1, x.shape[1])
    )
    which = which & ~is_discrete[None, :]
    return jnp.where(which, jnp.round(x / step) * step, x)


def _observed(key, d, n):
    some, rate, cells = jax.random.split(key, 3)
    rate = jnp.where(jax.random.bernoulli(some, 0.15), _uniform(rate, 0.02, 0.3), 0)
    return _uniform(cells, shape=(n, d)) >= rate
