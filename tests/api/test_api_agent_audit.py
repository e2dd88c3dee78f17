"""Findings about agents as they are answered: worst first, with their mend, to whoever may see them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from api_fakes import asynchronous
from api_ledger import LedgerWorld, ledger_world

from outlast.api.context import Caller
from outlast.core.agent import Beat, BeatState
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime

ANN, BOB = Caller("agent:ann:main", operator=False), Caller("agent:bob:main", operator=False)
CODER = Caller("agent:coder:main", operator=False)
TABLE = '[agents.coder]\nbackend = "acp"\ncommand = ["coder"]\n'


def agents(home: Path) -> Path:
    (home / "config.toml").write_text(TABLE)
    return home


async def trouble(at: LedgerWorld) -> None:
    """Everything there is to be found, of turns that ANN asked for and of the agent itself."""
    now = at.clock.now()
    for name in ("silent", "asking", "wanting"):
        await at.store.set_queue_limit(name, None)
        await at.record(name, runtime=Runtime.ACP, ask={"agent": "coder"}, requester=ANN.requester, queue=name)
    tasks = {taken.task.id: taken.task for taken in await at.ledger.claim(3)}
    wants = Outcome(status=Status.FAILED, cause=Cause.ERROR, detail={"stop": "login_wanted"}, error="log in")
    await at.ledger.finish(tasks["wanting"], wants)
    await at.store.ask_approval(
        Approval(
            "a1", ApprovalKind.ACP, ANN.requester, ApprovalStatus.PENDING, "Agent coder asks for leave: rm", now,
            task_id="asking", detail={"agent": "coder", "conversation": CODER.requester},
        )
    )  # fmt: skip
    await at.store.set_beat(BeatState("coder", now + 1e6, None, None, None, None), None)
    for number in range(3):
        await at.store.add_beat(Beat(0, "coder", now + number, "interval", "failed", "no luck", "s", now + 5, None))
    at.clock.at += 3601


async def codes(at: LedgerWorld, caller: Caller | None = None, **fields: Any) -> list[str]:
    found = await at.ask("tasks.audit", caller=caller, **fields)
    return [f"{one.code} {one.task_id or one.subject}" for one in found.findings]


@asynchronous
async def test_an_audit_finds_what_is_wrong_with_agents_worst_first(tmp_path: Path) -> None:
    async with ledger_world(agents(tmp_path), slots=0) as at:
        await trouble(at)
        found = await at.ask("tasks.audit")
        assert [f"{one.code} {one.task_id or one.subject}" for one in found.findings] == [
            "login_wanted wanting", "silent_agent silent", "parked_permission asking", "failing_heartbeat coder",
        ]  # fmt: skip
        assert (found.counts, found.more) == ({"error": 1, "warn": 3, "info": 0}, False)
        assert found.findings[0].fix == "outlast agents check coder; or: outlast tasks dismiss wanting"
        assert [one.age_seconds for one in found.findings[1:]] == [3601.0, 3601.0, 3596.0]
        assert await codes(at, code="parked_permission") == ["parked_permission asking"]
        assert (await at.ask("status")).tasks.findings == found.counts
        assert (await at.ask("tasks.audit", limit=1)).more is False


@asynchronous
async def test_everybody_hears_of_his_own_agents_only(tmp_path: Path) -> None:
    async with ledger_world(agents(tmp_path), slots=0) as at:
        await trouble(at)
        assert await codes(at, ANN) == ["login_wanted wanting", "silent_agent silent", "parked_permission asking"]
        assert await codes(at, CODER) == ["parked_permission asking", "failing_heartbeat coder"]
        assert await codes(at, BOB) == []


@asynchronous
async def test_output_of_a_turn_is_a_sign_of_life(tmp_path: Path) -> None:
    """What a runner writes is not on record at once, but it is there to be seen."""
    async with ledger_world(agents(tmp_path), slots=0) as at:
        session = await at.session()
        await at.record(
            "t1", runtime=Runtime.SUBAGENT, ask={"agent": "coder"}, session_id=session.id, queue="free", node=at.node
        )
        await at.ledger.claim(1)
        at.clock.at += 901
        assert await codes(at) == ["silent_agent t1"]
        session.prints(b"{}\n")
        os.utime(f"{session.folder}/out", (at.clock.now(), at.clock.now()))
        assert await codes(at) == []


@asynchronous
async def test_agents_that_are_not_in_the_configuration_are_not_spoken_of(tmp_path: Path) -> None:
    async with ledger_world(tmp_path, slots=0) as at:
        await trouble(at)
        assert await codes(at) == ["silent_agent silent", "parked_permission asking"]
