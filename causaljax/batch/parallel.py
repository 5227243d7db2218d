"""Batches of independent fits laid over devices.

Each device fits its own share of a batch. Nothing is communicated until the answers
are gathered, so devices never wait for each other. What a fit answers depends on its
key, problem and config alone: a batch gives the same numbers to the last bit on any
number of devices of one kind.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from causaljax.core import run
from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows, padded_size
from causaljax.core.types import Array, Kernel, Problem, PyTree


def local_mesh() -> Mesh:
    """The devices of this process along one axis, "fit"."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), ("fit",), axis_types=(AxisType.Auto,), devices=devices
    )


def run_sharded(
    kernel: Kernel,
    keys: Array,
    problems: Problem | Sequence[Problem],
    configs: PyTree | Sequence[PyTree],
    mesh: Mesh | None = None,
    *,
    gather: bool = True,
) -> Any:
    """Fits independent problems on all devices of a mesh.

    A device works on ``kernel.fits_at_once(d)`` problems together and takes one such
    group after another. A batch need not be a multiple of anything: a device with
    fewer problems is done sooner.

    Problems of different sizes go in a list. Rows are padded to
    ``core.problem.padded_size`` with weight 0, which changes no answer. Columns are
    never padded. Problems that then have one shape, and configs that differ in real
    numbers only, share one compiled program.

    A staged kernel is put together from compiled parts as its steps ask for them. Its
    fits run one after another, on the first device of the mesh that this process has:
    as one program it takes minutes to compile, and on several devices of one CPU its
    factorisations can wait for each other for ever (jaxlib 0.10). Several processes
    speed it up, by ``batch.processes.share``.

    Several processes: without ``mesh`` each process fits what it is given on devices
    of its own. With a mesh over devices of several processes, each of them must call
    with the same whole batch, and each gets the whole answer.

    Args:
      kernel: the method.
      keys: ``[b]`` typed keys, one a problem; see ``core.run.numbered_keys``.
      problems: leaves ``[b, ...]``, fitted as they are; or a list of b problems.
      configs: the kernel's ``Config`` for all, or a list of b of them.
      mesh: its devices share the batch, along all axes; None is all devices of this
        process.
      gather: False leaves stacked answers on the devices that computed them. The
        number of problems must then be a multiple of the number of devices.

    Returns:
      For stacked problems what ``core.run.run`` returns, stacked along axis 0, of
      numpy arrays, or jax's if not gathered. For a list of problems, a list of what
      ``run`` returns; entries of rows in ``extra`` are those of the padded problem.

    Raises:
      ValueError: if the batch is empty, if keys, problems and configs differ in
        number, or if ``gather=False`` cannot be had.
    """
    mesh = local_mesh() if mesh is None else mesh
    stacked = isinstance(problems, Problem)
    total = np.shape(problems.x)[0] if stacked else len(problems)
    several = isinstance(configs, list | tuple)
    _check_numbers(total, len(keys), len(configs) if several else total)
    _check_mesh(kernel, total, mesh, gather and stacked)
    if stacked:
        configs = _merge(configs) if several else (configs, ())
        return _fit_alike(kernel, keys, problems, *configs, mesh, gather)
    configs = list(configs) if several else [configs] * total
    answers: list[Any] = [None] * total
    for numbers in _buckets(problems, configs).values():
        most = padded_size(max(np.shape(problems[k].x)[0] for k in numbers))
        alike = [pad_rows(problems[k], most) for k in numbers]
        alike = jax.tree.map(lambda *leaves: np.stack(leaves), *alike)
        config, varied = _merge([configs[k] for k in numbers])
        found = _fit_alike(
            kernel, keys[np.array(numbers)], alike, config, varied, mesh, True
        )
        for place, number in enumerate(numbers):
            answers[number] = jax.tree.map(lambda leaf, k=place: leaf[k], found)
    return answers


def _check_numbers(total, num_keys, num_configs):
    if not total:
        raise ValueError("there is no problem to fit")
    for name, number in (("keys", num_keys), ("configs", num_configs)):
        if number != total:
            raise ValueError(
                f"{total} problems and {number} {name}: give one for each problem"
            )


def _check_mesh(kernel, total, mesh, gather):
    spans = mesh.size > len(mesh.local_devices)
    if kernel.staged and spans:
        raise ValueError(
            "the fits of a staged kernel run one after another: leave mesh out and "
            "give each process its share (batch.processes.share)"
        )
    if gather:
        return
    if kernel.staged:
        raise ValueError(
            "the fits of a staged kernel run one after another: gather=False leaves "
            "nothing on the devices, use gather=True"
        )
    if total % mesh.size:
        raise ValueError(
            f"gather=False needs a number of problems that {mesh.size} devices share "
            f"evenly, not {total}: add copies of a problem"
        )


def _buckets(problems, configs):
    """Numbers of problems that one program fits, by what the program depends on."""
    buckets = {}
    for number, (problem, config) in enumerate(zip(problems, configs, strict=True)):
        rows, columns = np.shape(problem.x)
        leaves, structure = jax.tree.flatten(config)
        kind = tuple((np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
        which = padded_size(rows), columns, problem.x.dtype, structure, kind
        buckets.setdefault(which, []).append(number)
    return buckets


def _merge(configs):
    """Configs of one structure as one, and the numbers of its leaves that are stacked.

    What is the same for all stays as it is: weights of a network are kept once.
    """
    structures = {jax.tree.structure(config) for config in configs}
    if len(structures) > 1:
        raise ValueError(
            "configs of stacked problems may differ in real numbers only: give a list "
            "of problems, for which each kind of config has a program"
        )
    varied, leaves = [], []
    columns = zip(*map(jax.tree.leaves, configs), strict=True)
    for number, column in enumerate(columns):
        first = column[0]
        same = all(
            leaf is first or (np.ndim(leaf) == np.ndim(first) == 0 and leaf == first)
            for leaf in column
        )
        leaves.append(
            first if same else np.stack([np.asarray(leaf) for leaf in column])
        )
        varied += [] if same else [number]
    return jax.tree.unflatten(structures.pop(), leaves), tuple(varied)


def _fit_alike(kernel, keys, problems, config, varied, mesh, gather):
    """Stacked answers to stacked problems; leaves ``varied`` of the config are, too."""
    if kernel.staged:
        return _one_by_one(kernel, keys, problems, config, varied, mesh)
    total, _, d = np.shape(problems.x)
    size = kernel.fits_at_once(d)
    # Groups of one size whatever the number of devices, so that no bit depends on it.
    share = -(-total // (mesh.size * size)) * size
    order = np.minimum(np.arange(mesh.size * share), total - 1)
    axes = PartitionSpec(mesh.axis_names)

    def dealt(leaf, rows):
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(
            (len(rows), *leaf.shape[1:]),
            NamedSharding(mesh, axes),
            lambda index: leaf[rows[index[0]]],
        )

    counts = np.clip(total - share * np.arange(mesh.size), 0, share)
    # Of double precision: as ``run`` does it, while jax traces it.
    double = kernel.precision != "single" or jax.config.values["jax_enable_x64"]
    with jax.enable_x64(double):
        leaves = [
            dealt(leaf, order)
            if number in varied
            else (np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf)
            for number, leaf in enumerate(jax.tree.leaves(config))
        ]
        answers = _fit_on_mesh(
            kernel,
            dealt(jax.random.key_data(keys), order),
            jax.tree.map(lambda leaf: dealt(leaf, order), problems),
            leaves,
            dealt(counts.astype(np.int32), np.arange(mesh.size)),
            structure=jax.tree.structure(config),
            varied=varied,
            size=size,
            mesh=mesh,
            impl=str(jax.random.key_impl(keys)),
        )
        return (
            jax.tree.map(lambda leaf: _gathered(leaf)[:total], answers)
            if gather
            else answers
        )


@quick_jit(static_argnames=("kernel", "structure", "varied", "size", "mesh", "impl"))
def _fit_on_mesh(
    kernel, keys, problems, leaves, counts, *, structure, varied, size, mesh, impl
):
    axes, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()

    def fit_share(keys, problems, leaves, count):
        config = jax.tree.unflatten(structure, leaves)
        keys = jax.random.wrap_key_data(keys, impl=impl)
        return run.run_many(
            kernel, keys, problems, config, size, stacked=varied, count=count[0]
        )

    placed = [axes if k in varied else everywhere for k in range(len(leaves))]
    return jax.shard_map(
        fit_share,
        mesh=mesh,
        in_specs=(axes, axes, placed, axes),
        out_specs=axes,
        check_vma=False,  # optax.lbfgs and fresh constants in branches fail under it
    )(keys, problems, leaves, counts)


def _gathered(leaf):
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    return multihost_utils.process_allgather(leaf, tiled=True)


def _one_by_one(kernel, keys, problems, config, varied, mesh):
    leaves, structure = jax.tree.flatten(config)
    answers = []
    with jax.default_device(mesh.local_devices[0]):
        for k in range(len(keys)):
            settings = [
                leaf[k] if number in varied else leaf
                for number, leaf in enumerate(leaves)
            ]
            problem = jax.tree.map(lambda leaf, k=k: leaf[k], problems)
            found = run.run(
                kernel, keys[k], problem, jax.tree.unflatten(structure, settings)
            )
            answers.append(jax.tree.map(np.asarray, found))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *answers)
