"""What a runtime is: something that does the work of one task and says how it came out.

A runtime never sees the ledger. What it has to say while it works it says through the `Hands` it is given.
"""

from __future__ import annotations

from typing import Any, Protocol

from outlast.core.outcome import Outcome
from outlast.core.session import Cause
from outlast.core.task import Task


class NeverBegan(Exception):  # not an error: an answer of its own
    """There is proof that the work of this claim was never started, and that it never will be."""


class NotHeld(Exception):  # not an error: somebody else took over
    """The claim is no longer held: nothing may be started for it."""


class Hands(Protocol):
    """How a runtime reports while it works; who records it is none of its business."""

    async def attach(self, session_id: str) -> None:
        """Say what is about to be started; returns once that is on record. Raises NotHeld, GatewayTrouble."""

    def began(self, data: dict[str, object]) -> None:
        """Say that it was started. Returns at once."""

    async def has_begun(self) -> bool:
        """True when it is on record that this attempt was started. Waits for a record that is out of reach."""

    def progress(self, percent: int | None, message: str | None) -> None:
        """Say how far it is, or (with neither) that it lives. Returns at once."""


class Runtime(Protocol):
    """Who does the work of a kind of task."""

    async def run(self, task: Task, payload: dict[str, Any], hands: Hands) -> Outcome:
        """Start the work and stay with it to its end. Raises NotHeld, NeverBegan.

        A cancelled wait lets go of the work and ends nothing: a later `resume` finds it.
        """

    async def resume(self, task: Task, hands: Hands) -> Outcome:
        """Stay with work that an earlier worker claimed; settle it from evidence when it has ended.

        Raises NeverBegan.
        """

    async def cancel(self, task: Task, cause: Cause, grace_seconds: float | None = None) -> None:
        """End the work; `run` or `resume` then returns its outcome. Nothing happens to work that has ended.

        It has ``grace_seconds`` to end by itself once it is asked to; None: as long as was said when it was started.
        """
