"""The web application on a deployer with a real store, journal and engine, asked by Flask's own client."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from werkzeug.test import TestResponse

from daemon.api import RequestLimits, build_app, code_of
from daemon.gate import Integrity, Structure
from daemon.http.pool import Load, PoolLoad
from daemon.intake.named import NamedFiles
from daemon.runtime import Deadlines, EngineOptions, load_engine, runtime_versions
from daemon.web.access import Tokens
from daemon.web.catalogue import Catalogue
from daemon.web.metrics import Happenings, MetricsPage, Sources, Watch
from daemon.web.predicting import Predictor
from tests.deploying_rig import DeployingRig
from tests.fakes import InlineTrial
from tests.onnx_models import constant_model

LIMIT_BYTES = 4096


class WebRig:
    """The application's parts and a client; ``folder`` is the config file's. ``with`` starts and closes it.

    Bodies may have ``LIMIT_BYTES``, uploads 16 times as many; runs and waits are cut after a second. ``faults`` is what
    keeps it from being ready, ``more`` is for the rig below.
    """

    def __init__(self, folder: Path, *, tokens: Tokens | None = None, waiting_clients: int = 1, **more: Any) -> None:
        self._undo = ExitStack()
        self.folder = folder
        self.happenings = Happenings()
        self.allowed = folder / "allowed"
        self.allowed.mkdir()
        deadlines = Deadlines()
        self._undo.callback(deadlines.stop)
        load = partial(load_engine, options=EngineOptions(threads=1), deadlines=deadlines)
        structure = Structure(max_bytes=1 << 30, versions=runtime_versions)
        self.lower = self._undo.enter_context(
            DeployingRig(
                folder,
                loader=load,
                trying=InlineTrial(load),
                checks=(Integrity(), structure),
                on_event=self.happenings.note,
                **more,
            )
        )
        self.drop, self.journal, self.holder = self.lower.drop, self.lower.journal, self.lower.holder
        self.deployer = self.lower.deployer
        self.faults: list[str] = []
        self.watch = Watch(alive=True, armed=True, looked=1000.0)
        catalogue = Catalogue(
            self.holder,
            self.journal,
            default_model="default",
            on_its_way=(self.deployer.candidate_of,),
            on_probation=self.lower.probation.of,
        )
        self.predictor = Predictor(
            self.holder,
            probation=self.lower.probation,
            ring=self.lower.ring,
            knows=catalogue.knows,
            default_model="default",
            timeout_seconds=1,
            max_body_bytes=LIMIT_BYTES,
            max_batch=32,
        )
        self.app = build_app(
            predictor=self.predictor,
            deployer=self.deployer,
            journal=self.journal,
            catalogue=catalogue,
            files=NamedFiles(folder, (self.drop, self.allowed), 1, 1),
            faults=lambda: self.faults,
            tokens=tokens or Tokens("", ""),
            limits=RequestLimits(
                max_body_bytes=LIMIT_BYTES,
                max_upload_bytes=16 * LIMIT_BYTES,
                waiting_clients=waiting_clients,
            ),
            default_model="default",
            most_batched=32,
            log_file="logs/daemon.log",
            welcome="欢迎 <b>",
            metrics=MetricsPage(
                Sources(
                    counting=self.predictor.counting,
                    holder=self.holder,
                    happenings=self.happenings,
                    load=lambda: Load(3, PoolLoad(8, 2, 5, 4), PoolLoad(16, 1, 0)),
                    faults=lambda: self.faults,
                    watch=lambda: self.watch,
                    code_of=code_of,
                    build={"version": "1.2.3", "onnxruntime_version": "4.5.6", "front": "none"},
                )
            ),
        )

    def __enter__(self) -> "WebRig":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    def ask(self, method: str, path: str, body: object = None, **more: Any) -> TestResponse:
        """One request from this machine; ``body`` is sent as it is when it is bytes, else as JSON."""
        sent = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        return self.app.test_client().open(path, method=method, data=sent, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: object = None, **more: Any) -> TestResponse:
        return self.ask("POST", path, body, **more)

    def put(self, path: str, body: bytes, **more: Any) -> TestResponse:
        return self.ask("PUT", path, body, **more)

    def model_file(self, value: float, name: str = "") -> Path:
        """A model in the drop directory whose every output is ``value``, of ten inputs and five outputs."""
        return constant_model(self.drop / (name or f"{value}.onnx"), value)

    def update(self, value: float, model: str = "default") -> TestResponse:
        """A deploy of such a model over HTTP, with all that follows it."""
        path = self.model_file(value)
        answer = self.post("/update_model", {"model_path": path.name, "model": model})
        self.settle()
        return answer

    def predict(self, path: str = "/predict") -> TestResponse:
        return self.post(path, {"inputs": [[1] * 10]})

    def settle(self) -> None:
        self.lower.settle()
