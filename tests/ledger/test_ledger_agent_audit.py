"""Audits of agents: every finding at its threshold and not before, gone with what it was about, harmless to read."""

from __future__ import annotations

from typing import Any

import pytest
from api_fakes import asynchronous
from ledger_fakes import DONE, SINCE, Two, ledgers

from outlast.core.agent import Beat, BeatState
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.findings import Code, Finding
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime, Task
from outlast.ledger.agent_audit import audit_agents
from outlast.ledger.audit import audit

Address = tuple[str, str]
QUARTER, HOUR = 900.0, 3600.0
KNOWN = ("coder", "quick")
NASTY = "\x1b[31mred\x1b]0;title\x07 \u202e{id} {about}\nouch"
SEEN = "\\x1b[31mred\\x1b]0;title\\x07 \\u202e{id} {about}\\nouch"


def wants(hint: str | None = "coder login", error: str = "log in first") -> Outcome:
    detail = {"stop": "login_wanted", "code": "login_wanted", **({} if hint is None else {"hint": hint})}
    return Outcome(status=Status.FAILED, cause=Cause.ERROR, detail=detail, error=error)


async def turn(at: Two, name: str, agent: str = "coder", **fields: Any) -> Task:
    return await at.one.begun(name, **{"runtime": Runtime.ACP, "ask": {"agent": agent}, "queue": name, **fields})


async def found(at: Two, agents: tuple[str, ...] = KNOWN, **options: Any) -> list[Finding]:
    findings, _ = await audit_agents(at.one.store, at.clock.now(), agents, **{"limit": 10, **options})
    return [finding for finding, _ in findings]


async def codes(at: Two, **options: Any) -> list[str]:
    return [f"{one.code.value} {one.task_id}" for one in await found(at, **options)]


async def ask(at: Two, name: str = "a1", **fields: Any) -> None:
    given = {"detail": {"agent": "coder"}, "task_id": "t1", **fields}
    prompt = given.pop("prompt", "Agent coder asks for leave: rm -r build")
    now = at.clock.now()
    await at.one.store.ask_approval(
        Approval(name, ApprovalKind.ACP, "local", ApprovalStatus.PENDING, prompt, now, **given)
    )


async def answer(at: Two, status: ApprovalStatus = ApprovalStatus.APPROVED) -> None:
    verdict = Verdict(approval_id="a1", status=status, at=at.clock.now(), by="ann", how="cli")
    assert await at.one.store.decide(verdict) is not None


async def beat(at: Two, outcome: str = "failed", reason: str = "no", agent: str = "coder") -> None:
    now = at.clock.now()
    await at.one.store.add_beat(Beat(0, agent, now, "interval", outcome, reason, "s1", now + 1, None))
    at.clock.at += 10


@asynchronous
async def test_an_agent_that_wants_a_login_is_found_once_with_the_way_it_told(address: Address) -> None:
    async with ledgers(address) as at:
        for name in ("t1", "t2"):
            await at.one.finish(await turn(at, name), wants())
            at.clock.at += 1
        [finding] = await found(at)
        assert (finding.code, finding.severity, finding.subject) == (Code.LOGIN_WANTED, "error", "coder")
        assert (finding.task_id, finding.since) == ("t2", SINCE + 1)
        assert finding.message == "agent coder wants a login: log in first"
        assert finding.fix == "coder login; or: outlast tasks dismiss t2"
        assert (await audit(at.one.store, at.clock.now())).findings == []
        await at.one.finish(await turn(at, "t3"), DONE)
        assert await codes(at) == []


@asynchronous
async def test_a_login_nobody_told_the_way_of_is_looked_at_and_one_that_was_dismissed_is_not(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.finish(await turn(at, "t1"), wants(None))
        [finding] = await found(at)
        assert finding.fix == "outlast agents check coder; or: outlast tasks dismiss t1"
        await at.one.store.dismiss("t1", at.clock.now())
        assert await codes(at) == []


@asynchronous
async def test_agents_that_are_not_configured_any_more_are_nobodys_trouble(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.finish(await turn(at, "t1", "gone"), wants())
        await at.one.finish(await turn(at, "t2", "quick"), wants())
        for _ in range(3):
            await beat(at, agent="gone")
        await at.one.store.set_beat(BeatState("gone", 1.0, None, None, None, None), None)
        assert await codes(at) == ["login_wanted t2"]


@asynchronous
async def test_a_turn_without_a_sign_of_life_is_found_after_a_quarter_of_an_hour_and_as_one_thing(
    address: Address,
) -> None:
    async with ledgers(address) as at:
        task = await turn(at, "t1", title="Tidy up")
        at.clock.at += QUARTER
        assert await codes(at) == []
        at.clock.at += 0.5
        [finding] = await found(at)
        assert (finding.code, finding.severity, finding.subject) == (Code.SILENT_AGENT, "warn", "Tidy up")
        assert finding.message == "agent coder has said nothing and done nothing for 15m 00s"
        assert finding.fix == 'outlast subagents log t1; then: outlast subagents steer t1 "…", or cancel t1'
        at.clock.at += HOUR
        assert (await audit(at.one.store, at.clock.now())).findings == [], "stale_running would be the same again"
        assert await codes(at) == ["silent_agent t1"]
        await at.one.finish(task, DONE)
        assert await codes(at) == []


@pytest.mark.parametrize("sign", ["progress", "seen", "output"])
@asynchronous
async def test_whatever_an_agent_says_or_does_starts_the_time_anew(address: Address, sign: str) -> None:
    async with ledgers(address) as at:
        await turn(at, "t1")
        at.clock.at += QUARTER - 1
        options = {}
        if sign == "progress":
            await at.one.progress("t1", None, "reads a file")
        elif sign == "seen":
            await at.one.seen(["t1"])
        else:
            options["last_sign"] = lambda task: SINCE + QUARTER - 1
        at.clock.at += QUARTER
        assert await codes(at, **options) == []
        at.clock.at += 1.5
        assert await codes(at, **options) == ["silent_agent t1"]


@asynchronous
async def test_leave_that_nobody_gives_is_found_after_an_hour_and_its_agent_is_not_silent(address: Address) -> None:
    async with ledgers(address) as at:
        await turn(at, "t1")
        await ask(at)
        at.clock.at += HOUR
        assert await codes(at) == []
        at.clock.at += 0.5
        [finding] = await found(at)
        assert (finding.code, finding.severity, finding.task_id) == (Code.PARKED_PERMISSION, "warn", "t1")
        assert finding.message == "nobody has answered for 1h 00m: Agent coder asks for leave: rm -r build"
        assert finding.fix == "outlast approvals show a1; then: outlast approvals approve a1, or reject a1"
        await answer(at)
        await at.one.seen(["t1"])
        assert await codes(at) == []


@asynchronous
async def test_leave_whose_time_has_passed_is_not_waited_for_any_more(address: Address) -> None:
    async with ledgers(address) as at:
        await ask(at, expires_at=SINCE + 2 * HOUR)
        at.clock.at += HOUR + 1
        assert await codes(at) == ["parked_permission t1"]
        at.clock.at += HOUR
        assert await codes(at) == []


@asynchronous
async def test_a_heartbeat_that_has_failed_three_times_is_found_until_one_goes_well(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.store.set_beat(BeatState("coder", 1.0, None, None, None, None), None)
        await beat(at)
        await beat(at)
        assert await codes(at) == []
        await beat(at, "skipped", "busy")
        await beat(at, reason="the network is down")
        [finding] = await found(at)
        assert (finding.code, finding.severity, finding.subject) == (Code.FAILING_HEARTBEAT, "warn", "coder")
        assert (finding.task_id, finding.since) == (None, SINCE + 31)
        assert finding.message == "the last 3 beats that ran have failed; the newest: the network is down"
        assert finding.fix == "outlast heartbeat history coder; then: outlast agents check coder"
        await beat(at, "silent", "nothing")
        assert await codes(at) == []


@asynchronous
async def test_what_an_agent_says_of_itself_is_one_line_and_fills_no_gap(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.finish(await turn(at, "t1"), wants(NASTY, NASTY))
        await ask(at, prompt=NASTY, detail={"agent": NASTY})
        await at.one.store.set_beat(BeatState("coder", 1.0, None, None, None, None), None)
        for _ in range(3):
            await beat(at, reason=NASTY + "!" * 10_000)
        await turn(at, "t2", NASTY)
        at.clock.at += HOUR + 1
        findings = {finding.code: finding for finding in await found(at)}
        assert findings[Code.LOGIN_WANTED].fix == f"{SEEN}; or: outlast tasks dismiss t1"
        assert len(findings) == 4
        for finding in findings.values():
            assert SEEN in finding.message
            assert (finding.message + finding.fix).isprintable()
            assert len(finding.message) < 600


@asynchronous
async def test_one_pass_over_agents_is_bounded_and_says_when_there_is_more(address: Address) -> None:
    async with ledgers(address) as at:
        for number in range(4):
            await turn(at, f"t{number}")
            at.clock.at += 1
        at.clock.at += QUARTER
        findings, more = await audit_agents(at.one.store, at.clock.now(), KNOWN, limit=3)
        assert ([finding.task_id for finding, _ in findings], more) == (["t0", "t1", "t2"], True)
        findings, more = await audit_agents(at.one.store, at.clock.now(), KNOWN, limit=4)
        assert (len(findings), more) == (4, False)
