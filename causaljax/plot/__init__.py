"""Pictures of graphs and fits, by matplotlib: the extra ``plot``.

Every function draws on matplotlib's Axes, given as ``ax`` or of a new figure, and
returns them; ``ax.figure.savefig(path)`` writes the picture. Modules load on first use.
"""

import pkgutil
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from causaljax.plot.calibrations import calibration as calibration
    from causaljax.plot.comparisons import comparison as comparison
    from causaljax.plot.graphs import graph as graph
    from causaljax.plot.histories import convergence as convergence
    from causaljax.plot.matrices import edge_probabilities as edge_probabilities
    from causaljax.plot.mechanisms import edge as edge
    from causaljax.plot.mixtures import regimes as regimes

_HOME = {
    "calibrations": ["calibration"],
    "comparisons": ["comparison"],
    "graphs": ["graph"],
    "histories": ["convergence"],
    "matrices": ["edge_probabilities"],
    "mechanisms": ["edge"],
    "mixtures": ["regimes"],
}
"""The pictures, by the module they live in."""

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES, _HOME)
