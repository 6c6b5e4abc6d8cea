"""What schemathesis cannot take from the document: bodies that are files, and a header by which it is no JSON."""

import io
from contextlib import suppress
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

from tests.e2e.rig import ROOT

RAW = "Inference-Header-Content-Length"
LONGEST_WAIT_SECONDS = 0.01
MODELS = [(ROOT / "examples" / "models" / name).read_bytes() for name in ("deploy.onnx", "deploy_new.onnx")]
ROWS = [np.ones((count, 10), np.float32) for count in (0, 1, 3)]


def npy(rows: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, rows)
    return file.getvalue()


def npz(rows: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, input=rows)
    return file.getvalue()


ANY = st.binary(max_size=200)
OCTETS = st.sampled_from([*MODELS, *(rows.tobytes() for rows in ROWS)])

schemathesis.openapi.media_type("application/octet-stream", st.one_of(ANY, OCTETS))
schemathesis.openapi.media_type("application/x-npy", st.one_of(ANY, st.sampled_from([npy(rows) for rows in ROWS])))
schemathesis.openapi.media_type("application/x-npz", st.one_of(ANY, st.sampled_from([npz(rows) for rows in ROWS])))


@schemathesis.hook
def before_call(context: object, case: Any, kwargs: object) -> None:
    """What changes how a request is read, or how long it takes, and not whether it is right."""
    # A 0 says that the whole body is a tensor's bytes: no JSON is valid or not, then, as the schema has it.
    if case.media_type == "application/json" and str((case.headers or {}).get(RAW)) == "0":
        del case.headers[RAW]
    # An answer is held for up to a minute, as it should be; there are other tests of that.
    with suppress(ValueError):
        if float(str((case.query or {}).get("wait"))) > LONGEST_WAIT_SECONDS:
            case.query["wait"] = LONGEST_WAIT_SECONDS


@schemathesis.hook
def filter_case(context: object, case: Any) -> bool:
    """Whatever is sent as CSV is a text: what is none for the schema becomes one on its way, and may be a table."""
    return case.media_type != "text/csv" or not isinstance(case.body, list | dict | int | float | None)
