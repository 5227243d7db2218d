"""Gaps of a table, for methods that have no model of them."""

from typing import Any

import numpy as np

from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows, padded_size
from causaljax.core.types import Array, Problem
from causaljax.mechanisms.imputation import impute

_impute = quick_jit(impute, static_argnames="num_tables")


def fill(key: Array, problem: Problem, num_tables: int) -> Problem:
    """A problem without gaps, whose likelihood is the mean over tables of them filled.

    A row with a gap becomes ``num_tables`` rows, each with a share of its weight and
    gaps filled by ``mechanisms.imputation.impute``; other rows stay as they are. The
    weight of a row is reduced to the share of its cells that are observed, as filled
    cells tell nothing new: with all of it, edges would seem surer than they are.

    Args:
      key: of the draws.
      problem: of ``frame.to_problem``, its arrays numpy's.
      num_tables: how often a gap is filled.

    Returns:
      The problem, padded as by ``frame.to_problem``.
    """
    real, observed = problem.weight > 0, problem.observed
    # Single precision, and far from its limits.
    size = np.maximum(np.abs(problem.x).max(axis=0), np.finfo(np.float64).tiny)
    single = problem._replace(
        x=(problem.x / size).astype(np.float32),
        weight=problem.weight.astype(np.float32),
    )
    tables = np.asarray(_impute(key, single, num_tables))
    gap = real & ~observed.all(axis=1)
    copies = np.where(gap, num_tables, 1)
    rows = np.repeat(np.arange(len(real)), np.where(real, copies, 0))
    number = np.concatenate([np.arange(count) for count in copies[real]])
    x = problem.x[rows]
    for k in range(x.shape[1]):
        # The donors' own values, which single precision has rounded.
        seen = np.flatnonzero(real & observed[:, k])
        seen = seen[np.argsort(single.x[seen, k], kind="stable")]
        empty = ~observed[rows, k]
        drawn = tables[number[empty], rows[empty], k]
        place = np.searchsorted(single.x[seen, k], drawn)
        x[empty, k] = problem.x[seen[place], k]
    taken: dict[str, Any] = {
        name: getattr(problem, name)[rows] for name in ("intervened", "regime")
    }
    filled = problem._replace(
        x=x,
        observed=np.ones(x.shape, bool),
        weight=(problem.weight * observed.mean(axis=1) / copies)[rows],
        **taken,
    )
    return pad_rows(filled, padded_size(len(rows)))


def describe(problem: Problem, names: tuple[str, ...]) -> dict[str, Any]:
    """How many cells are missing: ``cells``, ``share``, by ``columns``; or empty."""
    real = problem.weight > 0
    count = (~problem.observed[real]).sum(axis=0)
    if not count.any():
        return {}
    return {
        "cells": int(count.sum()),
        "share": float(count.sum() / problem.observed[real].size),
        "columns": {names[k]: int(count[k]) for k in np.flatnonzero(count)},
    }
