"""Which test of independence a table asks for."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from causaljax.core.types import Kind, Problem
from causaljax.estimators.class_levels import class_bound, count_classes, is_class
from causaljax.kernels.constraint.questions import BATCHES
from causaljax.scores.independence import (
    contingency,
    kci,
    likelihood_ratio,
    partial_correlation,
    rcit,
    regression,
)
from causaljax.scores.independence.interface import IndependenceTest

_COUNTED = (Kind.CONTINUOUS, Kind.COUNT)  # kinds of numbers that are no classes


class Chosen(NamedTuple):
    """A test, and how it is asked."""

    name: str
    test: IndependenceTest
    config: Any
    batches: tuple[int, ...] = BATCHES  # sizes, by what an answer takes
    reads_gaps: bool = False  # else they are filled before
    sums: bool = False  # reads but covariances, which may be those of a longer table


NAMES = (
    "auto",
    "fisher_z",
    "g_squared",
    "chi_squared",
    "degenerate_gaussian",
    "regression",
    "kci",
    "rcit",
    "rcot",
)
"""The tests that an estimator can be told to take."""

MEANINGS = {
    "fisher_z": "Fisher's z of partial correlations (linear relations of numbers)",
    "g_squared": "G-squared of tables of counts (classes)",
    "chi_squared": "Pearson's chi-squared of tables of counts (classes)",
    "degenerate_gaussian": "likelihood ratios of a Gaussian model of numbers and of "
    "indicators of classes",
    "regression": "likelihood ratios of linear and logistic regressions (numbers and "
    "classes)",
    "kci": "the kernel test KCI (any relation of numbers)",
    "rcit": "the randomised kernel test RCIT (any relation of numbers)",
    "rcot": "the randomised kernel test RCoT (any relation of numbers)",
}
"""What each test is, in words."""


def choose(name: str, problem: Problem, columns: Sequence[str]) -> Chosen:
    """A test by its name, set up for a table.

    Args:
      name: of ``NAMES``. "auto" is "fisher_z" for tables of numbers, "g_squared" for
        tables of classes and "degenerate_gaussian" for tables of both.
      problem: the table, its arrays numpy's.
      columns: their names.

    Raises:
      ValueError: for another name, or naming columns that the test cannot read.
    """
    kinds = np.asarray(problem.kind)
    counted = np.isin(kinds, _COUNTED)
    nominal = np.array([is_class(kind) for kind in kinds])
    if name not in NAMES:
        raise ValueError(f"test must be one of {list(NAMES)}, not {name!r}")
    if name == "auto":
        name = "degenerate_gaussian" if nominal.any() else "fisher_z"
        if not counted.any():
            name = "g_squared"
    if name == "fisher_z":
        gaps = not problem.observed[problem.weight > 0].all()
        test = partial_correlation.FISHER_Z_ROWS if gaps else None
        return Chosen(
            name,
            test or partial_correlation.FISHER_Z,
            partial_correlation.Config(),
            batches=(64, 1024) if gaps else BATCHES,
            reads_gaps=True,
            sums=not gaps,
        )
    if name in ("g_squared", "chi_squared"):
        if counted.any():
            named = sorted(columns[k] for k in np.flatnonzero(counted).tolist())
            raise ValueError(
                f"test {name} reads classes, and columns {named} hold numbers: take "
                'test="degenerate_gaussian", or cut them into classes'
            )
        levels = np.array([_distinct(problem, k) for k in range(len(columns))])
        most = class_bound(columns, levels, np.ones(len(columns), bool))
        test = getattr(contingency, name.upper())
        config = contingency.Config(most_classes=most)
        return Chosen(name, test, config, batches=(64, 1024), reads_gaps=True)
    if name in ("degenerate_gaussian", "regression"):
        levels, _ = (np.asarray(leaf) for leaf in count_classes(problem))
        most = class_bound(columns, levels, nominal)
        if name == "regression":
            config = regression.Config(most_classes=most)
            slow = (16, 128)
            return Chosen(name, regression.REGRESSION, config, slow, reads_gaps=True)
        return Chosen(
            name,
            likelihood_ratio.DEGENERATE_GAUSSIAN,
            likelihood_ratio.Config(most_classes=most),
        )
    if (kinds == Kind.CATEGORICAL).any():
        classes = np.flatnonzero(kinds == Kind.CATEGORICAL).tolist()
        named = sorted(columns[k] for k in classes)
        raise ValueError(
            f"test {name} reads numbers, and columns {named} hold classes without an "
            'order: take test="degenerate_gaussian"'
        )
    if name == "kci":
        return Chosen(name, kci.KCI, kci.Config(), batches=(8,))
    return Chosen(name, getattr(rcit, name.upper()), rcit.Config(), batches=(16, 128))


def _distinct(problem, k):
    seen = (problem.weight > 0) & problem.observed[:, k]
    return len(np.unique(problem.x[seen, k]))
