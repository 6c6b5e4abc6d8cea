"""What the house asks of a loaded model, whoever runs it: ONNX Runtime here, a remote engine elsewhere."""

from collections.abc import Mapping
from typing import Any, Protocol

from daemon.release import Signature
from daemon.runtime.dtypes import Array

Output = Array | list[Any] | dict[Any, Any] | None
"""A tensor, a sequence, a map, or None for an optional output that is empty."""


class Engine(Protocol):
    """A loaded model. ``run`` may be called by many threads at once; whoever loaded it closes it, once."""

    @property
    def signature(self) -> Signature:
        """The inputs and outputs, as the model declares them."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the model says of itself; plain values that JSON can carry."""

    def run(self, inputs: Mapping[str, Array], *, timeout_seconds: float) -> list[Output]:
        """Run the model on ``inputs`` by name and give its outputs in the order of ``signature.outputs``.

        Raises InvalidInput where the inputs are to blame, RunTimeout at the deadline, else InferenceFailed.
        """

    def close(self) -> None:
        """Let go of the model; its memory is freed when the last run in flight is over. May be called again."""
