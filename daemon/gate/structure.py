"""The store's copy is a whole model of a kind that this runtime loads. It runs on the deployer's thread."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from daemon.errors import Rejected
from daemon.gate.subject import Subject
from daemon.intake.claims import Claims, operator_of, read_claims
from daemon.intake.members import location_fault
from daemon.intake.naming import shown
from daemon.intake.outline import Outline, OutlineState, read_outline
from daemon.intake.protobuf import Alien, Cut
from daemon.runtime import RuntimeVersions

MB = 1 << 20


class Structure:
    """Size, outline, external data, and the versions and operators that the model says it needs.

    ``versions`` is asked when the first candidate comes.
    """

    name = "structure"

    def __init__(self, *, max_bytes: int, versions: Callable[[], RuntimeVersions]) -> None:
        self._max_bytes = max_bytes
        self._versions = versions

    def examine(self, subject: Subject) -> Mapping[str, object]:
        path = subject.candidate.path
        self.expect_size(subject.candidate.size_bytes)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._expect_whole(read_outline(fd, path.suffix), path)
            if path.suffix != ".ort":
                self._expect_loadable(fd, read_claims(fd))
        except (Alien, Cut) as error:
            raise Rejected(self.name, f"not an ONNX model: {error}") from None
        finally:
            os.close(fd)
        return {}

    def expect_size(self, size_bytes: int) -> None:
        """Raises Rejected for a model, external data included, that is larger than any may be."""
        if size_bytes > self._max_bytes:
            raise Rejected(
                self.name,
                f"the model has {size_bytes / MB:.1f} MB, expected at most {self._max_bytes / MB:g} "
                "(gate.structure.max_model_mb)",
            )

    def _expect_whole(self, outline: Outline, path: Path) -> None:
        if outline.state is OutlineState.CUT:
            raise Rejected(self.name, f"truncated: {outline.reason}")
        if outline.state is OutlineState.ALIEN:
            raise Rejected(self.name, outline.reason)
        for reference in outline.references:
            location = reference.location
            if (fault := location_fault(location)) is not None:
                raise Rejected(self.name, f"external data location {shown(location)!r} {fault}")
            if not (path.parent / location).is_file():
                raise Rejected(self.name, f"its external data {shown(location)!r} did not come with it")

    def _expect_loadable(self, fd: int, claims: Claims) -> None:
        known = self._versions()
        if known.ir is not None and claims.ir_version > known.ir:
            raise self._too_new(f"IR version {claims.ir_version}", f"IR version {known.ir}", known)
        for domain, version in claims.opsets.items():
            most = known.opsets.get(domain, version)
            name = shown(domain or "ai.onnx")[:100]
            if version > most:
                raise self._too_new(f"opset {version} of {name}", f"opset {most}", known)
            if known.domains is None or domain in known.domains:
                continue
            if (operator := operator_of(fd, domain)) is not None:
                raise Rejected(
                    self.name,
                    f"operator {shown(operator)[:100]!r} of the domain {name!r} is none of {known.library}, and a "
                    "model cannot bring a library of operators with it: export it with standard operators",
                )

    def _too_new(self, wanted: str, most: str, known: RuntimeVersions) -> Rejected:
        advice = "export it for an earlier version, or upgrade onnxruntime"
        return Rejected(self.name, f"the model has {wanted}, {known.library} loads up to {most}: {advice}")
