"""Methods as pure functions, one file each; see ``causaljax.types.Kernel``."""

from causaljax.kernels import dagma, order

__all__ = ["dagma", "order"]
