"""Which model a dropped file belongs to, and how odd names are shown; entered by any thread, holds no state.

``place`` is the layout of the drop folder as a pure function; ``walk`` applies it to a real folder.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MODEL_SUFFIXES = (".onnx", ".ort")
TEST_DATA_PREFIX = "test_data_set_"
_UNFINISHED = (".tmp", ".part")
_VERSION = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Placed:
    """The file is a candidate for ``model``."""

    model: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The file or folder is left alone; ``quiet`` ones (sidecars, external data) deserve no log line."""

    reason: str
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the drop folder: its path relative to it, the path to open, and where it belongs."""

    relative: PurePosixPath
    path: Path
    place: Placed | Ignored


def is_model_name(name: str) -> bool:
    """Whether ``name`` may name a model."""
    return MODEL_NAME.fullmatch(name) is not None


def shown(path: str | bytes) -> str:
    r"""``path`` in a form that prints on one line and is valid UTF-8.

    Bytes that are not UTF-8 become ``\xff``, control and other unprintable characters ``\n`` or ``\u2028``; quotes,
    backslashes and printable characters of any script stay, so showing twice changes nothing more.
    """
    text = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    return text if text.isprintable() else "".join(map(_shown_character, text))


def _shown_character(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def place(relative: PurePosixPath, *, default_model: str) -> Placed | Ignored:
    """Where a file at ``relative`` in the drop folder belongs: ``x.onnx``, ``NAME/x.onnx`` or ``NAME/3/x.onnx``."""
    *folders, name = relative.parts
    if (refused := _place_folders(folders)) is not None:
        return refused
    if (refused := _place_name(name)) is not None:
        is_test_data = name.endswith(".pb") and folders and folders[-1].startswith(TEST_DATA_PREFIX)
        return replace(refused, quiet=True) if is_test_data else refused
    return Placed(folders[0] if folders else default_model)


def _place_folders(folders: Sequence[str]) -> Ignored | None:
    """Why files in this chain of folders are left alone, or None where they may be candidates."""
    if any(folder.startswith(".") for folder in folders):
        return Ignored("hidden folder")
    if any(folder.lower().endswith(_UNFINISHED) for folder in folders):
        return Ignored("a folder on its way: its name ends in .tmp or .part")
    if len(folders) > 1 and folders[-1].startswith(TEST_DATA_PREFIX):
        return Ignored("ONNX test data for the model beside it", quiet=True)
    if len(folders) > 2:
        return Ignored("too deep: expected NAME/file or NAME/VERSION/file")
    if folders and not is_model_name(folders[0]):
        return Ignored(f"folder name '{shown(folders[0])}' is not a model name: expected {MODEL_NAME.pattern}")
    if len(folders) == 2 and not _VERSION.fullmatch(folders[1]):
        return Ignored(f"folder name '{shown(folders[1])}' is not a version: expected a decimal number")
    return None


def _place_name(name: str) -> Ignored | None:
    """Why a file of this name is left alone, or None where it may be a candidate."""
    lowered = name.lower()
    if name.startswith("."):
        return Ignored("hidden file")
    if lowered.endswith(_UNFINISHED):
        return Ignored("a file on its way: its name ends in .tmp or .part")
    if not lowered.endswith(MODEL_SUFFIXES):
        beside_a_model = any(suffix in lowered for suffix in MODEL_SUFFIXES)
        return Ignored("not a model file: expected a name ending in .onnx or .ort", quiet=beside_a_model)
    return None


def walk(drop_dir: Path, default_model: str, *, allowed: Sequence[Path] = ()) -> Iterator[Found]:
    """Every candidate in ``drop_dir`` and every entry left alone, sorted by name within a folder.

    Opens no file. Links to folders are followed where they end in ``drop_dir`` or one of ``allowed`` and not in a
    folder that holds them; whether a link to a file may be followed is for ``members.resolve``. Entries that vanish
    meanwhile are left out. Names that begin with ``..`` (Kubernetes' ``..data``) are passed over without a word.
    Raises OSError when ``drop_dir`` itself cannot be listed.
    """
    roots = [Path(os.path.realpath(folder)) for folder in (drop_dir, *allowed)]
    pending = [(PurePosixPath(), entry) for entry in _listed(drop_dir)]
    while pending:
        folder, entry = pending.pop()
        relative = folder / entry.name
        if not _is_folder(entry):
            yield Found(relative, Path(entry.path), place(relative, default_model=default_model))
        elif (refused := _refused_folder(relative, entry, roots)) is not None:
            yield Found(relative, Path(entry.path), refused)
        else:
            pending.extend((relative, inner) for inner in _listed_if_there(entry.path))


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not entry.name.startswith("..")]
    return sorted(kept, key=lambda entry: entry.name, reverse=True)


def _listed_if_there(folder: str) -> list[os.DirEntry[str]]:
    try:
        return _listed(folder)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _refused_folder(relative: PurePosixPath, entry: os.DirEntry[str], roots: Sequence[Path]) -> Ignored | None:
    if (refused := _place_folders(relative.parts)) is not None:
        return refused
    if not entry.is_symlink():
        return None
    target = Path(os.path.realpath(entry.path))
    holder = Path(os.path.realpath(Path(entry.path).parent))
    if holder.is_relative_to(target):
        return Ignored("link leads back to a folder that holds it")
    if not any(target.is_relative_to(root) for root in roots):
        return Ignored("link leads outside the drop folder and the allowed folders")
    return None
