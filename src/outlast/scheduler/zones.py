"""Time zones by their IANA names, and the stretches of constant offset that a zone's local time is made of.

Offsets come from `zoneinfo`, that is from the system's zone data, and are read once per process: rules that change
while a gateway runs take effect when it is started again.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from outlast.core.errors import BadInput, GatewayTrouble, OutlastError

DAY = 86_400
CHUNK = 366 * DAY
"""Spans are found in stretches of this many seconds."""

BORDER = 2 * DAY
"""No span is cut this near to a change of its offset, in seconds: what a change repeats is shorter than a day."""

MOMENT_MAX = 7_258_118_400
"""The year 2200: no instant is looked for beyond it."""

ZONE_NAME_MAX = 64
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
# Files of a zone directory that are no zones, or (right/) count leap seconds, which no clock here does.
_NO_ZONES = ("posix/", "right/", "posixrules", "localtime", "Factory", "SystemV/")


class Span(NamedTuple):
    """A stretch of constant offset: moments from ``start`` up to but not including ``end``, in seconds since the epoch.

    ``offset`` is local time minus UTC in seconds. A span may be cut: begin or end where the offset does not change, but
    not within `BORDER` of where it does. Two that were cut may overlap.
    """

    start: int
    end: int
    offset: int


class Zone:
    """A zone as spans. *Wall* seconds are what its clocks show, counted as if they were UTC."""

    __slots__ = ("_chunks", "_info", "name")

    def __init__(self, name: str, info: tzinfo) -> None:
        self.name = name
        self._info = info
        self._chunks: dict[int, list[Span]] = {}

    def span(self, moment: int) -> Span:
        """Return the span in which a moment lies."""
        chunk = moment // CHUNK
        spans = self._chunks.get(chunk)
        if spans is None:
            spans = self._chunks[chunk] = self._spans_of(chunk * CHUNK)
        for span in spans:
            if moment < span.end:
                return span
        raise AssertionError("spans fill their chunk")

    def around(self, moment: int) -> tuple[Span, Span, Span]:
        """Return the span in which a moment lies between what joins on to it before and after."""
        span = self.span(moment)
        before = self.span(span.start - 1)._replace(end=span.start)
        return before, span, self.span(span.end)._replace(start=span.end)

    def first_reach(self, wall: int) -> int:
        """Return the first moment at which the clocks show ``wall`` or more.

        For a time that is skipped that is the moment of the change, for one that is shown twice the first of the two.
        """
        moment = wall - DAY  # no offset is as large as a day, so the wall is not reached yet
        while True:
            span = self.span(moment)
            if wall - span.offset < span.end:
                return max(wall - span.offset, span.start)
            moment = span.end

    def local(self, moment: float) -> datetime:
        """Return a moment as an aware local time."""
        return datetime.fromtimestamp(moment, self._info)

    def label(self, moment: int) -> str:
        """Return the offset in force with its abbreviation: ``+01:00 BST``, or ``+03:00`` where there is none."""
        when = self.local(moment)
        offset, name = format_offset(self.span(moment).offset), when.tzname() or ""
        return f"{offset} {name}" if name.isalpha() else offset

    def _offset(self, moment: int) -> int:
        offset = datetime.fromtimestamp(moment, self._info).utcoffset()
        return offset.days * DAY + offset.seconds if offset is not None else 0

    def _spans_of(self, start: int) -> list[Span]:
        """Find the spans of a chunk, each whole where it begins or ends less than `BORDER` outside of it."""
        low, high = start - BORDER, start + CHUNK + BORDER
        changes = [low, *self._changes(low, high), high]
        spans = [Span(opens, ends, self._offset(opens)) for opens, ends in pairwise(changes) if ends > start]
        spans = [span for span in spans if span.start < start + CHUNK]
        if spans[0].start == low:
            spans[0] = spans[0]._replace(start=start)
        if spans[-1].end == high:
            spans[-1] = spans[-1]._replace(end=start + CHUNK)
        return spans

    def _changes(self, low: int, high: int) -> list[int]:
        """Look at every day, and halve the days in which the offset changes."""
        found, offset = [], self._offset(low)
        for day in range(low + DAY, high + 1, DAY):
            if (then := self._offset(day)) != offset:
                early, late = day - DAY, day
                while late - early > 1:
                    middle = (early + late) // 2
                    early, late = (middle, late) if self._offset(middle) == offset else (early, middle)
                found.append(late)
                offset = then
        return found


def format_offset(seconds: int) -> str:
    """Return an offset as ``+05:30``."""
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def fixed_zone(offset: int) -> Zone:
    """Return a zone of constant offset, in seconds, named for it."""
    return Zone(format_offset(offset), timezone(timedelta(seconds=offset)))


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """Return the zone of an IANA name (``Europe/London``, ``UTC``), spelled exactly as the database does.

    Raises `BadInput` with the code ``bad_zone``, and `GatewayTrouble` with ``no_zone_data`` where the system has no
    zone data at all; ``UTC`` works everywhere.
    """
    if name == "UTC":
        return Zone(name, UTC)
    if len(name) <= ZONE_NAME_MAX and _NAME.fullmatch(name) and not name.startswith(_NO_ZONES):
        try:
            return Zone(name, ZoneInfo(name))
        except (LookupError, OSError, ValueError):  # unknown; a folder of the database; a file that is no zone
            pass
    raise _unknown(name)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones())


def system_zone() -> str:
    """Return the name of the zone the system's clock is set to, ``UTC`` where it has none that can be named."""
    name = os.path.realpath("/etc/localtime").rpartition("zoneinfo/")[2]
    try:
        return zone(name.removeprefix("posix/")).name
    except OutlastError:
        return "UTC"


def _unknown(name: str) -> BadInput | GatewayTrouble:
    known = _known()
    if len(known) < 2:
        return GatewayTrouble(
            "this system has no time zone data, so only UTC can be used",
            code="no_zone_data",
            hint="install it (Debian: apt-get install tzdata; else: pip install tzdata), then restart the gateway",
        )
    shown = repr(name) if len(name) <= 40 else f"{name[:40]!r}…"
    return BadInput(f"{shown} is not a time zone", code="bad_zone", hint=_nearest(name[:ZONE_NAME_MAX], known))


def _nearest(name: str, known: frozenset[str]) -> str:
    """Return a hint with the names that were probably meant: other case, spaces, the city alone, a slip."""
    folded = {zone.casefold(): zone for zone in sorted(known) if not zone.startswith(_NO_ZONES)}
    wanted = name.casefold().replace(" ", "_")
    found = [zone for key, zone in folded.items() if key == wanted or key.endswith("/" + wanted)]
    found = found or [folded[key] for key in get_close_matches(wanted, folded, n=3)]
    return f"did you mean {' or '.join(found[:3])}?" if found else "write a name like Europe/London, or UTC"
