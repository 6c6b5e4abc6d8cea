"""What TensorFlow Serving tells of models: which versions there are, and a signature. Entered by request threads.

Sources: ``get_model_status.proto``, ``get_model_metadata.proto`` and ``http_rest_api_util.cc``, which writes them as
JSON with every field; KServe's version 1 of the data plane, which has two more fields at the same path.
"""

from collections.abc import Sequence
from typing import NoReturn

from flask import Blueprint, Response

from daemon.errors import NotServing, UnknownVersion
from daemon.release import Dim, Release, TensorSpec
from daemon.web.answers import answer
from daemon.web.catalogue import Catalogue
from daemon.web.describing import described
from daemon.web.labels import labelled
from daemon.web.tensorflow import operations as told

DTYPES = {
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "bfloat16": "DT_BFLOAT16",
    **{name: f"DT_{name.upper()}" for name in ("int8", "int16", "int32", "int64", "bool", "string")},
    **{name: f"DT_{name.upper()}" for name in ("uint8", "uint16", "uint32", "uint64")},
}
"""TensorFlow's name of each dtype; what is no tensor is a ``DT_VARIANT``."""
_MODEL = "/v1/models/<name:model>"
_VERSION = f"{_MODEL}/versions/<int:version>"
_LABEL = f"{_MODEL}/labels/<name:label>"
_OTHERS = "<any(classify, regress):verb>"


def model_status_routes(catalogue: Catalogue) -> Blueprint:
    """``GET /v1/models``, ``/v1/models/NAME[/versions/N|/labels/L]`` and ``…/metadata``."""
    routes = Blueprint("tensorflow", __name__)
    _add_statuses(routes, catalogue)
    _add_metadata(routes, catalogue)
    _add_other_methods(routes, catalogue)
    return routes


def _add_statuses(routes: Blueprint, catalogue: Catalogue) -> None:
    @routes.get("/v1/models")
    @described(told.NAMES)
    def names() -> Response:
        return answer({"models": sorted({release.model for release in catalogue.all_loaded()})})

    @routes.get(_MODEL)
    @described(told.STATUS)
    def status(model: str) -> Response:
        loaded = _loaded(catalogue, model)
        statuses = [_status(release, loaded) for release in loaded or [catalogue.past(model)]]
        return answer({"model_version_status": statuses, "name": model, "ready": bool(loaded)})

    @routes.get(_VERSION)
    @described(told.VERSION_STATUS)
    def version_status(model: str, version: int) -> Response:
        release = catalogue.past(model, version)
        return answer({"model_version_status": [_status(release, _loaded(catalogue, model))]})

    @routes.get(_LABEL)
    @described(told.VERSION_STATUS)
    def label_status(model: str, label: str) -> Response:
        loaded = catalogue.loaded(model)
        return answer({"model_version_status": [_status(labelled(loaded, label), loaded)]})


def _add_metadata(routes: Blueprint, catalogue: Catalogue) -> None:
    @routes.get(f"{_MODEL}/metadata")
    @routes.get(f"{_VERSION}/metadata")
    @described(told.METADATA)
    def metadata(model: str, version: int | None = None) -> Response:
        return answer(metadata_of(catalogue.release(model, version)))

    @routes.get(f"{_LABEL}/metadata")
    @described(told.METADATA)
    def label_metadata(model: str, label: str) -> Response:
        return answer(metadata_of(labelled(catalogue.loaded(model), label)))


def _add_other_methods(routes: Blueprint, catalogue: Catalogue) -> None:
    """What a model may be asked for that no model here has."""

    @routes.post(f"{_MODEL}:{_OTHERS}")
    @routes.post(f"{_VERSION}:{_OTHERS}")
    @routes.post(f"{_LABEL}:{_OTHERS}")
    @described(told.OTHER_METHODS)
    def other_methods(model: str, verb: str, **_which: str | int) -> NoReturn:
        catalogue.loaded(model)
        raise UnknownVersion(f"model {model!r} has no signature for {verb}: ask it to predict")


def metadata_of(release: Release) -> dict[str, object]:
    """TensorFlow Serving's ``GetModelMetadataResponse`` of ``release``, whose one signature is the default."""
    signature = {
        "inputs": {spec.name: _tensor(spec) for spec in release.signature.inputs},
        "outputs": {spec.name: _tensor(spec) for spec in release.signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": release.model, "signature_name": "", "version": str(release.version)},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    """A ``TensorInfo``; a rank that ONNX Runtime does not tell is unknown."""
    shape = {"dim": [_dim(dim) for dim in spec.shape or ()], "unknown_rank": spec.shape is None}
    return {"dtype": DTYPES.get(spec.dtype, "DT_VARIANT"), "tensor_shape": shape, "name": spec.name}


def _dim(dim: Dim) -> dict[str, str]:
    """A size, -1 where it is open, as the text that JSON has of 64 bits; and a name where it has one."""
    return {"size": str(dim) if isinstance(dim, int) else "-1", "name": dim if isinstance(dim, str) else ""}


def _status(release: Release, loaded: Sequence[Release]) -> dict[str, object]:
    """A ``ModelVersionStatus``: a release is there to be asked, or has been."""
    is_loaded = any(each.version == release.version for each in loaded)
    return {
        "version": str(release.version),
        "state": "AVAILABLE" if is_loaded else "END",
        "status": {"error_code": "OK", "error_message": ""},
    }


def _loaded(catalogue: Catalogue, model: str) -> list[Release]:
    """The releases that can be asked, of which there may be none; raises UnknownModel."""
    try:
        return catalogue.loaded(model)
    except NotServing:
        return []
