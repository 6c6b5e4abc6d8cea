"""Zip archives in memory, as NumPy's ``.npz`` files are: read within bounds, written as they are. Any thread, no state.

The standard library reads the directory; the members are taken out here, so that none is unpacked beyond its bound and
those that are stored are not copied. The format is PKWARE's APPNOTE, 4.3.7 and 4.3.12.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO

from daemon.errors import BadRequest, TooLarge
from daemon.web.asking import Piece

_DIRECTORY_ENTRY = b"PK\x01\x02"
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, EOFError, OSError, OverflowError)
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1


def unpacked_members(body: bytes, limit_bytes: int, *, most: int) -> dict[str, memoryview]:
    """The bytes of each member by name: views on ``body`` where they are stored, else unpacked (deflate).

    Raises BadRequest for what is no such archive, is damaged, or has more than ``most`` members; TooLarge where they
    have more than ``limit_bytes`` together, before any is unpacked.
    """
    if (count := body.count(_DIRECTORY_ENTRY)) > most:
        raise BadRequest(f"the body is a zip archive of some {count} members; at most {most} are taken")
    members = _directory(body)
    size_bytes = sum(member.file_size for member in members)
    if size_bytes > limit_bytes:
        raise TooLarge(
            f"the unpacked body has {size_bytes} bytes; at most {limit_bytes} are taken (server.max_body_mb)"
        )
    found: dict[str, memoryview] = {}
    for member in members:
        if member.filename in found:
            raise BadRequest(f"the zip archive has two members {member.filename!r:.100}")
        found[member.filename] = _unpacked(memoryview(body), member)
    return found


def packed_members(members: Mapping[str, Iterable[Piece]]) -> bytes:
    """An archive of ``members``, stored as they are, all of the same date: equal members make equal archives."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as writing:
        for name, pieces in members.items():
            with writing.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
    return archive.getvalue()


def _directory(body: bytes) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(BytesIO(body)) as archive:
            return [member for member in archive.infolist() if not member.filename.endswith("/")]
    except _UNREADABLE as error:
        raise BadRequest(f"the body is no zip archive that can be read: {error}") from None


def _unpacked(body: memoryview, member: zipfile.ZipInfo) -> memoryview:
    called = f"member {member.filename!r:.100} of the zip archive"
    if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadRequest(f"{called}: expected it stored or deflated, and not encrypted")
    packed = _packed(body, member)
    data = packed if member.compress_type == zipfile.ZIP_STORED else _inflated(packed, member.file_size)
    if data is None or len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise BadRequest(f"{called} is damaged: it has not the bytes that the directory says")
    return data


def _packed(body: memoryview, member: zipfile.ZipInfo) -> memoryview:
    """What lies behind the member's own header, which has a length of its own; empty where there is none."""
    begin = member.header_offset
    if not 0 <= begin <= len(body) - _LOCAL_HEADER.size:
        return memoryview(b"")
    magic, name_length, extra_length = _LOCAL_HEADER.unpack_from(body, begin)
    begin += _LOCAL_HEADER.size + name_length + extra_length
    return body[begin : begin + member.compress_size] if magic == b"PK\x03\x04" else memoryview(b"")


def _inflated(packed: memoryview, size_bytes: int) -> memoryview | None:
    """``packed`` without its deflation (raw, RFC 1951), of which no more than a byte beyond ``size_bytes`` is made."""
    try:
        return memoryview(zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size_bytes + 1))
    except zlib.error:
        return None
