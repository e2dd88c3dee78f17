"""Sending: notices leave the outbox in the order of their target, each until it is delivered or parked.

A notice for a conversation goes into that conversation's queue in one act, which also makes its wakes due. A notice
for a channel is sent with its key, so that a second sending can be recognised; the next one of the same target waits
until the first is settled.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import takewhile

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.notice_text import notice_text
from outlast.delivery.backoff import gives_up, pause
from outlast.delivery.channels.base import Channel, Message, SendFailed
from outlast.delivery.lease import alone, kept
from outlast.delivery.loop import Loop, insist
from outlast.process.clock import Clock
from outlast.store.base import Change, Store
from outlast.store.base_told import NoticeRow

log = logging.getLogger("outlast.delivery")

HEADS_MAX = 500
AT_ONCE = 16
"""Channels that are sent to at the same time."""
BATCH = 200
"""Notices moved into a conversation in one commit."""
REST_SECONDS = 60.0
"""How long a target is left alone where a fault of ours, which trying again would not mend, came between."""

OpenChannel = Callable[[str], Channel | None]
"""The channel a target names, None when it is the key of a conversation. Raises BadInput for one that is no use."""


class Outbox:
    """Sends what waits. ``shared``: other gateways may do so, too, from the same store."""

    def __init__(self, store: Store, clock: Clock, open_channel: OpenChannel, *, shared: bool = False) -> None:
        self._store = store
        self._clock = clock
        self._open = open_channel
        self._kept = kept if shared else alone
        self._busy: set[str] = set()
        self._resting: dict[str, float] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        self._loop = Loop("outbox", self._round, clock)

    def start(self) -> None:
        """Begin."""
        self._store.on_change(self._changed)
        self._loop.start()

    async def stop(self) -> None:
        """End; what is under way is sent again by the next gateway, with the same key."""
        await self._loop.stop()

    def nudge(self) -> None:
        """Look now."""
        self._loop.nudge()

    @contextmanager
    def holding(self, task_ids: Iterable[str], target: str) -> Iterator[None]:
        """Keep notices back while somebody waits who will see for himself; the rest goes out after all."""
        keys = [(task_id, target) for task_id in task_ids]
        self._held.update(keys)
        try:
            yield
        finally:
            self._held.subtract(keys)
            for key in keys:
                if self._held[key] <= 0:
                    del self._held[key]
            self._loop.nudge()

    def _changed(self, change: Change) -> None:
        if change.outbox or change.foreign:
            self._loop.nudge()

    async def _round(self) -> float | None:
        now = self._clock.now()
        self._resting = {target: until for target, until in self._resting.items() if until > now}
        for head in await self._store.due_heads(now, HEADS_MAX):
            held = (head.task_id, head.target) in self._held
            if not held and head.target not in self._busy and head.target not in self._resting:
                await self._guarded(head)
        # What is due by now is being sent, is held back or rests: it must not hide what is due next.
        due = await self._store.next_notice_due(now)
        return min((*self._resting.values(), *(() if due is None else (due,))), default=None)

    async def _guarded(self, head: NoticeRow) -> None:
        """See to a target; one that cannot be seen to stops no other."""
        try:
            await self._begin(head)
        except GatewayTrouble:
            raise
        except Exception:
            self._rest(head.target)

    async def _begin(self, head: NoticeRow) -> None:
        channel = self._channel(head.target)
        if isinstance(channel, str):
            await self._store.settle_notice(head.id, "parked", self._clock.now(), channel)
            self._loop.nudge()
        elif channel is None:
            await self._move(head.target)
        elif len(self._busy) < AT_ONCE:
            self._busy.add(head.target)
            self._loop.beside(self._drain(head.target, channel))

    async def _move(self, target: str) -> None:
        """Move what waits into a conversation's queue, up to what somebody is about to see for himself."""
        limit = moved = BATCH
        while moved == BATCH:
            if any(key[1] == target for key in self._held):
                waiting = await self._store.pending_of(target, BATCH)
                limit = len(list(takewhile(lambda one: (one.task_id, target) not in self._held, waiting)))
            moved = await self._store.deliver_to_conversation(target, self._clock.now(), limit) if limit else 0

    def _rest(self, target: str) -> None:
        log.exception("what waits for %s cannot be told", target.partition(":")[0])
        self._resting[target] = self._clock.now() + REST_SECONDS

    def _channel(self, target: str) -> Channel | str | None:
        try:
            return self._open(target)
        except BadInput as wrong:
            return wrong.message

    async def _drain(self, target: str, channel: Channel) -> None:
        """Send what waits for a target, one after the other, until it is done or one has to wait."""
        try:
            while notices := await self._store.pending_of(target, 1):
                if notices[0].next_at > self._clock.now():
                    return
                claim = partial(self._store.claim_notice, notices[0].id)
                async with self._kept(claim, notices[0].next_at, self._clock) as ours:
                    if not ours or not await self._send(notices[0], channel):
                        return
        except GatewayTrouble:
            raise
        except Exception:
            self._rest(target)
        finally:
            self._busy.discard(target)

    async def _send(self, notice: NoticeRow, channel: Channel) -> bool:
        """Send one; True when the next may follow."""
        try:
            await channel.send(message_of(notice))
        except SendFailed as failed:
            return await self._failed(notice, failed)
        except Exception as fault:
            log.exception("notice %d cannot be sent", notice.id)
            return await self._failed(notice, SendFailed(f"{type(fault).__name__}: {fault}", retryable=True))
        now = self._clock.now()
        await insist(lambda: self._store.settle_notice(notice.id, "delivered", now), self._clock)
        return True

    async def _failed(self, notice: NoticeRow, failed: SendFailed) -> bool:
        now, attempts = self._clock.now(), notice.attempts + 1
        if gives_up(attempts, retryable=failed.retryable):
            log.warning("notice %d is parked: %s", notice.id, failed.reason)
            await insist(lambda: self._store.settle_notice(notice.id, "parked", now, failed.reason), self._clock)
            return True
        luck = random.random()  # noqa: S311 — spreads retries, guards nothing
        again_at = now + pause(attempts, luck, failed.retry_after)
        await insist(lambda: self._store.retry_notice(notice.id, again_at, failed.reason), self._clock)
        return False


def message_of(notice: NoticeRow) -> Message:
    """Return what a channel is given of a notice."""
    said = notice_text(notice.kind, notice.body)
    kind = f"task.{notice.kind}" if notice.task_id and notice.body.get("status") else notice.kind
    if notice.body.get("approvalId"):
        kind = notice.kind.replace("_", ".", 1)
    return Message(
        id=notice.idempotency_key, at=notice.at, kind=kind, title=said.title, text=said.text, data=dict(notice.body)
    )
