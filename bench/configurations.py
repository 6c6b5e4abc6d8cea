"""Our own ways to be run that are measured beside the default: the one place to add another.

A configuration is measured where the daemon knows its settings and has what they need; else its rows are left out.
"""

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.daemon_under_test import command_of
from bench.processes import ROOT

Variables = Mapping[str, str]
DEFAULT, GRANIAN = "modeldrop", "modeldrop, granian"
ONE_BY_ONE, GRANIAN_ONE_BY_ONE = "modeldrop, no batching", "modeldrop, granian, no batching"

_FRONT: Variables = {"MODELDROP_SERVER__FRONT": "granian"}
_NO_BATCHING: Sequence[Variables] = (
    {"MODELDROP_BATCHING__MODE": "off"},
    {"MODELDROP_BATCHING": "off"},
    {"MODELDROP_RUNTIME__BATCHING": "off"},
)
"""Whichever of them the daemon knows."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A name in tables; the environments, of which the first that is known counts; what must be importable.

    ``cases`` are the models for which it makes a difference, by name; empty for all.
    """

    name: str
    either: Sequence[Variables] = ({},)
    needs: str = ""
    cases: Sequence[str] = field(default=())


CONFIGURATIONS = (
    Configuration(DEFAULT),
    Configuration(GRANIAN, [_FRONT], "granian"),
    Configuration(ONE_BY_ONE, _NO_BATCHING, cases=["mlp"]),
    Configuration(GRANIAN_ONE_BY_ONE, [{**_FRONT, **off} for off in _NO_BATCHING], "granian", cases=["mlp"]),
)


def available(case: str) -> dict[str, Variables]:
    """The configurations that can be measured with a model, by name, each with its environment."""
    return {name: variables for name, (variables, cases) in _known().items() if not cases or case in cases}


@cache
def _known() -> dict[str, tuple[Variables, Sequence[str]]]:
    found: dict[str, tuple[Variables, Sequence[str]]] = {}
    for each in CONFIGURATIONS:
        if each.needs and importlib.util.find_spec(each.needs) is None:
            continue
        variables = next((one for one in each.either if _is_known(one)), None)
        if variables is not None:
            found[each.name] = (variables, each.cases)
    return found


def _is_known(variables: Variables) -> bool:
    if not variables:
        return True
    with tempfile.TemporaryDirectory(prefix="modeldrop-bench-") as folder:
        command = [*command_of(Path(folder)), "--check"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        return subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False).returncode == 0
