"""The gate between candidate and release: a visible, ordered list of checks, each in a room of its own."""

from daemon.gate.comparing import Tolerance
from daemon.gate.examples import Examples
from daemon.gate.gate import Check, Gate, TriedCheck
from daemon.gate.golden import Golden
from daemon.gate.integrity import Integrity
from daemon.gate.memory import Memory
from daemon.gate.proofs import Proof, Proofs
from daemon.gate.relapse import Relapse
from daemon.gate.replay import Replay, ReplayLimits
from daemon.gate.report import Report, Verdict
from daemon.gate.ring import RequestRing
from daemon.gate.signature import SignatureCheck
from daemon.gate.structure import Structure
from daemon.gate.subject import Subject
from daemon.gate.trial import Trial, TrialSettings
from daemon.gate.tried import Tried

__all__ = [
    "Check",
    "Examples",
    "Gate",
    "Golden",
    "Integrity",
    "Memory",
    "Proof",
    "Proofs",
    "Relapse",
    "Replay",
    "ReplayLimits",
    "Report",
    "RequestRing",
    "SignatureCheck",
    "Structure",
    "Subject",
    "Tolerance",
    "Trial",
    "TrialSettings",
    "Tried",
    "TriedCheck",
    "Verdict",
]
