"""The requests that change what serves: update, upload and rollback. Entered by request threads."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from flask import Blueprint, Response, request

from daemon.deployer import Deployer
from daemon.errors import BadRequest, Rejected, SourceChanged
from daemon.intake.named import NamedFiles
from daemon.intake.naming import shown
from daemon.lane import FileSource, Outcome, RefusedSource, Source, StreamSource, Wish
from daemon.web.answers import answer, read_body, read_object, release_headers
from daemon.web.describing import described
from daemon.web.openapi import deploying as told
from daemon.web.rehearsing import rehearsed
from daemon.web.wanted import (
    SWITCHES,
    model_filename,
    model_name,
    refuse_unknown_keys,
    stated_digests,
    suffix_of,
    switches_of,
    switches_of_query,
)

UPDATED = "模型已更新成功"
MOST_TRIES = 5
MAX_REQUEST_BYTES = 1 << 20

T = TypeVar("T")


def deploy_routes(deployer: Deployer, files: NamedFiles, *, default_model: str, max_upload_bytes: int) -> Blueprint:
    """``POST /update_model``, ``PUT …/upload`` and ``POST …/rollback``."""
    routes = Blueprint("deploying", __name__)
    _add_update(routes, deployer, files, default_model)
    _add_upload(routes, deployer, max_upload_bytes)
    _add_rollback(routes, deployer)
    return routes


def _add_update(routes: Blueprint, deployer: Deployer, files: NamedFiles, default_model: str) -> None:
    @routes.post("/update_model")
    @described(told.UPDATE)
    def update_model() -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES))
        refuse_unknown_keys(wanted, {"model_path", "model", *SWITCHES})
        model = model_name(wanted.get("model", default_model))
        model_path = wanted.get("model_path")
        if not isinstance(model_path, str) or not model_path:
            came = f"found {model_path!r:.100}" if "model_path" in wanted else "there is none"
            raise BadRequest(f"expected 'model_path' as text, {came}")
        switches = switches_of(wanted)
        found = _Named(files, files.find(model_path), model, shown(model_path), switches.force)
        if switches.dry_run:
            return rehearsed(found.until_still(deployer.rehearse), model)
        return _deployed(found.until_still(lambda wish: deployer.submit([wish])[0]), found.model_path)


def _add_upload(routes: Blueprint, deployer: Deployer, max_upload_bytes: int) -> None:
    @routes.put("/models/<model>/upload")
    @described(told.UPLOAD)
    def upload(model: str) -> Response:
        filename = model_filename(request.args.get("filename", f"{model}.onnx"))
        stream = cast(BinaryIO, request.environ["wsgi.input"])
        refuse_unknown_keys(request.args, {"filename", *SWITCHES})
        switches = switches_of_query(request.args)
        wish = Wish(
            model=model_name(model),
            model_path=shown(filename),
            cause="uploaded",
            source=StreamSource({"": stream}, suffix_of(filename), max_upload_bytes),
            digests=stated_digests(request.headers.get("X-Content-SHA256"), request.headers.get("Content-Digest")),
            forced=switches.force,
        )
        if switches.dry_run:
            return rehearsed(deployer.rehearse(wish).result(), model)
        return _deployed(deployer.submit([wish])[0].result(), wish.model_path)


def _add_rollback(routes: Blueprint, deployer: Deployer) -> None:
    @routes.post("/models/<model>/rollback")
    @described(told.ROLLBACK)
    def rollback(model: str) -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES), empty_is_object=True)
        refuse_unknown_keys(wanted, {"version", *SWITCHES})
        switches = switches_of(wanted)
        version = wanted.get("version")
        if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
            raise BadRequest(f"version: expected a whole number, found {version!r}")
        if switches.dry_run:
            rehearsal = deployer.rehearse_rollback(model, version, forced=switches.force).result()
            return rehearsed(rehearsal, model)
        outcome = deployer.rollback(model, version, forced=switches.force).result()
        return _deployed(outcome, outcome.release.model_path if outcome.release else "")


@dataclass(frozen=True, slots=True)
class _Named:
    """A file that a request names, at ``path``, wanted as ``model``."""

    files: NamedFiles
    path: Path
    model: str
    model_path: str
    forced: bool

    def until_still(self, done: Callable[[Wish], "Future[T]"]) -> T:
        """What comes of ``done`` for the file, which is wished for anew where it changed while it was copied."""
        for _ in range(MOST_TRIES):
            with suppress(SourceChanged):
                return done(self._wish()).result()
        raise Rejected("store", f"the file changed each of the {MOST_TRIES} times that it was copied")

    def _wish(self) -> Wish:
        """The wish for the file once it is complete; one that will be refused where it never is."""
        source: Source
        digests: tuple[str, ...] = ()
        try:
            look = self.files.wait_until_complete(self.path)
        except Rejected as refusal:
            source = RefusedSource(refusal)
        else:
            source = FileSource(look.members, self.path.suffix.lower())
            digests = (look.digest,) if look.digest else ()
        return Wish(
            model=self.model,
            model_path=self.model_path,
            cause="updated",
            source=source,
            digests=digests,
            forced=self.forced,
        )


def _deployed(outcome: Outcome, model_path: str) -> Response:
    """What became of a wish; raises its Rejected when it was refused."""
    if outcome.refusal is not None:
        raise outcome.refusal
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
