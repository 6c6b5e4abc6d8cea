"""The checks that read a candidate's bytes without running them. They run on the deployer's thread."""

import os
from pathlib import Path

from daemon.errors import Rejected
from daemon.gate.subject import Subject
from daemon.intake.members import location_fault
from daemon.intake.naming import shown
from daemon.intake.outline import OutlineState, read_outline


class Integrity:
    """The model file has every digest that was stated for it: by a sidecar, or by the one who sent it."""

    name = "integrity"

    def examine(self, subject: Subject) -> None:
        for digest in subject.digests:
            if digest != subject.candidate.file_sha256:
                reason = f"expected sha256 {digest}, found {subject.candidate.file_sha256}"
                raise Rejected(self.name, reason)


class Structure:
    """The store's copy is a whole model file by its outline, and every file that it refers to came with it."""

    name = "structure"

    def examine(self, subject: Subject) -> None:
        path = subject.candidate.path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            outline = read_outline(fd, path.suffix)
        finally:
            os.close(fd)
        if outline.state is OutlineState.CUT:
            raise Rejected(self.name, f"truncated: {outline.reason}")
        if outline.state is OutlineState.ALIEN:
            raise Rejected(self.name, outline.reason)
        for reference in outline.references:
            self._need(path, reference.location)

    def _need(self, path: Path, location: str) -> None:
        if (fault := location_fault(location)) is not None:
            raise Rejected(self.name, f"external data location {shown(location)!r} {fault}")
        if not (path.parent / location).is_file():
            raise Rejected(self.name, f"its external data {shown(location)!r} did not come with it")
