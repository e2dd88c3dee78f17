"""What a program of a flow can meet.

::

    FlowError
    ├── StepFailed          a step ended badly and was tried as often as its rule allows
    │   └── StepTimedOut    … because it took too long
    ├── SignalTimeout       nobody sent the signal in time
    ├── FlowFailed          a flow one has waited for did not succeed, or is blocked
    ├── NotStorable         what a step returned cannot be put on record
    └── NonRetryable        raise it in a step: trying again would not help
    FlowCancelled           somebody called the flow off; not an Exception, so that ``except Exception`` lets it pass
"""

from __future__ import annotations

from outlast.core.flow import Flow


class FlowError(Exception):
    """Base of what a flow raises on purpose."""


class StepFailed(FlowError):
    """A step ended badly. ``type`` is the name of the exception, or the status of a command or sub-flow.

    ``result`` holds what there is of a command that failed (a `CommandResult`), else None.
    """

    def __init__(self, step: str, message: str, *, type: str, result: object = None) -> None:
        super().__init__(f"step {step!r}: {message}")
        self.step = step
        self.message = message
        self.type = type
        self.result = result


class StepTimedOut(StepFailed):
    """A step took longer than it may."""


class SignalTimeout(FlowError):
    """A signal was not sent in time."""

    def __init__(self, step: str) -> None:
        super().__init__(f"nobody sent {step!r} in time")
        self.step = step


class FlowFailed(FlowError):
    """A flow did not succeed, or is blocked. ``flow`` is its record."""

    def __init__(self, flow: Flow) -> None:
        said = flow.error or (flow.blocker or {}).get("message") or flow.cause or ""
        super().__init__(f"flow {flow.name} ({flow.id}) is {flow.status}" + (f": {said}" if said else ""))
        self.flow = flow


class NotStorable(FlowError):
    """A value cannot be put on record: it is not JSON, nor anything that is read back as what it was."""


class NonRetryable(FlowError):
    """Raised in a step: it failed for good, whatever its retry rule says."""


class FlowCancelled(BaseException):
    """The flow was called off. Ends the program; compensations run after it."""


class CodeChanged(BaseException):
    """The program asks for another step than the one on record: it has been changed under a running flow."""

    def __init__(self, recorded: str, asked: str) -> None:
        super().__init__(f"on record is step {recorded!r}, but the program now asks for {asked!r}")
        self.recorded = recorded
        self.asked = asked


class Parked(BaseException):
    """The flow waits on record; its coroutine is let go."""


class ClaimLost(BaseException):
    """Somebody else has taken the flow over: nothing of this run counts any more."""


class DeadlinePassed(BaseException):
    """The flow's time is up."""


class Crashed(BaseException):
    """A test pretends that the worker has died here."""
