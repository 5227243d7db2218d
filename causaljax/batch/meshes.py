"""Arrays on the devices of a mesh, of one process or several."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causaljax.core.types import Array, Kernel, PyTree


def local_mesh() -> Mesh:
    """The devices of this process along one axis, "fit"."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), ("fit",), axis_types=(AxisType.Auto,), devices=devices
    )


def deal(tree: PyTree, order: np.ndarray, mesh: Mesh) -> PyTree:
    """Entries of arrays along their first axis, dealt out to all devices of a mesh.

    Args:
      tree: of arrays ``[b, ...]``; each process reads what its devices need.
      order: ``[m]`` int, which entries; m is a multiple of the number of devices.
      mesh: the devices, along all axes.

    Returns:
      Arrays ``[m, ...]``.
    """

    def dealt(leaf):
        leaf = np.asarray(leaf)
        leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype), copy=False)
        return jax.make_array_from_callback(
            (len(order), *leaf.shape[1:]),
            NamedSharding(mesh, PartitionSpec(mesh.axis_names)),
            lambda index: leaf[order[index[0]]],
        )

    return jax.tree.map(dealt, tree)


def gathered(leaf: Array) -> np.ndarray:
    """An array as numpy's on each process, whatever devices its parts are on."""
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)


def on_host(leaf: PyTree) -> PyTree:
    """A setting that any process and device can be given."""
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


def float_mode(kernel: Kernel):
    """The mode in which jax traces a kernel, as ``core.run.run`` asks for it."""
    double = kernel.precision != "single" or jax.config.values["jax_enable_x64"]
    return jax.enable_x64(double)
