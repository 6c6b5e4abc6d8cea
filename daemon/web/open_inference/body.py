"""Bodies with binary tensors, read so that the first of them lies where operators like it. Entered by request threads.

The JSON before it has any length, so that a body that is read as it comes has its tensors at odd places, and each would
have to be copied once more before ONNX Runtime may look at it.
"""

from typing import cast

import numpy as np

from daemon.web.asking import Asked

HEADER = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"
"""As WSGI has its name."""
LEAST_ALIGNED_BYTES = 64 << 10
"""Of less, a copy costs less than to see to it."""
ALIGNED_BYTES = 64
"""To what the processor's widest loads want; more than any element needs."""


def body_of(asked: Asked, limit_bytes: int) -> bytes:
    """The whole body, as ``Asked.body`` has it and raises; a view of one byte an element where that spares a copy."""
    place = _place(asked.fields.get(HEADER))
    if not place or "HTTP_CONTENT_ENCODING" in asked.fields:
        return asked.body(limit_bytes)
    length = asked.length(limit_bytes)
    if length is None or length < LEAST_ALIGNED_BYTES:
        return asked.body(limit_bytes)
    room = np.empty(length + ALIGNED_BYTES, np.uint8)
    begin = -(room.ctypes.data + place) % ALIGNED_BYTES
    view = room.data[begin : begin + length]
    read = asked.fields["wsgi.input"].readinto(view)
    return cast(bytes, view[:read].toreadonly())


def _place(stated: str | None) -> int:
    """Where the binary part begins; 0 where nothing sensible is said of it, which whoever reads the body refuses."""
    return int(stated) if stated is not None and stated.isascii() and stated.isdecimal() and len(stated) < 10 else 0
