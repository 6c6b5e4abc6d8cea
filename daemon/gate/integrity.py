"""The model file has every digest that was stated for it. It runs on the deployer's thread."""

from collections.abc import Mapping

from daemon.errors import Rejected
from daemon.gate.subject import Subject


class Integrity:
    """Digests come from a sidecar, or from the one who sent the bytes; with ``required`` there must be one."""

    name = "integrity"

    def __init__(self, *, required: bool = False) -> None:
        self._required = required

    def examine(self, subject: Subject) -> Mapping[str, object]:
        for digest in subject.digests:
            if digest != subject.candidate.file_sha256:
                raise Rejected(self.name, f"expected sha256 {digest}, found {subject.candidate.file_sha256}")
        if self._required and not subject.digests and not subject.is_known:
            raise Rejected(
                self.name,
                "no sha256 was stated for it, expected a .sha256 file beside it or, of an upload, the header "
                "X-Content-SHA256 or Content-Digest (gate.integrity.required)",
            )
        return {}
