"""``GET /docs``: a page to read the document and to try requests, which needs nothing from elsewhere. Entered by
request threads.

Its script and style are Swagger UI's, as the package ``flask_swagger_ui`` brings them.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, request

from daemon.web.access import Tokens
from daemon.web.describing import described, media

PAGES = Path(__file__).with_name("pages")
OWN_ASSETS = {"start.js": "text/javascript", "token.css": "text/css"}
VENDORED_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
ASSET_SECONDS = 3600
"""How long a browser may keep what the page is made of."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Whatever the page shows, nothing is fetched from elsewhere or runs in it, and no other site shows it."""

_TEXT = {"type": "string"}
_PAGE_OPERATION = {
    "tags": ["document"],
    "summary": "A page to read this document and to try requests",
    "responses": {"200": {"description": "The page", "content": {"text/html": media(_TEXT, "<!doctype html>")}}},
}
_ASSET_OPERATION = {
    "tags": ["document"],
    "summary": "What the page is made of",
    "parameters": [
        {
            "name": "name",
            "in": "path",
            "required": True,
            "description": "the file's name",
            "schema": {"enum": [*VENDORED_ASSETS, *OWN_ASSETS]},
            "example": "start.js",
        }
    ],
    "responses": {
        "200": {
            "description": "The file",
            "content": {form: {} for form in sorted({*VENDORED_ASSETS.values(), *OWN_ASSETS.values()})},
        }
    },
}


def docs_routes(tokens: Tokens) -> Blueprint:
    """``GET /docs`` and what it is made of; it names which of ``tokens`` there are to open the document with."""
    routes = Blueprint("docs", __name__)
    wanted = wanted_of(tokens)

    @routes.get("/docs", strict_slashes=False)
    @described(_PAGE_OPERATION)
    def page() -> Response:
        return Response(
            _page(wanted, within=request.path.endswith("/")), content_type="text/html; charset=utf-8", headers=HEADERS
        )

    @routes.get("/docs/<name>")
    @described(_ASSET_OPERATION)
    def asset(name: str) -> Response:
        folder, kind = _asset(name)
        response = Response((folder / name).read_bytes(), mimetype=kind, headers=HEADERS)
        response.cache_control.max_age = ASSET_SECONDS
        response.add_etag()
        response.make_conditional(request)
        return response

    return routes


def wanted_of(tokens: Tokens) -> str:
    """The settings of the tokens that open a page that reads, in HTML; nothing of what they are."""
    settings = {"auth.predict_token": tokens.predict, "auth.admin_token": tokens.admin}
    return " or ".join(f"<code>{name}</code>" for name, token in settings.items() if token)


@cache
def _page(wanted: str, *, within: bool) -> str:
    """The page as it stands at ``/docs``, or ``within`` that as at a folder: its links are relative."""
    text = PAGES.joinpath("docs.html").read_text(encoding="utf-8")
    assets, document = ("", "../openapi.json") if within else ("docs/", "openapi.json")
    return text.format(assets=assets, document=document, wanted=wanted)


def _asset(name: str) -> tuple[Path, str]:
    """The folder and media type of a file that the page is made of; ends the request with 404 for any other."""
    if name in OWN_ASSETS:
        return PAGES, OWN_ASSETS[name]
    if name not in VENDORED_ASSETS:
        abort(404)
    return _vendored(), VENDORED_ASSETS[name]


@cache
def _vendored() -> Path:
    """Where Swagger UI's files lie. The package is found, not imported: it would look for its own version, slowly."""
    found = find_spec("flask_swagger_ui")
    if found is None or found.origin is None:
        raise FileNotFoundError("flask-swagger-ui is not installed")
    return Path(found.origin).parent / "dist"
