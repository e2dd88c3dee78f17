"""What a session's terminal shows now, drawn from the newest output on request only."""

from __future__ import annotations

import asyncio

from outlast.api.context import Api, Caller
from outlast.api.requests import ScreenRequest
from outlast.api.results import Cursor, ScreenResult
from outlast.api.states import must_be_pty
from outlast.process import screen as terminal
from outlast.process.sessions import Session

DRAWN_MAX = 512 * 1024
"""Bytes of the newest output that are drawn: full-screen programs repaint far more often."""
DRAWN_AT_ONCE = 64 * 1024
MODES_MAX = 8 * 1024 * 1024
"""Bytes of the newest output in which the modes a program has set are looked for."""


async def screen(api: Api, caller: Caller, session: Session, request: ScreenRequest) -> ScreenResult:
    """Return the present screen of a terminal session; of an ended one its last. Raises Conflict (``not_a_pty``)."""
    must_be_pty(session, "show")
    cols, rows = request.cols or session.cols, request.rows or session.rows
    _, raw = session.output.tail(DRAWN_MAX)
    if len(raw) <= DRAWN_AT_ONCE:
        drawn = terminal.render(raw, cols, rows)
    else:
        drawn = await asyncio.to_thread(terminal.render, raw, cols, rows)  # up to a quarter of a second
    cursor = drawn.cursor
    return ScreenResult(
        session_id=session.id,
        status=str(session.status),
        text=drawn.text(),
        lines=drawn.lines(),
        cursor=Cursor(row=cursor.row, col=cursor.col, visible=cursor.visible),
        cols=drawn.cols,
        rows=drawn.rows,
        title=drawn.title,
        alternate=drawn.alternate,
    )


def modes_of(session: Session) -> terminal.Modes:
    """Return which modes the program in a session's terminal has set."""
    _, raw = session.output.tail(MODES_MAX)
    return terminal.modes_of(raw)
