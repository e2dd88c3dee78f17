"""Questions that may take a while: poll one session for news, or wait for many at once.

No caller needs a loop.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from outlast.api import results
from outlast.api.context import Api, Caller, drop
from outlast.api.matcher import compile_pattern
from outlast.api.requests import DAY_MS, SHOWN_DEFAULT, PollRequest, WaitRequest
from outlast.api.results import Matched, SessionResult, WaitResult
from outlast.api.watch import Wants, Watch
from outlast.core import guards
from outlast.core.errors import BadInput, Conflict, GatewayTrouble
from outlast.process.sessions import Session

WAIT_DEFAULT_MS = 600_000
SHOWN_LEAST = 1024
"""Bytes of output shown for each of very many sessions."""


async def poll(api: Api, caller: Caller, session: Session, request: PollRequest) -> SessionResult:
    """Return what is new since the reader's cursor (or ``since``), waiting up to ``timeoutMs`` for news.

    A reader that keeps asking without news is held until there is some or the last hint has passed.
    """
    reader = request.reader or caller.requester
    if request.since is None:
        start = min(api.readers.cursor(session.id, reader), session.output.produced)
    else:
        start = request.since
        _check_since(start, session)
    patience = (request.timeout_ms or 0) / 1000
    habit = api.readers.habit(session.id, reader)
    habit, hold = guards.poll_arrives(habit, api.clock.monotonic(), patience)
    with _holding(api, caller, session):
        result = await _news(api, session, start, max(patience, hold), request)
        if result.status != "running":
            api.books.saw_end(session, caller.requester)
    news = _is_news(result, session)
    advice = None if news else guards.poll_advice(habit, session.id)
    habit, hint = guards.poll_answered(habit, api.clock.monotonic(), news)
    api.readers.note_habit(session.id, reader, habit)
    if request.since is None and isinstance(result.cursor, int):
        api.readers.move(session.id, reader, result.cursor)
    return await _finish_poll(api, session, result, hint, advice)


def _check_since(start: int, session: Session) -> None:
    produced = session.output.produced
    if start > produced:
        raise BadInput(
            f"since: {start} lies behind the {produced} bytes produced",
            code="bad_range",
            hint="use the last cursor",
        )


async def _news(api: Api, session: Session, start: int, patience: float, request: PollRequest) -> SessionResult:
    """Build the answer; while it holds nothing new and there is patience left, wait and build it again."""
    deadline = api.clock.monotonic() + patience
    while True:
        produced = session.output.produced
        result = results.with_output(
            api,
            session,
            start,
            max_bytes=request.max_bytes or SHOWN_DEFAULT,
            head=False,
            raw=bool(request.raw),
        )
        left = deadline - api.clock.monotonic()
        if _is_news(result, session) or left <= 0 or api.stopping:
            return result
        await api.first(api.sessions.until_output(session, produced), seconds=left)


def _is_news(result: SessionResult, session: Session) -> bool:
    """True when an answer holds output, or the end."""
    return bool(result.tail) or bool(result.truncated) or result.status != "running"


async def _finish_poll(
    api: Api, session: Session, result: SessionResult, hint: int, advice: str | None
) -> SessionResult:
    running = session.end is None
    more: dict[str, Any] = {
        "idle_ms": results.idle_ms(api, session),
        "waiting_for_input": await _waits_for_input(api, session),
        "retry_in_ms": hint if running else None,
        "more": isinstance(result.cursor, int) and session.output.produced > result.cursor,
    }
    if advice is not None:
        more["advice"] = [*result.advice, advice]
    return msgspec.structs.replace(result, **more)


async def _waits_for_input(api: Api, session: Session) -> bool | None:
    if session.end is not None or not (session.info.pty or session.info.stdin == "pipe"):
        return None
    try:
        return (await api.sessions.probe(session)).waiting_for_input
    except (Conflict, GatewayTrouble):  # it has just ended, or its supervisor is gone: not knowing is an answer
        return None


async def wait(api: Api, caller: Caller, request: WaitRequest) -> WaitResult:
    """Wait until one (or, with ``mode: all``, each) of the sessions meets what is asked, or the time is over.

    Raises BadInput at once for a bad pattern, an unknown session, or a condition without its value.
    """
    names = dict.fromkeys(request.session_ids)
    wants = wants_of(request)
    watches = [Watch(api, await api.find(caller, name), wants) for name in names]
    every = request.mode == "all" or len(watches) == 1
    timed_out = False
    if not await _look_once(watches, every):
        seconds = (WAIT_DEFAULT_MS if request.timeout_ms is None else request.timeout_ms) / 1000
        with _holding(api, caller, *(watch.session for watch in watches)):
            came = await api.first(_run(watches, every), seconds=min(seconds, DAY_MS / 1000))
            _saw(api, caller, watches)
        timed_out = came is None and not api.stopping
    else:
        _saw(api, caller, watches)
    room = request.max_bytes or max(SHOWN_LEAST, SHOWN_DEFAULT // len(watches))
    met = (all if every else any)(watch.met for watch in watches)
    return WaitResult(
        met=met,
        timed_out=timed_out and not met,
        results=[_waited(api, watch, request, room) for watch in watches],
    )


def _holding(api: Api, caller: Caller, *sessions: Session) -> AbstractContextManager[None]:
    """Keep the notices of these sessions' tasks from one who is about to see their end by himself."""
    ids = [session.info.task_id for session in sessions if session.info.task_id is not None]
    return api.books.holding(ids, caller.requester) if ids else nullcontext()


def _saw(api: Api, caller: Caller, watches: list[Watch]) -> None:
    for watch in watches:
        if watch.session.end is not None:
            api.books.saw_end(watch.session, caller.requester)


def wants_of(request: WaitRequest) -> Wants:
    """Return what a request waits for. Raises BadInput when the condition named is not given, or a pattern is bad."""
    given = {"pattern": request.pattern, "port": request.port, "quiet": request.quiet_seconds}
    kind: str = request.for_ or next((name for name, value in given.items() if value is not None), "exit")
    field = {"quiet": "quietSeconds"}.get(kind, kind)
    if kind in given and given[kind] is None:
        raise BadInput(f"{field}: is required when waiting for {kind}")
    if kind != "any":
        extra = [name for name, value in given.items() if value is not None and name != kind]
        if extra:
            raise BadInput(
                f'{extra[0]}: does not go with for: "{kind}"',
                hint='for: "any" waits for whichever comes first',
            )
    return Wants(
        exit=kind in ("exit", "any"),
        regexp=None if request.pattern is None else compile_pattern(request.pattern),
        port=request.port,
        quiet=request.quiet_seconds,
        since=request.since or 0,
    )


async def _look_once(watches: list[Watch], every: bool) -> bool:
    """Look at what is there before any clock runs, so that a wait of 0 ms is a question. True when it is answered."""
    over = [await watch.look() for watch in watches]
    return all(over) or (not every and any(watch.met for watch in watches))


async def _run(watches: list[Watch], every: bool) -> None:
    """Run all watches until every one is over, or until the first is met."""
    tasks = [asyncio.ensure_future(watch.run()) for watch in watches]
    try:
        for task in asyncio.as_completed(tasks):
            await task
            if not every and any(watch.met for watch in watches):
                return
    finally:
        drop(tasks)


def _waited(api: Api, watch: Watch, request: WaitRequest, room: int) -> SessionResult:
    found = watch.matched
    matched = None
    if found is not None and request.pattern is not None:
        matched = Matched(pattern=request.pattern, text=found.text, start=found.start, end=found.end)
    return results.with_output(
        api,
        watch.session,
        min(request.since or 0, watch.session.output.produced),
        max_bytes=room,
        head=watch.session.end is not None,
        raw=bool(request.raw),
        matched=matched,
        met=watch.met,
    )
