"""What becomes of questions by themselves: their time passes, and those who decide hear of them.

One timer runs, for the next question whose time passes; what is asked comes with the commit that asked it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from outlast.core.approval import Approval, ApprovalFilter, ApprovalStatus
from outlast.core.errors import OutlastError
from outlast.core.flow_notice import asked_notice
from outlast.core.task import Notice
from outlast.delivery.loop import Loop
from outlast.ledger import approvals as ledger
from outlast.ledger.tasks import Ledger
from outlast.store.base import Change

log = logging.getLogger("outlast.approvals")

DUE_MAX = 200
"""Questions that are closed, or looked at, in one go."""
TOLD_MAX = 10_000
"""Questions that are known to be told, and some of them answered by now, before all that wait are looked at again."""
GAP_SECONDS = 0.1
"""The least time between two rounds: flows that are at work make news all the time."""


class Deciders(NamedTuple):
    """Who is told of a question beside whoever asked: targets, and the link each gets (None: no link can be made)."""

    targets: Sequence[str]
    link: Callable[[Approval], str | None]


class Approvals:
    """Sees to the questions of one store. ``start`` and ``stop`` it once."""

    def __init__(self, ledger: Ledger, deciders: Deciders) -> None:
        self._ledger = ledger
        self._deciders = deciders
        self._told: set[str] = set()
        self._loop = Loop("approvals", self._round, ledger.clock)

    def start(self) -> None:
        """Begin: what has passed while no gateway ran is closed at once."""
        self._ledger.store.on_change(self._changed)
        self._loop.start()

    async def stop(self) -> None:
        """End."""
        await self._loop.stop()

    def nudge(self) -> None:
        """Look now."""
        self._loop.nudge()

    def _changed(self, change: Change) -> None:
        if change.flows or change.foreign:
            self._loop.nudge()

    async def _round(self) -> float | None:
        began = self._ledger.clock.monotonic()
        while due := await self._ledger.store.due_approvals(self._ledger.clock.now(), DUE_MAX):
            closed = [await self._expire(approval) for approval in due]
            if not any(closed):
                break  # each of them was answered just now
        if self._deciders.targets:
            await self._tell()
        moment = await self._ledger.store.next_approval_due(self._ledger.clock.now())
        await self._ledger.clock.sleep(max(0.0, began + GAP_SECONDS - self._ledger.clock.monotonic()))
        return moment

    async def _expire(self, approval: Approval) -> bool:
        expired = await ledger.expire(self._ledger, approval)
        if expired is not None:
            log.info("approval %s has expired", approval.id)
        return expired is not None

    async def _tell(self) -> None:
        """Tell those who decide of every question that waits and that they have not heard of.

        Newest first, up to a page they have heard all of; what an earlier gateway told is known by its key.
        """
        waiting: set[str] = set()
        cursor: str | None = None
        thorough = len(self._told) > TOLD_MAX
        while True:
            narrow = ApprovalFilter(statuses=(ApprovalStatus.PENDING,))
            page = await self._ledger.store.list_approvals(narrow, DUE_MAX, cursor)
            fresh = [approval for approval in page.approvals if approval.id not in self._told]
            for approval in fresh:
                await self._tell_of(approval)
            waiting.update(approval.id for approval in page.approvals)
            cursor = page.next
            if cursor is None or not (fresh or thorough):
                break
        self._told = waiting if cursor is None else self._told | waiting

    async def _tell_of(self, approval: Approval) -> None:
        try:
            link = self._deciders.link(approval)
        except OutlastError as trouble:
            log.warning("approval %s is told without a link: %s", approval.id, trouble.message)
            link = None
        for target in self._deciders.targets:
            notice = _notice(approval, target, link)
            await self._ledger.store.tell_approval(approval.id, notice, self._ledger.clock.now())


def _notice(approval: Approval, target: str, link: str | None) -> Notice:
    asked = asked_notice(approval)
    return Notice(
        target=target,
        kind=asked.kind,
        idempotency_key=f"{asked.idempotency_key}:{sha256(target.encode()).hexdigest()[:12]}",
        body=asked.body if link is None else {**asked.body, "link": link},
    )
