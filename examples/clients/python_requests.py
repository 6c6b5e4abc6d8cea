"""A client with requests: it predicts, deploys a file, follows the events until it serves, and tells errors apart.

pip install requests
[MODELDROP_TOKEN=...] python python_requests.py [--url http://127.0.0.1:5000] [FILE.onnx]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import requests
except ImportError as error:
    sys.exit(f"{error}; this client needs it: pip install requests")

MODEL = "by-requests"
FILE = Path(__file__).parents[1] / "models" / "deploy_new.onnx"
ROW = [1.0] * 10
TIMEOUT_SECONDS = 60
TRIES = 5


class Refused(Exception):
    """An answer other than 200; programs look at ``status`` and ``code``."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(f"{status} {code}: {sentence}")
        self.status = status
        self.code = code


class Client:
    """What a daemon at ``url`` can be asked; one connection, for one thread at a time."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """The answer's JSON; comes again where the daemon asks for that. Raises Refused."""
        for left in reversed(range(TRIES)):
            answer = self._session.request(method, self._url + path, timeout=TIMEOUT_SECONDS, **more)
            if answer.status_code != 503 or "Retry-After" not in answer.headers or not left:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        if answer.status_code != 200:
            told = answer.json()
            raise Refused(answer.status_code, told["code"], told["error"])
        return answer.json()

    def predict(self, inputs: object, model: str = "default") -> Any:
        return self.ask("POST", f"/models/{model}/predict", json={"inputs": inputs})

    def upload(self, file: Path, model: str) -> Any:
        """Deploys ``file``, which is sent as it is read; gives what serves from then on."""
        with file.open("rb") as stream:
            return self.ask("PUT", f"/models/{model}/upload", params={"filename": file.name}, data=stream)

    def last_event(self) -> int:
        return int(self.ask("GET", "/events", params={"limit": 0})["last"])

    def events(self, after: int, model: str, seconds: float = 30) -> Iterator[dict[str, Any]]:
        """What happens to ``model`` after the event ``after``, for at most so many ``seconds``."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            told = self.ask("GET", "/events", params={"after": after, "model": model, "wait": min(left, 10)})
            yield from told["events"]
            after = told["last"]


def show(client: Client, file: Path) -> None:
    answer = client.predict([ROW])
    print(f"default version {answer['version']}: {answer['output'][0]}")

    before = client.last_event()
    outcome = client.upload(file, MODEL)["outcome"]
    if outcome == "live":
        event = next(event for event in client.events(before, MODEL) if event["event"] == "live")
        print(f"{MODEL} is live after {event['seconds']['total']:.3f} s")
    answer = client.predict([ROW, ROW], MODEL)
    print(f"{MODEL} version {answer['version']}: {answer['output'][1]}")

    try:
        client.predict([[1, 2, 3]])
    except Refused as refused:
        print(f"as it should be: {refused}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--url", default=os.environ.get("URL", "http://127.0.0.1:5000"))
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    chosen = parser.parse_args()
    try:
        show(Client(chosen.url, os.environ.get("MODELDROP_TOKEN", "")), chosen.file)
    except (Refused, requests.RequestException) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
