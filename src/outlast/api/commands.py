"""Acts on one session that is there: input, signals, its end, its removal.

Starting one is `outlast.api.exec`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Literal

from outlast.api import results
from outlast.api.context import Api, Caller
from outlast.api.requests import (
    SHOWN_DEFAULT,
    KillRequest,
    PasteRequest,
    PlainRequest,
    ResizeRequest,
    SendKeysRequest,
    SignalRequest,
    StopRequest,
    SubmitRequest,
    WriteRequest,
)
from outlast.api.results import Accepted, Removed, Resized, SessionResult, Signalled, Stopping
from outlast.api.screens import modes_of
from outlast.api.states import must_be_pty, must_run, must_take_input
from outlast.core.errors import BadInput, Conflict
from outlast.core.signals import SIGTERM, parse_signal, signal_name
from outlast.process import keys
from outlast.process.sessions import Session


async def write(api: Api, caller: Caller, session: Session, request: WriteRequest) -> Accepted:
    """Write bytes to standard input, and close it after them with ``eof``."""
    if request.data is not None and request.data_base64 is not None:
        raise BadInput("data: give either data or dataBase64")
    data = b""
    if request.data is not None:
        data = keys.encode_literal(request.data)
    elif request.data_base64 is not None:
        try:
            data = base64.b64decode(request.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise BadInput("dataBase64: is not base64") from None
    elif not request.eof:
        raise BadInput("data: is required (or dataBase64, or eof)")
    must_take_input(session)
    return await _accept(api, session, data, eof=bool(request.eof))


async def _accept(api: Api, session: Session, data: bytes, *, eof: bool = False) -> Accepted:
    accepted = await api.sessions.write(session, data, eof=eof)
    return Accepted(session_id=session.id, accepted=accepted)


async def send_keys(api: Api, caller: Caller, session: Session, request: SendKeysRequest) -> Accepted:
    """Press keys in a session's terminal; arrows follow the mode the program has set."""
    if request.literal and request.hex:
        raise BadInput("literal: does not go with hex")
    if request.literal:
        data = b"".join(map(keys.encode_literal, request.keys))
    elif request.hex:
        data = keys.encode_hex(request.keys)
    else:
        data = keys.encode_keys(request.keys)  # a bad key is an error before anything is asked of the session
    must_run(session)
    must_be_pty(session, "press keys in")
    if not request.literal and not request.hex and b"\x1b" in data:
        modes = modes_of(session)
        data = keys.encode_keys(request.keys, application_cursor=modes.application_cursor)
    return await _accept(api, session, data)


async def submit(api: Api, caller: Caller, session: Session, request: SubmitRequest) -> Accepted:
    """Send a line of text and what Enter sends there: CR to a terminal, LF to a pipe."""
    text = keys.encode_literal(request.text or "")
    must_take_input(session)
    return await _accept(api, session, text + (b"\r" if session.info.pty else b"\n"))


async def paste(api: Api, caller: Caller, session: Session, request: PasteRequest) -> Accepted:
    """Send text as a terminal pastes it; to a pipe it goes as it stands."""
    text = keys.encode_literal(request.text)
    must_take_input(session)
    if session.info.pty:
        bracketed = modes_of(session).bracketed_paste if request.bracketed is None else request.bracketed
        text = keys.paste(request.text, bracketed)
    return await _accept(api, session, text)


async def resize(api: Api, caller: Caller, session: Session, request: ResizeRequest) -> Resized:
    """Give a session's terminal another size."""
    must_run(session)
    must_be_pty(session, "resize")
    await api.sessions.resize(session, request.cols, request.rows)
    return Resized(session_id=session.id, cols=request.cols, rows=request.rows)


async def signal(api: Api, caller: Caller, session: Session, request: SignalRequest) -> Signalled:
    """Send a signal to the command, its whole tree, or the terminal's foreground group."""
    if request.tree and request.group:
        raise BadInput("tree: does not go with group")
    number = parse_signal(request.signal)
    if not (request.tree and session.leftovers):
        must_run(session)
    scope: Literal["tree", "group", "leader"] = "tree" if request.tree else "group" if request.group else "leader"
    sent = await api.sessions.signal(session, number, scope=scope)
    return Signalled(session_id=session.id, signal=signal_name(number), sent=sent)


async def kill(api: Api, caller: Caller, session: Session, request: KillRequest) -> SessionResult:
    """End the whole tree of a session and say who was ended.

    Also for what an ended command has left behind. The ending goes on when the caller leaves.
    """
    number = SIGTERM if request.signal is None else parse_signal(request.signal)
    if not session.leftovers:
        must_run(session)
    report = await api.finish(api.sessions.kill(session, signum=number, grace=request.grace_seconds))
    return results.with_output(
        api,
        session,
        min(api.readers.cursor(session.id, caller.requester), session.output.produced),
        max_bytes=request.max_bytes or SHOWN_DEFAULT,
        head=True,
        raw=bool(request.raw),
        **results.killed_rows(report.ended, report.survivors),
    )


async def remove(api: Api, caller: Caller, session: Session, request: PlainRequest) -> Removed:
    """Forget an ended session with its output. Raises Conflict (``session_running``) for a live one."""
    if session.end is None:
        raise Conflict(
            f"session {session.id} is running",
            code="session_running",
            hint=f"outlast process kill {session.id}",
        )
    await _remove(api, session)
    return Removed(removed=[session.id])


async def clear(api: Api, caller: Caller, request: PlainRequest) -> Removed:
    """Forget all of the caller's ended sessions; those that left processes running stay."""
    removed = []
    for session in [session async for session in api.ended(caller)]:
        try:
            await _remove(api, session)
        except Conflict:
            continue
        removed.append(session.id)
    return Removed(removed=removed)


async def _remove(api: Api, session: Session) -> None:
    await api.sessions.remove(session)
    api.readers.forget(session.id)


async def stop(api: Api, caller: Caller, request: StopRequest) -> Stopping:
    """Begin to stop the gateway; with ``killSessions`` end all sessions first. For the operator only."""
    caller.needs_operator("stop the gateway")
    killed: list[str] = []
    if request.kill_sessions:
        killed = await api.finish(kill_all(api))
    api.gateway.request_stop()
    return Stopping(stopping=True, sessions_left=len(api.running(caller)), killed=killed)


async def kill_all(api: Api) -> list[str]:
    """End every live session, all at once; return the ids of those that have ended."""
    live = api.sessions.live()
    await asyncio.gather(*(api.sessions.kill(session) for session in live), return_exceptions=True)
    return [session.id for session in live if session.end is not None]
