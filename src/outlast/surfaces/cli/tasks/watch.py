"""``tasks watch``: the ledger live in the terminal, or a line per event where there is none."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from outlast.core.errors import GatewayTrouble
from outlast.surfaces.cli import output, terminal
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.output import brief, note, print_json, say
from outlast.surfaces.cli.signals import Left, Signals
from outlast.surfaces.cli.tasks.board import ENDS_MAX, Board
from outlast.surfaces.cli.tasks.news import SILENCE_MS, News
from outlast.surfaces.cli.tasks.words import percent, what

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

BETWEEN_DRAWINGS, BETWEEN_COUNTS, TICK = 0.1, 1.0, 1.0  # seconds
RUNNING_MAX = 200
ENDED = "succeeded,failed,timed_out,cancelled,lost"


def run(call: Call) -> int:
    """Watch until the caller leaves."""
    if call.json or not os.isatty(terminal.STDOUT) or os.environ.get("TERM") == "dumb":
        return _lines(call)
    try:
        with Signals() as signals, News(call) as news, terminal.Canvas() as canvas:
            try:
                _Watch(call, news, canvas).until_left(signals)
            finally:
                signals.hush()
    except Left as left:
        return left.code
    return 0


def _lines(call: Call) -> int:
    """Print one line for each event, for ever; say when there is somebody listening."""
    told = False
    with News(call) as news:
        while True:
            events = news.wait()
            if news.opened and not told:
                told = True
                note("watching; Ctrl-C leaves")
            for event in events:
                if call.json:
                    print_json(event)
                else:
                    say(line(event))
            sys.stdout.flush()


def line(event: Result) -> str:
    """An event on one line: when, which task, what happened, how it stands, how far it is, what it is."""
    task = event.get("task") or {}
    status = str(event.get("status") or task.get("status") or "")
    done = percent({**task, "status": status})
    done = f"  {done}" if done != "-" else ""
    message = f"  ({brief(task['progressMessage'])})" if task.get("progressMessage") else ""
    head = f"{local(event.get('at'))}  {event.get('taskId')}  {brief(event.get('verb'), 20)}"
    return f"{head}  {status}{done}  {what({**task, 'taskId': event.get('taskId')})}{message}".rstrip()


class _Watch:
    """One loop over one poll: news, signals, keys, and the next drawing when something has changed."""

    def __init__(self, call: Call, news: News, canvas: terminal.Canvas) -> None:
        encoding = (sys.stdout.encoding or "").lower().replace("-", "")
        self._board = Board(unicode=encoding == "utf8")
        self._call = call
        self._news = news
        self._canvas = canvas
        self._filled = 0
        self._changed = True
        self._stale = True  # the counts are older than the news
        self._drawn_at = self._counted_at = float("-inf")
        self._heard_at = time.monotonic()

    def until_left(self, signals: Signals) -> None:
        """Draw what the news say until q is typed or Ctrl-C comes."""
        while True:
            self._keep_up()
            poll = select.poll()
            poll.register(self._news, select.POLLIN)
            poll.register(signals, select.POLLIN)
            if self._canvas.keys:
                poll.register(terminal.STDIN, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(0 if self._news.waiting else self._patience_ms())}
            if signals.fileno() in ready and self._leaves(signals):
                return
            if terminal.STDIN in ready and self._typed():
                return
            if self._news.waiting or self._news.fileno() in ready:
                self._take()
            elif time.monotonic() - self._heard_at > SILENCE_MS / 1000:
                self._heard_at = time.monotonic()
                self._news.reopen(start=True)

    def _leaves(self, signals: Signals) -> bool:
        taken = signals.take()
        self._changed = True  # the size may be another
        return any(number != signal.SIGWINCH for number in taken)

    def _typed(self) -> bool:
        data = os.read(terminal.STDIN, 1024)
        return not data or b"q" in data.lower()

    def _take(self) -> None:
        self._heard_at = time.monotonic()
        events = self._news.take()
        now = time.time()
        if self._news.opened != self._filled:
            # Listening has (again) begun: what the ledger says now, and every event from now on.
            self._filled = self._news.opened
            running = self._call.client.get("/v1/tasks", status="running", limit=RUNNING_MAX)
            ended = self._call.client.get("/v1/tasks", status=ENDED, limit=ENDS_MAX)["tasks"]
            self._board.fill(running["tasks"], ended, now, partial=bool(running.get("next")))
            self._changed = self._stale = True
        for event in events:
            self._board.tell(event, now)
            self._changed = self._stale = True

    def _keep_up(self) -> None:
        """Count and draw, when there is a reason and its time has come."""
        now = time.monotonic()
        if self._stale and now >= self._counted_at + BETWEEN_COUNTS and self._filled:
            self._count()
            self._counted_at, self._stale, self._changed = now, False, True
        ticks = self._board.running and now >= self._drawn_at + TICK
        if (self._changed and now >= self._drawn_at + BETWEEN_DRAWINGS) or ticks:
            cols, rows = terminal.window()
            self._canvas.draw(self._board.lines(cols, rows, time.time(), output.colour))
            self._drawn_at, self._changed = now, False

    def _count(self) -> None:
        try:
            self._board.counts = self._call.client.get("/v1/status").get("tasks")
        except GatewayTrouble:  # it is going away: the stream will say so
            self._call.client.close()

    def _patience_ms(self) -> float:
        """How long to wait when no news come: to the next drawing, count or tick; else for the silence itself."""
        now = time.monotonic()
        due = [self._heard_at + SILENCE_MS / 1000]
        if self._changed:
            due.append(self._drawn_at + BETWEEN_DRAWINGS)
        if self._stale and self._filled:
            due.append(self._counted_at + BETWEEN_COUNTS)
        if self._board.running:
            due.append(self._drawn_at + TICK)
        return max(0.0, min(due) - now) * 1000 + 1
