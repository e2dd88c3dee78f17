"""``python -m outlast.agents.probe``: start an agent, have it say what it is, and leave nothing running.

It reads a turn, as the runner does, whose prompt nobody says; it writes one line, an `AgentCheck`. An ACP agent also
opens a session, since many say only then that they want a login; a command-line agent is asked for its version.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from outlast.agents import controls, orphans, tidy
from outlast.agents.backend import NO_PROGRAM, AgentTrouble
from outlast.agents.child import DRAIN_SECONDS, Child
from outlast.agents.controls import BadTurn, Lines
from outlast.agents.desk import Desk
from outlast.agents.output import Output
from outlast.agents.runner import environment
from outlast.core.agent import Turn
from outlast.core.agent_check import AgentCheck
from outlast.core.agent_command import RESUME

PROBE_SECONDS = 60.0
"""How long a look may take in all."""
VERSION_SECONDS = 15.0
NOISE_SECONDS = 15.0
"""How long an agent may take to introduce itself that has written something else."""
END_SECONDS = 10.0
"""How much longer it may take to end one that does not introduce itself."""


async def look(turn: Turn, env: Mapping[str, str], *, seconds: float = PROBE_SECONDS) -> AgentCheck:
    """Look at an agent; what goes wrong is what was found."""
    began = time.monotonic()
    ways: dict[str, Callable[[Turn, Mapping[str, str]], Any]] = {"command": _command, "model": _model}
    try:
        if turn.agent.backend == "acp":
            found = await asyncio.wait_for(_acp(turn, env, seconds), seconds + END_SECONDS)
        else:
            found = await asyncio.wait_for(ways[turn.agent.backend](turn, env), seconds)
    except TimeoutError:
        found = _no_answer(seconds)
    except AgentTrouble as trouble:
        found = {"code": trouble.code, "error": trouble.message, "hint": trouble.hint}
    texts: dict[str, Any] = {
        name: tidy.clean(fact, 2000) if isinstance(fact, str) else tidy.value(fact) for name, fact in found.items()
    }
    return AgentCheck(
        ok=found.get("code") is None,
        agent=turn.agent.name,
        backend=turn.agent.backend,
        ms=round((time.monotonic() - began) * 1000),
        **texts,
    )


def _no_answer(seconds: float) -> dict[str, Any]:
    return {"code": "no_answer", "error": f"the agent did not introduce itself within {seconds:g} s"}


async def _acp(turn: Turn, env: Mapping[str, str], seconds: float) -> dict[str, Any]:
    from outlast.agents.acp import NO_ACP, AcpBackend

    with open(os.devnull, "wb") as nowhere, tempfile.TemporaryFile() as heard:
        desk = Desk(turn.agent, Output(nowhere.fileno()), time.time)
        backend = AcpBackend(turn, env, desk, heard.write)
        said: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                intro = await backend.introduce(NOISE_SECONDS)
                said = {"title": intro.name, "version": intro.version, "protocol": intro.protocol, "can": intro.can}
                await backend.open_session(intro)
                await backend.drop_session(intro)
        except AgentTrouble as trouble:
            said |= {"code": trouble.code, "error": trouble.message, "hint": trouble.hint}
        except TimeoutError:
            said |= _no_answer(seconds)
            said |= {"error": said["error"] + backend.heard(), "hint": NO_ACP}
        finally:
            await backend.close()
    return said


async def _command(turn: Turn, env: Mapping[str, str]) -> dict[str, Any]:
    """Find the program and ask it for its version. One that has none is fine."""
    program = turn.agent.command[0]
    can = ["resume"] if turn.agent.resume else []
    notes = [] if turn.agent.resume or RESUME in turn.agent.command else ["no resume: each turn begins anew"]
    path = shutil.which(program, path=env.get("PATH"))
    if path is None:
        raise AgentTrouble("no_program", f"there is no program {program!r}", hint=NO_PROGRAM)
    child = await Child.start([path, "--version"], cwd=turn.workdir, env=env, stdin=False, pass_on=lambda _data: None)
    reading, leaving = asyncio.create_task(child.stdout.read(4096)), asyncio.create_task(child.gone())
    try:
        await asyncio.wait({reading, leaving}, timeout=VERSION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({reading}, timeout=DRAIN_SECONDS)
    finally:
        await child.end()
    head = reading.result() if reading.done() else b""
    reading.cancel()
    if not head:
        notes.append("it does not tell its version")
    lines = tidy.plain(head.decode("utf-8", "replace")).strip().splitlines()
    return {
        "title": program.rpartition("/")[2],
        "version": tidy.title(lines[0])[:200] if lines else None,
        "can": can,
        "notes": notes,
    }


async def _model(turn: Turn, env: Mapping[str, str]) -> dict[str, Any]:
    """See that the libraries are there and a key is; the model itself is not asked, since that costs."""
    from outlast.agents.model import prepare

    prepare(turn, env)
    notes = ["the endpoint was not asked: that costs money"]
    return {"title": turn.agent.model, "can": list(turn.agent.tools), "notes": notes}


def _leave(*_: object) -> None:
    """Nobody waits for the answer any more."""
    orphans.end_all()
    os._exit(1)


def main() -> None:
    """Look, and write what was found."""
    orphans.adopt()
    signal.signal(signal.SIGTERM, _leave)
    try:
        turn = controls.read_turn(Lines(0))
    except BadTurn as bad:
        print(str(bad), file=sys.stderr)
        os._exit(2)
    found = asyncio.run(look(turn, environment(turn, os.environ)))
    orphans.end_all()
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()
    os._exit(0 if found.ok else 1)


if __name__ == "__main__":
    main()
