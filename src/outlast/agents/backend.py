"""What a backend is, what it is given, and how it says that a turn has ended."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from outlast.core.agent import Usage

CANCEL_GRACE = 3.0
"""Seconds an agent has to stop by itself when its turn is called off. A kill of the session leaves 5 s in all."""

SESSION_GONE_HINT = "its next turn in this conversation begins a new session"

NO_PROGRAM = "install it, or correct command of the agent in the file that `outlast config path` names"


class Ended(NamedTuple):
    """How a turn ended. ``stop`` is one of those of `outlast.core.agent.AgentEvent`; ``answer`` overrules what came
    as messages.
    """

    stop: str
    answer: str | None = None
    usage: Usage | None = None
    agent_session: str | None = None


class AgentTrouble(Exception):
    """A turn cannot go on. ``code`` is a stable word, ``hint`` the next act, ``ended`` what there was until then."""

    def __init__(self, code: str, message: str, *, hint: str | None = None, ended: Ended | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.ended = ended


class Steer(NamedTuple):
    """What somebody wants an agent to hear in mid-turn. ``interrupt``: at once, at the price of what it is doing."""

    id: str
    text: str
    interrupt: bool = False


class Backend(Protocol):
    """Knows how to talk to one kind of agents."""

    async def run(self) -> Ended:
        """Do the whole turn. Raises AgentTrouble."""

    def steer(self, steer: Steer) -> None:
        """Take what the agent is to hear; the desk is told what became of it."""

    def cancel(self) -> None:
        """Ask the agent to stop; ``run`` then ends soon, with what there is. Twice is once."""

    async def close(self) -> None:
        """Leave nothing running. Called once, whatever happened before."""
