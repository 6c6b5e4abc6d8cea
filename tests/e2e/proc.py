"""The daemon's process as the system sees it."""

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


def open_files(pid: int) -> int:
    """File descriptors that it has open."""
    return psutil.Process(pid).num_fds()


def threads(pid: int) -> int:
    """Threads of any kind that it runs."""
    return psutil.Process(pid).num_threads()
