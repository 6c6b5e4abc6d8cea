"""The gate between candidate and release: a visible, ordered list of checks."""

from daemon.gate.checks import Integrity, Structure
from daemon.gate.gate import Check, Gate
from daemon.gate.subject import Subject
from daemon.gate.trial import Proof, Trial

__all__ = ["Check", "Gate", "Integrity", "Proof", "Structure", "Subject", "Trial"]
