"""Sessions somebody stays with by following their output: no record of them as long as he does.

A command line in the foreground starts its command and then follows it on a stream. That is one call as far as its
user is concerned. When the stream ends before the command, the command has outlived its call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from outlast.process.sessions import Session

ARRIVAL_SECONDS = 5.0
"""How long the one who started a session to follow it may take to begin, and to come back."""


class Recorder(Protocol):
    """Who puts on record what outlived its call."""

    def outlived(self, session: Session) -> None:
        """Put a session on record; returns at once."""


class Followed:
    """Counts the followers of the sessions that were started to be followed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._followers: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def expect(self, session: Session) -> None:
        """Say that somebody is about to follow a session he has just started."""
        self._followers[session.id] = 0
        self._give_time(session)

    def has(self, session: Session) -> bool:
        """True while a session counts as one call with the one who follows it."""
        return session.id in self._followers

    @contextmanager
    def following(self, session: Session) -> Iterator[None]:
        """Say that somebody follows a session for as long as the block lasts."""
        if session.id not in self._followers:
            yield
            return
        self._followers[session.id] += 1
        timer = self._timers.pop(session.id, None)
        if timer is not None:
            timer.cancel()
        try:
            yield
        finally:
            self._followers[session.id] -= 1
            if self._followers[session.id] == 0:
                self._give_time(session)

    def _give_time(self, session: Session) -> None:
        if session.end is not None:
            self._followers.pop(session.id, None)
            return
        loop = asyncio.get_running_loop()
        self._timers[session.id] = loop.call_later(ARRIVAL_SECONDS, self._nobody_came, session)

    def _nobody_came(self, session: Session) -> None:
        self._timers.pop(session.id, None)
        self._followers.pop(session.id, None)
        if session.end is None:
            self._recorder.outlived(session)
