"""Compiled programs kept on disk, so that another process need not compile them."""

import hashlib
import os
import platform
import zlib
from pathlib import Path

import jax

_MOST_BYTES = 512 * 2**20  # of all programs together; the oldest in use go first
_ENTRY, _ACCESS = "-cache", "-atime"  # endings of jax's files
_STAMP = ".causaljax-checked"
_ZSTANDARD = b"\x28\xb5\x2f\xfd"  # how such data begin
# What jax is told, unless its own environment variable says otherwise.
_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    "jax_compilation_cache_max_size": _MOST_BYTES,
}


def enable_compilation_cache(path: str | os.PathLike | None = None) -> Path:
    """Keeps compiled programs in a folder, for later processes to load.

    Sets jax's global flags of its persistent cache, for all that the process compiles;
    call it before the first fit. Several processes may share a folder. Entries that a
    killed process left broken are removed, and the folder holds at most 512 MiB, the
    programs least recently used going first.

    Args:
      path: the folder, made if missing. None: that of the environment variable
        ``JAX_COMPILATION_CACHE_DIR`` if it is set, else a folder of the user's cache
        (``platformdirs``) for this kind of processor.

    Returns:
      The folder.

    Raises:
      ValueError: if the folder cannot be written to.

    Whoever can write to the folder can run code in your process: share it with nobody
    you do not trust.

    Example:
      >>> import causaljax
      >>> causaljax.enable_compilation_cache("cache")  # doctest: +SKIP
      PosixPath('cache')
    """
    import filelock

    path = path or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = _default_folder() if path is None else Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The lock is that of jax, which writes no entry while it is held.
        with filelock.FileLock(folder / ".lockfile", timeout=10):
            _mend(folder)
    except (OSError, filelock.Timeout) as error:
        raise ValueError(
            f"{folder}: compiled programs cannot be kept there ({error}); name another "
            "folder"
        ) from None
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def _default_folder():
    import platformdirs

    # A program may use instructions that only this kind of processor has.
    information, features = Path("/proc/cpuinfo"), ""
    if information.exists():
        lines = information.read_text().splitlines()
        listed = (line for line in lines if line.startswith(("flags", "Features")))
        features = next(listed, "")
    text = "\n".join((platform.machine(), platform.processor(), features))
    kind = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Path(platformdirs.user_cache_dir("causaljax")) / f"programs-{kind}"


def _mend(folder):
    """Removes entries that a killed process left broken, since the last time."""
    stamp = folder / _STAMP
    last = stamp.stat().st_mtime_ns if stamp.exists() else 0
    for entry in folder.glob(f"*{_ENTRY}"):
        written = entry.stat().st_mtime_ns
        access = entry.with_name(entry.name.removesuffix(_ENTRY) + _ACCESS)
        if written >= last and not _is_whole(entry):
            entry.unlink()
            access.unlink(missing_ok=True)
        elif not access.exists() or access.stat().st_size != 8:
            # Without it jax could not tell which programs to let go.
            access.write_bytes(written.to_bytes(8, "little"))
    stamp.touch()


def _is_whole(entry):
    """Whether a compressed file can be read to its end."""
    data = entry.read_bytes()
    try:
        _decompress(data)
    except Exception:  # each library has errors of its own
        return False
    return True


def _decompress(data):
    if data[:4] != _ZSTANDARD:
        return zlib.decompress(data)
    try:  # as jax does, by what there is
        from compression import zstd  # Python 3.14
    except ImportError:
        import zstandard as zstd
    return zstd.decompress(data)
