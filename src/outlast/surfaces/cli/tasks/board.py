"""The live board: what the news say, and how it looks on a screen of any size. No terminal and no clock in here."""

from __future__ import annotations

from outlast.surfaces.cli.moments import epoch
from outlast.surfaces.cli.output import BOLD, DIM, STATUS_COLOURS, brief, span
from outlast.surfaces.cli.tasks.words import exit_of, is_open, what

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Result = dict[str, Any]
    Paint = Callable[[str, str], str]

ENDS_MAX = 50
BAR = 12
FRAME = 5  # title, two headings, a blank line, the last line
BLOCKS, PLAIN = ("█", "░"), ("#", "-")


def headline(tasks: Result | None) -> str:
    """``3 queued · 2 running · 1 finding``; parts that are zero are left out, and all of them are ``none``."""
    tasks = tasks or {}
    found = tasks.get("findings") or {}
    findings = sum(int(found.get(severity) or 0) for severity in ("error", "warn"))
    parts = [f"{tasks[name]} {name}" for name in ("queued", "running") if tasks.get(name)]
    if findings:
        parts.append(f"{findings} finding{'s' if findings != 1 else ''}")
    return " · ".join(parts) or "none"


def bar(percent: int | None, blocks: tuple[str, str]) -> str:
    """A progress bar of BAR cells; blank when nobody said how far it is."""
    if percent is None:
        return " " * (BAR + 7)
    full = max(0, min(BAR, round(percent * BAR / 100)))
    return f"[{blocks[0] * full}{blocks[1] * (BAR - full)}] {percent:>3}%"


class Board:
    """What is shown: the counts, what runs, what ended last. Telling it the same thing twice changes nothing."""

    def __init__(self, *, unicode: bool = True) -> None:
        self.counts: Result | None = None
        self.running: dict[str, Result] = {}
        self.ends: dict[str, Result] = {}
        self._partial = False
        self._blocks = BLOCKS if unicode else PLAIN

    def fill(self, running: list[Result], ended: list[Result], now: float, *, partial: bool = False) -> None:
        """Begin anew with what the ledger says, both lists newest first; ``partial``: more run than these."""
        self._partial = partial
        self.running.clear()
        self.ends.clear()
        for task in reversed(running):
            self._put(task, now)
        for task in sorted(ended, key=lambda task: task.get("endedAt") or ""):
            self._put(task, now)

    def tell(self, event: Result, now: float) -> None:
        """Take in one event of the news; ``now`` in seconds since 1970."""
        task = event.get("task")
        if isinstance(task, dict) and "taskId" in task:
            known = self.running.get(task["taskId"]) or self.ends.get(task["taskId"]) or {}
            self._put({**known, **task}, now)

    def _put(self, task: Result, now: float) -> None:
        id = task["taskId"]
        if task["status"] == "running":
            if "since" not in task:
                spent = task.get("durationMs")
                begun = now - spent / 1000 if spent is not None else epoch(task.get("startedAt"))
                task = {**task, "since": now if begun is None else begun}
            self.ends.pop(id, None)
            self.running[id] = task
            return
        self.running.pop(id, None)
        if not is_open(task):
            self.ends.pop(id, None)
            self.ends[id] = task
            while len(self.ends) > ENDS_MAX:
                del self.ends[next(iter(self.ends))]

    def lines(self, cols: int, rows: int, now: float, paint: Paint) -> list[str]:
        """Draw the board, never more than ``rows`` lines of ``cols`` characters."""
        room = max(0, rows - FRAME)
        for_running = min(len(self.running), max(room - min(len(self.ends), room // 3), 0))
        shown = list(self.running.values())[:for_running]
        if len(self.running) > for_running and shown:
            shown.pop()
        ends = list(reversed(self.ends.values()))[: max(0, room - for_running)]
        lines = [(f"Tasks: {headline(self.counts)}", BOLD), ("", "")]
        running = len(self.running)
        if self._partial:
            running = max(running, (self.counts or {}).get("running") or 0)
        lines.append((f"RUNNING ({running})", DIM))
        lines += [(self._running(task, now), "") for task in shown]
        if len(shown) < running:
            lines.append((f"… and {running - len(shown)} more", DIM))
        lines.append(("ENDED", DIM))
        lines += [(self._ended(task), STATUS_COLOURS.get(task["status"], "")) for task in ends]
        lines = [*lines[: max(0, rows - 1)], ("q leaves", DIM)]
        return [paint(text[:cols], code) for text, code in lines[-rows:]]

    def _running(self, task: Result, now: float) -> str:
        spent = span(max(0.0, now - task["since"]) * 1000)
        message = f"  ({brief(task['progressMessage'], 80)})" if task.get("progressMessage") else ""
        return f"{task['taskId']}  {bar(task.get('progress'), self._blocks)}  {spent:>8}  {what(task)}{message}"

    def _ended(self, task: Result) -> str:
        how = exit_of(task)
        how = task.get("cause") or "-" if how is None else how
        return f"{task['taskId']}  {task['status']:<9}  {how!s:<8}  {span(task.get('durationMs')):>8}  {what(task)}"
