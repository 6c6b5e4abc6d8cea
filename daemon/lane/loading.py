"""A release's engine: its compiled form, mapped, or the model as it came. It runs on the deployer's thread."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.errors import Rejected
from daemon.gate import Proofs
from daemon.runtime import Engine

LOG = logging.getLogger("modeldrop.deployer")


Load = Callable[[Path, Mapping[str, Any]], Engine]
"""Makes an engine of a file, with what the model's trial measured, which is nothing where there was none."""


class Loading:
    """Loads by model file. ``load`` takes the model as it came, ``map_form`` a compiled form."""

    def __init__(self, proofs: Proofs, load: Load, map_form: Load) -> None:
        self._proofs = proofs
        self._load = load
        self._map_form = map_form

    def __call__(self, model_file: Path) -> Engine:
        """The engine of the model file in the store; raises Rejected when it cannot be loaded."""
        proof = self._proofs.known(model_file)
        trial = proof.trial if proof is not None else {}
        form = self._proofs.form_of(model_file)
        if form is not None:
            try:
                return self._map_form(form, trial)
            except Rejected as refusal:
                LOG.warning("a compiled form did not load, so the model is loaded as it came: %s", refusal.reason)
                self._proofs.distrust(model_file)
        return self._load(model_file, trial)
