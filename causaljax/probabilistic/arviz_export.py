"""Draws for arviz: graphs of a posterior over them, and parameters of equations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from causaljax.probabilistic.structural_model import StructuralModel


def to_arviz(
    graphs: ArrayLike, names: Sequence[str], *, log_prob: ArrayLike | None = None
) -> Any:
    """Draws of graphs as ``arviz.InferenceData``.

    The group ``posterior`` has "graph", of 0 and 1 with the dimensions chain, draw,
    cause and effect, whose coordinates are the names, and "num_edges". arviz's
    diagnostics treat each edge as a number: those of an edge that is in all draws, or
    in none, are NaN.

    Args:
      graphs: ``[chains, draws, d, d]`` bool; independent draws are one chain.
      names: of the variables.
      log_prob: ``[chains, draws]`` float, of each graph, up to a constant; it becomes
        "lp" of the group ``sample_stats``.

    Returns:
      ``arviz.InferenceData``.

    Raises:
      ImportError: if arviz is not installed.
      ValueError: if a shape does not fit.
    """
    arviz = _arviz()
    graphs, names = np.asarray(graphs), list(names)
    if graphs.ndim != 4 or graphs.shape[2:] != (len(names),) * 2:
        raise ValueError(
            f"graphs must have the shape [chains, draws, {len(names)}, {len(names)}], "
            f"of as many variables as there are names, not {graphs.shape}"
        )
    statistics = None
    if log_prob is not None:
        log_prob = np.asarray(log_prob)
        if log_prob.shape != graphs.shape[:2]:
            raise ValueError(
                f"log_prob must have the shape {graphs.shape[:2]}, a number for each "
                f"graph, not {log_prob.shape}"
            )
        statistics = {"lp": log_prob}
    graphs = (graphs != 0).astype(np.int8)
    return arviz.from_dict(
        posterior={"graph": graphs, "num_edges": graphs.sum(axis=(2, 3), dtype=int)},
        sample_stats=statistics,
        coords={"cause": names, "effect": names},
        dims={"graph": ["cause", "effect"]},
    )


def mcmc_to_arviz(mcmc: Any, model: StructuralModel) -> Any:
    """Draws of the parameters of a structural model as ``arviz.InferenceData``.

    Weights have the coordinate "edge", such as "dose -> weight", other parameters that
    of their columns. The rest is that of ``arviz.from_numpyro``, log likelihoods
    included.

    Args:
      mcmc: ``numpyro.infer.MCMC`` that has run on ``model``.
      model: of ``to_numpyro``.

    Returns:
      ``arviz.InferenceData``.

    Raises:
      ImportError: if arviz is not installed.
    """
    names, kinds = model.names, model.likelihoods
    pairs = list(zip(names, kinds, strict=True))
    edges = [f"{names[i]} -> {names[j]}" for i, j in model.edges]
    return _arviz().from_numpyro(
        mcmc,
        coords={
            "edge": edges,
            "column": names,
            "number": [name for name, kind in pairs if kind != "logistic"],
            "heavy_tailed": [name for name, kind in pairs if kind == "student_t"],
        },
        dims={
            "weights": ["edge"],
            "intercepts": ["column"],
            "scales": ["number"],
            "degrees": ["heavy_tailed"],
        },
    )


def _arviz():
    try:
        import arviz
    except ImportError:
        raise ImportError(
            "draws for arviz need the package arviz: pip install 'causaljax[arviz]'"
        ) from None
    return arviz
