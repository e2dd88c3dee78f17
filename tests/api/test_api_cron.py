"""Rules of work to come, as anybody may ask for them: what is understood, refused, shown, and to whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE, REMOTE, telling_world

from outlast.core.errors import BadInput, Conflict, NotFound, OutlastError, Refused


async def refused(work: Any, kind: type[OutlastError] = BadInput) -> OutlastError:
    with pytest.raises(kind) as caught:
        await work
    assert "\n" not in caught.value.message
    assert "\x1b" not in caught.value.message
    assert len(caught.value.message) < 400
    return caught.value


def shown(answer: Any) -> str:
    return msgspec.json.encode(answer).decode()


# ---- adding


@asynchronous
async def test_a_rule_says_what_was_understood_of_it(tmp_path: Path) -> None:
    """Whoever adds one sees its words, its zone and its next three firings before relying on it."""
    async with telling_world(tmp_path) as world:
        added = await world.rule("backup", cron="30 2 * * *", tz="Europe/London")
        assert (added.status, added.revision, added.tz) == ("active", 1, "Europe/London")
        assert [one.at for one in added.understood.next] == [f"2027-01-{day}T02:30:00.000Z" for day in (16, 17, 18)]
        assert added.understood.words == "At 02:30 every day" or "02:30" in added.words
        every = await world.rule("often", every="15m")
        assert every.next_at == "2027-01-15T08:15:00.000Z"
        once = await world.rule("once", **{"in": "20m"})
        assert (once.kind, once.expr) == ("at", "2027-01-15T08:20:00Z")
        at = await world.rule("at", at="2027-02-01 09:00", tz="Asia/Kolkata")
        assert at.expr == "2027-02-01T03:30:00Z"


@pytest.mark.parametrize(("fields", "words"), [
    ({"cron": "61 * * * *"}, "'61' is no minute"),
    ({"cron": "0 0 31 2 *"}, "never comes"),
    ({"cron": "* * * *"}, "4 fields"),
    ({"cron": "@reboot"}, "@reboot"),
    ({"cron": "* * * * *", "tz": "Mars/Olympus"}, "Mars/Olympus"),
    ({"cron": "* * * * *", "every": "5m"}, "does not go with"),
    ({"every": "0s"}, "'0'"),
    ({"every": "often"}, "'often'"),
    ({"every": "100000000d"}, ""),
    ({"at": "yesterday"}, "yesterday"),
    ({"at": "2020-01-01 00:00"}, ""),
    ({"at": "32.13.2027"}, "32.13.2027"),
    ({"in": "-5m"}, "-5m"),
    ({"in": "soon"}, "soon"),
    ({"every": "5m", "misfire": "all:1000"}, "misfire"),
    ({"every": "5m", "deliver": "webhook"}, "webhook"),
    ({"every": "5m", "webhook": "ftp://x.test/"}, ""),
    ({"every": "5m", "webhook": "https://user:secret@[::1"}, ""),
    ({"every": "5m", "event": "x", "command": None}, "to: is required"),
    ({"every": "5m", "event": "x", "to": "y"}, "does not go with"),
    ({"every": "5m", "command": None}, "command: is required"),
    ({"every": "5m", "command": None, "agent": "x"}, "no agent 'x'"),
    ({"every": "5m", "name_": "../etc/passwd"}, "cannot be the name"),
    ({"every": "5m", "name_": HOSTILE[:60]}, "cannot be the name"),
    ({"every": "5m", "command": "x", "workdir": "relative"}, "workdir"),
    ({"every": "5m", "env": {"A=B": "c"}}, ""),
])  # fmt: skip
@asynchronous
async def test_what_makes_no_rule_is_refused_in_good_words(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    """A wrong field is named with the reason, and nothing is written."""
    async with telling_world(tmp_path) as world:
        given = {"name_": "job", "command": "make", **fields}
        given = {name: value for name, value in given.items() if value is not None}
        error = await refused(world.ask("cron.add", **given))
        assert words in error.message
        assert "secret" not in error.message
        assert (await world.ask("cron.list")).schedules == []
        assert (await world.ask("tasks.queues")).queues == []


@asynchronous
async def test_a_name_is_given_once_and_the_second_leaves_nothing_behind(tmp_path: Path) -> None:
    """The refused one must not leave so much as the limit of its queue."""
    async with telling_world(tmp_path) as world:
        await world.rule("job")
        error = await refused(world.rule("job", overlap="queue"), Conflict)
        assert error.code == "name_taken"
        assert (await world.ask("tasks.queues")).queues == []


@asynchronous
async def test_a_remote_caller_cannot_smuggle_in_what_changes_the_code_that_runs(tmp_path: Path) -> None:
    """What exec refuses over TCP is refused as well when it would only be run later."""
    async with telling_world(tmp_path) as world:
        for name in ("LD_PRELOAD", "BASH_ENV", "OUTLAST_HOME"):
            error = await refused(world.rule(env={name: "/tmp/evil.so"}, caller=REMOTE), OutlastError)
            assert name in error.message
        await world.rule("mine", env={"LD_PRELOAD": "/mine.so"})
        await world.rule("theirs", env={"A": "b"}, caller=REMOTE)
        await refused(world.ask("cron.edit", "theirs", env={"LD_PRELOAD": "x"}, caller=REMOTE), OutlastError)
        table = "LD_PRELOAD=/tmp/evil.so\n0 0 * * * make\n"
        found = await world.ask("cron.import", text=table, apply=True, caller=REMOTE)
        assert found.added == []
        assert "LD_PRELOAD" in found.lines[0].refused


# ---- whose


@asynchronous
async def test_nobody_sees_or_changes_the_rules_of_another(tmp_path: Path) -> None:
    """The same words for a rule that is somebody else's and for none at all."""
    async with telling_world(tmp_path) as world:
        hers = await world.rule("hers", caller=ALICE)
        await world.rule("ours")
        assert [one.name for one in (await world.ask("cron.list", caller=BOB)).schedules] == []
        assert [one.name for one in (await world.ask("cron.list", caller=ALICE)).schedules] == ["hers"]
        assert [one.name for one in (await world.ask("cron.list")).schedules] == ["hers", "ours"]
        assert [one.name for one in (await world.ask("cron.list", owner=ALICE.requester)).schedules] == ["hers"]
        for act in ("show", "next", "edit", "pause", "resume", "run", "runs", "remove"):
            for name in ("hers", hers.schedule_id, "ours", "none"):
                error = await refused(world.ask(f"cron.{act}", name, caller=BOB), NotFound)
                assert error.message == f"no schedule {name!r}"
        await refused(world.ask("cron.export", caller=ALICE), Refused)
        assert (await world.ask("cron.show", "hers", caller=ALICE)).requester == ALICE.requester


@asynchronous
async def test_a_requester_reminds_only_himself(tmp_path: Path) -> None:
    """An event for another conversation is speaking to it, now or later."""
    async with telling_world(tmp_path) as world:
        await refused(world.rule(event="boo", to=BOB.requester, caller=ALICE), Refused)
        await world.rule(event="stand up", to=ALICE.requester, caller=ALICE)
        await refused(world.ask("cron.edit", "job", event="boo", to=BOB.requester, caller=ALICE), Refused)
        await world.rule("any", event="hello", to=BOB.requester)


# ---- changing


@asynchronous
async def test_of_two_changes_at_once_the_second_is_a_conflict(tmp_path: Path) -> None:
    """Nothing is lost unseen: the one who is late reads again and decides."""
    async with telling_world(tmp_path) as world:
        await world.rule()
        answers = await asyncio.gather(
            world.ask("cron.edit", "job", every="2m"), world.ask("cron.edit", "job", every="3m"),
            return_exceptions=True,
        )  # fmt: skip
        [late] = [one for one in answers if isinstance(one, Exception)]
        assert (type(late), late.code) == (Conflict, "conflict")
        assert (await world.ask("cron.show", "job")).revision == 2
        stale = await refused(world.ask("cron.edit", "job", comment="x", revision=1), Conflict)
        assert "revision 2" in stale.message
        assert (await world.ask("cron.edit", "job", comment="x", revision=2)).revision == 3
        await world.rule("other")
        assert (await refused(world.ask("cron.edit", "other", rename="job"), Conflict)).code == "name_taken"


@asynchronous
async def test_a_change_that_a_firing_overtook_is_made_on_top_of_it(tmp_path: Path) -> None:
    """The scheduler moves the cursor while somebody edits: neither is the instant fired again nor the edit refused."""
    async with telling_world(tmp_path) as world:
        await world.rule(overlap="allow")
        gate = world.store.gates["edit_schedule"] = asyncio.Event()
        editing = asyncio.create_task(world.ask("cron.edit", "job", comment="while it fires"))
        await world.go(60.1)
        gate.set()
        edited = await editing
        assert (edited.comment, edited.last_at, edited.next_at) == (
            "while it fires", "2027-01-15T08:01:00.000Z", "2027-01-15T08:02:00.000Z",
        )  # fmt: skip
        await world.go(60)
        runs = (await world.ask("cron.runs", "job")).runs
        assert [run.instant for run in runs] == ["2027-01-15T08:02:00.000Z", "2027-01-15T08:01:00.000Z"]


@asynchronous
async def test_a_change_of_anything_but_the_time_keeps_what_is_due(tmp_path: Path) -> None:
    """A new comment at half past two, just before the scheduler gets there, must not cost tonight's backup."""
    async with telling_world(tmp_path) as world:
        await world.rule(every="10m")
        gate = world.store.gates["fire"] = asyncio.Event()
        await world.go(600.05)
        edited = await world.ask("cron.edit", "job", comment="new")
        assert edited.next_at == "2027-01-15T08:10:00.000Z"
        del world.store.gates["fire"]
        gate.set()
        await world.go(1)
        [run] = (await world.ask("cron.runs", "job")).runs
        assert (run.instant, run.how) == ("2027-01-15T08:10:00.000Z", "fired")
        moved = await world.ask("cron.edit", "job", every="1h")
        assert moved.next_at > "2027-01-15T09:10"


@asynchronous
async def test_pause_resume_and_remove(tmp_path: Path) -> None:
    """Paused, nothing comes due; resumed, it goes on from now; removed, its tasks stay on record."""
    async with telling_world(tmp_path) as world:
        await world.rule(overlap="allow")
        await world.go(60.1)
        assert (await world.ask("cron.pause", "job")).status == "paused"
        assert (await world.ask("cron.pause", "job")).status == "paused"
        assert (await world.ask("cron.next", "job")).next == []
        await world.go(600)
        assert (await world.ask("cron.resume", "job")).next_at == "2027-01-15T08:12:00.000Z"
        [run] = (await world.ask("cron.runs", "job")).runs
        assert (await world.ask("cron.remove", "job")).removed == ["job"]
        await refused(world.ask("cron.show", "job"), NotFound)
        assert (await world.task(run.task_id)).label == "job"


@asynchronous
async def test_the_limit_of_a_queue_comes_and_goes_with_its_rule(tmp_path: Path) -> None:
    """One at a time holds from the first instant on, also for what a crontab brought, and leaves no trace."""
    async with telling_world(tmp_path) as world:
        await world.rule("added", overlap="queue")
        await world.ask("cron.import", text="# outlast: name=read overlap=queue\n* * * * * make\n", apply=True)
        assert [queue.limit for queue in (await world.ask("tasks.queues")).queues] == [1, 1]
        await world.ask("cron.edit", "added", overlap="skip")
        assert len((await world.ask("tasks.queues")).queues) == 1
        await world.ask("cron.edit", "added", overlap="queue")
        for name in ("added", "read"):
            await world.ask("cron.remove", name)
        assert (await world.ask("tasks.queues")).queues == []


@asynchronous
async def test_run_now_leaves_the_instants_as_they_are(tmp_path: Path) -> None:
    """A run by hand is one more, also of a rule that is paused."""
    async with telling_world(tmp_path) as world:
        before = await world.rule()
        fired = await world.ask("cron.run", "job")
        assert (await world.task(fired.task_id)).status.value == "running"
        assert (await world.ask("cron.show", "job")).next_at == before.next_at
        await world.ask("cron.pause", "job")
        await world.go(1)
        assert (await world.ask("cron.run", "job")).task_id
        assert [run.how for run in (await world.ask("cron.runs", "job")).runs] == ["manual", "manual"]


@asynchronous
async def test_ten_failures_switch_it_off_and_the_requester_hears_of_it(tmp_path: Path) -> None:
    """Told where the rule's owner listens, found by the audit, and mended by the command they both name."""
    async with telling_world(tmp_path) as world:
        await world.rule(caller=ALICE)
        for _ in range(10):
            await world.go(60.01)
            [run] = (await world.ask("cron.runs", "job", limit=1)).runs
            await world.end(run.task_id, 1)
        await world.go(1)
        off = await world.ask("cron.show", "job")
        assert (off.status, off.failures) == ("disabled", 10)
        [event] = (await world.ask("conversations.events", ALICE.requester, caller=ALICE)).events
        assert "outlast cron resume job" in event.text
        [finding] = [one for one in (await world.ask("tasks.audit")).findings if one.code == "auto_disabled"]
        assert "outlast cron resume job" in finding.fix
        assert (await world.ask("cron.resume", "job")).failures == 0
        assert "auto_disabled" not in shown(await world.ask("tasks.audit"))


# ---- looking


@asynchronous
async def test_looking_never_writes(tmp_path: Path) -> None:
    """List, show, next, runs, export and a dry import leave the file alone."""
    async with telling_world(tmp_path) as world:
        await world.rule()
        await world.go(60.1)
        watcher = apsw.Connection(str(world.file))
        before = watcher.pragma("data_version")
        for _ in range(3):
            await world.ask("cron.list")
            await world.ask("cron.show", "job")
            await world.ask("cron.next", "job", count=1000)
            await world.ask("cron.runs", "job")
            await world.ask("cron.export")
            await world.ask("cron.import", text="0 0 * * * make\n")
            await world.ask("conversations.list")
            await world.ask("conversations.events", "local", all=True)
            await world.ask("wake.list")
            await world.ask("notifications.list")
            await world.ask("tasks.audit")
        await world.settle()
        assert watcher.pragma("data_version") == before
        watcher.close()


@asynchronous
async def test_a_damaged_rule_can_be_seen_mended_and_removed(tmp_path: Path) -> None:
    """It says what is wrong with it, hides no other, and can be given new words."""
    async with telling_world(tmp_path) as world:
        for name in ("bad", "good", "worse"):
            await world.rule(name, cron="0 0 * * *")
        hand = apsw.Connection(str(world.file))
        hand.execute("UPDATE schedule SET expr = '0 0 31 2 *' WHERE name = 'bad'")
        hand.execute("UPDATE schedule SET payload = '{' WHERE name = 'worse'")
        hand.close()
        words = {one.name: one.words for one in (await world.ask("cron.list")).schedules}
        assert "never comes" in words["bad"]
        assert "payload cannot be read" in words["worse"]
        assert "never comes" in (await world.ask("cron.show", "bad")).words
        assert (await world.ask("cron.pause", "bad")).status == "paused"
        await refused(world.ask("cron.resume", "bad"))
        assert (await world.ask("cron.edit", "bad", cron="0 1 * * *")).words == "At 01:00 every day"
        await refused(world.ask("cron.run", "worse"))
        assert (await world.ask("cron.edit", "worse", command="make")).command == "make"
        assert (await world.ask("cron.remove", "worse")).removed == ["worse"]
        await world.ask("cron.export")


@asynchronous
async def test_secrets_run_and_are_not_shown(tmp_path: Path) -> None:
    """The command gets its token, the webhook its path; whoever looks gets neither."""
    async with telling_world(tmp_path) as world:
        await world.rule(
            command="curl -H 'Authorization: Bearer abcdefghijklmnop1234' https://x.test", overlap="allow",
            webhook="https://user:hunter2@hooks.example.com/services/T000/SECRETPATH?token=hunter2",
            env={"API_TOKEN": "hunter2hunter2"},
        )  # fmt: skip
        await world.go(60.1)
        [run] = (await world.ask("cron.runs", "job")).runs
        session = await world.session_of(run.task_id)
        assert "abcdefghijklmnop1234" in session.spec.argv[-1]
        assert session.spec.env["API_TOKEN"] == "hunter2hunter2"
        await world.end(run.task_id)
        await world.go(1)
        answers = [
            await world.ask("cron.show", "job"), await world.ask("cron.list"), await world.ask("cron.runs", "job"),
            await world.ask("tasks.show", run.task_id), await world.ask("tasks.events", run.task_id),
            await world.ask("notifications.list"), await world.ask("tasks.audit"),
        ]  # fmt: skip
        text = " ".join(map(shown, answers))
        assert not [secret for secret in ("abcdefghijklmnop", "hunter2", "SECRETPATH", "T000") if secret in text]
        assert (await world.ask("cron.show", "job")).webhook == "webhook:https://hooks.example.com/***" or (
            "hooks.example.com" in shown(answers[0])
        )


# ---- crontabs


TABLE = """\
# Nightly
MAILTO=root@example.com
CRON_TZ=Europe/London
SHELL=/bin/bash
30 2 * * 1-5 ./backup.sh --all
# outlast: name=often misfire=all:3 overlap=queue jitter=2.000
*/10 * * * * date%hello%there
61 * * * * wrong
@daily echo 50\\% done
"""


@asynchronous
async def test_a_crontab_goes_in_and_comes_out_the_same(tmp_path: Path) -> None:
    """Export, import elsewhere, export again: not a letter differs, and each rule is the same."""
    for name in "ab":
        (tmp_path / name).mkdir()
    async with telling_world(tmp_path / "a") as world:
        dry = await world.ask("cron.import", text=TABLE)
        assert (await world.ask("cron.list")).schedules == []
        done = await world.ask("cron.import", text=TABLE, apply=True)
        assert done.added == dry.added
        assert len(done.added) == 3
        [wrong] = [line for line in done.lines if line.refused]
        assert "'61' is no minute" in wrong.refused
        first = (await world.ask("cron.export")).text
        again = await world.ask("cron.import", text=TABLE, apply=True)
        assert again.added == []
        assert all("already" in line.refused or "minute" in line.refused for line in again.lines)
        before = [_essence(one) for one in (await world.ask("cron.list")).schedules]
    async with telling_world(tmp_path / "b") as world:
        assert len((await world.ask("cron.import", text=first, apply=True)).added) == 3
        assert [_essence(one) for one in (await world.ask("cron.list")).schedules] == before
        assert (await world.ask("cron.export")).text == first


def _essence(rule: Any) -> tuple[Any, ...]:
    return rule.name, rule.expr, rule.tz, rule.command, rule.misfire, rule.overlap, rule.jitter_seconds, rule.next_at


# ---- hostile


@asynchronous
async def test_a_hostile_command_stays_what_it_is(tmp_path: Path) -> None:
    """It reaches the shell as it was given and nobody else; what is shown of it drives no terminal."""
    async with telling_world(tmp_path) as world:
        command = HOSTILE.replace("\0", "")
        await world.rule("one", command=command, comment=command, overlap="allow")
        await world.rule("two", argv=["printf", "%s", command], overlap="allow")
        await world.go(60.1)
        for name, expected in (("one", command), ("two", command)):
            [run] = (await world.ask("cron.runs", name)).runs
            session = await world.session_of(run.task_id)
            assert session.spec.argv[-1] == expected
        await refused(world.rule("nul", command="a\0b"), OutlastError)
        big = "x" * 1_000_000
        await world.rule("big", command=f": {big[:900_000]}", overlap="allow")
        assert len((await world.ask("cron.show", "big")).command) <= 1_000_000
        await refused(world.rule("bigger", command=big + "y"), OutlastError)
