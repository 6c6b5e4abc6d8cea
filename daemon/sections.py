"""The blocks of the settings file: every default, and what is allowed. Values, made by the main thread at the start."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

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
    front: Literal["waitress", "granian"] = "waitress"
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


class BatchingSection(Section):
    """Whether requests that wait for one model are run together, how many, and how long one waits for others, in ms."""

    mode: Literal["auto", "off"] = "auto"
    max_batch: Annotated[int, Field(ge=1, le=4096)] = 32
    max_wait_ms: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 0

    @model_validator(mode="before")
    @classmethod
    def _word_is_mode(cls, value: object) -> object:
        """``batching: off`` for short."""
        return {"mode": value} if isinstance(value, str | bool) else value


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
