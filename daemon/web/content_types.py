"""Which content types name something else than the JSON, or the tensors, that a request to run a model has. Any thread.

A body is read as what its route takes whatever its type, so that a bare ``curl -d`` works, unless that type names a
form that it cannot be.
"""

from collections.abc import Set as AbstractSet

from daemon.errors import UnsupportedMediaType
from daemon.web.answers import JSON
from daemon.web.array_forms import FILES

CSV = "text/csv"
_NEVER_TENSORS = ("multipart/", "image/", "audio/", "video/")
_FORMS = FILES | {
    CSV,
    "application/x-protobuf",
    "application/x-recordio-protobuf",
    "application/vnd.apache.parquet",
    "application/jsonlines",
    "text/libsvm",
    "text/x-libsvm",
}
"""What clients of model servers send besides JSON."""


def refuse_other_forms(media_type: str, *, known: AbstractSet[str] = frozenset(), expected: str = JSON) -> None:
    """Raises UnsupportedMediaType for a form that is none of those ``known`` to the route; ``expected`` names them.

    ``media_type`` is in lower case, without parameters.
    """
    if media_type.startswith(_NEVER_TENSORS) or (media_type in _FORMS and media_type not in known):
        raise UnsupportedMediaType(f"found content type {media_type:.100}, expected {expected}")
