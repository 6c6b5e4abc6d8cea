"""Sessions and processes that map one compiled form hold its weights once, in the page cache."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from daemon.runtime import EngineOptions
from daemon.runtime.sessions import SAVED_MODEL, SAVED_WEIGHTS, open_model
from tests import onnx_models

SIDE = 2048
WEIGHTS_BYTES = SIDE * SIDE * 4
OTHERS = 2
WAIT_SECONDS = 30.0

MAPS_AND_WAITS = """
import sys
from pathlib import Path
import numpy as np
from daemon.runtime import EngineOptions
from daemon.runtime.sessions import open_saved
sessions = [open_saved(Path(sys.argv[1]), EngineOptions(threads=threads)) for threads in (2, 1)]
for session in sessions:
    session.run(None, {"input": np.ones((1, int(sys.argv[2])), np.float32)})
print("maps", flush=True)
sys.stdin.readline()
"""


def test_processes_and_sessions_share_the_weights_of_a_compiled_form(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    model = onnx_models.gemm(tmp_path / "m.onnx", weights, np.zeros(SIDE, np.float32))
    form = tmp_path / "form"
    form.mkdir()
    open_model(model, EngineOptions(threads=1), save_to=form)
    command = [sys.executable, "-c", MAPS_AND_WAITS, str(form / SAVED_MODEL), str(SIDE)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(OTHERS)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "maps\n"
        held = [held_of(form / SAVED_WEIGHTS, child.pid) for child in children]
    finally:
        for child in children:
            child.communicate("", timeout=WAIT_SECONDS)
    for each in held:
        assert each["Rss"] > WEIGHTS_BYTES * 0.9, "the weights are not mapped, so there is nothing to share"
        assert each["Private_Clean"] + each["Private_Dirty"] < WEIGHTS_BYTES * 0.1
    assert sum(each["Pss"] for each in held) < WEIGHTS_BYTES * 1.1


def held_of(path: Path, pid: int) -> dict[str, int]:
    """What the process holds of the file, by kind, in bytes: the sums over all its mappings (proc(5), smaps)."""
    sums: dict[str, int] = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(path))
        elif inside and (name := line.partition(":")[0]) in sums:
            sums[name] += int(line.split()[1]) << 10
    return sums
