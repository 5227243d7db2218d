"""How far a graph could have been read off marginal numbers of its variables.

In many simulated systems variance, or the share of variance that the others explain,
grows along causal paths; sorting by it then looks like causal discovery. These
functions tell how much of that there is. They run once a fit, on a few small matrices,
by numpy: to compile them would take longer than all they save.
"""

import numpy as np

_LEAST = 1e-9  # the part of a variance below which what is left of it is rounding


def explained_share(covariance: np.ndarray) -> np.ndarray:
    """R2 of each variable's linear regression on all others.

    R2_j = 1 - 1 / (C_jj (C^-1)_jj)

    Args:
      covariance: ``[d, d]``; a ridge far below any noise keeps a singular one usable.

    Returns:
      ``[d]`` in [0, 1].

    Source: Reisach et al. 2023, "A scale-invariant sorting criterion to find a
    causal order in additive noise models", section 3.
    """
    scale = np.sqrt(np.maximum(np.diagonal(covariance), np.finfo(float).tiny))
    correlation = covariance / scale[:, None] / scale[None, :]
    ridge = 10 * np.finfo(covariance.dtype).eps
    precision = np.linalg.inv(correlation + ridge * np.eye(len(covariance)))
    return np.clip(1 - 1 / np.diagonal(precision), 0, 1)


def sortability(graph: np.ndarray, criterion: np.ndarray) -> float:
    """The part of a graph's causal pairs along which a criterion grows.

    Over all lengths k and all pairs joined by a directed path of length k; a tie
    counts half. 0.5 is what an uninformative criterion gives, 1 means that sorting
    by it gives a causal order.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      criterion: ``[d]``, e.g. variances or ``explained_share``.

    Returns:
      A number in [0, 1]; NaN for a graph without edges.

    Source: Reisach, Seiler and Weichwald 2021, "Beware of the simulated DAG!",
    equation 1, for variances; Reisach et al. 2023 for R2.
    """
    edges = np.asarray(graph, float)
    grows = np.sign(criterion[None, :] - criterion[:, None]) / 2 + 0.5
    joined, total, ascending = edges, 0.0, 0.0
    while joined.any():
        total, ascending = total + joined.sum(), ascending + (joined * grows).sum()
        joined = (joined @ edges > 0).astype(float)
    return float(ascending / total) if total else float("nan")


# Of more columns than distinct rows the last are sums of others: anything goes.
@np.errstate(over="ignore", invalid="ignore")
def sort_and_regress(
    criterion: np.ndarray, covariance: np.ndarray, rows: float, penalty: float = 2.0
) -> np.ndarray:
    """The baseline graph: sort variables by a criterion, regress on all earlier ones.

    An edge stays if dropping it alone would cost more log-likelihood than its
    penalty, n log(1 + b^2 / (v P)) > penalty log n, where b is its coefficient, v
    the residual variance and P the entry of the parents' inverse covariance.

    Args:
      criterion: ``[d]``, ascending in the supposed causal order.
      covariance: ``[d, d]``, of all variables.
      rows: n.
      penalty: in units of the BIC's.

    Returns:
      ``[d, d]`` bool, acyclic.

    Source: Reisach, Seiler and Weichwald 2021, section 4.1 (SortnRegress), with
    BIC tests in place of the Lasso.
    """
    order = np.argsort(criterion, kind="stable")
    ordered = covariance[np.ix_(order, order)]
    precision = np.zeros_like(ordered)  # of the variables so far, bordered by each
    kept = np.zeros(ordered.shape, bool)
    for child, own in enumerate(np.diagonal(ordered)):
        shared = ordered[:child, child]
        weights = precision[:child, :child] @ shared
        variance = max(own - weights @ shared, _LEAST * own, np.finfo(float).tiny)
        scale = variance * np.diagonal(precision)[:child]
        kept[:child, child] = rows * np.log1p(weights**2 / scale) > penalty * np.log(
            rows
        )
        border = np.append(-weights, 1)
        precision[: child + 1, : child + 1] += np.outer(border, border) / variance
    graph = np.zeros_like(kept)
    graph[np.ix_(order, order)] = kept
    return graph


def baselines(
    graph: np.ndarray, x: np.ndarray, scales: np.ndarray
) -> dict[str, tuple[float, int]]:
    """What sorting by variance or by R2 says of a graph learned from a table.

    Args:
      graph: ``[d, d]`` bool, acyclic.
      x: ``[n, d]``, the rows without a gap; interventions are ignored, as whoever
        sorts would.
      scales: ``[d]``, the user's units, by which the columns of x were divided.

    Returns:
      By criterion, "variance" and "r2", the graph's sortability (NaN without an edge)
      and its SHD to the graph of ``sort_and_regress``.
    """
    centred = x.astype(float) - x.mean(axis=0, dtype=float)
    covariance = centred.T @ centred / len(x)
    criteria = {
        "variance": np.diagonal(covariance) * scales**2,
        "r2": explained_share(covariance),
    }
    found = {}
    for name, criterion in criteria.items():
        differs = graph != sort_and_regress(criterion, covariance, len(x))
        distance = int(np.triu(differs | differs.T).sum())
        found[name] = sortability(graph, criterion), distance
    return found
