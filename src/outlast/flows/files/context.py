"""What running a flow file asks of its surroundings: the part of a flow's context that files use.

Every operation has a name that is its own within one run, whatever else runs beside it, so that its recorded result is
found again by that name alone. An operation that fails raises an exception that carries what is known of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.flows.files.definition import Retry
from outlast.flows.files.evaluate import STATUSES


class Result(Protocol):
    """How a command ended."""

    @property
    def status(self) -> str:
        """One of the words for how work ends."""

    @property
    def exit_code(self) -> int | None:
        """None when there is none, as after a signal."""

    @property
    def stdout(self) -> str:
        """Its standard output as text, as far as it was kept."""

    @property
    def tail(self) -> str:
        """The last lines of all it printed."""

    @property
    def truncated(self) -> bool:
        """True when ``stdout`` is not all of it."""


class Answer(Protocol):
    """How a turn of an agent ended."""

    @property
    def status(self) -> str:
        """One of the words for how work ends."""

    @property
    def text(self) -> str:
        """What the agent answered."""


class Decision(Protocol):
    """What a person decided, or that nobody did."""

    @property
    def approved(self) -> bool:
        """True when the person said yes."""

    @property
    def status(self) -> str:
        """``approved``, ``rejected``, ``expired`` or ``cancelled``."""

    @property
    def note(self) -> str | None:
        """What the person wrote."""

    @property
    def by(self) -> str | None:
        """Who it was."""


class Context(Protocol):
    """The operations that flow files are made of; spans are in seconds."""

    async def run(
        self,
        name: str,
        command: str | Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
        check: bool = True,
        title: str | None = None,
    ) -> Result:
        """Run a command."""

    async def agent(
        self,
        name: str,
        agent: str,
        message: str,
        *,
        conversation: str | None = None,
        workdir: str | None = None,
        timeout: float | None = None,
        title: str | None = None,
    ) -> Answer:
        """Give an agent a turn."""

    async def approve(
        self, name: str, prompt: str, *, preview: str | None = None, expires: float | None = None
    ) -> Decision:
        """Ask a person."""

    async def sleep(self, name: str, duration: float) -> None:
        """Sleep so long."""

    async def sleep_until(self, name: str, moment: datetime) -> None:
        """Sleep until then."""

    async def signal(self, name: str, *, timeout: float | None = None) -> Any:
        """Wait for a signal and return its payload."""

    async def flow(self, name: str, target: str, /, *args: object, **kwargs: object) -> Any:
        """Run another flow and return its result."""

    def progress(self, done: int, known: int) -> None:
        """Tell how many steps are done, of how many that are known."""


class Failure(Exception):
    """A step of a flow file failed, and with it the flow. ``step`` is its id, ``message`` says why."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(f"{step}: {message}")
        self.step = step
        self.message = message


def is_failure(error: Exception) -> bool:
    """True for the failure of an operation, which names its step, and for a command that is refused.

    Anything else is a fault, or trouble of outlast itself, and no step is to blame for it.
    """
    return isinstance(getattr(error, "step", None), str) or isinstance(error, BadInput | Refused | NotFound | Conflict)


def status_of(error: Exception) -> str:
    """How the operation ended that raised this, in the words for how work ends."""
    kind = getattr(error, "type", None)
    status = getattr(getattr(error, "result", None), "status", kind)
    if isinstance(status, str) and status != "succeeded" and status in STATUSES:
        return status
    late = any(word in cls.__name__ for cls in type(error).__mro__ for word in ("Timeout", "TimedOut"))
    return "timed_out" if late else "failed"
