"""Spans and sizes: what is read, what is refused, and that what is shown can be read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.durations import (
    DURATION_MAX,
    SIZE_MAX,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from outlast.core.errors import BadInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("1s", 1.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("2h30m", 9000.0),
        ("1h 02m", 3720.0),
        ("350 ms", 0.35),
        ("1d", 86_400.0),
        ("1w", 604_800.0),
        ("1w2d3h4m5s6ms", 604_800 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5 + 0.006),
        ("1m500ms", 60.5),
        ("PT20M", 1200.0),
        ("PT1H30M", 5400.0),
        ("P1DT12H", 129_600.0),
        ("P0D", 0.0),
        ("P0W", 0.0),
        ("P2W", 1_209_600.0),
        ("PT0.5S", 0.5),
    ],
)
def test_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "5M",
        "5S",
        "5 minutes",
        "5min",
        "inf",
        "nan",
        "1e3",
        "+5",
        "-5",
        "-5s",
        "٥",
        "٥s",
        "５s",
        "1_000",
        "1,5s",
        ".5",
        "5.",
        " 5s",
        "5s ",
        "5s\n",
        "90\n",
        "5  s",
        "30m2h",
        "1s1s",
        "5ms2s",
        "1.5h30m",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "P1W1D",
        "P1WT1H",
        "P1.5DT1H",
        "1s500m",
        "pt20m",
        "PT20",
        "-PT5M",
        "9" * 13,
        "9" * 5000,
        "5300w1d",
        "3155760001",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_duration(text)
    assert caught.value.code == "bad_duration"
    assert "2h30m" in (caught.value.hint or "")
    assert len(caught.value.message) < 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 ms"),
        (0, "0 ms"),
        (float("nan"), "0 ms"),
        (0.35, "350 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.25, "1.2 s"),
        (5, "5 s"),
        (59.96, "1m 00s"),
        (125, "2m 05s"),
        (3599.6, "1h 00m"),
        (3720, "1h 02m"),
        (86_399, "1d 00h"),
        (273_600, "3d 04h"),
    ],
)
def test_shown(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=DURATION_MAX - 3600))
def test_what_is_shown_can_be_read(seconds: float) -> None:
    text = format_duration(seconds)
    if text.endswith("ms"):
        unit = 0.001
    elif text.endswith(" s"):
        unit = 0.1
    else:
        unit = {"s": 1.0, "m": 60.0, "h": 3600.0}[text[-1]]
    assert abs(parse_duration(text) - seconds) <= unit / 2 + 1e-6


@given(st.text(max_size=12) | st.from_regex(r"[0-9PTwdhms. ]{0,12}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except BadInput:
        return
    assert 0 <= seconds <= DURATION_MAX


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("256MiB", 256 * 1024**2),
        ("1.5 KiB", 1536),
        ("2GB", 2 * 10**9),
        ("5GiB", 5 * 1024**3),
        ("1TiB", 1024**4),
        ("0.1GiB", 107_374_182),
    ],
)
def test_size_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MiB",
        "-1",
        "1.5",
        "1.5B",
        "256M",
        "256mib",
        "1KB",
        "1KIB",
        "inf",
        "٣",
        "1 MiB ",
        "1 ",
        "x" * 500,
        "1\n",
        "9999999TiB",
        "9" * 19,
    ],
)
def test_size_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_size(text)
    assert caught.value.code == "bad_size"
    assert len(caught.value.message) < 80


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (256 * 1024**2, "256 MiB"),
        (5 * 1024**3, "5 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_size_shown(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=SIZE_MAX // 2))
def test_a_shown_size_can_be_read(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size * 0.06
