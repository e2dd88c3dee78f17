"""The worker of a node: claims recorded work, has it done, and hands every outcome to the ledger.

It is nudged: by a commit that brought work, by work that ended, by one timer for the next moment that is due. It
may be killed at any point. The next one settles from evidence what this one held (`settle`), so nothing is lost and
nothing is run twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, Protocol

from outlast.core.errors import GatewayTrouble, NotFound
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, Runtime, Task, takes_slot
from outlast.gateway.hands import TRY_AGAIN_FIRST, TRY_AGAIN_MAX, WorkerHands, insist
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.runtimes import base
from outlast.store.base import Change, Created

Recording = Callable[[], Awaitable[object]]


class Record(Protocol):
    """How new work is put on record."""

    async def __call__(self, *, start: bool) -> Created:
        """Return what was put on record, claimed where ``start`` wants it and nothing stands before it."""


log = logging.getLogger("outlast.worker")

CLAIM_MAX = 128
"""Tasks taken in one claim: bounds how long others wait for the store."""


class Worker:
    """Runs the tasks of one ledger in this process; at most ``slots`` at once.

    Commands that merely outlived their call are stayed with, too, but they never waited for a slot and take none.
    """

    def __init__(self, ledger: Ledger, runtimes: Mapping[Runtime, base.Runtime], *, slots: int) -> None:
        self._ledger = ledger
        self._runtimes = runtimes
        self._slots = slots
        self._held: dict[str, Task] = {}
        self._coming: set[str] = set()
        self._calling_off: set[str] = set()
        self._in_doubt = False
        self._busy = self._reserved = 0
        self._open = False
        self._wake = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Task[None] | None = None
        self.on_requeued: Callable[[], None] = lambda: None
        self.settle: Callable[[], Awaitable[object]] | None = None
        """Takes up what is on record as ours and in nobody's hands; called when an answer of the store was lost."""

    # ---- life

    def start(self) -> None:
        """Begin to take work."""
        self._open = True
        self._ledger.store.on_change(self._changed)
        self._wake.set()
        self._claiming = asyncio.create_task(self._claim_on(), name="worker")

    async def stop(self) -> None:
        """Take no more work and let go of what runs: it goes on, and the next worker finds it."""
        self._open = False
        jobs = [*self._jobs, *([self._claiming] if self._claiming else [])]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    @property
    def held(self) -> list[Task]:
        """The tasks this worker holds, as they were claimed."""
        return list(self._held.values())

    def holds(self, task_id: str) -> bool:
        """True while this worker has a task in its hands, or is about to."""
        return task_id in self._held or task_id in self._coming

    @property
    def _free(self) -> int:
        return self._slots - self._busy - self._reserved

    # ---- taking work

    async def submit(self, new: NewTask, record: Record | None = None) -> Created:
        """Put work on record and, with a slot free and nothing before it, begin it in the same commit.

        ``record`` is the act that does so, where more is put on record with it than the work alone.
        """
        point("worker:before_record")
        start = self._open and self._free > 0
        self._reserved += start
        self._coming.add(new.id)
        try:
            created = await (record or partial(self._ledger.create, new))(start=start)
            point("worker:after_record")
        except GatewayTrouble:
            self._in_doubt = True  # it may be on record, and running there
            self._wake.set()
            raise
        finally:
            self._reserved -= start
            self._coming.discard(new.id)
        if not created.existing and created.task.status is Status.RUNNING and self._open:
            self._begin(created.task, new.payload)  # else the next worker finds it and sees that it never began
        return created

    def _changed(self, change: Change) -> None:
        if change.queued:  # whoever committed: a change nobody knows anything of counts as one of every kind
            self._wake.set()

    async def _claim_on(self) -> None:
        pause = TRY_AGAIN_FIRST
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._clear_doubt()
                await self._claim_some()
                pause = TRY_AGAIN_FIRST
            except GatewayTrouble as trouble:
                self._in_doubt = True  # what was claimed, nobody has heard of
                log.warning("no work can be claimed: %s", trouble.message)
                await self._ledger.clock.sleep(pause)
                pause = min(pause * 2, TRY_AGAIN_MAX)
                self._wake.set()
            except Exception:  # a bad row must not end the loop
                log.exception("a claim failed")
                await self._ledger.clock.sleep(TRY_AGAIN_MAX)
                self._wake.set()

    async def _clear_doubt(self) -> None:
        """Find out what the store did although its answer was lost. No claim of ours is on its way meanwhile."""
        if self._in_doubt and self.settle is not None:
            self._in_doubt = False
            await self.settle()

    async def _claim_some(self) -> None:
        while (wished := min(self._free, CLAIM_MAX)) > 0:
            point("worker:before_claim")
            self._reserved += wished
            try:
                taken = await self._ledger.claim(wished)
            finally:
                self._reserved -= wished
            point("worker:after_claim")
            for claimed in taken:
                self._begin(claimed.task, claimed.payload)
            if len(taken) < wished:
                return

    def nudge(self) -> None:
        """Look for work now."""
        self._wake.set()

    # ---- doing it

    def _begin(self, task: Task, payload: dict[str, Any] | None) -> None:
        runtime = self._runtimes.get(task.runtime)
        hands = WorkerHands(self._ledger, task, self.spawn)
        if runtime is None or payload is None:
            missing = (
                f"no runtime for {task.runtime} here" if runtime is None else "what was to be run is not on record"
            )
            self._hold(task, _impossible(missing))
        else:
            self._hold(task, runtime.run(task, payload, hands))

    def resume(self, task: Task) -> None:
        """Stay with work of an earlier worker; ``task`` is held by this one by now."""
        runtime = self._runtimes.get(task.runtime)
        hands = WorkerHands(self._ledger, task, self.spawn)
        if runtime is not None:
            self._hold(task, runtime.resume(task, hands))

    def conclude(self, task: Task, outcome: Outcome) -> None:
        """Record the end of work this process has seen to its end already."""
        self._hold(task, _known(outcome))

    def _hold(self, task: Task, work: Coroutine[Any, Any, Outcome]) -> None:
        self._held[task.id] = task
        self._busy += takes_slot(task)
        # Kept here, not by `spawn`: it takes itself off when it ends, and a callback costs a turn of the loop.
        self._jobs.add(asyncio.create_task(self._see_through(task, work)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, for as long as the worker lives."""
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _see_through(self, task: Task, work: Coroutine[Any, Any, Outcome]) -> None:
        """Have it done and recorded. Cancelled (the gateway stops), it lets go and records nothing."""
        try:
            await self._persist(await self._come_to_end(task, work))
        finally:
            self._let_go(task)
        point("worker:after_finish")

    def _let_go(self, task: Task) -> None:
        self._held.pop(task.id, None)
        self._busy -= takes_slot(task)
        self._wake.set()
        job = asyncio.current_task()
        assert job is not None
        self._jobs.discard(job)

    async def _come_to_end(self, task: Task, work: Coroutine[Any, Any, Outcome]) -> Recording | None:
        """Return what is to be recorded of it."""
        try:
            outcome = await work
        except base.NeverBegan:
            return partial(self._ledger.never_began, task)
        except base.NotHeld:
            log.warning("task %s belongs to another worker by now: nothing was started", task.id)
            return None
        except Exception as error:
            log.exception("task %s: its runtime failed", task.id)
            outcome = Outcome(status=Status.FAILED, cause=Cause.SPAWN_ERROR, error=f"{type(error).__name__}: {error}")
        if task.status is Status.LOST and outcome.status is Status.LOST:
            return None  # nothing new has come to light
        point("worker:before_finish")
        return partial(self._record, task, outcome, count())

    async def _record(self, task: Task, outcome: Outcome, tries: Iterator[int]) -> None:
        recorded = await self._ledger.finish(task, outcome, repeated=next(tries) > 0)
        if recorded.how == "late":
            log.warning("task %s is %s already: its outcome came late", task.id, recorded.task.status)
        elif recorded.how == "requeued":
            self.on_requeued()

    async def _persist(self, record: Recording | None) -> None:
        """Record what is known: it must not get lost."""
        if record is None:
            return
        try:
            await insist(record, self._ledger.clock, "an outcome waits to be recorded")
        except NotFound:
            pass  # somebody has pruned the task
        except Exception:  # a fault of ours: trying again would not mend it, the next start settles the task
            log.exception("an outcome cannot be recorded")

    async def call_off(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End the work of a task this worker holds."""
        point("worker:before_call_off")
        runtime = self._runtimes.get(task.runtime)
        if runtime is not None and task.id in self._held:
            await runtime.cancel(task, cause, grace_seconds)

    def call_off_soon(self, task: Task, cause: Cause) -> None:
        """End the work of a task without waiting for that: a command may take its time to die."""
        if self.holds(task.id) and task.id not in self._calling_off:
            self._calling_off.add(task.id)
            self.spawn(self._call_off_once(task, cause))

    async def _call_off_once(self, task: Task, cause: Cause) -> None:
        call_off = partial(self.call_off, task, cause)
        try:
            await insist(call_off, self._ledger.clock, f"task {task.id} waits to be called off")
        finally:
            self._calling_off.discard(task.id)


async def _known(outcome: Outcome) -> Outcome:
    return outcome


async def _impossible(missing: str) -> Outcome:
    return Outcome(status=Status.FAILED, cause=Cause.SPAWN_ERROR, error=missing)
