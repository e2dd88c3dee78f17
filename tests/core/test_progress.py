"""Progress by OSC 9;4: found wherever it stands, however the output is cut, and never made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.progress import SEQUENCE_MAX, latest


def sequence(state: int, percent: int | None, end: bytes = b"\x07") -> bytes:
    return b"\x1b]9;4;%d" % state + (b"" if percent is None else b";%d" % percent) + end


@pytest.mark.parametrize("end", [b"\x07", b"\x1b\\"])
@pytest.mark.parametrize("state", [1, 2, 4])
def test_states_that_carry_a_percentage_are_progress(state: int, end: bytes) -> None:
    assert latest(b"building\r" + sequence(state, 42, end) + b"more\n") == 42


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"42 % done",
        sequence(0, None),
        sequence(0, 50),
        sequence(3, None),
        sequence(3, 50),
        sequence(1, None),
        sequence(5, 50),
        b"\x1b]9;4;1;50",
        b"\x1b]9;4;1;5000\x07",
        b"\x1b]9;4;1;-5\x07",
        b"\x1b]9;4;1;5.5\x07",
        b"\x1b]9;5;1;50\x07",
        b"\x1b]0;4;1;50\x07",
        b"]9;4;1;50\x07",
    ],
)
def test_anything_else_is_none(data: bytes) -> None:
    assert latest(data) is None


def test_the_last_percentage_counts_and_stays_when_the_bar_is_removed() -> None:
    assert latest(sequence(1, 10) + b"x" + sequence(1, 60) + sequence(0, None)) == 60
    assert latest(sequence(1, 60) + sequence(1, 10)) == 10


@pytest.mark.parametrize(("given_", "shown"), [(0, 0), (100, 100), (101, 100), (999, 100)])
def test_a_percentage_is_kept_within_its_bounds(given_: int, shown: int) -> None:
    assert latest(sequence(1, given_)) == shown


@given(st.binary(max_size=200))
def test_noise_is_never_out_of_bounds(data: bytes) -> None:
    found = latest(data)
    assert found is None or 0 <= found <= 100


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.integers(0, 100), st.sampled_from([b"\x07", b"\x1b\\"]))),
    st.data(),
)
def test_a_reader_that_steps_back_misses_no_sequence_however_it_is_cut(
    noise: bytes, drawn: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    """The runtime reads from `SEQUENCE_MAX` before where it stopped: it must end with the last percentage of all."""
    output = b"".join(sequence(*one) + noise for one in drawn)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=8)))
    seen, since = None, 0
    for cut in [*cuts, len(output)]:
        found = latest(output[max(0, since - SEQUENCE_MAX) : cut])
        seen, since = seen if found is None else found, cut
    assert seen == latest(output)


def test_the_longest_sequence_fits_the_step_back() -> None:
    assert len(sequence(4, 100, b"\x1b\\")) <= SEQUENCE_MAX
