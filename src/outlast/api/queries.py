"""Questions that change nothing: how sessions stand, what they printed, what their terminals show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

from outlast.api import results
from outlast.api.context import Api, Caller
from outlast.api.requests import (
    LINES_DEFAULT,
    SHOWN_MAX,
    ListRequest,
    LogRequest,
    OutputRequest,
    PlainRequest,
)
from outlast.api.results import LineSpan, LogResult, SessionPage, SessionResult, Truncated
from outlast.api.shown import Shown, decode, show
from outlast.core.errors import BadInput
from outlast.core.session import Span
from outlast.process.output import PAGE_MAX, LinePage, Output
from outlast.process.sessions import Session

LIST_DEFAULT = 50
LINES_AT_ONCE = 1024 * 1024
"""Bytes of output in which lines are looked for without leaving the loop."""
OUTPUT_CHUNK = 192 * 1024


class OutputRange(NamedTuple):
    """A range of raw output; ``chunks`` yields its bytes without the ``omitted`` parts, a bounded piece at a time."""

    start: int
    end: int
    produced: int
    omitted: tuple[Span, ...]
    chunks: Iterator[bytes]


async def list_sessions(api: Api, caller: Caller, request: ListRequest) -> SessionPage:
    """Return one page of the caller's sessions: live ones first, then the newest ended."""
    limit = request.limit or LIST_DEFAULT
    found: list[Session] = []
    async for session in _listed(api, caller, request):
        found.append(session)
        if len(found) > limit:
            break
    page = found[:limit]
    return SessionPage(
        sessions=[_line(api, session) for session in page],
        next=page[-1].id if len(found) > limit else None,
    )


async def _listed(api: Api, caller: Caller, request: ListRequest) -> AsyncIterator[Session]:
    before = request.before
    running = api.running(caller)
    if before is not None and any(s.id == before for s in running):
        running = [s for s in running if s.id < before]
        before = None
    elif before is not None:
        running = []
    if request.status != "ended":
        for session in running:
            yield session
    if request.status != "running":
        async for session in api.ended(caller, before):
            yield session


def show_session(api: Api, caller: Caller, session: Session, request: PlainRequest) -> SessionResult:
    """Return how one session stands, without its output."""
    return _line(api, session)


def _line(api: Api, session: Session) -> SessionResult:
    return results.describe(api, session, idle_ms=results.idle_ms(api, session), produced_bytes=session.output.produced)


async def log(api: Api, caller: Caller, session: Session, request: LogRequest) -> LogResult:
    """Return output by lines (default: the last 200) or by a byte range.

    Raises BadInput (``bad_range``) for a range that makes no sense or lies behind the end of the output.
    """
    if request.bytes is not None:
        if request.offset is not None or request.limit or request.tail or request.stream:
            raise BadInput("bytes: cannot be combined with offset, limit, tail or stream", code="bad_range")
        return _log_bytes(session, request.bytes, raw=bool(request.raw))
    if request.tail is not None and (request.offset is not None or request.limit is not None):
        raise BadInput("tail: cannot be combined with offset or limit", code="bad_range")
    if session.output.produced <= LINES_AT_ONCE:
        return _log_lines(session, request)
    return await asyncio.to_thread(_log_lines, session, request)  # counting lines may take a good part of a second


def _log_lines(session: Session, request: LogRequest) -> LogResult:
    stream = {"stdout": 1, "stderr": 2}.get(request.stream or "")
    page = _page(session.output, request, stream)
    text, _ = decode(page.text, raw=bool(request.raw), final=True)
    more = page.offset is not None and page.total is not None and page.offset + page.count < page.total
    return LogResult(
        session_id=session.id,
        status=str(session.status),
        text=text,
        lines=LineSpan(offset=page.offset, count=page.count, total=page.total),
        bytes=Span(page.start, page.end),
        produced_bytes=session.output.produced,
        truncated=_page_truncation(session, page),
        next=(page.offset or 0) + page.count if more else None,
    )


def _page(output: Output, request: LogRequest, stream: int | None) -> LinePage:
    limit = request.tail or request.limit or LINES_DEFAULT
    offset = request.offset
    if offset is None:
        return output.lines(None, limit, stream)
    if offset >= 0:
        return output.lines(offset, limit, stream)
    page = output.lines(None, -offset, stream)
    if limit >= page.count:
        return page
    if page.offset is None:
        raise BadInput(
            "offset: the output is too long to count its lines from the end",
            code="bad_range",
            hint="use tail, or a range of bytes",
        )
    return output.lines(page.offset, limit, stream)


def _page_truncation(session: Session, page: LinePage) -> Truncated | None:
    """Say what a page of lines lacks: bytes that were not kept, or the rest of a line longer than a page."""
    missing = session.output.omitted_in(page.start, page.end)
    if len(page.text) >= PAGE_MAX:
        if page.start > 0:
            missing.insert(0, Span(max(0, page.start - PAGE_MAX), page.start))
        if page.end < session.output.produced:
            missing.append(Span(page.end, min(page.end + PAGE_MAX, session.output.produced)))
    shown = Shown("", page.start, page.end, len(page.text), tuple(missing))
    return results.truncation(session, shown)


def _log_bytes(session: Session, text: str, *, raw: bool) -> LogResult:
    output = session.output
    start, end = byte_range(text, output.produced)
    upto = min(end, start + SHOWN_MAX)
    shown = show(output, start, upto, max_bytes=SHOWN_MAX, head=True, raw=raw, running=upto < end)
    return LogResult(
        session_id=session.id,
        status=str(session.status),
        text=shown.text,
        lines=None,
        bytes=Span(start, shown.cursor),
        produced_bytes=output.produced,
        truncated=results.truncation(session, shown),
        next=shown.cursor if shown.cursor < end else None,
    )


def byte_range(text: str, produced: int) -> tuple[int, int]:
    """Read ``START:END`` (either may be left out) within ``produced`` bytes. Raises BadInput (``bad_range``)."""
    first, colon, last = text.partition(":")
    if not colon or not all(part.isascii() and (part.isdigit() or not part) for part in (first, last)):
        raise BadInput(f"bytes: {text!r} is not START:END", code="bad_range", hint="for example 0:65536")
    return check_range(int(first or 0), int(last) if last else None, produced)


def check_range(start: int, end: int | None, produced: int) -> tuple[int, int]:
    """Return a byte range cut to what was produced. Raises BadInput (``bad_range``) when it begins behind that."""
    stop = produced if end is None else end
    if start > produced or start > stop:
        raise BadInput(
            f"the range {start}:{stop} does not lie within the {produced} bytes produced",
            code="bad_range",
            hint=f"use 0 <= START <= END, START at most {produced}",
        )
    return start, min(stop, produced)


def output_range(api: Api, caller: Caller, session: Session, request: OutputRequest) -> OutputRange:
    """Return raw octets of the output. Raises BadInput (``bad_range``)."""
    output = session.output
    start, end = check_range(request.start or 0, request.end, output.produced)
    omitted = tuple(output.omitted_in(start, end))
    steps = range(start, end, OUTPUT_CHUNK)
    chunks = (output.read(at, min(at + OUTPUT_CHUNK, end)) for at in steps)
    return OutputRange(start, end, output.produced, omitted, chunks)
