"""What a person sees: text made safe, aligned tables, spans of time, colours only on a terminal."""

from __future__ import annotations

import json
import os
import sys

from outlast.core.durations import format_duration, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

    Result = dict[str, Any]

GREEN, RED, YELLOW, DIM, BOLD = "32", "31", "33", "2", "1"
STATUS_COLOURS = {
    "queued": DIM,
    "running": GREEN,
    "failed": RED,
    "timed_out": RED,
    "lost": RED,
    "cancelled": YELLOW,
    "warn": YELLOW,
    "fail": RED,
    "ok": GREEN,
    "error": RED,
    "active": GREEN,
    "paused": YELLOW,
    "disabled": RED,
    "done": DIM,
    "skipped": YELLOW,
    "missed": YELLOW,
    "failing": YELLOW,
    "parked": RED,
    "dismissed": DIM,
    "delivered": DIM,
}

BRIEF_MAX = 200

line_end = "\n"
"""What ends a note: CR LF while the terminal is raw."""


def prepare() -> None:
    """Have standard streams, and let output and error take any text: what their encoding lacks becomes an escape."""
    if sys.stdin is None:  # started with `<&-`
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for as long as the process lives
    if sys.stdout is None:  # started with `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print one line (or several) on standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print one line for the person at the terminal on standard error, after what is already on its way."""
    sys.stdout.flush()
    sys.stderr.write(f"outlast: {text}{line_end}")
    sys.stderr.flush()


def print_json(value: object) -> None:
    """Print one JSON document on one line."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    say(readable_json(json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))))


def readable_json(text: str) -> str:
    """Return a JSON text as `json.dumps` makes it with what a terminal would obey, or cut lines at, as escapes."""
    if text.isprintable():
        return text
    import re

    unsafe = "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
    return re.sub(unsafe, lambda found: f"\\u{ord(found[0]):04x}", text)


def print_text(text: str) -> None:
    """Print output of a command, adding the line end it may lack."""
    sys.stdout.write(text)
    if text and not text.endswith("\n"):
        sys.stdout.write("\n")


def write_all(fd: int, data: bytes) -> None:
    """Write bytes to a descriptor as they are, all of them, also when it does not block."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            import select

            select.select([], [fd], [])


def safe(text: object) -> str:
    """Show control characters of a title or command as escapes: ``\\n``, ``\\x1b``."""
    shown = str(text)
    if shown.isprintable():
        return shown
    from outlast.process.plain import strip_codes

    return strip_codes(shown)


def brief(text: object, most: int = BRIEF_MAX) -> str:
    """Show at most so many characters of a text of any length, safe as `safe` is."""
    whole = str(text)
    return safe(whole) if len(whole) <= most else safe(whole[:most]) + "…"


def colour(text: str, code: str, stream: TextIO | None = None) -> str:
    """Colour a text on a terminal, unless NO_COLOR is set."""
    stream = stream or sys.stdout
    if not code or os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Sequence[str] = (),
    *,
    widths: list[int] | None = None,
) -> str:
    """Align rows under their heads; on a terminal the last column is cut at its edge. One colour a row.

    A table that comes in pages keeps one list of ``widths`` for all of them: empty before the first, which alone
    has the heads.
    """
    widths = [] if widths is None else widths
    first = not widths
    widths[:] = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))] if first else widths
    room = _room(sum(widths[:-1]) + 2 * (len(widths) - 1))
    lines = [colour(_line(heads, widths, room), DIM)] if first else []
    for i, row in enumerate(rows):
        lines.append(colour(_line(row, widths, room), colours[i] if i < len(colours) else ""))
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: list[int], room: int | None) -> str:
    last = cells[-1]
    if room is not None and len(last) > room:
        last = last[: room - 1] + "…"
    return "  ".join([*(cell.ljust(widths[i]) for i, cell in enumerate(cells[:-1])), last]).rstrip()


def _room(used: int) -> int | None:
    if not sys.stdout.isatty():
        return None
    return max(10, os.get_terminal_size(sys.stdout.fileno()).columns - used)


def span(milliseconds: float | None) -> str:
    """A length of time for people; ``-`` when it is not known."""
    return "-" if milliseconds is None else format_duration(milliseconds / 1000)


def how_it_ended(result: Result) -> str:
    """One phrase for a session's end: ``exit code 7``, ``signal SIGTERM``, ``timed out (timeout)``."""
    status, cause = str(result.get("status")), result.get("cause")
    if result.get("exitSignal"):
        phrase = f"signal {result['exitSignal']}"
    elif result.get("exitCode") is not None:
        phrase = f"exit code {result['exitCode']}"
    else:
        phrase = "no exit code"
    detail = f", {cause}" if cause not in (None, "exit", "signal") else ""
    return f"{status}: {phrase}{detail}"


def exit_code(result: Result) -> int:
    """The exit code a shell would have seen: the command's own, 128+n for signal n, 124 for a time limit.

    127 when it could not be started, 125 when its end is not known.
    """
    if result.get("status") == "timed_out":
        return 124
    code = result.get("exitCode")
    if code is not None:
        return int(code) & 0xFF
    if result.get("exitSignal"):
        from outlast.core.signals import parse_signal

        return 128 + parse_signal(str(result["exitSignal"]))
    return 127 if result.get("cause") == "spawn_error" else 125


def print_result(result: Result) -> None:
    """Print what a session's result says in words: its output, how it stands, what to type next."""
    text = result.get("output")
    print_text(text if text is not None else result.get("tail") or "")
    print_notes(result)
    sys.stdout.flush()


def print_notes(result: Result) -> None:
    """Print what is worth knowing beside the output on standard error: left-out bytes, notes, advice."""
    cut = result.get("truncated")
    if cut:
        note(
            f"{format_size(cut['producedBytes'])} printed in all, {format_size(cut['shownBytes'])} shown; "
            f"to read the rest: {cut['how']}"
        )
    if result.get("existing"):
        note(f"the same command runs already as {result['sessionId']} (--allow-duplicate starts another)")
    if result.get("note"):
        note(safe(result["note"]))
    for line in result.get("advice") or ():
        note(safe(line))
