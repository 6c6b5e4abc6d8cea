"""What is made for a release: once for each dialect, and only as long as the release is loaded."""

from dataclasses import replace

import numpy as np
import pytest

from daemon.release import Release, Signature, TensorSpec
from daemon.web.asking import Dialect, Read
from daemon.web.faces import Face, Faces
from tests.fakes import release_of


def counted(name: str, made: list[str]) -> Dialect:
    """A dialect that notes for which releases it was made to read."""

    def reader_of(release: Release) -> Read:
        made.append(f"{name} {release.version}")
        return lambda _asked, _body: ({}, lambda _outputs: NotImplemented)

    return Dialect(name, (), reader_of, {})


def test_reader_is_made_once_for_a_release_and_a_dialect() -> None:
    made: list[str] = []
    one, other = counted("one", made), counted("other", made)
    face = Face(release_of(3))
    assert face.tongue(one) is face.tongue(one)
    assert face.tongue(other) is not face.tongue(one)
    assert made == ["one 3", "other 3"]


def test_release_keeps_its_face() -> None:
    faces = Faces(lambda _: [release_of(1)])
    assert faces.known(release_of(1)) is None
    assert faces.of(release_of(1)) is faces.of(release_of(1)) is faces.known(release_of(1))


def test_face_goes_with_its_release() -> None:
    loaded = [release_of(1)]
    faces = Faces(lambda _: loaded)
    for version in (1, 2, 3):
        loaded[:] = [release_of(version), release_of(version - 1)]
        faces.of(release_of(version))
    assert [faces.known(release_of(version)) is None for version in (1, 2, 3)] == [True, False, False]


def test_models_do_not_share_faces() -> None:
    faces = Faces(lambda model: [release_of(1, model)])
    assert faces.of(release_of(1, "a")) is not faces.of(release_of(1, "b"))
    assert faces.known(release_of(1, "a")) is not None


@pytest.mark.parametrize(("shape", "rows"), [((3, 2), 3), ((0, 2), 0), ((60000, 0), 0), ((1, 1), 1)])
def test_items_of_a_request_are_those_that_have_elements(shape: tuple[int, ...], rows: int) -> None:
    signature = Signature((TensorSpec("x", "float32", ("n", "m")),), ())
    face = Face(replace(release_of(1), signature=signature))
    assert face.rows({"x": np.empty(shape, np.float32)}) == rows
