"""Driving forces: signals that follow what was made to change."""

import numpy as np
import pytest

from causaljax.kernels.constraint import driving_force
from causaljax.kernels.constraint.driving_force import Config

ROWS = 300
TIME = np.arange(ROWS) * 1.0
WAVE = np.sin(TIME / 20)


def follows(found, wave):
    """How well the first signal follows a function of the domain."""
    return abs(np.corrcoef(found.signals[:, 0], wave(found.domains))[0, 1])


def wave(domain):
    return np.sin(domain / 20)


@pytest.mark.parametrize("what", ["mean", "shift", "slope", "spread"])
def test_a_wave_is_recovered(what):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, ROWS))
    child = {
        "mean": WAVE + 0.5 * noise,
        "shift": 0.8 * x + WAVE + 0.5 * noise,
        "slope": 1.5 * WAVE * x + 0.5 * noise,
        "spread": noise * np.exp(WAVE),
    }[what]
    table = np.stack([x, child], axis=1).astype(np.float32)
    parents = np.array([what in ("shift", "slope"), False])
    found = driving_force.driving_force(table, TIME, 1, parents, Config())
    assert follows(found, wave) > 0.9
    assert (np.diff(found.shares) <= 0).all()
    assert 0 < found.shares.sum() <= 1
    np.testing.assert_allclose(found.signals.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(found.signals.std(axis=0), 1, rtol=1e-2)


def test_domains_without_an_order_have_signals():
    rng = np.random.default_rng(0)
    level = rng.normal(size=20)
    domain = np.repeat(np.arange(20), 15).astype(np.int32)
    rng.shuffle(domain)
    x = (2 * level[domain] + rng.normal(size=ROWS)).astype(np.float32)[:, None]
    given = driving_force.driving_force(x, domain, 0, np.array([False]), Config())
    assert given.domains.tolist() == list(range(20))
    assert follows(given, lambda domains: level[domains]) > 0.9


def test_rows_that_do_not_count_change_nothing():
    rng = np.random.default_rng(1)
    x = (WAVE + 0.5 * rng.normal(size=ROWS)).astype(np.float32)[:, None]
    parents = np.array([False])
    found = driving_force.driving_force(x, TIME, 0, parents, Config())
    order = rng.permutation(2 * ROWS)
    more = np.concatenate([x, np.full_like(x, 99)])[order]
    weight = np.repeat([1.0, 0.0], ROWS)[order]
    time = np.tile(TIME, 2)[order]
    again = driving_force.driving_force(more, time, 0, parents, Config(), weight)
    np.testing.assert_allclose(again.domains, found.domains)
    np.testing.assert_allclose(again.signals[:, 0], found.signals[:, 0], atol=1e-3)


def test_long_tables_are_thinned():
    rng = np.random.default_rng(0)
    time = np.arange(3000) / 10
    x = (wave(time) + 0.5 * rng.normal(size=3000)).astype(np.float32)[:, None]
    config = Config(most_rows=300)
    found = driving_force.driving_force(x, time, 0, np.array([False]), config)
    assert len(found.domains) == 200
    assert follows(found, wave) > 0.9
