"""Posteriors over DAGs whose weight is a product over variables.

``exact`` sums over all DAGs of few variables, ``partition_mcmc`` samples those of many.
"""

from causaljax.kernels.posterior import exact, partition_mcmc

__all__ = ["exact", "partition_mcmc"]
