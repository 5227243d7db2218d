"""Which assumptions a table breaks, before or after a graph is learned from it."""

from collections.abc import Mapping
from typing import Any

import jax

from causaljax.estimators import gaps
from causaljax.estimators.independence import choose
from causaljax.graphs import independence_models
from causaljax.kernels.constraint.independences import ask_all
from causaljax.kernels.constraint.questions import Test
from causaljax.reports.assumptions import AssumptionReport, assumption_report, read_dag
from causaljax.scores.independence.asking import asking
from causaljax.tables import frame

_TEST, _GAPS = 0, 1  # folded into the key of their draws
_IMPUTATIONS = 5


def diagnose_assumptions(
    table: Any | Test,
    graph: Any,
    *,
    test: str = "auto",
    alpha: float = 0.05,
    interventions: Any = None,
    kinds: Mapping[Any, str] | None = None,
    random_state: int = 0,
) -> AssumptionReport:
    """Which assumptions of constraint-based methods a table breaks, for a graph.

    Every pair of columns is tested given every set of others, 672 tests for seven
    columns. Three kinds of conditions are then checked: axioms that concern the
    independences alone (semigraphoid, intersection, composition, singleton
    transitivity); whether they are the graph's (Markov, faithfulness); and weaker
    conditions under which methods still find the graph (adjacency and orientation
    faithfulness; ordered stabilities; V-OUS and collider-stability). What each demands
    is said in ``causaljax.graphs.independence_models``.

    Tests err: at a level of .05, one dependence in twenty that is none is claimed, and
    weak ones are missed. A violation of a table of data is a place to look at, no
    proof. With a test that knows the truth, it is exact.

    Args:
      table: DataFrame or array, of which the columns are read that the graph has; or a
        test of independence as searches ask it (``kernels.constraint.questions.Test``),
        such as ``Separation(marks).test()``.
      graph: a DAG of at most 7 variables: DataFrame as ``adjacency_``, networkx
        DiGraph, or 0/1 array of the table's columns in their order.
      test: of independence, as of ``PC``.
      alpha: a pair is independent given a set if the p-value is at least this.
      interventions: cells that were set from outside, as of ``fit``; such rows are left
        out.
      kinds: kinds of columns, as of ``fit``.
      random_state: seed of tests that draw, and of the values that fill gaps.

    Returns:
      The report: print it, or look at its ``violations`` and ``counts``.

    Raises:
      ValueError: naming the column, the edge or the option and the fix.

    Sources: as in ``causaljax.graphs.independence_models``.

    Example:
      >>> import networkx as nx
      >>> import numpy as np
      >>> import pandas as pd
      >>> x, y, z = np.random.default_rng(0).normal(size=(3, 2000))
      >>> y += 2 * x
      >>> z += y / 2 - x  # the two paths from x to z cancel
      >>> table = pd.DataFrame({"x": x, "y": y, "z": z})
      >>> graph = nx.DiGraph([("x", "y"), ("y", "z"), ("x", "z")])
      >>> found = diagnose_assumptions(table, graph)
      >>> found.violations["sentence"].iloc[1]
      'x -> z is an edge, but x and z are independent'
    """
    dag, names = read_dag(graph)
    independence_models.check_size(len(dag))
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha!r}")
    if callable(table):
        names = names or [str(k) for k in range(len(dag))]
        return assumption_report(ask_all(table, len(dag), alpha), dag, names)
    problem, columns = frame.to_problem(
        frame.as_pandas(table),
        interventions=interventions,
        kinds=kinds,
        columns=names,
        lenient=True,
    )
    if len(columns.names) != len(dag):
        raise ValueError(
            f"graph has {len(dag)} variables and the table {len(columns.names)}: "
            f"{list(columns.names)}; give a graph with names, as a DataFrame"
        )
    key = jax.random.key(random_state)
    chosen = choose(test, problem, columns.names)
    missing = not problem.observed[problem.weight > 0].all()
    if missing and not chosen.reads_gaps:
        problem = gaps.fill(jax.random.fold_in(key, _GAPS), problem, _IMPUTATIONS)
    key = jax.random.fold_in(key, _TEST)
    answer = asking(chosen.test, key, problem, chosen.config)
    # One size of batches, and so one program, is enough for so few questions.
    independent = ask_all(answer, len(dag), alpha, chosen.batches[:1])
    return assumption_report(independent, dag, columns.names)
