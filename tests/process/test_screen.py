"""The virtual terminal: against a real tmux, by example, and under anything at all."""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outlast.process import screen as screen_module
from outlast.process.screen import Cursor, Modes, Screen, modes_of, render

COLS, ROWS = 80, 24
PATIENCE = 90  # seconds until a comparison is given up; only a failing test waits that long


# Against a real tmux


class View(NamedTuple):
    """What is compared: all of it is visible to a person or decides how keys are sent."""

    rows: list[str]
    cursor: Cursor
    alternate: bool
    application_cursor: bool


def view(screen: Screen) -> View:
    return View(screen.lines(), screen.cursor, screen.alternate, screen.application_cursor)


class Pane:
    """A tmux pane of 80 by 24, and every byte that was printed into it."""

    def __init__(self, where: Path):
        self.where = where
        self.log = where / "raw"
        self.sockets = tempfile.mkdtemp(prefix="ol-", dir="/tmp")  # short: a socket's path is limited
        self.env = {
            "TMUX_TMPDIR": self.sockets,
            "PATH": os.environ["PATH"],
            "HOME": str(where),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "LESSHISTFILE": "-",
            "SHELL": "/bin/sh",
        }

    def tmux(self, *args: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", *args]
        done = subprocess.run(command, check=True, capture_output=True, env=self.env, timeout=PATIENCE)
        return done.stdout.decode()

    def start(self, command: str, term: str = "tmux-256color") -> None:
        """Run a shell command in the pane; recording begins before it does."""
        script = f"tmux wait-for go; unset TMUX TMUX_PANE; export TERM={term}; {command}\nexec cat"
        self.tmux("new-session", "-d", "-x", str(COLS), "-y", str(ROWS), script)
        self.tmux("pipe-pane", "-O", f"exec cat > {self.log}")
        self.tmux("wait-for", "-S", "go")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def shown(self) -> View:
        """What tmux shows. Its line drawing characters come as letters between SO and SI."""
        wanted = "#{cursor_x} #{cursor_y} #{cursor_flag} #{alternate_on} #{keypad_cursor_flag}"
        told = self.tmux("display-message", "-p", wanted, ";", "capture-pane", "-p", "-e")
        head, _, body = told.partition("\n")
        x, y, visible, alternate, application = map(int, head.split())
        rows = plain_rows(body)[:ROWS]
        rows += [""] * (ROWS - len(rows))
        return View(rows, Cursor(y, min(x, COLS - 1), bool(visible)), bool(alternate), bool(application))

    def raw(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def agrees(self, marker: str) -> Screen:
        """Wait until tmux shows ``marker`` and no more comes, and hold our screen against its."""
        deadline = time.monotonic() + PATIENCE
        before = -1
        while True:
            theirs, raw = self.shown(), self.raw()
            ours = render(raw, COLS, ROWS)
            marked = any(re.search(marker, row) for row in theirs.rows)
            if marked and len(raw) == before and view(ours) == theirs:
                return ours
            before = len(raw)
            if time.monotonic() > deadline:
                assert view(ours) == theirs
                pytest.fail(f"{marker} did not come up in {theirs.rows}")
            time.sleep(0.02)

    def stop(self) -> None:
        for name in ("default", "inner"):
            kill = ["tmux", "-L", name, "kill-server"]
            subprocess.run(kill, env=self.env, capture_output=True, check=False, timeout=PATIENCE)
        shutil.rmtree(self.sockets, ignore_errors=True)  # a server that is going removes its socket itself


LETTERS = str.maketrans("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


def plain_rows(body: str) -> list[str]:
    """The rows of a capture; a shift to line drawing lasts over the end of a row."""
    rows, drawing = [""], False
    for part in re.findall(r"\x1b\[[0-9;:]*m|(?s:.)", body):
        if part == "\n":
            rows.append("")
        elif part in "\x0e\x0f":
            drawing = part == "\x0e"
        elif part[0] != "\x1b":
            rows[-1] += part.translate(LETTERS) if drawing else part
    return [row.rstrip(" ") for row in rows]


@pytest.fixture
def pane(tmp_path: Path):
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    pane = Pane(tmp_path)
    yield pane
    pane.stop()


needs = {name: pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed") for name in
         ("vim", "less", "bash", "top")}  # fmt: skip

TERMS = pytest.mark.parametrize("term", ["tmux-256color", "xterm-256color", "vt100"])

PROGRAM = """#include <stdio.h>
/* A comment with wide characters: 漢字 and 🙂. */
int main(void) {
\tfor (int i = 0; i < 10; i++)
\t\tprintf("line %d of a text that is long enough to be wrapped by a window of eighty columns\\n", i);
\treturn 0;
}
""" + "".join(f"static int number_{n} = {n};\n" for n in range(60))


@needs["vim"]
@TERMS
def test_vim(pane: Pane, term: str):
    """Syntax colours, line numbers, scrolling, windows, editing, and the shell's screen again after it."""
    (pane.where / "program.c").write_text(PROGRAM)
    options = "-u NONE -i NONE -n -N -c 'syntax on' -c 'set number ruler laststatus=2' -c 'echo \"MARK1\"'"
    pane.start(f"echo before; vim {options} {pane.where}/program.c; echo after", term)
    pane.agrees("^MARK1")
    pane.keys("G", "C-b", "C-y", "C-e", ":echo 'MARK'.2", "Enter")
    pane.agrees("^MARK2")
    pane.keys("gg", ":split", "Enter", ":vsplit", "Enter", "5dd", "P", ":echo 'MARK'.3", "Enter")
    pane.agrees("^MARK3")
    pane.keys("gg", "O", "new line 漢字", "Escape", "jjdw", "J", "u", ":set list", "Enter", ":echo 'MARK'.4", "Enter")
    pane.agrees("^MARK4")
    pane.keys(":qa!", "Enter")
    ours = pane.agrees("^after")
    assert not ours.alternate


@needs["less"]
@TERMS
def test_less(pane: Pane, term: str):
    """Paging, going back, searching, and the end of a file with long lines."""
    lines = [f"{n:4} " + "words and more words " * (n % 7) for n in range(300)]
    (pane.where / "text").write_text("\n".join([*lines, "LAST LINE"]))
    pane.start(f"less -M {pane.where}/text", term)
    pane.agrees(r"text lines .*1-")
    pane.keys("Space", "Down", "Down", "b", "/ 123 ", "Enter")
    pane.agrees("^ 123 ")
    pane.keys("Up", "Up", "Up", "G")
    pane.agrees("LAST LINE")
    pane.keys("g")
    pane.agrees("^   0$")


@needs["less"]
def test_a_page_of_a_manual(pane: Pane):
    """Overstruck bold and underlined text, as a formatted manual has it, in a pager that colours it."""
    name = "".join(f"{char}\b{char}" for char in "NAME")
    under = "".join(f"_\b{char}" for char in "file")
    (pane.where / "page").write_text(f"{name}\n    tool - works on {under}\n" + "     text\n" * 40)
    pane.start(f"less {pane.where}/page")
    ours = pane.agrees("works on file")
    assert ours.lines()[:2] == ["NAME", "    tool - works on file"]


@needs["bash"]
@TERMS
def test_bash(pane: Pane, term: str):
    """A prompt, a line edited in its middle, one longer than the screen, and history."""
    pane.start("PS1='prompt> ' exec bash --norc --noprofile -i", term)
    ours = pane.agrees(r"^prompt> $|^prompt>$")
    pane.keys("echo MARK 1", "C-a", "C-Right", "M-f", "C-k", "C-y", "C-u", "C-y", "Enter")
    pane.agrees("^MARK 1")
    pane.keys("echo " + "long " * 30, "C-a", "C-f", "C-f", "xx", "C-h", "C-h", "C-e", "C-w", "MARK2", "Enter")
    pane.agrees("^(long )*.*MARK2$")
    pane.keys("echo $((41+1))", "Enter", "Up", "Up", "Down", "BSpace", "BSpace", "+1))", "Enter")
    pane.agrees("^43|^42")
    pane.keys("C-r", "MARK 1")
    ours = pane.agrees("reverse-i-search.*MARK 1")
    if term != "vt100":
        assert ours.bracketed_paste


def test_python(pane: Pane):
    """The interactive interpreter, with a block and a traceback."""
    pane.start(f"{sys.executable} -I -q")
    pane.agrees("^>>>")
    pane.keys("for i in range(3): print('MA' + 'RK', i)", "Enter", "Enter")
    pane.agrees("^MARK 2")
    pane.keys("1/0", "Enter")
    pane.agrees("^ZeroDivisionError")
    pane.keys("print('\\n'.join(map(str, range(50))))", "Enter")
    pane.agrees("^49")


@needs["top"]
@TERMS
def test_top(pane: Pane, term: str):
    """A full-screen table, drawn once and then left alone, and its help."""
    pane.start("top -d 900", term)
    pane.agrees("PID +USER")
    pane.keys("h")
    pane.agrees("Help for Interactive Commands")
    pane.keys("Escape", "q")


def test_tmux_in_tmux(pane: Pane):
    """A terminal within the terminal: it draws with scroll regions, and has a status line."""
    bar = "set -g status-interval 0 ';' set -g status-right ''"
    new = "new-session 'seq 100; exec cat'"
    pane.start(f"tmux -u -L inner -f /dev/null {new} ';' {bar} ';' split-window -h 'seq 200; exec cat'")
    pane.agrees("100.*200")
    pane.keys("C-b", "[", "PageUp")
    pane.agrees("179")


SCRIPTS = {
    "a box in line drawing": "\x1b(0lqqqwqqk\r\nx\x1b(B a \x1b(0x~fx\r\ntqqqnqqu\r\nmqqqvqqj\x1b(B MARK",
    "a box by shifts": "\x1b)0\x0elqqk\x0f lqqk\x0e\r\nmqqj\x0fMARK",
    "wide characters": "漢字かな交じり文" * 6 + "\r\n" + "x" * 79 + "漢\r\n🙂🙃 emoji\rab\r\n한글 e\u0301 MARK",
    "a scroll region": "".join(f"{n}\r\n" for n in range(30))
    + "\x1b[5;10r\x1b[10;1Ha\nb\nc\r\n\x1b[5;1H\x1bMtop\x1b[7;3H\x1b[2L\x1b[8;1H\x1b[M\x1b[2S\x1b[T"
    + "\x1b[r\x1b[20;1HMARK",
    "origin mode": "\x1b[5;10r\x1b[?6h\x1b[2;3Hin\x1b[99;1Hend\x1b[?6l\x1b[1;1Htop\x1b[r\x1b[24;1HMARK",
    "the last column": "\x1b[1;80Hab\x1b[4;79Hcd\x1b[Ke\r\n\x1b[6;80Hf\x1b[6;80Hg\x1b[8;1H" + "h" * 80 + "\r\nMARK",
    "no wrapping": "\x1b[?7l" + "abcdefghij" * 9 + "\x1b[?7h\r\nMARK",
    "inserting and deleting": "abcdefghij\x1b[1;4H\x1b[3@\x1b[1;2H\x1b[2P\r\n"
    + "abcdef\x1b[2;3H\x1b[4hXY\x1b[4l\x1b[2X\r\nMARK",
    "erasing": ("#" * 80 + "\r\n") * 20
    + "\x1b[5;10H\x1b[K\x1b[6;10H\x1b[1K\x1b[7;10H\x1b[2K\x1b[10;5H\x1b[5X"
    + "\x1b[15;40H\x1b[J\x1b[2;20H\x1b[1J\x1b[18;1HMARK",
    "tab stops": "a\tb\tc\r\n\x1b[3g\x1b[5G\x1bH\x1b[9G\x1bH\rx\ty\tz\tend\r\n"
    + "\x1b[9G\x1b[g\x1b[30G\x1b[Zu\r\ta\tb\x1b[12;1HMARK",
    "repeating": "-\x1b[20b|\r\n漢\r\nMARK=\x1b[200b",
    "saving the cursor": "\x1b[5;5H\x1b7\x1b[10;10Hx\x1b8y\x1b[sab\x1b[uc\x1b[12;1HMARK",
    "the alternate screen": "main\r\n\x1b[?1049h\x1b[5;5Halt\x1b[?1049lback\x1b[?47hx\x1b[?47ly\r\nMARK",
    "staying on the alternate screen": "main\x1b[?1h\x1b[?25l\x1b[?1049h\x1b[H\x1b[2JMARK\r\nhere",
    "all E": "\x1b#8\x1b[3;3HMARK\x1b[5;1H\x1b[2K\x1bD\x1bE\x1bM",
    "a full reset": "text\x1b[3;7r\x1b[?1h\x1b(0\x1b[?25l\x1bcqMARK",
    "strings": "a\x1b]0;title\x07b\x1b]2;title\x1b\\c\x1bPq#0~~\x1b\\d\x1b_app\x1b\\e\x1b^pm\x1b\\f"
    + "\x1b]52;c;QQ==\x07 MARK",
    "broken sequences": "a\x1b[31\x18b\x1b[1;\x1b[2Cc\x1b[3\r4Cd\x1b[?;1;?zf\x1b[1 q\x1b#xg\x1b(\x1b)h\x1b%Gi\r\n MARK",
    "moves": "\x1b[5;5Hx\x1b[3Ay\x1b[2Bz\x1b[4Cu\x1b[9Dv\x1b[2Ew\x1b[Fx\x1b[30Gy\x1b[9dz\x1b[99Aa\x1b[99C\x1b[3Db"
    + "\x1b[20;2fMARK",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_control_functions(pane: Pane, name: str):
    """Each family of control functions, from a file printed to a raw terminal."""
    (pane.where / "bytes").write_bytes(SCRIPTS[name].encode())
    pane.start(f"stty raw -echo; cat {pane.where}/bytes")
    pane.agrees("MARK")


def random_piece(pick: random.Random) -> str:
    """A control function or some text. What tmux does in a way of its own (see `Grid`) is left out."""
    number = pick.choice(["", "1", "2", "3", "5", "8", "20", "90"])
    kind = pick.randrange(10)
    if kind < 3:
        return "".join(pick.choices("abcdefgh xyz", k=pick.choice([1, 2, 5, 30, 79, 80, 81, 170])))
    if kind == 3:
        return pick.choice(["é", "─│┌", "a\u0301", "\t", "\x1b7", "\r\x1b8"])
    if kind == 4:
        return pick.choice(["\r", "\n", "\r\n", "\x1bD", "\x1bE", "\x1bM", "\x1b[7G\b"])
    if kind == 5:
        return f"\x1b[{pick.randrange(1, 20)};{pick.randrange(5, 30)}r\x1b[{pick.randrange(1, 25)};1H"
    if kind == 6:
        return f"\x1b[{pick.randrange(1, 26)};{pick.randrange(1, 82)}H"
    if kind == 7:
        return f"{pick.choice(['', chr(27) + '[r'])}\r\x1b[?{pick.choice(['7', '25', '1', '1047'])}{pick.choice('hl')}"
    if kind == 8:
        return "\x1b[9G\x1b[" + pick.choice(["3@", "P", "2P", "X", "4X", "C", "D", "1Gq\x1b[2b"])
    return f"\x1b[{number}{pick.choice('ABEFGSTZ')}\x1b[{pick.choice('012')}{pick.choice('JKKK')}"


def test_random_streams(pane: Pane):
    """Sixty streams of control functions and text, the same ones every time."""
    fifo = pane.where / "fifo"
    os.mkfifo(fifo)
    pane.start(f"stty raw -echo; cat {fifo}")
    source = os.open(fifo, os.O_RDWR)  # waits for nobody, and what is written is not lost before it is read
    for seed in range(60):
        pick = random.Random(seed)
        stream = (
            "\x1b[?1047l\x1bc" + "".join(random_piece(pick) for _ in range(30)) + f"\x1b[?1l\x1b[r\x1b[HMARK{seed} "
        )
        os.write(source, stream.encode())
        pane.agrees(f"^MARK{seed}( |$)")
    os.close(source)


# By example


def fed(text: str, cols: int = 10, rows: int = 4) -> Screen:
    screen = Screen(cols, rows)
    screen.feed(text.encode())
    return screen


@pytest.mark.parametrize(
    ("text", "lines", "cursor"),
    [
        ("", ["", "", "", ""], (0, 0)),
        ("0123456789", ["0123456789", "", "", ""], (0, 9)),
        ("0123456789a", ["0123456789", "a", "", ""], (1, 1)),
        ("0123456789\ba", ["01234567a9", "", "", ""], (0, 9)),
        ("0123456789\x1b[2Da", ["0123456a89", "", "", ""], (0, 8)),
        ("0123456789\x1b[dX", ["012345678X", "", "", ""], (0, 9)),
        ("a\n\n\n\nb", ["", "", "", " b"], (3, 2)),
        ("ab  \r\n   \r\n", ["ab", "", "", ""], (2, 0)),
        ("\ta\x1b[2Ib\x1b[Zc", ["        cb", "", "", ""], (0, 9)),
        ("漢字\x1b[1;2Hx", [" x字", "", "", ""], (0, 2)),
        ("漢字\x1b[1;3Hx", ["漢x", "", "", ""], (0, 3)),
        ("漢字漢\x1b[1;2H\x1b[X", ["  字漢", "", "", ""], (0, 1)),
        ("漢字漢\x1b[1;2H\x1b[P", ["  字漢"[1:], "", "", ""], (0, 1)),
        ("漢字漢\x1b[1;2H\x1b[@", ["   字漢", "", "", ""], (0, 1)),
        ("漢字漢\x1b[1;4H\x1b[K", ["漢", "", "", ""], (0, 3)),
        ("漢字漢\x1b[1;3H\x1b[1K", ["    漢", "", "", ""], (0, 2)),
        ("12345678漢\x1b[H\x1b[@", [" 12345678", "", "", ""], (0, 0)),
        ("123456789漢", ["123456789", "漢", "", ""], (1, 2)),
        ("\x1b[?7l123456789漢x", ["123456789x", "", "", ""], (0, 9)),
        ("\x1b[?7l0123456789ab\x1b[?7hcd", ["012345678c", "d", "", ""], (1, 1)),
        ("e\u0301\u0301" + "\u0302" * 20 + "x", ["e\u0301\u0301" + "\u0302" * 5 + "x", "", "", ""], (0, 2)),
        ("\u0301x", ["x", "", "", ""], (0, 1)),
        ("漢\u0301x", ["漢\u0301x", "", "", ""], (0, 3)),
        ("abc\x1b[1;2H\x1b[4hXY\x1b[4lZ", ["aXYZc", "", "", ""], (0, 4)),
        ("abcdefghij\x1b[H\x1b[4h漢", ["漢abcdefgh", "", "", ""], (0, 2)),
        ("a\x1b[99999999999999999999Cb\x1b[2;1Hc", ["a        b", "c", "", ""], (1, 1)),
        ("漢\x1b[99b", ["漢漢漢漢漢", "", "", ""], (0, 9)),
        ("\x1b[2;3r\x1b[?6h\x1b[9;9Hx\x1b[Hy", ["", "y", "        x", ""], (1, 1)),
        ("a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[1;1H\x1b[L\x1b[M", ["a", "b", "c", "d"], (0, 0)),
        ("a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[2;1H\x1b[99L", ["a", "", "", "d"], (1, 0)),
        ("a\r\nb\r\nc\r\nd\x1b[2;0r\x1b[4;1H\n", ["a", "c", "d", ""], (3, 0)),
        ("\x1b[2;3r\x1b[3;1H\x1b[9Aa\x1b[1;1H\x1b[9Bb\x1b[4;1H\x1b[9Ac", ["", "c", "b", ""], (1, 1)),
        ("\x1b[2;3r\x1b[1;1H\x1b[9Aa\x1b[4;1H\x1b[9Bb", ["a", "", "", "b"], (3, 1)),
        ("a\x1b[?1047h\x1b[4;4H\x1b[?1049lb", ["a", "", "", "   b"], (3, 4)),
        ("\x1b(0lqk\x1b(Bq\x1b)0\x0eq\x1b[!pq", ["┌─┐q─q", "", "", ""], (0, 6)),
        ("\x1b#8\x1b[2;1H\x1b[K\x1b[3;5Hx", ["E" * 10, "", "EEEExEEEEE", "E" * 10], (2, 5)),
        ("ab\x7f\x00\x07\x85\x9bc", ["abc", "", "", ""], (0, 3)),
        ("a\x1bPq" + "x" * 3000 + "\x1b\\b", ["ab", "", "", ""], (0, 2)),
        ("a\x1b[" + "1" * 65 + "Cb\x1b[1:2Cc\x1b[1;?Cd", ["abcd", "", "", ""], (0, 4)),
        ("a\x1b[ \x1b[?2J\x1b[>0J\x1b[=J\x1b[2 Jb", ["ab", "", "", ""], (0, 2)),
        ("old\x1b[2J\x1b[Hnew\x1b[3J", ["new", "", "", ""], (0, 3)),
    ],
)
def test_example(text, lines, cursor):
    """One rule each, where tmux has none or is known to err."""
    screen = fed(text)
    assert screen.lines() == lines
    assert screen.cursor == (*cursor, True)


def test_text_leaves_out_the_empty_rows_at_the_bottom():
    """Empty rows between others stay."""
    assert fed("\r\na\r\n\r\nb").text() == "\na\n\nb"
    assert fed("a\r\n").text() == "a"


def test_modes():
    """DECCKM, bracketed paste, the cursor's visibility and the alternate screen, set and taken back."""
    screen = fed("\x1b[?1;2004h\x1b[?25l\x1b[?1049h")
    assert (screen.application_cursor, screen.bracketed_paste, screen.alternate) == (True, True, True)
    assert not screen.cursor.visible
    screen.feed(b"\x1b[!p")
    assert (screen.application_cursor, screen.bracketed_paste, screen.alternate) == (False, True, True)
    assert screen.cursor.visible
    screen.feed(b"\x1b[?1h\x1bc")
    assert (screen.application_cursor, screen.bracketed_paste, screen.alternate) == (False, False, False)


def test_alternate_screen_gives_the_main_one_back():
    """1049 brings back text and cursor; a second entry does not forget them."""
    screen = fed("main\x1b[?1049h\x1b[3;3Halt\x1b[?1049h")
    assert screen.lines() == ["", "", "  alt", ""]
    screen.feed(b"\x1b[?1049l")
    assert screen.lines() == ["main", "", "", ""]
    assert screen.cursor == (0, 4, True)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\x1b]0;one\x07", "one"),
        ("\x1b]2;ein Titel: ü 漢\x1b\\", "ein Titel: ü 漢"),
        ("\x1b]1;icon\x07\x1b]52;c;QQ==\x07\x1b];x\x07\x1b]\x07", ""),
        ("\x1b]0;bad\x01\n\x9b\u202ename\x07", "badname"),
        ("\x1b]0;" + "x" * 9000 + "\x07", "x" * 512),
        ("\x1b]0;kept\x07\x1b]0;cancelled\x18\x1b]0;not ended", "kept"),
        ("\x1b]0;one\x07\x1b[22;0t\x1b]0;two\x07\x1b[23;0t\x1b[23t", "one"),
        ("\x1b]0;one\x07" + "\x1b[22t" * 99 + "\x1b]0;two\x07" + "\x1b[23t" * 99, "one"),
        ("\x1b]0;stays\x07\x1bc", "stays"),
    ],
)
def test_title(text, title):
    """Titles are bounded and printable, and can be put aside and brought back."""
    assert fed(text).title == title


def test_resize():
    """The cursor's row stays; what is below goes before what is above."""
    screen = fed("one\r\ntwo\r\nthree\r\nfour\x1b[3;2H")
    screen.resize(4, 2)
    assert screen.lines() == ["two", "thre"]
    assert screen.cursor == (1, 1, True)
    screen.resize(20, 5)
    assert (screen.cols, screen.rows) == (20, 5)
    screen.feed(b"\x1b[4;19Hxyz")
    assert screen.lines() == ["two", "thre", "", " " * 18 + "xy", "z"]


def test_resize_reaches_the_screen_that_is_not_shown():
    """The main screen and its cursor fit after a full-screen program that saw the size change."""
    screen = fed("1\r\n2\r\n3\r\nlong line\x1b[?1049h\x1b#8")
    screen.resize(5, 2)
    assert screen.lines() == ["EEEEE", "EEEEE"]
    screen.feed(b"\x1b[1;2Hx\x1b[?1049l")
    assert screen.lines() == ["3", "long"]
    assert screen.cursor == (1, 4, True)


def test_a_filled_screen_is_not_filled_as_one():
    """Each row of a DECALN screen is its own, also after a resize and a second DECALN on the other screen."""
    screen = fed("\x1b#8\x1b[?1049h")
    screen.resize(12, 4)
    screen.feed(b"\x1b#8\x1b[?1049l\x1b[2;1Hx")
    assert screen.lines() == ["E" * 10, "x" + "E" * 9, "E" * 10, "E" * 10]


def test_a_saved_cursor_fits_the_new_size():
    """DECRC after a resize stays inside."""
    screen = fed("\x1b[4;10H\x1b7")
    screen.resize(3, 2)
    screen.feed(b"\x1b8x")
    assert_sound(screen)


def test_an_overlong_sequence_is_read_over_whole_and_in_pieces():
    """Parameters over the bound make the sequence void; none of it is shown."""
    for number in (62, 63, 64, 65, 66, 200):
        sequence = b"\x1b[" + b"0" * number + b"3C"
        whole, pieces = Screen(10, 1), Screen(10, 1)
        whole.feed(sequence + b"x")
        for at in range(len(sequence)):
            pieces.feed(sequence[at : at + 1])
        pieces.feed(b"x")
        assert whole.lines() == pieces.lines() == [("   x" if number < 64 else "x")]


def test_resize_cuts_no_wide_character_in_two():
    """A wide character of which half would be left is gone."""
    screen = fed("123漢")
    screen.resize(4, 4)
    assert screen.lines()[0] == "123"


def test_sizes_below_one_are_one():
    """There is always a cell for the cursor; a wide character finds no room in it."""
    screen = Screen(0, -3)
    screen.feed("ab漢c".encode())
    assert (screen.cols, screen.rows, screen.lines()) == (1, 1, ["c"])


# Beginning in the middle


PICTURE = "\x1b[5;5r\x1b[2;3r\x1b[?1h\x1b[?2004h\x1b(0\x1b]0;title\x07" + "garbage\r\n" * 10


@pytest.mark.parametrize("clear", ["\x1b[H\x1b[2J", "\x1b[2J\x1b[H", "\x1b[1;1H\x1b[J", "\x1b[H\x1b[0J", "\x1bc"])
def test_render_draws_only_what_came_after_the_last_clear(monkeypatch, clear):
    """What came before counts for its modes; the result is that of drawing everything."""
    raw = f"{PICTURE}{clear}q one\r\n{clear}q two\r\n\n\n\nx".encode()
    monkeypatch.setattr(screen_module, "_WHOLE_MAX", 0)
    cut = render(raw, 10, 4)
    whole = fed(raw.decode())
    assert (view(cut), cut.title, cut.bracketed_paste) == (view(whole), "title", clear != "\x1bc")
    assert screen_module._last_clear(raw) == raw.rindex(clear.encode())


def test_render_does_not_begin_on_an_alternate_screen_that_is_gone(monkeypatch):
    """A clear within a full-screen program that has ended says nothing about the screen before it."""
    raw = b"shell\r\n\x1b[?1049h\x1b[H\x1b[2Jprogram\x1b[?1049lmore"
    monkeypatch.setattr(screen_module, "_WHOLE_MAX", 0)
    assert render(raw, 10, 4).lines() == ["shell", "more", "", ""]
    assert render(raw[:-12], 10, 4).lines() == ["program", "", "", ""]
    assert render(raw[:-12], 10, 4).alternate


def test_render_begins_anywhere():
    """The rest of a character that was cut in two is not shown."""
    raw = "漢字".encode()
    assert [render(raw[cut:], 10, 1).text() for cut in range(4)] == ["漢字", "字", "字", "字"]


@pytest.mark.parametrize(
    ("data", "modes"),
    [
        (b"", (False, False)),
        (b"text \x1b[?1h\x1b=\x1b[?2004h", (True, True)),
        (b"\x1b[?1h\x1b[?1l\x1b[?2004;1000h", (False, True)),
        (b"\x1b[?12;1;25h\x1b[1h\x1b[?11h", (True, False)),
        (b"\x1b[?1;2004h\x1b[!p", (False, True)),
        (b"\x1b[?1;2004h\x1bc", (False, False)),
    ],
)
def test_modes_of(data, modes):
    """The modes that matter for input can be had without drawing, and are the drawn screen's."""
    assert modes_of(data) == Modes(*modes)
    screen = render(data, 10, 4)
    assert (screen.application_cursor, screen.bracketed_paste) == modes


# Under anything at all

SEQUENCES = [
    *(f"\x1b[{number}{final}" for number in ("", "0", "2", "3;4", "999") for final in "@ABCDEFGHIJKLMPSTXZbdfgrstu`ae"),
    *(f"\x1b[?{number}{final}" for number in (1, 6, 7, 25, 47, 1047, 1048, 1049, 2004) for final in "hl"),
    *(
        "\x1b[4h",
        "\x1b[4l",
        "\x1b[!p",
        "\x1b7",
        "\x1b8",
        "\x1bD",
        "\x1bE",
        "\x1bH",
        "\x1bM",
        "\x1bc",
        "\x1b#8",
        "\x1b[3g",
    ),
    *("\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b]0;title\x07", "\x1bPx\x1b\\", "\x1b[H\x1b[2J", "\x1b[2;3r"),
    *("\r", "\n", "\b", "\t", "\r\n", "\x1b", "\x1b[", "\x1b]", "\x18", "\x7f", "\x9b", "\u0301", "漢", "🙂漢", "é│"),
    *("a", "words ", "longer than a row of the screen", "lqk"),
]
CLEARS = ["\x1b[H\x1b[2J", "\x1b[2J\x1b[H", "\x1bc", "\x1b[?1049h", "\x1b[?1049l"]
FORGOTTEN = re.compile(r"\x1b([78cH]|\[!p|\[.*[subgIZ]$|\[\?(6|1048))|\t")
PLAIN_SEQUENCES = [text for text in SEQUENCES if not FORGOTTEN.match(text)]
streams = st.lists(
    st.sampled_from([text.encode() for text in SEQUENCES]) | st.binary(max_size=6), max_size=40
).map(b"".join)  # fmt: skip


VOWELS = frozenset(map(chr, range(0x1160, 0x1200)))
"""And final consonants: what makes a syllable of Korean of the consonant before it."""


def cells(row: str) -> int:
    """The width of a row, reckoned apart from the code under test."""

    def width(char: str) -> int:
        category, wide = unicodedata.category(char), unicodedata.east_asian_width(char) in "WF"
        joins = category in ("Mn", "Me", "Cf") or char in VOWELS
        return 0 if joins else 1 + (wide and category != "Cn")  # the older Python, the more it calls wide

    return sum(map(width, row))


def assert_sound(screen: Screen) -> None:
    assert len(screen.lines()) == screen.rows
    assert all(cells(row) <= screen.cols for row in screen.lines())
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join(screen.lines()) + screen.title)
    row, col, _ = screen.cursor
    assert 0 <= row < screen.rows
    assert 0 <= col < screen.cols


@given(streams, st.integers(1, 12), st.integers(1, 6))
@example("\u03a2".encode(), 1, 1)
@example("\u0378".encode(), 1, 1)
@example("a\u1160\u11a8".encode(), 1, 1)
def test_any_bytes_leave_a_sound_screen(data, cols, rows):
    """No row grows over the screen's width, and the cursor is always inside."""
    screen = Screen(cols, rows)
    screen.feed(data)
    assert_sound(screen)


@given(st.lists(st.tuples(streams, st.integers(1, 12), st.integers(1, 6)), max_size=5))
def test_a_screen_stays_sound_when_resized(steps):
    """The size may change at any moment, on either screen."""
    screen = Screen(10, 4)
    for data, cols, rows in steps:
        screen.feed(data)
        screen.resize(cols, rows)
        assert (screen.cols, screen.rows) == (cols, rows)
        assert_sound(screen)


@given(streams, st.lists(st.integers(0, 400), max_size=8))
def test_the_cuts_between_pieces_do_not_matter(data, cuts):
    """However a stream is cut, the same screen comes of it."""
    whole = Screen(10, 4)
    whole.feed(data)
    pieces = Screen(10, 4)
    ends = [*sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in zip([0, *ends], ends, strict=False):
        pieces.feed(data[start:end])
    assert (view(pieces), pieces.title, pieces.bracketed_paste) == (view(whole), whole.title, whole.bracketed_paste)


@given(streams)
def test_modes_are_told_the_same_with_and_without_drawing(data):
    """`modes_of` and the screen agree, but for a sequence that a terminal puts together in its own way."""
    screen = Screen(10, 4)
    clean = re.sub(rb"\x1b(?![\[()#DEHM78c])|\x1b\[(?![?!]|[0-9;]*[@-~])|[\x18\x7f-\xff]", b"", data)
    screen.feed(clean)
    assert modes_of(clean) == (screen.application_cursor, screen.bracketed_paste)


@pytest.mark.parametrize("opener", [b"\x1b]0;", b"\x1bP", b"\x1b_", b"\x1b[", b"\x1b("])
def test_an_endless_sequence_is_not_kept(opener):
    """Memory stays bounded however long a string or its parameters go on."""
    screen = Screen(10, 4)
    screen.feed(opener)
    chunk = b"1" * 4096 if opener != b"\x1b(" else b" " * 4096
    screen.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(1000):
            screen.feed(chunk)
        kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/outlast/process/*")])
    finally:
        tracemalloc.stop()
    assert sum(trace.size for trace in kept.traces) < 20_000
    screen.feed(b"\x18\x1b[Hafter")
    assert screen.text() == "after"


FLOODS = {
    "text": b"some words on a line of eighty columns as a build prints them, 70 bytes\r\n" * 30_000,
    "newlines": b"\n" * 500_000,
    "clears": b"\x1b[2J" * 20_000,
    "fills": b"\x1b#8" * 20_000,
    "scrolls": b"\x1b[99999S\x1b[99999T" * 10_000,
    "lines in and out": b"\x1b[99999L\x1b[99999M" * 10_000,
    "repeats": b"a\x1b[999999b\r" * 10_000,
    "tabs": b"\x1b[3g\x1b[99999I\x1b[99999Z" * 10_000,
    "screens": b"\x1b[?1049h\x1b[?1049l" * 10_000,
    "escapes": b"\x1b" * 200_000,
    "introducers": b"\x1b[\x1b]" * 50_000,
    "endless parameters": b"\x1b[" + b"1" * 2_000_000,
    "endless string": b"\x1b]" + b"1" * 2_000_000,
    "marks": b"e" + "\u0301".encode() * 200_000,
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(name):
    """On the largest screen, hostile floods cost what their bytes cost: a copied screen each would take minutes."""
    screen = Screen(1000, 1000)
    started = time.process_time()
    screen.feed(FLOODS[name])
    assert time.process_time() - started < 40


@given(st.lists(st.sampled_from([*PLAIN_SEQUENCES, *CLEARS * 5]), max_size=40).map("".join))
def test_beginning_at_the_last_clear_gives_the_whole_screen(text):
    """Whatever came before it, the last clear is a place to begin (saved cursors and tab stops aside)."""
    raw = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen_module, "_WHOLE_MAX", 0)
        cut = render(raw, 10, 4)
    whole = fed(text)
    assert (view(cut), cut.title, cut.bracketed_paste) == (view(whole), whole.title, whole.bracketed_paste)
