"""What a session must be for an act: running, with a terminal, with an input.

One sentence for each that it is not.
"""

from __future__ import annotations

from outlast.core.errors import Conflict
from outlast.process.sessions import Session


def must_run(session: Session) -> None:
    """Raise Conflict (``session_ended``) unless the session is running."""
    if session.end is not None:
        raise Conflict(
            f"session {session.id} has ended ({session.status})",
            code="session_ended",
            hint=f"its output is there: outlast process log {session.id}",
        )


def must_be_pty(session: Session, act: str) -> None:
    """Raise Conflict (``not_a_pty``) unless the session has a terminal."""
    if not session.info.pty:
        raise Conflict(
            f"session {session.id} has no terminal to {act}",
            code="not_a_pty",
            hint="start the command with pty: true",
        )


def must_take_input(session: Session) -> None:
    """Raise Conflict unless the session runs and its standard input was opened for writing."""
    must_run(session)
    if not session.info.pty and session.info.stdin != "pipe":
        raise Conflict(
            f"session {session.id} takes no input",
            code="no_stdin",
            hint='start the command with stdin: "pipe" or pty: true',
        )
