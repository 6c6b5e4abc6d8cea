"""The allocator of this process: large blocks are gone when they are freed. Each test in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MIB = 1 << 20
SCRIPT = """
import ctypes
from daemon.runtime.memory import LARGE_BYTES, give_large_blocks_back, trim

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def held(count, size_bytes):
    '''What is resident more after blocks, all but the last of them, were taken and freed.'''
    blocks = [libc.malloc(size_bytes) for _ in range(count + 1)]
    for block in blocks:
        ctypes.memset(block, 1, size_bytes)
    full = resident()
    for block in blocks[:-1]:
        libc.free(block)
    return count * size_bytes - (full - resident())

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
give_large_blocks_back()
libc.free(libc.malloc(30 << 20))  # glibc takes its size as the threshold unless it was told one
print(held(8, 2 * LARGE_BYTES))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")


def kept_bytes(**environment: str) -> int:
    """How much of 64 MiB in blocks of 8 the allocator keeps after they were freed."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=60,
        check=True,
    )
    return int(run.stdout)


def test_large_blocks_go_back_when_they_are_freed() -> None:
    assert kept_bytes() < MIB


def test_who_set_the_environment_is_not_overruled() -> None:
    assert kept_bytes(MALLOC_MMAP_THRESHOLD_=str(32 * MIB), MALLOC_TRIM_THRESHOLD_=str(1 << 30)) > 32 * MIB
