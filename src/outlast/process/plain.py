"""Bytes a program printed, as text a reader can use.

UTF-8 with U+FFFD for what is none; terminal escape sequences are taken out; CRLF is a line end; what a lone
CR or a backspace overwrote is gone; other control characters but tab and newline are dropped. This is for
output read as lines. What a full-screen program shows is the business of `outlast.process.screen`.

Every step is linear in the size of the input, whatever is in it: the expressions below neither backtrack nor
try the same bytes from many starts.
"""

from __future__ import annotations

import codecs
import re

HELD_MAX = 4096
"""An unterminated sequence longer than this many bytes is no longer held back: its bytes are dropped."""

_INTRODUCERS = rb"[\]PX^_k]"  # OSC, DCS, SOS, PM, APC, and the title string of screen and tmux
# A string ends with its line at the latest, though a terminal would read on: one stray introducer, as a
# binary file printed by mistake is full of, must not swallow the rest of a log.
_BODY = rb"[^\x07\x18\x1a\x1b\n]*+"
_ESCAPE = re.compile(
    rb"\x1b(?:"
    rb"\[[0-?]*+[ -/]*+[@-~]?"
    rb"|" + _INTRODUCERS + _BODY + rb"(?:[\x07\x18\x1a]|\x1b\\)?"
    rb"|[ -/]++[0-~]?"
    rb"|[0-~]"
    rb")?"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*+[ -/]*+|" + _INTRODUCERS + _BODY + rb"|[ -/]++)?\Z")
_UNFINISHED_STRING = re.compile(rb"\x1b" + _INTRODUCERS + _BODY + rb"\x1b\Z")  # half of its ESC \ is there

_DROPPED = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
_RUBBED_OUT = re.compile(r"[^\x08\r\n]\x08|(?<=[\r\n])\x08+")
_RUBS = re.compile(r"([^\x08]*+)(\x08*+)")
# Either a stretch that a CR and more text follow, which is dropped, or one that is kept. The second half is
# there so that a stretch is never tried again from its second character.
_OVERWRITTEN = re.compile(r"[^\r\n]*+\r(?=[^\r\n])|([^\r\n]++)")

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class PlainText:
    """Decodes a stream of output piece by piece.

    A line whose beginning was already given out cannot be changed any more. When it is overwritten after
    that, the new text comes on a line of its own.
    """

    def __init__(self) -> None:
        self._pending = b""
        self._opener = 0  # leading bytes of _pending that stand for a sequence whose bytes were given up
        self._line_open = False  # the last text given out did not end its line
        self._returned = False  # the last thing seen was a CR

    @property
    def held(self) -> int:
        """Bytes at the end of what was fed that wait for the rest of an escape sequence or a character.

        At most `HELD_MAX`. A caller who starts anew later should start before them.
        """
        return len(self._pending) - self._opener

    def feed(self, data: bytes, final: bool = False) -> str:
        """Return the text of ``data``, as far as it is certain; ``final``: nothing more will come."""
        data = self._pending + data
        end = len(data) if final else _unfinished_from(data)
        # NUL marks where a sequence was, so that what stood around it does not grow into one character.
        marked = _ESCAPE.sub(b"\0", data[:end])
        text, used = codecs.utf_8_decode(marked, "replace", final or end < len(data))
        # An unfinished character holds no escape, so its length is the same before and after the marking.
        start = end - (len(marked) - used)
        self._hold(data[start:], self._opener if start == 0 else 0)
        return self._settle(_DROPPED.sub("", text))

    def _hold(self, pending: bytes, opener: int) -> None:
        if len(pending) - opener > HELD_MAX:
            # The introducer stays, so that the rest of the sequence is known for what it is.
            pending, opener = pending[:2] + (b"\x1b" if pending.endswith(b"\x1b") else b""), 2
        self._pending, self._opener = pending, opener

    def _settle(self, text: str) -> str:
        """Apply backspaces and carriage returns within ``text``."""
        if self._returned:
            text = "\r" + text
        if "\b" in text:
            text = _rub_out(text)
        if "\r" in text:
            while "\r\r" in text:  # a handful of rounds: each halves every run
                text = text.replace("\r\r", "\r")
            text = text.replace("\r\n", "\n")
            self._returned = text.endswith("\r")
            late = self._line_open and "\r" in text.removesuffix("\r").partition("\n")[0]
            text = text.removesuffix("\r")
            if "\r" in text:
                text = ("\n" if late else "") + _OVERWRITTEN.sub(r"\1", text)
        if text:
            self._line_open = not text.endswith("\n")
        return text


def plain(data: bytes, *, final: bool = True) -> tuple[str, int]:
    """Return the text of ``data`` and how many bytes at its end were held back (0 when ``final``)."""
    decoder = PlainText()
    text = decoder.feed(data, final)
    return text, decoder.held


def strip_codes(text: str) -> str:
    """Return ``text`` safe to show on one line of a terminal.

    Control characters, line separators, marks that turn the writing direction, and lone surrogates come out
    as visible escapes such as ``\\x1b``.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _unfinished_from(data: bytes) -> int:
    """Return where a sequence begins that the end of ``data`` cuts off; else the length of ``data``."""
    last = data.rfind(b"\x1b")
    if last < 0:
        return len(data)
    if last == len(data) - 1:
        before = data.rfind(b"\x1b", 0, last)
        if before >= 0 and _UNFINISHED_STRING.match(data, before):
            return before
    return last if _UNFINISHED.match(data, last) else len(data)


def _rub_out(text: str) -> str:
    """Apply backspaces: each takes away the character before it, but never a line end."""
    text = _RUBBED_OUT.sub("", text)
    if "\b" not in text:
        return text
    kept: list[tuple[str, int]] = []  # pieces, each with how much is left of it: cutting would copy
    for found in _RUBS.finditer(text):
        kept.append((found[1], len(found[1])))
        count = len(found[2])
        while count and kept:
            piece, end = kept.pop()
            low = max(0, end - count)
            barrier = max(piece.rfind("\n", low, end), piece.rfind("\r", low, end)) + 1
            stop = max(low, barrier)
            count = 0 if barrier else count - (end - stop)
            if stop:
                kept.append((piece, stop))
    return "".join([piece[:end] for piece, end in kept])
