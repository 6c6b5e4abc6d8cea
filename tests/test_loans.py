"""Memory that is lent: never more than there is, and never lost."""

import gc
import threading

from daemon.http.loans import Loans


class Borrower:
    """Somebody who needs memory."""


def test_no_more_is_lent_than_there_is() -> None:
    loans, first, second = Loans(100, 100), Borrower(), Borrower()
    assert loans.lend(first, 60) is not None
    assert loans.lend(second, 41) is None
    assert loans.lend(second, 40) is not None
    assert loans.free_bytes == 0


def test_nobody_is_lent_more_than_the_largest_part() -> None:
    loans, borrower = Loans(100, 30), Borrower()
    assert loans.lend(borrower, 31) is None
    assert loans.lend(borrower, 30) is not None
    assert loans.free_bytes == 70


def test_what_is_given_back_twice_counts_once() -> None:
    loans, borrower = Loans(100, 100), Borrower()
    give_back = loans.lend(borrower, 60)
    assert give_back is not None
    give_back()
    give_back()
    assert loans.free_bytes == 100


def test_borrower_who_is_gone_owes_nothing() -> None:
    loans, borrower = Loans(100, 100), Borrower()
    assert loans.lend(borrower, 60) is not None
    del borrower
    assert loans.free_bytes == 100


def test_borrower_that_is_found_to_be_garbage_while_another_borrows_holds_nobody_up() -> None:
    loans = Loans(100, 100)
    done = threading.Event()

    class Size(int):
        def __gt__(self, other: object) -> bool:
            gc.collect()  # as may come at any moment
            return int(self) > other  # type: ignore[operator]

    def lend() -> None:
        gone = Borrower()
        gone.itself = gone  # type: ignore[attr-defined]
        loans.lend(gone, 60)
        del gone
        loans.lend(Borrower(), Size(30))
        done.set()

    threading.Thread(target=lend, daemon=True).start()
    assert done.wait(5)
    assert loans.free_bytes == 100
