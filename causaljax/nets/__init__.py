"""Networks that read a table and say what they believe of its graph.

One module an architecture, each with the same functions: ``init_params``,
``inputs`` and ``edge_logits``. The only room that imports flax. They load on
first use.
"""

import pkgutil

import lazy_loader

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES)
