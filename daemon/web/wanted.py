"""What a request that changes what serves asks for, as checked values. Entered by request threads; holds no state."""

import base64
import binascii
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from daemon.errors import BadRequest
from daemon.intake.naming import MODEL_SUFFIXES, is_model_name

SWITCHES = frozenset({"force", "dry_run"})
_WORDS = {"true": True, "1": True, "false": False, "0": False}
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):", re.IGNORECASE)
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Switches:
    """``force``: deploy in spite of what only users can judge; ``dry_run``: change nothing and report."""

    force: bool
    dry_run: bool


def switches_of(wanted: Mapping[str, object]) -> Switches:
    """The switches in a body; raises BadRequest for what is not true or false."""
    for name in SWITCHES & wanted.keys():
        if not isinstance(wanted[name], bool):
            raise BadRequest(f"{name}: expected true or false, found {wanted[name]!r:.100}")
    return Switches(force=wanted.get("force") is True, dry_run=wanted.get("dry_run") is True)


def switches_of_query(query: Mapping[str, str]) -> Switches:
    """The switches in a query, where true and false are words; raises BadRequest as ``switches_of``."""
    for name in SWITCHES & query.keys():
        if query[name].lower() not in _WORDS:
            raise BadRequest(f"{name}: expected true or false, found {query[name]!r:.100}")
    return switches_of({name: _WORDS[query[name].lower()] for name in SWITCHES & query.keys()})


def refuse_unknown_keys(wanted: Mapping[str, object], known: AbstractSet[str]) -> None:
    """A misspelt key must not change what serves in another way than was meant."""
    for key in wanted.keys() - known:
        raise BadRequest(f"unknown key {key!r:.100}: expected {' or '.join(map(repr, sorted(known)))}")


def object_at(wanted: Mapping[str, object], key: str) -> dict[str, object]:
    """The object at ``key``, empty where there is none; raises BadRequest."""
    value = wanted.get(key, {})
    if not isinstance(value, dict):
        raise BadRequest(f"{key}: expected an object, found {value!r:.100}")
    return value


def model_name(name: object) -> str:
    if not isinstance(name, str) or not is_model_name(name):
        raise BadRequest(f"model: expected a name of letters, digits, '.', '_' or '-', at most 100, found {name!r}")
    return name


def model_filename(name: str) -> str:
    if "/" in name or "\\" in name or not name.lower().endswith(MODEL_SUFFIXES):
        raise BadRequest(f"filename: expected a bare name ending in .onnx or .ort, found {name!r}")
    return name


def suffix_of(filename: str) -> str:
    return f".{filename.rpartition('.')[2].lower()}"


def stated_digests(hex_digest: str | None, content_digest: str | None) -> tuple[str, ...]:
    """The SHA-256 digests, in hex, that the client vouches for: X-Content-SHA256 and RFC 9530's Content-Digest."""
    stated = [] if hex_digest is None else [_from_hex(hex_digest)]
    return (*stated, *([] if content_digest is None else [_from_content_digest(content_digest)]))


def _from_hex(given: str) -> str:
    if not _HEX_DIGEST.fullmatch(given.strip()):
        raise BadRequest(f"X-Content-SHA256: expected 64 hexadecimal digits, found {given[:80]!r}")
    return given.strip().lower()


def _from_content_digest(given: str) -> str:
    found = _DIGEST.search(given)
    if found is None:
        raise BadRequest(f"Content-Digest: expected sha-256=:BASE64:, found {given[:80]!r}")
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadRequest(f"Content-Digest: expected the base64 of 32 bytes, found {found[1][:80]!r}")
    return digest.hex()
