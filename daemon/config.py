"""Settings: a YAML file, overridden by ``MODELDROP_SECTION__KEY`` environment variables, checked once at the start.

Read by the main thread before any other thread starts; the result is frozen.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, PrivateAttr, StringConstraints, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from daemon.configfile import one_line, read_yaml
from daemon.errors import ConfigError
from daemon.sections import (
    AuthSection,
    BatchingSection,
    DeploySection,
    GateSection,
    HistorySection,
    LogSection,
    Name,
    ProbationSection,
    RuntimeSection,
    Section,
    ServerSection,
    WatchSection,
)

ENV_PREFIX = "MODELDROP_"
ENV_DELIMITER = "__"
SECRET_SECTION = "auth"

_KUBERNETES = re.compile(r"MODELDROP_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)")
"""What Kubernetes puts into the environment of every container beside a Service that is named modeldrop."""

_WORDINGS = {
    "Input should be a valid tuple": "a list",
    "Input should be ": "",
    "String should match pattern": "text that matches",
    "String should have": "text with",
}
"""pydantic's sentences in ours: they are to follow the word "expected"."""


class _Environment(EnvSettingsSource):
    """The environment, in which a word may stand for a section as it may in a file: ``MODELDROP_BATCHING=off``."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            if field.annotation is not BatchingSection:
                raise
            return {"mode": value}


class Settings(BaseSettings):
    """Every setting, with its default. ``load`` makes one; relative paths are relative to the file's folder."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
    )

    server: ServerSection = ServerSection()
    watch: WatchSection = WatchSection()
    state_dir: Annotated[str, StringConstraints(min_length=1)] = "state"
    deploy: DeploySection = DeploySection()
    default_model: Name = "default"
    history: HistorySection = HistorySection()
    gate: GateSection = GateSection()
    probation: ProbationSection = ProbationSection()
    runtime: RuntimeSection = RuntimeSection()
    batching: BatchingSection = BatchingSection()
    log: LogSection = LogSection()
    auth: AuthSection = AuthSection()

    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file's values, which arrive as arguments."""
        return _Environment(settings_cls), init_settings

    @property
    def folder(self) -> Path:
        """The config file's own folder, absolute."""
        return self._folder

    @property
    def most_batched(self) -> int:
        """How many rows are run together at most; 1 is each request by itself."""
        return self.batching.max_batch if self.batching.mode == "auto" else 1

    def place(self, path: str) -> Path:
        """``path`` as it is when absolute, else below the config file's folder; ``~`` is the user's home."""
        return self._folder / Path(path).expanduser()


def load(path: Path) -> Settings:
    """Reads ``path`` and the environment; raises ConfigError, in one line, for the first thing that is wrong."""
    values = _without_empty_sections(read_yaml(path), Settings)
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError(_sentence(path, error)) from None
    except SettingsError as error:
        what = one_line(error).partition(" from source")[0]
        raise ConfigError(f'environment: {what}; expected JSON, as ["a", "b"] or {{"key": 1}}') from None
    settings._folder = path.absolute().parent
    return settings


def _without_empty_sections(values: Mapping[str, Any], of: type[BaseModel]) -> dict[str, Any]:
    """A section written as `watch:` with nothing below it is an empty section, not a null."""
    inner = _sections_of(of)
    return {
        key: _without_empty_sections(value or {}, inner[key])
        if key in inner and (value is None or isinstance(value, Mapping))
        else value
        for key, value in values.items()
    }


def _sections_of(of: type[BaseModel]) -> dict[str, type[Section]]:
    annotations = {name: field.annotation for name, field in of.model_fields.items()}
    return {name: kind for name, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, Section)}


def _known_keys(of: type[BaseModel] = Settings, prefix: str = "") -> tuple[list[str], list[str]]:
    """Every setting and every section, by its whole name."""
    inner = _sections_of(of)
    keys = [prefix + name for name in of.model_fields if name not in inner]
    sections = [prefix + name for name in inner]
    for name, section in inner.items():
        more_keys, more_sections = _known_keys(section, f"{prefix}{name}.")
        keys += more_keys
        sections += more_sections
    return keys, sections


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    keys, sections = _known_keys()
    allowed = {*keys, *sections}
    for variable in environment:
        if not variable.upper().startswith(ENV_PREFIX) or _KUBERNETES.fullmatch(variable):
            continue
        key = variable[len(ENV_PREFIX) :].lower().replace(ENV_DELIMITER, ".")
        if key not in allowed:
            raise ConfigError(f"environment: {variable}: no such setting{_suggestion(key)}")


def _suggestion(key: str) -> str:
    keys, sections = _known_keys()
    known = [*keys, *sections]
    # The right name in the wrong section, or in none, is nearer than any other spelling.
    near = [candidate for candidate in known if candidate.rpartition(".")[2] == key.rpartition(".")[2]]
    near = near or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; allowed: {', '.join(sorted(known))}"


def _sentence(path: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    key = _key_of(first)
    where = _origin(path, key)
    if first["type"] == "extra_forbidden":
        return f"{where}: {key}: no such setting{_suggestion(key)}"
    expected = "; or ".join(_expected(each) for each in error.errors() if _key_of(each) == key)
    found = "(hidden)" if key.startswith(SECRET_SECTION) else repr(first["input"])
    return f"{where}: {key}: found {found}, expected {expected}"


def _key_of(detail: Any) -> str:
    """The setting that an error is about: below it, pydantic names the kinds that it tried."""
    _, sections = _known_keys()
    key = str(detail["loc"][0])
    for part in detail["loc"][1:]:
        if key not in sections or not isinstance(part, str):
            break
        key = f"{key}.{part}"
    return key


def _origin(path: Path, key: str) -> str:
    """The variable that set ``key``, or one of the sections that it is in; else the file."""
    parts = key.upper().split(".")
    variables = [ENV_PREFIX + ENV_DELIMITER.join(parts[:depth]) for depth in range(len(parts), 0, -1)]
    present = {name.upper() for name in os.environ}
    return next((f"environment: {name}" for name in variables if name in present), str(path))


def _expected(detail: Any) -> str:
    if detail["type"] == "model_type":
        return "a mapping of settings"
    message = str(detail["msg"])
    for wording, ours in _WORDINGS.items():
        message = message.replace(wording, ours)
    return message[:1].lower() + message[1:]
