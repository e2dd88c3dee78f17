"""outlast: work that outlasts the chat turn, the terminal and the restart.

Flows are written with `flow`, `step`, `Retry` and the `FlowContext`; `open` runs them inside one's own process, and
`connect` talks to a gateway.
"""

from __future__ import annotations

from outlast._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from outlast.client import Client
    from outlast.flows.context import FlowContext
    from outlast.flows.errors import (
        FlowCancelled,
        FlowFailed,
        NonRetryable,
        NotStorable,
        SignalTimeout,
        StepFailed,
        StepTimedOut,
    )
    from outlast.flows.program import FlowFunction, flow, step
    from outlast.flows.retrying import Retry, Span
    from outlast.flows.waits import AgentResult, CommandResult, Decision
    from outlast.gateway.embedded import FlowHandle, FlowRuntime

_FROM = {
    "FlowContext": "flows.context", "FlowCancelled": "flows.errors", "FlowFailed": "flows.errors",
    "NonRetryable": "flows.errors", "NotStorable": "flows.errors", "SignalTimeout": "flows.errors",
    "StepFailed": "flows.errors", "StepTimedOut": "flows.errors", "flow": "flows.program", "step": "flows.program",
    "Retry": "flows.retrying", "AgentResult": "flows.waits", "CommandResult": "flows.waits", "Decision": "flows.waits",
    "FlowHandle": "gateway.embedded", "FlowRuntime": "gateway.embedded",
}  # fmt: skip

__all__ = [
    "AgentResult", "CommandResult", "Decision", "FlowCancelled", "FlowContext", "FlowFailed", "FlowHandle",
    "FlowRuntime", "NonRetryable", "NotStorable", "Retry", "SignalTimeout", "StepFailed", "StepTimedOut",
    "__version__", "connect", "flow", "open", "step",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what flows are written with when it is first asked for: the command line starts without it."""
    place = _FROM.get(name)
    if place is None:
        raise AttributeError(f"module 'outlast' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"outlast.{place}"), name)


def open(  # the name says what it does, as that of gzip.open does
    *functions: FlowFunction[..., Any],
    home: str | None = None,
    store: str | None = None,
    slots: int | None = None,
    lease: Span | None = None,
) -> FlowRuntime:
    """Return a runtime for flows in this process, with no gateway: ``async with outlast.open(release) as runtime``.

    ``functions`` are the flows it serves beside those it starts. ``home`` is where records are kept (default: the
    user's own), ``store`` another store (``postgresql://…``), ``slots`` how many flows run at once (500), ``lease``
    how long a flow stays with a process that is not heard of (30 s). Raises BadInput for settings that are wrong.
    """
    from outlast.gateway.embedded import FlowRuntime

    return FlowRuntime(*functions, home=home, store=store, slots=slots, lease=lease)


def connect(
    *, home: str | None = None, gateway: str | None = None, token: str | None = None, requester: str | None = None
) -> Client:
    """Return a client of a gateway: of a home (started when none runs), or at an address (``http://HOST:PORT``).

    ``requester`` says for whom the calls are made, default ``OUTLAST_REQUESTER``, which the turn of an agent has.
    Raises BadInput for settings that are wrong.
    """
    import os

    from outlast.client import Client
    from outlast.config import load

    environ = dict(os.environ)
    if home is not None:
        environ["OUTLAST_HOME"] = os.path.abspath(home)
    if requester is None:
        requester = environ.get("OUTLAST_REQUESTER") or None
    return Client(load(environ), gateway=gateway, token=token, requester=requester)
