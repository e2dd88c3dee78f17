"""Secrets that go through a turn: in no table, no file and no answer of ours once it has ended."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_house import AgentHouse, agent_house, asynchronous

from houses import House
from outlast.core.session import Status

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

LONG = "long " * 8_000
"""Makes what is to be run longer than a page of the store, as whole environments are."""


def found_in(folder: Path, secrets: list[str]) -> dict[str, list[str]]:
    """Return which files of a folder hold which of the secrets, in any encoding we write."""
    found: dict[str, list[str]] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if there := [secret for secret in secrets if secret.encode() in data]:
                found[str(path.relative_to(folder))] = there
    return found


async def turn(home: AgentHouse, agent: str) -> Any:
    first = next(iter(SECRETS))
    task = await home.start(
        agent=agent, message=f"{LONG}use these\n{json.dumps([*SECRETS])}", title=f"go {first}", label=f"with {first}",
        env={"DEPLOY_TOKEN": KNOWN[0]}, caller_env={"PATH": "/usr/bin:/bin", "LONG": LONG, "API_KEY": KNOWN[1]},
    )  # fmt: skip
    while not (ended := await home.record(task)).status.final:
        for approval in await home.asked(0):
            assert not [part for part in (*SECRETS.values(), *KNOWN) if part in str(approval)], approval
            await home.answer(approval)
        moved = home.books.ledger.news.next_event()
        await asyncio.wait([moved], timeout=0.05)
    return ended


@pytest.mark.parametrize("habit", ["leak", "leak-error"])
@asynchronous
async def test_secrets_are_found_nowhere_once_a_turn_has_ended(house: House, habit: str) -> None:
    table = {"backend": "acp", "command": [*LEAKY, habit]}
    async with agent_house(house, runner=None, leaky=table) as home:
        ended = await turn(home, "leaky")
        assert ended.status is (Status.SUCCEEDED if habit == "leak" else Status.FAILED), ended.error
        parts = [*SECRETS.values(), *KNOWN]
        assert not [part for part in parts if part in str(ended)]
        entries = await home.transcript("agent:leaky:main")
        for entry in entries:
            assert not [part for part in parts if part in str(entry)], (entry.kind, entry.text[:300], entry.data)
        assert {path for path in found_in(home.path, parts) if not path.startswith("ledger.db")} == set()
    assert found_in(home.path, parts) == {}
