"""What a fit leaves on record besides its edges: run.json, and the page of a report."""

import platform
import sys
from typing import Any

import jax
import numpy as np
import pandas as pd

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
_ASIDE = ("progress", "random_state")  # of the parameters; the seed says the latter


def environment() -> dict[str, str]:
    """The versions and the device that a fit runs on."""
    return {
        "causaljax": sys.modules["causaljax"].__version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
    }


def short(value: Any) -> str:
    """A value of one line: of matrices the shape."""
    if isinstance(value, pd.DataFrame | np.ndarray):
        return f"<{type(value).__name__} {list(value.shape)}>"
    return repr(value)


def run_record(model: Any) -> dict[str, Any]:
    """What is known of a fit, of JSON's types.

    Args:
      model: a fitted estimator.

    Returns:
      The environment, "call" (the constructor with the arguments that were given),
      "rows", "columns" (how each was read), "config" (all settings), "seed", "timings",
      "warnings" of the fit, "notes", "tables" besides that of edges, and the rest of
      ``info_`` as "convergence".
    """
    info = dict(model.info_)
    parameters = {
        name: value if isinstance(value, _PLAIN) else short(value)
        for name, value in model.get_params().items()
        if name not in _ASIDE
    }
    return {
        **info.pop("environment", {}),
        "call": model._call(),
        "rows": info.pop("rows", None),
        "columns": info.pop("columns", []),
        "config": parameters | info.pop("config", {}),
        "seed": info.pop("seed"),
        "timings": {"fit_seconds": info.pop("seconds")},
        "warnings": info.pop("warnings", []),
        "notes": list(model._all_notes()),
        "tables": [
            {"heads": list(table.heads), "rows": [list(row) for row in table.rows]}
            for table in model._shown_tables()
        ],
        "convergence": info,
    }
