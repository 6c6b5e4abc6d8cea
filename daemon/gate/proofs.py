"""What candidates showed in their trials, and the compiled forms that were made there, kept beside them in the store.

Entered by the deployer's thread. A proof lies in ``HASH/__made__/KEY/``: ``proof.json`` with the digests of the files
of the compiled form, and the form itself. KEY is ``runtime.saved_key``: library, processor and session options.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daemon.errors import ModeldropError, StoreDamaged
from daemon.intake.ahead import Known, nothing
from daemon.intake.entry import date_back, fsync_path, would_show
from daemon.intake.members import MADE_FOLDER, Fingerprint, fingerprint
from daemon.intake.store import hash_members
from daemon.release import Signature, signature_from
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS

LOG = logging.getLogger("modeldrop.gate")

_PROOF = "proof.json"
_FORM_FILES = (SAVED_MODEL, SAVED_WEIGHTS)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a candidate showed of itself by being loaded and run; ``trial`` is what was measured, as plain values."""

    signature: Signature
    metadata: Mapping[str, object]
    trial: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Held:
    """A proof, and how the files of its form looked when they were made or their digests were checked."""

    proof: Proof
    looks: Mapping[str, Fingerprint] | None  # None where another write might not show


class Proofs:
    """Keeps proofs by model file. For one thread; what lies on disk is trusted only as far as its digests hold.

    They are checked once, and again where a file does not look as it did. ``known`` has hashed some files already.
    """

    def __init__(self, key: str, *, known: Known = nothing) -> None:
        self._key = key
        self._known = known
        self._held: dict[Path, _Held] = {}
        self._unsealed: set[Path] = set()

    @contextmanager
    def making(self, model_file: Path) -> Iterator[Path]:
        """A new folder to make a compiled form in, which ``keep`` may take; gone at the end if it did not."""
        made = model_file.parent / MADE_FOLDER
        made.mkdir(mode=0o700, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="making-", dir=made))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, model_file: Path, proof: Proof, form: Path | None) -> None:
        """Keeps a proof, with the compiled form in the folder ``form`` where there is one; for good once ``seal``ed."""
        home = self._home(model_file)
        _remove_all(home.parent, but=form)
        if form is None:
            home.mkdir(mode=0o700, parents=True)
        else:
            form.rename(home)
        for path in home.iterdir():
            if path.name not in _FORM_FILES or path.is_symlink():
                path.unlink()
            else:
                path.chmod(0o444)
                date_back(path)
        self._held[model_file] = _Held(proof, _looks(home))
        self._unsealed.add(model_file)

    def known(self, model_file: Path) -> Proof | None:
        """The proof that holds here and now, if there is one; what is damaged is removed."""
        home = self._home(model_file)
        if not home.is_dir():
            self._held.pop(model_file, None)
            return None
        looks = _looks(home)
        held = self._held.get(model_file)
        if held is not None and held.looks == looks:
            return held.proof
        self._held.pop(model_file, None)
        if held is not None and model_file in self._unsealed:
            LOG.warning("what was proved of %s changed before it was sealed, and is proved again", _entry_of(home))
            self.distrust(model_file)
        elif (proof := _read(home, self._known)) is not None:
            self._held[model_file] = _Held(proof, looks if would_show(looks.values()) else None)
            return proof
        return None

    def form_of(self, model_file: Path) -> Path | None:
        """The compiled form's graph, to be mapped; None where there is no form that holds."""
        path = self._home(model_file) / SAVED_MODEL
        return path if self.known(model_file) is not None and path.is_file() else None

    def distrust(self, model_file: Path) -> None:
        """Forgets a form that did not load, and everything that was proved with it."""
        self._held.pop(model_file, None)
        self._unsealed.discard(model_file)
        shutil.rmtree(self._home(model_file), ignore_errors=True)

    def seal(self) -> None:
        """Makes what was kept since the last time survive a restart and a power cut; lets go of what is gone."""
        for model_file in [each for each in self._held if not self._home(each).is_dir()]:  # it went with its entry
            del self._held[model_file]
        for model_file in list(self._unsealed):
            if (proof := self.known(model_file)) is not None:
                _write(self._home(model_file), proof)
            self._unsealed.discard(model_file)

    def _home(self, model_file: Path) -> Path:
        return model_file.parent / MADE_FOLDER / self._key


def _looks(home: Path) -> dict[str, Fingerprint]:
    return {name: fingerprint(home / name) for name in _FORM_FILES if (home / name).exists()}


def _entry_of(home: Path) -> str:
    """The hash of the candidate that it is proved of."""
    return home.parent.parent.name


def _write(home: Path, proof: Proof) -> None:
    digests = {path.name: _digest(path, nothing) for path in sorted(home.iterdir()) if path.name in _FORM_FILES}
    for name in digests:
        fsync_path(home / name)
    record = {**asdict(proof), "files": digests}
    partly = home / f"{_PROOF}.part"
    partly.write_text(json.dumps(record), encoding="utf-8")
    fsync_path(partly)
    partly.rename(home / _PROOF)
    fsync_path(home)
    fsync_path(home.parent)


def _read(home: Path, known: Known) -> Proof | None:
    """The sealed proof, if the files that it speaks of are there and unharmed; else all of it is removed."""
    if not (home / _PROOF).is_file():  # the daemon died before it was sealed
        return None
    try:
        record: dict[str, Any] = json.loads((home / _PROOF).read_text(encoding="utf-8"))
        files = record.pop("files")
        proof = Proof(signature=signature_from(record.pop("signature")), **record)
        for name, digest in files.items():
            if _digest(home / name, known) != digest:
                raise StoreDamaged(f"{name} is not what was sealed")
        return proof
    except (ValueError, TypeError, KeyError, AttributeError, OSError, ModeldropError) as error:
        LOG.warning("what was proved of %s is damaged and is proved again: %s", _entry_of(home), error)
        shutil.rmtree(home, ignore_errors=True)
        return None


def _digest(path: Path, known: Known) -> str:
    parts = [("", path, fingerprint(path))]
    found = known(parts)
    return found.sha256 if found is not None else hash_members(parts)


def _remove_all(folder: Path, *, but: Path | None) -> None:
    """Proofs of other libraries and processors, and what a crash left."""
    with suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if but is None or entry.name != but.name:
                shutil.rmtree(entry.path, ignore_errors=True)
