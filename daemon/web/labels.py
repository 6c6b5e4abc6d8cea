"""The labels by which a model's loaded releases can be named, beside their versions. Any thread, no state."""

from collections.abc import Sequence

from daemon.errors import UnknownVersion
from daemon.release import Release
from daemon.web.asking import LIVE, PREVIOUS

_LABELS = (LIVE, PREVIOUS)


def labelled(loaded: Sequence[Release], label: str) -> Release:
    """The one with that label of the releases of a model that are ``loaded``: what serves, then what stands by.

    Raises UnknownVersion.
    """
    if label not in _LABELS:
        expected = " or ".join(map(repr, _LABELS))
        raise UnknownVersion(f"model {loaded[0].model!r} has no label {label!r:.100}: expected {expected}")
    place = _LABELS.index(label)
    if place >= len(loaded):
        raise UnknownVersion(f"no release of model {loaded[0].model!r} is loaded beside version {loaded[0].version}")
    return loaded[place]
