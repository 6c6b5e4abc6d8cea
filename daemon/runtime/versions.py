"""Which models the ONNX Runtime that is installed can load, asked of it once; any thread.

It has no call for that. But its refusals name what it takes, so two models of a few bytes, of versions that no one will
ever write, are held up to it. What it does not say is unknown, and then nothing is concluded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from daemon.runtime import sessions

_IR = re.compile(r"max supported IR version: (\d+)")
_OPSET = re.compile(r"official support for domain (\S+) is till opset (\d+)")
_NEVER_WRITTEN = 1_000_000
_VERSIONED_DOMAINS = ("", "ai.onnx.ml", "com.microsoft")


@dataclass(frozen=True, slots=True)
class RuntimeVersions:
    """What ``library`` (its name and version) loads; None and absent domains are unknown.

    ``ir`` is the highest IR version, ``opsets`` the highest opset of each domain ("" is ``ai.onnx``), ``domains`` are
    those that it has operators of.
    """

    library: str
    ir: int | None
    opsets: Mapping[str, int]
    domains: frozenset[str] | None


@cache
def runtime_versions() -> RuntimeVersions:
    """What the installed ONNX Runtime loads; takes some milliseconds the first time."""
    found = _IR.search(sessions.refusal_of_bytes(_model(ir=_NEVER_WRITTEN, domain="", opset=1)))
    opsets: dict[str, int] = {}
    for domain in _VERSIONED_DOMAINS:
        said = _OPSET.search(sessions.refusal_of_bytes(_model(ir=3, domain=domain, opset=_NEVER_WRITTEN)))
        if said is not None and said[1] == (domain or "ai.onnx"):
            opsets[domain] = int(said[2])
    return RuntimeVersions(
        library=f"onnxruntime {sessions.VERSION}",
        ir=int(found[1]) if found else None,
        opsets=opsets,
        domains=sessions.operator_domains(),
    )


def _model(*, ir: int, domain: str, opset: int) -> bytes:
    """A ``ModelProto`` by onnx.proto: ``ir_version`` 1, ``opset_import`` 8 (``domain`` 1, ``version`` 2), graph 7."""
    imported = _text(1, domain.encode()) + b"\x10" + _varint(opset)
    return b"\x08" + _varint(ir) + _text(8, imported) + _text(7, _text(2, b"empty"))


def _text(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
