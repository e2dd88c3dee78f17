"""What a store can do: named acts, each one transaction, and the questions asked of it.

There is no generic create, read, update, delete. An act that finds the record in another state than it needs
answers None (or leaves the record out) and changes nothing: somebody was first, which is an ordinary answer.

Every act that changes a task appends its line of history, and the notice that `outlast.core.notification` finds
due, in the same transaction. An awaited act
has been committed durably when it returns. When it raises `GatewayTrouble` it was not acknowledged: nothing
happened, unless the connection was lost during the commit itself. Guards and ids make asking again safe.

Times are seconds since the epoch (UTC) and come from the caller: a store has no clock.

Codes of `GatewayTrouble` from here: ``store_busy``, ``store_full``, ``store_read_only``, ``store_unreachable`` and
``store_closed`` (these may pass by themselves), ``store_damaged``, ``store_newer``, ``store_error``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec

from outlast.core.agent import AgentConversation
from outlast.core.flow import NewFlow
from outlast.core.lifecycle import Transition
from outlast.core.session import Status
from outlast.core.task import Delivery, Event, NewTask, NotifyPolicy, StartClaim, Task, TaskFilter
from outlast.store.base_agents import AgentActs, AgentQuestions
from outlast.store.base_flows import ApprovalActs, FlowActs, FlowQuestions
from outlast.store.base_told import NoticeRow, ScheduleActs, ToldActs, ToldQuestions

OutboxRow = NoticeRow

LIST_MAX = 1000
"""Most rows one question answers; a larger limit is cut to this."""

SEARCH_WINDOW = 20_000
"""Records one page of a text search looks at; a page may so be short, and its cursor leads on."""


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which store this is. ``place`` is a path or an address without its password."""

    kind: Literal["sqlite", "postgresql"]
    place: str
    version: str
    schema_version: int


class Created(msgspec.Struct, frozen=True):
    """The record of new work; ``existing`` when a live task with the same dedupe key stands in for it."""

    task: Task
    existing: bool


class Claimed(msgspec.Struct, frozen=True):
    """A task a worker has got, with what it is to run."""

    task: Task
    payload: dict[str, object] | None


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish for work: at most one task for each of the ``claim_ids`` it brings.

    ``queues`` empty means every queue. Higher priority goes first, then the older task. Work that was given a node is
    taken by claims of that node only.
    """

    worker: str
    claim_ids: Sequence[str]
    lease_until: float | None
    now: float
    queues: Sequence[str] = ()
    node: str | None = None


class Page(msgspec.Struct, frozen=True):
    """Some records, newest first; ``next`` is the cursor of what follows, None at the end."""

    tasks: list[Task]
    next: str | None


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """A queue with its limit of running tasks (None: no limit) and what it holds now."""

    name: str
    limit_max: int | None
    queued: int
    running: int


class Change(msgspec.Struct, frozen=True):
    """What a commit brought: new history, work that may be claimed, notices to deliver, rules, wakes that are due.

    ``flows``: a flow may be claimed or looked at, or a question was asked or answered. ``steps``: there is more on
    record of flows than before. ``entries``: a transcript has grown. ``wakes`` also when a heartbeat was set.
    ``foreign`` when it was another process's: nobody here has been told what moved.
    """

    events: bool = True
    queued: bool = True
    outbox: bool = True
    foreign: bool = False
    schedules: bool = True
    wakes: bool = True
    flows: bool = True
    steps: bool = True
    entries: bool = True


class Acts(Protocol):
    """The acts: everything that changes rows."""

    async def create_task(self, new: NewTask, start: StartClaim | None = None) -> Created:
        """Put work on record. Raises Conflict (``task_exists``) when the id is taken.

        The queue of a conversation is limited to one turn at a time with it, where nobody has limited it before.
        With ``start`` it is claimed in the same commit and comes back running; unless forced, only where
        `claim_tasks` would take it next, and else it comes back queued.
        """

    async def create_mirrored(self, new: NewTask, flow: NewFlow, start: StartClaim | None = None) -> Created:
        """Do `create_task`, and put the flow on record that follows the task, in one commit.

        No flow is made where live work with the same dedupe key stands in. Raises Conflict (``task_exists``,
        ``flow_exists``).
        """

    async def spawn(
        self, new: NewTask, child: AgentConversation, flow: NewFlow, start: StartClaim | None = None
    ) -> Created:
        """Put a conversation on record that ``child.parent`` spawns, with its first turn and the flow that follows it.

        Live work with its dedupe key stands in for it, and needs no place. ``depth`` is counted from the parent, and
        the turn that runs there becomes the task's parent where it names none. Raises Refused (``too_deep``,
        ``too_many_children``), Conflict (``parent_ended``: that turn is being called off; ``task_exists``).
        """

    async def give_turn(self, new: NewTask, start: StartClaim | None = None) -> Created:
        """Do `create_task` for a turn of an agent that a conversation asks for, its requester.

        The turn that runs in that conversation becomes the parent where it names none. Raises Conflict
        (``parent_ended``: that turn is being called off; ``task_exists``).
        """

    async def claim_tasks(self, claim: Claim) -> list[Claimed]:
        """Move queued tasks that are ready to running, within the limits of their queues.

        The queue of a conversation rests while a turn of that lives in another queue (as what it was spawned for does),
        or a beat has it.
        """

    async def apply(self, transition: Transition) -> Task | None:
        """Write one move if it is still allowed; an end deletes the payload. Claims go by `claim_tasks`.

        Work that goes back to its queue after somebody asked for its end is cancelled in the same commit.
        """

    async def reclaim(self, task_id: str, old_claim_id: str, start: StartClaim, now: float) -> Task | None:
        """Put a new claim in the place of an old one; None when that one does not hold a running task any more."""

    async def append_event(self, task_id: str, verb: str, at: float, data: dict[str, object]) -> Event | None:
        """Add a line of history without moving the task (a late report, a note); None for an unknown task."""

    async def renew_leases(self, claim_ids: Sequence[str], until: float) -> set[str]:
        """Extend the leases of running tasks; return the claims that still hold. A claim without a lease gets none.

        It shows that the worker lives, which is no sign of life of the work.
        """

    async def note_progress(
        self, task_id: str, now: float, *, progress: int | None, message: str | None, claim_id: str | None = None
    ) -> Task | None:
        """Record progress (0..100) of a running task; None leaves a field as it was."""

    async def note_seen(self, task_ids: Sequence[str], now: float) -> int:
        """Record a sign of life of running tasks, without history; return how many there were."""

    async def attach_session(
        self, task_id: str, session_id: str, now: float, *, claim_id: str | None = None
    ) -> Task | None:
        """Say which session does the work of a task that has not ended."""

    async def set_notify(self, task_id: str, policy: NotifyPolicy, now: float) -> Task | None:
        """Change of what the requester is told; None for an unknown task or when nothing changes."""

    async def dismiss(self, task_id: str, now: float) -> Task | None:
        """Put an ended task out of sight; None when it has not ended or is dismissed already."""

    async def ask_cancel(self, task_id: str, now: float) -> Task | None:
        """Write down the wish to cancel a live task; None when it has ended or the wish is known."""

    async def set_queue_limit(self, name: str, limit_max: int | None) -> None:
        """Limit how many tasks of a queue run at once (0 pauses it); None lifts the limit."""

    async def forget_queue(self, name: str) -> None:
        """Forget the limit of the queue of a conversation, unless work of that is live; the next turn sets it again."""

    async def settle_notice(
        self, notice_id: int, state: Literal["delivered", "parked"], now: float, error: str | None = None
    ) -> bool:
        """Close a pending notice and write the task's delivery status; False when it was not pending."""

    async def drop_payloads(self, task_ids: Sequence[str]) -> int:
        """Forget what ended tasks were to run; return how many had something left."""

    async def prune(self, task_ids: Sequence[str]) -> int:
        """Forget ended tasks with all that hangs on them, except those with a notice still pending."""


class Questions(Protocol):
    """The questions: nothing here changes a row. Lists are cut to ``limit`` and to `LIST_MAX`."""

    async def get_task(self, task_id: str) -> Task | None:
        """Return one task by its full id."""

    async def find_tasks(self, lookup: str, limit: int = 10) -> list[Task]:
        """Return what a name may mean: that id; else ids beginning so; else that session; else that conversation.

        The first kind that matches anything answers. A session or conversation answers with its newest task.
        """

    async def list_tasks(self, narrow: TaskFilter, limit: int, cursor: str | None = None) -> Page:
        """Return tasks newest first. Raises BadInput (``bad_cursor``)."""

    async def events_of(self, task_id: str, after: int = 0, limit: int = LIST_MAX) -> list[Event]:
        """Return a task's history in order, after the event with that id."""

    async def events_since(self, after: int, limit: int = LIST_MAX) -> list[Event]:
        """Return the history of all tasks in the order of commits: what a reader resumes from misses nothing."""

    async def last_event_id(self) -> int:
        """Return the id of the newest event, 0 when there is none."""

    async def payload_of(self, task_id: str) -> dict[str, object] | None:
        """Return what the worker really runs; None once the task has ended."""

    async def children_of(self, task_id: str, limit: int = LIST_MAX) -> list[Task]:
        """Return the tasks whose parent this is, oldest first."""

    async def counts(self) -> dict[Status, int]:
        """Return how many tasks stand in each status."""

    async def counts_live(self) -> dict[Status, int]:
        """Return how many tasks are queued and how many running; however long history is, this is quick."""

    async def queues(self) -> list[QueueState]:
        """Return the queues that have a limit or live tasks, by name."""

    async def expired_leases(self, now: float, limit: int) -> list[Task]:
        """Return running tasks whose lease has run out, longest ago first. No lease never runs out."""

    async def running_tasks(self, node: str | None, limit: int, after: str = "") -> list[Task]:
        """Return running tasks (of one node, or of all for None) in the order of their ids, after that id."""

    async def cancel_asked(self, node: str | None, limit: int) -> list[Task]:
        """Return running tasks (of one node, or of all for None) somebody wants cancelled, longest ago first."""

    async def lost_on(self, node: str, limit: int, after: str = "") -> list[Task]:
        """Return tasks of a node that were given up because its lease ran out, in the order of ids, after that id."""

    async def past_deadline(self, now: float, limit: int) -> list[Task]:
        """Return live tasks whose deadline has passed, longest ago first."""

    async def next_due(self) -> float | None:
        """Return the earliest moment a backoff, deadline or lease is due; it may have passed."""

    async def stale_queued(self, before: float, limit: int) -> list[Task]:
        """Return tasks queued since before that moment, oldest first."""

    async def stale_running(self, before: float, limit: int) -> list[Task]:
        """Return running tasks without a sign of life since that moment, quietest first; no turns of agents."""

    async def delivery_failed(self, limit: int) -> list[Task]:
        """Return tasks whose requester could not be told."""

    async def missing_cleanup(self, limit: int) -> list[Task]:
        """Return ended tasks that still hold a payload."""

    async def inconsistent_timestamps(self, limit: int) -> list[Task]:
        """Return tasks whose moments contradict each other."""

    async def ended_before(self, before: float, limit: int) -> list[Task]:
        """Return ended tasks, longest ago first: what retention looks at."""

    async def outbox_counts(self) -> dict[str, int]:
        """Return how many notices are pending and how many were parked."""

    async def pending_outbox(self, limit: int, after: int = 0) -> list[OutboxRow]:
        """Return notices not settled yet, oldest first, after the one with that id."""


class Store(
    Acts, Questions, ToldActs, ScheduleActs, ToldQuestions, FlowActs, ApprovalActs, FlowQuestions, AgentActs,
    AgentQuestions, Protocol,
):  # fmt: skip
    """One database of the ledger, used from one event loop."""

    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises GatewayTrouble and then has written nothing."""

    async def close(self) -> None:
        """Finish the acts already asked for, then let go."""

    async def info(self) -> StoreInfo:
        """Say which store this is."""

    async def check(self) -> list[str]:
        """Check integrity throughout (this may take long); return what is wrong in plain words."""

    async def backup(self, path: str) -> None:
        """Copy the live database to a new file. Raises BadInput where the store has tools of its own for that."""

    def on_change(self, callback: Callable[[Change], None]) -> None:
        """Call back in the event loop after commits: an awaited act's callback may come just before it returns."""

    async def look_around(self) -> bool:
        """Find out whether another process committed since the last look, and call back if so (the safety pass)."""


__all__ = [
    "LIST_MAX", "SEARCH_WINDOW", "Acts", "Change", "Claim", "Claimed", "Created", "Delivery", "OutboxRow", "Page",
    "Questions", "QueueState", "Store", "StoreInfo",
]  # fmt: skip
