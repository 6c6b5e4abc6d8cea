"""The classroom's load test: thirty predictions and two updates, all in flight at once over one aiohttp session.

Every one of the 32 answers must be a 200, and every output must belong to the model that the answer names. Start the
daemon with `make run`, then run this with `make classroom`. It needs aiohttp, and exits 1 if an answer was off.
"""

import argparse
import asyncio
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import aiohttp

PREDICTIONS = 10
BODY = {"inputs": [[1.0] * 10]}
TIMEOUT_SECONDS = 60

ANSWERS = {
    "deploy.onnx": (-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998),
    "deploy_new.onnx": (0.5, 0.25, 0.125, -0.25, -0.5),
}
"""What each model of the pair answers to ten ones."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came back with; ``ms`` is how long it took, and ``fault`` says what is off, if anything is."""

    request: str
    status: int
    ms: float
    body: dict[str, Any] = field(default_factory=dict)
    fault: str = ""


def find_fault(status: int, body: dict[str, Any], *, expects_output: bool) -> str:
    """Return what is wrong with an answer, or an empty string."""
    if status != 200:
        return f"expected 200, got {status}: {body.get('error', body)}"
    if not expects_output:
        return ""
    path = PurePath(str(body.get("model_path")))
    expected = ANSWERS.get(path.name)
    if expected is None:
        return f"answered by {path}, which is not of the pair"
    match body.get("output"):
        case [list(output)] if len(output) == len(expected):
            close = all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(output, expected, strict=True))
            return "" if close else f"{output} is not what {path.name} answers"
        case other:
            return f"expected one row of {len(expected)} numbers, got {other!r}"


async def post(session: aiohttp.ClientSession, route: str, body: dict[str, Any]) -> Answer:
    """Post ``body`` as JSON and judge the answer; a request that gets none is an answer with status 0."""
    request = f"POST {route}" + (f" {body['model_path']}" if "model_path" in body else "")
    began = time.perf_counter()
    try:
        async with session.post(route, json=body) as response:
            answered = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Answer(request, 0, 1000 * (time.perf_counter() - began), fault=f"{type(error).__name__}: {error}")
    ms = 1000 * (time.perf_counter() - began)
    return Answer(request, status, ms, answered, find_fault(status, answered, expects_output=route == "/predict"))


async def load(url: str) -> list[Answer]:
    """Send the classroom's 32 requests to the daemon at ``url``, all at once, and return their answers in order."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        requests = []
        for update in ("deploy_new.onnx", "deploy.onnx", None):
            requests += [post(session, "/predict", BODY) for _ in range(PREDICTIONS)]
            if update:
                requests.append(post(session, "/update_model", {"model_path": update}))
        return await asyncio.gather(*requests)


def show(answers: list[Answer]) -> None:
    """Print one line per answer, then how many were right."""
    print(f"{'request':<38} {'status':>6} {'ms':>8}  {'version':>7}  answered by")
    for answer in answers:
        by = answer.fault or answer.body.get("model_path", "")
        version = answer.body.get("version", "-")
        print(f"{answer.request:<38} {answer.status:>6} {answer.ms:>8.1f}  {version!s:>7}  {by}")
    print(f"{sum(not answer.fault for answer in answers)} of {len(answers)} answers are right")


def main() -> int:
    """Run the load test against ``--url``; return 0 if every answer was right, else 1."""
    parser = argparse.ArgumentParser(description="thirty predictions and two updates, all at once")
    parser.add_argument("--url", default="http://127.0.0.1:5000", help="where the daemon listens (%(default)s)")
    answers = asyncio.run(load(parser.parse_args().url))
    show(answers)
    return int(any(answer.fault for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
