"""The ledger as a table in memory: what each act must lead to, in plain words, without a database.

The model takes the time as an argument and knows claims by the number of the attempt they were made for. It is
written apart from the code on purpose: nothing of `outlast` is called here but the names of states.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ENDS = ("succeeded", "failed", "timed_out", "cancelled", "lost")
BAD = ("failed", "timed_out", "lost")
VERBS = {"succeeded": "succeed", "failed": "fail", "timed_out": "time_out", "cancelled": "cancel", "lost": "lose"}
LEASE = 60.0
DELAY, DELAY_MAX = 4.0, 20.0
"""The retry rule of every task here. Luck is taken out of it."""


@dataclass
class Row:
    """One task. ``claim`` counts the claims of the whole table: two holds of one task never have the same."""

    id: str
    created_at: float
    queue: str
    priority: int
    notify: str
    attempts_max: int
    external: bool = False
    node: str | None = None
    dedupe_key: str | None = None
    not_before_at: float | None = None
    deadline_at: float | None = None
    status: str = "queued"
    cause: str | None = None
    attempt: int = 0
    revision: int = 1
    progress: int | None = None
    delivery: str = "not_needed"
    started_at: float | None = None
    ended_at: float | None = None
    seen_at: float | None = None
    worker: str | None = None
    lease_until: float | None = None
    session_id: str | None = None
    cancel_asked: bool = False
    dismissed: bool = False
    claim: int | None = None
    verbs: list[str] = field(default_factory=lambda: ["create"])
    notices: list[str] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.status in ("queued", "running")

    def hears(self, verb: str) -> bool:
        if self.notify == "state_changes":
            return True
        if self.notify == "done_only":
            return self.status in ENDS
        return self.notify == "failures_only" and self.status in ENDS and (self.status in BAD or verb == "recover")


@dataclass(frozen=True)
class Hold:
    """What a worker believes to hold: the task as it was when it was claimed."""

    id: str
    claim: int
    attempt: int
    attempts_max: int
    deadline_at: float | None
    node: str


class Model:
    """The table. Every act returns what the ledger is expected to answer."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.limits: dict[str, int] = {}
        self._claims = 0

    # ---- beginning

    def create(
        self, row: Row, node: str, worker: str, start: bool, force: bool, leased: bool = True
    ) -> tuple[str, bool]:
        """Return the id that stands for the work, and whether it was there before."""
        same = [r for r in self.rows.values() if r.live and row.dedupe_key and r.dedupe_key == row.dedupe_key]
        if same:
            return same[0].id, True
        begins = force
        if start and row.not_before_at is None and row.node in (None, node):
            first = [r for r in self.ready(row.queue, node, row.created_at) if order(r) < order(row)]
            begins = self.room(row.queue) > 0 and not first
        self.rows[row.id] = row
        if begins:
            self._take(row, node, worker, row.created_at, leased)
            row.revision = 1
        return row.id, False

    def claim(self, count: int, queues: tuple[str, ...], node: str, worker: str, now: float) -> list[str]:
        """Return the ids that are taken, in the order they are taken."""
        self.ripen(now)
        names = queues or {row.queue for row in self.rows.values()}
        heads = [row for name in names for row in self.ready(name, node, now)[: max(0, self.room(name))]]
        taken = sorted(heads, key=order)[:count]
        for row in taken:
            self._take(row, node, worker, now)
        return [row.id for row in taken]

    def ripen(self, now: float) -> None:
        for row in self.rows.values():
            if row.status == "queued" and row.not_before_at is not None and row.not_before_at <= now:
                row.not_before_at = None

    def ready(self, queue: str, node: str, now: float) -> list[Row]:
        found = [
            row
            for row in self.rows.values()
            if row.status == "queued" and (row.not_before_at or 0.0) <= now and row.queue == queue
            and row.node in (None, node)
        ]  # fmt: skip
        return sorted(found, key=order)

    def room(self, queue: str) -> int:
        running = sum(row.status == "running" and row.queue == queue for row in self.rows.values())
        return self.limits.get(queue, 10**9) - running

    def _take(self, row: Row, node: str, worker: str, now: float, leased: bool = True) -> None:
        self._hold(row, node, worker, now, leased)
        row.status, row.started_at, row.seen_at = "running", now, now
        row.attempt += 1
        self._moved(row, "claim")

    def _hold(self, row: Row, node: str, worker: str, now: float, leased: bool = True) -> None:
        self._claims += 1
        row.claim, row.worker, row.node = self._claims, worker, node
        row.lease_until = now + LEASE if leased else None

    def hold_of(self, task_id: str) -> Hold:
        row = self.rows[task_id]
        assert row.claim is not None and row.node is not None
        return Hold(row.id, row.claim, row.attempt, row.attempts_max, row.deadline_at, row.node)

    def reclaim(self, task_id: str, worker: str, now: float) -> None:
        """The next gateway of a node takes over what the last one held."""
        row = self.rows[task_id]
        assert row.node is not None
        self._hold(row, row.node, worker, now)
        row.revision += 1
        row.verbs.append("reclaim")

    # ---- while it runs

    def held(self, hold: Hold) -> bool:
        row = self.rows[hold.id]
        return row.status == "running" and row.claim == hold.claim

    def renew(self, hold: Hold, now: float) -> bool:
        row = self.rows[hold.id]
        if self.held(hold) and row.lease_until is not None:
            row.lease_until = now + LEASE
        return self.held(hold)

    def progress(self, task_id: str, percent: int, now: float, hold: Hold | None = None) -> bool:
        row = self.rows[task_id]
        if row.status != "running" or (hold is not None and not self.held(hold)):
            return False
        row.progress, row.seen_at = percent, now
        row.revision += 1
        row.verbs.append("progress")
        return True

    def attach(self, hold: Hold, session_id: str) -> bool:
        if not self.held(hold):
            return False
        row = self.rows[hold.id]
        row.session_id = session_id
        row.revision += 1
        row.verbs.append("attach")
        return True

    # ---- ending

    def finish(self, hold: Hold, status: str, cause: str, at: float | None, now: float) -> str:
        """Return how the outcome was recorded."""
        again = self._again(hold, status, now)
        if not self.held(hold):
            return self._too_late(hold, status, cause, at, now)
        row = self.rows[hold.id]
        if again is None:
            self._end(row, VERBS[status], status, cause, now if at is None or status == "lost" else min(now, at))
            return "ended"
        self.requeue(row, now, again)
        if row.cancel_asked:
            self._end(row, "cancel", "cancelled", "operator", now)
            return "ended"
        return "requeued"

    def _again(self, hold: Hold, status: str, now: float) -> float | None:
        if status not in ("failed", "timed_out") or hold.attempt >= hold.attempts_max:
            return None
        moment = now + min(DELAY * 2 ** (hold.attempt - 1), DELAY_MAX)
        return None if hold.deadline_at is not None and moment >= hold.deadline_at else moment

    def _too_late(self, hold: Hold, status: str, cause: str, at: float | None, now: float) -> str:
        row = self.rows[hold.id]
        if row.status == "lost" and row.claim == hold.claim and status != "lost":
            self.recover(hold.id, status, cause, at, now)
            return "recovered"
        row.verbs.append("late")
        return "late"

    def requeue(self, row: Row, now: float, not_before_at: float | None, *, counts: bool = True) -> None:
        row.status, row.not_before_at, row.seen_at = "queued", not_before_at, now
        row.attempt -= not counts
        row.cause = row.started_at = row.claim = row.worker = row.lease_until = row.session_id = row.progress = None
        self._moved(row, "requeue")

    def never_began(self, hold: Hold, now: float) -> bool:
        if not self.held(hold):
            return False
        row = self.rows[hold.id]
        self.requeue(row, now, None, counts=False)
        if row.cancel_asked:
            self._end(row, "cancel", "cancelled", "operator", now)
        return True

    def recover(self, task_id: str, status: str, cause: str, at: float | None, now: float) -> bool:
        row = self.rows[task_id]
        if row.status != "lost" or status == "lost":
            return False
        self._end(row, "recover", status, cause, now if at is None else min(now, at))
        return True

    def lose(self, task_id: str, cause: str, now: float) -> bool:
        row = self.rows[task_id]
        if not row.live:
            return False
        self._end(row, "lose", "lost", cause, now)
        return True

    def time_out(self, task_id: str, now: float) -> bool:
        row = self.rows[task_id]
        if row.status != "running":
            return False
        self._end(row, "time_out", "timed_out", "deadline", now)
        return True

    def cancel(self, task_id: str, cause: str, now: float) -> str:
        row = self.rows[task_id]
        if row.status == "running" and not row.external:
            row.verbs.append("cancel_reason")
            if not row.cancel_asked:
                row.cancel_asked = True
                row.revision += 1
                row.verbs.append("ask_cancel")
        elif row.live:
            self._end(row, "cancel", "cancelled", cause, now)
        return row.status

    def _end(self, row: Row, verb: str, status: str, cause: str, at: float) -> None:
        row.status, row.cause, row.ended_at, row.seen_at, row.lease_until = status, cause, at, at, None
        self._moved(row, verb)

    def _moved(self, row: Row, verb: str) -> None:
        row.revision += 1
        row.verbs.append(verb)
        if row.hears(verb):
            row.delivery = "pending"
            kind = "corrected" if verb == "recover" else "ended" if row.status in ENDS else "changed"
            row.notices.append(kind)

    # ---- the rest

    def dismiss(self, task_id: str) -> bool:
        row = self.rows[task_id]
        if row.live or row.dismissed:
            return False
        row.dismissed = True
        row.revision += 1
        row.verbs.append("dismiss")
        return True

    def set_notify(self, task_id: str, policy: str) -> bool:
        row = self.rows[task_id]
        if row.notify == policy:
            return False
        row.notify = policy
        row.revision += 1
        row.verbs.append("notify")
        return True

    def expired(self, now: float) -> list[str]:
        return [r.id for r in self.rows.values() if r.status == "running" and r.lease_until and r.lease_until < now]

    def overdue(self, now: float) -> list[str]:
        return [r.id for r in self.rows.values() if r.live and r.deadline_at is not None and r.deadline_at < now]

    def next_due(self) -> float | None:
        moments = [r.not_before_at for r in self.rows.values() if r.status == "queued"]
        moments += [r.deadline_at for r in self.rows.values() if r.live]
        moments += [r.lease_until for r in self.rows.values() if r.status == "running"]
        return min((moment for moment in moments if moment is not None), default=None)


def order(row: Row) -> tuple[int, float, str]:
    """Higher priority first, then the older task."""
    return -row.priority, row.created_at, row.id
