"""Where a body waits: in memory or on the disk, and the same bytes from either."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from daemon.http.body import Body
from daemon.http.loans import Loans
from daemon.http.spool import Spool

SHORT = 100
LENT = 30_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """It is not started: what would go to its thread is done at once."""
    return Spool(tmp_path, SHORT, Loans(3000, 2000))


def body_of(spool: Spool, pieces: Sequence[bytes], *, length: int | None = None) -> Body:
    body = Body(spool, lambda: None, length=length)
    for piece in pieces:
        body.append(piece)
    return body


@pytest.mark.parametrize(
    ("pieces", "announced", "in_memory"),
    [
        ([], True, True),
        ([b"a" * SHORT], False, True),
        ([b"a" * SHORT, b"b"], False, False),
        ([b"a" * SHORT, b"b"], True, True),
        ([b"a" * 1999, b"b"], True, True),
        ([b"a" * 1999, b"bc"], True, False),
    ],
)
def test_body_is_in_memory_where_it_is_short_or_memory_was_lent(
    spool: Spool, pieces: Sequence[bytes], announced: bool, in_memory: bool
) -> None:
    whole = b"".join(pieces)
    body = body_of(spool, pieces, length=len(whole) if announced else None)
    assert body.in_memory is in_memory
    assert [body.getfile().read(), body.getfile().read()] == [whole, whole]
    assert len(body) == len(whole)
    body.close()
    assert spool.loans.free_bytes == 3000


def test_body_goes_to_the_disk_while_others_have_the_memory(spool: Spool) -> None:
    first = body_of(spool, [b"a" * 2000], length=2000)
    second = body_of(spool, [b"b" * 2000], length=2000)
    assert (first.in_memory, second.in_memory) == (True, False)
    assert second.getfile().read() == b"b" * 2000
    second.close()
    first.close()
    first.close()
    assert body_of(spool, [b"c" * 2000], length=2000).in_memory


@pytest.mark.parametrize("length", [SHORT, 20_000, 2 * LENT])
def test_body_that_comes_byte_by_byte_is_held_in_few_pieces(tmp_path: Path, length: int) -> None:
    whole = bytes(number % 251 for number in range(length))
    body = body_of(Spool(tmp_path, SHORT, Loans(LENT, LENT)), [whole[:1], whole[1:7000]], length=length)
    for place in range(7000, length):
        body.append(whole[place : place + 1])
    assert len(body._batch) <= 4
    assert body.getfile().read() == whole
    body.close()


def test_short_body_is_lent_nothing(spool: Spool) -> None:
    body = body_of(spool, [b"a" * SHORT], length=SHORT)
    assert (body.in_memory, spool.loans.free_bytes) == (True, 3000)
