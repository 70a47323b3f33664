"""Ranking aside: in order, beside what the network does, and with what goes wrong told at its turn."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from cbir.errors import CbirError
from cbir.search.aside import while_others_follow
from cbir.search.queries import VectorQuery
from cbir.search.resolve import Resolved
from tests.helpers.waiting import GUARD_SECONDS


def resolved(number: int, *, others_follow: bool = True) -> Resolved:
    return Resolved(VectorQuery(np.array([number + 1], dtype=np.float32)), [], others_follow)


def number_of(query: Resolved) -> int:
    assert isinstance(query.query, VectorQuery)
    return int(query.query.vector[0]) - 1


def test_the_next_queries_come_while_one_is_ranked() -> None:
    came = threading.Event()

    def queries() -> Iterator[Resolved]:
        yield resolved(0)
        came.set()
        yield resolved(1, others_follow=False)

    def find(query: Resolved) -> tuple[int, bool]:
        return number_of(query), came.wait(GUARD_SECONDS)

    assert list(while_others_follow(find, queries())) == [(0, True), (1, True)]


def test_results_come_in_order_however_long_each_takes() -> None:
    later = threading.Event()

    def find(query: Resolved) -> int:
        if number_of(query) == 0:
            assert later.wait(GUARD_SECONDS)
        if number_of(query) == 1:
            later.set()
        return number_of(query)

    queries = [resolved(number, others_follow=number < 199) for number in range(200)]
    assert list(while_others_follow(find, queries)) == list(range(200))


def test_no_query_is_asked_for_before_the_results_of_those_that_are_there() -> None:
    told = []

    def queries() -> Iterator[Resolved]:
        for number in range(6):
            assert len(told) >= number // 3 * 3
            yield resolved(number, others_follow=number % 3 < 2)

    for result in while_others_follow(number_of, queries()):
        told.append(result)
    assert told == list(range(6))


def test_one_query_costs_no_thread() -> None:
    threads = while_others_follow(lambda query: threading.current_thread(), [resolved(0, others_follow=False)])
    assert list(threads) == [threading.main_thread()]


def test_what_a_query_is_refused_for_is_raised_at_its_turn() -> None:
    def find(query: Resolved) -> int:
        if number_of(query) == 3:
            raise CbirError("three")
        return number_of(query)

    results = while_others_follow(find, [resolved(number, others_follow=number < 9) for number in range(10)])
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CbirError, match="three"):
        next(results)


def test_where_no_more_queries_can_be_had_those_before_are_answered() -> None:
    def queries() -> Iterator[Resolved]:
        yield from map(resolved, range(5))
        raise CbirError("the network fails")

    results = while_others_follow(number_of, queries())
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(CbirError, match="the network fails"):
        next(results)


def test_nothing_more_is_ranked_for_whoever_stops_reading() -> None:
    go_on, ranked = threading.Event(), []

    def find(query: Resolved) -> int:
        if number_of(query):
            assert go_on.wait(GUARD_SECONDS)
        ranked.append(number_of(query))
        return number_of(query)

    results = while_others_follow(find, map(resolved, range(1000)))
    assert next(results) == 0
    results.close()
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("rank-"):
            thread.join(GUARD_SECONDS)
            assert not thread.is_alive()
    assert len(ranked) < 100
