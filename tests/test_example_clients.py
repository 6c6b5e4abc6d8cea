"""The example clients in Python by themselves: what they say without their packages, and what they hand to them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLIENTS = Path(__file__).resolve().parent.parent / "examples" / "clients"


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("python_requests.py", "pip install requests"),
        ("python_tritonclient.py", "pip install 'tritonclient[http]'"),
    ],
)
def test_missing_package_is_one_line_that_says_how_to_get_it(file: str, advice: str) -> None:
    bare = [sys.executable, "-I", "-S", str(CLIENTS / file)]  # no site-packages
    done = subprocess.run(bare, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("No module named ")
    assert line.endswith(advice)


def test_each_call_of_tritonclient_has_headers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("python_tritonclient", CLIENTS / "python_tritonclient.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seen: list[dict[str, str]] = []

    class Scribbler:
        """Notes the headers that it is given and writes into them, as tritonclient does."""

        def __init__(self, _: str) -> None: ...

        def __getattr__(self, _: str) -> Any:
            def call(*_: Any, headers: dict[str, str], **__: Any) -> Any:
                seen.append(dict(headers))
                headers["Inference-Header-Content-Length"] = "7"
                return self

            return call

        def __getitem__(self, _: str) -> Any:
            return [{"name": "x"}]

        def as_numpy(self, _: str) -> Any:
            return np.ones(1)

        def get_response(self) -> dict[str, str]:
            return {"model_version": "1"}

    monkeypatch.setattr(module, "InferenceServerClient", Scribbler)
    client = module.Client("http://127.0.0.1:1", "secret")
    client.predict(np.ones((1, 10), np.float32))
    client.load(CLIENTS / "README.md", "m")
    assert seen == [{"Authorization": "Bearer secret"}] * 4
