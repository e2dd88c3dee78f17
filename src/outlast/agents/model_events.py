"""What a run of a model brings, put into the words of the journal."""

from __future__ import annotations

from typing import Any

from pydantic_ai import Agent, AgentRun
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    PartDeltaEvent,
    PartStartEvent,
    RetryPromptPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)

from outlast.agents.desk import Desk


async def follow(run: AgentRun[None, Any], desk: Desk) -> None:
    """Drive a run to its end and tell what it brings."""
    requests = 0
    async for node in run:
        if not (Agent.is_model_request_node(node) or Agent.is_call_tools_node(node)):
            continue
        requests += Agent.is_model_request_node(node)
        async with node.stream(run.ctx) as events:
            async for event in events:
                tell(desk, event, requests)
                await desk.room()


def tell(desk: Desk, event: object, request: int) -> None:
    """Tell one event; what is no news to people is left out. ``request`` counts the requests to the model."""
    if isinstance(event, PartStartEvent):
        name = f"{request}.{event.index}"
        if isinstance(event.part, TextPart):
            desk.text(event.part.content, name)
        elif isinstance(event.part, ThinkingPart):
            desk.thought(event.part.content, name)
    elif isinstance(event, PartDeltaEvent):
        name = f"{request}.{event.index}"
        if isinstance(event.delta, TextPartDelta):
            desk.text(event.delta.content_delta, name)
        elif isinstance(event.delta, ThinkingPartDelta):
            desk.thought(event.delta.content_delta or "", name)
    elif isinstance(event, FunctionToolCallEvent):
        given = event.part.args_as_dict() if event.args_valid is not False else {"arguments": event.part.args}
        desk.tool(
            event.part.tool_call_id, title=_title(event.part.tool_name, given), status="in_progress",
            kind=event.part.tool_name, given=given,
        )  # fmt: skip
    elif isinstance(event, FunctionToolResultEvent):
        failed = isinstance(event.part, RetryPromptPart)
        desk.tool(event.part.tool_call_id, status="failed" if failed else "completed", output=event.part.content)


def _title(tool: str, given: dict[str, Any]) -> str:
    """A tool, what it is to do, and to what."""
    known = ("action", "name", "sessionId", "taskId", "flowId", "command")
    return " ".join([tool, *[str(given[name]) for name in known if name in given][:2]])
