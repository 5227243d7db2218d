"""What a fit will take, said before it begins."""

import os
from pathlib import Path
from typing import NamedTuple

import jax

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
SAID_SECONDS = 10.0
"""Of a fit that takes longer than so many seconds it is said beforehand."""
SAID_SHARE = 0.25
"""And of one that takes more than this share of the free memory."""


class Cost(NamedTuple):
    """A forecast, right to a factor of two or three; of compiled programs."""

    seconds: float
    gigabytes: float  # of 2^30 bytes


def free_gigabytes() -> float | None:
    """Memory that a fit may take: of the accelerator, or else of this process.

    Returns:
      GiB; None where the system does not tell.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) / 2**30
    free = [found for found in (_of_machine(), _of_container()) if found is not None]
    return min(free) / 2**30 if free else None


def _of_machine():
    try:
        lines = _MEMINFO.read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return int(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # no Linux: all that there is
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None


def _of_container():
    try:
        most = int((_CGROUP / "memory.max").read_text())
        return most - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # there is none, or no bound
        return None


def told(cost: Cost | None, size: str, free: float | None, mend: str) -> str:
    """What to say of a fit beforehand.

    Args:
      cost: the forecast, None if there is none.
      size: of the table, in words.
      free: GiB, None if nobody knows.
      mend: what to do where memory is short.

    Returns:
      A line; "" for a fit that is soon done.

    Raises:
      ValueError: if the fit needs more memory than there is.

    Example:
      >>> told(Cost(180, 3.1), "500 columns", 16.0, "")
      'about 3 min for 500 columns'
    """
    if cost is None:
        return ""
    if free is not None and cost.gigabytes > free:
        raise ValueError(
            f"{size} take about {_number(cost.gigabytes)} GiB of memory and "
            f"{_number(free)} GiB are free: {mend}"
        )
    parts = []
    if cost.seconds > SAID_SECONDS:
        parts.append(_clock(cost.seconds))
    if free is not None and cost.gigabytes > SAID_SHARE * free:
        parts.append(f"{_number(cost.gigabytes)} of {_number(free)} GiB of free memory")
    return f"about {' and '.join(parts)} for {size}" if parts else ""


def _number(gigabytes):
    return f"{gigabytes:.1f}" if gigabytes < 10 else f"{gigabytes:,.0f}"


def _clock(seconds):
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
