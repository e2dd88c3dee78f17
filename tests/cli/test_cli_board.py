"""The live board: what it shows of what it was told, on a screen of any size; and the loop around it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import pytest
from cli_fakes import answer, chunked, event
from cli_ledger import DONE, FAILED, HOSTILE, QUEUED, TASK, row_of
from cli_live import PATIENCE, line_of, read_to_the_end
from hypothesis import given
from hypothesis import strategies as st

from outlast.surfaces.cli.moments import epoch, iso, local
from outlast.surfaces.cli.tasks.board import Board, bar

NOW = 1_795_428_060.0


def drawn(board, cols=100, rows=24, now=NOW):
    return board.lines(cols, rows, now, lambda text, _code: text)


def test_a_board_shows_counts_running_work_and_recent_ends():
    board = Board()
    board.fill([TASK], [FAILED], NOW)
    board.counts = {"queued": 3, "running": 1, "findings": {"error": 1}}
    lines = drawn(board, now=NOW + 5)
    assert lines[0] == "Tasks: 3 queued · 1 running · 1 finding"
    [running] = [line for line in lines if "█" in line]
    assert "[█████░░░░░░░]  40%" in running
    assert "17 s" in running
    assert "(half\\x07way)" in running
    assert "\\x1b[31m" in running
    assert sum("01other  failed     7             12 s  nightly" in line for line in lines) == 1
    assert lines[-1] == "q leaves"


def test_news_move_a_task_over_the_board_and_twice_is_once():
    board = Board(unicode=False)
    board.fill([], [], NOW)
    for task in (QUEUED, QUEUED, {**TASK, "durationMs": 0}, {"taskId": "01task", "status": "running", "progress": 80}):
        board.tell({"task": task}, NOW)
    assert len(board.running) == 1
    [running] = [line for line in drawn(board, now=NOW + 3) if "80%" in line]
    assert "[##########--]" in running
    assert "3 s" in running
    for _ in range(2):
        board.tell({"task": DONE}, NOW + 4)
    assert (len(board.running), len(board.ends)) == (0, 1)
    board.tell({"verb": "something new"}, NOW)  # a gateway of a later version may say more
    board.tell({"task": {**TASK, "status": "queued"}}, NOW + 5)
    assert len(board.running) == 0


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 120), st.integers(1, 40))
def test_a_board_fits_every_screen(running, ended, cols, rows):
    board = Board()
    board.fill(
        [{**HOSTILE, "taskId": f"r{i}"} for i in range(running)],
        [{**DONE, "taskId": f"e{i}"} for i in range(ended)],
        NOW,
    )
    lines = drawn(board, cols, rows)
    assert len(lines) <= rows
    assert all(len(line) <= cols and line.isprintable() for line in lines)


def test_more_than_a_page_that_runs_is_counted():
    board = Board()
    board.fill([TASK], [], NOW, partial=True)
    board.counts = {"running": 300}
    assert "RUNNING (300)" in drawn(board)
    assert "… and 299 more" in drawn(board)
    board.fill([TASK], [], NOW)
    assert "RUNNING (1)" in drawn(board)


def test_what_does_not_fit_is_counted():
    board = Board()
    board.fill([{**TASK, "taskId": f"r{i}"} for i in range(50)], [], NOW)
    lines = drawn(board, rows=20)
    shown = sum(line.startswith("r") for line in lines)
    assert f"… and {50 - shown} more" in lines
    assert shown >= 10


@pytest.mark.parametrize(("percent", "full"), [(0, 0), (100, 12), (50, 6), (101, 12), (-1, 0)])
def test_a_bar_is_never_longer_than_itself(percent, full):
    assert bar(percent, ("#", "-")).count("#") == full
    assert len(bar(percent, ("#", "-"))) == len(bar(None, ("#", "-")))


@given(st.floats(0, 4_102_444_799))
def test_moments_are_read_back(seconds):
    assert epoch(iso(seconds)) == pytest.approx(seconds, abs=0.002)


@pytest.fixture
def in_utc():
    """Have this process live by UTC, for the time of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_what_is_no_moment_is_shown_as_it_is(in_utc):
    assert local("2024-02-29T23:59:59.999Z") == "2024-02-29 23:59:59"
    assert local("2024-13-01T00:00:00Z") == "2024-13-01T00:00:00Z"
    assert local("soon") == "soon"
    assert local(None) == "-"


# the loop


SCRIPT = """
import sys
from types import SimpleNamespace
home = SimpleNamespace(paths=SimpleNamespace(**{paths!r}))
import outlast.config, outlast.client.start
outlast.config.load = lambda _environ: home
outlast.client.start.ensure = lambda config, extra=(): False  # a scripted gateway is there, or none
from outlast.surfaces.cli.main import run
sys.exit(run({words!r}))
"""


class Ears:
    """A stream of events that says what the test wants, when it wants."""

    def __init__(self):
        self.conn = None
        self.listening, self.left = threading.Event(), threading.Event()

    def __call__(self, conn):
        self.conn = conn
        conn.sendall(chunked(b": listening\n\n", end=False))
        self.listening.set()
        self.left.wait(2 * PATIENCE)
        return False

    def tell(self, task, number=1, verb="progress"):
        assert self.listening.wait(PATIENCE)
        data = event("task", {**row_of(number, verb), "task": task}, number)
        self.conn.sendall(b"%x\r\n%s\r\n" % (len(data), data))


@pytest.fixture
def ears():
    ears = Ears()
    yield ears
    ears.left.set()


def snapshot(runs=(), ends=(), **counts):
    status = {"tasks": {"queued": 0, "running": 0, "findings": None, **counts}}
    return [answer({"tasks": list(runs)}), answer({"tasks": list(ends)}), answer(status)]


def argv(home, *words):
    return [sys.executable, "-c", SCRIPT.format(paths=vars(home.paths), words=list(words))]


SCREENS = []


class Screen:
    """The board in a terminal of its own; ended with the test."""

    def __init__(self, argv):
        SCREENS.append(self)
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                os.execve(argv[0], argv, {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8", "PYTHONUTF8": "1"})
            finally:
                os._exit(99)
        self.seen = b""

    def until(self, text):
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                raise AssertionError(f"{text!r} did not come before the end: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self):
        SCREENS.remove(self)
        seen, code = read_to_the_end(self.pid, self.master)
        self.seen += seen
        os.close(self.master)
        return code


@pytest.fixture(autouse=True)
def _no_screen_is_left():
    yield
    for screen in list(SCREENS):
        os.kill(screen.pid, signal.SIGKILL)
        screen.end()


@pytest.mark.parametrize("leave", ["q", "ctrl-c", "term"])
def test_the_board_lives_and_leaves_the_terminal_as_it_was(home, gateway, ears, leave):
    gateway.will(ears, *snapshot([TASK], [FAILED], running=1))
    screen = Screen(argv(home, "tasks", "watch"))
    before = termios.tcgetattr(screen.master)
    screen.until(b"Tasks: 1 running")
    gateway.will(answer({"tasks": {"queued": 7, "running": 0, "findings": None}}))
    ears.tell({**DONE, "label": "all\x1b[2Jover"})
    screen.until(b"all\\x1b[2Jover")
    screen.until(b"Tasks: 7 queued")  # counted again because of the news, not because time passed
    if leave == "term":
        os.kill(screen.pid, signal.SIGTERM)
    else:
        os.write(screen.master, b"q" if leave == "q" else b"\x03")
    screen.until(b"\x1b[?1049l")
    assert screen.end() == (143 if leave == "term" else 0)
    assert before[3] & termios.ICANON


def test_a_resized_terminal_is_drawn_anew(home, gateway, ears):
    gateway.will(ears, *snapshot([{**TASK, "taskId": f"01task{i:02}"} for i in range(30)], running=30))
    screen = Screen(argv(home, "tasks", "watch"))
    termios.tcsetwinsize(screen.master, (12, 60))
    screen.until(b"more")
    termios.tcsetwinsize(screen.master, (50, 60))
    screen.until(b"01task00")
    os.write(screen.master, b"q")
    assert screen.end() == 0


def test_many_news_are_not_drawn_more_than_ten_times_a_second(home, gateway, ears):
    gateway.will(ears, *snapshot([TASK], running=1), *[answer({"tasks": {"running": 1}})] * 99)
    screen = Screen(argv(home, "tasks", "watch"))
    began = time.monotonic()
    screen.until(b"Tasks: 1 running")
    for number in range(500):
        ears.tell({**TASK, "progress": number % 100, "label": f"step{number}."}, number + 1)
    seen = screen.until(b"step499.")
    spent = time.monotonic() - began
    assert len(re.findall(rb"\x1b\[H", seen)) <= 10 * spent + 2
    os.write(screen.master, b"q")
    assert screen.end() == 0


@pytest.mark.parametrize("words", [["tasks", "watch"], ["tasks", "watch", "--json"]])
def test_without_a_terminal_every_event_is_a_line(home, gateway, ears, words):
    gateway.will(ears)
    process = subprocess.Popen(argv(home, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert line_of(process.stderr) == b"outlast: watching; Ctrl-C leaves\n"
        ears.tell(TASK, 5, "claim")
        line = line_of(process.stdout).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    finally:
        process.kill()
        _, errors = process.communicate(timeout=PATIENCE)
    assert errors == b""
    if "--json" in words:
        assert '"eventId":5' in line
    else:
        assert "01task  claim  running  40 %  nightly: ./build.sh\\n\\x1b[31m  (half\\x07way)" in line


def test_a_gateway_that_was_stopped_is_not_started_again(home, gateway, monkeypatch, outlast):
    """Who stops a gateway does not want a board on another screen to start it again; a crash is another matter."""
    monkeypatch.setattr("outlast.surfaces.cli.tasks.news.TRY_AGAIN_AFTER", (0.0, 0.0))

    def stops(conn):
        gateway.close()
        os.unlink(home.paths.socket)
        conn.sendall(chunked(b": listening\n\n"))
        return False

    gateway.will(stops)
    code, out, _ = outlast("tasks", "watch", "--json")
    assert code == 6
    assert "the gateway was stopped" in out
    assert not os.path.exists(home.paths.log)
