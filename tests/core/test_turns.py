"""Engines of one process compute on one thread where that is asked for, and as if they did not."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar

import numpy as np
import pytest
from tiny import random_ids, tiny_model

from lacache_core import turns
from lacache_core.engine import Engine
from lacache_core.policies import make_policy
from lacache_core.turns import in_turn, take_turns

POLICIES = ["lacache", "h2o", "full"]


@pytest.fixture
def direct(monkeypatch):
    """Nobody has asked for turns, whatever other tests did."""
    monkeypatch.setattr(turns, "_thread", None)


@pytest.fixture
def taking_turns(direct):
    take_turns()
    thread = turns._thread
    yield
    thread.shutdown()


def here():
    return threading.current_thread().name


def test_work_is_done_where_it_is_asked_for_by_default(direct):
    assert in_turn(here) == here()


def test_then_on_one_thread_whoever_asks(taking_turns):
    take_turns()  # once is enough
    found = []
    threads = [threading.Thread(target=lambda: found.append(in_turn(here))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert found[0] != here() and in_turn(here) == found[0]


def test_arguments_errors_and_context_come_through(taking_turns):
    mark = ContextVar("mark", default="")
    mark.set("set by the caller")
    assert in_turn(lambda a, *, b: (a, b, mark.get()), 1, b=2) == (1, 2, "set by the caller")
    with pytest.raises(ZeroDivisionError):
        in_turn(lambda: 1 // 0)


def test_work_may_ask_for_work(taking_turns):
    assert in_turn(lambda: in_turn(here)) == in_turn(here)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_has_no_such_thread_and_works(taking_turns):
    child = os.fork()
    if child == 0:  # an answer that never came would leave the parent waiting
        os._exit(0 if in_turn(here) == here() else 1)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        threading.Event().wait(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the forked process hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def told(model, policy, seed, into):
    engine = Engine(model, None, make_policy(policy, budget=24, span=3), observe_every=1)
    ids = random_ids(40, seed=seed)[0].tolist()
    into[policy, seed] = list(
        engine.generate(ids, max_new_tokens=30, temperature=0.9, seed=3, stops=[])
    )


def test_runs_side_by_side_are_what_each_is_alone(taking_turns, monkeypatch):
    model, together, alone = tiny_model(), {}, {}
    jobs = [(policy, seed) for policy in POLICIES for seed in (1, 2)]
    threads = [threading.Thread(target=told, args=(model, *job, together)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr(turns, "_thread", None)
    for job in jobs:
        told(model, *job, alone)
    for job in jobs:
        assert len(together[job]) == len(alone[job]) == 30
        for ours, theirs in zip(together[job], alone[job], strict=True):
            assert ours.next_token == theirs.next_token
            assert np.array_equal(ours.dropped, theirs.dropped)
            assert np.array_equal(ours.mass, theirs.mass)


def test_all_that_an_engine_computes_is_computed_there(taking_turns):
    """What a caller's thread computes would give it helper threads, which slow down the engines."""
    model, where = tiny_model(), set()
    model.register_forward_hook(lambda *_: where.add(here()))
    list(Engine(model, None, make_policy("lacache", budget=24, span=3)).read(list(range(60))))
    assert where == {in_turn(here)}
