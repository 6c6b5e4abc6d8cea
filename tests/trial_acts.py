"""What no model will do on purpose, done by a trial's process: acts that a warm parent for tests knows besides its own.

Imported by that parent, which ``odd_parent`` starts with a ``sitecustomize`` of its own; its forks know the acts too.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.trial import WarmParent, child
from daemon.trial.child import Child

_MARK = b"act:"


def odd_parent(folder: Path) -> WarmParent:
    """A warm parent, on its way, whose trials know the acts below; ``folder`` is on its path, and must stay."""
    folder.mkdir(exist_ok=True)
    folder.joinpath("sitecustomize.py").write_text("from tests import trial_acts\n\ntrial_acts.teach()\n")
    parent = WarmParent()
    sys.path.insert(0, str(folder))  # a warm parent is given the daemon's own path
    try:
        parent.start()
    finally:
        sys.path.remove(str(folder))
    return parent


def teach() -> None:
    """Adds the acts to those that a trial's process knows."""
    acts = (prove, abort, answer, eat, exit_with, fall, flood, hang, hang_up, leave, murmur, show, write)
    child.ACTS = {**child.ACTS, **{act.__name__: act for act in acts}}


def acting(act: Mapping[str, object]) -> bytes:
    """The bytes of a "model" at whose trial the act named ``do`` is done.

    ``doing`` is what the process says meanwhile. With ``instead``, the path of a model, the act is only done where the
    candidate is to be compiled, else that model is proved.
    """
    return _MARK + json.dumps(act).encode()


def prove(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Proves a candidate, but for those that ``acting`` made."""
    content = Path(asked["path"]).read_bytes()
    if not content.startswith(_MARK):
        return Child.prove(process, asked)
    act = json.loads(content.removeprefix(_MARK))
    if "instead" in act and asked["save_to"] is None:
        return Child.prove(process, {**asked, "path": act["instead"]})
    if "doing" in act:
        process._tell(act["doing"])
    return child.ACTS[act["do"]](process, act)


def show(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """What this process is like, as only it may see: others of its user may not look into it."""
    limits = ("CORE", "DATA", "FSIZE", "NOFILE")
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return {
        "descriptors": {
            int(each.name): str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()
        },
        "environment": dict(os.environ),
        "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in limits},
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "group": os.getpgid(0),
        "first_to_go": int(Path("/proc/self/oom_score_adj").read_text()),
        "no_new_privileges": status["NoNewPrivs"],
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
        "allocated_bytes": int(status["VmData"].split()[0]) << 10,
    }


def answer(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Answers what it is told to."""
    told: Mapping[str, object] = asked["answer"]
    return told


def murmur(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Says what it does, then does another act."""
    process._tell(asked["doing"])
    return child.ACTS[asked["then"]](process, asked)


def flood(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Says what it does, and nothing else, for ever."""
    while True:
        process._tell("it talked")


def hang(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Does nothing, for ever."""
    while True:
        signal.pause()


def hang_up(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Closes its socket and lives on."""
    os.closerange(3, 100)
    return hang(process, asked)


def abort(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Ends as a failed assertion in C ends it."""
    os.abort()


def fall(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Reads what is not there."""
    return {"read": ctypes.string_at(0)}


def exit_with(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Ends by itself."""
    os._exit(asked["code"])


def eat(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Takes memory."""
    return {"eaten": len(bytes(asked["bytes"]))}


def write(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Writes a file."""
    return {"written": Path(asked["path"]).write_bytes(bytes(asked["bytes"]))}


def leave(process: Child, asked: Mapping[str, Any]) -> Mapping[str, object]:
    """Starts a process in a session of its own, which is nobody's child, and tells its pid."""
    script = "import subprocess as s; print(s.Popen(['sleep', '60'], start_new_session=True, stdout=-3, stderr=-3).pid)"
    ran = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, check=True, timeout=60)
    return {"pid": int(ran.stdout)}
