"""What a load asks for: the newest release again, or the model that it brings as base64. Entered by request threads.

Source: Triton's ``extension_model_repository.md``, "Load": ``config`` is JSON in a text, and each ``file:N/NAME`` the
base64 of a file of the model's folder.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, cast

import orjson

from daemon.errors import BadRequest
from daemon.intake.members import location_fault
from daemon.intake.naming import MODEL_SUFFIXES, shown
from daemon.lane import StreamSource, Wish
from daemon.web.answers import read_object
from daemon.web.open_inference.base64_stream import Base64Stream
from daemon.web.open_inference.shortening import MOST_KEPT_BYTES, Span, shorten
from daemon.web.wanted import model_name, object_at, refuse_unknown_keys, suffix_of

FILE = "file:"
MOST_FILES = 100
DEFAULT_NAME = "model.onnx"
"""Which file is the model where several could be, as in Triton's backend for ONNX Runtime."""
_PLACE = re.compile(r"([0-9]{1,18})/([^/]+)")
_OURS = {"platform": ("onnxruntime_onnx", "onnx_onnxv1"), "backend": ("onnxruntime",)}
"""What a configuration may call the models that there are here."""


@dataclass(frozen=True, slots=True)
class Load:
    """``files`` are what was brought, by name, of which ``model_file`` is the model; there may be none."""

    files: Mapping[str, BinaryIO]
    model_file: str = ""


def body_bytes(max_upload_bytes: int) -> int:
    """How many bytes a load's body may have, to bring a model of so many as base64."""
    return MOST_KEPT_BYTES + max_upload_bytes // 3 * 4 + 4


def read_load(body: BinaryIO, model: str, *, max_upload_bytes: int) -> Load:
    """What ``body``, which must stay open until the files are read, asks for.

    Raises TooLarge, InvalidJson or BadRequest.
    """
    short = shorten(body, limit_bytes=body_bytes(max_upload_bytes))
    wanted = read_object(short.text, empty_is_object=True)
    refuse_unknown_keys(wanted, {"parameters"})
    parameters = object_at(wanted, "parameters")
    named = {key: value for key, value in parameters.items() if key.startswith(FILE)}
    refuse_unknown_keys(dict.fromkeys(parameters.keys() - named.keys()), {"config", f"{FILE}N/NAME"})
    config = _config(parameters.get("config", "{}"), model, short.spans)
    places = _places(named)
    files = {places[key]: _file(key, value, body, short.spans) for key, value in named.items()}
    return Load(files, _model_file(files, config)) if files else Load({})


def wish_for(load: Load, model: str, *, max_upload_bytes: int) -> Wish:
    """The wish for what a load has brought; raises BadRequest."""
    beside = {name: stream for name, stream in load.files.items() if name != load.model_file}
    streams = {"": load.files[load.model_file], **beside}
    return Wish(
        model=model_name(model),
        model_path=shown(load.model_file),
        cause="uploaded",
        source=StreamSource(streams, suffix_of(load.model_file), max_upload_bytes),
    )


def _config(text: object, model: str, spans: Mapping[str, Span]) -> dict[str, object]:
    """The configuration, of which only what says what the model is counts."""
    if not isinstance(text, str) or text in spans:
        found = f"one of {spans[text].end - spans[text].start} bytes" if isinstance(text, str) else f"{text!r:.100}"
        raise BadRequest(f"config: expected a short text of JSON, found {found}")
    try:
        config = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"config: expected JSON: {error}") from None
    if not isinstance(config, dict):
        raise BadRequest(f"config: expected a JSON object, found {text:.100}")
    if (name := config.get("name") or model) != model:
        raise BadRequest(f"config: expected the name {model!r} or none, found {name!r:.100}")
    for key, names in _OURS.items():
        if config.get(key) and config[key] not in names:
            raise BadRequest(f"config: expected the {key} {' or '.join(names)}, or none, found {config[key]!r:.100}")
    return config


def _places(named: Mapping[str, object]) -> dict[str, str]:
    """The bare name of each file, by its key."""
    if len(named) > MOST_FILES:
        raise BadRequest(f"expected at most {MOST_FILES} files, found {len(named)}")
    places, versions = {}, set()
    for key in named:
        found = _PLACE.fullmatch(key.removeprefix(FILE))
        fault = location_fault(found[2]) if found else "is not of the form file:N/NAME, with a number and a bare name"
        if found is None or fault is not None or len(found[2].encode()) > 255:
            raise BadRequest(f"{shown(key)[:100]!r}: the path {fault or 'is too long'}")
        places[key] = found[2]
        versions.add(int(found[1]))
    if len(set(places.values())) < len(places):
        raise BadRequest("expected each file once, found one twice")
    if len(versions) > 1:
        raise BadRequest(f"expected files of one version, found {sorted(versions)[:10]}")
    return places


def _file(key: str, value: object, body: BinaryIO, spans: Mapping[str, Span]) -> BinaryIO:
    name = shown(key)[:100]
    if not isinstance(value, str):
        raise BadRequest(f"{name}: expected base64 as a text, found {value!r:.100}")
    if (span := spans.get(value)) is not None:
        stream = Base64Stream(body, span.start, span.end, name)
    else:
        encoded = value.encode()
        stream = Base64Stream(BytesIO(encoded), 0, len(encoded), name)
    return cast(BinaryIO, stream)


def _model_file(names: Mapping[str, object], config: Mapping[str, object]) -> str:
    """The name of the file that is the model: the only one that can be, else the one that ``config`` or Triton says."""
    models = [name for name in names if name.lower().endswith(MODEL_SUFFIXES)]
    wanted = config.get("default_model_filename") or (models[0] if len(models) == 1 else DEFAULT_NAME)
    if wanted not in models:
        found = ", ".join(map(repr, sorted(names)))
        raise BadRequest(f"expected a file {wanted!r:.100} ending in .onnx or .ort, found {found:.300}")
    return str(wanted)
