"""The only loop over a kernel's steps."""

from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from causaljax.core.compiling import is_traced, quick_jit
from causaljax.core.precision import in_precision
from causaljax.core.types import Array, Kernel, Posterior, Problem, PyTree

_SMALL = 2**15  # cells of a table


def _is_small(*arguments):
    problem = next(leaf for leaf in arguments if isinstance(leaf, Problem))
    return problem.x.size <= _SMALL


def _is_brief(kernel, *arguments, **others):
    return kernel.brief and _is_small(*arguments, *others.values())


def advance(
    kernel: Kernel,
    key: Array,
    state: PyTree,
    problem: Problem,
    config: PyTree,
    num_steps: int,
) -> tuple[PyTree, PyTree]:
    """Takes ``num_steps`` steps from a state.

    Step t, counted from the start of the run, gets the key ``fold_in(key, t)``;
    stopping after any step and going on later, with the same key, gives the same
    numbers to the last bit.

    Args:
      kernel: the method.
      key: typed key of the steps.
      state: from ``kernel.init`` or an earlier call.
      problem: the table.
      config: the kernel's ``Config``.
      num_steps: how many steps, static.

    Returns:
      The new state, and the diagnostics of all steps stacked along axis 0.

    Differentiable: in what the kernel's step is.
    """
    if not kernel.staged or is_traced(key, state, problem, config):
        return _advance(kernel, key, state, problem, config, num_steps)
    infos = []
    for _ in range(num_steps):
        step_key = _fold_in(key, state.step)
        state, info = kernel.step(step_key, state, problem, config)
        infos.append(info)
    trace = jax.tree.map(lambda *leaves: np.stack(leaves), *infos) if infos else None
    return state, trace


_fold_in = quick_jit(jax.random.fold_in, once=True)


@quick_jit(static_argnames=("kernel", "num_steps"), once=_is_brief)
def _advance(kernel, key, state, problem, config, num_steps):
    """All steps as one program."""

    def body(state, _):
        step_key = jax.random.fold_in(key, state.step)
        return kernel.step(step_key, state, problem, config)

    return jax.lax.scan(body, state, length=num_steps)


_keys = quick_jit(lambda key: tuple(jax.random.split(key, 3)), once=True)


def _init(kernel, key, problem, config):
    if not kernel.staged or is_traced(key, problem, config):
        return _compiled_init(kernel, key, problem, config)
    return kernel.init(key, problem, config)


@quick_jit(static_argnames="kernel", once=_is_small)
def _compiled_init(kernel, key, problem, config):
    return kernel.init(key, problem, config)


@quick_jit(static_argnames="kernel")
def _finalise(kernel, key, state, problem, config, trace):
    """The posterior, and the last diagnostics of a trace, if there is one."""
    posterior = kernel.finalise(key, state, problem, config)
    return posterior, jax.tree.map(lambda leaf: leaf[-1], trace)


class Saver(Protocol):
    """Keeps the state of a run, so that a run that was stopped can go on."""

    def restore(self, like: PyTree) -> PyTree | None:
        """The state that was saved last, or None.

        Args:
          like: a state of the same run, for structure, shapes and dtypes.
        """

    def save(self, state: PyTree) -> None:
        """Takes a state, to save it or not; it may stop the run by an exception."""


@in_precision
def run(
    kernel: Kernel,
    key: Array,
    problem: Problem,
    config: PyTree,
    *,
    num_chunks: int = 1,
    on_chunk: Callable[[int, PyTree], None] | None = None,
    saver: Saver | None = None,
) -> tuple[Posterior, PyTree]:
    """Fits a problem from start to end: init, all steps, finalise.

    Args:
      kernel: the method.
      key: typed key; the same key, problem, config and backend give the same
        answer, whatever ``num_chunks``.
      problem: the table.
      config: the kernel's ``Config``; ``config.num_steps`` steps are taken.
      num_chunks: into how many calls of ``advance`` the steps are cut.
      on_chunk: called on the host after each of them with the number of steps taken
        so far and the stacked diagnostics of its own steps, for progress bars; not
        under jit.
      saver: asked for a state to go on from, with the same ``num_chunks``, and told
        the state after each chunk but the last; not under jit.

    Returns:
      The posterior, and the diagnostics of the last step.

    Differentiable: as the kernel's ``finalise`` is. A method that estimates its answer
    anew on the graph it has found, as the descent does, answers to a change of settings
    that only steer the search (l1, learning rate) by 0: for their derivatives
    go through ``advance`` and the state.

    Example:
      >>> import jax, numpy as np
      >>> from causaljax.core import run, types
      >>> from causaljax.kernels import continuous
      >>> cause = np.random.default_rng(0).normal(size=500)
      >>> effect = 2 * cause + np.random.default_rng(1).normal(size=500)
      >>> problem = types.make_problem(np.stack([cause, effect], 1, dtype="float32"))
      >>> config = continuous.Config(num_steps=2000)
      >>> key = jax.random.key(0)
      >>> posterior, _ = run.run(continuous.KERNEL, key, problem, config)
      >>> posterior.graphs[0].astype(int).tolist()
      [[0, 1], [0, 0]]
    """
    init_key, step_key, final_key = _keys(key)
    state, trace = _init(kernel, init_key, problem, config), None
    total = config.num_steps
    # All chunks but the last have one length, so one compiled loop serves them.
    length = max(-(-total // num_chunks), 1)
    begin = 0
    if saver is not None and (saved := saver.restore(state)) is not None:
        state, begin = saved, int(saved.step)
    for start in range(begin, total, length):
        num_steps = min(length, total - start)
        state, trace = advance(kernel, step_key, state, problem, config, num_steps)
        if on_chunk is not None:
            on_chunk(start + num_steps, jax.block_until_ready(trace))
        if saver is not None and start + num_steps < total:
            saver.save(state)
    return _finalise(kernel, final_key, state, problem, config, trace)


@quick_jit(once=True)
def numbered_keys(key: Array, numbers: Array) -> Array:
    """Keys of several fits, each of which depends on its own number only.

    Args:
      key: typed key.
      numbers: ``[b]`` int, of the fits.

    Returns:
      ``[b]`` typed keys: ``fold_in(key, number)``.
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


@in_precision
@quick_jit(static_argnames=("kernel", "batch_size", "stacked"))
def run_many(
    kernel: Kernel,
    keys: Array,
    problems: Problem,
    config: PyTree,
    batch_size: int,
    *,
    stacked: tuple[int, ...] = (),
    count: ArrayLike | None = None,
) -> tuple[Posterior, PyTree]:
    """Fits problems of one shape in one compiled call.

    Args:
      kernel: the method.
      keys: ``[b]`` typed keys, one a problem; see ``numbered_keys``.
      problems: leaves ``[b, ...]``; tables of fewer rows are padded with weight 0.
      config: of all of them.
      batch_size: how many are worked on together, static; it bounds the memory.
      stacked: numbers of the config's leaves (``jax.tree.leaves``) that have an axis
        ``[b]`` in front, static.
      count: ``[]`` int, how many problems are fitted, from the first on and in whole
        batches; the rest of the answer is 0. None is all.

    Returns:
      What ``run`` returns, stacked along axis 0.

    Differentiable: as ``run``, unless ``count`` is traced.
    """
    leaves, structure = jax.tree.flatten(config)
    # A loop over keys would count as using all of them each time: it is over numbers.
    impl = jax.random.key_impl(keys)
    given = (
        jax.random.key_data(keys),
        problems,
        [jnp.asarray(leaves[k]) for k in stacked],
    )
    total = keys.shape[0]
    size = min(batch_size, total)

    def one(words, problem, values):
        key = jax.random.wrap_key_data(words, impl=impl)
        settings = leaves.copy()
        for k, value in zip(stacked, values, strict=True):
            settings[k] = value
        return run(kernel, key, problem, jax.tree.unflatten(structure, settings))

    def batch(index, answers):
        # The last one may begin earlier: it then fits some problems once more.
        start = jnp.minimum(index * size, total - size)

        def read(leaf):
            return jax.lax.dynamic_slice_in_dim(leaf, start, size)

        def write(leaf, some):
            return jax.lax.dynamic_update_slice_in_dim(leaf, some, start, axis=0)

        fits = jax.tree.map(read, given)
        if size > 1:
            found = jax.vmap(one)(*fits)
        else:
            found = one(*jax.tree.map(lambda leaf: leaf[0], fits))
            found = jax.tree.map(lambda leaf: leaf[None], found)
        return jax.tree.map(write, answers, found)

    shapes = jax.eval_shape(one, *jax.tree.map(lambda leaf: leaf[0], given))
    empty = jax.tree.map(
        lambda leaf: jnp.zeros((total, *leaf.shape), leaf.dtype), shapes
    )
    # Of whole numbers of Python's, the loop is one that has derivatives.
    num_batches = -(-(total if count is None else jnp.asarray(count)) // size)
    return jax.lax.fori_loop(0, num_batches, batch, empty)
