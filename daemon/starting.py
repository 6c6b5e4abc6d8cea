"""What makes a start lighter: no garbage to look for, no threads that nobody needs, and room for frames. Main thread.

To be called before anything else is imported.
"""

import gc
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

ROOM_WORDS = 64 << 10
"""Of 8 bytes: imports go some 200 calls deep, and each takes 20 to 60 words. What is not used takes no memory."""


def lighten() -> None:
    """Until the daemon is ready, no garbage is collected: of what a start makes, little is any.

    And for good, numpy starts no threads to multiply matrices with, which nobody here does: they would look for work
    with a whole core while the imports go on. Whoever set how many there should be is not overruled.
    """
    gc.disable()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def with_room(act: Callable[P, R]) -> Callable[P, R]:
    """``act``, called by a frame that asks for ``ROOM_WORDS``: the frames of what it calls find room behind it.

    CPython keeps the frames of a thread in pieces of 16 KiB, and maps and unmaps one for each call across the end of
    the last. Where a loop has such a call, as deep imports may, each turn costs ten microseconds (measured: up to 50 ms
    of a start, by the order of the imports).
    """

    def roomy(*arguments: P.args, **named: P.kwargs) -> R:
        return act(*arguments, **named)

    roomy.__code__ = roomy.__code__.replace(co_stacksize=ROOM_WORDS)
    return roomy
