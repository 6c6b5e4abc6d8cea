"""Makes the example models, three that read handwritten digits and the classroom's pair, when `make examples` is typed.

The digits come with scikit-learn (1,797 pictures of 8 x 8 pixels, each 0 to 16). A quarter of them is held out: no
model sees it, and the accuracy that is printed, and kept in each model's metadata, is on that quarter. Everything is
seeded, and one thread enters.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import of onnxruntime

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

EXAMPLES = Path(__file__).resolve().parent
OPSET = 17
IR_VERSION = 8
MADE_BY = "examples/make_models.py"

CLASSROOM_ANSWER = (-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998)
"""What the classroom's model printed for ten ones."""

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def split_digits() -> tuple[Pixels, Pixels, Labels, Labels]:
    """Return pixels to learn from and held out, float32 ``[n, 64]`` of 0 to 16, then their labels, int64 ``[n]``."""
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels.astype(np.float32), labels, test_size=0.25, random_state=0, stratify=labels)
    return parts[0], parts[1], parts[2], parts[3]


def classifiers() -> dict[str, Any]:
    """Return the unfitted classifier behind each digits model, by the model's name."""
    return {
        # Held back by strong regularisation, so that there is something for the next one to improve.
        "digits_v1": make_pipeline(MinMaxScaler(), LogisticRegression(C=0.03, max_iter=300)),
        "digits_v2": make_pipeline(
            MinMaxScaler(), MLPClassifier((64,), solver="lbfgs", alpha=1.0, max_iter=300, random_state=0)
        ),
        "digits_boosted": GradientBoostingClassifier(
            n_estimators=40, learning_rate=0.25, max_leaf_nodes=6, subsample=0.7, max_features=0.3, random_state=0
        ),
    }


def make_digits(name: str) -> tuple[onnx.ModelProto, float]:
    """Fit and convert the classifier ``name``; return its model and its accuracy on the held-out digits.

    Input ``pixels`` float32 ``[batch, 64]``; outputs ``label`` int64 ``[batch]`` and ``probabilities`` float32
    ``[batch, 10]``, which ``digits_boosted`` gives as a sequence of maps instead (ZipMap, scikit-learn's own form).
    """
    learn, held_out, labels, held_out_labels = split_digits()
    classifier = classifiers()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped on purpose, when it is good enough
        classifier.fit(learn, labels)
    accuracy = float(classifier.score(held_out, held_out_labels))
    model = to_onnx(
        classifier,
        learn[:1],
        name=name,
        target_opset={"": OPSET, "ai.onnx.ml": 3},
        options={"zipmap": name == "digits_boosted"},
    )
    _name_values(model.graph, "pixels", "label", "probabilities")
    _name_batch(model.graph)
    _sign(model, task="handwritten digits", classes="0 1 2 3 4 5 6 7 8 9", accuracy=f"{accuracy:.4f}")
    return model, accuracy


def make_classroom(name: str, *, seed: int, answer: tuple[float, ...]) -> onnx.ModelProto:
    """Return a model of one fully connected layer whose answer to ten ones is ``answer``.

    Input ``input`` float32 ``[batch, 10]``, output ``output`` float32 ``[batch, 5]``. The classroom's original file is
    not to be had: this one stands in for it, with seeded weights and a bias chosen to give the answer it printed.
    """
    # Multiples of 1/64 that add up to zero in each row: ten ones then leave the bias alone, to the last bit.
    weight = np.random.default_rng(seed).integers(-20, 21, (5, 10)).astype(np.float32) / 64
    weight[:, -1] -= weight.sum(axis=1)
    bias = np.asarray(answer, np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["input", "weight", "bias"], ["output"], transB=1)],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 10])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    _sign(model, task="classroom", note="a stand-in: the weights are seeded, not learned")
    return model


def make_all() -> dict[str, onnx.ModelProto]:
    """Return every example model by its name, without writing any."""
    models = {name: make_digits(name)[0] for name in classifiers()}
    models["deploy"] = make_classroom("deploy", seed=1, answer=CLASSROOM_ANSWER)
    models["deploy_new"] = make_classroom("deploy_new", seed=2, answer=(0.5, 0.25, 0.125, -0.25, -0.5))
    return models


def _name_values(graph: onnx.GraphProto, *names: str) -> None:
    """Call the inputs and outputs of ``graph``, in that order, ``names``; inner values in their way step aside."""
    faces = [*graph.input, *graph.output]
    renamed = {face.name: name for face, name in zip(faces, names, strict=True)}
    renamed = {name: f"inner_{name}" for name in names if name not in renamed} | renamed
    for face in faces:
        face.name = renamed[face.name]
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]


def _name_batch(graph: onnx.GraphProto) -> None:
    """Call the open first dimension of every tensor input and output ``batch``."""
    for value in [*graph.input, *graph.output]:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _sign(model: onnx.ModelProto, **metadata: str) -> None:
    """Write who made ``model`` and what is worth knowing of it into its metadata."""
    model.producer_name = "modeldrop-examples"
    model.producer_version = ""
    model.domain = ""
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {"made_by": MADE_BY, **metadata})
    onnx.checker.check_model(model)


def _write_bodies(examples: Path) -> None:
    """Write request bodies: a held-out digit that every model reads, and one that only the better ones do."""
    _, held_out, _, labels = split_digits()
    for name, index in pick_digits(held_out, labels, examples / "models").items():
        body = {"inputs": [[int(pixel) for pixel in held_out[index]]]}
        (examples / f"{name}.json").write_text(json.dumps(body) + "\n", encoding="utf-8")
        print(f"{name}.json: a {labels[index]}")


def pick_digits(held_out: Pixels, labels: Labels, models: Path) -> dict[str, int]:
    """Return which held-out digit goes into ``digits.json`` and which into ``digits_hard.json``, by the file's stem."""
    read = {
        name: onnxruntime.InferenceSession(models / f"{name}.onnx").run(["label"], {"pixels": held_out})[0] == labels
        for name in classifiers()
    }
    later = read["digits_v2"] & read["digits_boosted"]
    return {
        "digits": int(np.argmax(later & read["digits_v1"] & (labels > 0))),
        "digits_hard": int(np.argmax(later & ~read["digits_v1"])),
    }


def main() -> None:
    """Write every model and request body, and print what each model is worth."""
    models_dir = EXAMPLES / "models"
    models_dir.mkdir(exist_ok=True)
    for name, model in make_all().items():
        path = models_dir / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        properties = {entry.key: entry.value for entry in model.metadata_props}
        print(f"{path.name:<20} {path.stat().st_size:>8,} bytes  accuracy {properties.get('accuracy', '-')}")
    (EXAMPLES.parent / "model_drop" / "deploy.onnx").write_bytes((models_dir / "deploy.onnx").read_bytes())
    _write_bodies(EXAMPLES)


if __name__ == "__main__":
    main()
