"""One large problem whose rows lie on many devices."""

import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from causaljax.batch import meshes
from causaljax.core import run
from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree

_ROWS = "x", "observed", "intervened", "regime", "weight"  # leaves with a place a row


def run_on_rows(
    kernel: Kernel,
    key: Array,
    problem: Problem,
    config: PyTree,
    mesh: Mesh | None = None,
) -> tuple[Posterior, PyTree]:
    """Fits one problem whose rows lie on all devices of a mesh.

    Each device holds its part of the rows and sums over it; the sums are added up. All
    else is done by each device for itself. This is for kernels that read weighted sums
    of the rows and nothing else (``kernel.sums_rows``): the descent and the search
    over orders with Gaussian noise. Other methods sort rows or draw some of them, for
    which each device would have to have all.

    Several processes: with a mesh over devices of several processes, each of them must
    call with the same table; its devices get their part of the rows.

    Args:
      kernel: the method.
      key: typed key.
      problem: the table.
      config: the kernel's ``Config``.
      mesh: its devices share the rows, along all axes; None is all devices of this
        process.

    Returns:
      What ``core.run.run`` returns, of numpy arrays. Sums over parts differ from sums
      over all rows by rounding.

    Raises:
      ValueError: if the kernel does more with rows than sum them.
    """
    if not kernel.sums_rows(config):
        raise ValueError(
            "this method does more with rows than sum them, so each device would need "
            "all of them: fit it on one device (core.run.run); rows can be shared by "
            'the kernels continuous, and order_search with noise="gaussian"'
        )
    mesh = meshes.local_mesh() if mesh is None else mesh
    everywhere = NamedSharding(mesh, PartitionSpec())
    with meshes.float_mode(kernel):
        placed = _place_rows(problem, mesh)
        config = jax.tree.map(meshes.on_host, config)
        words = np.asarray(jax.random.key_data(key))
        answer = _fit_on_rows(
            kernel, words, placed, config, jax.random.key_impl(key), everywhere
        )
        return jax.tree.map(meshes.gathered, answer)


def _place_rows(problem, mesh):
    """The problem with its rows dealt out and all else everywhere."""
    rows, axes = len(problem.x), PartitionSpec(mesh.axis_names)
    problem = pad_rows(problem, -(-rows // mesh.size) * mesh.size)

    def dealt(name, leaf):
        sharding = NamedSharding(mesh, axes if name in _ROWS else PartitionSpec())
        return jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: leaf[index]
        )

    placed: dict[str, Any] = {
        name: jax.tree.map(functools.partial(dealt, name), part)
        for name, part in problem._asdict().items()
    }
    return Problem(**placed)


@quick_jit(static_argnames=("kernel", "impl", "everywhere"))
def _fit_on_rows(kernel, key, problem, config, impl, everywhere):
    """The compiler adds up sums of rows that lie on several devices."""
    key = jax.random.wrap_key_data(key, impl=impl)
    answer = run.run(kernel, key, problem, config)
    return jax.lax.with_sharding_constraint(answer, everywhere)
