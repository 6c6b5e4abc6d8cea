"""What a body that is not the JSON it should be seems to be, and what to do about it. Pure functions, any thread."""

import orjson

_GZIP = b"\x1f\x8b\x08"
_FILES = ((b"\x93NUMPY", ".npy", "application/x-npy"), (b"PK\x03\x04", ".npz", "application/x-npz"))
_NO_NUMBERS = ("NaN", "nan", "Infinity", "inf")


def seeming(body: bytes, error: orjson.JSONDecodeError) -> str:
    """The end of a sentence for a body that ``error`` says is no JSON; empty where nothing is to be said."""
    if body.startswith(_GZIP):
        return "; it seems to be packed: send it with Content-Encoding: gzip, or unpacked"
    if error.doc.startswith(_NO_NUMBERS, error.pos):
        return "; JSON has no NaN and no Infinity"
    return ""


def seeming_file(body: bytes) -> str:
    """The same for a body that may be one of NumPy's files, where those are taken."""
    for magic, suffix, media_type in _FILES:
        if body.startswith(magic):
            return f"; it seems to be a {suffix} file: send Content-Type: {media_type}"
    return ""
