"""When a run commits, by a clock that nobody waits for."""

from __future__ import annotations

from cbir.indexing.policy import CommitPolicy, commit_policy


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def begun(rows: int = 10, seconds: float = 20, back_off: float = 0) -> tuple[CommitPolicy, Clock]:
    clock = Clock()
    policy = CommitPolicy(rows, seconds, back_off, clock)
    clock.now += 1000  # until a run begins, nothing counts
    policy.begin()
    return policy, clock


def commit(policy: CommitPolicy, clock: Clock, seconds: float) -> None:
    with policy.committing():
        clock.now += seconds


def test_it_commits_after_rows_or_seconds() -> None:
    policy, clock = begun()
    assert not policy.is_due(9)
    assert policy.is_due(10)
    clock.now += 20
    assert not policy.is_due(9)
    clock.now += 0.1
    assert policy.is_due(0)
    commit(policy, clock, 5)
    assert not policy.is_due(9)
    clock.now += 20.1
    assert policy.is_due(9)


def test_long_commits_are_rare() -> None:
    policy, clock = begun(back_off=10)
    commit(policy, clock, 7)
    clock.now += 70
    assert not policy.is_due(9)
    assert policy.is_due(10)
    clock.now += 0.1
    assert policy.is_due(9)
    commit(policy, clock, 1)  # a short one makes them as many as before
    clock.now += 20.1
    assert policy.is_due(9)


def test_parts_wait_in_smaller_numbers() -> None:
    assert commit_policy(parts=True).rows < commit_policy(parts=False).rows
    assert (commit_policy(parts=True).back_off, commit_policy(parts=False).back_off) == (10, 0)
