"""What the figures were measured on: processor, memory, system, versions."""

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.page import Table
from bench.processes import BENCH_ENVIRONMENT, CORES

PACKAGES = ("onnxruntime", "numpy", "waitress", "flask", "granian", "orjson", "pysimdjson")
BENCH_PACKAGES = ("fastapi", "uvicorn", "uvloop")
"""Of the bench's own environment."""


def table() -> Table:
    """One row for each."""
    rows = [
        ("processor", f"{_processor()}, {len(CORES)} of {os.cpu_count()} cores may be used"),
        ("memory", f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release().partition('-')[0]}, {' '.join(platform.libc_ver())}"),
        ("python", f"{platform.python_implementation()} {platform.python_version()}, sqlite {sqlite3.sqlite_version}"),
        *((name, _version(name)) for name in PACKAGES),
        *((name, _version_beside(name)) for name in BENCH_PACKAGES),
    ]
    return Table("Machine and versions", ("what", "which"), rows)


def _processor() -> str:
    """The model's name; of a virtual machine that hides it, the family and model as well."""
    told: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    name = told.get("model name", platform.machine())
    numbers = [f"{what} {told[key]}" for what, key in (("family", "cpu family"), ("model", "model")) if key in told]
    return " ".join([name, f"({', '.join(numbers)})"] if numbers else [name])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _version_beside(name: str) -> str:
    found = sorted(BENCH_ENVIRONMENT.glob(f"lib/python*/site-packages/{name}-*.dist-info"))
    return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else "not installed"
