"""The cells of a terminal screen, the cursor on them, and what control functions do to both.

Characters only: colours and other attributes are not kept. Positions count from 0. Where terminals differ,
this one does as tmux does, because a real tmux is what the tests compare it with; the few exceptions say so.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

Row = list[str]
"""One string for each cell: a character with its marks; "" in the right half of a wide one.

A row ends where only blanks follow.
"""

_EMPTY: Row = []  # stands for every row nothing was written on, so that clearing costs next to nothing

_CELL_MAX = 8  # a character and the marks on it

_LINE_DRAWING = str.maketrans("_`abcdefghijklmnopqrstuvwxyz{|}~", " ◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


class _Saved(NamedTuple):
    x: int = 0
    y: int = 0
    origin: bool = False
    charset: int = 0
    drawing: tuple[bool, bool] = (False, False)


class Grid:
    """``cols`` by ``rows`` cells, each at least 1, and all that decides where the next character goes.

    ``x`` may be ``cols``: the last column is written and the next character wraps to the next row.
    """

    def __init__(self, cols: int, rows: int) -> None:
        self.cols = max(1, cols)
        self.rows = max(1, rows)
        self.reset()

    def reset(self) -> None:
        """Become blank, with the main screen shown and every mode as at the start (RIS)."""
        self.cells = [_EMPTY] * self.rows
        self._full = _EMPTY  # the row `align` put everywhere: like _EMPTY it is copied before it is changed
        self.x = 0
        self.y = 0
        self._main: list[Row] | None = None  # the main screen while the alternate one is shown
        self._main_cursor: tuple[int, int] | None = None
        self._last = ""  # what REP repeats
        self._set_margins()
        self.reset_modes()

    def _set_margins(self) -> None:
        self.top, self.bottom = 0, self.rows - 1
        self.tabs = set(range(8, self.cols, 8))

    def reset_modes(self) -> None:
        """Go back to the modes of the start and forget the saved cursor; the text stays (DECSTR)."""
        self.wrap = True
        self.insert = False
        self.origin = False
        self.charset = 0  # which of the two character sets is in use
        self.drawing = (False, False)  # whether each of them is line drawing
        self.top, self.bottom = 0, self.rows - 1
        self._saved = _Saved()

    @property
    def alternate(self) -> bool:
        """True while the alternate screen is shown."""
        return self._main is not None

    def show_alternate(self, on: bool, *, cursor: bool) -> None:
        """Show a blank alternate screen, or the main one again; with the ``cursor`` it had if asked."""
        if on and self._main is None:
            if cursor:
                self._main_cursor = (self.x, self.y)
            self._main, self.cells = self.cells, [_EMPTY] * self.rows
        elif not on:
            if cursor and self._main_cursor is not None:
                self.x, self.y = self._main_cursor
            if self._main is not None:
                self.cells, self._main = self._main, None

    def resize(self, cols: int, rows: int) -> None:
        """Change the size. Text is cut off at the right, and at the top if the cursor's row needs it.

        Nothing is reflowed; the scroll region and the tab stops are reset, as the program will redraw.
        """
        self.cols, self.rows = max(1, cols), max(1, rows)
        if self._main is not None:
            x, y = self._main_cursor or (0, 0)
            self._main_cursor = (min(x, self.cols - 1), self._refit(self._main, y))
        else:
            self._main_cursor = None
        self.y = self._refit(self.cells, self.y)
        self.x = min(self.x, self.cols - 1)
        self._set_margins()

    def _refit(self, cells: list[Row], y: int) -> int:
        """Cut or fill ``cells`` to the present size; return where row ``y`` is now."""
        above = max(0, y - self.rows + 1)
        del cells[:above]
        del cells[self.rows :]
        for at, row in enumerate(cells):
            if len(row) > self.cols or row is self._full:
                cells[at] = self._cut(row.copy())
        cells.extend([_EMPTY] * (self.rows - len(cells)))
        return y - above

    # Writing

    def draw_lines(self, charset: int, on: bool) -> None:
        """Make character set 0 or 1 the line drawing one, or plain again (SCS)."""
        first, second = self.drawing
        self.drawing = (on, second) if charset == 0 else (first, on)

    def put(self, text: str) -> None:
        """Write characters (at least one) that are one cell wide each."""
        self._last = text[-1]
        if self.drawing[self.charset]:
            text = text.translate(_LINE_DRAWING)
        if not self.wrap and len(text) > self.cols - self.x:
            self.x = min(self.x, self.cols - 1)
            text = text[: self.cols - self.x - 1] + text[-1]
        pos = 0
        while pos < len(text):
            if self.x >= self.cols:
                self.new_line()
            end = min(self.x + len(text) - pos, self.cols)
            if self.insert:
                self.insert_chars(end - self.x)
            self._open(self.x, end)[self.x : end] = text[pos : pos + end - self.x]
            pos += end - self.x
            self.x = end
        self._stay()

    def put_any(self, char: str) -> None:
        """Write one character of any width."""
        width = _width(char)
        if width == 1:
            self.put(char)
        elif width == 0:
            self._attach(char)
        elif self.cols > 1 and (self.wrap or self.x <= self.cols - 2):
            if self.x > self.cols - 2:
                self.new_line()
            if self.insert:
                self.insert_chars(2)
            self._last = char
            self._open(self.x, self.x + 2)[self.x : self.x + 2] = (char, "")
            self.x += 2
            self._stay()

    def _stay(self) -> None:
        """Keep the cursor in the last column when nothing wraps."""
        if not self.wrap:
            self.x = min(self.x, self.cols - 1)

    def _attach(self, mark: str) -> None:
        """Put a combining mark on the character before the cursor."""
        at = self.x - 1
        if at >= 0:
            row = self._reach(self.x)
            if row[at] == "":
                at -= 1
            if len(row[at]) < _CELL_MAX:
                row[at] += mark

    def repeat(self, count: int) -> None:
        """Write the last character ``count`` times more, but not over the end of the row (REP)."""
        room = self.cols - self.x
        if self._last and _width(self._last) == 1 and room > 0:
            self.put(self._last * min(count, room))
        elif self._last:
            for _ in range(min(count, room) // 2):
                self.put_any(self._last)

    # Reaching cells

    def _reach(self, end: int) -> Row:
        """Return the cursor's row, ready to be changed and at least ``end`` cells long."""
        row = self.cells[self.y]
        if row is _EMPTY or row is self._full:
            row = self.cells[self.y] = row.copy()
        if len(row) < end:
            row.extend(" " * (end - len(row)))
        return row

    def _open(self, start: int, end: int) -> Row:
        """Return the cursor's row, whose cells ``start`` to ``end`` will change: cut wide characters go."""
        row = self._reach(start)
        size = len(row)
        if start < size and row[start] == "":
            row[start - 1] = " "
        if end < size and row[end] == "":
            row[end] = " "
        return row

    def _cut(self, row: Row) -> Row:
        """Take off what is past the last column, with the other half of a wide character there."""
        if len(row) > self.cols and row[self.cols] == "":
            row[self.cols - 1] = " "
        del row[self.cols :]
        return row

    # Moving

    def move(self, x: int, y: int) -> None:
        """Go to a cell, or the nearest there is."""
        self.x = min(max(x, 0), self.cols - 1)
        self.y = min(max(y, 0), self.rows - 1)

    def position(self, x: int, y: int) -> None:
        """Go to a cell; in origin mode ``y`` counts from the region's top and stays in the region."""
        if self.origin:
            y = min(y + self.top, self.bottom)
        self.move(x, y)

    def up(self, count: int) -> None:
        """Go up, not past the region's top when below it."""
        self.move(self.x, max(self.y - count, self.top if self.y >= self.top else 0))

    def down(self, count: int) -> None:
        """Go down, not past the region's end when above it."""
        self.move(self.x, min(self.y + count, self.bottom if self.y <= self.bottom else self.rows - 1))

    def next_line(self, count: int) -> None:
        """Go down as `down` does, to the first column (CNL)."""
        self.x = 0
        self.down(count)

    def previous_line(self, count: int) -> None:
        """Go up as `up` does, to the first column (CPL)."""
        self.x = 0
        self.up(count)

    def left(self, count: int) -> None:
        """Go left. Unlike in tmux, and like in most, the cursor of a pending wrap is in the last column."""
        self.move(min(self.x, self.cols - 1) - count, self.y)

    def line_feed(self) -> None:
        """Go down one row; at the region's end its rows move up."""
        if self.y == self.bottom:
            self.scroll(1)
        elif self.y < self.rows - 1:
            self.y += 1

    def reverse_line_feed(self) -> None:
        """Go up one row; at the region's top its rows move down (RI)."""
        if self.y == self.top:
            self.scroll(-1)
        elif self.y > 0:
            self.y -= 1

    def new_line(self) -> None:
        """Go to the start of the next row."""
        self.x = 0
        self.line_feed()

    def tab(self, count: int = 1) -> None:
        """Go right by tab stops; the last column is one."""
        while count > 0 and self.x < self.cols - 1:
            self.x = next((x for x in range(self.x + 1, self.cols) if x in self.tabs), self.cols - 1)
            count -= 1

    def back_tab(self, count: int) -> None:
        """Go left by tab stops; the first column is one (CBT)."""
        while count > 0 and self.x > 0:
            self.x = next((x for x in range(self.x - 1, 0, -1) if x in self.tabs), 0)
            count -= 1

    def set_tab(self) -> None:
        """Make the cursor's column a tab stop (HTS)."""
        if self.x < self.cols:
            self.tabs.add(self.x)

    def clear_tabs(self, *, every: bool) -> None:
        """Forget every tab stop, or the one at the cursor (TBC)."""
        self.tabs = set() if every else self.tabs - {self.x}

    def save(self) -> None:
        """Remember cursor, origin mode and character sets (DECSC)."""
        self._saved = _Saved(self.x, self.y, self.origin, self.charset, self.drawing)

    def restore(self) -> None:
        """Go back to what was remembered, the start if nothing was (DECRC)."""
        x, y, self.origin, self.charset, self.drawing = self._saved
        self.x, self.y = min(x, self.cols), min(y, self.rows - 1)

    # Scrolling and erasing

    def set_region(self, top: int, bottom: int) -> None:
        """Scroll only rows ``top`` to ``bottom`` from now on, and go home; no region of one row (DECSTBM)."""
        bottom = min(bottom, self.rows - 1)
        if top < bottom:
            self.top, self.bottom = top, bottom
            self.position(0, 0)

    def scroll(self, count: int) -> None:
        """Move the region's rows up by ``count``, or down if negative."""
        self._shift(self.top, count)

    def _shift(self, top: int, count: int) -> None:
        """Move rows ``top`` to the region's end up by ``count``, or down if negative; blank ones come in."""
        size = min(abs(count), self.bottom - top + 1)
        if count > 0:
            del self.cells[top : top + size]
            at = self.bottom - size + 1
        else:
            del self.cells[self.bottom - size + 1 : self.bottom + 1]
            at = top
        self.cells[at:at] = [_EMPTY] * size

    def insert_lines(self, count: int) -> None:
        """Move the cursor's row and those below it down, or up if negative. Only inside the region."""
        if self.top <= self.y <= self.bottom:
            self._shift(self.y, -count)

    def insert_chars(self, count: int) -> None:
        """Move what is right of the cursor to the right (ICH)."""
        if self.x < len(self.cells[self.y]):
            row = self._open(self.x, self.x)
            row[self.x : self.x] = " " * min(count, self.cols - self.x)
            self._cut(row)

    def delete_chars(self, count: int) -> None:
        """Take characters out at the cursor; what is right of them moves left (DCH)."""
        if self.x < len(self.cells[self.y]):
            del self._open(self.x, self.x + count)[self.x : self.x + count]

    def erase(self, start: int, end: int) -> None:
        """Blank the cells ``start`` to ``end`` of the cursor's row, as far as there are such."""
        size = len(self.cells[self.y])
        if start == 0 and end >= size:
            self.cells[self.y] = _EMPTY
        elif start < size:
            row = self._open(start, end)
            if end < size:
                row[start:end] = " " * (end - start)
            else:
                del row[start:]

    def erase_in_line(self, how: int) -> None:
        """Blank the cursor's row: 0 from the cursor on, 1 up to it, 2 all of it (EL)."""
        if how in (0, 1, 2):
            self.erase(self.x if how == 0 else 0, self.x + 1 if how == 1 else self.cols)

    def erase_in_screen(self, how: int) -> None:
        """Blank the screen: 0 from the cursor on, 1 up to it, 2 all of it (ED)."""
        self.erase_in_line(how)
        start = {0: self.y + 1, 1: 0, 2: 0}.get(how, self.rows)
        end = self.y if how == 1 else self.rows
        self.cells[start:end] = [_EMPTY] * (end - start)

    def align(self) -> None:
        """Fill the screen with E and go home (DECALN)."""
        if len(self._full) != self.cols:
            self._full = ["E"] * self.cols
        self.cells = [self._full] * self.rows
        self.top, self.bottom = 0, self.rows - 1
        self.x = self.y = 0


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    """Return how many cells ``char`` takes: 0 for what combines with the character before it."""
    category = unicodedata.category(char)
    if category in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff":
        return 0
    width = unicodedata.east_asian_width(char)  # before Python 3.12 it calls all that is not assigned fullwidth
    return 2 if width == "W" or (width == "F" and category != "Cn") else 1
