"""The rounds of a node: settling what an earlier gateway held, renewing leases, seeing to what is due.

One timer runs, for the next moment something is due; a slow round is only the net beneath it.
"""

from __future__ import annotations

import asyncio
import logging

from outlast.core.errors import GatewayTrouble
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime, Task
from outlast.gateway.worker import Worker
from outlast.ledger.tasks import Ledger
from outlast.store.base import LIST_MAX, Change

log = logging.getLogger("outlast.rounds")

NET_SECONDS, OWN_NET_SECONDS = 60.0, 600.0
"""The longest a change goes unnoticed that nobody told us of: on a shared store, and on the home's own file."""
LATE_FIRST, LATE_MAX = 1.0, 10.0
"""Until the next look at what is due and cannot be seen to; doubled from look to look."""
GAP_SECONDS = 0.05
"""The least time between two rounds, however much others do."""
RENEWED_AFTER = 1 / 3
"""The part of a lease after which it is renewed."""
TROUBLE_SECONDS = 2.0
"""Between two tries of a round while the store is in trouble: leases run on meanwhile."""


async def settle(ledger: Ledger, worker: Worker) -> int:
    """Take up every task this node held when its last gateway ended; return how many there were.

    That gateway is dead: ours holds the lock of the home. Each task goes on from what there is to see of it.
    """
    after, count = "", 0
    while tasks := await ledger.store.running_tasks(ledger.node, LIST_MAX, after):
        count += sum(await asyncio.gather(*(take_up(ledger, worker, task) for task in tasks)))
        after = tasks[-1].id
    after = ""
    while tasks := await ledger.store.lost_on(ledger.node, LIST_MAX, after):
        for task in tasks:  # given up by another node while ours was away: the true end, if we see it, replaces *lost*
            if not worker.holds(task.id):
                worker.resume(task)
        after = tasks[-1].id
    return count


async def take_up(ledger: Ledger, worker: Worker, task: Task) -> bool:
    """Go on with a running task of this node that nobody here holds; False when there is nothing to go on with."""
    if task.runtime is Runtime.EXTERNAL or worker.holds(task.id):
        return False
    held = await ledger.reclaim(task)
    if held is not None:
        worker.resume(held)
    return held is not None


class Rounds:
    """Goes round when something is due. ``start`` and ``stop`` it once."""

    def __init__(self, ledger: Ledger, worker: Worker) -> None:
        self._ledger = ledger
        self._worker = worker
        self._judge_from = 0.0
        self._late_pause = LATE_FIRST
        self._renew_at = 0.0
        self._turn = asyncio.Event()
        self._job: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with a first round."""
        self._ledger.store.on_change(self._changed)
        self._turn.set()
        self._job = asyncio.create_task(self._go(), name="rounds")

    async def stop(self) -> None:
        """End."""
        if self._job is not None:
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)

    def spare(self) -> None:
        """Give other nodes a whole lease to come back: the store was out of reach, maybe not for us alone."""
        if self._ledger.lease_seconds is not None:
            self._judge_from = self._ledger.clock.now() + self._ledger.lease_seconds

    def look(self) -> None:
        """Go round soon: what is due next may have changed."""
        self._turn.set()

    def _changed(self, change: Change) -> None:
        if change.foreign:
            self._turn.set()

    async def _go(self) -> None:
        while True:
            self._turn.clear()
            wait = await self._guarded_round()
            turn = asyncio.ensure_future(self._turn.wait())
            clock = asyncio.ensure_future(self._ledger.clock.sleep(wait))
            try:
                await asyncio.wait((turn, clock), return_when=asyncio.FIRST_COMPLETED)
            finally:
                turn.cancel()
                clock.cancel()
            await self._ledger.clock.sleep(GAP_SECONDS)

    async def _guarded_round(self) -> float:
        try:
            return await self.round()
        except GatewayTrouble as trouble:
            log.warning("%s", trouble.message)
            self.spare()
            return min(TROUBLE_SECONDS, (self._ledger.lease_seconds or NET_SECONDS) * RENEWED_AFTER)
        except Exception:
            log.exception("a round failed")
        return NET_SECONDS / 2

    async def round(self) -> float:
        """See to everything that is due; return the seconds until the next round."""
        ledger, now = self._ledger, self._ledger.clock.now()
        await ledger.store.look_around()
        self._turn.clear()  # whatever that brought is seen to now
        await self._renew(now)
        for task in await ledger.store.cancel_asked(ledger.node, LIST_MAX):
            self._worker.call_off_soon(task, Cause.OPERATOR)
        for task in await ledger.store.past_deadline(now, LIST_MAX):
            await self._overdue(task, now)
        for task in await ledger.store.expired_leases(now, LIST_MAX) if now >= self._judge_from else ():
            await self._expired(task, now)
        due = await ledger.store.next_due()
        if due is not None and due <= now:
            self._worker.nudge()
        return self._pause(due, now)

    def _pause(self, due: float | None, now: float) -> float:
        """Return the seconds to the next round.

        What is due already and cannot be seen to now (a full queue, another node's work) hides what is due next: so it
        is looked at again soon, less and less often.
        """
        lease = self._ledger.lease_seconds
        pause = OWN_NET_SECONDS if lease is None else min(NET_SECONDS, max(0.0, self._renew_at - now))
        if self._judge_from > now:
            pause = min(pause, self._judge_from - now)
        if due is None or due > now:
            self._late_pause = LATE_FIRST
            return pause if due is None else min(pause, due - now)
        late, self._late_pause = self._late_pause, min(LATE_MAX, self._late_pause * 2)
        return min(pause, late)

    async def _renew(self, now: float) -> None:
        """Extend the leases of what the worker holds; one that no longer holds is told when its work ends.

        Not in every round: each renewal is a commit that others notice, and may answer with a round of their own.
        """
        lease = self._ledger.lease_seconds
        if lease is None or now < self._renew_at:
            return
        held = {task.claim_id: task for task in self._worker.held if task.claim_id is not None}
        if held:
            for claim_id in held.keys() - await self._ledger.renew(list(held)):
                await self._given_up(held[claim_id])
        self._renew_at = now + lease * RENEWED_AFTER

    async def _given_up(self, task: Task) -> None:
        """A claim no longer holds. Its work goes on to its true end, unless somebody wished for another one before."""
        present = await self._ledger.store.get_task(task.id)
        if present is not None and present.status is Status.LOST and present.cancel_asked_at is not None:
            self._worker.call_off_soon(task, Cause.OPERATOR)

    async def _overdue(self, task: Task, now: float) -> None:
        """End what its deadline has passed. For a session the keeper holds the same limit; whoever is first ends it."""
        if task.status is Status.QUEUED:
            await self._ledger.cancel(task, Cause.DEADLINE)
        elif task.runtime is Runtime.EXTERNAL:
            await self._ledger.time_out(task)
        else:
            self._worker.call_off_soon(task, Cause.DEADLINE)

    async def _expired(self, task: Task, now: float) -> None:
        """Give up a task whose worker has not been heard of. Its work may still run there, so nobody runs it again."""
        if self._worker.holds(task.id) or task.lease_until is None:
            return
        if task.node == self._ledger.node:  # a claim whose answer got lost: what there is of it is here to be seen
            await take_up(self._ledger, self._worker, task)
            return
        silent = now - task.lease_until
        looked = f"worker {task.claimed_by} on node {task.node} let its lease run out {silent:.0f} s ago"
        if await self._ledger.lose(task, Cause.LEASE_EXPIRED, looked) is not None:
            log.warning("task %s is lost: %s", task.id, looked)
