"""Inputs that a candidate is known to be meant for, to be tried before any are made up. On the deployer's thread."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import Rejected
from daemon.gate.golden import golden_files, read_golden, test_data_sets
from daemon.gate.ring import RequestRing
from daemon.gate.subject import Subject
from daemon.runtime import Array

MOST = 2
"""Of each kind: one that runs is enough."""


@dataclass(frozen=True, slots=True)
class Given:
    """Inputs in three forms: arrays by name, as JSON has them, and folders of ONNX's test data."""

    arrays: list[Mapping[str, Array]]
    plain: list[object]
    folders: list[str]


class Examples:
    """Looks for inputs in the golden files, beside the file that came, and among recent requests."""

    def __init__(self, golden_folder: Path | None, ring: RequestRing) -> None:
        self._golden_folder = golden_folder
        self._ring = ring

    def of(self, subject: Subject) -> Given:
        """What there is for ``subject``; what cannot be read is for the golden check to refuse."""
        plain: list[object] = []
        folders: list[Path] = []
        try:
            for path in golden_files(self._golden_folder, subject.model)[:MOST]:
                plain.append(read_golden(path, path.name).get("inputs"))
            folders = test_data_sets(subject.beside)[:MOST]
        except Rejected:
            pass
        recent = [sample.inputs for sample in self._ring.samples(subject.model)[:MOST]]
        return Given(recent, plain, [str(folder) for folder in folders])
