"""Bodies that are packed with gzip or deflate, as ``Content-Encoding`` says (RFC 9110, 8.4.1). Any thread, no state."""

import zlib

from daemon.errors import BadRequest, TooLarge, UnsupportedMediaType

MOST_MEMBERS = 10_000
"""A body of gzip may be several, one after the other (RFC 1952, 2.2); each takes time, however small it is."""
PIECE_BYTES = 16 << 10
"""So much is given to each of them at a time: what is beyond its end is copied."""
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""zlib's mark for either header, which it tells apart by itself."""
_GZIP = zlib.MAX_WBITS | 16
_GZIP_BEGINS = b"\x1f\x8b"


def unpacked(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """``body`` without its ``encoding``: gzip, deflate (zlib's format, RFC 1950) or identity.

    No more than ``limit_bytes`` are ever unpacked: raises TooLarge beyond them, BadRequest where the body is not what
    it says, and UnsupportedMediaType for other encodings.
    """
    kind = encoding.strip().lower()
    if kind in ("", "identity"):
        return body
    if kind not in ("gzip", "x-gzip", "deflate"):
        raise UnsupportedMediaType(f"found content encoding {encoding[:50]!r}, expected gzip, deflate or none")
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = unpacking.decompress(body, limit_bytes + 1)
        if len(plain) <= limit_bytes and unpacking.unused_data.startswith(_GZIP_BEGINS) and body[:2] == _GZIP_BEGINS:
            return plain + _members(unpacking.unused_data, limit_bytes - len(plain), limit_bytes)
    except zlib.error as error:
        raise BadRequest(f"the body is not {kind}, as its content encoding says: {error}") from None
    if len(plain) > limit_bytes:
        raise _too_large(limit_bytes)
    if not unpacking.eof:
        raise _cut(kind)
    if unpacking.unused_data:
        raise _more(len(unpacking.unused_data), kind)
    return plain


def _members(rest: bytes, left_bytes: int, limit_bytes: int) -> bytes:
    """What the further members of a body of gzip hold: ``left_bytes`` at most of the ``limit_bytes`` for all."""
    view, place, plain = memoryview(rest), 0, bytearray()
    for _ in range(MOST_MEMBERS - 1):
        if place == len(view):
            return bytes(plain)
        if view[place : place + 2] != _GZIP_BEGINS:
            raise _more(len(view) - place, "gzip")
        place = _member(view, place, plain, left_bytes, limit_bytes)
    if place == len(view):
        return bytes(plain)
    raise BadRequest(f"the body has more than {MOST_MEMBERS} members of gzip; at most so many are taken")


def _member(view: memoryview, place: int, plain: bytearray, left_bytes: int, limit_bytes: int) -> int:
    """Unpacks the member that begins at ``place`` to the end of ``plain``; where it ends."""
    unpacking = zlib.decompressobj(_GZIP)
    while not unpacking.eof:
        if place == len(view):
            raise _cut("gzip")
        piece = view[place : place + PIECE_BYTES]
        plain += unpacking.decompress(piece, left_bytes + 1 - len(plain))
        if len(plain) > left_bytes:
            raise _too_large(limit_bytes)
        place += len(piece) - len(unpacking.unused_data)
    return place


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the unpacked body has more than {limit_bytes} bytes; at most so many are taken")


def _cut(kind: str) -> BadRequest:
    return BadRequest(f"the body is not {kind}, as its content encoding says: it ends too early")


def _more(size: int, kind: str) -> BadRequest:
    return BadRequest(f"the body has {size} bytes after the end of its {kind}")


def packed(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """``body`` as the client accepts it, and the encoding's name: gzip or deflate where it asks for one, else None.

    ``accepted`` is an ``Accept-Encoding`` header; of what it weighs alike, the first counts.
    """
    weighed = [(weight, -index, name) for index, (name, weight) in enumerate(_accepted(accepted)) if weight > 0]
    name = max(weighed)[2] if weighed else None
    if name is None:
        return body, None
    packing = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, zlib.MAX_WBITS | (16 if name == "gzip" else 0))
    return packing.compress(body) + packing.flush(), name


def _accepted(header: str) -> list[tuple[str, float]]:
    found = []
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in ("gzip", "deflate"):
            found.append((name.strip(), _weight(parameters)))
    return found


def _weight(parameters: str) -> float:
    _, _, given = parameters.partition("q=")
    try:
        return float(given) if given else 1.0
    except ValueError:
        return 0.0
