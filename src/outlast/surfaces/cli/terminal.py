"""This terminal: raw while a session's own terminal is shown in it, and always put back."""

from __future__ import annotations

import os
import sys
import termios
import tty

from outlast.core.errors import BadInput
from outlast.surfaces.cli import output
from outlast.surfaces.cli.output import write_all
from outlast.surfaces.cli.signals import Left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN, STDOUT = 0, 1
DETACH_KEY = "C-]"
ENTER_ALTERNATE, LEAVE_ALTERNATE = b"\x1b[?1049h", b"\x1b[?1049l"
# What a program may have switched on and, when we leave it running, will not switch off here: mouse reports,
# focus reports, bracketed paste, application cursor keys and keypad, a hidden cursor, colours.
RESET = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m"


def interactive() -> bool:
    """True when both standard input and standard output are a terminal."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def window() -> tuple[int, int]:
    """Columns and rows of this terminal, within 1 to 1000; 80 and 24 for one that does not know."""
    try:
        size = os.get_terminal_size(STDOUT)
    except OSError:
        return 80, 24
    return min(size.columns or 80, 1000), min(size.lines or 24, 1000)


def detach_octet(name: str | None) -> int:
    """The byte of a detach key such as ``C-]``; raises BadInput for a key of more than one byte."""
    from outlast.process.keys import encode_keys

    data = encode_keys([name or DETACH_KEY])
    if len(data) != 1:
        raise BadInput(
            f"{name!r} cannot be the detach key: it is more than one byte",
            code="bad_key",
            hint="try C-] or C-q",
        )
    return data[0]


class Raw:
    """Raw mode for a ``with`` block. ``draw`` writes output, ``edit`` finds the detach key in input."""

    def __init__(self, detach: int) -> None:
        self._detach = detach
        self._before: list[Any] = []
        self._alternate = False
        self._tail = b""

    def __enter__(self) -> Raw:
        sys.stdout.flush()
        self._before = termios.tcgetattr(STDIN)
        tty.setraw(STDIN, termios.TCSADRAIN)
        output.line_end = "\r\n"
        return self

    def __exit__(self, *_: object) -> None:
        output.line_end = "\n"
        try:
            write_all(STDOUT, (LEAVE_ALTERNATE if self._alternate else b"") + RESET + b"\r\n")
        except OSError:
            pass
        finally:
            try:
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._before)
            except termios.error:  # the terminal is gone, and its settings with it
                pass

    def draw(self, data: bytes) -> None:
        """Write output of the session and remember whether it is on the alternate screen."""
        seen = self._tail + data
        entered, left = seen.rfind(ENTER_ALTERNATE), seen.rfind(LEAVE_ALTERNATE)
        if entered != left:
            self._alternate = entered > left
        self._tail = seen[1 - len(ENTER_ALTERNATE) :]
        write_all(STDOUT, data)

    def edit(self, data: bytes) -> bytes:
        """Return what was typed; raises Left when the detach key is in it."""
        if self._detach in data:
            raise Left(0, "detached")
        return data


class Canvas:
    """The alternate screen for a ``with`` block, to be drawn on again and again; single keys can be read."""

    # On entering: no line wraps (what is too long is cut off), no cursor.
    _ENTER, _LEAVE = ENTER_ALTERNATE + b"\x1b[?7l\x1b[?25l", b"\x1b[?7h\x1b[?25h\x1b[0m" + LEAVE_ALTERNATE

    def __init__(self) -> None:
        self.keys = os.isatty(STDIN)
        self._before: list[Any] = []

    def __enter__(self) -> Canvas:
        sys.stdout.flush()
        if self.keys:
            self._before = termios.tcgetattr(STDIN)
            tty.setcbreak(STDIN, termios.TCSADRAIN)
            settings = termios.tcgetattr(STDIN)
            settings[6][termios.VSUSP] = b"\0"  # a stopped board would leave its screen behind
            termios.tcsetattr(STDIN, termios.TCSADRAIN, settings)
        write_all(STDOUT, self._ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            write_all(STDOUT, self._LEAVE)
        except OSError:
            pass
        finally:
            if self.keys:
                try:
                    termios.tcsetattr(STDIN, termios.TCSADRAIN, self._before)
                except termios.error:  # the terminal is gone, and its settings with it
                    pass

    def draw(self, lines: list[str]) -> None:
        """Show these lines and nothing else, without a flicker."""
        text = "".join(f"{line}\x1b[K\r\n" for line in lines[:-1]) + "".join(lines[-1:])
        encoding = sys.stdout.encoding or "utf-8"
        write_all(STDOUT, b"\x1b[H" + text.encode(encoding, "backslashreplace") + b"\x1b[K\x1b[J")


class QuitKey:
    """For a session without a terminal: lines are still edited here, and the detach key is the quit key."""

    def __init__(self, detach: int) -> None:
        self._detach = detach
        self._before: list[Any] = []

    def __enter__(self) -> QuitKey:
        self._before = termios.tcgetattr(STDIN)
        settings = termios.tcgetattr(STDIN)
        settings[6][termios.VQUIT] = bytes([self._detach])
        termios.tcsetattr(STDIN, termios.TCSADRAIN, settings)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            termios.tcsetattr(STDIN, termios.TCSADRAIN, self._before)
        except termios.error:
            pass
