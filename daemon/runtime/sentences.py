"""Turns ONNX Runtime's messages into one line that may be shown: no status code, no source line, no store path.

Pure functions, any thread.
"""

import re
from pathlib import Path

LONGEST = 500
"""Characters that a cleaned message has at most."""

_STATUS = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_LOADING = re.compile(r"Load model from .*? failed: ?")
_EXCEPTION = re.compile(r"Exception during (?:loading|initialization): ")
_PLEASE = re.compile(r" ?Please fix either the inputs/outputs or the model\.")
_NODE = re.compile(r"Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: ")

# What ORT_ENFORCE and ORT_THROW put first: "/onnxruntime_src/…/file.cc:12 ns::Function(const T&) const [with …] ".
_SOURCE_LINE = re.compile(
    r"(?:/[^\s\"']*/)?[\w.-]+\.(?:cc|cpp|cu|cuh|h|hpp):\d+ "
    r"(?:[^()\"'{}]*\([^()]*(?:\([^()]*\)[^()]*)*\)(?: const)?(?: \[with [^\]]*\])? "
    r"|[A-Z]\w*[a-z][A-Z]\w* )?"
)


def clean(message: str, *, path: Path | None = None) -> str:
    """One line of at most ``LONGEST`` characters, without what only ONNX Runtime's authors need.

    ``path`` is where the model lies in the store: its folder is cut out of the message, however it is spelled.
    """
    text = _LOADING.sub("", _STATUS.sub("", message))
    text = _EXCEPTION.sub("", text)
    text = _NODE.sub(_name_node, text)
    text = _PLEASE.sub("", _SOURCE_LINE.sub("", text))
    if path is not None:
        text = _without_folder(text, path)
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _name_node(match: re.Match[str]) -> str:
    operator, name = match.groups()
    return f"{operator} node {name!r}: " if name else f"{operator} node: "


def _without_folder(text: str, path: Path) -> str:
    for folder in sorted({str(path.parent), str(path.parent.resolve())}, key=len, reverse=True):
        if folder not in (".", "/"):
            text = text.replace(folder.rstrip("/") + "/", "").replace(folder, "the model's folder")
    return text
