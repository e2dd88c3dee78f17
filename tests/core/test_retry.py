"""Retries: never before their time, never all at once, never past the deadline or the number of attempts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.retry import ATTEMPTS_MAX, RetryPolicy, again_at, pause

SPANS = st.floats(0, 86_400)
LUCK = st.floats(0, 1)
POLICIES = st.builds(RetryPolicy, delay_seconds=SPANS, delay_max_seconds=SPANS)


def test_the_pause_doubles_up_to_its_bound() -> None:
    policy = RetryPolicy(delay_seconds=1, delay_max_seconds=10)
    assert [pause(policy, attempt, 0.0) for attempt in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


def test_without_a_rule_it_starts_with_a_second_and_ends_with_a_minute() -> None:
    assert again_at(None, attempt=1, attempts_max=2, now=100.0, luck=0.0, deadline_at=None) == 101.0
    assert again_at(None, attempt=99, attempts_max=100, now=100.0, luck=0.0, deadline_at=None) == 160.0


@given(POLICIES, st.integers(1, ATTEMPTS_MAX), LUCK)
def test_luck_takes_off_a_quarter_at_most(policy: RetryPolicy, attempt: int, luck: float) -> None:
    whole, some, least = (pause(policy, attempt, drawn) for drawn in (0.0, luck, 1.0))
    assert least <= some <= whole <= policy.delay_max_seconds
    assert least == pytest.approx(0.75 * whole)


@given(POLICIES, st.integers(1, ATTEMPTS_MAX - 1), LUCK)
def test_a_later_attempt_never_waits_less(policy: RetryPolicy, attempt: int, luck: float) -> None:
    assert pause(policy, attempt, luck) <= pause(policy, attempt + 1, luck)


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_the_number_of_attempts_is_kept(attempt: int, again: bool) -> None:
    moment = again_at(None, attempt=attempt, attempts_max=3, now=0.0, luck=0.5, deadline_at=None)
    assert (moment is not None) is again


@given(POLICIES, st.integers(1, 50), LUCK, st.floats(0, 2e9), st.floats(0, 2e9))
def test_no_attempt_is_planned_at_or_behind_the_deadline(
    policy: RetryPolicy, attempt: int, luck: float, now: float, deadline: float
) -> None:
    moment = again_at(policy, attempt=attempt, attempts_max=51, now=now, luck=luck, deadline_at=deadline)
    if moment is None:
        assert now + pause(policy, attempt, luck) >= deadline
    else:
        assert now <= moment < deadline


def test_a_rule_reads_back_from_the_record_as_it_was_written() -> None:
    """The rule is kept as JSON beside the task: another spelling would silently fall back to the defaults."""
    policy = RetryPolicy(delay_seconds=2.5, delay_max_seconds=30)
    written = msgspec.to_builtins(policy)
    assert written == {"delaySeconds": 2.5, "delayMaxSeconds": 30}
    assert msgspec.convert(written, RetryPolicy) == policy
