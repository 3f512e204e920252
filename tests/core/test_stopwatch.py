"""Parts exclude each other and add up to the time that passed."""

import threading

import pytest
from tiny import tiny_model

from lacache_core import stopwatch as module
from lacache_core.engine import Engine
from lacache_core.policies import make_policy
from lacache_core.stopwatch import PARTS, stopwatch, timed


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves when it is told to."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_the_outer_part_stands_still_while_an_inner_one_runs(clock):
    with stopwatch() as watch, timed("model"):
        clock.now += 1
        with timed("attention"):
            clock.now += 2
            with timed("observing"):
                clock.now += 4
        clock.now += 8
        with timed("attention"):
            clock.now += 16
    assert watch.seconds == {"model": 9, "attention": 18, "observing": 4}


def test_an_error_ends_its_part_alone(clock):
    with stopwatch() as watch, timed("model"):
        with pytest.raises(KeyError), timed("planning"):
            clock.now += 1
            raise KeyError
        clock.now += 2
    assert watch.seconds == {"model": 2, "planning": 1}


def test_nothing_is_timed_without_a_stopwatch_or_in_another_thread(clock):
    with timed("model"):
        clock.now += 1
    with stopwatch() as watch:
        clock.now += 1

        def work():
            with timed("model"):
                clock.now += 1

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert watch.seconds == {}


@pytest.mark.parametrize("observe", [0, 1])
def test_the_parts_of_a_step_add_up_to_it(observe):
    policy = make_policy("lacache", budget=24, span=3, num_sink=2)
    engine = Engine(tiny_model(), None, policy, observe_every=observe)
    *_, last = engine.read(list(range(40)))
    expected = {"model", "attention", "update", "planning", "compaction", "sampling"}
    assert {*last.parts} - {"observing"} == expected
    expected |= {"observing"} if observe else set()
    assert {*last.parts} <= {*PARTS}
    assert 0 < sum(last.parts.values()) <= last.seconds
    total = engine.trace().manifest["seconds_by_part"]
    assert {*total} >= expected
    assert total["model"] > last.parts["model"]
