"""Turns of agents: what one costs over running the same agent by hand, in time and in memory, for each backend."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import machine
import msgspec
from figures import Bound, Row, Side, number, ratio_by_round, spread
from lodging import Lodging

from outlast import __version__, config
from outlast.api.agent_work import TurnAsk
from outlast.core.agent import Turn
from outlast.core.session import Cause
from outlast.core.task import Task
from outlast.gateway.agent_turns import staffed
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.gateway.stores import make_store
from outlast.ledger.tasks import Ledger
from outlast.process.clock import SystemClock
from outlast.process.keeper import proc
from outlast.process.launcher import Launcher
from outlast.process.sessions import Sessions
from outlast.runtimes.agent import RUNNER

MIB = 1 << 20
SLOWER_MS, LARGER_MIB = 300.0, 60.0
"""What a turn may cost over the agent by hand, and a live one beside its agent."""
AT_ONCE = 20
COMMANDS = 20
"""Commands an agent has run in one turn."""
PATIENCE = 120.0
"""Seconds that whatever is waited for may take; what takes longer never comes."""
IMPORTING = 3.0
"""Until the library of a model has been imported: nothing says when it has been."""
AGENT = 'read line; echo "you said: $line"'
WAITING = "read line; echo waiting; exec sleep 600"
SMALL = [sys.executable, "-S", os.path.join(os.path.dirname(os.path.abspath(__file__)), "small_acp.py")]
SAID = "you said: hi"
BY_HAND = """
import os, sys
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
import asyncio
async def main():
    async with Agent(OpenAIChatModel("made-up")).iter(sys.argv[1]) as run:
        async for _ in run:
            pass
    print(run.result.output)
asyncio.run(main())
"""
"""The same model by hand: a script with the same library."""


class Kind(NamedTuple):
    """One backend: its agents that answer and that wait, what is sent to the bare runner, and the agent by hand."""

    name: str
    quick: str
    waiting: str
    what: str
    hand: Callable[[], None]
    children: int
    inside: Callable[[], subprocess.Popen[bytes]] | None = None
    """Starts the agent by hand where it lives in the runner: what it holds alone is not ours."""


def _config(url: str) -> str:
    words = msgspec.json.encode
    return f"""
[agents.quick]
backend = "command"
command = ["/bin/sh", "-c", {words(AGENT).decode()}]
[agents.waiting]
backend = "command"
command = ["/bin/sh", "-c", {words(WAITING).decode()}]
[agents.acp]
backend = "acp"
command = {words(SMALL).decode()}
permissions = "allow"
[agents.model]
backend = "model"
model = "openai:made-up"
env = {{ OPENAI_API_KEY = "made-up", OPENAI_BASE_URL = "{url}/v1" }}
"""


def _kinds(url: str) -> list[Kind]:
    shell = partial(_run, ["/bin/sh", "-c", AGENT], b"hi\n")
    env = {"OPENAI_API_KEY": "made-up", "OPENAI_BASE_URL": f"{url}/v1"}
    model = partial(_run, [sys.executable, "-c", BY_HAND, "hi"], b"", env)
    waiting = partial(subprocess.Popen, [sys.executable, "-c", BY_HAND, "wait"], env={**os.environ, **env})
    return [
        Kind("time", "quick", "waiting", "a command-line agent (a shell that answers)", shell, 1),
        Kind("time_acp", "acp", "acp", "an ACP agent (a small Python that answers)", _acp_by_hand, 1),
        Kind(
            "time_model",
            "model",
            "model",
            "a model (a made-up endpoint; by hand: a script with pydantic-ai)",
            model,
            0,
            waiting,
        ),
    ]


def _acp_by_hand() -> None:
    """Three requests and their answers, as the smallest client would have them."""
    with subprocess.Popen(SMALL, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdin is not None and agent.stdout is not None
        for number, (method, params) in enumerate(
            [
                ("initialize", {"protocolVersion": 1}), ("session/new", {"cwd": "/", "mcpServers": []}),
                ("session/prompt", {"sessionId": "s1", "prompt": [{"type": "text", "text": "hi"}]}),
            ]
        ):  # fmt: skip
            asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            agent.stdin.write(json.dumps(asked).encode() + b"\n")
            agent.stdin.flush()
            while json.loads(agent.stdout.readline()).get("id") != number:
                pass
        agent.stdin.close()


def agents(short: bool) -> Iterator[Row]:
    """Turns through books of a gateway in this process, beside the bare runner and the agent by hand."""
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "agents"))
    from fake_model import Endpoint, Hang, Say

    endpoint = Endpoint(lambda asked: Hang() if "wait" in json.dumps(asked.body) else Say(SAID))
    try:
        with Lodging() as lodging:
            with open(f"{lodging.home}/config.toml", "w", encoding="utf-8") as file:
                file.write(_config(endpoint.url))
            os.chmod(f"{lodging.home}/config.toml", 0o600)
            yield from asyncio.run(_measured(lodging, short, _kinds(endpoint.url)))
    finally:
        endpoint.close()


async def _measured(lodging: Lodging, short: bool, kinds: list[Kind]) -> list[Row]:
    made = config.load(lodging.env)
    config.ensure_dirs(made.paths)
    clock = SystemClock()
    sessions = Sessions(made.paths.home, made.paths.run, clock, Launcher(made.paths.home, made.paths.run, __version__))
    await sessions.open(hold=True)
    ledger = Ledger(make_store(made), clock, node="bench", worker="bench/1", lease_seconds=None)
    books = staffed(ledger, sessions, Maker(made, clock, lodging.env), slots=64, umask=0o022)
    await books.open()
    try:
        rows = [await _time(books, made, 2 if short else 40 if kind.children else 12, kind) for kind in kinds]
        rows.append(await _together(books, 4 if short else AT_ONCE))
        rows += [await _commands(books, 2 if short else 20), await _terminals(books, sessions, 2 if short else 8)]
        return rows + [await _memory(books, sessions, 2 if short else 8, kind) for kind in kinds]
    finally:
        await books.close()
        await sessions.close()


async def _time(books: Books, made: config.Config, rounds: int, kind: Kind) -> Row:
    spec = made.agents[kind.quick]
    turn = msgspec.json.encode(Turn(agent=spec, conversation="c", prompt="hi", workdir="/", env={})) + b"\n"
    took: dict[str, list[float]] = {"turn": [], "runner": [], "hand": []}
    for place in range(rounds + 1):
        spent = {
            "hand": await asyncio.to_thread(_timed, kind.hand),
            "runner": await asyncio.to_thread(_timed, partial(_run, list(RUNNER), turn, dict(spec.env))),
            "turn": await _turn(books, kind.quick),
        }
        for name, milliseconds in spent.items() if place else ():  # the first of each fill the caches
            took[name].append(milliseconds)
    over = [ours - theirs for ours, theirs in zip(took["turn"], took["hand"], strict=True)]
    beside = [ours - theirs for ours, theirs in zip(took["turn"], took["runner"], strict=True)]
    return Row(
        f"agents.{kind.name}", f"a turn of {kind.what}, over the same by hand",
        "asked for to its end on record, in turns with the bare runner and the agent itself",
        [
            Side("a turn, on record", took["turn"], "ms"), Side("the bare runner", took["runner"], "ms"),
            Side("the agent by hand", took["hand"], "ms"),
        ],
        "p50 of what it adds", Side("", over, "ms").p50, "ms", Bound("at most", SLOWER_MS),
        f"over the bare runner {number(Side('', beside, 'ms').p50)} ms; "
        f"{spread(ratio_by_round(took['turn'], took['runner']))}× of it",
    )  # fmt: skip


def _timed(act: Callable[[], None]) -> float:
    begin = time.perf_counter()
    act()
    return (time.perf_counter() - begin) * 1000


def _run(argv: list[str], given: bytes, more: dict[str, str] | None = None) -> None:
    env = {**os.environ, **(more or {})}
    subprocess.run(argv, input=given, capture_output=True, cwd="/", check=True, env=env, timeout=PATIENCE)


async def _turn(
    books: Books, agent: str = "quick", conversation: str | None = None, message: str = "hi", said: str = SAID
) -> float:
    begin = time.perf_counter()
    created = await books.agents.start(TurnAsk(agent=agent, message=message, conversation=conversation))
    ended = await _until(books, created.task, final=True)
    assert ended.summary == said, ended
    return (time.perf_counter() - begin) * 1000


async def _until(books: Books, task: Task, *, final: bool) -> Task:
    while True:
        moved = books.ledger.news.waiting_for([task.id])
        found = await books.store.get_task(task.id)
        assert found is not None
        if found.status.final or (not final and found.session_id is not None):
            moved.cancel()
            return found
        async with asyncio.timeout(PATIENCE):
            await moved


async def _together(books: Books, count: int) -> Row:
    """Many turns at once, each in a conversation of its own."""
    begin = time.perf_counter()
    each = await asyncio.gather(*(_turn(books, "quick", f"agent:quick:{place}") for place in range(count)))
    whole = (time.perf_counter() - begin) * 1000
    return Row(
        "agents.together", f"{count} turns at once", "all asked for at once, to the end of the last",
        [Side("each", each, "ms"), Side("all", [whole], "ms")], "a turn, of all", whole / count, "ms",
    )  # fmt: skip


async def _commands(books: Books, rounds: int) -> Row:
    """What it costs an agent to have its commands run for it: confined, on record, with all they leave behind ended."""
    took: dict[str, list[float]] = {"run": [], "own": []}
    for _ in range(rounds):
        for act, each in took.items():
            message = f"{act} {COMMANDS}"
            each.append(await _turn(books, "acp", message=message, said=f"you said: {message}") / COMMANDS)
    over = [ours - theirs for ours, theirs in zip(took["run"], took["own"], strict=True)]
    return Row(
        "agents.commands", f"a command that an agent has run for it (a terminal), {COMMANDS} of them in a turn",
        "a turn divided by its commands, in turns with the same agent running them by itself",
        [Side("run for it", took["run"], "ms"), Side("run by itself", took["own"], "ms")],
        "p50 of what it adds", Side("", over, "ms").p50, "ms",
    )  # fmt: skip


async def _terminals(books: Books, sessions: Sessions, count: int) -> Row:
    """Weigh what looks after such a command while it runs."""
    tasks = [
        (await books.agents.start(TurnAsk(agent="acp", message="hold", conversation=f"held{place}"))).task
        for place in range(count)
    ]
    sizes: list[float] = []
    for place, task in enumerate(tasks):
        await _under_way(books, f"held{place}", said=True)
        session = sessions.get(str((await _until(books, task, final=False)).session_id))
        assert session.pid is not None
        async with asyncio.timeout(PATIENCE):
            while not (held := [pid for pid in proc.descendants(session.pid) if _words(pid).startswith(b"sleep\0")]):
                await asyncio.sleep(0.05)
        sizes.append(machine.memory_of([machine.parent(held[0])]).pss / MIB)
    for task in tasks:
        await books.call_off(await books.ledger.require(task.id), Cause.OPERATOR, 0.5)
        await _until(books, task, final=True)
    return Row(
        "agents.terminal_memory", f"what holds such a command while it runs, {count} at once",
        "proportional set size of its warden", [Side("a warden", sizes, "MiB")], "p50", Side("", sizes, "MiB").p50,
        "MiB",
    )  # fmt: skip


def _words(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:  # it is gone, or going
        return b""


async def _memory(books: Books, sessions: Sessions, count: int, kind: Kind) -> Row:
    """What live turns hold beside their agents: the runner, and the keeper's supervisor of it."""
    conversations = [f"{kind.name}{place}" for place in range(count)]
    tasks = [
        (await books.agents.start(TurnAsk(agent=kind.waiting, message="wait", conversation=conversation))).task
        for conversation in conversations
    ]
    sizes: list[float] = []
    for conversation, task in zip(conversations, tasks, strict=True):
        await _under_way(books, conversation, said=bool(kind.children))
        session = sessions.get(str((await _until(books, task, final=False)).session_id))
        assert session.pid is not None
        supervisor = machine.parent(session.pid)
        held = machine.memory_of([session.pid, supervisor])
        assert len(proc.descendants(session.pid)) == kind.children, "the agent, and nothing else"
        sizes.append(held.pss / MIB)
    for task in tasks:
        await books.call_off(await books.ledger.require(task.id), Cause.OPERATOR, 0.5)
    for task in tasks:
        await _until(books, task, final=True)
    alone = await _alone(kind)
    over = [size - alone for size in sizes]
    by_hand = [Side("the agent by hand", [alone], "MiB")] if alone else []
    return Row(
        f"agents.{kind.name.replace('time', 'memory')}",
        f"what each of {count} live turns holds beside its agent: {kind.what}",
        "runner and supervisor, proportional set size, while the agent works"
        + ("; less what the agent holds by hand, since it lives in the runner" if alone else ""),
        [Side("a live turn", sizes, "MiB"), *by_hand], "p50", Side("", over, "MiB").p50, "MiB",
        Bound("at most", LARGER_MIB),
    )  # fmt: skip


async def _alone(kind: Kind) -> float:
    """Return what the agent holds by hand, in MiB, where it is part of the runner; else 0."""
    if kind.inside is None:
        return 0.0
    with kind.inside() as process:
        try:
            await asyncio.sleep(IMPORTING)
            return machine.memory_of([process.pid]).pss / MIB
        finally:
            process.kill()


async def _under_way(books: Books, conversation: str, *, said: bool) -> None:
    """Wait until an agent has said something, or a model is being asked."""
    async with asyncio.timeout(PATIENCE):
        while True:
            entries: list[Any] = list(await books.store.entries_of(conversation, 0, 10))
            if len(entries) >= 2 if said else any(entry.kind == "prompt" for entry in entries):
                break
            await asyncio.sleep(0.05)
    if not said:
        await asyncio.sleep(IMPORTING)
