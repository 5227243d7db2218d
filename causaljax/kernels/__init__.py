"""Methods as pure functions, one file each; see ``causaljax.types.Kernel``."""

from causaljax.kernels import amortized, dagma, order

__all__ = ["amortized", "dagma", "order"]
