"""Tests of conditional independence, many at once, behind one signature.

Each file is a test; ``interface`` says what they have in common. Modules load on first
use.
"""

import pkgutil

import lazy_loader

_FILES = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, _FILES)
