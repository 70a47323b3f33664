"""Work that is shared out to threads: all of it, in order, however few threads there are."""

from __future__ import annotations

import threading
import time

import pytest

from cbir.utils import threads
from cbir.utils.threads import shared_out


@pytest.mark.parametrize("cores", [1, 3, 100])
def test_results_are_in_order_of_the_items(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    others = set[int]()

    def work(item: int) -> int:
        time.sleep(0.001 * (item % 3))
        others.add(threading.get_ident())
        return item * item

    assert shared_out(work, range(20)) == [item * item for item in range(20)]
    assert 1 <= len(others) <= cores
    assert (len(others) == 1) is (cores == 1)
    assert shared_out(work, []) == []


def test_where_no_thread_can_be_started_this_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    monkeypatch.setattr(threading.Thread, "start", refused)
    assert shared_out(str, range(5)) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("cores", [1, 4])
def test_an_error_is_raised_and_ends_it(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.002)
        if item == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shared_out(work, range(1000))
    assert len(begun) < 50
