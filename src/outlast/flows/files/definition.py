"""A flow file that has been checked: frozen records that can be kept as JSON beside the flow and read back the same.

Whoever holds a `Definition` need not look at the file again: names are resolved, texts are taken apart into what is
fixed and what is filled in, and every reference leads to a step that has ended by then. Spans are in seconds.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import msgspec

from outlast.flows.files.expressions import Expression
from outlast.flows.files.templates import Fields, Template, Value

MAX_ITEMS_DEFAULT = 1000
ATTEMPTS_DEFAULT = 5

ArgumentType = Literal["string", "integer", "number", "boolean", "json", "any"]
"""``json`` is any JSON value, as text written in JSON; ``any`` (Lobster files) is any, as text the text itself."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class Argument(_Record, frozen=True):
    """One argument of a flow. Without a default it is required, or null."""

    name: str
    type: ArgumentType = "string"
    default: Any = None
    required: bool = False
    enum: tuple[Any, ...] = ()
    description: str | None = None


class Retry(_Record, frozen=True):
    """How often a command is tried in all, and the pauses between in seconds: the first, doubled up to the longest."""

    attempts: int = ATTEMPTS_DEFAULT
    first: float = 1.0
    longest: float = 60.0

    def as_dict(self) -> dict[str, float]:
        """The pauses as a task keeps them on record."""
        return {"delaySeconds": self.first, "delayMaxSeconds": self.longest}


class Ask(_Record, frozen=True):
    """A question to a person after a command has run, with its output as the preview unless one is given."""

    prompt: Template
    preview: Template | None = None


class Command(_Record, frozen=True, tag="run"):
    """Run a command: a line for the shell, in which nothing is filled in, or a program and its arguments.

    ``check``: whether an exit code other than 0 is a failure.
    """

    command: str | tuple[Template, ...]
    stdin: Value | None = None
    env: dict[str, Template] = {}
    workdir: Template | None = None
    timeout: float | None = None
    retry: Retry | None = None
    check: bool = True
    ask: Ask | None = None


class Agent(_Record, frozen=True, tag="agent"):
    """Give an agent a turn, of at most ``timeout`` seconds. Its answer is the output of the step."""

    agent: str
    message: Template
    conversation: Template | None = None
    workdir: Template | None = None
    timeout: float | None = None


class Approval(_Record, frozen=True, tag="approval"):
    """Ask a person and wait for the answer, at most ``expires`` seconds."""

    prompt: Template
    preview: Template | None = None
    expires: float | None = None


class Wait(_Record, frozen=True, tag="wait"):
    """Wait for a signal, at most ``timeout`` seconds. Its payload is the output of the step."""

    signal: str
    timeout: float | None = None


class Sleep(_Record, frozen=True, tag="sleep"):
    """Sleep for a span, or until a moment (ISO 8601 with an offset)."""

    until: Template


class SubFlow(_Record, frozen=True, tag="flow"):
    """Run another flow with some arguments. Its result is the output of the step."""

    flow: str
    args: Fields = Fields({})


Act = Command | Agent | Approval | Wait | Sleep | SubFlow


class ForEach(_Record, frozen=True):
    """Do the act once for every item of a list, ``max_parallel`` at a time; more than ``max_items`` are a failure."""

    items: Value
    max_parallel: int = 1
    max_items: int = MAX_ITEMS_DEFAULT


class Step(_Record, frozen=True):
    """One step. ``needs`` are the steps that must have ended before; ``cleanup`` is done when it has failed."""

    id: str
    act: Act
    title: str | None = None
    needs: tuple[str, ...] = ()
    when: Expression | None = None
    for_each: ForEach | None = None
    on_failure: Literal["fail", "continue"] = "fail"
    cleanup: tuple[Step, ...] = ()


class Concurrency(_Record, frozen=True):
    """Of flows with the same key at most ``max`` run at once."""

    key: Template
    max: int = 1


class Definition(_Record, frozen=True):
    """A whole flow file.

    ``timeout`` bounds the flow, in seconds, and ``concurrency`` is about other flows: whoever runs the flow sees to
    both. Without ``outputs`` its result is the output of the last step that ran.
    """

    name: str
    goal: Template | None = None
    description: str | None = None
    args: tuple[Argument, ...] = ()
    env: dict[str, Template] = {}
    steps: tuple[Step, ...] = ()
    outputs: dict[str, Value] | None = None
    timeout: float | None = None
    concurrency: Concurrency | None = None

    def encoded(self) -> bytes:
        """The definition as JSON, which `decode_definition` reads back."""
        return msgspec.json.encode(self)


def unknown_agents(definition: Definition, known: Container[str]) -> list[str]:
    """Return a sentence for each step of an agent that is not among those known here. The file may be for elsewhere."""
    found: list[str] = []
    steps = list(definition.steps)
    while steps:
        step = steps.pop(0)
        if isinstance(step.act, Agent) and step.act.agent not in known:
            found.append(f"step {step.id} needs agent {step.act.agent!r}, which is not configured here")
        steps = [*step.cleanup, *steps]
    return found


def decode_definition(text: bytes | str) -> Definition:
    """Read back what `Definition.encoded` wrote. Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(text, type=Definition)
