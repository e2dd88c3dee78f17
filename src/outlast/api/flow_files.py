"""Flow files as they are asked about and started: read beside the loop, all that is wrong in one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from outlast.api.context import Api, Caller
from outlast.api.flow_requests import FlowCheckRequest, FlowFile
from outlast.api.flow_results import FlowChecked, ProblemResult
from outlast.core.errors import BadInput
from outlast.flows.files.arguments import concurrency_key, goal_of, parse_args
from outlast.flows.files.definition import Command, Definition, Step, unknown_agents
from outlast.flows.files.reading import Checked, check_text

Arguments = dict[str, Any]


async def check(api: Api, caller: Caller, request: FlowCheckRequest) -> FlowChecked:
    """Return everything that is wrong in a flow file, and which agents it needs that are not here."""
    checked = await _checked(request.file)
    definition = checked.definition
    return FlowChecked(
        ok=definition is not None,
        name=None if definition is None else definition.name,
        steps=0 if definition is None else len(definition.steps),
        problems=[
            ProblemResult(line=one.line, column=one.column, message=one.sentence) for one in checked.problems
        ],
        notes=[] if definition is None else unknown_agents(definition, api.config.agents),
    )  # fmt: skip


async def read(file: FlowFile) -> FileRead:
    """Read a flow file. Raises BadInput (``bad_flow_file``) with every problem on a line."""
    return FileRead((await _checked(file)).required())


def from_record(definition: dict[str, Any]) -> FileRead:
    """Return a file that was read before, from what is on record of it. Raises BadInput (``unreadable``)."""
    try:
        return FileRead(msgspec.convert(definition, Definition))
    except msgspec.ValidationError as error:
        raise BadInput(f"the flow on record cannot be read: {error}", code="unreadable") from None


async def _checked(file: FlowFile) -> Checked:
    return await asyncio.to_thread(check_text, file.text, file.name)  # a large one takes a second


class FileRead:
    """A file that nothing is wrong with."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition

    @property
    def builtins(self) -> dict[str, Any]:
        """The definition as it goes on record."""
        fields: dict[str, Any] = msgspec.to_builtins(self.definition)
        return fields

    @property
    def shell_lines(self) -> list[str]:
        """The lines for a shell in it: nothing is filled into them, so they are known now."""
        return [act.command for act in _commands(self.definition.steps) if isinstance(act.command, str)]

    def arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, text: bool) -> Arguments:
        """Return every argument of a run. Raises BadInput (``bad_args``) naming everything that is wrong."""
        if not text:
            if args:
                raise BadInput("args: a flow file has named arguments only", code="bad_args", hint="use kwargs")
            return parse_args(self.definition, (), kwargs)
        words = [*args, *(f"{name}={value}" for name, value in kwargs.items())]
        wrong = next((word for word in words if not isinstance(word, str)), None)
        if wrong is not None:
            raise BadInput("args: with text, every one is NAME=VALUE as text", code="bad_args")
        return parse_args(self.definition, words)

    def goal(self, values: Mapping[str, Any]) -> str:
        """Return what a run is for. Raises BadInput (``bad_args``)."""
        return goal_of(self.definition, values)

    def concurrency_key(self, values: Mapping[str, Any]) -> str | None:
        """Return the key of which only so many run at once. Raises BadInput (``bad_args``)."""
        return concurrency_key(self.definition, values)

    @property
    def concurrency_max(self) -> int:
        """How many of a key run at once."""
        return 1 if self.definition.concurrency is None else self.definition.concurrency.max


def _commands(steps: Sequence[Step]) -> Iterator[Command]:
    for step in steps:
        if isinstance(step.act, Command):
            yield step.act
        yield from _commands(step.cleanup)
