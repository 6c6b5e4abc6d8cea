"""What a request to run a model is and what its answer is, as plain values, whatever language it speaks.

Entered by request threads; holds no state.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.errors import AT_ONCE, HandOver, TooLarge
from daemon.release import Release
from daemon.runtime import Array, Output
from daemon.web.packing import unpacked

Piece = bytes | memoryview
Which = int | str
"""A version, or a label: ``LIVE`` for the one that serves, ``PREVIOUS`` for the one before as long as it stands by."""
LIVE, PREVIOUS = "stable", "previous"
BOUND = "server.max_body_mb"
"""The setting that bounds a body, for whoever is refused for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """The release that is to answer: of ``model``, or of the default one where that is None."""

    model: str | None = None
    which: Which = LIVE


@dataclass(slots=True)
class Prediction:
    """An encoded answer in one or more pieces, and the headers that say what it is and which release gave it."""

    pieces: Sequence[Piece]
    headers: Sequence[tuple[str, str]]


def media_type(content_type: str) -> str:
    """A content type without its parameters, in lower case; empty where there is none."""
    return content_type.partition(";")[0].strip().lower()


@dataclass(slots=True)
class Asked:
    """A request to run the release at ``target``; ``fields`` is the WSGI environment (PEP 3333).

    Whoever reads it sets ``patience_seconds`` where the client says how long the run may take at most. ``limit_bytes``
    is what its body may have, unpacked, once that is read.
    """

    target: Target
    fields: Mapping[str, Any]
    patience_seconds: float | None = None
    limit_bytes: int = 0

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; empty where there is none."""
        return media_type(self.fields.get("CONTENT_TYPE", ""))

    def header(self, name: str) -> str:
        """The value of a header other than the content's type and length, named in WSGI's form: ``ACCEPT``."""
        value: str = self.fields.get(f"HTTP_{name}", "")
        return value

    @property
    def at_once(self) -> bool:
        """Whether who asks can answer others only after it."""
        return AT_ONCE in self.fields

    def body(self, limit_bytes: int) -> bytes:
        """The whole body, unpacked; raises TooLarge beyond ``limit_bytes``, BadRequest or UnsupportedMediaType.

        HandOver where it is packed and to be read ``at_once``: how long that takes cannot be told before.
        """
        length = self.length(limit_bytes)
        body: bytes = self.fields["wsgi.input"].read(-1 if length is None else length)
        encoding = self.fields.get("HTTP_CONTENT_ENCODING")
        if encoding is None:
            return body
        if self.at_once:
            raise HandOver
        try:
            return unpacked(body, encoding, limit_bytes)
        except TooLarge as error:
            raise TooLarge(f"{error} ({BOUND})") from None

    def length(self, limit_bytes: int) -> int | None:
        """How many bytes the body has as it comes, if that is known; raises TooLarge beyond ``limit_bytes``."""
        self.limit_bytes = limit_bytes
        stated = self.fields.get("CONTENT_LENGTH") or ""
        length = int(stated) if stated.isdecimal() else None
        if length is not None and length > limit_bytes:
            raise TooLarge(f"the body has {length} bytes; at most {limit_bytes} are taken ({BOUND})")
        return length


Tell = Callable[[list[Output]], Prediction]
"""The answer that a release's outputs are to one request."""
Read = Callable[[Asked, bytes], tuple[Mapping[str, Array], Tell]]
"""The inputs that a request has for a release, by name, and how its answer is told.

Raises InvalidJson, InvalidInput, BadRequest or UnsupportedMediaType.
"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One language in which clients ask for predictions: a translation to inputs, and of outputs back.

    ``name`` is its name in metrics. ``rules`` are the paths of the POST requests that run a model, as Flask has them,
    with ``<model>``, ``<int:version>`` or ``<label>`` for what is to answer. ``reader_of`` is called once a release.
    ``operation`` is OpenAPI's Operation Object (3.1) of these requests without what all dialects have alike: places in
    the path, and errors. ``body_of`` reads the whole body, for which there may be a better way than the usual one.
    """

    name: str
    rules: tuple[str, ...]
    reader_of: Callable[[Release], Read]
    operation: Mapping[str, object]
    body_of: Callable[[Asked, int], bytes] = Asked.body
