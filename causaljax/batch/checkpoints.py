"""States of a fit in progress on disk, by orbax."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jax
import numpy as np

from causaljax.batch.stopping import Preempted, Unwritable
from causaljax.core.types import PyTree


class Checkpoints:
    """Keeps the states of the runs of one fit; an estimator's ``_saver_of``.

    A state goes to disk when the last one is old enough, and at once when the process
    is asked to stop.

    Args:
      folder: of this fit, absolute; made with its first state.
      seconds: from one state on disk to the next.
      asked: whether the process has to stop.

    Attributes:
      notices: what is to say of files that were damaged.
    """

    def __init__(self, folder: Path, seconds: float, asked: Callable[[], bool]):
        self._folder, self._seconds, self._asked = folder, seconds, asked
        self._last = time.monotonic()
        self.notices: list[str] = []

    def __call__(self, run: str) -> "_RunSaver":
        """The saver of a run, by its name."""
        return _RunSaver(self, self._folder / f"run-{quote(run, safe='')}")

    def remove(self) -> None:
        """Removes the states, which a fit that has ended does not need."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # there are those of other processes
            self._folder.parent.rmdir()

    def due(self) -> bool:
        """Whether a state is to be kept now."""
        return self._asked() or time.monotonic() - self._last >= self._seconds

    def kept(self) -> None:
        """Notes that a state has been kept, and stops the process if it is asked to.

        Raises:
          Preempted: if so.
        """
        self._last = time.monotonic()
        if self._asked():
            raise Preempted


class _RunSaver:
    """A ``core.run.Saver``: a folder a state, named by its number of steps."""

    def __init__(self, fit: Checkpoints, folder: Path):
        self._fit, self._folder = fit, folder

    def restore(self, like: PyTree) -> PyTree | None:
        """The newest state that is whole, or None."""
        for path in reversed(self._states()):
            state = _read(path, like)
            if state is not None:
                return state
            self._fit.notices.append(
                f"{path}: is cut or was changed; the fit went on without it"
            )
        return None

    def save(self, state: PyTree) -> None:
        """Keeps a state if one is due; older ones are then removed."""
        if not self._fit.due():
            return
        before, path = self._states(), self._folder / f"{int(state.step):08d}"
        try:
            shutil.rmtree(path, ignore_errors=True)  # one that was damaged
            _write(path, state)
        except Exception as error:  # orbax and its storage have errors of their own
            raise Unwritable(
                "unwritable_output",
                f"{path}: the state of a fit cannot be written ({error}); what was "
                "done before is kept: make room, and start again",
            ) from None
        for old in before:
            if old != path:
                shutil.rmtree(old, ignore_errors=True)
        self._fit.kept()

    def _states(self):
        """Those that were written to their end; orbax renames a folder that is."""
        return sorted(path for path in self._folder.glob("*") if path.name.isdigit())


def _write(path: Path, state: PyTree) -> None:
    import orbax.checkpoint as ocp

    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    numbered = {f"{k:05d}": leaf for k, leaf in enumerate(leaves)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, {"leaves": numbered, "sha256": _digest(leaves)})


def _read(path: Path, like: PyTree) -> PyTree | None:
    """A state as ``like`` has it; None if it is not what was written."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            kept: Any = checkpointer.restore(path)
        leaves = [kept["leaves"][name] for name in sorted(kept["leaves"])]
        whole = np.array_equal(kept["sha256"], _digest(leaves))
    except Exception:  # of a damaged file orbax and its storage say many things
        return None
    wanted, form = jax.tree.flatten(like)
    fits = [(leaf.shape, leaf.dtype) for leaf in leaves] == [
        (np.shape(leaf), np.asarray(leaf).dtype) for leaf in wanted
    ]
    if not whole or not fits:
        return None
    # Parts of a kernel that run one by one may tell numpy's arrays from jax's.
    leaves = [
        jax.device_put(leaf) if isinstance(asked, jax.Array) else leaf
        for leaf, asked in zip(leaves, wanted, strict=True)
    ]
    return jax.tree.unflatten(form, leaves)


def _digest(leaves):
    """SHA-256 of arrays with their types and shapes, ``[32]`` bytes."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"{leaf.dtype.str}{leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
