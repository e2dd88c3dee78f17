"""Those who tell and those whose time comes: outbox, wakes, scheduler and approvals of one gateway, as one."""

from __future__ import annotations

from outlast.delivery.outbox import Outbox
from outlast.delivery.wake import Merges, Wakes
from outlast.gateway.approvals import Approvals
from outlast.gateway.telling import Telling
from outlast.ledger.tasks import Ledger
from outlast.scheduler.service import Compose, Scheduler


class Tellers:
    """They are nudged by commits of the store, each by those that concern it."""

    def __init__(self, ledger: Ledger, telling: Telling, compose: Compose, merges: Merges) -> None:
        self.telling = telling
        shared = ledger.lease_seconds is not None
        self.outbox = Outbox(ledger.store, ledger.clock, telling.open_target, shared=shared)
        self._wakes = Wakes(ledger.store, ledger.clock, telling.open_wake, shared=shared, merges=merges)
        self._scheduler = Scheduler(ledger.store, ledger.clock, compose)
        self._approvals = Approvals(ledger, telling.deciders)

    def start(self) -> None:
        """Begin with what is there: the store is open by now."""
        for part in (self.outbox, self._wakes, self._scheduler, self._approvals):
            part.start()

    def nudge(self) -> None:
        """Look now, whatever was to come first. The scheduler hears of a step of the clock by itself."""
        for part in (self.outbox, self._wakes, self._approvals):
            part.nudge()

    async def stop(self) -> None:
        """End. What was under way is done again by the next gateway, recognisably."""
        for part in (self._approvals, self._scheduler, self._wakes, self.outbox):
            await part.stop()
