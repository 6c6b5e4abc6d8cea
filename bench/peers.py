"""What people write instead, and the servers' own ceilings: a constant, answered by nothing but the HTTP server.

    python -m bench.peers (flask-dev|flask-waitress|hello-waitress) MODEL

Prints ``ready http://127.0.0.1:PORT`` and answers ``POST /predict`` until it is ended. Flask goes around one session
under one lock, with the standard library's JSON, as such code does; the classroom's form is ``flask-dev``.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import logging
import sys
import threading
from collections.abc import Iterable
from typing import Any

import flask
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import waitress.server
from werkzeug.serving import make_server

THREADS = 4
"""waitress' own default."""
DTYPES: dict[str, type] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
HELLO = b'{"output":[[0.91576546,-1.2802651,0.04480535,0.9490438,0.1]],"model_path":"model.onnx"}'


def main() -> None:
    """Serves the model named on the command line."""
    kind, model = sys.argv[1:]
    if kind == "flask-dev":
        server = make_server("127.0.0.1", 0, _app(model), threaded=True)
        print(f"ready http://127.0.0.1:{server.port}", flush=True)
        server.serve_forever()
    elif kind in ("flask-waitress", "hello-waitress"):
        app = hello if kind == "hello-waitress" else _app(model)
        if app is hello:  # a ceiling has nothing to say; people leave waitress' warnings of its queue on
            logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        served = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=THREADS)
        print(f"ready http://127.0.0.1:{served.effective_port}", flush=True)  # type: ignore[union-attr]
        served.run()
    else:
        raise SystemExit(f"expected flask-dev, flask-waitress or hello-waitress, found {kind}")


def hello(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Reads the body and answers what the smallest model would, without it."""
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def _app(model: str) -> flask.Flask:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    lock = threading.Lock()
    app = flask.Flask("peer")

    @app.post("/predict")
    def predict() -> flask.Response:
        inputs: npt.NDArray[Any] = np.array(flask.request.get_json()["inputs"], DTYPES[source.type])
        with lock:
            (output, *_) = session.run(None, {source.name: inputs})
        return flask.jsonify(output=output.tolist(), model_path=model)

    return app


if __name__ == "__main__":
    main()
