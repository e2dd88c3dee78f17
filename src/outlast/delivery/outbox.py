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

from outlast.core.errors import BadInput
from outlast.core.notice_text import notice_text
from outlast.delivery.backoff import gives_up, pause
from outlast.delivery.channels.base import Channel, Message, SendFailed
from outlast.delivery.loop import Loop
from outlast.process.clock import Clock
from outlast.store.base import Change, Store
from outlast.store.base_told import NoticeRow

log = logging.getLogger("outlast.delivery")

HEADS_MAX = 500
AT_ONCE = 16
"""Channels that are sent to at the same time."""
BATCH = 200
"""Notices moved into a conversation in one commit."""

OpenChannel = Callable[[str], Channel | None]
"""The channel a target names, None when it is the key of a conversation. Raises BadInput for one that is no use."""


class Outbox:
    """Sends what waits."""

    def __init__(self, store: Store, clock: Clock, open_channel: OpenChannel) -> None:
        self._store = store
        self._clock = clock
        self._open = open_channel
        self._busy: set[str] = set()
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
        for head in await self._store.due_heads(self._clock.now(), HEADS_MAX):
            if head.target in self._busy or (head.task_id, head.target) in self._held:
                continue
            channel = self._channel(head.target)
            if isinstance(channel, str):
                await self._store.settle_notice(head.id, "parked", self._clock.now(), channel)
            elif channel is None:
                while await self._store.deliver_to_conversation(head.target, self._clock.now(), BATCH) == BATCH:
                    pass
            elif len(self._busy) < AT_ONCE:
                self._busy.add(head.target)
                self._loop.beside(self._drain(head.target, channel))
        return None if self._busy else await self._next_due()

    async def _next_due(self) -> float | None:
        """The next moment; one that has passed belongs to what is held back, whose release nudges."""
        due = await self._store.next_notice_due()
        return due if due is not None and due > self._clock.now() else None

    def _channel(self, target: str) -> Channel | str | None:
        try:
            return self._open(target)
        except BadInput as wrong:
            return wrong.message

    async def _drain(self, target: str, channel: Channel) -> None:
        """Send what waits for a target, one after the other, until it is done or one has to wait."""
        try:
            while notices := await self._store.pending_of(target, 1):
                if notices[0].next_at > self._clock.now() or not await self._send(notices[0], channel):
                    return
        finally:
            self._busy.discard(target)

    async def _send(self, notice: NoticeRow, channel: Channel) -> bool:
        """Send one; True when the next may follow."""
        try:
            await channel.send(message_of(notice))
        except SendFailed as failed:
            return await self._failed(notice, failed)
        await self._store.settle_notice(notice.id, "delivered", self._clock.now())
        return True

    async def _failed(self, notice: NoticeRow, failed: SendFailed) -> bool:
        now, attempts = self._clock.now(), notice.attempts + 1
        if gives_up(attempts, retryable=failed.retryable):
            log.warning("notice %d is parked: %s", notice.id, failed.reason)
            await self._store.settle_notice(notice.id, "parked", now, failed.reason)
            return True
        luck = random.random()  # noqa: S311 — spreads retries, guards nothing
        await self._store.retry_notice(notice.id, now + pause(attempts, luck, failed.retry_after), failed.reason)
        return False


def message_of(notice: NoticeRow) -> Message:
    """Return what a channel is given of a notice."""
    said = notice_text(notice.kind, notice.body)
    kind = f"task.{notice.kind}" if notice.task_id and notice.body.get("status") else notice.kind
    return Message(
        id=notice.idempotency_key, at=notice.at, kind=kind, title=said.title, text=said.text, data=dict(notice.body)
    )
