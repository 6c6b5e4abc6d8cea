"""The daemon's process as the system sees it."""

from contextlib import suppress
from pathlib import Path

import psutil


def cpu_seconds(pid: int) -> float:
    """Processor time that it took so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def connections(pid: int) -> int:
    """Connections that clients have open to it."""
    return sum(each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(pid).net_connections("tcp"))


def private_bytes(pid: int) -> int:
    """Physical memory that is its own, files that it maps left out."""
    memory = psutil.Process(pid).memory_info()
    return int(memory.rss - memory.shared)


def resident_bytes(pid: int) -> int:
    """Physical memory that it holds, mapped files included."""
    return int(psutil.Process(pid).memory_info().rss)


def reset_peak(pid: int) -> None:
    """``peak_bytes`` counts from now on (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak_bytes(pid: int) -> int:
    """The most physical memory that it ever held, mapped files included."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def open_files(pid: int) -> int:
    """File descriptors that it has open."""
    return psutil.Process(pid).num_fds()


def threads(pid: int) -> int:
    """Threads of any kind that it runs."""
    return psutil.Process(pid).num_threads()


def descendants(pid: int) -> set[int]:
    """The processes below it, of any generation; those that ended and were not waited for are counted."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def warm_parent(pid: int) -> int | None:
    """The process from which a daemon forks its trials; None while there is none."""
    for child in psutil.Process(pid).children():
        with suppress(psutil.Error):
            if "daemon.trial.warm" in child.cmdline():
                return child.pid
    return None


def trials(pid: int) -> list[int]:
    """The processes of a daemon's trials that run."""
    parent = warm_parent(pid)
    if parent is None:
        return []
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(parent).children() if child.status() != psutil.STATUS_ZOMBIE]
    return []


def is_running(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
