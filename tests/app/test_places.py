"""Places: so many at once, the others in turn, and no more than that."""

from __future__ import annotations

import pytest

from app.places import NoPlaceError, Places


def test_whoever_comes_later_waits_in_turn():
    places = Places(at_once=2, waiting=3)
    line = [places.ask() for _ in range(5)]
    assert [place.ahead for place in line] == [0, 0, 1, 2, 3]
    with line[1]:
        pass
    assert [place.ahead for place in (line[0], *line[2:])] == [0, 0, 1, 2]
    with line[3]:  # gives up before it was its turn
        pass
    assert line[4].ahead == 1
    with pytest.raises(RuntimeError), line[0]:
        raise RuntimeError  # gives its place back too
    assert line[4].ahead == 0


def test_one_that_replaces_another_is_not_counted_beside_it():
    places = Places(at_once=2, waiting=1)
    going, other, waiting = (places.ask() for _ in range(3))
    again = places.ask(going)
    assert [one.ahead for one in (again, other, waiting)] == [1, 0, 1]
    places.leave(going)
    assert [one.ahead for one in (again, other, waiting)] == [0, 0, 1]
    later = places.ask(waiting)
    assert later.ahead == 1  # the other two go on
    places.leave(waiting)
    assert later.ahead == 1
    with pytest.raises(NoPlaceError):
        places.ask(going)  # which has gone


def test_one_more_than_may_wait_is_refused_with_the_reason():
    places = Places(at_once=1, waiting=1)
    line = [places.ask(), places.ask()]
    with pytest.raises(NoPlaceError, match=r"go on \(1\) and wait \(1\)"):
        places.ask()
    with line[0]:
        pass
    assert places.ask().ahead == 1
