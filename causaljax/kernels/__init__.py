"""Methods as pure functions, one file each; see ``causaljax.types.Kernel``."""

from causaljax.kernels import dagma

__all__ = ["dagma"]
