"""Signals: the table agrees with the system's own, every spelling is read, everything else is refused."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.core.signals import parse_signal, signal_name


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_the_table_is_the_systems(number: int) -> None:
    assert parse_signal(signal_name(number)) == number
    try:
        name = signal.Signals(number).name
    except ValueError:
        return  # the system names only the two ends of the real-time range
    assert signal_name(number) == name


@pytest.mark.parametrize(
    ("spelling", "number"),
    [
        ("HUP", 1),
        ("SIGHUP", 1),
        ("hup", 1),
        (1, 1),
        ("1", 1),
        ("15", 15),
        ("IOT", 6),
        ("SIGCLD", 17),
        ("POLL", 29),
        ("RTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("rtmin+16", 50),
        ("RTMAX-1", 63),
        ("RTMAX-30", 34),
        (64, 64),
    ],
)
def test_read(spelling: str | int, number: int) -> None:
    assert parse_signal(spelling) == number


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        "SIG",
        "0",
        0,
        "-1",
        -1,
        "32",
        33,
        "65",
        65,
        2**70,
        True,
        "HUPX",
        "RTMIN+31",
        "٣",
        "1.0",
        " HUP",
        "ſigHUP",
        "9" * 99,
    ],
)
def test_refused(spelling: str | int) -> None:
    with pytest.raises(BadInput) as caught:
        parse_signal(spelling)
    assert caught.value.code == "bad_signal"
    assert len(caught.value.message) < 80


def test_a_wait_status_without_a_name_still_shows() -> None:
    assert signal_name(32) == "SIG32"
    assert signal_name(99) == "SIG99"


@given(st.text(max_size=8))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert signal_name(parse_signal(text)).startswith("SIG")
    except BadInput:
        pass
