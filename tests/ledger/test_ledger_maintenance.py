"""Upkeep: looking changes nothing, mending mends, and nothing is forgotten before it is written out."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest
from api_fakes import asynchronous
from ledger_fakes import DONE, FAILED, SINCE, Two, ledgers

from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy, Task, TaskFilter
from outlast.ledger import maintenance
from outlast.ledger.maintenance import Move, count_prunable, mend, plan, prune

Address = tuple[str, str]


def nothing(task: Task) -> Outcome | None:
    return None


async def ended(at: Two, name: str, **fields: Any) -> Task:
    """A task that has ended and of which nobody is to be told any more."""
    task = await at.one.begun(name, **{"notify": NotifyPolicy.SILENT, **fields})
    return (await at.one.finish(task, DONE)).task


async def names(at: Two) -> list[str]:
    return sorted(task.id for task in (await at.one.store.list_tasks(TaskFilter(), 1000)).tasks)


@asynchronous
async def test_what_is_old_is_forgotten_and_what_lives_stays(address: Address) -> None:
    async with ledgers(address) as at:
        await ended(at, "t1")
        await at.one.begun("t2")
        await at.one.make("t3", queue="slow")
        at.clock.at += 100
        await ended(at, "t4", queue="other")
        before = at.clock.now() - 50
        assert await count_prunable(at.one.store, before) == 1
        assert await prune(at.one, before) == maintenance.Upkeep([], 1, 0, 0, False)
        assert await names(at) == ["t2", "t3", "t4"]
        assert await at.one.store.events_of("t1") == []


@asynchronous
async def test_lost_work_is_forgotten_like_any_other(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun("t1", notify=NotifyPolicy.SILENT)
        await at.one.lose(task, Cause.EVIDENCE_GONE, "gone")
        assert (await prune(at.one, at.clock.now() + 1)).pruned == 1


@asynchronous
async def test_what_is_still_to_be_told_is_kept(address: Address) -> None:
    async with ledgers(address) as at:
        await ended(at, "t1", notify=NotifyPolicy.DONE_ONLY)
        before = at.clock.now() + 1
        assert await count_prunable(at.one.store, before) == 0
        assert (await prune(at.one, before)).pruned == 0
        [notice] = await at.one.store.pending_outbox(10)
        await at.one.store.settle_notice(notice.id, "delivered", at.clock.now())
        assert (await prune(at.one, before)).pruned == 1


@asynchronous
async def test_what_is_still_to_be_told_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest tasks may wait for an outage to pass: everything behind them is forgotten all the same."""
    monkeypatch.setattr(maintenance, "BATCH", 5)
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        for number in range(20):
            policy = NotifyPolicy.DONE_ONLY if number < 10 else NotifyPolicy.SILENT
            await ended(at, f"t{number:02d}", notify=policy)
            at.clock.at += 1
        archive = str(tmp_path / "archive")
        done = await prune(at.one, at.clock.now(), archive=archive)
        assert (done.pruned, done.prunable, done.archived) == (10, 0, 10)
        assert await names(at) == [f"t{number:02d}" for number in range(10)]


@asynchronous
async def test_a_pass_is_bounded_and_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "BATCH", 2)
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        for number in range(7):
            await ended(at, f"t{number}")
            at.clock.at += 1
        done = await prune(at.one, at.clock.now(), limit=5)
        assert (done.pruned, done.prunable, done.more) == (5, 2, True)
        assert await names(at) == ["t5", "t6"]
        done = await prune(at.one, at.clock.now(), limit=5)
        assert (done.pruned, done.prunable, done.more) == (2, 0, False)


@asynchronous
async def test_what_is_forgotten_is_written_out_first(address: Address, tmp_path: Path) -> None:
    async with ledgers(address) as at:
        for name in ("t1", "t2"):
            await ended(at, name, label="nächtlich \U0001f319")
            at.clock.at += 1
        archive = tmp_path / "archive.jsonl"
        archive.write_text('{"older": true}\n')
        done = await prune(at.one, at.clock.now(), archive=str(archive))
        assert (done.pruned, done.archived) == (2, 2)
        lines = [json.loads(line) for line in archive.read_text("utf-8").splitlines()]
        assert lines[0] == {"older": True}
        assert [line["task"]["id"] for line in lines[1:]] == ["t1", "t2"]
        assert lines[1]["task"]["label"] == "nächtlich \U0001f319"
        assert [event["verb"] for event in lines[1]["events"]] == ["create", "claim", "succeed"]
        assert lines[1]["task"]["ended_at"] == SINCE


@asynchronous
async def test_an_archive_is_private(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        await ended(at, "t1")
        await prune(at.one, at.clock.now() + 1, archive=str(tmp_path / "archive"))
        assert stat.S_IMODE(os.stat(tmp_path / "archive").st_mode) == 0o600


@asynchronous
async def test_nothing_is_forgotten_that_could_not_be_written_out(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        await ended(at, "t1")
        with pytest.raises(BadInput) as caught:
            await prune(at.one, at.clock.now() + 1, archive=str(tmp_path / "no" / "such"))
        assert caught.value.code == "bad_archive"
        with pytest.raises(GatewayTrouble) as full:
            await prune(at.one, at.clock.now() + 1, archive="/dev/full")
        assert full.value.code == "disk_full"
        assert await names(at) == ["t1"]


@asynchronous
async def test_looking_changes_nothing(address: Address) -> None:
    async with ledgers(address) as at:
        await at.one.lose(await at.one.begun("t1"), Cause.EVIDENCE_GONE, "gone")
        await at.one.begun("t2")
        at.clock.at += 61
        before = await at.one.store.last_event_id()
        moves = await plan(at.two.store, at.clock.now(), lambda task: DONE if task.id == "t1" else None)
        assert moves == [
            Move("t1", "recover", "its true end was found: succeeded"),
            Move("t2", "lose", "worker n1/1 has not renewed its lease"),
        ]
        assert await at.one.store.last_event_id() == before


@asynchronous
async def test_mending_does_what_looking_found(address: Address) -> None:
    async with ledgers(address) as at:
        found = Outcome(status=Status.FAILED, cause=Cause.EXIT, at=SINCE + 3, detail={"exitCode": 7})
        await at.one.lose(await at.one.begun("t1"), Cause.EVIDENCE_GONE, "gone")
        await at.one.begun("t2")
        at.clock.at += 61
        moves = await plan(at.two.store, at.clock.now(), lambda task: found)
        await mend(at.two, moves, lambda task: found)
        one, two = await at.two.require("t1"), await at.two.require("t2")
        assert (one.status, one.detail, one.ended_at) == (Status.FAILED, {"exitCode": 7}, SINCE + 3)
        assert (two.status, two.cause, two.error) == (
            Status.LOST, Cause.LEASE_EXPIRED, "worker n1/1 has not renewed its lease",
        )  # fmt: skip
        assert await plan(at.two.store, at.clock.now(), nothing) == []


@asynchronous
async def test_what_is_well_again_meanwhile_is_left_alone(address: Address) -> None:
    async with ledgers(address) as at:
        one, two = await at.one.begun("t1"), await at.one.begun("t2")
        at.clock.at += 61
        moves = await plan(at.two.store, at.clock.now(), nothing)
        assert [move.act for move in moves] == ["lose", "lose"]
        await at.one.renew([str(one.claim_id)])
        await at.one.finish(two, FAILED)
        await mend(at.two, moves, nothing)
        assert [(await at.one.require(name)).status for name in ("t1", "t2")] == [Status.RUNNING, Status.FAILED]


@asynchronous
async def test_what_is_ours_is_never_given_up_for_its_lease(address: Address) -> None:
    """A machine that slept has renewed nothing: its own work is there to be looked at, not to be guessed about."""
    async with ledgers(address) as at:
        await at.one.begun("t1")
        await at.two.begun("t2")
        at.clock.at += 61
        moves = await plan(at.one.store, at.clock.now(), nothing, own=lambda task: task.node == "n1")
        assert [(move.task_id, move.act) for move in moves] == [("t2", "lose")]


@asynchronous
async def test_what_is_lost_without_evidence_stays_lost(address: Address) -> None:
    async with ledgers(address) as at:
        lost = Outcome(status=Status.LOST, cause=Cause.EVIDENCE_GONE)
        await at.one.lose(await at.one.begun("t1"), Cause.EVIDENCE_GONE, "gone")
        assert await plan(at.one.store, at.clock.now(), nothing) == []
        assert await plan(at.one.store, at.clock.now(), lambda task: lost) == []


@asynchronous
async def test_what_ended_work_was_to_run_is_cleared_away(tmp_path: Path) -> None:
    """It may hold secrets. It goes with the end; should it ever be left, it is found and cleared."""
    path = str(tmp_path / "ledger.db")
    async with ledgers(("sqlite", path)) as at:
        await ended(at, "t1")
        connection = apsw.Connection(path)
        connection.execute("INSERT INTO payload VALUES ('t1', '{\"secret\": 1}')")
        connection.close()
        moves = await plan(at.one.store, at.clock.now(), nothing)
        assert [(move.task_id, move.act) for move in moves] == [("t1", "clean")]
        await mend(at.one, moves, nothing)
        assert await at.one.store.payload_of("t1") is None
        assert await plan(at.one.store, at.clock.now(), nothing) == []
