"""The protocol's model repository: what there is, load and unload, as Triton's clients ask. Entered by request threads.

Source: Triton's ``extension_model_repository.md``.
"""

from collections.abc import Iterator
from typing import BinaryIO, cast

from flask import Blueprint, Response, request

from daemon.deployer import Deployer
from daemon.errors import BadRequest, NotServing
from daemon.release import Release
from daemon.web.answers import answer, read_body, read_object, release_headers
from daemon.web.catalogue import Catalogue
from daemon.web.describing import described
from daemon.web.open_inference.loading import read_load, wish_for
from daemon.web.openapi import repository as told
from daemon.web.wanted import object_at, refuse_unknown_keys

MAX_REQUEST_BYTES = 1 << 20


def repository_routes(catalogue: Catalogue, deployer: Deployer, *, max_upload_bytes: int) -> Blueprint:
    """``POST /v2/repository/index`` and ``…/models/NAME/load`` and ``unload``."""
    routes = Blueprint("open-inference-repository", __name__)

    @routes.post("/v2/repository/index")
    @described(told.INDEX)
    def index() -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES), empty_is_object=True)
        refuse_unknown_keys(wanted, {"ready"})
        only_ready = _switch(wanted, "ready")
        return answer([row for row in _rows(catalogue) if row["state"] == "READY" or not only_ready])

    @routes.post("/v2/repository/models/<model>/load")
    @described(told.LOAD)
    def load(model: str) -> Response:
        body = cast(BinaryIO, request.environ["wsgi.input"])
        asked = read_load(body, model, max_upload_bytes=max_upload_bytes)
        if not asked.files:
            return _released(deployer.load(model).result())
        outcome = deployer.submit([wish_for(asked, model, max_upload_bytes=max_upload_bytes)])[0].result()
        if outcome.refusal is not None:
            raise outcome.refusal
        assert outcome.release is not None  # an outcome that is no refusal and not superseded names what serves
        return _released(outcome.release)

    @routes.post("/v2/repository/models/<model>/unload")
    @described(told.UNLOAD)
    def unload(model: str) -> Response:
        wanted = read_object(read_body(request, MAX_REQUEST_BYTES), empty_is_object=True)
        refuse_unknown_keys(wanted, {"parameters"})
        parameters = object_at(wanted, "parameters")
        refuse_unknown_keys(parameters, {"unload_dependents"})
        _switch(parameters, "unload_dependents")  # nothing depends on a model
        return _released(deployer.unload(model).result())

    return routes


def _switch(wanted: dict[str, object], name: str) -> bool:
    value = wanted.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name}: expected true or false, found {value!r:.100}")
    return value


def _rows(catalogue: Catalogue) -> Iterator[dict[str, object]]:
    """Every version that is loaded, and every model that has none."""
    for model in catalogue.models():
        name = str(model["model"])
        try:
            loaded = catalogue.loaded(name)
        except NotServing:
            yield _unready(model)
        else:
            for release in sorted(loaded, key=lambda release: release.version):
                yield {"name": name, "version": str(release.version), "state": "READY", "reason": ""}


def _unready(model: dict[str, object]) -> dict[str, object]:
    """The row of a model of which nothing serves: why, and whether something is on its way."""
    candidate = cast("dict[str, str] | None", model["candidate"])
    rejected = cast("dict[str, str] | None", model["rejected"])
    row = {"name": model["model"], "state": "UNAVAILABLE"}
    if candidate is not None:
        reason = candidate.get("reason") or candidate.get("stage") or "on its way"
        return row | {"state": "LOADING", "reason": f"{candidate['model_path']}: {reason}"}
    if model["state"] == "unloaded":
        return row | {"reason": "unloaded"}
    if rejected is not None:
        return row | {"reason": f"rejected by {rejected['check']}: {rejected['reason']}"}
    return row | {"reason": "there is no release"}


def _released(release: Release) -> Response:
    value = {"model": release.model, "version": release.version, "sha256": release.sha256}
    return answer(value, headers=release_headers(release))
