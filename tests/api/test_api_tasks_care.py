"""Care of the ledger: what an audit finds, what maintenance does, and what the numbers say."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest
from api_fakes import asynchronous
from api_ledger import LedgerWorld, ledger_world

from outlast.api import tasks as api_tasks
from outlast.api.context import Caller
from outlast.core.errors import BadInput, GatewayTrouble
from outlast.core.session import Cause, Status
from watched_store import trouble

ANN = Caller("agent:ann:main", operator=False)
DAY = 86_400.0


async def codes(at: Any, **fields: Any) -> list[str]:
    found = await at.ask("tasks.audit", **fields)
    return [f"{one.code} {one.task_id or one.subject}" for one in found.findings]


async def lost(at: Any, name: str, **fields: Any) -> None:
    await at.ledger.lose(await at.record(name, **fields), Cause.EVIDENCE_GONE, "nothing was found")


# ---- audit


@asynchronous
async def test_an_audit_counts_what_it_finds_and_names_the_mend(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await lost(at, "t1", label="nightly")
        await at.record("t2")
        at.clock.at += 601
        found = await at.ask("tasks.audit")
        assert (found.counts, found.codes, found.more) == (
            {"error": 1, "warn": 1, "info": 0}, {"lost": 1, "stale_queued": 1}, False,
        )  # fmt: skip
        first = found.findings[0]
        assert (first.code, first.severity, first.task_id, first.subject) == ("lost", "error", "t1", "nightly")
        assert (first.at, first.age_seconds) == ("2027-01-15T08:00:00.000Z", 601.0)
        assert first.fix == "outlast tasks show t1; then: outlast tasks retry t1, or dismiss t1"


@asynchronous
async def test_an_audit_is_narrowed_and_still_counts_everything(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await lost(at, "t1")
        await at.record("t2")
        at.clock.at += 601
        assert await codes(at, severity="warn") == ["stale_queued t2"]
        assert await codes(at, code="lost") == ["lost t1"]
        assert (await at.ask("tasks.audit", code="low_disk")).counts == {"error": 1, "warn": 1, "info": 0}
        with pytest.raises(BadInput, match="'rust' is none of"):
            await at.ask("tasks.audit", code="rust")


@asynchronous
async def test_output_on_disk_is_a_sign_of_life(tmp_path: Path) -> None:
    """What a command prints is not on record, but it is there to be seen."""
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        session = await at.session_of(task.task_id)
        at.clock.at += 1801
        assert await codes(at) == [f"stale_running {task.task_id}"]
        session.prints(b"still here\n")
        os.utime(f"{session.folder}/out", (at.clock.now(), at.clock.now()))
        assert await codes(at) == []


@asynchronous
async def test_everybody_hears_of_his_own_findings_only(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        for number in range(5):
            await lost(at, f"tb{number}", requester="agent:bob:main")
        await lost(at, "ta", requester=ANN.requester)
        found = await at.ask("tasks.audit", caller=ANN)
        assert ([one.task_id for one in found.findings], found.counts["error"]) == (["ta"], 1)


@pytest.mark.parametrize(("free", "found"), [(2**30 - 4096, True), (2**30, False)])
@asynchronous
async def test_little_room_on_the_disk_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, found: bool
) -> None:
    async with ledger_world(tmp_path) as at:
        room = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
        monkeypatch.setattr(api_tasks.os, "statvfs", lambda path: room)
        assert (await codes(at) == [f"low_disk {tmp_path}"]) is found
        assert await codes(at, requester="agent:x") == []


@asynchronous
async def test_a_damaged_store_is_the_only_finding(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await lost(at, "t1")
        at.store.failing["list_tasks"] = trouble("store_damaged")
        assert await codes(at) == ["store_damaged store"]
        at.store.failing["list_tasks"] = trouble("store_busy")
        with pytest.raises(GatewayTrouble):
            await at.ask("tasks.audit")


@asynchronous
async def test_the_status_shows_the_ledger_at_a_glance(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await lost(at, "t1")
        await at.record("t2")
        await at.run(caller=ANN)
        shown = (await at.ask("status")).tasks
        assert (shown.queued, shown.running, shown.findings["error"]) == (1, 1, 1)
        own = (await at.ask("status", caller=ANN)).tasks
        assert (own.queued, own.running, own.findings["error"]) == (0, 1, 0)
        at.store.failing["counts_live"] = trouble()
        assert (await at.ask("status")).tasks is None


# ---- maintenance


async def needing(at: LedgerWorld) -> None:
    """A lost task whose end is there, one that nobody can help, an old one, and a payload that was left."""
    at.sessions.on_start = lambda session: session.ends(0)
    result = await at.ask("exec", command="true")
    await lost(at, "t-recoverable", notify="silent", session_id=result.session_id)
    await lost(at, "t-hopeless", notify="silent")
    await at.ledger.cancel(await at.record("t-old", notify="silent"), Cause.OPERATOR)
    connection = apsw.Connection(str(at.file))
    connection.execute("INSERT INTO payload VALUES ('t-old', '{}')")
    connection.close()


@asynchronous
async def test_without_apply_nothing_is_changed(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await needing(at)
        before = await at.store.last_event_id()
        seen = await at.ask("tasks.maintenance")
        assert (seen.applied, seen.pruned, seen.cleaned, seen.more) == (False, 0, 1, False)
        assert sorted(move.act for move in seen.moves) == ["clean", "recover"]
        assert await at.store.last_event_id() == before
        assert len((await at.ask("tasks.maintenance")).moves) == 2


@asynchronous
async def test_with_apply_it_is_mended(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await needing(at)
        done = await at.ask("tasks.maintenance", apply=True)
        assert (done.applied, done.cleaned, done.lost) == (True, 1, [])
        assert (await at.task("t-recoverable")).status is Status.SUCCEEDED
        assert (await at.task("t-hopeless")).status is Status.LOST
        assert (await at.ask("tasks.maintenance")).moves == []


@asynchronous
async def test_what_is_past_its_time_is_forgotten_and_written_out(tmp_path: Path) -> None:
    archive = tmp_path / "archive.jsonl"
    async with ledger_world(tmp_path, settings={"OUTLAST_TASKS_KEEP_DAYS": "2"}) as at:
        for number in range(3):
            await at.ledger.cancel(await at.record(f"t{number}", notify="silent"), Cause.OPERATOR)
            at.clock.at += DAY
        await at.run("lives")
        assert (await at.ask("tasks.maintenance")).prunable == 1
        at.clock.at += 1
        assert (await at.ask("tasks.maintenance")).prunable == 2
        done = await at.ask("tasks.maintenance", apply=True, archive=str(archive))
        assert (done.pruned, done.archived, done.archive, done.prunable) == (2, 2, str(archive), 0)
        assert [json.loads(line)["task"]["id"] for line in archive.read_text().splitlines()] == ["t0", "t1"]
        assert len((await at.ask("tasks.list")).tasks) == 2


@pytest.mark.parametrize(
    ("archive", "code"), [("relative", "bad_input"), ("/dev/full", "disk_full"), ("/no/such/place", "bad_archive")]
)
@asynchronous
async def test_an_archive_that_cannot_be_written_keeps_everything(tmp_path: Path, archive: str, code: str) -> None:
    async with ledger_world(tmp_path) as at:
        await at.ledger.cancel(await at.record("t0", notify="silent"), Cause.OPERATOR)
        at.clock.at += 8 * DAY
        with pytest.raises((BadInput, GatewayTrouble)) as caught:
            await at.ask("tasks.maintenance", apply=True, archive=archive)
        assert caught.value.code == code
        assert (await at.task("t0")).status is Status.CANCELLED


@asynchronous
async def test_maintenance_after_a_sleep_of_the_machine_gives_up_nothing_of_ours(tmp_path: Path) -> None:
    async with ledger_world(tmp_path, lease_seconds=60.0) as at:
        task = await at.run()
        at.clock.at += 3600  # nobody was awake to renew anything
        done = await at.ask("tasks.maintenance", apply=True)
        assert (done.moves, done.lost) == ([], [])
        assert (await at.task(task.task_id)).status is Status.RUNNING


# ---- queues, numbers, copies


@asynchronous
async def test_queues_are_limited_paused_and_freed(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        shown = await at.ask("tasks.set-queue", name_="db", limit=1)
        assert [(q.name, q.limit, q.queued, q.running) for q in shown.queues] == [("db", 1, 0, 0)]
        for number in range(3):
            await at.run(f"job {number}", queue="db")
        [queue] = (await at.ask("tasks.queues")).queues
        assert (queue.queued, queue.running) == (2, 1)
        await at.ask("tasks.set-queue", name_="db", limit=None)
        await at.settle()
        [queue] = (await at.ask("tasks.queues")).queues
        assert (queue.limit, queue.queued, queue.running) == (None, 0, 3)
        with pytest.raises(BadInput):
            await at.ask("tasks.set-queue", name_="db", limit=-1)


@asynchronous
async def test_the_numbers_add_up(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        done = await at.run("one", notify="done_only")
        await at.end(done.task_id)
        await at.run("two")
        await at.record("t1")
        shown = await at.ask("tasks.stats")
        assert shown.total == 3
        assert {word: n for word, n in shown.by_status.items() if n} == {"queued": 1, "running": 1, "succeeded": 1}
        assert set(shown.by_status) == set(Status)
        assert shown.outbox == {"pending": 1, "parked": 0}
        assert (shown.store.kind, shown.store.place) == ("sqlite", str(at.file))
        assert shown.store.bytes is not None and shown.store.bytes > 4096


@asynchronous
async def test_a_copy_is_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with ledger_world(tmp_path) as at:
        task = await at.run()
        made = await at.ask("backup", path=str(copy))
        assert (made.path, made.bytes) == (str(copy), copy.stat().st_size)
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        with pytest.raises(BadInput) as caught:
            await at.ask("backup", path=str(copy))
        assert caught.value.code == "backup_exists"
        with pytest.raises(BadInput):
            await at.ask("backup", path="copy.db")
    connection = apsw.Connection(str(copy))
    assert list(connection.execute("SELECT id FROM task")) == [(task.task_id,)]


@asynchronous
async def test_a_sound_store_says_so(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        await at.run()
        checked = await at.ask("store")
        assert (checked.ok, checked.kind, checked.problems, checked.fix) == (True, "sqlite", [], None)
