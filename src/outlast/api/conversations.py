"""Conversations and how they are told: events, wakes, notices."""

from __future__ import annotations

import secrets

from outlast.api.context import Api, Caller, until
from outlast.api.requests import PlainRequest
from outlast.api.results import Removed
from outlast.api.told_requests import (
    AckRequest,
    ConversationEventsRequest,
    ConversationsRequest,
    NoticesRequest,
    SystemEventRequest,
    WakeAddRequest,
    WakesRequest,
)
from outlast.api.told_results import (
    Acked,
    ConversationPage,
    ConversationResult,
    NoticePage,
    NoticeResult,
    SystemEventPage,
    Told,
    WakeList,
    WakeResult,
    WakeTested,
    describe_conversation,
    describe_event,
    describe_notice,
    describe_wake,
)
from outlast.core.agent import AgentConversation
from outlast.core.conversation import Conversation, Mode, NewSystemEvent, Wake, check_key
from outlast.core.errors import BadInput, NotFound
from outlast.core.ids import timed_id
from outlast.core.notice_text import notice_text
from outlast.core.redact import redact
from outlast.core.text import is_sound, sound
from outlast.delivery.channels.base import Message, SendFailed
from outlast.delivery.channels.signature import new_secret, read_secret
from outlast.delivery.channels.targets import Target, command_target, parse_target
from outlast.store.base_told import NoticeRow

LIST_DEFAULT = 100
EVENTS_DEFAULT = 100
_CHANNELS = ("command", "argv", "webhook", "desktop", "smtp", "apprise")


async def list_conversations(api: Api, caller: Caller, request: ConversationsRequest) -> ConversationPage:
    """Return conversations that have events, or transcripts, by key; a requester sees his own only."""
    if not caller.operator:
        return ConversationPage(conversations=[await _one(api, caller.requester)], next=None)
    limit = request.limit or LIST_DEFAULT
    if request.transcripts:
        held = await api.store.agent_conversations(None, limit, request.after or "")
        return ConversationPage(
            conversations=[await _one(api, one.key, one) for one in held],
            next=held[-1].key if len(held) == limit else None,
        )
    found = await api.store.conversations(limit, request.after or "")
    return ConversationPage(
        conversations=[describe_conversation(one) for one in found],
        next=found[-1].key if len(found) == limit else None,
    )


async def show(api: Api, caller: Caller, key: str, request: PlainRequest) -> ConversationResult:
    """Return what waits for a conversation, and how it is woken."""
    _may(caller, key)
    return await _one(api, key)


async def _one(api: Api, key: str, held: AgentConversation | None = None) -> ConversationResult:
    waiting = await api.store.system_events(key, 0, 1000)
    wakes = await api.store.wakes_of(key)
    return describe_conversation(
        Conversation(
            key=key,
            waiting=len(waiting),
            oldest_at=waiting[0].at if waiting else None,
            newest_at=waiting[-1].at if waiting else None,
            wakes=len(wakes),
        ),
        held,
    )


def _may(caller: Caller, key: str) -> None:
    """Raise NotFound for another one's conversation."""
    if not is_sound(key) or not (caller.operator or key == caller.requester):
        raise NotFound(f"no conversation {key!r}", hint="outlast conversations list")


async def events(api: Api, caller: Caller, key: str, request: ConversationEventsRequest) -> SystemEventPage:
    """Return what a conversation has yet to hear; with ``timeoutMs`` wait for news. Reading consumes nothing."""
    _may(caller, key)
    limit, after = request.limit or EVENTS_DEFAULT, request.after or 0
    deadline = api.clock.monotonic() + (request.timeout_ms or 0) / 1000
    while True:
        news = api.books.next_wake()
        try:
            found = await api.store.system_events(key, after, limit, waiting=not request.all)
            left = deadline - api.clock.monotonic()
            if found or left <= 0 or api.stopping:
                break
            await api.first(until(news), seconds=left)
        finally:
            news.cancel()
    return SystemEventPage(
        conversation=key, events=[describe_event(event) for event in found],
        next=found[-1].id if len(found) == limit else None,
    )  # fmt: skip


async def ack(api: Api, caller: Caller, key: str, request: AckRequest) -> Acked:
    """Note that a conversation has consumed its events; they are told to nobody any more."""
    _may(caller, key)
    upto = await api.store.last_system_event(key) if request.upto is None else request.upto
    acked = await api.store.ack_events(key, upto, api.clock.now())
    return Acked(conversation=key, acked=acked, waiting=len(await api.store.system_events(key, 0, 1000)))


async def tell(api: Api, caller: Caller, request: SystemEventRequest) -> Told:
    """Queue an event for a conversation: heard now, through its wakes, or with its next turn."""
    check_key(request.to, "to")
    if request.to != caller.requester:
        caller.needs_operator("speak to other conversations")
    now, text = api.clock.now(), redact(sound(request.text))
    key = check_key(request.key, "key") if request.key else timed_id("e", now, secrets.randbits(40), 4)
    queued = await api.store.add_system_event(
        NewSystemEvent(
            conversation=request.to,
            at=now,
            kind="note",
            text=text,
            data={"text": text},
            source_key=f"event:{request.to}:{key}",
            mode=Mode(request.mode or "now"),
        )
    )
    return Told(conversation=request.to, queued=queued)


# ---- wakes


async def add_wake(api: Api, caller: Caller, request: WakeAddRequest) -> WakeResult:
    """Register how a conversation is woken. A webhook's secret is made here unless it is given, and shown this once."""
    caller.needs_operator("register wakes")
    check_key(request.conversation, "conversation")
    given = [name for name in _CHANNELS if getattr(request, name) not in (None, False)]
    if len(given) != 1:
        raise BadInput(
            "command: is required (or argv, webhook, desktop, smtp, apprise)"
            if not given
            else f"{given[1]}: does not go with {given[0]}"
        )
    secret = None
    if request.webhook is not None:
        secret = request.secret or new_secret()
        read_secret(secret)
    elif request.secret is not None:
        raise BadInput("secret: goes with webhook only")
    now = api.clock.now()
    wake = Wake(
        id=timed_id("w", now, secrets.randbits(40), 4), conversation=request.conversation,
        channel=_target(request).text, secret=secret, created_at=now,
    )  # fmt: skip
    api.books.open_wake(wake)  # what cannot be opened is refused now, not when it is needed
    await api.store.add_wake(wake)
    return describe_wake(wake, **({"secret": secret} if secret and not request.secret else {}))


def _target(request: WakeAddRequest) -> Target:
    if request.command is not None:
        return command_target(request.command)
    if request.argv is not None:
        return command_target(request.argv)
    for kind in ("webhook", "smtp", "apprise"):
        if (address := getattr(request, kind)) is not None:
            return parse_target(f"{kind}:{address}")
    return parse_target("desktop:")


async def list_wakes(api: Api, caller: Caller, request: WakesRequest) -> WakeList:
    """Return wakes, their secrets left out."""
    key = request.conversation if caller.operator else caller.requester
    found = await api.store.list_wakes(1000) if key is None else await api.store.wakes_of(key)
    return WakeList(wakes=[describe_wake(wake) for wake in found])


async def _wake(api: Api, caller: Caller, wake_id: str) -> Wake:
    wake = await api.store.get_wake(wake_id) if is_sound(wake_id) else None
    if wake is None or not (caller.operator or wake.conversation == caller.requester):
        raise NotFound(f"no wake {wake_id!r}", hint="outlast wake list")
    return wake


async def test_wake(api: Api, caller: Caller, wake_id: str, request: PlainRequest) -> WakeTested:
    """Send a real message through a wake, now, and say what came of it."""
    wake = await _wake(api, caller, wake_id)
    caller.needs_operator("test wakes")
    now, began = api.clock.now(), api.clock.monotonic()
    text = f"This is a test of the wake of {wake.conversation}. Nothing has happened; nothing is to be done."
    message = Message(
        id=f"{wake.id}:test:{secrets.token_hex(4)}", at=now, kind="wake.test", title="outlast: a test", text=text,
        conversation=wake.conversation, data={"test": True},
    )  # fmt: skip
    error = None
    try:
        await api.finish(api.books.open_wake(wake).send(message))
    except SendFailed as failed:
        error = failed.reason
    took = round((api.clock.monotonic() - began) * 1000)
    if error is None and wake.parked_at is not None:
        await api.store.revive_wake(wake.id, api.clock.now())
    return WakeTested(wake_id=wake.id, delivered=error is None, error=error, took_ms=took)


async def remove_wake(api: Api, caller: Caller, wake_id: str, request: PlainRequest) -> Removed:
    """Forget a wake."""
    caller.needs_operator("remove wakes")
    wake = await _wake(api, caller, wake_id)
    await api.store.remove_wake(wake.id)
    return Removed(removed=[wake.id])


# ---- notices


async def list_notices(api: Api, caller: Caller, request: NoticesRequest) -> NoticePage:
    """Return notices, newest first: on their way, delivered, or given up."""
    target = request.target if caller.operator else caller.requester
    limit = request.limit or LIST_DEFAULT
    found = await api.store.list_notices(request.state, target, limit, request.before)
    following = found[-1].id if len(found) == limit else None
    return NoticePage(notices=[_described(notice) for notice in found], next=following)


def _described(notice: NoticeRow) -> NoticeResult:
    return describe_notice(notice, notice_text(notice.kind, notice.body).title)


async def _notice(api: Api, caller: Caller, notice_id: str) -> NoticeRow:
    number = int(notice_id) if notice_id.isascii() and notice_id.isdigit() and len(notice_id) < 18 else -1
    notice = await api.store.get_notice(number)
    if notice is None or not (caller.operator or notice.target == caller.requester):
        raise NotFound(f"no notification {notice_id!r}", hint="outlast notifications list")
    return notice


async def retry_notice(api: Api, caller: Caller, notice_id: str, request: PlainRequest) -> NoticeResult:
    """Send a notice again that was given up, or now instead of later."""
    notice = await _notice(api, caller, notice_id)
    now = api.clock.now()
    if notice.state == "pending":
        await api.store.retry_notice(notice.id, now, notice.error or "")
    elif notice.state == "delivered":
        raise BadInput(f"notification {notice.id} is delivered", code="already_delivered")
    else:
        await api.store.revive_notice(notice.id, now)
    return _described(await api.store.get_notice(notice.id) or notice)


async def dismiss_notice(api: Api, caller: Caller, notice_id: str, request: PlainRequest) -> NoticeResult:
    """Give a notice up for good; no audit finds fault with it any more."""
    notice = await _notice(api, caller, notice_id)
    await api.store.dismiss_notice(notice.id, api.clock.now())
    return _described(await api.store.get_notice(notice.id) or notice)
