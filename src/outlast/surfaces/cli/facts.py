"""What is known of one thing, a fact a line: its name in a column of its own, its value made safe."""

from __future__ import annotations

from outlast.core.durations import format_size
from outlast.surfaces.cli.moments import local, since
from outlast.surfaces.cli.output import DIM, brief, colour, say, span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Result = dict[str, Any]

LONG = 4_000
LINES_MAX = 40


def fact(name: str, value: object, *, plain: bool = True) -> None:
    """Print a fact, unless there is none; ``plain`` False is for what is safe and coloured already."""
    if value not in (None, ""):
        say(f"{colour(f'{name:<13}', DIM)} {brief(value, LONG) if plain else value}")


def moment_fact(name: str, moment: str | None) -> None:
    """Print a moment in local time, and how long ago it was."""
    if moment is not None:
        ago = since(moment)
        fact(name, local(moment) + (f" ({span(ago)} ago)" if ago else ""))


def quoted(text: object, most: int = LINES_MAX, *, last: bool = False) -> None:
    """Print a text of several lines, indented, each line made safe; the first or the last lines of a long one."""
    lines = str(text or "").rstrip("\n").split("\n")
    shown = lines[-most:] if last else lines[:most]
    for line in shown if lines != [""] else ():
        say(f"  {brief(line, LONG)}")
    if not last and len(lines) > most:
        say(f"  … and {len(lines) - most} more lines")


def details(data: Result) -> Iterator[tuple[str, object]]:
    """Say in words what is known of an end or a move; names that mean something to outlast only are left out."""
    for name, value in data.items():
        if value in (None, "", {}, []) or name in _INTERNAL:
            continue
        word, shown = _DETAILS.get(name, (name, None))
        yield word, value if shown is None or type(value) not in (int, float) else shown(value)


def seconds(value: float) -> str:
    """Seconds without the noise of their binary form."""
    return f"{value:.4g} s"


# What outlast calls it, and what a person does; the last turns the number into words.
_INTERNAL = ("claimId",)
_DETAILS: dict[str, tuple[str, Callable[[Any], str] | None]] = {
    "exitCode": ("exit code", None),
    "exitSignal": ("signal", None),
    "producedBytes": ("output", format_size),
    "userSeconds": ("user", seconds),
    "systemSeconds": ("system", seconds),
    "maxRssBytes": ("memory", format_size),
    "leftovers": ("left behind", lambda count: f"{count} process{'es' if count != 1 else ''}"),
    "neverBegan": ("never began", None),
}
