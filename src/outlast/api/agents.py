"""Agents: which there are, turns and spawns, what is said in a conversation.

An agent runs commands that no pattern vouches for, so giving it a turn needs what running anything needs
(``exec.mode`` full). The operator may speak in every conversation; everybody else in those of his own: the one that an
agent holds with him, and those he has spawned.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import Any

import msgspec

from outlast.api.agent_requests import (
    AgentRunRequest,
    SpawnRequest,
    SteerRequest,
    SubagentsRequest,
    TranscriptRequest,
)
from outlast.api.agent_results import (
    AgentList,
    AgentShown,
    Steered,
    SubagentShown,
    TranscriptPage,
    describe_agent,
    describe_entry,
    describe_turn,
)
from outlast.api.agent_rights import is_own, may_speak
from outlast.api.agent_waits import turn_wait
from outlast.api.agent_work import TurnAsk, agent_named, main_conversation, require_agents
from outlast.api.context import Api, Caller, until
from outlast.api.requests import PlainRequest
from outlast.api.task_lookup import find_task, task_around
from outlast.api.task_results import TaskPage, TaskResult, describe
from outlast.api.tasks import statuses_of
from outlast.core.agent import AgentConversation, Entry, EntryKind, Turn, main_of, own_folder, with_requester
from outlast.core.agent_check import AgentCheck
from outlast.core.agent_config import settings_of
from outlast.core.conversation import check_key
from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound
from outlast.core.ids import own_key
from outlast.core.notice_text import LINE_MAX, one_line
from outlast.core.redact import redact
from outlast.core.session import Status
from outlast.core.task import AGENTS, SPAWN, NotifyPolicy, Task, TaskFilter
from outlast.store.base import Created

PAGE_DEFAULT = 100
CHECK_SECONDS = 80.0
"""How long a look at an agent may take; the look itself ends after a minute."""
END_SECONDS = 5.0
"""How long one that nobody waits for any more may take to end what it has started."""


# ---- which there are


async def list_agents(api: Api, caller: Caller, request: PlainRequest) -> AgentList:
    """Return the configured agents, with how many turns each has; to whoever may give them turns."""
    whole = _may_look(api, caller)
    live = await api.store.live_turns(None if whole else caller.requester)
    found = [
        describe_agent(spec, _own_conversation(caller, spec.name), live.get(spec.name, (0, 0)), whole=whole)
        for spec in api.config.agents.values()
    ]
    return AgentList(agents=found, trouble=_trouble(api) if whole else None)


def _may_look(api: Api, caller: Caller) -> bool:
    """True for the operator. Raises Refused for who may not run agents: to him there are none."""
    if not caller.operator:
        require_agents(api, caller.requester)
    return caller.operator


def _trouble(api: Api) -> str | None:
    trouble = api.config.agents.trouble
    return None if trouble is None else trouble.message


async def show_agent(api: Api, caller: Caller, name: str, request: PlainRequest) -> AgentShown:
    """Return one agent with every key that holds for it."""
    caller.needs_operator("look at the settings of an agent")
    spec = agent_named(api, name)
    live = (await api.store.live_turns()).get(spec.name, (0, 0))
    return AgentShown(
        agent=describe_agent(spec, main_conversation(spec.name), live, whole=True),
        settings={**settings_of(spec), "workdir": spec.workdir or own_folder(api.config.paths.home, spec.name)},
        file=api.config.paths.config_file,
        trouble=_trouble(api),
    )


async def check(api: Api, caller: Caller, name: str, request: PlainRequest) -> AgentCheck:
    """Start an agent, have it say what it is and can do, or which login it wants; nothing is left running."""
    caller.needs_operator("look at the agents")
    spec = agent_named(api, name)
    turn = Turn(
        agent=spec, conversation=main_conversation(spec.name), prompt="", env={}, workdir=spec.workdir or "/"
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "outlast.agents.probe", env=dict(api.environ),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(process.communicate(msgspec.json.encode(turn) + b"\n"), CHECK_SECONDS)
        found = msgspec.json.decode(out, type=AgentCheck)
        if (trouble := api.config.agents.trouble) is not None:
            found = msgspec.structs.replace(found, notes=[*found.notes, f"it is as before: {trouble.message}"])
        return found
    except TimeoutError:
        raise GatewayTrouble(f"agent {name} could not be looked at in {CHECK_SECONDS:g} s", code="no_answer") from None
    except msgspec.DecodeError:
        last = one_line(redact(errors.decode("utf-8", "replace").strip().rpartition("\n")[2]), LINE_MAX)
        raise GatewayTrouble(f"agent {name} could not be looked at: {last or 'no reason'}", code="no_answer") from None
    finally:
        if process.returncode is None:
            await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have a look at an agent end, which ends the agent."""
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


# ---- turns


async def run(api: Api, caller: Caller, request: AgentRunRequest) -> TaskResult:
    """Give an agent a turn; others of the same conversation are before it."""
    require_agents(api, caller.requester)
    conversation = request.conversation or _own_conversation(caller, request.agent)
    await may_speak(api, caller, conversation)
    around = await task_around(api, caller, request.caller_env)
    ask = TurnAsk(
        agent=request.agent, message=request.message, requester=caller.requester, conversation=conversation,
        parent_id=None if around is None else around.id,
        dedupe_key=None if request.dedupe_key is None else own_key(caller.requester, request.dedupe_key),
        priority=request.priority or 0, **_fields(caller, request),
    )  # fmt: skip
    return await _started(api, await api.finish(api.books.agents.start(ask)))


async def spawn(api: Api, caller: Caller, request: SpawnRequest) -> TaskResult:
    """Have an agent do something for a conversation, in one of its own. The conversation is told when it is done."""
    require_agents(api, caller.requester)
    parent = check_key(request.as_ or caller.requester, "as")
    await may_speak(api, caller, parent)
    ask = TurnAsk(
        agent=request.agent, message=request.task, requester=parent, **_fields(caller, request),
        dedupe_key=None if request.dedupe_key is None else own_key(parent, request.dedupe_key),
    )  # fmt: skip
    return await _started(api, await api.finish(api.books.agents.spawn(ask, parent)))


async def _started(api: Api, created: Created) -> TaskResult:
    """Return a turn that is on record, with what it waits for, if that is known already."""
    wait = await turn_wait(api, created.task)
    advice = [] if wait is None else [f"it {wait.words}: {wait.command}"]
    return describe(created.task, api.clock.now(), existing=created.existing, advice=advice)


def _fields(caller: Caller, request: AgentRunRequest | SpawnRequest) -> dict[str, Any]:
    if request.caller_env is not None and caller.remote:
        raise BadInput("callerEnv: is taken on the local socket only", hint="use env")
    fields: dict[str, Any] = {
        "workdir": request.workdir, "timeout_seconds": request.timeout_seconds, "title": request.title,
        "label": request.label, "env": request.env or {}, "caller_env": request.caller_env,
    }  # fmt: skip
    if request.notify is not None:
        fields["notify"] = NotifyPolicy(request.notify)
    return fields


def _own_conversation(caller: Caller, agent: str) -> str:
    """Return where an agent speaks with who asks: in its main conversation with the operator, else one of his own."""
    return main_conversation(agent) if caller.operator else with_requester(agent, caller.requester)


# ---- spawned agents


async def list_subagents(api: Api, caller: Caller, request: SubagentsRequest) -> TaskPage:
    """Return turns that were spawned, or with ``all`` every turn, newest first."""
    if request.as_ is not None:
        await may_speak(api, caller, request.as_)
    requester = request.as_ if request.as_ is not None else None if caller.operator else caller.requester
    which = {"turns": True} if request.all else {"kind": SPAWN}
    narrow = TaskFilter(**which, requester=requester, statuses=statuses_of(request.status))
    page = await api.store.list_tasks(narrow, request.limit or PAGE_DEFAULT, request.cursor)
    now = api.clock.now()
    return TaskPage(tasks=[describe(task, now) for task in page.tasks], next=page.next)


async def show(api: Api, caller: Caller, name: str, request: PlainRequest) -> SubagentShown:
    """Return a turn with the agent's answer in full."""
    task = await _found(api, caller, name)
    held = await _held(api, task)
    end = await _end_of(api, task)
    return describe_turn(
        describe(task, api.clock.now()), held, None if end is None else end.text, await turn_wait(api, task)
    )


async def _found(api: Api, caller: Caller, name: str) -> Task:
    task = await find_task(api, caller, name)
    if task.runtime not in AGENTS:
        raise BadInput(f"task {task.id} is no turn of an agent", code="no_agent", hint=f"outlast tasks show {task.id}")
    return task


async def _held(api: Api, task: Task) -> AgentConversation | None:
    return None if task.conversation is None else await api.store.get_agent_conversation(task.conversation)


async def _end_of(api: Api, task: Task) -> Entry | None:
    """Return the entry of a turn's end: its last that was made of the journal; of several attempts, of the newest."""
    entry = await api.store.last_entry_of_task(task.id, task.session_id)
    return entry if entry is not None and entry.kind is EntryKind.END else None


async def steer(api: Api, caller: Caller, name: str, request: SteerRequest) -> Steered:
    """Say something to an agent that runs. Raises Conflict (``not_running``, ``cannot_steer``)."""
    task = await _found(api, caller, name)
    if task.status is not Status.RUNNING:
        raise Conflict(f"task {task.id} is {task.status}: nobody would hear it", code="not_running")
    spec = api.config.agents.get(str(task.ask.get("agent")))
    if spec is not None and not spec.steerable:
        where = shlex.quote(task.conversation or "")
        raise Conflict(
            f"agent {spec.name} cannot be steered: it has no resume, so a word in mid-turn never reaches it",
            code="cannot_steer",
            hint=f'say it as its next turn: outlast agent run {spec.name} --conversation {where} "…"',
        )
    said = await api.books.agents.steer(task, request.text, interrupt=bool(request.interrupt))
    at_once = bool(request.interrupt) and (spec is None or spec.backend != "model")
    return Steered(task_id=task.id, steer_id=said, heard="now" if at_once else "next")


# ---- transcripts


async def transcript(api: Api, caller: Caller, key: str, request: TranscriptRequest) -> TranscriptPage:
    """Return a page of what was said in a conversation; with ``timeoutMs`` wait for what comes after ``after``.

    For the operator the name of an agent stands for its main one. Raises NotFound where no agent has ever spoken.
    """
    check_key(key, "conversation")
    if not (caller.operator or await is_own(api.store, caller.requester, key)):
        raise NotFound(f"no conversation {key!r}")
    if request.after is not None and request.before is not None:
        raise BadInput("before: does not go with after")
    held = await api.store.get_agent_conversation(key)
    if held is None and caller.operator:
        key, held = await _meant(api, key)
    limit = request.limit or PAGE_DEFAULT
    turn = None if request.task is None else await _turn_in(api, caller, request.task, key)
    if request.after is None:
        ended = turn is None or (await api.ledger.require(turn)).status.final
        entries = await api.store.entries_before(key, request.before, limit)
        ended = ended and request.before is None
    else:
        seconds = (request.timeout_ms or 0) / 1000
        entries, ended = await _after(api, key, request.after, limit, seconds, turn)
    return TranscriptPage(
        conversation=key,
        agent=None if held is None else held.agent,
        entries=[describe_entry(entry) for entry in entries],
        after=entries[-1].seq if entries else request.after,
        before=entries[0].seq if entries and entries[0].seq > 1 else None,
        ended=turn is not None and ended,
    )


async def _meant(api: Api, key: str) -> tuple[str, AgentConversation | None]:
    """Return the conversation that a key no agent holds stands for: where an agent has or had that name its main one,
    else the key itself, where something was said there or is about to be. Raises NotFound.
    """
    main = main_conversation(key)
    held = await api.store.get_agent_conversation(main)
    if key in api.config.agents or held is not None:
        return main, held
    if main_of(key) in api.config.agents or await api.store.entries_before(key, None, 1):
        return key, None
    if (await api.store.list_tasks(TaskFilter(conversation=key, turns=True), 1)).tasks:
        return key, None
    task = await api.store.get_task(key)
    turn = task is not None and task.runtime in AGENTS
    hint = f"outlast subagents log {key}" if turn else "outlast conversations list --transcripts"
    raise NotFound(f"no agent has spoken in a conversation {key!r}", hint=hint)


async def _turn_in(api: Api, caller: Caller, lookup: str, key: str) -> str:
    task = await _found(api, caller, lookup)
    if task.conversation != key:
        raise BadInput(f"task: {task.id} is a turn in another conversation", hint=f"outlast subagents log {task.id}")
    return task.id


async def _after(
    api: Api, key: str, after: int, limit: int, seconds: float, turn: str | None
) -> tuple[list[Entry], bool]:
    """Return what comes after an entry, and whether nothing more will come of the turn."""
    deadline = api.clock.monotonic() + seconds
    while True:
        news = api.ledger.news.next_entry()  # before looking, so that nothing falls between
        moved = api.ledger.news.waiting_for([] if turn is None else [turn])
        try:
            # A turn's last entry is on record before its end is: so it is looked for in that order.
            ended = turn is not None and (await api.ledger.require(turn)).status.final
            found = await api.store.entries_of(key, after, limit)
            left = deadline - api.clock.monotonic()
            if found or ended or left <= 0 or api.stopping:
                return found, ended and len(found) < limit
            await api.first(until(news), until(moved), seconds=left)
        finally:
            news.cancel()
            moved.cancel()
