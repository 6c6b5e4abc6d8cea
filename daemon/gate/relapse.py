"""Bytes that failed their probation are not deployed again. It runs on the deployer's thread."""

from collections.abc import Mapping

from daemon.errors import Rejected
from daemon.gate.subject import Subject
from daemon.gate.tried import Tried


class Relapse:
    """Refuses by the name ``probation``, which is what the bytes failed."""

    name = "probation"

    def examine(self, subject: Subject, tried: Tried) -> Mapping[str, object]:  # noqa: ARG002
        if subject.relapse is not None:
            raise Rejected(self.name, f"{subject.relapse}; deploy it with force to try it again")
        return {}
