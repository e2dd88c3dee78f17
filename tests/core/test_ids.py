"""Names that sort by time, whoever makes them, and are safe wherever names go."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.ids import task_of_session, timed_id

MOMENTS = st.floats(1_704_067_200, 2_800_000_000)
BITS = st.integers(0, 2**40 - 1)


@given(MOMENTS, MOMENTS, BITS, BITS)
def test_names_sort_by_the_millisecond_they_were_made_in(one: float, two: float, a: int, b: int) -> None:
    first, second = timed_id("t", one, a, 4), timed_id("t", two, b, 4)
    if int(one * 1000) < int(two * 1000):
        assert first < second
    elif int(one * 1000) > int(two * 1000):
        assert first > second
    else:
        assert first[:9] == second[:9]


@given(BITS, BITS)
def test_names_of_one_moment_differ_by_their_luck(a: int, b: int) -> None:
    assert (timed_id("t", 1.8e9, a, 4) == timed_id("t", 1.8e9, b, 4)) is (a == b)


@given(MOMENTS, BITS, st.integers(0, 6))
def test_names_are_safe_and_of_one_length(now: float, luck: int, pairs: int) -> None:
    """Lower case without i, l, o and u: safe as a file name, in a URL, and read aloud."""
    name = timed_id("s", now, luck, pairs)
    assert re.fullmatch(r"s[0-9abcdefghjkmnpqrstvwxyz]+", name)
    assert len(name) == 9 + 2 * pairs


@pytest.mark.parametrize("now", [0.0, -5.0, 1_704_067_199.0])
def test_a_clock_before_the_epoch_still_makes_a_name(now: float) -> None:
    assert timed_id("t", now, 0, 2) == "t" + "0" * 12


def test_the_stamp_lasts_for_decades() -> None:
    assert timed_id("t", 2_800_000_000.0, 0, 0) < timed_id("t", 2_800_000_000.001, 0, 0)


def test_a_session_has_one_task_whoever_asks() -> None:
    """Two gateways that both want to record one outlived command must make the same id, so that one of them loses."""
    assert task_of_session("s0abc1234") == "t0abc1234" == task_of_session("s0abc1234")
