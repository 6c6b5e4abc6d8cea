"""Bodies that are packed with gzip or deflate, as ``Content-Encoding`` says (RFC 9110, 8.4.1). Any thread, no state."""

import zlib

from daemon.errors import BadRequest, TooLarge, UnsupportedMediaType

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
"""zlib's mark for either header, which it tells apart by itself."""


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
    except zlib.error as error:
        raise BadRequest(f"the body is not {kind}, as its content encoding says: {error}") from None
    if len(plain) > limit_bytes:
        raise TooLarge(f"the unpacked body has more than {limit_bytes} bytes; at most so many are taken")
    if not unpacking.eof:
        raise BadRequest(f"the body is not {kind}, as its content encoding says: it ends too early")
    if unpacking.unused_data:
        raise BadRequest(f"the body has {len(unpacking.unused_data)} bytes after the end of its {kind}")
    return plain


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
