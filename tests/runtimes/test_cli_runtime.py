"""Shell commands as work: on record before they start, never started twice, and their end is what was seen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_fakes import FakeClock, FakeSession, FakeSessions, asynchronous, settle

from outlast.core.errors import GatewayTrouble
from outlast.core.outcome import Outcome
from outlast.core.session import Cause, ExecSpec, Status
from outlast.core.task import Runtime, Task
from outlast.runtimes.base import NeverBegan, NotHeld
from outlast.runtimes.cli import LOOK_BYTES, LOOK_SECONDS, CliRuntime, summary_of


class FakeHands:
    """Notes what a runtime says. ``held`` is whether the claim still holds."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.held = True
        self.begun = False
        self.gate: asyncio.Event | None = None

    async def attach(self, session_id: str) -> None:
        self.said.append(("attach", session_id))
        if self.gate is not None:
            await self.gate.wait()
        if not self.held:
            raise NotHeld

    def began(self, data: dict[str, object]) -> None:
        self.said.append(("began", data["sessionId"]))

    async def has_begun(self) -> bool:
        return self.begun

    def progress(self, percent: int | None, message: str | None) -> None:
        self.said.append(("progress", percent))


class Bench:
    """A runtime over pretended sessions."""

    def __init__(self, home: Path) -> None:
        self.clock = FakeClock(1_800_000_000.0)
        self.sessions = FakeSessions(home, self.clock)
        self.runtime = CliRuntime(self.sessions, self.clock, umask=0o022)  # type: ignore[arg-type]
        self.hands = FakeHands()

    def task(self, **fields: Any) -> Task:
        given = {
            "id": "t1", "runtime": Runtime.CLI, "kind": "exec", "source": "detach", "requester": "local",
            "status": "running", "created_at": self.clock.now(), "revision": 1, "attempt": 1, "claim_id": "c1",
        }  # fmt: skip
        return msgspec.convert({**given, **fields}, Task)

    def payload(self, **fields: Any) -> dict[str, Any]:
        spec = ExecSpec(
            id="sold", argv=("/bin/sh", "-c", "make"), command="make", cwd="/tmp", env={"PATH": "/bin"},
            requester="local", created_at=1.0,
        )  # fmt: skip
        return {"spec": msgspec.to_builtins(msgspec.structs.replace(spec, **fields))}

    def begin(self, task: Task, **fields: Any) -> asyncio.Task[Outcome]:
        return asyncio.ensure_future(self.runtime.run(task, self.payload(**fields), self.hands))

    @property
    def session(self) -> FakeSession:
        [session] = self.sessions.all.values()
        return session


@asynchronous
async def test_a_command_is_on_record_before_it_starts_and_its_end_is_the_outcome(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = bench.begin(bench.task())
    await settle()
    session = bench.session
    assert bench.hands.said == [("attach", session.id), ("began", session.id)]
    session.prints(b"one\ntwo\n")
    session.ends(3)
    outcome = await work
    assert (outcome.status, outcome.cause, outcome.at) == (Status.FAILED, Cause.EXIT, bench.clock.now())
    assert (outcome.summary, outcome.error, outcome.detail["exitCode"]) == ("one\ntwo", "exit code 3", 3)


@asynchronous
async def test_the_command_knows_its_task_and_its_session(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = bench.begin(bench.task(session_id="s0000042"), env={"PATH": "/bin", "TOKEN": "hunter2"})
    await settle()
    spec = bench.session.spec
    assert bench.hands.said == [("began", "s0000042")], "its session is on record already: nothing to attach"
    assert (spec.id, spec.task_id, spec.created_at) == ("s0000042", "t1", bench.clock.now())
    assert spec.env == {
        "PATH": "/bin", "TOKEN": "hunter2", "OUTLAST_SESSION_ID": "s0000042", "OUTLAST_TASK_ID": "t1",
    }  # fmt: skip
    bench.session.ends(0)
    assert (await work).status is Status.SUCCEEDED


@asynchronous
async def test_what_has_run_in_its_session_is_not_run_again(tmp_path: Path) -> None:
    """A ledger put back from a copy has it queued still; the session knows better."""
    bench = Bench(tmp_path)
    task = bench.task(session_id="s0000042")
    work = bench.begin(task)
    await settle()
    bench.session.ends(3)
    first = await work
    bench.sessions.on_start = lambda session: pytest.fail("it was started a second time")
    assert await bench.begin(task) == first
    assert bench.hands.said == [("began", "s0000042")]


@asynchronous
async def test_nothing_is_started_for_a_claim_that_is_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.hands.held = False
    with pytest.raises(NotHeld):
        await bench.begin(bench.task())
    assert bench.sessions.all == {}


@pytest.mark.parametrize("code", ["disk_full", "cannot_start", "keeper_lost"])
@asynchronous
async def test_what_cannot_be_started_is_an_outcome(tmp_path: Path, code: str) -> None:
    bench = Bench(tmp_path)

    def refuse(session: FakeSession) -> None:
        raise GatewayTrouble("the disk is full", code=code)

    bench.sessions.on_start = refuse
    outcome = await bench.begin(bench.task())
    assert (outcome.status, outcome.cause, outcome.error) == (Status.FAILED, Cause.SPAWN_ERROR, "the disk is full")
    assert (outcome.detail, outcome.may_retry) == ({"code": code}, True)


@asynchronous
async def test_a_command_that_was_never_there_has_not_begun(tmp_path: Path) -> None:
    """The keeper answers a program that does not exist with an ended session."""
    bench = Bench(tmp_path)
    bench.sessions.on_start = lambda session: session.ends(127, cause=Cause.SPAWN_ERROR)
    outcome = await bench.begin(bench.task(session_id="s0000001"))
    assert (outcome.status, outcome.cause) == (Status.FAILED, Cause.SPAWN_ERROR)
    assert bench.hands.said == []


@pytest.mark.parametrize(
    ("timeout", "left", "limit"),
    [(None, None, None), (5.0, None, 5.0), (None, 30.0, 30.0), (5.0, 30.0, 5.0), (50.0, 30.0, 30.0)],
)
@asynchronous
async def test_the_deadline_is_a_limit_the_keeper_holds(
    tmp_path: Path, timeout: float | None, left: float | None, limit: float | None
) -> None:
    """So it counts while no gateway runs."""
    bench = Bench(tmp_path)
    deadline = None if left is None else bench.clock.now() + left
    work = bench.begin(bench.task(deadline_at=deadline), timeout_seconds=timeout)
    await settle()
    assert bench.session.spec.timeout_seconds == limit
    bench.clock.at += limit or 0
    bench.session.ends(None, cause=Cause.TIMEOUT, signal=15)
    assert (await work).cause is (Cause.DEADLINE if left is not None and limit == left else Cause.TIMEOUT)


@asynchronous
async def test_nothing_is_started_behind_its_deadline(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = await bench.begin(bench.task(deadline_at=bench.clock.now()))
    assert (outcome.status, outcome.cause, outcome.may_retry) == (Status.TIMED_OUT, Cause.DEADLINE, False)
    assert (bench.sessions.all, bench.hands.said) == ({}, [])


@pytest.mark.parametrize("cause", [Cause.OPERATOR, Cause.PARENT, Cause.DEADLINE])
@asynchronous
async def test_a_running_command_is_ended_and_says_for_what_cause(tmp_path: Path, cause: Cause) -> None:
    bench = Bench(tmp_path)
    task = bench.task(session_id="s0000001")
    work = bench.begin(task)
    await settle()
    await bench.runtime.cancel(task, cause, 7.0)
    outcome = await work
    assert (outcome.cause, bench.session.grace) == (cause, 7.0)
    assert outcome.status is (Status.TIMED_OUT if cause is Cause.DEADLINE else Status.CANCELLED)


@asynchronous
async def test_a_command_called_off_while_it_starts_ends_as_soon_as_it_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.sessions.starting = asyncio.Event()
    task = bench.task()
    work = bench.begin(task)
    await settle()
    await bench.runtime.cancel(task, Cause.OPERATOR, 2.5)
    assert not work.done()
    bench.sessions.starting.set()
    assert (await work).status is Status.CANCELLED
    assert (bench.session.signals, bench.session.grace) == ([(15, "kill")], 2.5)


@asynchronous
async def test_a_command_called_off_before_it_starts_is_never_started(tmp_path: Path) -> None:
    """Its session is just being put on record: there is nothing to kill yet, and there must never be."""
    bench = Bench(tmp_path)
    bench.hands.gate = asyncio.Event()
    task = bench.task()
    work = bench.begin(task)
    await settle()
    await bench.runtime.cancel(task, Cause.PARENT)
    bench.hands.gate.set()
    outcome = await work
    assert (outcome.status, outcome.cause) == (Status.CANCELLED, Cause.PARENT)
    assert bench.sessions.all == {}


@asynchronous
async def test_calling_off_what_has_ended_does_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    task = bench.task(session_id="s0000001")
    work = bench.begin(task)
    await settle()
    bench.session.ends(0)
    await bench.runtime.cancel(task, Cause.OPERATOR)
    assert (await work).status is Status.SUCCEEDED
    assert bench.session.signals == []
    await bench.runtime.cancel(bench.task(session_id="s9999999"), Cause.OPERATOR)
    await bench.runtime.cancel(bench.task(), Cause.OPERATOR)


@asynchronous
async def test_letting_go_leaves_the_command_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = bench.begin(bench.task())
    await settle()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert bench.session.end is None and bench.session.signals == []
    assert bench.sessions.waiting == 0, "somebody still waits for it"


# ---- taking up what an earlier worker began


@asynchronous
async def test_a_session_that_is_there_is_stayed_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    task = bench.task(session_id="s0000001")
    begun = bench.begin(task)
    await settle()
    begun.cancel()
    again = asyncio.ensure_future(bench.runtime.resume(task, bench.hands))
    await settle()
    assert not again.done()
    bench.session.ends(4)
    assert (await again).detail["exitCode"] == 4
    assert (await bench.runtime.resume(task, bench.hands)).status is Status.FAILED


@asynchronous
async def test_progress_said_before_anybody_watched_is_passed_on(tmp_path: Path) -> None:
    """By a command that outlived its call, or while no gateway ran. It is no sign of life: nobody knows when it was."""
    bench = Bench(tmp_path)
    task = bench.task(session_id="s0000001")
    begun = bench.begin(task)
    await settle()
    begun.cancel()
    bench.session.prints(b"\x1b]9;4;1;60\x07")
    bench.hands.said.clear()
    for known, said in ((None, [("progress", 60)]), (60, []), (50, [("progress", 60)])):
        again = asyncio.ensure_future(
            bench.runtime.resume(bench.task(session_id="s0000001", progress=known), bench.hands)
        )
        await settle()
        assert bench.hands.said == said
        bench.hands.said.clear()
        again.cancel()


@asynchronous
async def test_a_claim_without_a_session_never_began(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(NeverBegan):
        await bench.runtime.resume(bench.task(), bench.hands)


@asynchronous
async def test_a_start_that_is_not_on_record_is_made_impossible_and_never_began(tmp_path: Path) -> None:
    """A request for it may still be on its way to the keeper: it must fail from now on."""
    bench = Bench(tmp_path)
    with pytest.raises(NeverBegan):
        await bench.runtime.resume(bench.task(session_id="s0000001"), bench.hands)
    assert bench.sessions.forestalled == {"s0000001"}


@asynchronous
async def test_a_start_that_is_on_record_and_left_no_trace_is_lost(tmp_path: Path) -> None:
    """It ran; nobody can say what it did. It is never started a second time."""
    bench = Bench(tmp_path)
    bench.hands.begun = True
    outcome = await bench.runtime.resume(bench.task(session_id="s0000001"), bench.hands)
    assert (outcome.status, outcome.cause, outcome.at) == (Status.LOST, Cause.EVIDENCE_GONE, None)
    assert outcome.error is not None and "s0000001" in outcome.error
    assert bench.sessions.forestalled == set()


@asynchronous
async def test_a_command_that_outlived_its_call_has_begun_whatever_is_left_of_it(tmp_path: Path) -> None:
    """It was put on record because it ran: without its session it is lost, never queued to be run again."""
    bench = Bench(tmp_path)
    outcome = await bench.runtime.resume(bench.task(session_id="s0000001", source="exec"), bench.hands)
    assert (outcome.status, outcome.cause) == (Status.LOST, Cause.EVIDENCE_GONE)
    assert bench.sessions.forestalled == set()


# ---- progress


async def watched(bench: Bench) -> asyncio.Task[Outcome]:
    work = bench.begin(bench.task(session_id="s0000001"))
    await settle()
    bench.hands.said.clear()
    return work


@asynchronous
async def test_output_is_a_sign_of_life_and_may_tell_progress(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = await watched(bench)
    bench.session.prints(b"building\n")
    await settle()
    bench.session.prints(b"\x1b]9;4;1;40\x07")
    await bench.clock.advance(LOOK_SECONDS)
    assert bench.hands.said == [("progress", None), ("progress", 40)]
    bench.session.ends(0)
    await work


@asynchronous
async def test_a_chatty_command_is_looked_at_once_a_second_and_a_silent_one_never(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = await watched(bench)
    await bench.clock.advance(3600)
    assert (bench.hands.said, bench.clock.due) == ([], [])
    for number in range(50):
        bench.session.prints(b"\x1b]9;4;1;%d\x07" % number)
        await settle()
    await bench.clock.advance(LOOK_SECONDS)
    assert bench.hands.said == [("progress", 0), ("progress", 49)]
    bench.session.ends(0)
    await work
    await settle()
    assert bench.clock.due == []


@asynchronous
async def test_progress_that_is_cut_in_two_is_put_together(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = await watched(bench)
    bench.session.prints(b"\x1b]9;4;1")
    await settle()
    bench.session.prints(b";77\x1b\\")
    await bench.clock.advance(LOOK_SECONDS)
    assert bench.hands.said == [("progress", None), ("progress", 77)]
    bench.session.ends(0)
    await work


@asynchronous
async def test_only_the_newest_of_much_output_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    work = await watched(bench)
    bench.session.prints(b"\x1b]9;4;1;10\x07" + b"x" * (2 * LOOK_BYTES))
    await settle()
    assert bench.hands.said == [("progress", None)]
    bench.session.ends(0)
    await work


# ---- the summary


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        (b"", None),
        (b"\n\n", None),
        (b"done\n", "done"),
        (b"".join(b"line %d\n" % n for n in range(30)), "\n".join(f"line {n}" for n in range(20, 30))),
        (b"\x1b[31mred\x1b[0m\r\n", "red"),
        (b"10%\r100%\n", "100%"),
        (b"login with password=hunter2 failed\n", "login with password=*** failed"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
    ],
)
@asynchronous
async def test_the_summary_is_the_last_lines_in_plain_text(tmp_path: Path, output: bytes, summary: str | None) -> None:
    bench = Bench(tmp_path)
    await watched(bench)
    bench.session.prints(output)
    assert summary_of(bench.session) == summary  # type: ignore[arg-type]


@asynchronous
async def test_a_secret_of_many_lines_is_not_in_the_summary(tmp_path: Path) -> None:
    """It begins before the lines that are kept: what they are part of must be known before they are cut."""
    bench = Bench(tmp_path)
    await watched(bench)
    key = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *["QUJDREVG" * 8] * 20, "-----END RSA PRIVATE KEY-----"])
    bench.session.prints(f"{key}\ndone\n".encode())
    summary = summary_of(bench.session)  # type: ignore[arg-type]
    assert summary is not None and "QUJDREVG" not in summary and summary.endswith("done")
