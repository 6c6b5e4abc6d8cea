"""The page at /docs and what it is made of: files of this machine, with headers that let nothing else in."""

import re
from collections.abc import Iterator

import pytest

from daemon.web.access import Tokens
from daemon.web.docs_view import HEADERS, OWN_ASSETS, VENDORED_ASSETS, wanted_of
from tests.web_rig import WebRig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebRig]:
    with WebRig(tmp_path_factory.mktemp("docs"), tokens=Tokens("adm", "pre")) as rig:
        yield rig


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_page_names_only_what_there_is_beside_it(rig: WebRig, path: str) -> None:
    page = rig.get(path)
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:href|src|data-document)="([^"]+)"', page.text)
    assert len(named) == 6
    for link in named:
        place = {"/docs": f"/{link}", "/docs/": f"/docs/{link}".replace("/docs/../", "/")}[path]
        token = {"Authorization": "Bearer pre"} if link.endswith("openapi.json") else {}
        assert rig.get(place, headers=token).status_code == 200, link


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        (Tokens("", ""), ""),
        (Tokens("adm", ""), "<code>auth.admin_token</code>"),
        (Tokens("", "pre"), "<code>auth.predict_token</code>"),
        (Tokens("adm", "pre"), "<code>auth.predict_token</code> or <code>auth.admin_token</code>"),
    ],
)
def test_page_names_the_tokens_that_open_it(tokens: Tokens, wanted: str) -> None:
    assert wanted_of(tokens) == wanted


def test_page_says_which_tokens_open_it_and_not_what_they_are(rig: WebRig) -> None:
    text = rig.get("/docs").text
    assert wanted_of(Tokens("adm", "pre")) in text
    assert ">adm<" not in text
    assert ">pre<" not in text


@pytest.mark.parametrize(("name", "kind"), [*VENDORED_ASSETS.items(), *OWN_ASSETS.items()])
def test_asset_comes_as_what_it_is_and_needs_no_token(rig: WebRig, name: str, kind: str) -> None:
    answer = rig.get(f"/docs/{name}")
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert answer.data
    assert HEADERS.items() <= dict(answer.headers).items()


def test_browser_that_has_an_asset_is_not_sent_it_again(rig: WebRig) -> None:
    first = rig.get("/docs/swagger-ui-bundle.js")
    again = rig.get("/docs/swagger-ui-bundle.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["LICENSE", "docs.html", "..%2fdocs_view.py", "%2e%2e", "swagger-ui.css%00", "é.js"])
def test_nothing_else_is_served(rig: WebRig, name: str) -> None:
    answer = rig.get(f"/docs/{name}")
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
