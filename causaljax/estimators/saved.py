"""Fitted estimators that a file gives back: ``load``."""

from pathlib import Path

from causaljax.estimators.base import BaseGraphEstimator
from causaljax.tables import edges, model_files


def load(path: str | Path) -> BaseGraphEstimator:
    """Reads a fitted estimator that ``save`` wrote.

    Its attributes and methods answer as those of the one that was saved, to the last
    bit on the same machine. No code is read from the file.

    Args:
      path: of the file.

    Returns:
      The estimator.

    Raises:
      ValueError: naming the file, if it is missing, damaged, of a newer format or no
        estimator.

    Example:
      >>> import tempfile
      >>> import numpy as np
      >>> from causaljax import LinearDAG, load
      >>> rng = np.random.default_rng(0)
      >>> cause = rng.normal(size=500)
      >>> table = np.stack([cause, cause + rng.normal(size=500)], axis=1)
      >>> model = LinearDAG().fit(table)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     model.save(f"{folder}/model.safetensors")
      ...     load(f"{folder}/model.safetensors").edges_.equals(model.edges_)
      True
    """
    kind, state = model_files.read_model(path)
    if not issubclass(kind, BaseGraphEstimator) or "edges_" not in state:
        raise ValueError(f"{path}: holds no fitted estimator of causaljax")
    model = kind()  # an option that is newer than the file has its default
    vars(model).update(state)
    names = [str(name) for name in model.adjacency_]
    model.graph_ = edges.to_networkx(model.edges_, names)
    return model
