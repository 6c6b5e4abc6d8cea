"""What a predict request is and what its answer is, as plain values, and what of its body is read before any model is.

Entered by request threads; holds no state.
"""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.errors import InvalidInput, UnsupportedMediaType
from daemon.release import Signature
from daemon.runtime import Array, decoder_of, read_flat
from daemon.web.answers import read_object

LARGE_BYTES = 2 << 10
"""From here on a body is worth the shorter way that large ones have."""
_NEVER_JSON = ("multipart/", "image/", "audio/", "video/")
_OTHER_FORMS = frozenset({"application/x-npy", "application/x-npz", "text/csv", "application/x-protobuf"})


@dataclass(slots=True)
class Asked:
    """A predict request: for which ``model``, its media type without parameters, and its body, ``length`` bytes where
    that is known, which ``read`` gives as a whole. ``at_once``: who asks can answer others only after it."""

    model: str
    media_type: str
    length: int | None
    read: Callable[[], bytes]
    at_once: bool = False


@dataclass(slots=True)
class Prediction:
    """An encoded answer, and the headers that say what it is and which release gave it."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


def refuse_other_forms(media_type: str) -> None:
    """A body is read as JSON whatever its type, unless that names a form that JSON cannot be."""
    if media_type.startswith(_NEVER_JSON) or media_type in _OTHER_FORMS:
        raise UnsupportedMediaType(f"found content type {media_type}, expected application/json")


def inputs_of(body: bytes) -> object:
    """The value of ``inputs``; raises InvalidJson or InvalidInput where there is none."""
    value = read_object(body)
    if "inputs" not in value:
        found = ", ".join(repr(key) for key in list(value)[:10]) or "an empty object"
        raise InvalidInput(f"expected a key 'inputs', found {found}")
    return value["inputs"]


def body_decoder(signature: Signature) -> Callable[[bytes], dict[str, Array]]:
    """A function from a body to the arrays that it has for the inputs of ``signature``.

    Raises InvalidJson or InvalidInput.
    """
    decode = decoder_of(signature)

    def decoded(body: bytes) -> dict[str, Array]:
        if len(body) >= LARGE_BYTES and (arrays := read_flat(body, signature)) is not None:
            return arrays
        return decode(inputs_of(body))

    return decoded
