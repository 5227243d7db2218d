"""The structural equations of a graph as a model of numpyro."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import numpyro
import pandas as pd
from jax.typing import ArrayLike
from numpyro import distributions as dist

from causaljax.core.types import Array

LIKELIHOODS = ("gaussian", "student_t", "laplace", "logistic")
"""What a column may be, given its parents."""

SITES = ("weights", "intercepts", "scales", "degrees", "rows")
"""Names of the model's parameters, which no column may have."""

_LOGISTIC = 2.5  # standard deviation of weights and intercepts of logits


class StructuralModel:
    """A model of numpyro: call it inside NUTS, SVI, ``Predictive`` or a handler.

    Each column is a site of its own name, so ``numpyro.handlers.do`` sets it from
    outside and ``condition`` observes it. ``to_numpyro`` makes the model and describes
    it.

    Attributes:
      names: of the columns, in the order in which a table has them.
      graph: ``[d, d]`` bool, acyclic.
      edges: ``[e]`` pairs (i, j) of places of i -> j, in the order of the weights.
      likelihoods: ``[d]`` names, of ``LIKELIHOODS``.
    """

    def __init__(
        self,
        names: Sequence[str],
        graph: np.ndarray,
        likelihoods: Sequence[str],
        means: np.ndarray,
        spreads: np.ndarray,
    ):
        self.names = list(names)
        self.graph = graph
        self.likelihoods = list(likelihoods)
        self.edges = [(int(i), int(j)) for i, j in np.argwhere(graph)]
        self._order = [*nx.topological_sort(_directed(graph))]
        self._means, self._spreads = means, spreads

    def __call__(
        self,
        x: ArrayLike | None = None,
        *,
        num_rows: int | None = None,
        intervened: ArrayLike | None = None,
    ) -> None:
        """Declares the sites.

        Args:
          x: ``[n, d]``, columns in the order of ``names``; left out, rows are drawn.
          num_rows: n, if x is left out.
          intervened: ``[n, d]`` bool, cells that were set from outside: they do not
            count for the equation of their own column.

        Raises:
          ValueError: if a shape does not fit, both or neither of x and ``num_rows`` are
            given, or x has a gap or a class that is not 0 or 1.
        """
        x, hit, n = self._checked(x, num_rows, intervened)
        numbers = [j for j, kind in enumerate(self.likelihoods) if kind != "logistic"]
        heavy = [j for j in numbers if self.likelihoods[j] == "student_t"]
        parameters = self._parameters(numbers, heavy)
        columns: dict[int, Any] = {}
        with numpyro.plate("rows", n):
            for j in self._order:
                which = [k for k, (_, child) in enumerate(self.edges) if child == j]
                mean = parameters["intercepts"][j]
                if which:
                    parents = [columns[self.edges[k][0]] for k in which]
                    parents = [jnp.broadcast_to(column, (n,)) for column in parents]
                    weights = parameters["weights"][np.array(which)]
                    mean = mean + jnp.stack(parents, axis=1) @ weights
                equation = self._equation(j, mean, parameters, numbers, heavy)
                if hit is not None:
                    equation = equation.mask(~hit[:, j])
                observed = None if x is None else x[:, j]
                value = numpyro.sample(self.names[j], equation, obs=observed)
                columns[j] = value - self._means[j]

    def _parameters(self, numbers, heavy):
        logistic = [kind == "logistic" for kind in self.likelihoods]
        spreads = np.where(logistic, _LOGISTIC, self._spreads)
        found = {"intercepts": _site("intercepts", dist.Normal(0.0, _real(spreads)))}
        if self.edges:
            cause, effect = np.array(self.edges).T
            ratios = spreads[effect] / self._spreads[cause]
            found["weights"] = _site("weights", dist.Normal(0.0, _real(ratios)))
        if numbers:
            half = dist.HalfNormal(_real(spreads[numbers]))
            found["scales"] = _site("scales", half)
        if heavy:
            gamma = dist.Gamma(2.0, 0.1).expand([len(heavy)])
            found["degrees"] = _site("degrees", gamma)
        return found

    def _equation(self, j, mean, parameters, numbers, heavy):
        kind = self.likelihoods[j]
        if kind == "logistic":
            return dist.Bernoulli(logits=mean)
        mean, scale = mean + self._means[j], parameters["scales"][numbers.index(j)]
        if kind == "student_t":
            return dist.StudentT(parameters["degrees"][heavy.index(j)], mean, scale)
        return (dist.Laplace if kind == "laplace" else dist.Normal)(mean, scale)

    def _checked(self, x, num_rows, intervened):
        if (x is None) == (num_rows is None):
            raise ValueError("give x, or num_rows to draw rows, and not both")
        d = len(self.names)
        if x is None:
            if intervened is not None:
                raise ValueError(
                    "intervened marks cells of x, which is not given: set a column "
                    "with numpyro.handlers.do"
                )
            return None, None, num_rows
        x = jnp.asarray(x, jnp.result_type(float))
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(
                f"x has the shape {x.shape}; the graph asks for [n, {d}], a column for "
                f"each of {self.names}"
            )
        if intervened is not None:
            intervened = jnp.asarray(intervened, bool)
            if intervened.shape != x.shape:
                raise ValueError(
                    f"intervened has the shape {intervened.shape}, x {x.shape}: they "
                    "must be the same"
                )
        if not isinstance(x, jax.core.Tracer):
            self._check_cells(np.asarray(x))
        return x, intervened, len(x)

    def _check_cells(self, x):
        for j, name in enumerate(self.names):
            if not np.isfinite(x[:, j]).all():
                raise ValueError(
                    f"column {name!r} of x has a gap or an infinite number: fill it or "
                    "leave out the row"
                )
            logistic = self.likelihoods[j] == "logistic"
            if logistic and not np.isin(x[:, j], [0, 1]).all():
                raise ValueError(
                    f"column {name!r} is logistic and must hold 0 and 1 alone: code "
                    "its classes so, or give it another likelihood"
                )

    def weight_matrix(self, weights: ArrayLike) -> Array:
        """Draws of the site "weights" as matrices.

        Args:
          weights: ``[..., e]``.

        Returns:
          ``[..., d, d]`` float, i -> j at [i, j], 0 where there is no edge. Of linear
          equations ``scores.bge_weights.total_effects`` makes total effects of it.
        """
        weights = jnp.asarray(weights)
        d = len(self.names)
        empty = jnp.zeros((*weights.shape[:-1], d, d), weights.dtype)
        if not self.edges:
            return empty
        cause, effect = np.array(self.edges).T
        return empty.at[..., cause, effect].set(weights)


def to_numpyro(
    graph: nx.DiGraph | pd.DataFrame | ArrayLike,
    *,
    likelihood: str | Mapping[str, str] = "gaussian",
    means: ArrayLike | None = None,
    spreads: ArrayLike | None = None,
) -> StructuralModel:
    """The structural equations of a graph as a model of numpyro.

        x_j - m_j = b_j + sum_{i -> j} w_ij (x_i - m_i) + e_j,   e_j of scale s_j

    with m and u the ``means`` and ``spreads``. The noise is normal, Student's t or
    Laplace. A column that is "logistic" holds 0 and 1, and its logit is
    b_j + sum_i w_ij (x_i - m_i). The sites are

    - "weights" ``[e]``, of the edges, row by row of the graph: Normal(0, u_j / u_i),
      or Normal(0, 2.5 / u_i) if the child is logistic;
    - "intercepts" ``[d]``: Normal(0, u_j), or Normal(0, 2.5);
    - "scales", of the columns that are not logistic: HalfNormal(u_j);
    - "degrees" of freedom, of the columns of Student's t: Gamma(2, 0.1);
    - each column by its own name, drawn after its parents.

    Args:
      graph: ``estimator.graph_`` or another ``networkx.DiGraph``, whose nodes are the
        columns; ``estimator.adjacency_``; or ``[d, d]`` bool, whose columns are called
        x0, x1, .... An edge of open direction is taken as the graph directs it.
      likelihood: of all columns, or a dictionary of those that are not "gaussian":
        "student_t" and "laplace" bear outliers, "logistic" is for 0 and 1.
      means: ``[d]``, of the columns; left out, 0.
      spreads: ``[d]``, standard deviations of the columns, positive; left out, 1. The
        priors are in these units, so give both for columns that are not standardised.
        Standardise the columns instead if SVI is to fit the model: its optimisers take
        steps of one size in all parameters.

    Returns:
      The model: ``model(x, intervened=None)`` or ``model(num_rows=n)``.

    Raises:
      ValueError: if the graph has a cycle, if a likelihood is unknown, if two columns
        or a column and a parameter have one name, or if a shape does not fit.

    Example:
      >>> model = to_numpyro(np.array([[0, 1], [0, 0]], bool))
      >>> model.names, model.edges
      (['x0', 'x1'], [(0, 1)])
    """
    names, matrix = _named(graph)
    if set(names) & set(SITES):
        taken = sorted(set(names) & set(SITES))[0]
        raise ValueError(
            f"column {taken!r} has the name of a parameter of the model: rename it"
        )
    centre = _vector("means", means, names, 0.0)
    spread = _vector("spreads", spreads, names, 1.0)
    if not (spread > 0).all():
        where = names[int(np.argmin(spread > 0))]
        raise ValueError(
            f"spreads must be positive; that of {where!r} is not: leave out a column "
            "that does not vary"
        )
    return StructuralModel(names, matrix, _kinds(likelihood, names), centre, spread)


def _named(graph):
    """Names and an acyclic matrix."""
    if isinstance(graph, nx.Graph):
        if not graph.is_directed():
            raise ValueError("the graph is undirected: give a networkx.DiGraph")
        if graph.graph.get("kind") == "pag":
            raise ValueError(
                "the graph is a partial ancestral graph, whose circles leave open what "
                "is a cause: give a DAG, such as the graph_ of another method"
            )
        names = [str(node) for node in graph]
        matrix = np.array([[graph.has_edge(i, j) for j in graph] for i in graph])
        if graph.graph.get("confounded", "[]") != "[]":
            warnings.warn(
                "the graph has pairs with a likely hidden common cause, which the "
                f"model leaves out: {graph.graph['confounded']}",
                stacklevel=3,
            )
    else:
        matrix = np.asarray(graph) != 0
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(
                f"the graph must be a square matrix [d, d], not of shape {matrix.shape}"
            )
        if isinstance(graph, pd.DataFrame):
            names = [str(name) for name in graph.columns]
        else:
            names = [f"x{k}" for k in range(len(matrix))]
    if len(set(names)) < len(names):
        twice = max(names, key=names.count)
        raise ValueError(f"two columns are called {twice!r}: rename one")
    directed = _directed(matrix)
    if not nx.is_directed_acyclic_graph(directed):
        cycle = [names[i] for i, _ in nx.find_cycle(directed)]
        shown = " -> ".join(map(repr, [*cycle, cycle[0]]))
        raise ValueError(f"the graph has a cycle: {shown}; remove an edge of it")
    return names, matrix


def _directed(matrix):
    return nx.from_numpy_array(matrix, create_using=nx.DiGraph)


def _kinds(likelihood, names):
    alike = not isinstance(likelihood, Mapping)
    given = dict.fromkeys(names, likelihood) if alike else likelihood
    for name, kind in given.items():
        if name not in names:
            raise ValueError(
                f"likelihood names {name!r}, which is no column of the graph: {names}"
            )
        if kind not in LIKELIHOODS:
            raise ValueError(
                f"likelihood of {name!r} is {kind!r}: write one of {LIKELIHOODS}"
            )
    return [given.get(name, "gaussian") for name in names]


def _vector(what, value, names, default):
    array = np.asarray(np.full(len(names), default) if value is None else value, float)
    if array.shape != (len(names),) or not np.isfinite(array).all():
        raise ValueError(
            f"{what} must be a finite number for each of the columns {names}, in this "
            f"order; its shape is {array.shape}"
        )
    return array


def _site(name, distribution):
    return numpyro.sample(name, distribution.to_event(1))


def _real(value):
    return jnp.asarray(value, jnp.result_type(float))
