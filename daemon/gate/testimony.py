"""What a trial's process says of its candidate, made a proof; pure, any thread.

A model that took the process over may say anything. It is taken for what it claims to be, a release that is bad, but
what does not make sense is refused here, and nothing but plain values of the known kinds goes on from here.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from daemon.errors import Rejected
from daemon.gate.proofs import Proof
from daemon.release import signature_from


def proof_from(answer: Mapping[str, Any], *, why_not_compiled: str | None) -> Proof:
    """The proof that ``answer`` makes; raises Rejected by the check ``trial`` where it makes none.

    ``why_not_compiled`` is a clause where no compiled form was asked for; what is said of one does not count then.
    """
    try:
        proof = Proof(signature_from(answer["signature"]), dict(answer["metadata"]), _trial(answer, why_not_compiled))
        if not proof.signature.outputs:
            raise ValueError("no outputs")
        json.dumps(asdict(proof))  # as the store and the journal write it
    except (LookupError, TypeError, ValueError, OverflowError, RecursionError):
        raise unreadable() from None
    return proof


def unreadable() -> Rejected:
    """The refusal of a candidate whose process gave an answer to something that is none."""
    return Rejected("trial", "its process gave an answer that cannot be read")


def _trial(answer: Mapping[str, Any], why_not_compiled: str | None) -> dict[str, object]:
    unguessed = str(answer["unguessed"])
    return {
        "load_seconds": float(answer["load_seconds"]),
        "compiled": _compiled(answer["compiled"]) if why_not_compiled is None else why_not_compiled,
        "memory": {name: int(answer["memory"][name]) for name in ("peak_bytes", "resident_bytes")},
        "runs": [{"batch": int(run["batch"]), "seconds": float(run["seconds"])} for run in answer["runs"]],
        "batch": _batch(answer["batch"]),
        **({"unguessed": unguessed} if unguessed else {}),
    }


def _compiled(said: Mapping[str, Any]) -> str | Mapping[str, object]:
    return f"failed: {said['failed']}" if "failed" in said else {"load_seconds": float(said["load_seconds"])}


def _batch(said: Mapping[str, Any]) -> Mapping[str, object]:
    equals = said["equals_single"]
    if equals is True:
        return {"equals_single": True, "max_difference": float(said["max_difference"])}
    if equals is False or equals is None:
        return {"equals_single": equals, "reason": str(said["reason"])}
    raise ValueError("neither yes nor no nor unknown")
