"""Triton's own client, tensors in binary both ways: it predicts, loads a model that it brings, and tells errors apart.

pip install 'tritonclient[http]'
[MODELDROP_TOKEN=...] python python_tritonclient.py [--url http://127.0.0.1:5000] [FILE.onnx]
"""

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

try:
    import numpy as np
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException
except ImportError as error:
    sys.exit(f"{error}; this client needs tritonclient: pip install 'tritonclient[http]'")

MODEL = "by-tritonclient"
FILE = Path(__file__).parents[1] / "models" / "deploy_new.onnx"
ROWS = np.ones((2, 10), np.float32)


class Client:
    """What is asked of a daemon at ``url``; one connection, for one thread at a time.

    tritonclient writes into the headers that it is given, so each call gets a dict of its own.
    """

    def __init__(self, url: str, token: str = "") -> None:
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = InferenceServerClient(urlsplit(url).netloc)

    def predict(self, rows: np.ndarray, model: str = "default", version: str = "") -> tuple[str, np.ndarray]:
        """The version that answered, and the model's first output for float32 ``rows`` as its first input."""
        described = self._client.get_model_metadata(model, version, headers=dict(self._headers))
        tensor = InferInput(described["inputs"][0]["name"], list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows, binary_data=True)
        name = described["outputs"][0]["name"]
        wanted = [InferRequestedOutput(name, binary_data=True)]
        answer = self._client.infer(model, [tensor], version, wanted, headers=dict(self._headers))
        output = answer.as_numpy(name)
        assert output is not None  # it was asked for
        return str(answer.get_response()["model_version"]), output

    def load(self, file: Path, model: str) -> None:
        """Deploys ``file``; it serves when this comes back."""
        brought = {f"file:1/{file.name}": file.read_bytes()}
        self._client.load_model(model, headers=dict(self._headers), config="{}", files=brought)
        if not self._client.is_model_ready(model, headers=dict(self._headers)):
            raise InferenceServerException(f"{model} is loaded and not ready")

    def close(self) -> None:
        self._client.close()


def show(client: Client, file: Path) -> None:
    version, output = client.predict(ROWS)
    print(f"default version {version}: {output[0].tolist()}")

    client.load(file, MODEL)
    version, output = client.predict(ROWS, MODEL)
    print(f"{MODEL} version {version}: {output[1].tolist()}")

    try:
        client.predict(ROWS[:, :3])
    except InferenceServerException as refused:
        print(f"as it should be: {refused.status()} {refused.message()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--url", default=os.environ.get("URL", "http://127.0.0.1:5000"))
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    chosen = parser.parse_args()
    client = Client(chosen.url, os.environ.get("MODELDROP_TOKEN", ""))
    try:
        show(client, chosen.file)
    except (InferenceServerException, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
