"""outlast: work that outlasts the chat turn, the terminal and the restart."""

from __future__ import annotations

from outlast._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from outlast.flows.context import FlowContext
    from outlast.flows.errors import FlowCancelled, NonRetryable, SignalTimeout, StepFailed, StepTimedOut
    from outlast.flows.program import flow, step
    from outlast.flows.retrying import Retry
    from outlast.flows.waits import CommandResult, Decision

_FROM = {
    "FlowContext": "context", "FlowCancelled": "errors", "NonRetryable": "errors", "SignalTimeout": "errors",
    "StepFailed": "errors", "StepTimedOut": "errors", "flow": "program", "step": "program", "Retry": "retrying",
    "CommandResult": "waits", "Decision": "waits",
}  # fmt: skip

__all__ = [
    "CommandResult", "Decision", "FlowCancelled", "FlowContext", "NonRetryable", "Retry", "SignalTimeout", "StepFailed",
    "StepTimedOut", "__version__", "flow", "step",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what flows are written with when it is first asked for: the command line starts without it."""
    place = _FROM.get(name)
    if place is None:
        raise AttributeError(f"module 'outlast' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"outlast.flows.{place}"), name)
