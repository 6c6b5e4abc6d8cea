"""Builds the spine: the store, the gate with its checks in order, the lane, and the deployer over them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Settings
from daemon.deployer import Deployer
from daemon.errors import StartupError
from daemon.gate import (
    Examples,
    Gate,
    Golden,
    Integrity,
    Memory,
    Proofs,
    Relapse,
    Replay,
    ReplayLimits,
    RequestRing,
    SignatureCheck,
    Structure,
    Tolerance,
    Trial,
    TrialSettings,
)
from daemon.history import Journal
from daemon.holder import ModelHolder
from daemon.intake.ahead import Known, nothing
from daemon.intake.store import Store
from daemon.lane import Lane
from daemon.lane.adopt import Adoption
from daemon.lane.housekeeping import Housekeeping
from daemon.lane.loading import Loading
from daemon.lane.prepare import Preparation
from daemon.lane.probation import Probation, ProbationTerms
from daemon.lane.succession import Succession
from daemon.runtime import (
    CoreBudget,
    Deadlines,
    EngineOptions,
    Gearbox,
    headroom,
    runtime_versions,
    saved_key,
    usable_cores,
)
from daemon.sections import GateSection, ProbationSection
from daemon.trial import WarmParent

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Spine:
    """The deployer, and what requests tell of themselves: ``ring`` keeps some, ``probation`` counts how they went.

    ``warm_up`` starts the trials' parent, which would else be started when the first trial needs it.
    """

    deployer: Deployer
    ring: RequestRing
    probation: Probation
    warm_up: Callable[[], None]


def build_spine(
    settings: Settings, holder: ModelHolder, journal: Journal, undo: ExitStack, *, known: Known = nothing
) -> Spine:
    """Every part of the spine, once; ``undo`` gets what ends them. Raises StartupError.

    ``known`` has hashed stored files already.
    """
    options = engine_options(settings)
    deadlines = Deadlines()
    undo.callback(deadlines.stop)
    parent = WarmParent()
    undo.callback(parent.stop)
    store = _open_store(settings.place(settings.state_dir) / "store", known)
    proofs = Proofs(saved_key(options), known=known)
    ring = _ring(settings.gate)
    cores = usable_cores()
    gearbox = Gearbox(options, deadlines, CoreBudget(cores), cores, most_runs=settings.server.threads)
    loading = Loading(proofs, gearbox.load, gearbox.map_form)
    adoption = Adoption(
        holder,
        store.root,
        loading,
        recent=lambda model: [sample.inputs for sample in ring.samples(model)],
        timeout_seconds=settings.runtime.timeout_seconds,
    )
    probation = Probation(_probation_terms(settings.probation), has_room=_has_room(settings.gate))
    housekeeping = Housekeeping(
        holder,
        store,
        journal,
        adoption,
        seal=proofs.seal,
        fallbacks=probation.fallbacks,
        keep=settings.history.keep,
    )
    lane = Lane(housekeeping.tidy)
    trial = Trial(
        parent,
        proofs,
        _trial_settings(settings.gate),
        options,
        examples=Examples(_golden_folder(settings), ring).of,
        headroom=headroom,
        meanwhile=lane.run_urgent,
    )
    structure = Structure(max_bytes=int(settings.gate.structure.max_model_mb * MIB), versions=runtime_versions)
    gate = _gate(settings, structure, trial, ring, adoption)
    preparation = Preparation(store, gate, journal, expect_size=structure.expect_size, look_up=proofs.known)
    succession = Succession(lane, holder, journal, adoption, probation, housekeeping, verify=store.verify)
    probation.start(succession.give_up)
    deployer = Deployer(
        lane=lane,
        holder=holder,
        store=store,
        journal=journal,
        preparation=preparation,
        adoption=adoption,
        succession=succession,
        end_trials=parent.stop,
    )
    return Spine(deployer, ring, probation, parent.start)


def engine_options(settings: Settings) -> EngineOptions:
    """How the settings want models to be run."""
    chosen = settings.runtime
    providers = ("auto",) if chosen.providers == "auto" else chosen.providers
    return EngineOptions(providers=providers, threads=0 if chosen.threads == "auto" else chosen.threads)


def _gate(settings: Settings, structure: Structure, trial: Trial, ring: RequestRing, adoption: Adoption) -> Gate:
    """The list of checks, in the order in which they are made."""
    chosen = settings.gate
    timeout_seconds = settings.runtime.timeout_seconds
    memory = Memory(
        headroom,
        factor=chosen.memory.factor,
        reserve_bytes=int(chosen.memory.reserve_mb * MIB),
        free_up=adoption.free_up,
    )
    golden = Golden(
        _golden_folder(settings),
        Tolerance(chosen.golden.atol, chosen.golden.rtol),
        timeout_seconds=timeout_seconds,
    )
    replay = Replay(
        ring,
        _replay_limits(chosen),
        adoption.stored_at,
        budget_seconds=chosen.replay.budget_ms / 1e3,
        timeout_seconds=timeout_seconds,
    )
    return Gate(
        [Integrity(required=chosen.integrity.required), structure, memory],
        trial,
        [Relapse(), SignatureCheck(chosen.signature), golden, replay],
    )


def _golden_folder(settings: Settings) -> Path | None:
    folder = settings.gate.golden.dir
    return settings.place(folder) if folder else None


def _open_store(root: Path, known: Known) -> Store:
    try:
        return Store(root, known=known)
    except OSError as error:
        raise StartupError(f"state_dir: the store {root} cannot be made: {error.strerror}") from None


def _ring(chosen: GateSection) -> RequestRing:
    replay = chosen.replay
    return RequestRing(most=replay.requests, per_second=replay.per_second, most_bytes=int(replay.max_mb * MIB))


def _replay_limits(chosen: GateSection) -> ReplayLimits:
    limits = {name: value for name, value in chosen.replay.model_dump().items() if name in ReplayLimits.__slots__}
    return ReplayLimits(**limits)


def _trial_settings(chosen: GateSection) -> TrialSettings:
    trial = chosen.trial
    return TrialSettings(
        timeout_seconds=trial.timeout_seconds,
        measure_seconds=None if trial.measure_ms == "auto" else trial.measure_ms / 1e3,
        nice=trial.nice,
        threads=trial.threads,
        memory_bytes=None if trial.memory_mb == "auto" else int(trial.memory_mb * MIB),
        reserve_bytes=int(chosen.memory.reserve_mb * MIB),
        compile=trial.compile,
    )


def _probation_terms(chosen: ProbationSection) -> ProbationTerms:
    return ProbationTerms(**chosen.model_dump())


def _has_room(chosen: GateSection) -> Callable[[], bool]:
    """Whether the memory that is kept back is there."""
    reserve_bytes = chosen.memory.reserve_mb * MIB

    def has_room() -> bool:
        room = headroom()
        return room is None or room.available_bytes >= reserve_bytes

    return has_room
