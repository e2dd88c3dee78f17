"""What may happen to a task, and nothing else: the only caller of the task verbs.

Work is recorded before it begins, held by a claim while it runs, and ended by an outcome that somebody saw. A report
that comes too late never overturns an end: it stays in the history as an event. Only *lost* gives way to the truth.

Errors are those of the store (`outlast.store.base`), and BadInput for what cannot be put on record at all.
"""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Awaitable, Sequence
from typing import Literal, NamedTuple

import msgspec

from outlast.core.agent import AgentConversation
from outlast.core.errors import BadInput, NotFound
from outlast.core.flow import NewFlow
from outlast.core.ids import timed_id
from outlast.core.lifecycle import FINAL, TASK_MOVES, Transition, Verb, transition, verb_for
from outlast.core.outcome import Outcome
from outlast.core.retry import RetryPolicy, again_at
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, StartClaim, Task
from outlast.core.text import is_sound_value, sound
from outlast.ledger.news import News
from outlast.process.clock import Clock
from outlast.store.base import Claim, Claimed, Created, Questions, Store

LEASE_SECONDS = 60.0
"""How long a claim holds without being renewed where several nodes share a store."""
PROGRESS_SECONDS = 1.0
"""Between two lines of history about one task's progress; what comes in between is kept but not told."""


class Recorded(NamedTuple):
    """What became of an outcome: the task as it stands, and whether the outcome ended it.

    ``requeued``: there is another attempt to come. ``recovered``: it replaced *lost*. ``late``: the task had ended, or
    belongs to somebody else by now; the outcome is an event in its history.
    """

    task: Task
    how: Literal["ended", "requeued", "recovered", "late"]


class Ledger:
    """The tasks of one store as one worker of one node writes them. ``worker`` is unique to this process.

    Without ``lease_seconds`` its claims hold until they are settled: whoever may look at the store can tell by other
    means whether this worker lives (the lock of the home), and nothing needs to be renewed.
    """

    def __init__(
        self, store: Store, clock: Clock, *, node: str, worker: str, lease_seconds: float | None = LEASE_SECONDS
    ) -> None:
        self.store = store
        self.clock = clock
        self.news = News()
        self.node = node
        self.worker = worker
        self.lease_seconds = lease_seconds
        self._claims = timed_id("c", clock.now(), secrets.randbits(60), 6) + "-"
        self._numbers = itertools.count(1)

    # ---- beginning

    def new_id(self) -> str:
        """Return a fresh task id: sorts by time, 17 characters."""
        return timed_id("t", self.clock.now(), random.getrandbits(40), 4)

    def new_claim(self) -> str:
        """Return a fresh claim id: this process's own beginning, and a number."""
        return f"{self._claims}{next(self._numbers):x}"

    async def create(self, new: NewTask, *, start: bool = False) -> Created:
        """Put work on record, queued. With ``start`` claim it in the same commit when nothing stands before it.

        The same live dedupe key gives the task that is there. Raises BadInput (``not_text``) for what JSON cannot hold.
        """
        return await self._create(new, self._claim(force=False) if start else None)

    async def give_turn(self, new: NewTask, *, start: bool = False) -> Created:
        """Put a turn on record that a conversation gives an agent. See `create`, `Store.give_turn`.

        Raises Conflict (``parent_ended``), BadInput (``not_text``).
        """
        return await self._recorded(self.store.give_turn(new, self._claim(force=False) if start else None))

    async def spawn(self, new: NewTask, child: AgentConversation, flow: NewFlow, *, start: bool = False) -> Created:
        """Put a conversation on record that another spawns, its first turn and its flow. See `create`, `Store.spawn`.

        Raises Refused (``too_deep``, ``too_many_children``), Conflict (``parent_ended``), BadInput (``not_text``).
        """
        return await self._recorded(self.store.spawn(new, child, flow, self._claim(force=False) if start else None))

    async def record_running(self, new: NewTask, *, leased: bool = True, mirror: NewFlow | None = None) -> Created:
        """Put work on record that runs already. Without a lease nobody holds it: it ends by a report from outside.

        With ``mirror`` the flow that follows it is put on record in the same commit.
        """
        start = self._claim(force=True, leased=leased)
        if mirror is not None:
            return await self._recorded(self.store.create_mirrored(new, mirror, start))
        return await self._create(new, start)

    def _claim(self, *, force: bool, leased: bool = True) -> StartClaim:
        until = self._lease_until() if leased else None
        return StartClaim(claim_id=self.new_claim(), worker=self.worker, lease_until=until, node=self.node, force=force)

    async def _create(self, new: NewTask, start: StartClaim | None) -> Created:
        return await self._recorded(self.store.create_task(new, start))

    async def _recorded(self, act: Awaitable[Created]) -> Created:
        try:
            return await act
        except UnicodeEncodeError:
            raise BadInput(
                "what is put on record must be text in valid UTF-8", code="not_text", hint="run it without --detach"
            ) from None

    # ---- while it runs

    async def claim(self, count: int, queues: Sequence[str] = ()) -> list[Claimed]:
        """Take up to ``count`` tasks that are ready."""
        now = self.clock.now()
        return await self.store.claim_tasks(
            Claim(
                worker=self.worker,
                claim_ids=[self.new_claim() for _ in range(count)],
                lease_until=self._lease_until(),
                now=now,
                queues=queues,
                node=self.node,
            )
        )

    async def reclaim(self, task: Task) -> Task | None:
        """Take over a running task whose worker is known to be dead; None when somebody was first."""
        assert task.claim_id is not None
        return await self.store.reclaim(task.id, task.claim_id, self._claim(force=True), self.clock.now())

    async def renew(self, claim_ids: Sequence[str]) -> set[str]:
        """Extend the leases of claims; return those that still hold."""
        until = self._lease_until()
        return set(claim_ids) if until is None else await self.store.renew_leases(claim_ids, until)

    def _lease_until(self) -> float | None:
        return None if self.lease_seconds is None else self.clock.now() + self.lease_seconds

    async def attach(self, task: Task, session_id: str) -> Task | None:
        """Say which session is about to do the work. Before it is started, so that it can always be found."""
        return await self.store.attach_session(task.id, session_id, self.clock.now(), claim_id=task.claim_id)

    async def note(self, task_id: str, verb: str, data: dict[str, object]) -> None:
        """Add a line of history that moves nothing."""
        await self.store.append_event(task_id, verb, self.clock.now(), sound(data))

    async def progress(
        self, task_id: str, progress: int | None, message: str | None, *, claim_id: str | None = None
    ) -> Task | None:
        """Record how far the work is; None when it does not run (any more)."""
        now, said = self.clock.now(), sound(message)
        task = await self.store.note_progress(task_id, now, progress=progress, message=said, claim_id=claim_id)
        if task is not None:
            self.news.moved(task)
        return task

    async def seen(self, task_ids: Sequence[str]) -> None:
        """Record a sign of life of the work itself."""
        await self.store.note_seen(task_ids, self.clock.now())

    # ---- ending

    async def finish(self, task: Task, outcome: Outcome, *, repeated: bool = False) -> Recorded:
        """Write how the work of a claimed task came out. ``task`` is as it was claimed: its claim is the fence.

        ``repeated``: the same was reported before and the answer was lost, so it may stand there already.
        """
        now, outcome = self.clock.now(), _writable(outcome)
        again = self._again(task, outcome, now)
        if again is not None:
            move = transition(
                task.id, Verb.REQUEUE, now, claim_id=task.claim_id, cause=outcome.cause, detail=outcome.detail,
                error=outcome.error, summary=outcome.summary, not_before_at=again,
            )  # fmt: skip
        else:
            at = now if outcome.at is None or outcome.status is Status.LOST else min(now, outcome.at)
            move = transition(
                task.id, verb_for(outcome.status), at, claim_id=task.claim_id, cause=outcome.cause,
                detail=outcome.detail, error=outcome.error, summary=outcome.summary, result=outcome.output,
            )  # fmt: skip
        moved = await self.store.apply(move)
        if moved is None:
            return await self._too_late(task, outcome, repeated)
        self.news.moved(moved)
        return Recorded(moved, "ended" if moved.status.final else "requeued")

    def _again(self, task: Task, outcome: Outcome, now: float) -> float | None:
        if not outcome.may_retry or task.attempt >= task.attempts_max:
            return None
        return again_at(
            retry_policy(task), attempt=task.attempt, attempts_max=task.attempts_max, now=now,
            luck=random.random(),  # noqa: S311 — spreads retries, guards nothing
            deadline_at=task.deadline_at,
        )  # fmt: skip

    async def _too_late(self, task: Task, outcome: Outcome, repeated: bool) -> Recorded:
        """Somebody was first. The truth about a lost task replaces it; anything else is kept as a line of history."""
        present = await self.store.get_task(task.id)
        if present is None:
            raise NotFound(f"no task {task.id!r}")
        if present.status is Status.LOST and present.claim_id == task.claim_id:
            found = await self.recover(present, outcome)
            if found is not None:
                return Recorded(found, "recovered")
        if repeated and present.claim_id == task.claim_id and present.status is outcome.status:
            return Recorded(present, "ended")
        if repeated and outcome.may_retry and await self._was_requeued(task):
            return Recorded(present, "requeued")
        data: dict[str, object] = {"status": outcome.status.value, "cause": outcome.cause.value, **outcome.detail}
        if task.claim_id != present.claim_id:
            data["claimId"] = task.claim_id
        await self.note(task.id, "late", data)
        return Recorded(present, "late")

    async def _was_requeued(self, task: Task) -> bool:
        """True when the work went back to its queue from this very claim: only its holder can have seen to that."""
        ours, after = False, 0
        while events := await self.store.events_of(task.id, after):
            for event in events:
                if event.verb in (Verb.CLAIM, "reclaim"):
                    ours = event.data.get("claimId") == task.claim_id
                elif event.verb == Verb.REQUEUE and ours:
                    return True
            after = events[-1].id
        return False

    async def recover(self, task: Task, outcome: Outcome) -> Task | None:
        """Replace *lost* by the true end; None when it is not lost any more, or the outcome is no end."""
        if outcome.status not in TASK_MOVES[Verb.RECOVER].targets:
            return None
        now, outcome = self.clock.now(), _writable(outcome)
        return await self._move(
            transition(
                task.id,
                Verb.RECOVER,
                now if outcome.at is None else min(now, outcome.at),
                target=outcome.status,
                cause=outcome.cause,
                claim_id=task.claim_id,
                detail=outcome.detail,
                error=outcome.error,
                summary=outcome.summary,
                result=outcome.output,
            )
        )

    async def never_began(self, task: Task) -> Task | None:
        """Give a claimed task back to its queue because nothing was started; the attempt does not count."""
        move = transition(task.id, Verb.REQUEUE, self.clock.now(), claim_id=task.claim_id, never_began=True)
        return await self._move(move)

    async def time_out(self, task: Task) -> Task | None:
        """End running work that nobody holds because its deadline has passed."""
        return await self._move(transition(task.id, Verb.TIME_OUT, self.clock.now(), cause=Cause.DEADLINE))

    async def lose(self, task: Task, cause: Cause, looked_for: str) -> Task | None:
        """Say that nobody knows how the work ended, and what was looked for."""
        move = transition(
            task.id, Verb.LOSE, self.clock.now(), claim_id=task.claim_id, cause=cause, error=sound(looked_for)
        )
        return await self._move(move)

    # ---- calling off

    async def cancel(self, task: Task, cause: Cause, reason: str | None = None) -> Task:
        """Call work off: at once where nobody holds it, else by asking who does. Returns the task as it stands.

        Nobody is asked because of a deadline: who holds the work knows it.
        """
        if task.status in FINAL:
            return task
        held = task.status is Status.RUNNING and task.runtime is not Runtime.EXTERNAL
        if held and cause is Cause.DEADLINE:
            return task
        if held:
            if reason is not None:
                await self.note(task.id, "cancel_reason", {"reason": reason})
            asked = await self.store.ask_cancel(task.id, self.clock.now())
            return asked or await self.require(task.id)
        detail: dict[str, object] = {} if reason is None else {"reason": sound(reason)}
        move = transition(task.id, Verb.CANCEL, self.clock.now(), cause=cause, detail=detail)
        if task.status is Status.QUEUED:
            move = msgspec.structs.replace(move, sources=(Status.QUEUED,))  # one claimed meanwhile is asked instead
        moved = await self._move(move)
        return moved or await self.cancel(await self.require(task.id), cause, reason)

    async def _move(self, move: Transition) -> Task | None:
        moved = await self.store.apply(move)
        if moved is not None:
            self.news.moved(moved)
        return moved

    async def require(self, task_id: str) -> Task:
        """Return a task as it stands. Raises NotFound."""
        task = await self.store.get_task(task_id)
        if task is None:
            raise NotFound(f"no task {task_id!r}", hint="outlast tasks lists them")
        return task


def _writable(outcome: Outcome) -> Outcome:
    """Return an outcome whose texts any store can hold. Programs, and errors that name files, say other things too."""
    texts = (outcome.detail, outcome.summary, outcome.error, outcome.output)
    if all(map(is_sound_value, texts)):
        return outcome  # nearly always, and to look costs less than to make it anew
    return msgspec.structs.replace(
        outcome, detail=sound(outcome.detail), summary=sound(outcome.summary), error=sound(outcome.error),
        output=sound(outcome.output),
    )  # fmt: skip


def retry_policy(task: Task) -> RetryPolicy | None:
    """Return the rule by which a task is tried again; None for the usual one."""
    return None if task.retry is None else msgspec.convert(task.retry, RetryPolicy)


async def has_begun(store: Questions, task: Task) -> bool:
    """True when the history of a task says that its present attempt was started."""
    after = 0
    while events := await store.events_of(task.id, after):
        if any(event.verb == "began" and event.data.get("attempt") == task.attempt for event in events):
            return True
        after = events[-1].id
    return False
