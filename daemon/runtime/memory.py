"""Memory of this process: giving freed pages back to the system, and counting what it holds; any thread."""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

_STATM = Path("/proc/self/statm")


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``, or None where the C library has none (musl, macOS)."""
    try:
        trim_call = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    trim_call.argtypes = [ctypes.c_size_t]
    trim_call.restype = ctypes.c_int
    return lambda keep_bytes: int(trim_call(keep_bytes))


def trim() -> None:
    """Ask the allocator to give freed memory back: glibc keeps a dropped model's pages for itself otherwise.

    Takes milliseconds and releases the GIL; for the lane that retires releases, not for a request.
    """
    if (give_back := _malloc_trim()) is not None:
        give_back(0)


def resident_bytes(statm: Path = _STATM) -> int:
    """Bytes of physical memory that this process holds now, mapped files included; 0 where the system does not say.

    Source of the format: proc(5), ``/proc/pid/statm``, second field, in pages.
    """
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
