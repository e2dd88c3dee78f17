"""Waking: a conversation that has something to hear is nudged through the channels it registered.

The first of a burst goes out at once, what follows within a quarter of a second goes together. Nobody is nudged more
often than `RATE_MAX` times in `RATE_SECONDS`: what has to wait is told together then. What a wake has told counts as
consumed; a wake that fails leaves the events where they are, for the next try, turn or reader.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from functools import partial

from outlast.core.conversation import SystemEvent, Wake
from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.notice_text import NoticeText, together
from outlast.delivery.backoff import gives_up, pause
from outlast.delivery.channels.base import Channel, Message, SendFailed
from outlast.delivery.lease import alone, kept
from outlast.delivery.loop import Loop, insist
from outlast.process.clock import Clock
from outlast.store.base import Change, Store

log = logging.getLogger("outlast.delivery")

DUE_MAX = 200
TOLD_MAX = 200
"""Events told in one wake; more make it due again."""
RATE_MAX, RATE_SECONDS = 10, 60.0
MERGED_SECONDS = 60.0
"""How often it is looked whether a wake in whose place somebody else tells is still needed."""

OpenWake = Callable[[Wake], Channel]
"""The channel of a wake. Raises BadInput for one that is no use."""

Merges = Callable[[str], Awaitable[bool]]
"""Whether a conversation is told by other means (the heartbeat of its agent), so that its wakes have nothing to do."""


async def _never(conversation: str) -> bool:
    return False


class Wakes:
    """Sends wakes that are due. ``shared``: other gateways may do so, too, from the same store."""

    def __init__(
        self, store: Store, clock: Clock, open_wake: OpenWake, *, shared: bool = False, merges: Merges = _never
    ) -> None:
        self._store = store
        self._clock = clock
        self._open = open_wake
        self._merges = merges
        self._kept = kept if shared else alone
        self._busy: set[str] = set()
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._loop = Loop("wakes", self._round, clock)

    def start(self) -> None:
        """Begin."""
        self._store.on_change(self._changed)
        self._loop.start()

    async def stop(self) -> None:
        """End; a wake under way is sent again by the next gateway, with the same id."""
        await self._loop.stop()

    def nudge(self) -> None:
        """Look now."""
        self._loop.nudge()

    def _changed(self, change: Change) -> None:
        if change.wakes or change.foreign:
            self._loop.nudge()

    async def _round(self) -> float | None:
        now = self._clock.now()
        for wake in await self._store.due_wakes(now, DUE_MAX):
            if wake.id in self._busy:
                continue
            allowed = self._allowed_at(wake.id, now)
            if allowed > now:
                await self._store.delay_wake(wake.id, allowed)
                continue
            if await self._merges(wake.conversation):
                await self._merged(wake, now)
                continue
            self._busy.add(wake.id)
            self._loop.beside(self._send(wake))
        return await self._store.next_wake_due(now)  # what is due by now is on its way

    async def _merged(self, wake: Wake, now: float) -> None:
        """Leave what is to be told to others; once they have, the wake is done."""
        if await self._store.last_system_event(wake.conversation):
            await self._store.delay_wake(wake.id, now + MERGED_SECONDS)
        else:
            await self._store.settle_wake(wake, wake.sent_event_id, wake.sent_at or now)

    def _allowed_at(self, wake_id: str, now: float) -> float:
        """Return when a wake may go out, for all those before it."""
        sent = self._sent[wake_id]
        while sent and sent[0] <= now - RATE_SECONDS:
            sent.popleft()
        if not sent:
            del self._sent[wake_id]
        return now if len(sent) < RATE_MAX else sent[0] + RATE_SECONDS

    async def _send(self, wake: Wake) -> None:
        try:
            claim = partial(self._store.claim_wake, wake.id)
            async with self._kept(claim, wake.due_at or 0.0, self._clock) as ours:
                if ours:
                    await self._told(wake)
        finally:
            self._busy.discard(wake.id)

    async def _told(self, wake: Wake) -> None:
        try:
            events = await self._store.system_events(wake.conversation, wake.sent_event_id, TOLD_MAX)
            upto = events[-1].id if events else wake.sent_event_id
            if events:  # else somebody has read them meanwhile
                self._sent[wake.id].append(self._clock.now())
                await self._open(wake).send(message_of(wake, events))
        except GatewayTrouble:
            raise
        except BadInput as wrong:
            await self._park(wake, wrong.message)
        except SendFailed as failed:
            await self._failed(wake, failed)
        except Exception as fault:
            log.exception("wake %s cannot be sent", wake.id)
            await self._failed(wake, SendFailed(f"{type(fault).__name__}: {fault}", retryable=True))
        else:
            now = self._clock.now() if events else wake.sent_at or self._clock.now()
            await insist(lambda: self._store.settle_wake(wake, upto, now), self._clock)

    async def _failed(self, wake: Wake, failed: SendFailed) -> None:
        now, attempts = self._clock.now(), wake.attempts + 1
        if gives_up(attempts, retryable=failed.retryable):
            await self._park(wake, failed.reason)
            return
        luck = random.random()  # noqa: S311 — spreads retries, guards nothing
        again_at = now + pause(attempts, luck, failed.retry_after)
        await insist(lambda: self._store.retry_wake(wake.id, again_at, failed.reason), self._clock)

    async def _park(self, wake: Wake, reason: str) -> None:
        log.warning("wake %s of %s is parked: %s", wake.id, wake.conversation, reason)
        now = self._clock.now()
        await insist(lambda: self._store.park_wake(wake.id, now, reason), self._clock)


def message_of(wake: Wake, events: list[SystemEvent]) -> Message:
    """Return what a wake says: all that waits, in order."""
    said = text_of(events)
    return Message(
        id=f"{wake.id}:{events[-1].id}",
        at=events[-1].at,
        kind="conversation.events",
        title=said.title,
        text=said.text,
        conversation=wake.conversation,
        data={"eventIds": [event.id for event in events], "events": [event.data for event in events[-20:]]},
    )


def text_of(events: list[SystemEvent]) -> NoticeText:
    """Return what several events of a conversation say together."""
    return together([(event.kind, _body(event)) for event in events])


def _body(event: SystemEvent) -> dict[str, object]:
    if event.data.get("approvalId") or (event.data.get("taskId") and event.data.get("status")):
        return event.data
    return {"title": event.kind if event.kind != "note" else "", "text": event.text}
