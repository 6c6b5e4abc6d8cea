"""The bytes that a stretch of base64 in a file stands for, decoded as they are read. For one thread at a time.

Source: RFC 4648, section 4.
"""

import binascii
from typing import BinaryIO

from daemon.errors import BadRequest

STEP_BYTES = 128 << 10
"""So much base64 is decoded at once, in 0.15 ms: requests wait for the interpreter lock meanwhile."""


class Base64Stream:
    """What lies in ``stream`` from ``start`` to ``end``, decoded; ``name`` is what a refusal calls it.

    JSON may write ``/`` as ``\\/``. Others may read ``stream`` between two reads of this one.
    """

    def __init__(self, stream: BinaryIO, start: int, end: int, name: str) -> None:
        self._stream = stream
        self._at = start
        self._end = end
        self._name = name
        self._encoded = b""  # what did not fill four characters
        self._decoded = b""  # what was not asked for yet
        self._has_ended = False  # base64 ends with its padding

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, which are none at the end; raises BadRequest for what is no base64."""
        while not self._decoded and self._at < self._end:
            self._decoded = self._next()
        if not self._decoded and self._encoded:
            raise self._refused("its length is not a multiple of four")
        piece, self._decoded = self._decoded[:size], self._decoded[size:]
        return piece

    def _next(self) -> bytes:
        self._stream.seek(self._at)
        piece = self._stream.read(min(STEP_BYTES, self._end - self._at))
        if not piece:
            raise self._refused("it ends early")
        self._at += len(piece)
        encoded = (self._encoded + piece).replace(b"\\/", b"/")
        whole = len(encoded) // 4 * 4
        if encoded.endswith(b"\\") and self._at < self._end:
            whole = min(whole, (len(encoded) - 1) // 4 * 4)
        self._encoded = encoded[whole:]
        return self._decode(encoded[:whole])

    def _decode(self, encoded: bytes) -> bytes:
        if encoded and self._has_ended:
            raise self._refused("something follows its padding")
        self._has_ended = encoded.endswith(b"=")
        try:
            return binascii.a2b_base64(encoded, strict_mode=True)
        except binascii.Error as error:
            raise self._refused(str(error).lower()) from None

    def _refused(self, why: str) -> BadRequest:
        return BadRequest(f"{self._name}: expected base64: {why}")
