"""The virtual terminal: against a real tmux, by example, and under anything at all."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.process import screen as screen_module
from outlast.process.screen import Cursor, Modes, Screen, modes_of, render

COLS, ROWS = 80, 24
PATIENCE = 30  # seconds until a comparison is given up; only a failing test waits that long


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
        self.socket = f"outlast-screen-{os.getpid()}-{where.name}"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(where),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "LESSHISTFILE": "-",
            "SHELL": "/bin/sh",
        }

    def tmux(self, *args: str) -> str:
        command = ["tmux", "-u", "-L", self.socket, "-f", "/dev/null", *args]
        done = subprocess.run(command, check=True, capture_output=True, env=self.env, timeout=PATIENCE)
        return done.stdout.decode()

    def start(self, command: str, term: str = "tmux-256color") -> None:
        """Run a shell command in the pane; recording begins before it does."""
        tmux = f"tmux -L {self.socket}"
        script = f"{tmux} wait-for go; unset TMUX TMUX_PANE; export TERM={term}; {command}\nexec cat"
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
        rows = [plain_row(row) for row in body.split("\n")[:ROWS]]
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
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], env=self.env, capture_output=True, check=False)


LETTERS = str.maketrans("`afgjklmnopqrstuvwxyz{|}~", "◆▒°±┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")


def plain_row(row: str) -> str:
    text, drawing = "", False
    for part in re.findall(r"\x1b\[[0-9;:]*m|.", row):
        if part in "\x0e\x0f":
            drawing = part == "\x0e"
        elif part[0] != "\x1b":
            text += part.translate(LETTERS) if drawing else part
    return text.rstrip(" ")


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
    inner = f"tmux -u -L {pane.socket}-inner -f /dev/null"
    settings = "set -g status-interval 0 ; set -g status-right '' ; split-window -h 'seq 200; exec cat'"
    pane.start(
        f"{inner} new-session 'seq 100; exec cat' ';' {settings.replace(' ; ', ' ' + chr(39) + ';' + chr(39) + ' ')}"
    )
    try:
        pane.agrees("100.*200")
        pane.keys("C-b", "[", "PageUp")
        pane.agrees("179")
    finally:
        subprocess.run(["tmux", "-L", f"{pane.socket}-inner", "kill-server"], capture_output=True, check=False)


SCRIPTS = {
    "a box in line drawing": "\x1b(0lqqqwqqk\r\nx\x1b(B a \x1b(0x~fx\r\ntqqqnqqu\r\nmqqqvqqj\x1b(B MARK",
    "a box by shifts": "\x1b)0\x0elqqk\x0f lqqk\x0e\r\nmqqj\x0fMARK",
    "wide characters": "漢字かな交じり文" * 6 + "\r\n" + "x" * 79 + "漢\r\n🙂🙃 emoji\rab\r\n한글 e\u0301 MARK",
    "writing over wide characters": "漢字漢字\x1b[1;2Hx\x1b[1;5Hyy\x1b[1;8H漢MARK",
    "erasing half of a wide character": "漢字漢字漢字\x1b[1;2H\x1b[X\x1b[1;6H\x1b[K\r\nMARK",
    "a scroll region": "".join(f"{n}\r\n" for n in range(30))
    + "\x1b[5;10r\x1b[10;1Ha\nb\nc\r\n\x1b[5;1H\x1bMtop\x1b[7;3H\x1b[2L\x1b[8;1H\x1b[M\x1b[2S\x1b[T\x1b[r\x1b[20;1HMARK",
    "origin mode": "\x1b[5;10r\x1b[?6h\x1b[2;3Hin\x1b[99;1Hend\x1b[?6l\x1b[1;1Htop\x1b[r\x1b[24;1HMARK",
    "the last column": "\x1b[1;80Hab\x1b[4;79Hcd\x1b[Ke\r\n\x1b[6;80Hf\x1b[6;80Hg\x1b[8;1H" + "h" * 80 + "\r\nMARK",
    "no wrapping": "\x1b[?7l" + "abcdefghij" * 9 + "\x1b[?7h\r\nMARK",
    "inserting and deleting": "abcdefghij\x1b[1;4H\x1b[3@\x1b[1;2H\x1b[2P\r\nabcdef\x1b[2;3H\x1b[4hXY\x1b[4l\x1b[2X\r\nMARK",
    "erasing": ("#" * 80 + "\r\n") * 20
    + "\x1b[5;10H\x1b[K\x1b[6;10H\x1b[1K\x1b[7;10H\x1b[2K\x1b[10;5H\x1b[5X\x1b[15;40H\x1b[J\x1b[2;20H\x1b[1J\x1b[18;1HMARK",
    "tab stops": "a\tb\tc\r\n\x1b[3g\x1b[5G\x1bH\x1b[9G\x1bH\rx\ty\tz\tend\r\n\x1b[9G\x1b[g\x1b[30G\x1b[Zu\r\ta\tMARK",
    "repeating": "-\x1b[20b|\r\n漢\r\nMARK=\x1b[200b",
    "saving the cursor": "\x1b[5;5H\x1b7\x1b[10;10Hx\x1b8y\x1b[sab\x1b[uc\x1b[12;1HMARK",
    "the alternate screen": "main\r\n\x1b[?1049h\x1b[5;5Halt\x1b[?1049lback\x1b[?47hx\x1b[?47ly\r\nMARK",
    "staying on the alternate screen": "main\x1b[?1h\x1b[?25l\x1b[?1049h\x1b[H\x1b[2JMARK\r\nhere",
    "all E": "\x1b#8\x1b[3;3HMARK\x1b[5;1H\x1b[2K\x1bD\x1bE\x1bM",
    "a full reset": "text\x1b[3;7r\x1b[?1h\x1b(0\x1b[?25l\x1bcqMARK",
    "strings": "a\x1b]0;title\x07b\x1b]2;title\x1b\\c\x1bPq#0~~\x1b\\d\x1b_app\x1b\\e\x1b^pm\x1b\\f\x1b]52;c;QQ==\x07 MARK",
    "broken sequences": "a\x1b[31\x18b\x1b[1;\x1b[2Cc\x1b[3\r4Cd\x1b[?;1;?zf\x1b[1 q\x1b#xg\x1b(\x1b)h\x1b%Gi\r\n MARK",
    "moves": "\x1b[5;5Hx\x1b[3Ay\x1b[2Bz\x1b[4Cu\x1b[9Dv\x1b[2Ew\x1b[Fx\x1b[30Gy\x1b[9dz\x1b[99Aa\x1b[99C\x1b[3Db\x1b[20;2fMARK",
}  # fmt: skip


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
        return f"\x1b[?{pick.choice(['7', '25', '1', '1047'])}{pick.choice('hl')}"
    if kind == 8:
        return "\x1b[9G\x1b[" + pick.choice(["3@", "P", "2P", "X", "4X", "C", "2b", "2D"])
    return f"\x1b[{number}" + pick.choice("ABEFGSTZ") if kind % 2 else "\x1b[" + pick.choice("012") + pick.choice("JK")


def test_random_streams(pane: Pane):
    """Sixty streams of control functions and text, the same ones every time."""
    fifo = pane.where / "fifo"
    os.mkfifo(fifo)
    pane.start(f"stty raw -echo; while :; do cat {fifo}; done")
    for seed in range(60):
        pick = random.Random(seed)
        stream = (
            "\x1b[?1047l\x1bc" + "".join(random_piece(pick) for _ in range(30)) + f"\x1b[?1l\x1b[r\x1b[HMARK{seed} "
        )
        fifo.write_bytes(stream.encode())
        pane.agrees(f"^MARK{seed} ")
