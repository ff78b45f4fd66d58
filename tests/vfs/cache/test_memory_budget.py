"""What goes first when there is no room."""

from __future__ import annotations

import pytest

from vfs.cache import memory
from vfs.cache.memory import Memory, Piece


class Held:
    """Stands in for a content: notes what was dropped of it."""

    def __init__(self) -> None:
        self.dropped: list[int] = []

    def drop(self, piece: Piece) -> None:
        self.dropped.append(piece.start)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def budget() -> Memory:
    return Memory(100)


def arrive(budget: Memory, held: Held, start: int, *, ahead: bool = False) -> Piece:
    """A piece of ten bytes, which is here."""
    piece = Piece(held, start, start + 10, is_ahead=ahead)  # type: ignore[arg-type]
    assert (budget.take_ahead if ahead else budget.take)(10)
    budget.arrived(piece)
    return piece


def test_what_was_used_least_recently_goes(budget: Memory, held: Held) -> None:
    with budget.lock:
        pieces = [arrive(budget, held, start) for start in range(10)]
        budget.touch(pieces[0], 10)
        assert budget.take(20)
        assert (held.dropped, budget.used) == ([1, 2], 100)


def test_what_is_still_to_be_read_stays(budget: Memory, held: Held) -> None:
    with budget.lock:
        ahead = [arrive(budget, held, start, ahead=True) for start in range(5)]
        for start in range(5, 30):
            arrive(budget, held, start)
        assert held.dropped == list(range(5, 25))
        assert not budget.take_ahead(10), "more than half of it is not for those"
        budget.touch(ahead[0], 5)
        assert not budget.take_ahead(10), "it is not read to its end"
        budget.touch(ahead[0], 10)
        assert budget.take_ahead(10)


def test_what_nobody_came_for_goes(budget: Memory, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    with budget.lock:
        for start in range(5):
            arrive(budget, held, start, ahead=True)
        monkeypatch.setattr(memory, "PATIENCE", -1.0)
        assert budget.take_ahead(20)
        assert held.dropped == [0, 1]


def test_where_nothing_else_is_left_it_goes_too(budget: Memory, held: Held) -> None:
    with budget.lock:
        for start in range(5):
            arrive(budget, held, start, ahead=True)
        assert budget.take(60)
        assert held.dropped == [0]
        assert not budget.take_ahead(10), "of what is not read no room is made for more of it"


def test_what_is_lost_gives_its_room_back(budget: Memory, held: Held) -> None:
    with budget.lock:
        for ahead in (False, True):
            budget.lost(arrive(budget, held, 0, ahead=ahead))
        assert budget.used == 0
        assert budget.take_ahead(50)
