"""FastAPI on uvicorn as people write it: a pydantic body, an async view, one prediction after another.

    .venv-bench/bin/python -m bench.fastapi_peer MODEL

Prints ``ready http://127.0.0.1:PORT`` and answers ``POST /predict`` until it is ended. Run by the bench's own
environment: the product installs neither, so they are not imported by name.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import socket
import sys
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from pydantic import BaseModel

DTYPES: dict[str, type] = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Asked(BaseModel):
    """The body of a request."""

    inputs: list[Any]


def main() -> None:
    """Serves the model named on the command line."""
    (model,) = sys.argv[1:]
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    app = import_module("fastapi").FastAPI()

    async def predict(asked: Asked) -> dict[str, Any]:
        inputs: npt.NDArray[Any] = np.array(asked.inputs, DTYPES[source.type])
        (output, *_) = session.run(None, {source.name: inputs})
        return {"output": output.tolist(), "model_path": model}

    app.post("/predict")(predict)
    uvicorn = import_module("uvicorn")
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"ready http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main()
