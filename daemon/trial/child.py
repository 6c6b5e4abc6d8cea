"""What happens inside a trial's process: it confines itself, then does what the daemon asks until that hangs up.

Entered by the one thread of the forked process. What is asked is a mapping with ``do``, one of ``ACTS``; the answer is
a mapping, with ``refused`` where the model is to blame. To the daemon, all of it is only a claim: a model that takes
this process over can answer what it likes, and gains no more by that than a release of itself.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from socket import socket
from typing import Any, NoReturn

import numpy as np
import orjson

from daemon.errors import InferenceFailed, InvalidInput, Rejected, RunTimeout
from daemon.runtime import Deadlines, Engine, EngineOptions, load_engine, map_engine
from daemon.trial.confinement import confine
from daemon.trial.proving import Job, prove
from daemon.trial.terms import TrialTerms
from daemon.trial.testdata import read_test_data
from daemon.trial.wire import Closed, Late, Oversized, Wire

SECOND_FAULT = 3
"""The exit code where this process cannot go on, but for the daemon's hanging up: 0."""

MOST_OUTPUT_BYTES = 256 << 20
TOO_LARGE = "TooLarge"
"""How a run failed whose outputs are more than is handed over."""


class Child:
    """The engines of one trial. ``tell`` says to the daemon what is being done."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._deadlines = Deadlines()
        self._engines: dict[str, Engine] = {}

    def prove(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Loads the candidate, runs it, and says what it is; it stays loaded as ``candidate``."""
        options = _options(asked)
        job = Job(
            path=Path(asked["path"]),
            save_to=Path(asked["save_to"]) if asked["save_to"] else None,
            timeout_seconds=asked["seconds"],
            measure_seconds=asked["measure_seconds"],
            arrays=asked["arrays"],
            plain=[orjson.loads(text.tobytes()) for text in asked["plain"]],
            folders=[Path(folder) for folder in asked["folders"]],
        )
        engine, proof = prove(job, options, self._deadlines, self._tell)
        self._engines["candidate"] = engine
        return proof

    def load(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Loads what is known to run, under the name ``as``; mapped where it is a saved form."""
        load = map_engine if asked["saved"] else load_engine
        self._engines[asked["as"]] = load(Path(asked["path"]), _options(asked), self._deadlines)
        return {}

    def run(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Runs an engine: its outputs and the seconds that it took, or ``failed``, the kind of failure, and why."""
        engine = self._engines[asked["on"]]
        start = time.perf_counter()
        try:
            outputs = engine.run(asked["inputs"], timeout_seconds=asked["seconds"])
        except (InvalidInput, InferenceFailed, RunTimeout) as error:
            return {"failed": type(error).__name__, "reason": str(error)}
        seconds = time.perf_counter() - start
        size_bytes = sum(output.nbytes for output in outputs if isinstance(output, np.ndarray))
        if size_bytes > MOST_OUTPUT_BYTES:  # more than anybody expects, and than the daemon should have to hold
            return {"failed": TOO_LARGE, "reason": f"its outputs have {size_bytes >> 20} MB"}
        return {"outputs": outputs, "seconds": seconds}

    def read(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Reads one of ONNX's test data sets for the candidate."""
        return read_test_data(Path(asked["folder"]), self._engines["candidate"].signature)


ACTS: Mapping[str, Callable[[Child, Mapping[str, Any]], Mapping[str, object]]] = {
    "prove": Child.prove,
    "load": Child.load,
    "run": Child.run,
    "read": Child.read,
}


def live(sock: socket, terms: TrialTerms, parent: int) -> NoReturn:
    """The whole life of the process that was just forked from ``parent``; it never returns into what was forked."""
    code = SECOND_FAULT
    try:
        _close_all_but(sock.fileno())
        confine(terms, parent)
        wire = Wire(sock)
        child = Child(lambda doing: wire.send({"doing": doing}))
        while True:
            asked = wire.receive()
            try:
                wire.send(_answer(child, asked))
            except Oversized as error:
                wire.send(
                    {"failed": TOO_LARGE, "reason": str(error)} if asked["do"] == "run" else {"refused": str(error)}
                )
    except (Closed, Late):
        code = 0
    finally:
        os._exit(code)


def _answer(child: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    try:
        return ACTS[asked["do"]](child, asked)
    except Rejected as refusal:
        return {"refused": refusal.reason}
    except MemoryError:
        return {"refused": "std::bad_alloc"}
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"[:500]}


def _options(asked: Mapping[str, Any]) -> EngineOptions:
    return EngineOptions(providers=tuple(asked["providers"]), threads=asked["threads"])


def _close_all_but(kept: int) -> None:
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(entry) > 2 and int(entry) != kept:
            with suppress(OSError):
                os.close(int(entry))
