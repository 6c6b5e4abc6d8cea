"""Settings: a YAML file, overridden by ``MODELDROP_SECTION__KEY`` environment variables, checked once at the start.

Read by the main thread before any other thread starts; the result is frozen.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from daemon.configfile import one_line, read_yaml
from daemon.errors import ConfigError

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

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
PositiveInt = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class Section(BaseModel):
    """One block of the file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_where_meant(cls, value: object, info: ValidationInfo) -> object:
        """pydantic would take `true` for the number 1; and to YAML, the words on and off are booleans."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if not isinstance(value, bool) or annotation is bool:
            return value
        word = "on" if value else "off"
        if word in get_args(annotation):
            return word
        raise PydanticCustomError("boolean", "Input should be a number or text, not a boolean")


class ServerSection(Section):
    """Where the HTTP server listens and what it allows itself; sizes in MiB, times in seconds."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 5000
    listen: tuple[str, ...] = ()
    threads: Annotated[int, Field(ge=1, le=1024)] = 8
    max_body_mb: Positive = 64
    max_upload_mb: Positive = 2048
    connections: Annotated[int, Field(ge=10, le=100_000)] = 4096
    idle_seconds: Seconds = 120
    max_queued: PositiveInt = 1000
    drain_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 10
    welcome: str = "欢迎参加蓝桥杯"


class WatchSection(Section):
    """The drop directory and how it is looked at."""

    drop_dir: Annotated[str, StringConstraints(min_length=1)] = "model_drop"
    rescan_seconds: Seconds = 2
    settle_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 200
    incomplete_seconds: Seconds = 60


class DeploySection(Section):
    """What may be named besides what lies in the drop directory."""

    allowed_dirs: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = ()


class HistorySection(Section):
    """How much of the past is kept."""

    keep: PositiveInt = 5
    events: Annotated[int, Field(ge=100)] = 100_000


class IntegritySection(Section):
    """The check of stated digests."""

    required: bool = False


class StructureSection(Section):
    """The check of the file itself; its size is in MiB, external data included."""

    max_model_mb: Positive = 16_384


class MemorySection(Section):
    """The check for memory: so many times the model's size must be available beyond what is kept back, in MiB."""

    factor: NotNegative = 5
    reserve_mb: NotNegative = 128


class TrialSection(Section):
    """The trial: its limits, and what it does besides. Memory in MiB."""

    timeout_seconds: Seconds = 30
    nice: Annotated[int, Field(ge=0, le=19)] = 10
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    memory_mb: Literal["auto"] | Positive = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    measure_ms: Literal["auto"] | NotNegative = "auto"


class GoldenSection(Section):
    """Expected answers; the tolerances hold where a file gives none."""

    dir: str = "golden"
    atol: NotNegative = 1e-5
    rtol: NotNegative = 1e-3


class ReplaySection(Section):
    """Recent requests that are kept and replayed; sizes in MiB, shares from 0 to 1, null for no limit."""

    requests: Annotated[int, Field(ge=0, le=100_000)] = 64
    per_second: Positive = 10
    max_mb: Positive = 64
    budget_ms: NotNegative = 100
    max_errors: Share | None = None
    max_non_finite: Share | None = None
    max_abs: NotNegative | None = None
    max_mean_abs: NotNegative | None = None
    max_changed_argmax: Share | None = None
    max_changed_labels: Share | None = None
    max_speed_ratio: Positive | None = None


class GateSection(Section):
    """The checks between candidate and release, in their order."""

    integrity: IntegritySection = IntegritySection()
    structure: StructureSection = StructureSection()
    memory: MemorySection = MemorySection()
    trial: TrialSection = TrialSection()
    signature: Literal["warn", "compatible", "exact", "off"] = "warn"
    golden: GoldenSection = GoldenSection()
    replay: ReplaySection = ReplaySection()


class ProbationSection(Section):
    """How long and by what measure a release is watched after it began to serve."""

    seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60
    max_error_rate: Share = 0.05
    min_requests: PositiveInt = 20
    non_finite: Literal["warn", "rollback"] = "warn"
    keep_previous: bool = True


class RuntimeSection(Section):
    """How models are run."""

    providers: Literal["auto"] | tuple[str, ...] = "auto"
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    timeout_seconds: Seconds = 30


class LogSection(Section):
    """Where the log goes and how it reads."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: str = "logs/daemon.log"
    max_mb: Positive = 50
    keep: Annotated[int, Field(ge=1, le=1000)] = 5


class AuthSection(Section):
    """Bearer tokens; an empty one is none."""

    admin_token: str = ""
    predict_token: str = ""


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
    log: LogSection = LogSection()
    auth: AuthSection = AuthSection()

    _folder: Path = PrivateAttr(default=Path())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file's values, which arrive as arguments."""
        return env_settings, init_settings

    @property
    def folder(self) -> Path:
        """The config file's own folder, absolute."""
        return self._folder

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
        raise ConfigError(f'environment: {one_line(error)}; expected JSON, such as ["a", "b"] for a list') from None
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
