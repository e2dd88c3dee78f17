"""Audits: every finding at its threshold and not before, told in words that name the task and the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from api_fakes import asynchronous
from ledger_fakes import DONE, FAILED, SINCE, Two, ledgers

from outlast.core.findings import Code
from outlast.core.session import Cause
from outlast.core.task import Runtime
from outlast.ledger.audit import audit

Address = tuple[str, str]
HALF_AN_HOUR, TEN_MINUTES = 1800.0, 600.0


async def codes(at: Two, **options: Any) -> list[str]:
    """Return code and task of every finding, in the order they are told."""
    found = await audit(at.one.store, at.clock.now(), **options)
    return [f"{one.code.value} {one.task_id}" for one in found.findings]


@asynchronous
async def test_a_sound_ledger_has_no_findings(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.make("t1", queue="slow")
        await at.one.begun("t2")
        await at.one.finish(await at.one.begun("t3"), FAILED)
        assert await codes(at) == []


@asynchronous
async def test_work_that_waits_too_long_is_found_after_ten_minutes(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.make("t1", queue="slow", node="n9", label="nightly")
        at.clock.at += TEN_MINUTES
        assert await codes(at) == []
        at.clock.at += 0.5
        [finding] = (await audit(at.one.store, at.clock.now())).findings
        assert (finding.code, finding.subject, finding.since) == (Code.STALE_QUEUED, "nightly", SINCE)
        assert finding.message == "has waited in queue 'slow' for 10m 00s for node n9"
        assert finding.fix == "outlast tasks queues; then: outlast tasks cancel t1"


@asynchronous
async def test_work_that_is_to_wait_is_not_stale(address: Address) -> None:
    """Work with a delay waits from the moment it could have begun."""
    async with ledgers(address) as at:
        await at.one.make("t1", not_before_at=SINCE + 5000)
        at.clock.at = 5000 + TEN_MINUTES
        assert await codes(at) == []
        at.clock.at += 0.5
        assert await codes(at) == ["stale_queued t1"]


@asynchronous
async def test_work_that_came_back_to_its_queue_waits_from_then_on(address: Address) -> None:
    """It was made long ago, but it has run since: only the time in the queue counts."""
    async with ledgers(address) as at:
        task = await at.one.begun("t1", attempts_max=2, retry={"delaySeconds": 0.0, "delayMaxSeconds": 0.0})
        at.clock.at = 5000
        assert (await at.one.finish(task, FAILED)).how == "requeued"
        await at.one.store.set_queue_limit("default", 0)
        at.clock.at += 1
        await at.one.claim(1)  # its pause is over
        at.clock.at = 5000 + TEN_MINUTES
        assert await codes(at) == []
        at.clock.at += 0.5
        assert await codes(at) == ["stale_queued t1"]


@asynchronous
async def test_work_without_a_sign_of_life_is_found_after_half_an_hour(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun("t1", title="Build")
        at.clock.at += HALF_AN_HOUR
        assert await codes(at) == []
        at.clock.at += 0.5
        [finding] = (await audit(at.one.store, at.clock.now())).findings
        assert (finding.code, finding.subject, finding.since) == (Code.STALE_RUNNING, "Build", SINCE)
        assert finding.message == "no output, progress or report for 30m 00s"
        await at.one.renew([str(task.claim_id)])
        assert await codes(at) == ["stale_running t1"], "a worker that lives is no sign of life of the work"


@pytest.mark.parametrize("sign", ["progress", "seen", "output"])
@asynchronous
async def test_a_sign_of_life_starts_the_time_anew(address: Address, sign: str) -> None:
    async with ledgers(address) as at:
        await at.one.begun("t1")
        at.clock.at += HALF_AN_HOUR - 1
        options = {}
        if sign == "progress":
            await at.one.progress("t1", 50, None)
        elif sign == "seen":
            await at.one.seen(["t1"])
        else:
            options["last_sign"] = lambda task: SINCE + HALF_AN_HOUR - 1
        at.clock.at += HALF_AN_HOUR
        assert await codes(at, **options) == []
        at.clock.at += 1.5
        assert await codes(at, **options) == ["stale_running t1"]


@asynchronous
async def test_lost_work_is_found_until_it_is_dismissed_or_recovered(address: Address) -> None:
    async with ledgers(address) as at:
        for name in ("t1", "t2"):
            await at.one.lose(await at.one.begun(name), Cause.EVIDENCE_GONE, "no record, no process")
        found = (await audit(at.one.store, at.clock.now())).findings
        assert {one.message for one in found} == {"nobody knows how it ended: no record, no process"}
        assert found[0].fix.startswith(f"outlast tasks show {found[0].task_id}; then: outlast tasks retry")
        await at.one.store.dismiss("t1", at.clock.now())
        assert await codes(at) == ["lost t2"]
        await at.one.recover(await at.one.require("t2"), DONE)
        assert await codes(at) == []


@asynchronous
async def test_news_that_could_not_be_delivered_is_found(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.finish(await at.one.begun("t1", conversation="agent:a:main"), FAILED)
        [notice] = await at.one.store.pending_outbox(10)
        await at.one.store.settle_notice(notice.id, "parked", at.clock.now())
        [finding] = (await audit(at.one.store, at.clock.now())).findings
        assert (finding.code, finding.task_id) == (Code.DELIVERY_FAILED, "t1")
        assert finding.message == "its failed could not be told to agent:a:main"
        await at.one.store.dismiss("t1", at.clock.now())
        assert await codes(at) == []


@asynchronous
async def test_a_clock_that_was_set_back_is_found(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun("t1")
        at.clock.at -= 100
        await at.one.finish(task, DONE)
        [finding] = (await audit(at.one.store, at.clock.now())).findings
        assert (finding.code, finding.fix) == (Code.INCONSISTENT_TIMESTAMPS, "outlast tasks dismiss t1")


@asynchronous
async def test_what_ended_work_was_to_run_and_is_still_there_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    async with ledgers(("sqlite", path)) as at:
        await at.one.finish(await at.one.begun("t1", payload={"spec": 1}), DONE)
        assert await codes(at) == []
        connection = apsw.Connection(path)
        connection.execute("INSERT INTO payload VALUES ('t1', '{}')")
        connection.close()
        [finding] = (await audit(at.one.store, at.clock.now())).findings
        assert (finding.code, finding.severity, finding.task_id) == (Code.MISSING_CLEANUP, "warn", "t1")
        assert finding.fix == "outlast tasks maintenance --apply"


@asynchronous
async def test_outside_work_is_watched_like_any_other(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.begun("t1", runtime=Runtime.EXTERNAL)
        at.clock.at += HALF_AN_HOUR + 1
        assert await codes(at) == ["stale_running t1"]


@asynchronous
async def test_the_worst_comes_first_and_of_a_kind_the_oldest(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        await at.one.make("t1", queue="slow")
        at.clock.at += 1
        await at.one.make("t2", queue="slow")
        await at.one.begun("t3")
        at.clock.at += 1
        await at.one.begun("t4")
        await at.one.lose(await at.one.begun("t5"), Cause.EVIDENCE_GONE, "gone")
        at.clock.at += 1
        await at.one.lose(await at.one.begun("t6"), Cause.EVIDENCE_GONE, "gone")
        at.clock.at += HALF_AN_HOUR + 1
        assert await codes(at) == [
            "lost t5", "lost t6", "stale_running t3", "stale_running t4", "stale_queued t1", "stale_queued t2",
        ]  # fmt: skip


@asynchronous
async def test_one_pass_is_bounded_and_says_when_there_is_more(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        for number in range(4):
            await at.one.make(f"t{number}", queue="slow")
        at.clock.at += TEN_MINUTES + 1
        some = await audit(at.one.store, at.clock.now(), limit=3)
        assert ([one.task_id for one in some.findings], some.more) == (["t0", "t1", "t2"], True)
        everything = await audit(at.one.store, at.clock.now(), limit=4)
        assert (len(everything.findings), everything.more) == (4, False)
