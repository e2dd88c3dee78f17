"""What a run needs of the engine that holds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from outlast.core.flow import Flow, StepRow
from outlast.flows.values import Values
from outlast.process.clock import Clock
from outlast.store.base import Store


class Host(Protocol):
    """What a run needs of the engine."""

    store: Store
    clock: Clock
    values: Values
    linger_seconds: float
    lease_seconds: float
    pid: int
    ended: Callable[[Flow], None]

    def compose(self, flow: Flow, given: dict[str, Any], ask: Any) -> Any:
        """Return the task of a command step. Raises BadInput or Refused."""

    def admit(self, flow: Flow, ask: Any, /) -> Awaitable[None]:
        """Raise Refused for an agent step that the flow's requester may not have."""

    def reached(self, point: str, row: StepRow | None) -> None:
        """Pass a named point of a step's way to its record: where tests kill, or pretend to."""

    def new_id(self, letter: str) -> str:
        """Return a fresh id."""

    async def handler_named(self, name: str) -> str:
        """Return the handler a sub-flow's name means. Raises NotFound."""
