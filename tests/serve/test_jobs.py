"""Work in the background: done once, one at a time, ended when nobody wants it."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable

import pytest

from cbir.serve.jobs import Jobs
from cbir.serve.problems import ProblemError
from tests.helpers.waiting import GUARD_SECONDS


class Owner:
    """Stands for a state of an index."""


def held(entered: threading.Event, go_on: threading.Event) -> Callable[[Callable[[float], object]], str]:
    """Work that tells a half once it may go on."""

    def work(told: Callable[[float], object]) -> str:
        entered.set()
        assert go_on.wait(GUARD_SECONDS)
        told(0.5)
        return "done"

    return work


def test_work_is_done_once_and_told() -> None:
    jobs, owner, calls = Jobs(), Owner(), []
    job = jobs.of(owner, "one", lambda told: calls.append(told) or "result")
    assert job.result(GUARD_SECONDS) == "result"
    assert jobs.of(owner, "one", lambda told: "another") is job
    assert jobs.of(Owner(), "one", lambda told: "another") is not job
    assert len(calls) == 1


def test_one_works_at_a_time_and_few_wait() -> None:
    jobs, owner, entered, go_on = Jobs(), Owner(), threading.Event(), threading.Event()
    first = jobs.of(owner, 0, held(entered, go_on))
    assert entered.wait(GUARD_SECONDS)
    others = [jobs.of(owner, number, lambda told: "other") for number in (1, 2, 3)]
    with pytest.raises(ProblemError) as refused:
        jobs.of(owner, 4, lambda told: "too many")
    assert refused.value.status == 503
    assert not any(job.is_finished for job in others)
    assert first.share == 0
    go_on.set()
    assert [job.result(GUARD_SECONDS) for job in (first, *others)] == ["done", "other", "other", "other"]
    assert first.share == 1


def test_no_more_results_are_kept_than_a_few() -> None:
    jobs, owner = Jobs(), Owner()
    first = jobs.of(owner, 0, lambda told: 0)
    first.result(GUARD_SECONDS)
    for number in range(1, 5):
        jobs.of(owner, number, lambda told: 0).result(GUARD_SECONDS)
    assert jobs.of(owner, 4, lambda told: 1).result(GUARD_SECONDS) == 0
    assert jobs.of(owner, 0, lambda told: 1) is not first


def test_an_error_is_told_once_and_then_it_is_tried_again() -> None:
    jobs, owner = Jobs(), Owner()

    def fail(told: object) -> None:
        raise KeyError("why")

    job = jobs.of(owner, "one", fail)
    with pytest.raises(KeyError):
        job.result(GUARD_SECONDS)
    assert jobs.of(owner, "one", lambda told: "now") is job
    assert jobs.of(owner, "one", lambda told: "now").result(GUARD_SECONDS) == "now"


@pytest.mark.parametrize("how", ["end", "gone"])
def test_it_ends_with_the_server_and_with_the_state(how: str) -> None:
    jobs, owner, entered, go_on = Jobs(), Owner(), threading.Event(), threading.Event()
    job = jobs.of(owner, "one", held(entered, go_on))
    assert entered.wait(GUARD_SECONDS)
    if how == "end":
        jobs.end()
    else:
        del owner
        gc.collect()
    go_on.set()
    with pytest.raises(ProblemError, match="ended"):
        job.result(GUARD_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_it_gives_way_to_those_that_answer() -> None:
    def niceness(told: object) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = niceness(None)
    assert Jobs().of(owner := Owner(), "one", niceness).result(GUARD_SECONDS) == min(19, max(own, 10))
    assert niceness(None) == own
    assert owner
