"""Spans of time and sizes in bytes, as people write them and as people read them.

Reading is strict on purpose: ``5M`` could be minutes, months or megabytes, so it is refused rather than
guessed. The command line imports this module, so it stays small.
"""

from __future__ import annotations

import re

from outlast.core.errors import BadInput

DURATION_MAX = 3_155_760_000.0
"""The longest span that is read, in seconds: 100 years."""

SIZE_MAX = 2**62
"""The largest size that is read, in bytes."""

# One small pattern and plain code around it: a grammar in one expression takes 3 ms to compile at every start.
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")
_Units = tuple[tuple[str, float], ...]
_UNITS: _Units = (("w", 604_800.0), ("d", 86_400.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
_ISO_WEEKS: _Units = (("W", 604_800.0),)
_ISO_DAYS: _Units = (("D", 86_400.0),)
_ISO_TIME: _Units = (("H", 3_600.0), ("M", 60.0), ("S", 1.0))

_BYTES = {"": 1, "B": 1}
_BYTES |= {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", start=1)}
_BYTES |= {f"{letter}B": 1000**power for power, letter in enumerate("kMGT", start=1)}


def parse_duration(text: str) -> float:
    """Read a span and return seconds, 0 to `DURATION_MAX`.

    Accepted: a plain number of seconds (``90``, ``0.5``), numbers with the units ``w d h m s ms`` in that
    order and each at most once (``2h30m``, ``500ms``, ``1h 02m``), or ISO 8601 without months and years
    (``PT20M``). Only the last number may have a fraction. Anything else raises `BadInput` with the code
    ``bad_duration``.
    """
    seconds = _read_duration(text)
    if seconds is None or seconds > DURATION_MAX:
        raise BadInput(
            f"{_shown(text)} is not a span of time",
            code="bad_duration",
            hint="write seconds (90), units from large to small (2h30m, 500ms; known are w d h m s ms) "
            "or PT20M; at most 100 years",
        )
    return seconds


def _read_duration(text: str) -> float | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if not text.startswith("P"):
        return _sum(text, _UNITS, " ")
    days, sign, time = text[1:].partition("T")
    if not sign:
        return _sum(days, _ISO_WEEKS if days.endswith("W") else _ISO_DAYS, "")
    before = _sum(days, _ISO_DAYS, "") if days else 0.0
    after = _sum(time, _ISO_TIME, "")
    return None if before is None or after is None or "." in days else before + after


def _sum(text: str, units: _Units, blank: str) -> float | None:
    """Add up numbers with units in the order given, None for anything else; ``blank`` may stand between them."""
    total, at, fraction = 0.0, 0, False
    for unit, seconds in units:
        number = _NUMBER.match(text, at)
        if number is None or fraction:
            break
        end = number.end() + (1 if blank and text.startswith(blank, number.end()) else 0)
        if not text.startswith(unit, end) or (unit == "m" and text.startswith("ms", end)):
            continue
        total += float(number[0]) * seconds
        fraction = number[1] is not None
        at = end + len(unit)
        if blank and text.startswith(blank, at) and at + 1 < len(text):
            at += 1
    return total if 0 < at == len(text) else None


def format_duration(seconds: float) -> str:
    """Return a span of seconds for people: ``350 ms``, ``1.2 s``, ``2m 05s``, ``1h 02m``, ``3d 04h``.

    `parse_duration` reads it back to within half of the smallest unit shown. A negative span, which only a
    clock set back can bring, shows as ``0 ms``.
    """
    if not seconds > 0:
        return "0 ms"
    if (ms := round(seconds * 1000)) < 1000:
        return f"{ms} ms"
    if (tenths := round(seconds * 10)) < 600:
        return f"{tenths // 10} s" if tenths % 10 == 0 else f"{tenths / 10:.1f} s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if (minutes := round(seconds / 60)) < 1440:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = round(seconds / 3600)
    return f"{hours // 24}d {hours % 24:02d}h"


def parse_size(text: str) -> int:
    """Read a size and return whole bytes, 0 to `SIZE_MAX`.

    Accepted: a plain number of bytes, or a number with ``B``, ``kB MB GB TB`` (powers of 1000) or
    ``KiB MiB GiB TiB`` (powers of 1024). Anything else raises `BadInput` with the code ``bad_size``.
    """
    number = _NUMBER.match(text)
    unit = _BYTES.get(text[number.end() :].removeprefix(" ")) if number else None
    if number and unit and not (number[1] and unit == 1) and not text.endswith(" "):
        whole, _, fraction = number[0].partition(".")
        scale: int = 10 ** len(fraction)
        size: int = (int(whole + fraction) * unit + scale // 2) // scale
        if size <= SIZE_MAX:
            return size
    raise BadInput(
        f"{_shown(text)} is not a size",
        code="bad_size",
        hint="write bytes (4096) or a unit: kB MB GB TB (powers of 1000), KiB MiB GiB TiB (powers of 1024)",
    )


def format_size(size: int) -> str:
    """Return bytes for people: ``512 B``, ``1.5 KiB``, ``256 MiB``; `parse_size` reads it back."""
    if size < 1024:
        return f"{size} B"
    unit = 1
    for name in ("KiB", "MiB", "GiB", "TiB"):
        unit *= 1024
        tenths = (size * 10 + unit // 2) // unit
        if tenths < 10240 or name == "TiB":
            break
    return f"{tenths // 10} {name}" if tenths % 10 == 0 else f"{tenths // 10}.{tenths % 10} {name}"


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:40]) + "…"
