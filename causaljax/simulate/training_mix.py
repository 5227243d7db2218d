"""Endless tables of known graph for networks to learn from.

One table is one key: graph, mechanisms, noise, scales, interventions, gaps and what
is revealed of the graph are all drawn afresh. Held out, so that they can test a
trained network: Watts-Strogatz graphs, Cauchy noise, and the mechanism families
"sigmoid", "polynomial", "periodic" and "post_nonlinear" of ``MECHANISMS``.

Branches are real branches (``lax.switch``) as long as tables are drawn one by one, as
``lax.map`` does; under vmap every branch would be computed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from causaljax.core.types import Array, Problem
from causaljax.simulate.knowledge import draw_knowledge

HIDDEN_SHARE = 0.31
"""Of the tables, how many are pooled from interventions that nobody recorded."""

_WAVES = 48  # random Fourier features of a Gaussian process
_UNITS = 16  # hidden units of a network


class Draw(NamedTuple):
    """A table and what made it."""

    problem: Problem  # ``allowed`` and ``required`` hold what was revealed
    graph: Array  # [d, d] bool
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

    Args:
      key: consumed.
      num_variables: d, static, at least 2.
      num_rows: n, static; rows of weight 0 included.
      hidden: share of the tables whose interventions nobody recorded, in [0, 1].

    Returns:
      The draw, float32, finite.
    """
    d, n = num_variables, num_rows
    keys = iter(jax.random.split(key, 12))
    graph = _graph(next(keys), d)
    lesson = _interventions(next(keys), d, n, hidden)
    weight = _row_weights(next(keys), n)
    noise = _noise(next(keys), d, n)
    x = _columns(next(keys), graph, noise, lesson, weight)
    x = _rounded(next(keys), x)
    observed = _observed(next(keys), d, n)
    allowed, required, known = draw_knowledge(next(keys), graph)

    order = jax.random.permutation(next(keys), d)
    graph, allowed, required, known = (
        matrix[order][:, order] for matrix in (graph, allowed, required, known)
    )
    problem = Problem(
        x=jnp.where(observed, x[:, order], 0),
        observed=observed,
        intervened=(lesson.hit & lesson.recorded)[:, order],
        regime=jnp.full(n, -1, jnp.int32),
        weight=weight,
        allowed=allowed,
        required=required,
    )
    target = (jnp.any(lesson.hit & (weight > 0)[:, None], 0) & ~lesson.recorded)[order]
    return Draw(problem, graph, known, target)


def _uniform(key, low=0.0, high=1.0, shape=()):
    return jax.random.uniform(key, shape, jnp.float32, low, high)


def _log_uniform(key, low, high, shape=()):
    return jnp.exp(_uniform(key, jnp.log(low), jnp.log(high), shape))


def _choose(key, weights):
    return jax.random.choice(key, len(weights), p=jnp.array(weights))


def _signs(key, shape):
    return jax.random.rademacher(key, shape, jnp.float32)


def _graph(key, d):
    """``[d, d]`` bool, parents before children."""
    keys = iter(jax.random.split(key, 11))
    above = jnp.triu(jnp.ones((d, d), bool), 1)
    most = max(0.7 * d * (d - 1) / 2, 1.0)
    few = jax.random.bernoulli(next(keys), max(0.1, 1 / d))
    degree = _uniform(next(keys), jnp.where(few, 0, 0.5), jnp.where(few, 0.5, 3))
    edges = jnp.minimum(jnp.round(d * degree), most)
    chance = jax.random.gumbel(next(keys), (d, d), jnp.float32)
    num_blocks = jax.random.randint(next(keys), (), 2, 6)
    block = jax.random.randint(next(keys), (d,), 0, num_blocks)
    place = _uniform(next(keys), shape=(d, 2))
    apart = jnp.sqrt(jnp.sum((place[:, None] - place[None]) ** 2, -1))
    popularity = jax.random.normal(next(keys), (2, d), jnp.float32)
    attached = _attached(next(keys), d, jnp.maximum(jnp.round(edges / d), 1))
    scores = jnp.stack([
        chance,
        chance + jnp.where(block[:, None] == block[None], 2.3, 0),
        -apart,
        chance + popularity[0][:, None] + popularity[1][None],
    ])  # fmt: skip
    kind = _choose(next(keys), [0.38, 0.12, 0.12, 0.14, 0.24])
    kind = jnp.where(few & (kind == 4), 0, kind)  # attachment joins every variable
    score = jnp.where(above, scores[jnp.minimum(kind, 3)], -jnp.inf)
    place = jnp.clip(d * d - edges.astype(jnp.int32), 0, d * d - 1)
    least = jnp.where(edges > 0, jnp.sort(score.ravel())[place], jnp.inf)
    direction = jax.random.bernoulli(next(keys))
    attached = jnp.where(direction, attached.T, attached[::-1, ::-1])
    return jnp.where(kind == 4, attached, (score >= least) & above)


def _attached(key, d, links):
    """Preferential attachment, ``[d, d]``, each to ``links`` earlier ones."""
    chance = jax.random.gumbel(key, (d, d), jnp.float32)
    index = jnp.arange(d)

    def attach(degree, inputs):
        new, chance = inputs
        score = jnp.where(index < new, jnp.log1p(degree) + chance, -jnp.inf)
        place = jnp.argsort(jnp.argsort(-score))
        chosen = (place < links.astype(jnp.int32)) & (index < new)
        return degree + chosen.astype(jnp.float32), chosen

    return jax.lax.scan(attach, jnp.zeros(d), (index, chance))[1]


class _Lesson(NamedTuple):
    """What was done to which cells, and whether anyone wrote it down."""

    hit: Array  # [n, d] bool
    cut: Array  # [] bool, parents no longer matter
    mean: Array  # [n, d] standard deviations of the column
    scale: Array  # [n, d] of the noise
    recorded: Array  # [] bool


def _interventions(key, d, n, hidden):
    keys = iter(jax.random.split(key, 18))
    # Not there, recorded, or hidden.
    kind = _choose(next(keys), [0.55 * (1 - hidden), 0.45 * (1 - hidden), hidden])
    every = jax.random.bernoulli(next(keys), 0.45)
    several = jax.random.bernoulli(next(keys), 0.35)
    most = 2 * d
    num_regimes = jax.random.randint(next(keys), (), 1, jnp.where(several, most, d) + 1)
    num_regimes = jnp.where(every & ~several, d, num_regimes)
    own = jnp.eye(d, dtype=bool)[jax.random.permutation(next(keys), d)]
    chance = jax.random.uniform(next(keys), (most, d), jnp.float32)
    count = jax.random.randint(next(keys), (most, 1), 1, min(4, d) + 1)
    alike = jax.random.bernoulli(next(keys))
    count = jnp.where(alike, count[:1], count)
    place = jnp.argsort(jnp.argsort(chance, -1), -1)
    targets = jnp.where(several, place < count, jnp.concatenate([own, own]))
    alone = _uniform(next(keys), 0.03, 0.7)
    regime = jax.random.randint(next(keys), (n,), 0, num_regimes)
    apart = _uniform(next(keys), shape=(n,)) > alone
    hit = targets[regime] & apart[:, None] & (kind > 0)

    cut = jax.random.bernoulli(next(keys), 0.8)
    low = _uniform(next(keys), 0.5, 2)
    low, high = jnp.where(cut, low, 0.5), jnp.where(cut, 2.5 * low, 2.5)
    size = _uniform(next(keys), shape=(most, d)) * (high - low) + low
    size = jnp.where(jax.random.bernoulli(next(keys), 0.85), size, 0)  # or the spread
    value = size * _signs(next(keys), (most, d))
    spread = jax.random.split(next(keys), 3)
    wide = _uniform(spread[0], 0.2, 1.5, (most, d))
    fixed = jax.random.bernoulli(spread[1], 0.25) & cut & jnp.any(size > 0)
    scale = jnp.where(fixed, 0.0, wide)
    kept = jax.random.bernoulli(spread[2])  # a soft shift that leaves the noise alone
    scale = jnp.where(~cut & kept & jnp.any(size > 0), 1.0, scale)
    return _Lesson(
        hit=hit,
        cut=cut,
        mean=jnp.where(hit, value[regime], 0),
        scale=jnp.where(hit, scale[regime], 1),
        recorded=kind == 1,
    )


def _row_weights(key, n):
    keys = jax.random.split(key, 3)
    fewest = min(30, n)
    count = jnp.exp(_uniform(keys[0], jnp.log(fewest), jnp.log(n)))
    padded = jax.random.bernoulli(keys[1], 0.4)
    kept = jnp.arange(n).astype(jnp.float32) < jnp.where(padded, count, n)
    return kept.astype(jnp.float32)


def _noise(key, d, n):
    """``[n, d]`` of mean 0 and standard deviation 1, a family a table or a column."""
    keys = iter(jax.random.split(key, 12))
    shape = (n, d)
    normal = jax.random.normal(next(keys), shape, jnp.float32)
    u = _uniform(next(keys), 1e-6, 1, shape)
    lean = _signs(next(keys), (1, d))
    freedom = _log_uniform(next(keys), 2.5, 8.0)
    family = jax.random.choice(
        next(keys), 7, (d,), p=jnp.array([0.42, 0.13, 0.11, 0.13, 0.06, 0.08, 0.07])
    )
    shared = jax.random.bernoulli(next(keys), 0.75)
    family = jnp.where(shared, family[0], family)
    lump = _uniform(next(keys), 0.5, 0.95)

    def student():
        chi = 2 * jax.random.gamma(keys_t, freedom / 2, shape)
        return normal * jnp.sqrt(freedom / chi) / jnp.sqrt(freedom / (freedom - 2))

    keys_t = next(keys)
    heavy = jax.lax.cond(jnp.any(family == 5), student, lambda: normal)
    centred = u - 0.5
    laplace = -jnp.sign(centred) * jnp.log1p(-2 * jnp.abs(centred) * 0.999999) / 2**0.5
    families = [
        normal,
        laplace,
        centred * 12**0.5,
        (-jnp.log(u) - 1) * lean,
        (-jnp.log(-jnp.log(u * 0.999999)) - 0.5772157) * lean / 1.2825498,
        jnp.clip(heavy, -20, 20),
        lump * jnp.sign(centred) + jnp.sqrt(1 - lump**2) * normal,
    ]
    return jax.lax.select_n(jnp.broadcast_to(family, shape), *families)


def _columns(key, graph, noise, lesson, weight):
    """Fills the columns, parents first, ``[n, d]``."""
    n, d = noise.shape
    keys = iter(jax.random.split(key, 16))
    internal = jax.random.bernoulli(next(keys), 0.5)
    family = jax.random.choice(
        next(keys), 5, (d,), p=jnp.array([0.34, 0.21, 0.23, 0.16, 0.06])
    )
    shared = jax.random.bernoulli(next(keys), 0.85)
    family = jnp.where(shared, family[0], family)
    plain = jax.random.bernoulli(next(keys), 0.65)  # linear weights taken as drawn
    lowest = _uniform(next(keys), 0.2, 1)
    highest = lowest + _uniform(next(keys), 0.2, 2)
    signal = _log_uniform(next(keys), 0.7, 4.0)
    length = _uniform(next(keys), 0.7, 2.5)
    uneven = jax.random.bernoulli(next(keys), 0.4)
    scale = jnp.where(uneven, _log_uniform(next(keys), 0.3, 2.0, (d,)), 1.0)
    varying = jax.random.bernoulli(next(keys), 0.15)
    column_keys = jax.random.split(next(keys), d)

    def linear(key, x, parents, noise):
        size, sign = jax.random.split(key)
        coefficient = _uniform(size, 0, 1, (d,)) * (highest - lowest) + lowest
        return x @ (coefficient * _signs(sign, (d,)) * parents)

    def network(key, x, parents, noise):
        keys = jax.random.split(key, 4)
        inner = _uniform(keys[0], 0.3, 2, (d, _UNITS)) * _signs(keys[1], (d, _UNITS))
        offset = jax.random.normal(keys[2], (_UNITS,), jnp.float32)
        outer = jax.random.normal(keys[3], (_UNITS,), jnp.float32)
        return jnp.tanh(x @ (inner * parents[:, None]) + offset[None]) @ outer

    def process(key, x, parents, noise):
        keys = jax.random.split(key, 3)
        inner = jax.random.normal(keys[0], (d, _WAVES), jnp.float32) / length
        offset = _uniform(keys[1], 0, 2 * jnp.pi, (_WAVES,))
        outer = jax.random.normal(keys[2], (_WAVES,), jnp.float32)
        return jnp.cos(x @ (inner * parents[:, None]) + offset[None]) @ outer

    def additive(key, x, parents, noise):
        keys = jax.random.split(key, 5)
        chance = jax.random.gumbel(keys[0], (_WAVES, d), jnp.float32)
        of = jnp.argmax(jnp.where(parents[None] > 0, chance, -jnp.inf), -1)
        inner = jax.random.normal(keys[1], (_WAVES,), jnp.float32) * 1.5 / length
        inner = jax.nn.one_hot(of, d, axis=0) * inner[None]
        offset = _uniform(keys[2], -3, 3, (_WAVES,))
        outer = jax.random.normal(keys[3], (_WAVES,), jnp.float32)
        bend = x @ (inner * parents[:, None]) + offset[None]
        wave = jax.random.bernoulli(keys[4])
        bend = jax.lax.cond(wave, jnp.cos, jnp.tanh, bend)
        return bend @ outer

    def inside(key, x, parents, noise):
        keys = jax.random.split(key, 5)
        inner = _uniform(keys[0], 0.3, 2, (d, _UNITS)) * _signs(keys[1], (d, _UNITS))
        disturbed = jax.random.normal(keys[2], (_UNITS,), jnp.float32)
        offset = jax.random.normal(keys[3], (_UNITS,), jnp.float32)
        outer = jax.random.normal(keys[4], (_UNITS,), jnp.float32)
        total = x @ (inner * parents[:, None]) + noise[:, None] * disturbed[None]
        total = total + offset[None]
        return jnp.tanh(total) @ outer

    def fill(carry, inputs):
        x, sds = carry
        j, key, parents, family, noise, scale, hit, mean, spread = inputs
        keys = jax.random.split(key, 3)
        natural = weight * (1 - hit.astype(jnp.float32))
        count = jnp.maximum(natural.sum(), 1)

        def moments(column):
            average = jnp.sum(natural * column) / count
            variance = jnp.sum(natural * (column - average) ** 2) / count
            return average, jnp.sqrt(jnp.maximum(variance, 1e-10))

        parents = parents.astype(jnp.float32)
        root = parents.sum() == 0
        disturbance = noise * jnp.where(hit, spread, 1)
        seen = x / jnp.where(family == 0, 1.0, sds)[None]
        caused = jax.lax.switch(
            family,
            [linear, network, process, additive, inside],
            keys[0],
            seen,
            parents,
            disturbance,
        )
        average, sd = moments(caused)
        strength = signal * jnp.exp(0.3 * jax.random.normal(keys[1], (), jnp.float32))
        kept = (family == 0) & plain
        caused = jnp.where(kept, caused, (caused - average) / sd * strength)
        caused = jnp.where(root, 0, caused)
        swing = jax.random.normal(keys[2], (d,), jnp.float32)
        swing = jnp.exp(jnp.tanh((x / sds[None]) @ (swing * parents)))
        disturbance = disturbance * scale * jnp.where(varying, swing, 1)
        natural_value = caused + disturbance
        average, sd = moments(natural_value)
        natural_value = jnp.where(
            internal, (natural_value - average) / sd, natural_value
        )
        sd = jnp.where(internal, 1.0, sd)
        cut = lesson.cut & hit
        value = jnp.where(cut, noise * spread * sd, natural_value)
        value = value + jnp.where(hit, mean * sd, 0)
        return (x.at[:, j].set(value), sds.at[j].set(sd)), None

    start = (jnp.zeros((n, d)), jnp.ones(d))
    inputs = (
        jnp.arange(d), column_keys, graph.T, family, noise.T, scale,
        lesson.hit.T, lesson.mean.T, lesson.scale.T,
    )  # fmt: skip
    (x, _), _ = jax.lax.scan(fill, start, inputs)
    real = weight[:, None]
    sd = jnp.sqrt(jnp.sum(real * x**2, 0) / jnp.maximum(weight.sum(), 1))
    return jnp.nan_to_num(x / jnp.maximum(sd, 1e-6)[None], posinf=0, neginf=0)


def _rounded(key, x):
    """Some columns of some tables hold few distinct values."""
    some, which, steps = jax.random.split(key, 3)
    step = _log_uniform(steps, 0.2, 1.5, (1, x.shape[1]))
    which = jax.random.bernoulli(some, 0.05) & jax.random.bernoulli(
        which, 0.5, (1, x.shape[1])
    )
    return jnp.where(which, jnp.round(x / step) * step, x)


def _observed(key, d, n):
    some, rate, cells = jax.random.split(key, 3)
    rate = jnp.where(jax.random.bernoulli(some, 0.15), _uniform(rate, 0.02, 0.3), 0)
    return _uniform(cells, shape=(n, d)) >= rate
