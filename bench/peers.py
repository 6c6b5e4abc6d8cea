"""What people write instead: Flask around one session under one lock, on its own server or on waitress.

    python -m bench.peers (flask-dev|flask-waitress) MODEL

Prints ``ready http://127.0.0.1:PORT`` and answers ``POST /predict`` until it is ended. The classroom's form is
``flask-dev``; both use the standard library's JSON, as such code does.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import sys
import threading

import flask
import numpy as np
import onnxruntime as ort
import waitress.server
from werkzeug.serving import make_server

THREADS = 4
"""waitress' own default."""


def main() -> None:
    """Serves the model named on the command line."""
    kind, model = sys.argv[1:]
    app = _app(model)
    if kind == "flask-dev":
        server = make_server("127.0.0.1", 0, app, threaded=True)
        print(f"ready http://127.0.0.1:{server.port}", flush=True)
        server.serve_forever()
    elif kind == "flask-waitress":
        served = waitress.server.create_server(app, host="127.0.0.1", port=0, threads=THREADS)
        print(f"ready http://127.0.0.1:{served.effective_port}", flush=True)  # type: ignore[union-attr]
        served.run()
    else:
        raise SystemExit(f"expected flask-dev or flask-waitress, found {kind}")


def _app(model: str) -> flask.Flask:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    lock = threading.Lock()
    app = flask.Flask("peer")

    @app.post("/predict")
    def predict() -> flask.Response:
        inputs = np.array(flask.request.get_json()["inputs"], np.float32)
        with lock:
            (output, *_) = session.run(None, {name: inputs})
        return flask.jsonify(output=output.tolist(), model_path=model)

    return app


if __name__ == "__main__":
    main()
