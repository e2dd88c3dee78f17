"""What a model can be given of outlast: the tools of the tool-call form, asked of the gateway over its socket.

Each call is made for the turn's conversation, so the gateway's rules for that requester hold, whatever the model wants.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from pydantic_ai.tools import Tool
from pydantic_core import SchemaValidator, core_schema

from outlast import config
from outlast.client import Client
from outlast.core.agent import Turn
from outlast.core.errors import OutlastError

RESULT_MAX = 30_000
"""Characters of an answer that the model gets; what it leaves out can be read with narrower calls."""
ANSWER_SECONDS = 900.0
"""How long one call may take: a wait in the gateway lasts ten minutes at most."""

_OBJECT = SchemaValidator(core_schema.dict_schema(core_schema.str_schema()))
_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_FLAG = {"type": "boolean"}
_TABLE = {"type": "object"}


def _words(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


_TOOLS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "exec": (
        "Run a shell command now. It answers with the end and the output, or, when the command still runs after "
        "yieldMs, with a sessionId to go on with by the tool process. With detach it is a recorded task whose end is "
        "told later: for anything long.",
        {"command": _TEXT, "workdir": _TEXT, "env": _TABLE, "yieldMs": _WHOLE, "background": _FLAG, "detach": _FLAG,
         "timeoutSeconds": {"type": "number"}, "title": _TEXT},
        ("command",),
    ),
    "process": (
        "Watch and steer running commands. poll with timeoutMs waits for news; wait waits for an exit, a pattern, a "
        "port or quiet.",
        {"action": _words("list", "show", "poll", "log", "wait", "write", "send-keys", "submit", "paste", "screen",
                          "signal", "kill"),
         "sessionId": _TEXT, "timeoutMs": _WHOLE, "data": _TEXT, "keys": {"type": "array", "items": _TEXT},
         "pattern": _TEXT, "exit": _FLAG, "limit": _WHOLE, "offset": _WHOLE, "signal": _TEXT},
        ("action",),
    ),
    "tasks": (
        "The record of detached work: what runs, for whom, how it ended.",
        {"action": _words("list", "show", "events", "children", "log", "wait", "cancel", "retry", "dismiss", "audit",
                          "stats"),
         "taskId": _TEXT, "status": _TEXT, "timeoutMs": _WHOLE, "limit": _WHOLE},
        ("action",),
    ),
    "flow": (
        "Several steps that must stay together over time.",
        {"action": _words("start", "list", "show", "steps", "events", "wait", "signal", "cancel", "retry", "resume"),
         "flowId": _TEXT, "file": _TEXT, "text": _TEXT, "args": _TABLE, "name": _TEXT, "payload": {},
         "timeoutMs": _WHOLE, "limit": _WHOLE},
        ("action",),
    ),
    "approvals": (
        "Questions that wait for a person.",
        {"action": _words("list", "show"), "approvalId": _TEXT, "limit": _WHOLE},
        ("action",),
    ),
    "agents": (
        "Which agents there are, and a turn in a conversation that goes on: for work in the background, subagents.",
        {"action": _words("list", "run"), "agent": _TEXT, "message": _TEXT, "conversation": _TEXT, "dedupeKey": _TEXT},
        ("action",),
    ),
    "subagents": (
        "Have another agent do a task of its own, in the background.",
        {"action": _words("spawn", "list", "wait", "steer", "cancel"), "agent": _TEXT, "task": _TEXT, "taskId": _TEXT,
         "text": _TEXT, "dedupeKey": _TEXT, "timeoutMs": _WHOLE},
        ("action",),
    ),
    "cron": (
        "Work at a later time: once (at, in), regularly (every) or by a cron expression.",
        {"action": _words("list", "show", "next", "runs", "add", "edit", "pause", "resume", "run", "remove"),
         "name": _TEXT, "cron": _TEXT, "every": _TEXT, "at": _TEXT, "in": _TEXT, "tz": _TEXT, "command": _TEXT,
         "event": _TEXT, "agent": _TEXT, "message": _TEXT, "limit": _WHOLE, "count": _WHOLE},
        ("action",),
    ),
}  # fmt: skip


def make_tools(turn: Turn, env: Mapping[str, str]) -> list[Tool[None]]:
    """Return the tools a turn's agent was given."""
    settings = config.load(env)
    return [_tool(name, Gateway(settings, turn)) for name in turn.agent.tools]


def _tool(name: str, gateway: Gateway) -> Tool[None]:
    described, fields, needed = _TOOLS[name]
    schema = {"type": "object", "properties": fields, "required": list(needed), "additionalProperties": True}

    async def call(**given: Any) -> str:  # noqa: ANN401
        return await asyncio.to_thread(gateway.call, name, given)

    tool = Tool.from_schema(call, name=name, description=described, json_schema=schema)
    # The library takes any JSON here, and would end the turn over a list: so the model hears of it.
    tool.function_schema.validator = _OBJECT
    return tool


class Gateway:
    """The gateway, as the turn's conversation may use it."""

    def __init__(self, settings: config.Config, turn: Turn) -> None:
        self._settings = settings
        self._socket = turn.socket
        self._requester = turn.conversation

    def call(self, tool: str, given: dict[str, Any]) -> str:
        """Ask, and return the answer as JSON; what went wrong is an answer too, for the model to read."""
        client = Client(
            self._settings,
            gateway=f"unix:{self._socket}" if self._socket else None,
            requester=self._requester,
            autostart=False,
        )
        try:
            # Last, so that no argument of the model's makes it another tool or another requester.
            body = {**given, "tool": tool, "requester": self._requester}
            answer = client.post("/v1/tool", body, seconds=ANSWER_SECONDS)
        except OutlastError as error:
            answer = error.as_dict()
        finally:
            client.close()
        text = json.dumps(answer, ensure_ascii=False)
        return text if len(text) <= RESULT_MAX else f"{text[:RESULT_MAX]}\n[cut: {len(text)} characters]"
