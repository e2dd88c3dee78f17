"""Secrets: the command gets them, and nothing that is stored, shown or sent has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_fakes import asynchronous
from api_ledger import LedgerWorld, ledger_world

from outlast.core.task import TaskFilter

SECRET = "hunter2hunter2hunter2"
GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SECRETS = (SECRET, GITHUB)
COMMANDS: dict[str, dict[str, Any]] = {
    "a variable": {"command": f"API_TOKEN={SECRET} make deploy"},
    "an option": {"command": f"deploy --password {SECRET}"},
    "an address": {"command": f"git clone https://me:{SECRET}@example.com/x"},
    "a known shape": {"command": f"echo {GITHUB}"},
    "a header": {"command": f"curl -H 'Authorization: Bearer {SECRET}' example.com"},
    "arguments": {"argv": ["curl", "--header", f"X-Api-Key: {SECRET}", f"https://me:{SECRET}@example.com"]},
    "the environment": {"command": "make", "env": {"API_TOKEN": SECRET, "GH": GITHUB}},
    "input": {"command": "cat", "stdin": {"text": f"password={SECRET}"}},
    "names": {"command": "make", "title": f"TOKEN={SECRET}", "labels": [f"PASSWORD={SECRET}", GITHUB]},
}


async def everything(at: LedgerWorld) -> str:
    """All that is on record and all that can be asked about it, as one text."""
    await at.settle()
    tasks = (await at.store.list_tasks(TaskFilter(), 1000)).tasks
    parts: list[object] = [
        tasks,
        await at.store.events_since(0),
        await at.store.pending_outbox(1000),
        await at.ask("tasks.list"),
        await at.ask("tasks.audit"),
        await at.ask("list"),
        await at.ask("tasks.list", search="make"),
    ]
    for task in tasks:
        parts += [await at.ask(act, task.id) for act in ("tasks.show", "tasks.events", "explain", "tasks.children")]
    parts += [session.info for session in at.sessions.all.values()]
    return msgspec.json.encode(parts).decode()


def clean(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("how", ["detach", "background"])
@pytest.mark.parametrize("where", COMMANDS)
@asynchronous
async def test_a_secret_reaches_the_command_and_nothing_else(tmp_path: Path, where: str, how: str) -> None:
    async with ledger_world(tmp_path) as at:
        answer = await at.ask("exec", **COMMANDS[where], **{how: True}, conversation="c" if how == "detach" else None)
        assert clean(msgspec.json.encode(answer).decode())
        assert clean(await everything(at))
        [session] = at.sessions.all.values()
        given = msgspec.json.encode(session.spec).decode()
        assert not clean(given), "the command itself must get it"
        session.ends(3)
        assert clean(await everything(at))
        [task] = (await at.store.list_tasks(TaskFilter(), 10)).tasks
        assert await at.store.payload_of(task.id) is None
        assert "***" in await everything(at) or where in ("input", "the environment")


@asynchronous
async def test_a_secret_waits_with_its_work_and_goes_with_its_end(tmp_path: Path) -> None:
    """It must be somewhere as long as the work is to be done; not a moment longer, also when it is called off."""
    async with ledger_world(tmp_path) as at:
        task = await at.run(f"TOKEN={SECRET} make", delaySeconds=100)
        kept = await at.store.payload_of(task.task_id)
        assert SECRET in str(kept)
        assert clean(await everything(at))
        await at.ask("tasks.cancel", task.task_id)
        assert await at.store.payload_of(task.task_id) is None


@asynchronous
async def test_a_secret_in_what_a_command_printed_last_is_not_told(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        task = await at.run("make")
        (await at.session_of(task.task_id)).prints(f"login: password={SECRET} and {GITHUB}\n".encode())
        ended = await at.end(task.task_id, 1)
        assert ended.summary is not None and "password=***" in ended.summary
        assert clean(await everything(at))


@asynchronous
async def test_secrets_in_words_about_work_are_not_kept(tmp_path: Path) -> None:
    async with ledger_world(tmp_path) as at:
        said = f"TOKEN={SECRET}"
        made = await at.ask(
            "tasks.report-start", label=said, title=said, command=f"deploy --token {SECRET}", conversation="c"
        )
        await at.ask("tasks.report", made.task_id, progress=5, message=said)
        await at.ask("tasks.report", made.task_id, done=True, error=said, summary=said)
        await at.ask("tasks.report", made.task_id, progress=6, message=said)
        queued = await at.record("t1")
        await at.ask("tasks.cancel", queued.id, reason=said)
        running = await at.run("make")
        await at.ask("tasks.cancel", running.task_id, reason=said)
        shown = await everything(at)
        assert clean(shown) and shown.count("TOKEN=***") >= 6


@asynchronous
async def test_a_secret_is_gone_from_the_file_when_its_work_has_ended(tmp_path: Path) -> None:
    """Not only from the answers: a backup of the file, or its copy on another disk, must not have it either."""
    async with ledger_world(tmp_path) as at:
        task = await at.run(f"TOKEN={SECRET} make")
        assert SECRET.encode() in b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*") if path.is_file())
        await at.end(task.task_id)
    left = [
        path.name for path in tmp_path.glob("ledger.db*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert left == []
