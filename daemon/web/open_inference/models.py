"""What the protocol tells of models: metadata, readiness and Triton's configuration. Entered by request threads.

Sources: ``inference_rest.md`` of the Open Inference Protocol; Triton's ``extension_model_configuration.md`` and
``model_config.proto``.
"""

from collections.abc import Mapping, Sequence

from flask import Blueprint, Response

from daemon.errors import NotServing, UnknownVersion
from daemon.release import Release, TensorSpec
from daemon.runtime import batch_size
from daemon.web.answers import answer
from daemon.web.catalogue import Catalogue, of_version
from daemon.web.describing import described
from daemon.web.open_inference.datatypes import DATATYPES, tensor_of
from daemon.web.openapi import open_inference as told

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"
"""What Triton calls a model that ONNX Runtime runs."""


def model_routes(catalogue: Catalogue, *, most_batched: int) -> Blueprint:
    """``GET /v2/models/NAME[/versions/N]``, ``…/ready`` and ``…/config``.

    ``most_batched`` is how many rows are run together at most.
    """
    routes = Blueprint("open-inference-models", __name__)

    @routes.get("/v2/models/<model>")
    @routes.get("/v2/models/<model>/versions/<version>")
    @described(told.METADATA)
    def metadata(model: str, version: str | None = None) -> Response:
        loaded = catalogue.loaded(model)
        return answer(metadata_of(of_version(loaded, number_of(version)), loaded))

    @routes.get("/v2/models/<model>/ready")
    @routes.get("/v2/models/<model>/versions/<version>/ready")
    @described(told.MODEL_READY)
    def ready(model: str, version: str | None = None) -> Response:
        try:
            catalogue.release(model, number_of(version))
        except NotServing:
            return answer({"name": model, "ready": False}, 503)
        return answer({"name": model, "ready": True})

    @routes.get("/v2/models/<model>/config")
    @routes.get("/v2/models/<model>/versions/<version>/config")
    @described(told.CONFIG)
    def config(model: str, version: str | None = None) -> Response:
        return answer(config_of(catalogue.release(model, number_of(version)), most_batched))

    return routes


def number_of(version: str | None) -> int | None:
    """A version in a path as a number, None for none; raises UnknownVersion for what no version can be."""
    if version is None:
        return None
    if not (version.isascii() and version.isdecimal() and len(version) <= 18):
        raise UnknownVersion(f"there is no version {version!r:.100}: expected a whole number")
    return int(version)


def metadata_of(release: Release, loaded: Sequence[Release]) -> dict[str, object]:
    """The protocol's ``metadata_model_response`` of ``release``; ``versions`` are those that are ``loaded``."""
    return {
        "name": release.model,
        "versions": [str(version) for version in sorted(each.version for each in loaded)],
        "platform": PLATFORM,
        "inputs": [_described(spec) for spec in _tensors(release.signature.inputs)],
        "outputs": [_described(spec) for spec in _tensors(release.signature.outputs)],
    }


def config_of(release: Release, most_batched: int) -> dict[str, object]:
    """Triton's model configuration, as far as it says something of how ``release`` is served.

    Where rows are proved to be independent and every first dimension is open, ``dims`` leave that one out, as Triton
    has them where ``max_batch_size`` is not 0.
    """
    signature = release.signature
    is_batched = most_batched > 1 and _takes_batches(release)
    config: dict[str, object] = {
        "name": release.model,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": most_batched if is_batched else 0,
        "input": [_configured(spec, is_batched) | {"optional": spec.optional} for spec in _tensors(signature.inputs)],
        "output": [_configured(spec, is_batched) for spec in _tensors(signature.outputs)],
        "model_transaction_policy": {"decoupled": False},
    }
    together = min(batch_size(release.trial), most_batched)
    if is_batched and together > 1:
        config["dynamic_batching"] = {"preferred_batch_size": [together]}
    return config


def _tensors(specs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """``specs`` as the tensors as which they appear; what has no form in the protocol is left out."""
    return [tensor for spec in specs if (tensor := tensor_of(spec)) is not None]


def _takes_batches(release: Release) -> bool:
    batch: Mapping[str, object] = release.trial.get("batch") or {}  # type: ignore[assignment]
    specs = _tensors((*release.signature.inputs, *release.signature.outputs))
    return batch.get("equals_single") is True and all(
        spec.shape and not isinstance(spec.shape[0], int) for spec in specs
    )


def _dims(spec: TensorSpec) -> list[int]:
    """-1 for what is open; a shape that is not known is told as ``[-1]``: ONNX Runtime has scalars and it alike."""
    return [-1] if spec.shape is None else [dim if isinstance(dim, int) else -1 for dim in spec.shape]


def _described(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": _dims(spec)}


def _configured(spec: TensorSpec, is_batched: bool) -> dict[str, object]:
    datatype, dims = DATATYPES[spec.dtype], _dims(spec)[1 if is_batched else 0 :]
    named = "STRING" if datatype == "BYTES" else datatype
    described: dict[str, object] = {"name": spec.name, "data_type": f"TYPE_{named}", "dims": dims}
    # Triton's form of one value a row: dims may not be empty.
    return described if dims else {**described, "dims": [1], "reshape": {"shape": []}}
