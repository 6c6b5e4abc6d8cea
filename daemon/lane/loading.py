"""A release's engine: its compiled form, mapped, or the model as it came. It runs on the deployer's thread."""

import logging
from collections.abc import Callable
from pathlib import Path

from daemon.errors import Rejected
from daemon.gate import Proofs
from daemon.runtime import Engine

LOG = logging.getLogger("modeldrop.deployer")


class Loading:
    """Loads by model file. ``load`` takes the model as it came, ``map_form`` a compiled form."""

    def __init__(self, proofs: Proofs, load: Callable[[Path], Engine], map_form: Callable[[Path], Engine]) -> None:
        self._proofs = proofs
        self._load = load
        self._map_form = map_form

    def __call__(self, model_file: Path) -> Engine:
        """The engine of the model file in the store; raises Rejected when it cannot be loaded."""
        form = self._proofs.form_of(model_file)
        if form is not None:
            try:
                return self._map_form(form)
            except Rejected as refusal:
                LOG.warning("a compiled form did not load, so the model is loaded as it came: %s", refusal.reason)
                self._proofs.distrust(model_file)
        return self._load(model_file)
