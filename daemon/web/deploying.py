"""The requests that change what serves: update, upload, rollback, load and unload. Entered by request threads."""

import base64
import binascii
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from flask import Blueprint, Response, request

from daemon.deployer import Deployer
from daemon.errors import BadRequest, Rejected, SourceChanged
from daemon.intake.named import NamedFiles
from daemon.intake.naming import MODEL_SUFFIXES, is_model_name, shown
from daemon.lane import FileSource, Outcome, RefusedSource, Source, StreamSource, Wish
from daemon.release import Release
from daemon.web.answers import answer, read_body, read_object
from daemon.web.predicting import release_headers

UPDATED = "模型已更新成功"
MOST_TRIES = 5
MAX_REQUEST_BYTES = 1 << 20
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):", re.IGNORECASE)
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


def deploy_routes(deployer: Deployer, files: NamedFiles, *, default_model: str, max_upload_bytes: int) -> Blueprint:
    """``POST /update_model``, ``PUT …/upload``, ``POST …/rollback``, and load and unload as Triton's clients ask."""
    routes = Blueprint("deploying", __name__)

    @routes.post("/update_model")
    def update_model() -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES))
        _refuse_unknown_keys(wanted, {"model_path", "model"})
        model = _model_name(wanted.get("model", default_model))
        model_path = wanted.get("model_path")
        if not isinstance(model_path, str) or not model_path:
            raise BadRequest(f"expected 'model_path' as text, found {model_path!r}")
        return _deployed(_update(deployer, files, model, model_path), shown(model_path))

    @routes.put("/models/<model>/upload")
    def upload(model: str) -> Response:
        filename = _filename(request.args.get("filename", f"{model}.onnx"))
        stream = cast(BinaryIO, request.environ["wsgi.input"])
        wish = Wish(
            model=_model_name(model),
            model_path=shown(filename),
            cause="uploaded",
            source=StreamSource(stream, _suffix(filename), max_upload_bytes),
            digests=_stated_digests(request.headers.get("X-Content-SHA256"), request.headers.get("Content-Digest")),
        )
        return _deployed(_done(deployer.submit([wish])[0]), wish.model_path)

    @routes.post("/models/<model>/rollback")
    def rollback(model: str) -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES), empty_is_object=True)
        _refuse_unknown_keys(wanted, {"version"})
        version = wanted.get("version")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise BadRequest(f"version: expected a whole number, found {version!r}")
        outcome = _done(deployer.rollback(model, version))
        return _deployed(outcome, outcome.release.model_path if outcome.release else "")

    @routes.post("/v2/repository/models/<model>/load")
    def load(model: str) -> Response:
        return _released(deployer.load(model).result())

    @routes.post("/v2/repository/models/<model>/unload")
    def unload(model: str) -> Response:
        return _released(deployer.unload(model).result())

    return routes


def _update(deployer: Deployer, files: NamedFiles, model: str, model_path: str) -> Outcome:
    path = files.find(model_path)
    for _ in range(MOST_TRIES):
        with suppress(SourceChanged):
            return _done(deployer.submit([_named(files, path, model, shown(model_path))])[0])
    raise Rejected("store", f"the file changed each of the {MOST_TRIES} times that it was copied")


def _named(files: NamedFiles, path: Path, model: str, model_path: str) -> Wish:
    """The wish for the file at ``path`` once it is complete; one that will be refused where it never is."""
    source: Source
    digests: tuple[str, ...] = ()
    try:
        look = files.wait_until_complete(path)
    except Rejected as refusal:
        source = RefusedSource(refusal)
    else:
        source = FileSource(look.members, path.suffix.lower())
        digests = (look.digest,) if look.digest else ()
    return Wish(model=model, model_path=model_path, cause="updated", source=source, digests=digests)


def _done(future: "Future[Outcome]") -> Outcome:
    """What became of a wish; raises its Rejected when it was refused."""
    outcome = future.result()
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome


def _deployed(outcome: Outcome, model_path: str) -> Response:
    release = outcome.release
    assert release is not None  # an outcome that is no refusal and not superseded names what serves
    value = {
        "message": UPDATED,
        "outcome": outcome.kind,
        "model": release.model,
        "version": release.version,
        "sha256": release.sha256,
        "model_path": model_path,
    }
    return answer(value, headers=release_headers(release))


def _released(release: Release) -> Response:
    value = {"model": release.model, "version": release.version, "sha256": release.sha256}
    return answer(value, headers=release_headers(release))


def _refuse_unknown_keys(wanted: Mapping[str, object], known: AbstractSet[str]) -> None:
    """A misspelt key must not change what serves in another way than was meant."""
    for key in wanted.keys() - known:
        raise BadRequest(f"unknown key {key!r:.100}: expected {' or '.join(map(repr, sorted(known)))}")


def _model_name(name: object) -> str:
    if not isinstance(name, str) or not is_model_name(name):
        raise BadRequest(f"model: expected a name of letters, digits, '.', '_' or '-', at most 100, found {name!r}")
    return name


def _filename(name: str) -> str:
    if "/" in name or "\\" in name or not name.lower().endswith(MODEL_SUFFIXES):
        raise BadRequest(f"filename: expected a bare name ending in .onnx or .ort, found {name!r}")
    return name


def _suffix(filename: str) -> str:
    return f".{filename.rpartition('.')[2].lower()}"


def _stated_digests(hex_digest: str | None, content_digest: str | None) -> tuple[str, ...]:
    """The SHA-256 digests, in hex, that the client vouches for: X-Content-SHA256 and RFC 9530's Content-Digest."""
    stated = [] if hex_digest is None else [_from_hex(hex_digest)]
    return (*stated, *([] if content_digest is None else [_from_content_digest(content_digest)]))


def _from_hex(given: str) -> str:
    if not _HEX_DIGEST.fullmatch(given.strip()):
        raise BadRequest(f"X-Content-SHA256: expected 64 hexadecimal digits, found {given[:80]!r}")
    return given.strip().lower()


def _from_content_digest(given: str) -> str:
    found = _DIGEST.search(given)
    if found is None:
        raise BadRequest(f"Content-Digest: expected sha-256=:BASE64:, found {given[:80]!r}")
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadRequest(f"Content-Digest: expected the base64 of 32 bytes, found {found[1][:80]!r}")
    return digest.hex()
