"""Whether a candidate is worth a compiled form: policy over values, but for a look at the disk. Deployer's thread."""

import shutil
from typing import Literal

from daemon.release import Candidate
from daemon.runtime import EngineOptions, can_save

Compile = Literal["auto", "on", "off"]

MB = 1 << 20
WORTH_IT_BYTES = 32 * MB
"""``auto`` compiles from this size on: of smaller models little is gained (measured on 2 cores: one of 14 MB loads in
11 ms, its compiled form in 8, and to make it takes 60)."""
DISK_FACTOR = 4
"""``auto`` compiles where so many times the model's size is free on the disk; the form takes one to two."""


def why_not_compiled(candidate: Candidate, choice: Compile, options: EngineOptions) -> str | None:
    """Why ``candidate`` gets no compiled form, as a clause that begins with ``off``; None where it does."""
    if choice == "off":
        return "off: gate.trial.compile"
    if candidate.path.suffix == ".ort":
        return "off: an .ort file is compiled already"
    if not can_save(options):
        return "off: only the CPU's sessions have a compiled form"
    if choice == "on":
        return None
    if candidate.size_bytes < WORTH_IT_BYTES:
        return "off: a small model loads as quickly as it came"
    free_bytes = shutil.disk_usage(candidate.path.parent).free
    if free_bytes < DISK_FACTOR * candidate.size_bytes:
        return f"off: only {free_bytes / MB:.0f} MB are free on the disk"
    return None
