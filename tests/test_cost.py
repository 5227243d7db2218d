"""Forecasts of fits: what is said, and what is refused."""

import numpy as np
import pytest

from causaljax import LinearDAG
from causaljax.estimators import cost
from causaljax.estimators.cost import Cost


def test_small_fits_are_not_spoken_of():
    assert cost.told(None, "5 columns", 1.0, "") == ""
    assert cost.told(Cost(1, 0.1), "5 columns", 1.0, "") == ""
    assert cost.told(Cost(1, 99), "5 columns", None, "") == ""


def test_large_fits_are():
    said = cost.told(Cost(7200, 3), "500 columns", 10.0, "")
    assert said == "about 2 h and 3.0 of 10 GiB of free memory for 500 columns"
    assert cost.told(Cost(14, 1), "9 columns", 10.0, "") == "about 14 s for 9 columns"


def test_what_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(cost, "free_gigabytes", lambda: 0.01)
    table = np.random.default_rng(0).normal(size=(200, 120))
    with pytest.raises(ValueError, match="120 columns and 200 rows take about 0.0 GiB"):
        LinearDAG(noise="gaussian").fit(table)


def test_free_memory_is_known_or_not(tmp_path, monkeypatch):
    assert cost.free_gigabytes() > 0
    (tmp_path / "memory.max").write_text("3221225472")
    (tmp_path / "memory.current").write_text("1073741824")
    monkeypatch.setattr(cost, "_CGROUP", tmp_path)
    assert cost.free_gigabytes() <= 2.0
    (tmp_path / "memory.max").write_text("max")
    assert cost._of_container() is None
    monkeypatch.setattr(cost, "_MEMINFO", tmp_path / "nothing")
    assert cost.free_gigabytes() > 0
