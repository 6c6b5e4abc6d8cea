"""Memory of this process: giving freed pages back to the system; any thread."""

import ctypes
from collections.abc import Callable
from functools import cache


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
