"""Secrets that go through a turn: in no table, no file and no answer of ours once it has ended."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from agent_house import AgentHouse, agent_house, asynchronous

from houses import House
from outlast.api.agent_work import TurnAsk
from outlast.core.session import Status
from outlast.core.task import Task

LEAKY = [sys.executable, "-S", str(Path(__file__).parent.parent / "agents" / "leaky_acp.py")]
SECRETS = {
    "sk-ant-api03-Zq7" + "Kd83" * 9: "Kd83Kd83",
    "AKIA" + "Q3RT" * 4: "Q3RTQ3RT",
    "Authorization: Bearer vN5" + "wX21" * 8: "wX21wX21",
    "https://me:pW7swordfish9@db.example.com/x": "pW7swordfish9",
    "password=hunterHunter42": "hunterHunter42",
    "ghp_" + "b8Lm" * 9: "b8Lmb8Lm",
}
"""What is said, and the part of it nobody may find."""
KNOWN = ["plainvalueofakey77", "inheritedvalue88"]
"""Values of variables whose names sound secret: they look like nothing. The second is of the caller's environment."""

PARTS = [*SECRETS.values(), *KNOWN]
LONG = "long " * 8_000
"""Makes what is to be run longer than a page of the store, as whole environments are."""


def found_in(folder: Path, secrets: list[str]) -> dict[str, list[str]]:
    """Return which files of a folder hold which of the secrets, in any encoding we write."""
    found: dict[str, list[str]] = {}
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            data = contents(path)
            if there := [secret for secret in secrets if secret.encode() in data]:
                found[str(path.relative_to(folder))] = there
    return found


def contents(path: Path) -> bytes:
    """What is in a file; nothing of what is no file, or was put away since it was listed."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


async def turn(home: AgentHouse, *, spawned: bool) -> Task:
    """Give the agent a turn full of secrets, answer what it asks, and see it to its end."""
    first = next(iter(SECRETS))
    ask = TurnAsk(
        agent="leaky", message=f"{LONG}use these\n{json.dumps([*SECRETS])}", title=f"go {first}", label=f"with {first}",
        env={"DEPLOY_TOKEN": KNOWN[0]}, caller_env={"PATH": "/usr/bin:/bin", "LONG": LONG, "API_KEY": KNOWN[1]},
    )  # fmt: skip
    made = await (home.turns.spawn(ask, "agent:boss:main") if spawned else home.turns.start(ask))
    while not (task := await home.record(made.task)).status.final:
        news = home.books.ledger.news.next_question(), home.books.ledger.news.waiting_for([task.id])
        for approval in await home.asked(0):
            assert not leaked(approval), approval
            await home.answer(approval)
        await asyncio.wait(news, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    return task


def leaked(record: object) -> list[str]:
    return [part for part in PARTS if part in str(record)]


@pytest.mark.parametrize(("habit", "spawned"), [("leak", True), ("leak-error", False)])
def test_secrets_are_found_nowhere_once_a_turn_has_ended(house: House, habit: str, spawned: bool) -> None:
    """Not in its record, its transcript, its flow, what is told of it, nor in any file of the home."""

    @asynchronous
    async def see() -> None:
        async with agent_house(house, runner=None, leaky={"backend": "acp", "command": [*LEAKY, habit]}) as home:
            task = await turn(home, spawned=spawned)
            assert task.status is (Status.SUCCEEDED if habit == "leak" else Status.FAILED), task.error
            told = await home.told("agent:boss:main" if spawned else "local")
            flow = await home.store.get_flow(task.flow_id) if task.flow_id else None
            assert (flow is not None) is spawned
            entries = await home.transcript(str(task.conversation))
            assert len(entries) > 50
            assert not leaked([task, told, flow, entries])
            assert {path for path in found_in(home.path, PARTS) if not path.startswith("ledger.db")} == set()
        assert found_in(home.path, PARTS) == {}

    see()
