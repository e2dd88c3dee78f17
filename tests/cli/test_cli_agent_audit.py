"""``tasks audit`` about agents, read from a real ledger by the installed command line; no gateway runs."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from cli_live import Live

from outlast.core.agent import Beat, BeatState
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.lifecycle import Verb, transition
from outlast.core.session import Cause
from outlast.core.task import NewTask, Runtime, StartClaim
from outlast.store.sqlite import SqliteStore

NASTY = "\x1b[2J\x1b]0;owned\x07 \u202ereven\ncoder login; rm -rf ~"
SEEN = "\\x1b[2J\\x1b]0;owned\\x07 \\u202ereven\\ncoder login; rm -rf ~"
LONG_AGO = 7200.0


class Past:
    """Writes what happened two hours ago into the ledger of a home."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.at = time.time() - LONG_AGO

    def write(self, act: Callable[[SqliteStore], Awaitable[Any]]) -> Any:
        async def write() -> Any:
            store = SqliteStore(os.path.join(self.live.home, "ledger.db"))
            await store.open()
            try:
                return await act(store)
            finally:
                await store.close()

        return asyncio.run(write())

    async def turn(self, store: SqliteStore, name: str) -> None:
        new = NewTask(
            id=name, runtime=Runtime.ACP, kind="turn", source="test", requester="local", created_at=self.at,
            ask={"agent": "coder"}, queue=name, node="elsewhere", title=NASTY,
        )  # fmt: skip
        claim = StartClaim(claim_id=name, worker="w", lease_until=None, node="elsewhere", force=True)
        await store.create_task(new, claim)

    async def end(self, store: SqliteStore, name: str, verb: Verb, after: float, **given: Any) -> None:
        move = transition(name, verb, self.at + after, claim_id=name, **given)
        assert await store.apply(move)

    async def beat(self, store: SqliteStore, outcome: str) -> None:
        self.at += 60
        await store.add_beat(Beat(0, "coder", self.at, "interval", outcome, NASTY, "s1", self.at + 1, None))


@pytest.fixture
def past(short_dir: str) -> Past:
    with open(os.path.join(short_dir, "config.toml"), "w") as file:
        file.write('[agents.coder]\nbackend = "acp"\ncommand = ["coder"]\n')
    return Past(Live(short_dir))


def audited(past: Past, code: str, exit_code: int) -> str:
    """The lines of the one finding of a kind, which are harmless to whoever reads them."""
    done = past.live.run("tasks", "audit", "--code", code)
    assert done.returncode == exit_code, (done.stdout, done.stderr)
    text = done.stdout.decode()
    assert text.replace("\n", "").isprintable()
    found = past.live.json("tasks", "audit", "--code", code, "--json", code=exit_code)["findings"]
    assert len(found) <= 1
    if not found:
        assert text == ""
        return ""
    assert all(str(found[0][field]).isprintable() for field in ("message", "fix"))
    lines = text.splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:2] == [found[0]["severity"], code]
    assert lines[1].strip() == found[0]["fix"]
    assert not os.path.exists(os.path.join(past.live.home, "gateway.log")), "a gateway was started"
    return text


def test_a_login_that_is_wanted_is_named_with_its_way_until_a_turn_goes_well(past: Past) -> None:
    async def wanted(store: SqliteStore) -> None:
        await past.turn(store, "t1")
        detail = {"stop": "login_wanted", "hint": NASTY}
        await past.end(store, "t1", Verb.FAIL, 1, cause=Cause.ERROR, error=NASTY, detail=detail)

    async def well(store: SqliteStore) -> None:
        await past.turn(store, "t2")
        await past.end(store, "t2", Verb.SUCCEED, 2)

    past.write(wanted)
    text = audited(past, "login_wanted", 1)
    assert (
        f"agent coder wants a login: {SEEN} (1h 59m)" in text or f"agent coder wants a login: {SEEN} (2h 00m)" in text
    )
    assert f"{SEEN}; or: outlast tasks dismiss t1\n" in text
    past.write(well)
    assert audited(past, "login_wanted", 0) == ""


def test_a_silent_agent_is_named_until_its_turn_has_ended(past: Past) -> None:
    past.write(lambda store: past.turn(store, "t1"))
    text = audited(past, "silent_agent", 0)
    assert "t1  agent coder has said nothing and done nothing for " in text
    assert 'outlast subagents log t1; then: outlast subagents steer t1 "…", or cancel t1\n' in text
    assert audited(past, "stale_running", 0) == ""
    past.write(lambda store: past.end(store, "t1", Verb.SUCCEED, 1))
    assert audited(past, "silent_agent", 0) == ""


def test_leave_that_nobody_gives_is_named_until_somebody_answers(past: Past) -> None:
    async def asked(store: SqliteStore) -> None:
        await past.turn(store, "t1")
        await store.ask_approval(
            Approval("a1", ApprovalKind.ACP, "local", ApprovalStatus.PENDING, NASTY, past.at, task_id="t1")
        )

    past.write(asked)
    text = audited(past, "parked_permission", 0)
    assert "t1  nobody has answered for " in text
    assert SEEN in text
    assert "outlast approvals show a1; then: outlast approvals approve a1, or reject a1\n" in text
    assert audited(past, "silent_agent", 0) == ""
    verdict = Verdict(approval_id="a1", status=ApprovalStatus.REJECTED, at=past.at + 1, by="ann", how="cli")
    past.write(lambda store: store.decide(verdict))
    assert audited(past, "parked_permission", 0) == ""


def test_a_heartbeat_that_keeps_failing_is_named_until_one_goes_well(past: Past) -> None:
    async def failed(store: SqliteStore) -> None:
        await store.set_beat(BeatState("coder", past.at + 1e6, None, None, None, None), None)
        for _ in range(3):
            await past.beat(store, "failed")

    past.write(failed)
    text = audited(past, "failing_heartbeat", 0)
    assert f"coder  the last 3 beats that ran have failed; the newest: {SEEN}" in text
    assert "outlast heartbeat history coder; then: outlast agents check coder\n" in text
    past.write(lambda store: past.beat(store, "silent"))
    assert audited(past, "failing_heartbeat", 0) == ""
    assert json.loads(past.live.run("tasks", "audit", "--json").stdout)["counts"]["warn"] == 0
