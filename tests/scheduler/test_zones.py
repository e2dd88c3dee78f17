"""Zones: only names of the database, and spans that know every change of it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.scheduler import zones
from outlast.scheduler.zones import DAY, MOMENT_MAX, format_offset, system_zone, zone


@pytest.mark.parametrize("name", ["UTC", "Europe/London", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_names_read(name: str) -> None:
    assert zone(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "America",
        "europe/london",
        "London",
        "BST",
        "Mars/Olympus",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../Europe/London",
        "right/Europe/London",
        "posix/Europe/London",
        "posixrules",
        "localtime",
        "Factory",
        "zone.tab",
        "tzdata.zi",
        "leapseconds",
        "Europe/London\n",
        "Europe/London\0",
        "Ｅurope/London",
        "x" * 65,
        "x" * 1_000_000,
    ],
)
def test_names_refused(name: str) -> None:
    """A name becomes a path in the zone directory: nothing but a zone of the database may come out of it."""
    with pytest.raises(BadInput) as caught:
        zone(name)
    assert caught.value.code == "bad_zone"
    assert len(caught.value.message) < 120


@pytest.mark.parametrize(
    ("name", "meant"),
    [("europe/london", "Europe/London"), ("new york", "America/New_York"), ("Eurpe/Berlin", "Europe/Berlin")],
)
def test_a_name_that_was_nearly_right_is_hinted_at(name: str, meant: str) -> None:
    with pytest.raises(BadInput, match="not a time zone") as caught:
        zone(name)
    assert meant in (caught.value.hint or "")


@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z./_+-]{1,30}", fullmatch=True))
def test_any_text_is_a_zone_or_refused(name: str) -> None:
    try:
        zone(name)
    except BadInput:
        return


def test_without_zone_data_the_reason_is_told_and_utc_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim container has none: the caller's input is fine, so the error says what is missing instead."""
    monkeypatch.setattr(zones, "_known", frozenset)

    def nothing(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(zones, "ZoneInfo", nothing)
    zone.cache_clear()
    try:
        with pytest.raises(GatewayTrouble) as caught:
            zone("Europe/London")
        assert caught.value.code == "no_zone_data"
        assert "tzdata" in (caught.value.hint or "")
        assert zone("UTC").span(0).offset == 0
    finally:
        zone.cache_clear()


def test_the_zone_of_the_system_has_a_name() -> None:
    assert zone(system_zone()).name == system_zone()


def changes(name: str, since: int, until: int) -> list[tuple[int, int]]:
    """When the offset of a zone changes and to what, read from the file of the zone itself (version 2, 64 bits)."""
    data = next((p for p in (Path(folder, name) for folder in TZPATH) if p.is_file()), None)
    raw = data.read_bytes() if data else files("tzdata.zoneinfo").joinpath(name).read_bytes()
    heads = [found.start() for found in re.finditer(b"TZif[2-9]", raw)]
    head = heads[1]
    _, _, _, times, types, _ = (int.from_bytes(raw[head + 20 + 4 * n : head + 24 + 4 * n]) for n in range(6))
    at = head + 44
    moments = [int.from_bytes(raw[at + 8 * n : at + 8 * n + 8], signed=True) for n in range(times)]
    kinds = raw[at + 8 * times : at + 9 * times]
    base = at + 9 * times
    offsets = [int.from_bytes(raw[base + 6 * n : base + 6 * n + 4], signed=True) for n in range(types)]
    found, last = [], offsets[0]
    for moment, kind in zip(moments, kinds, strict=True):
        if offsets[kind] != last and since <= moment < until:
            found.append((moment, offsets[kind]))
        last = offsets[kind]
    return found


def compare(names: list[str], since: int, until: int) -> int:
    """Compare the spans of zones with the changes their files name, and return how many there were."""
    total = 0
    for name in names:
        expected, found = changes(name, since, until), []
        span = zone(name).span(since)
        while span.end < until:
            before, span = span, zone(name).span(span.end)
            assert span.start <= before.end
            if span.offset != before.offset:
                found.append((span.start, span.offset))
        assert [change for change in found if change[0] <= (expected[-1][0] if expected else 0)] == expected, name
        total += len(expected)
    return total


def test_spans_change_where_the_database_says() -> None:
    names = [
        n for n in available_timezones() if n.startswith(("Africa/C", "Europe/L", "America/S", "Antarctica", "Asia/A"))
    ]
    assert compare(sorted(names), 1_388_534_400, 1_735_689_600) > 300


@pytest.mark.soak
def test_spans_change_where_the_database_says_for_every_zone_since_1970() -> None:
    names = sorted(n for n in available_timezones() if n not in ("localtime", "Factory"))
    assert compare(names, 0, 2_145_916_800) > 20_000


def test_spans_join_without_a_gap() -> None:
    local = zone("Europe/London")
    span = local.span(-DAY)
    while span.end < MOMENT_MAX:
        last, then = local.span(span.end - 1), local.span(span.end)
        assert (last.end, last.offset) == (span.end, span.offset)
        assert then.start <= span.end < then.end
        assert then.start == span.end or then.offset == span.offset
        span = then


def test_the_first_moment_of_a_wall_time() -> None:
    """Skipped: the moment of the change. Twice: the first. Else: the only one."""
    london = zone("Europe/London")
    wall = 1_711_846_800  # 2024-03-31 01:00 on the wall, as if it were UTC
    assert london.first_reach(wall) == london.first_reach(wall + 1800) == london.first_reach(wall + 3600) == wall
    assert london.first_reach(wall + 3601) == wall + 1
    autumn = 1_729_990_800  # 2024-10-27 01:00 on the wall
    assert london.first_reach(autumn) == autumn - 3600
    assert london.first_reach(autumn + 3600) == autumn + 3600


def test_a_day_that_a_zone_left_out_is_reached_when_the_next_begins() -> None:
    """Samoa had no 30 December 2011."""
    apia = zone("Pacific/Apia")
    assert apia.first_reach(1_325_246_400) == apia.first_reach(1_325_203_200) == 1_325_239_200


def test_offsets_are_shown_with_their_name_where_they_have_one() -> None:
    assert format_offset(-12_600) == "-03:30"
    assert zone("Europe/London").label(1_720_000_000) == "+01:00 BST"
    assert zone("Asia/Kathmandu").label(1_720_000_000) == "+05:45"
    assert zone("UTC").label(0) == "+00:00 UTC"
