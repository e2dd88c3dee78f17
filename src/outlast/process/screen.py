"""A pty's screen as text: what a person in front of the terminal would see now.

A small virtual terminal that reads what programs send to an xterm or a tmux and keeps the characters
(`outlast.process.grid`), the title and the modes that decide how keys and pastes are sent back. It answers no
queries. Any bytes may be fed: what it does not know is read over, and nothing that arrives can make it grow.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from outlast.process.grid import Grid

_TITLE_MAX = 512
_TITLES_MAX = 10  # titles a program has put aside
_COLLECTED_MAX = 64  # parameters and the like of one sequence; with more it is read over
_NUMBER_MAX = 65535

# Characters known to be one cell wide, so that runs of them need no look at each: Latin, Greek and Cyrillic
# without their combining marks, dashes and quotes, arrows, box drawing, blocks, Braille, private use.
_NARROW = (
    " -~\u00a0-\u02ff\u0370-\u0482\u048a-\u0556\u2010-\u2027\u2030-\u205e\u2190-\u2319"
    "\u2500-\u25fc\u2800-\u28ff\ue000-\uf8ff\ufffd"
)
_TOKEN = re.compile(
    rf"([{_NARROW}]+)"  # 1
    r"|(\r?\n)"  # 2
    r"|\x1b\[[0-9;:]*+m"  # colours
    r"|\x1b\[([0-?]*+[ -/]*+)([@-~])"  # 3 4
    r"|(\x1b)"  # 5: any other sequence, or one that is not all here
    r"|[\x00-\x06\x10-\x1a\x1c-\x1f\x7f-\x9f]+"  # no meaning
    r"|([\x00-\x1f])"  # 6
    rf"|([^\x00-\x1f\x7f-\x9f{_NARROW}])"  # 7
)
_BODIES = {"[": re.compile(r"[ -?]++"), "\x1b": re.compile(r"[ -/]++")}  # what comes before the last character
_PARAMETERS = re.compile(r"([<=>?]?)([0-9;]*)([ -/]*)")
# What outlives a clearing of the screen: modes, the region, character sets, titles.
_LASTING = re.compile(
    rb"\x1b(?:c|\[!p|\[\?[0-9;]*+[hl]|\[4[hl]|\[[0-9;]*+[rt]|[()][0AB]|\][02];[^\x07\x1b]*+(?:\x07|\x1b\\))|[\x0e\x0f]"
)
_CLEARED = re.compile(rb"\x1b(?:c|\[(?:1;1)?H\x1b\[[02]?J|\[2J\x1b\[(?:1;1)?H)")
_UTF8_INNER = bytes(range(0x80, 0xC0))
_MAIN_AGAIN = re.compile(rb"\x1b\[\?[0-9;]*?(?:47|1047|1049)l")
_MODE = re.compile(rb"\x1b(?:(c)|\[(!)p|\[\?([0-9;]*+)([hl]))")
_WHOLE_MAX = 65536  # up to this many bytes, drawing all of them is not worth avoiding

_STRING_ENDS = {"]": re.compile(r"[\x07\x18\x1a\x1b]"), "P": re.compile(r"[\x18\x1a\x1b]")}


class Cursor(NamedTuple):
    """Where the cursor is, counted from 0, and whether it is shown."""

    row: int
    col: int
    visible: bool


class Modes(NamedTuple):
    """What a program asked of its terminal about input: DECCKM and mode 2004."""

    application_cursor: bool
    bracketed_paste: bool


class Screen:
    """A terminal of ``cols`` by ``rows`` cells, each at least 1.

    ``title`` is what the program set (OSC 0 or 2, at most 512 characters, all printable);
    ``application_cursor`` (DECCKM) and ``bracketed_paste`` (mode 2004) are what it asked for.
    """

    def __init__(self, cols: int, rows: int) -> None:
        self._grid = Grid(cols, rows)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = ""  # "" between sequences, else the character that says which kind is being read
        self._collected = ""
        self._titles: list[str] = []
        self.title = ""
        self.application_cursor = False
        self.bracketed_paste = False
        self._visible = True

    @property
    def cols(self) -> int:
        """Columns."""
        return self._grid.cols

    @property
    def rows(self) -> int:
        """Rows."""
        return self._grid.rows

    @property
    def alternate(self) -> bool:
        """True while the alternate screen is shown, as full-screen programs do."""
        return self._grid.alternate

    @property
    def cursor(self) -> Cursor:
        """The cursor; always inside the screen."""
        return Cursor(self._grid.y, min(self._grid.x, self.cols - 1), self._visible)

    def lines(self) -> list[str]:
        """Return all rows from top to bottom, without the blanks at their right."""
        return ["".join(row).rstrip(" ") for row in self._grid.cells]

    def text(self) -> str:
        """Return the rows joined by newlines, without the empty ones at the bottom."""
        return "\n".join(self.lines()).rstrip("\n")

    def resize(self, cols: int, rows: int) -> None:
        """Change the size, each at least 1; nothing is reflowed, see `Grid.resize`."""
        self._grid.resize(cols, rows)

    def feed(self, data: bytes) -> None:
        """Take in what the program printed; characters and sequences may be split over calls anywhere."""
        text = self._decoder.decode(data)
        pos = 0
        while pos < len(text):
            pos = self._continue(text, pos) if self._state else self._run(text, pos)

    def _run(self, text: str, pos: int) -> int:
        """Read tokens up to one that is not complete in itself; return where that one goes on."""
        grid = self._grid
        for token in _TOKEN.finditer(text, pos):
            match token.lastindex:
                case 1:
                    grid.put(token[1])
                case 2:
                    if len(token[2]) == 2:
                        grid.x = 0
                    grid.line_feed()
                case 4:
                    self._csi(token[3], token[4])
                case 5:
                    self._state, self._collected = "\x1b", ""
                    return token.end()
                case 6:
                    self._control(token[6])
                case 7:
                    grid.put_any(token[7])
        return len(text)

    def _continue(self, text: str, pos: int) -> int:
        """Read on inside a sequence that began earlier; return where to go on."""
        if self._state in _STRING_ENDS:
            return self._continue_string(text, pos)
        char = text[pos]
        if char < " ":
            if char == "\x1b":
                self._state, self._collected = "\x1b", ""
            elif char in "\x18\x1a":
                self._state = ""
            else:
                self._control(char)
        elif char < "\x7f":
            body = _BODIES[self._state].match(text, pos)
            if body is not None:
                self._collected += body[0][: _COLLECTED_MAX + 1 - len(self._collected)]
                return body.end()
            self._dispatch(char)
        return pos + 1

    def _dispatch(self, char: str) -> None:
        """Take in the character that ends a sequence, or that says which kind it is."""
        kind, self._state = self._state, ""
        if kind == "[":
            self._csi(self._collected, char)
        elif char in "[]PX^_k" and not self._collected:
            self._state = char if char in "[]" else "P"
        elif self._collected + char == "c":
            self._reset()
        elif self._collected + char in _ESC:
            _ESC[self._collected + char](self._grid)

    def _continue_string(self, text: str, pos: int) -> int:
        found = _STRING_ENDS[self._state].search(text, pos)
        stop = found.start() if found is not None else len(text)
        if self._state == "]":
            self._collected += text[pos : min(stop, pos + 2 * _TITLE_MAX - len(self._collected))]
        if found is None:
            return stop
        if self._state == "]" and found[0] in "\x07\x1b":
            self._set_title(self._collected)
        # ESC ends the string and begins the next sequence, which normally is the backslash of ST.
        self._state, self._collected = ("\x1b" if found[0] == "\x1b" else ""), ""
        return found.end()

    def _set_title(self, osc: str) -> None:
        number, _, value = osc.partition(";")
        if number in ("0", "2"):
            self.title = "".join(char for char in value if char.isprintable())[:_TITLE_MAX]

    def _control(self, char: str) -> None:
        grid = self._grid
        match char:
            case "\r":
                grid.x = 0
            case "\n" | "\v" | "\f":
                grid.line_feed()
            case "\b":
                grid.left(1)
            case "\t":
                grid.tab()
            case "\x0e" | "\x0f":
                grid.charset = int(char == "\x0e")

    def _csi(self, body: str, final: str) -> None:
        prefix, numbers = _parameters(body)
        name = prefix + final
        if name in _CSI:
            _CSI[name](self._grid, *numbers[:2])
        elif name in ("?h", "?l"):
            for number in numbers:
                self._private_mode(number, final == "h")
        elif name in ("h", "l") and 4 in numbers:
            self._grid.insert = final == "h"
        elif name == "!p":
            self.application_cursor, self._visible = False, True
            self._grid.reset_modes()
        elif name == "t":
            self._title_stack(numbers[0])

    def _private_mode(self, number: int, on: bool) -> None:
        grid = self._grid
        match number:
            case 1:
                self.application_cursor = on
            case 6:
                grid.origin = on
                grid.position(0, 0)
            case 7:
                grid.wrap = on
            case 25:
                self._visible = on
            case 47 | 1047 | 1049:
                grid.show_alternate(on, cursor=number == 1049)
            case 1048:
                (grid.save if on else grid.restore)()
            case 2004:
                self.bracketed_paste = on

    def _title_stack(self, act: int) -> None:
        if act == 22 and len(self._titles) < _TITLES_MAX:
            self._titles.append(self.title)
        elif act == 23 and self._titles:
            self.title = self._titles.pop()

    def _reset(self) -> None:
        self._grid.reset()
        self.application_cursor = self.bracketed_paste = False
        self._visible = True


@lru_cache(maxsize=1024)
def _parameters(body: str) -> tuple[str, tuple[int, ...]]:
    """Split what stands between CSI and the final byte: what is no number, and at least two numbers."""
    parts = _PARAMETERS.fullmatch(body) if len(body) <= _COLLECTED_MAX else None
    if parts is None:
        return "no such sequence", (0, 0)
    numbers = f"{parts[2]};".split(";")
    return parts[1] + parts[3], tuple(min(int(number or "0"), _NUMBER_MAX) for number in numbers)


_CSI: dict[str, Callable[[Grid, int, int], None]] = {
    "@": lambda grid, n, _: grid.insert_chars(n or 1),
    "A": lambda grid, n, _: grid.up(n or 1),
    "B": lambda grid, n, _: grid.down(n or 1),
    "C": lambda grid, n, _: grid.move(grid.x + (n or 1), grid.y),
    "D": lambda grid, n, _: grid.left(n or 1),
    "E": lambda grid, n, _: grid.next_line(n or 1),
    "F": lambda grid, n, _: grid.previous_line(n or 1),
    "G": lambda grid, n, _: grid.move((n or 1) - 1, grid.y),
    "H": lambda grid, y, x: grid.position((x or 1) - 1, (y or 1) - 1),
    "I": lambda grid, n, _: grid.tab(n or 1),
    "J": lambda grid, how, _: grid.erase_in_screen(how),
    "K": lambda grid, how, _: grid.erase_in_line(how),
    "L": lambda grid, n, _: grid.insert_lines(n or 1),
    "M": lambda grid, n, _: grid.insert_lines(-(n or 1)),
    "P": lambda grid, n, _: grid.delete_chars(n or 1),
    "S": lambda grid, n, _: grid.scroll(n or 1),
    "T": lambda grid, n, _: grid.scroll(-(n or 1)),
    "X": lambda grid, n, _: grid.erase(grid.x, grid.x + (n or 1)),
    "Z": lambda grid, n, _: grid.back_tab(n or 1),
    "b": lambda grid, n, _: grid.repeat(n or 1),
    "d": lambda grid, n, _: grid.position(grid.x, (n or 1) - 1),
    "g": lambda grid, n, _: grid.clear_tabs(every=n == 3) if n in (0, 3) else None,
    "r": lambda grid, top, bottom: grid.set_region((top or 1) - 1, (bottom or grid.rows) - 1),
    "s": lambda grid, _n, _m: grid.save(),
    "u": lambda grid, _n, _m: grid.restore(),
}
_CSI |= {"`": _CSI["G"], "a": _CSI["C"], "e": _CSI["B"], "f": _CSI["H"]}

_ESC: dict[str, Callable[[Grid], None]] = {
    "7": Grid.save,
    "8": Grid.restore,
    "D": Grid.line_feed,
    "E": Grid.new_line,
    "H": Grid.set_tab,
    "M": Grid.reverse_line_feed,
    "#8": Grid.align,
    "(0": lambda grid: grid.draw_lines(0, True),
    "(A": lambda grid: grid.draw_lines(0, False),
    "(B": lambda grid: grid.draw_lines(0, False),
    ")0": lambda grid: grid.draw_lines(1, True),
    ")A": lambda grid: grid.draw_lines(1, False),
    ")B": lambda grid: grid.draw_lines(1, False),
}


def render(raw: bytes, cols: int, rows: int) -> Screen:
    """Return the screen after ``raw``, which may begin anywhere in a program's output.

    When ``raw`` is long, what came before the last clearing of the screen is not drawn; only its modes count.
    """
    screen = Screen(cols, rows)
    start = _last_clear(raw) if len(raw) > _WHOLE_MAX else 0
    if start:
        screen.feed(b"".join(_LASTING.findall(raw, 0, start)))
    else:
        start = min(3, len(raw) - len(raw.lstrip(_UTF8_INNER)))  # the rest of a character cut in two
    screen.feed(raw[start:])
    return screen


def modes_of(data: bytes) -> Modes:
    """Return the modes in force after ``data``, without drawing it; both are off at its start."""
    application_cursor = bracketed_paste = False
    for found in _MODE.finditer(data):
        if found[1]:
            application_cursor = bracketed_paste = False
        elif found[2]:
            application_cursor = False
        else:
            numbers = found[3].split(b";")
            if b"1" in numbers:
                application_cursor = found[4] == b"h"
            if b"2004" in numbers:
                bracketed_paste = found[4] == b"h"
    return Modes(application_cursor, bracketed_paste)


def _last_clear(raw: bytes) -> int:
    """Return where the screen was last cleared for good: not on an alternate screen that is gone; else 0."""
    start = 0
    for found in _MAIN_AGAIN.finditer(raw):
        start = found.end()
    last = 0
    for found in _CLEARED.finditer(raw, start):
        last = found.start()
    return last
