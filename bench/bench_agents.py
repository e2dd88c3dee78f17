"""Turns of agents: what one costs over running the same agent by hand, in time and in memory."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator

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
AGENT = 'read line; echo "you said: $line"'
WAITING = "read line; echo waiting; exec sleep 600"
CONFIG = f"""
[agents.quick]
backend = "command"
command = ["/bin/sh", "-c", {msgspec.json.encode(AGENT).decode()}]
[agents.waiting]
backend = "command"
command = ["/bin/sh", "-c", {msgspec.json.encode(WAITING).decode()}]
"""


def agents(short: bool) -> Iterator[Row]:
    """Turns through books of a gateway in this process, beside the bare runner and the agent by hand."""
    with Lodging() as lodging:
        with open(f"{lodging.home}/config.toml", "w", encoding="utf-8") as file:
            file.write(CONFIG)
        yield from asyncio.run(_measured(lodging, short))


async def _measured(lodging: Lodging, short: bool) -> list[Row]:
    made = config.load(lodging.env)
    config.ensure_dirs(made.paths)
    clock = SystemClock()
    sessions = Sessions(made.paths.home, made.paths.run, clock, Launcher(made.paths.home, made.paths.run, __version__))
    await sessions.open(hold=True)
    ledger = Ledger(make_store(made), clock, node="bench", worker="bench/1", lease_seconds=None)
    books = staffed(ledger, sessions, Maker(made, clock, lodging.env), slots=64, umask=0o022)
    await books.open()
    try:
        return [
            await _time(books, made, 3 if short else 40),
            await _together(books, 4 if short else AT_ONCE),
            await _memory(books, sessions, 2 if short else 8),
        ]
    finally:
        await books.close()
        await sessions.close()


async def _time(books: Books, made: config.Config, rounds: int) -> Row:
    spec = made.agents["quick"]
    turn = msgspec.json.encode(Turn(agent=spec, conversation="c", prompt="hi\n", workdir="/", env={})) + b"\n"
    took: dict[str, list[float]] = {"turn": [], "runner": [], "hand": []}
    for place in range(rounds + 1):
        spent = {
            "hand": await asyncio.to_thread(_run, list(spec.command), b"hi\n"),
            "runner": await asyncio.to_thread(_run, list(RUNNER), turn),
            "turn": await _turn(books),
        }
        for name, milliseconds in spent.items() if place else ():  # the first of each fill the caches
            took[name].append(milliseconds)
    over = [ours - theirs for ours, theirs in zip(took["turn"], took["hand"], strict=True)]
    beside = [ours - theirs for ours, theirs in zip(took["turn"], took["runner"], strict=True)]
    return Row(
        "agents.time", "a turn of a command-line agent, over the same agent by hand",
        "asked for to its end on record, in turns with the bare runner and the agent itself; a shell that answers",
        [
            Side("a turn, on record", took["turn"], "ms"), Side("the bare runner", took["runner"], "ms"),
            Side("the agent by hand", took["hand"], "ms"),
        ],
        "p50 of what it adds", Side("", over, "ms").p50, "ms", Bound("at most", SLOWER_MS),
        f"over the bare runner {number(Side('', beside, 'ms').p50)} ms; "
        f"{spread(ratio_by_round(took['turn'], took['runner']))}× of it",
    )  # fmt: skip


def _run(argv: list[str], given: bytes) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, input=given, capture_output=True, cwd="/", check=True)
    return (time.perf_counter() - begin) * 1000


async def _turn(books: Books, conversation: str = "agent:quick:main") -> float:
    begin = time.perf_counter()
    created = await books.agents.start(TurnAsk(agent="quick", message="hi", conversation=conversation))
    ended = await _until(books, created.task, final=True)
    assert ended.summary == "you said: hi", ended
    return (time.perf_counter() - begin) * 1000


async def _until(books: Books, task: Task, *, final: bool) -> Task:
    while True:
        moved = books.ledger.news.waiting_for([task.id])
        found = await books.store.get_task(task.id)
        assert found is not None
        if found.status.final or (not final and found.session_id is not None):
            moved.cancel()
            return found
        await moved


async def _together(books: Books, count: int) -> Row:
    """Many turns at once, each in a conversation of its own."""
    begin = time.perf_counter()
    each = await asyncio.gather(*(_turn(books, f"agent:quick:{place}") for place in range(count)))
    whole = (time.perf_counter() - begin) * 1000
    return Row(
        "agents.together", f"{count} turns at once", "all asked for at once, to the end of the last",
        [Side("each", each, "ms"), Side("all", [whole], "ms")], "a turn, of all", whole / count, "ms",
    )  # fmt: skip


async def _memory(books: Books, sessions: Sessions, count: int) -> Row:
    """What live turns hold beside their agents: the runner, and the keeper's supervisor of it."""
    tasks = [
        (await books.agents.start(TurnAsk(agent="waiting", message="hi", conversation=f"w{place}"))).task
        for place in range(count)
    ]
    sizes: list[float] = []
    for place, task in enumerate(tasks):
        while not (entries := await books.store.entries_of(f"w{place}", 0, 10)) or len(entries) < 2:
            await asyncio.sleep(0.05)
        session = sessions.get(str((await _until(books, task, final=False)).session_id))
        assert session.pid is not None
        supervisor = machine.parent(session.pid)
        held = machine.memory_of([session.pid, supervisor])
        assert len(proc.descendants(session.pid)) == 1, "the agent, and nothing else"
        sizes.append(held.pss / MIB)
    for task in tasks:
        await books.call_off(await books.ledger.require(task.id), Cause.OPERATOR, 0.5)
    for task in tasks:
        await _until(books, task, final=True)
    return Row(
        "agents.memory", f"what each of {count} live turns holds beside its agent",
        "runner and supervisor, proportional set size, while the agent works",
        [Side("a live turn", sizes, "MiB")], "p50", Side("", sizes, "MiB").p50, "MiB", Bound("at most", LARGER_MIB),
    )  # fmt: skip
