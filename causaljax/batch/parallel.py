"""Batches of independent fits laid over devices.

Each device fits its own share of a batch. Nothing is communicated until the answers
are gathered, so devices never wait for each other. What a fit answers depends on its
key, problem and config alone: a batch gives the same numbers to the last bit on any
number of devices of one kind. Probabilities and effects of the neural kernel alone can
differ in the last place between one device and several.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from causaljax.batch import meshes
from causaljax.core import run
from causaljax.core.compiling import quick_jit
from causaljax.core.problem import pad_rows, padded_size
from causaljax.core.types import Array, Kernel, Problem, PyTree

_FITS, _CELLS = 32, 2**22  # that a call has at most, for each device


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
    mesh = meshes.local_mesh() if mesh is None else mesh
    stacked = isinstance(problems, Problem)
    total = np.shape(problems.x)[0] if stacked else len(problems)
    several = isinstance(configs, list | tuple)
    _check_numbers(total, len(keys), len(configs) if several else total)
    if not gather:
        _check_ungathered(kernel, total, mesh, stacked)
    if kernel.staged and mesh.size > len(mesh.local_devices):
        raise ValueError(
            "the fits of a staged kernel run one after another: leave mesh out and "
            "give each process its share (batch.processes.share)"
        )
    if stacked:
        problems = jax.tree.map(np.asarray, problems)
        configs = _merge(configs) if several else (configs, ())
        return _fit_alike(kernel, keys, problems, *configs, mesh, gather)
    configs = list(configs) if several else [configs] * total
    answers: list[Any] = [None] * total
    for numbers in _buckets(problems, configs).values():
        alike = [problems[k] for k in numbers]
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


def _check_ungathered(kernel, total, mesh, stacked):
    if kernel.staged:
        raise ValueError(
            "the fits of a staged kernel run one after another: gather=False leaves "
            "nothing on the devices, use gather=True"
        )
    if not stacked:
        raise ValueError(
            "gather=False needs stacked problems, with leaves [b, ...], not a list"
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


def _take(problems, numbers):
    """Some problems, stacked: of a list, or of problems that are stacked already."""
    if isinstance(problems, Problem):
        return jax.tree.map(lambda leaf: leaf[numbers], problems)
    rows = padded_size(len(problems[0].x))
    chosen = [pad_rows(problems[k], rows) for k in numbers]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)


def _fit_alike(kernel, keys, problems, config, varied, mesh, gather):
    """Stacked answers to stacked problems; leaves ``varied`` of the config are, too.

    A call of the program fits so many problems a device as their size alone says. So
    one program serves batches of any length, and is the same on any number of devices.
    """
    if kernel.staged:
        return _one_by_one(kernel, keys, problems, config, varied, mesh)
    total = len(keys)
    rows, d = _take(problems, [0]).x.shape[1:]
    at_once = kernel.fits_at_once(d)
    length = at_once * max(1, min(_FITS, _CELLS // (rows * d)) // at_once)
    share = -(-total // mesh.size)
    calls = -(-share // length)
    place = np.arange(calls * length)
    # [devices, calls, length]: which problem a device fits when.
    numbers = share * np.arange(mesh.size)[:, None] + place
    counted = (place < share) & (numbers < total)
    numbers = np.minimum(numbers, total - 1).reshape(mesh.size, calls, length)
    counts = counted.reshape(numbers.shape).sum(axis=2).astype(np.int32)
    leaves, structure = jax.tree.flatten(config)
    words = np.asarray(jax.random.key_data(keys))
    with meshes.float_mode(kernel):
        fixed = [
            meshes.on_host(leaf) for k, leaf in enumerate(leaves) if k not in varied
        ]
        parts = []
        for call in range(calls):
            chosen = numbers[:, call].ravel()
            values = [np.asarray(leaves[k])[chosen] for k in varied]
            given = words[chosen], _take(problems, chosen), values
            part = _fit_on_mesh(
                kernel,
                *meshes.deal(given, mesh),
                fixed,
                meshes.deal(counts[:, call], mesh),
                structure=structure,
                varied=varied,
                at_once=at_once,
                mesh=mesh,
                impl=jax.random.key_impl(keys),
            )
            parts.append(part)
            if gather and call:  # two calls at a time are on the devices
                parts[-2] = jax.tree.map(meshes.gathered, parts[-2])
        if not gather:
            return _join_on_mesh(parts, share, mesh)
        parts[-1] = jax.tree.map(meshes.gathered, parts[-1])

    def joined(*leaves):
        rest = leaves[0].shape[1:]
        leaves = [leaf.reshape(mesh.size, length, *rest) for leaf in leaves]
        leaf = np.concatenate(leaves, axis=1)[:, :share]
        return leaf.reshape(-1, *rest)[:total]

    return jax.tree.map(joined, *parts)


@quick_jit(static_argnames=("kernel", "structure", "varied", "at_once", "mesh", "impl"))
def _fit_on_mesh(
    kernel,
    words,
    problems,
    values,
    fixed,
    counts,
    *,
    structure,
    varied,
    at_once,
    mesh,
    impl,
):
    axes, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()

    def fit_share(words, problems, values, fixed, count):
        varying, constant = iter(values), iter(fixed)
        leaves = [
            next(varying) if k in varied else next(constant)
            for k in range(structure.num_leaves)
        ]
        return run.run_many(
            kernel,
            jax.random.wrap_key_data(words, impl=impl),
            problems,
            jax.tree.unflatten(structure, leaves),
            at_once,
            stacked=varied,
            count=count[0],
        )

    return jax.shard_map(
        fit_share,
        mesh=mesh,
        in_specs=(axes, axes, axes, everywhere, axes),
        out_specs=axes,
        check_vma=False,  # optax.lbfgs and fresh constants in branches fail under it
    )(words, problems, values, fixed, counts)


@quick_jit(static_argnames=("share", "mesh"), once=True)
def _join_on_mesh(parts, share, mesh):
    """The answers of several calls, one after another on each device."""
    axes = PartitionSpec(mesh.axis_names)

    def join(parts):
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:share], *parts)

    return jax.shard_map(
        join, mesh=mesh, in_specs=axes, out_specs=axes, check_vma=False
    )(parts)


def _one_by_one(kernel, keys, problems, config, varied, mesh):
    leaves, structure = jax.tree.flatten(config)
    answers = []
    with jax.default_device(mesh.local_devices[0]):
        for k in range(len(keys)):
            settings = [
                leaf[k] if number in varied else leaf
                for number, leaf in enumerate(leaves)
            ]
            problem = jax.tree.map(lambda leaf: leaf[0], _take(problems, [k]))
            found = run.run(
                kernel, keys[k], problem, jax.tree.unflatten(structure, settings)
            )
            answers.append(jax.tree.map(np.asarray, found))
    return jax.tree.map(lambda *leaves: np.stack(leaves), *answers)
