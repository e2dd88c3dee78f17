"""Guards: the start key tells starts apart, and a nervous reader is slowed but never kept from news."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.guards import (
    NERVOUS_POLLS,
    NervousReader,
    poll_advice,
    poll_answered,
    poll_arrives,
    poll_hint,
    start_key,
)

Start = tuple[str | None, list[str] | None, str, str]


def test_the_same_start_has_the_same_key() -> None:
    assert start_key("make", None, "/srv", "me") == start_key("make", None, "/srv", "me")
    assert len(start_key("make", None, "/srv", "me")) == 32


def test_every_difference_is_another_start() -> None:
    starts: list[Start] = [
        ("make", None, "/srv", "me"),
        ("make ", None, "/srv", "me"),
        ("make", None, "/srv2", "me"),
        ("fake", None, "/srv", "me"),
        ("make", None, "/var", "me"),
        ("make", None, "/srv", "it"),
        ("make", None, "/srv", "you"),
        (None, ["make"], "/srv", "me"),
        (None, ["make", "a"], "/srv", "me"),
        (None, ["make a"], "/srv", "me"),
        (None, ["make", ""], "/srv", "me"),
        (None, [], "/srv", "me"),
        ("", None, "/srv", "me"),
        ("make", None, "/sr", "mev"),
        ("\udc80", None, "/srv", "me"),
    ]
    assert len({start_key(*start) for start in starts}) == len(starts)


def test_hints_grow_and_stop_growing() -> None:
    assert [poll_hint(n) for n in (-1, 0, 1, 2, 3, 4, 5, 10**9)] == [
        1_000, 1_000, 2_000, 5_000, 10_000, 30_000, 30_000, 30_000,
    ]  # fmt: skip


def tight_loop(polls: int, *, wait: float = 0.0, gap: float = 0.01) -> list[float]:
    """Poll without news, each answered after its hold or wait, the next ``gap`` seconds later: the holds."""
    reader, now, holds = NervousReader(), 0.0, []
    for _ in range(polls):
        reader, hold = poll_arrives(reader, now, wait)
        holds.append(hold)
        now += max(hold, wait)
        reader, _ = poll_answered(reader, now, news=False)
        now += gap
    return holds


def test_a_tight_loop_is_held_from_the_fifth_poll_on() -> None:
    """The first poll cannot be early and three early ones are free; then each waits out its hint."""
    holds = tight_loop(8)
    assert holds[: NERVOUS_POLLS + 1] == [0.0] * (NERVOUS_POLLS + 1)
    assert holds[NERVOUS_POLLS + 1 :] == pytest.approx([9.99, 29.99, 29.99, 29.99])


def test_a_reader_that_keeps_to_the_hints_is_never_held() -> None:
    reader, now = NervousReader(), 0.0
    for _ in range(20):
        reader, hold = poll_arrives(reader, now)
        assert hold == 0.0
        reader, hint = poll_answered(reader, now, news=False)
        now += hint / 1000
    assert reader.empty == 20
    assert poll_advice(reader, "ID") is None


def test_a_poll_that_waits_past_its_hint_is_not_nervous() -> None:
    assert set(tight_loop(20, wait=30.0)) == {0.0}
    assert max(tight_loop(20, wait=0.5)) > 0


def test_one_patient_poll_ends_the_holding() -> None:
    reader = NervousReader(empty=9, early=7, hint_at=100.0)
    reader, hold = poll_arrives(reader, 100.0)
    assert (reader.early, hold) == (0, 0.0)


@given(st.integers(0, 9), st.integers(0, 9), st.floats(0, 1e6), st.floats(0, 1e6))
def test_news_makes_anyone_calm(empty: int, early: int, hint_at: float, now: float) -> None:
    reader, hint = poll_answered(NervousReader(empty, early, hint_at), now, news=True)
    assert (reader, hint) == (NervousReader(), 1_000)
    assert poll_arrives(reader, now)[1] == 0.0


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans(), st.floats(0, 60)), max_size=30))
def test_no_poll_is_held_beyond_the_longest_hint(polls: list[tuple[float, bool, float]]) -> None:
    reader, now = NervousReader(), 0.0
    for gap, news, wait in polls:
        now += gap
        reader, hold = poll_arrives(reader, now, wait)
        assert 0.0 <= hold <= 30.0
        now += max(hold, wait)
        reader, _ = poll_answered(reader, now, news)


def test_the_advice_comes_with_the_first_hold() -> None:
    reader, now, hold = NervousReader(), 0.0, 0.0
    for _ in range(NERVOUS_POLLS + 2):
        assert poll_advice(reader, "abcd") is None
        reader, hold = poll_arrives(reader, now)
        reader, _ = poll_answered(reader, now, news=False)
    assert hold > 0
    assert "outlast process wait abcd --exit" in (poll_advice(reader, "abcd") or "")
