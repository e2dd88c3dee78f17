"""The work of an agent's turn: a task like any other, the same whoever asks for it.

Whether somebody may give an agent a turn is not looked at here.
"""

from __future__ import annotations

import msgspec

from outlast.api.context import Making
from outlast.api.exec import workdir_at
from outlast.core import policy
from outlast.core.agent import LANE, AgentConversation, AgentSpec
from outlast.core.agent import main_conversation as main_conversation
from outlast.core.agent import queue_of as queue_of
from outlast.core.conversation import check_key
from outlast.core.environment import check_overrides
from outlast.core.errors import BadInput, Refused
from outlast.core.redact import redact
from outlast.core.task import SPAWN, NewTask, NotifyPolicy, Runtime
from outlast.core.text import sound

MESSAGE_MAX = 512 * 1024
"""Characters of a message to an agent."""
SHOWN_MAX = 2_000
"""Characters of a message that its task's record shows; the transcript has the whole."""
TITLE_MAX = 80


class TurnAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn is asked for with. Spans in seconds, moments since the epoch.

    ``conversation`` None is the agent's main one. ``caller_env`` is the environment the agent inherits (None: the
    gateway's), ``env`` what is added to it.
    """

    agent: str
    message: str
    source: str = "agent"
    kind: str = "turn"
    requester: str = "local"
    conversation: str | None = None
    workdir: str | None = None
    env: dict[str, str] = {}
    caller_env: dict[str, str] | None = None
    timeout_seconds: float | None = None
    deadline_at: float | None = None
    title: str | None = None
    label: str | None = None
    notify: NotifyPolicy = NotifyPolicy.DONE_ONLY
    channel: str | None = None
    priority: int = 0
    dedupe_key: str | None = None
    parent_id: str | None = None
    flow_id: str | None = None
    schedule_id: str | None = None


def agent_named(making: Making, name: str) -> AgentSpec:
    """Return an agent as it is configured now. Raises BadInput (``no_such_agent``)."""
    agents = making.config.agents
    found = agents.get(name)
    if found is None:
        known = ", ".join(sorted(agents)) or "none is configured yet"
        wrong = f"; not read: {agents.trouble.message}" if agents.trouble is not None else ""
        raise BadInput(
            f"no agent {name!r}", code="no_such_agent", hint=f"outlast agents list; there is: {known}{wrong}"
        )
    return found


def other_agent(held: AgentConversation) -> BadInput:
    """Return what one gets who wants another agent in a conversation."""
    return BadInput(
        f"conversation {held.key} is held by agent {held.agent}", code="other_agent",
        hint="name another conversation, or that agent",
    )  # fmt: skip


def require_agents(making: Making, requester: str) -> None:
    """Raise Refused unless a requester may run anything: an agent runs commands no pattern vouches for."""
    settings = making.config
    mode = policy.mode_for(requester, settings.exec_mode, settings.exec_requesters)
    if mode != "full":
        raise Refused(
            f"{requester} may not run agents here: exec.mode is {mode}", code="exec_denied",
            hint="ask the operator to run it",
        )  # fmt: skip


def compose_turn(making: Making, task_id: str, ask: TurnAsk, *, node: str | None) -> NewTask:
    """Return the task of a turn. Raises BadInput (``no_such_agent``, ``bad_key``, ``bad_message``, ``bad_workdir``)."""
    agent = agent_named(making, ask.agent)
    conversation = check_key(ask.conversation or main_conversation(agent.name), "conversation")
    message = sound(ask.message)
    if not message.strip():
        raise BadInput("message: must say something", code="bad_message")
    if len(message) > MESSAGE_MAX:
        raise BadInput(
            f"message: must be at most {MESSAGE_MAX} characters", code="bad_message",
            hint="put it into a file, and say where that is",
        )  # fmt: skip
    workdir = None if ask.workdir is None else workdir_at(ask.workdir, making.environ.get("HOME"))
    shown: dict[str, object] = {"agent": agent.name, "message": redact(message)[:SHOWN_MAX]}
    if workdir is not None:
        shown["workdir"] = sound(workdir)
    if ask.timeout_seconds is not None:
        shown["timeoutSeconds"] = ask.timeout_seconds
    spawned = ask.kind == SPAWN
    return NewTask(
        id=task_id,
        runtime=Runtime.ACP if agent.backend == "acp" and not spawned else Runtime.SUBAGENT,
        kind=ask.kind,
        source=ask.source,
        requester=ask.requester,
        created_at=making.clock.now(),
        ask=shown,
        payload={
            "message": message, "workdir": workdir, "env": check_overrides(ask.env, remote=False),
            "callerEnv": ask.caller_env, "timeoutSeconds": ask.timeout_seconds,
        },
        conversation=conversation,
        parent_id=ask.parent_id,
        flow_id=ask.flow_id,
        node=node,
        label=None if ask.label is None else redact(sound(ask.label)),
        title=title_of(ask),
        notify=ask.notify,
        channel=ask.channel,
        priority=ask.priority,
        queue=LANE if spawned else queue_of(conversation),
        dedupe_key=ask.dedupe_key,
        deadline_at=ask.deadline_at,
        schedule_id=ask.schedule_id,
    )  # fmt: skip


def title_of(ask: TurnAsk) -> str:
    """Return what a turn is called: as was asked, else its agent and the beginning of the message."""
    said = redact(sound(ask.title or f"{ask.agent}: {ask.message.strip()}"))
    line = " ".join(said[: TITLE_MAX * 4].split())
    return line if len(line) <= TITLE_MAX else line[: TITLE_MAX - 1] + "…"
