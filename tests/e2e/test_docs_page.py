"""The page at ``/docs`` in a browser: it shows the document, tries a request, and fetches nothing from elsewhere."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.e2e.conftest import NewRig
from tests.e2e.rig import ROOT, Rig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
FLAGS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 20_000
TRIED = "#operations-predictions-post_predict"
UPLOADING = "#operations-deploying-put_models_by_model_upload"

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium here: apt install chromium")


@contextmanager
def browsing(rig: Rig, path: str) -> Iterator[Page]:
    """A page at ``path`` that may ask nobody but ``rig``; fails where it tried to, or complained in its console."""
    own = f"http://127.0.0.1:{rig.port}/"
    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(own + path)
        yield page
        browser.close()
    assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []
    assert [line for line in complaints if "401" not in line] == []


def serving(rig: Rig) -> Rig:
    shutil.copy(ROOT / "examples" / "models" / "deploy.onnx", rig.drop)
    return rig.start()


def opened(page: Page, name: str) -> Locator:
    operation = page.locator(name)
    operation.locator(".opblock-summary-control").click()
    return operation


def expect_success(operation: Locator, told: str) -> None:
    """Sends what ``operation`` has been filled in with, and waits for a 200 with ``told``."""
    operation.locator(".execute").click()
    answered = operation.locator(".live-responses-table .response")
    expect(answered.locator(".response-col_status")).to_contain_text("200", timeout=PATIENCE_MS)
    expect(answered).to_contain_text(told, timeout=PATIENCE_MS)


def try_predicting(page: Page) -> None:
    expect_success(opened(page, TRIED), '"output"')


def try_uploading(page: Page) -> None:
    operation = opened(page, UPLOADING)
    operation.locator("input[type=file]").set_input_files(ROOT / "examples" / "models" / "deploy_new.onnx")
    expect_success(operation, '"live"')


def give(page: Page, token: str) -> None:
    page.locator("#token input").fill(token)
    page.get_by_role("button", name="Open").click()


def test_page_shows_every_operation_predicts_and_uploads(new_rig: NewRig) -> None:
    rig = serving(new_rig())
    wanted = sum(map(len, rig.get("/openapi.json").json["paths"].values()))
    with browsing(rig, "docs") as page:
        try_predicting(page)
        try_uploading(page)
        assert page.locator(".opblock").count() == wanted
        assert not page.locator("#token").is_visible()


def test_page_asks_for_the_token_where_one_is_needed(new_rig: NewRig) -> None:
    rig = serving(new_rig(auth={"admin_token": "open sesame", "predict_token": "prédict"}))
    with browsing(rig, "docs/") as page:
        expect(page.locator("#token")).to_contain_text("auth.predict_token or auth.admin_token")
        expect(page.locator("#refused")).to_be_empty()
        give(page, "wrong")
        expect(page.locator("#refused")).to_have_text("This token is not accepted.")
        give(page, "prédict")
        try_predicting(page)
        assert not page.locator("#token").is_visible()
