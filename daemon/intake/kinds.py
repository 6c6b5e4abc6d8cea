"""What a file that is no model seems to be, by its first bytes, so that whoever dropped it knows; pure, any thread.

Magic numbers are those of file(1)'s database and of the formats' own descriptions.
"""

KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs.github.com/", "a Git LFS pointer, not the file itself: fetch it with git lfs pull"),
    (0, b"PK\x03\x04", "a zip archive, as PyTorch (.pt), NumPy (.npz) and Keras write: export the model to ONNX"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes: export the model with tf2onnx"),
    (4, b"TFL3", "a TensorFlow Lite model: export it with tf2onnx"),
    (4, b"ORTM", "an .ort file: give it that ending"),
    (0, b"GGUF", "a GGUF file: it has no ONNX graph"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x1f\x8b", "a gzip file: unpack it first"),
    (0, b"BZh", "a bzip2 file: unpack it first"),
    (0, b"\xfd7zXZ\x00", "an xz file: unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, b"\x7fELF", "a program or a library"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"%PDF-", "a PDF document"),
    (8, b'{"', "a safetensors file: it holds weights without a graph; export the model to ONNX"),
    *(
        (0, bytes([0x80, protocol]), "a pickle: it is never loaded; export the model to ONNX")
        for protocol in range(2, 6)
    ),
)
"""Where the mark stands, the mark, and what it means."""

LOOKED_AT_BYTES = 512
_HTML = (b"<!doctype html", b"<html")
_TEXT_BYTES = frozenset(b"\t\n\r" + bytes(range(32, 127)) + bytes(range(128, 256)))


def seems_to_be(start: bytes) -> str | None:
    """What the file that begins with ``start`` (``LOOKED_AT_BYTES`` of it) seems to be; None where nothing tells."""
    for place, mark, meaning in KINDS:
        if start.startswith(mark, place):
            return meaning
    plain = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if plain.lower().startswith(_HTML):
        return "an HTML page, such as a server's answer in place of the file"
    if plain.startswith((b"{", b"[")) and _is_text(plain):
        return "JSON"
    return "text" if _is_text(start) else None


def _is_text(start: bytes) -> bool:
    if not start or not set(start) <= _TEXT_BYTES:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(start) - 3  # a character that the cut went through
    return True
