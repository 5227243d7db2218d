"""Graphs from tests of independence: PC and FCI.

These searches are no ``Kernel`` of steps of one shape: how many questions there are
depends on the answers. The host makes lists of questions, a test answers them in
batches on the device.

Modules load on first use.
"""

import pkgutil

import lazy_loader

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES)
