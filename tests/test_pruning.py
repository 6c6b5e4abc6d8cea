"""Pruning: bytes go only when no model needs them."""

import pytest

from daemon.history.pruning import prunable
from daemon.release import Release, Signature


def history(contents: str, model: str = "default") -> list[Release]:
    """Releases of one-letter contents, newest first."""
    return [
        Release(
            model, len(contents) - place, letter, f"{letter}/model.onnx", "x.onnx", "dropped", "", Signature((), ())
        )
        for place, letter in enumerate(contents)
    ]


@pytest.mark.parametrize(
    ("entries", "contents", "serving", "keep", "goes"),
    [
        pytest.param("", "", "", 5, "", id="nothing at all"),
        pytest.param("abc", "abc", "a", 5, "", id="fewer than are kept"),
        pytest.param("abc", "abc", "a", 2, "c", id="beyond the newest ones"),
        pytest.param("abc", "abc", "c", 1, "b", id="what serves stays though it is old"),
        pytest.param("abc", "abc", "a", 0, "bc", id="keeping none keeps what serves"),
        pytest.param("abc", "ababac", "a", 3, "", id="a content counts once"),
        pytest.param("abc", "ababac", "a", 2, "c", id="back and forth between two"),
        pytest.param("xa", "a", "a", 5, "x", id="an entry that no release names"),
        pytest.param("xa", "a", "ax", 5, "", id="an entry in hand before its release"),
        pytest.param("a", "abc", "a", 1, "", id="bytes that are gone already"),
    ],
)
def test_prunable_entries_of_one_model(entries: str, contents: str, serving: str, keep: int, goes: str) -> None:
    assert prunable(set(entries), {"default": history(contents)}, set(serving), keep) == set(goes)


def test_entry_stays_while_any_model_needs_it() -> None:
    releases = {"a": history("xyz", "a"), "b": history("zw", "b")}
    assert prunable(set("xyzw"), releases, set(), 1) == {"y", "w"}


def test_prunable_leaves_its_arguments_alone() -> None:
    entries, serving = set("ab"), set("a")
    prunable(entries, {"default": history("ab")}, serving, 1)
    assert (entries, serving) == (set("ab"), set("a"))


def test_keep_below_zero_is_refused() -> None:
    with pytest.raises(ValueError):
        prunable(set(), {}, set(), -1)
