"""Steps that wait: for time, for a signal, for an answer, for a task or another flow. Each is a row, not a thread."""

from __future__ import annotations

from typing import Any

import msgspec

from outlast.core import approval_text
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.errors import BadInput, Refused
from outlast.core.flow import StepKind, StepRow
from outlast.core.redact import redact
from outlast.core.session import Status
from outlast.flows.errors import FlowCancelled, SignalTimeout
from outlast.flows.run import Run
from outlast.flows.steps import failure_of
from outlast.store.base_flows import Child


class CommandAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What a command step asks for. ``timeout_seconds`` bounds one attempt, ``attempts`` how many there may be."""

    step: str
    command: str | None = None
    argv: list[str] | None = None
    stdin: str | None = None
    env: dict[str, str] | None = None
    workdir: str | None = None
    timeout_seconds: float | None = None
    attempts: int = 1
    retry: dict[str, Any] | None = None
    title: str | None = None


class CommandResult(msgspec.Struct, frozen=True, rename="camel"):
    """How a command step came out. ``stdout`` is at most 1 MiB of text; ``truncated`` says that there was more.

    ``tail`` is the last lines of all output. The whole is in the session, for as long as sessions are kept.
    """

    status: str
    exit_code: int | None = None
    stdout: str = ""
    tail: str = ""
    session_id: str | None = None
    task_id: str | None = None
    truncated: bool = False

    def json(self) -> Any:
        """Return the output read as JSON. Raises ValueError."""
        return msgspec.json.decode(self.stdout)


class AgentAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent step asks for. ``conversation`` None is one of the step's own."""

    step: str
    agent: str
    message: str
    conversation: str | None = None
    workdir: str | None = None
    timeout_seconds: float | None = None
    title: str | None = None


class AgentResult(msgspec.Struct, frozen=True, rename="camel"):
    """How an agent step came out. ``text`` is the agent's answer, ``stop`` why it stopped.

    ``usage`` has ``inputTokens``, ``outputTokens``, ``totalTokens`` and ``costUsd``, as far as the agent says. What it
    did is in the transcript of ``conversation``.
    """

    status: str
    text: str = ""
    stop: str | None = None
    error: str | None = None
    usage: dict[str, Any] = {}
    duration_ms: int | None = None
    task_id: str | None = None
    session_id: str | None = None
    conversation: str | None = None

    def json(self) -> Any:
        """Return the answer read as JSON. Raises ValueError."""
        return msgspec.json.decode(self.text)


class Decision(msgspec.Struct, frozen=True, rename="camel"):
    """How a question was answered. ``at`` is seconds since the epoch; ``by`` who it was, ``note`` what he said."""

    approved: bool
    status: str
    note: str | None = None
    by: str | None = None
    at: float | None = None
    approval_id: str | None = None


async def sleep_step(run: Run, key: str, due_at: float | None, seconds: float = 0.0) -> None:
    """Wait until a moment, or for so many seconds."""
    run.working()
    try:
        row = run.recorded(key, StepKind.SLEEP)
        if row is None:
            seq, now = await run.may_begin(key), run.clock.now()
            row = StepRow(
                run.id,
                key,
                seq,
                StepKind.SLEEP,
                Status.RUNNING,
                1,
                now,
                None,
                now + seconds if due_at is None else due_at,
            )
            await _opened(run, row)
        if row.status is Status.SUCCEEDED:
            return
        if row.due_at is not None and row.due_at > run.clock.now():
            await run.wait(key, row.due_at)
        run.check()
        await run.record(msgspec.structs.replace(row, status=Status.SUCCEEDED, ended_at=run.clock.now()))
    finally:
        run.rested()


async def _opened(run: Run, row: StepRow) -> None:
    await run.record(row)
    run.rows[row.key] = row


async def signal_step(run: Run, key: str, name: str, timeout: float | None, kind: Any) -> Any:
    """Wait for a signal, one that came earlier included; return what it carries. Raises SignalTimeout."""
    run.working()
    try:
        row = run.recorded(key, StepKind.SIGNAL)
        if row is None:
            seq, now = await run.may_begin(key), run.clock.now()
            due = None if timeout is None else now + timeout
            row = StepRow(run.id, key, seq, StepKind.SIGNAL, Status.RUNNING, 1, now, None, due)
        while not row.status.final:
            row = await _signalled(run, row, name)
        if row.status is Status.SUCCEEDED:
            return run.values.read(run.values_id, row.result, kind)
        if row.status is Status.TIMED_OUT:
            raise SignalTimeout(key)
        raise FlowCancelled
    finally:
        run.rested()


async def _signalled(run: Run, row: StepRow, name: str) -> StepRow:
    """Take the signal if it is there, else wait for news of the flow, or give up when the time has passed."""
    run.check()
    await run.flush()
    now = run.clock.now()
    run.host.reached("before_checkpoint", row)
    taken: StepRow | None = await run.insist(lambda: run.store.take_signal(run.id, run.claim_id, row, name, now))
    if taken is None:
        raise run.lose_claim()
    run.host.reached("after_checkpoint", taken)
    if taken.status.final:
        return taken
    run.rows.setdefault(row.key, row)
    if row.due_at is not None and row.due_at <= now:
        late = msgspec.structs.replace(row, status=Status.TIMED_OUT, ended_at=now, error="nobody sent it in time")
        await run.record(late)
        return late
    await run.wait(row.key, row.due_at, every=True)
    return row


async def command_step(run: Run, ask: CommandAsk, *, check: bool) -> CommandResult:
    """Have a command run as a child task; return how it came out. With ``check`` a bad end raises StepFailed."""
    run.working()
    try:
        row = await task_ended(run, ask, StepKind.RUN)
        result = command_result(row)
        if check and row.status is not Status.SUCCEEDED:
            raise failure_of(row, result)
        return result
    finally:
        run.rested()


async def task_ended(run: Run, ask: CommandAsk | AgentAsk, kind: StepKind) -> StepRow:
    """Have a task do a step, unless one does already; return the step's row when it has ended."""
    key = ask.step
    row = run.recorded(key, kind)
    if row is None:
        seq, now = await run.may_begin(key), run.clock.now()
        row = StepRow(run.id, key, seq, kind, Status.RUNNING, 1, now)
        try:
            if isinstance(ask, AgentAsk):
                await run.host.admit(run.flow, ask)
            task = run.host.compose(run.flow, run.given, ask)
        except (BadInput, Refused) as error:
            row = msgspec.structs.replace(row, status=Status.FAILED, ended_at=now, error=redact(error.message))
            await run.record(row)
        else:
            row = msgspec.structs.replace(row, ref=task.id)
            await run.begin_child(row, Child(task=task))
    return await ended(run, row)


def command_result(row: StepRow) -> CommandResult:
    """Return what is on record of a command's end."""
    if row.result is None:
        return CommandResult(str(row.status), task_id=row.ref, tail=row.error or "")
    return msgspec.json.decode(row.result, type=CommandResult)


async def ended(run: Run, row: StepRow) -> StepRow:
    """Return the row of a step somebody else ends, when he has."""
    while not row.status.final:
        row = await run.wait(row.key, None) or run.rows[row.key]
    if row.status is Status.CANCELLED:
        run.check()  # it was ended because the flow is to end: the program is to hear that, now as after a crash
    return row


async def agent_step(run: Run, ask: AgentAsk, *, check: bool) -> AgentResult:
    """Give an agent a turn as a child task; return its answer. With ``check`` a bad end raises StepFailed."""
    run.working()
    try:
        row = await task_ended(run, ask, StepKind.AGENT)
        result = AgentResult(str(row.status), error=row.error, task_id=row.ref)
        if row.result is not None:
            result = msgspec.json.decode(row.result, type=AgentResult)
        if check and row.status is not Status.SUCCEEDED:
            raise failure_of(row, result)
        return result
    finally:
        run.rested()


async def approval_step(run: Run, key: str, prompt: str, preview: str | None, expires: float | None) -> Decision:
    """Ask somebody, and wait for the answer."""
    run.working()
    try:
        row = run.recorded(key, StepKind.APPROVAL)
        if row is None:
            seq, now = await run.may_begin(key), run.clock.now()
            due = None if expires is None else now + expires
            question = _question(run, key, prompt, preview, due)
            row = StepRow(
                run.id, key, seq, StepKind.APPROVAL, Status.RUNNING, 1, now, None, due, None, None, question.id
            )
            await run.begin_child(row, Child(approval=question))
        while not row.status.final:
            found = await run.wait(key, row.due_at)
            if found is None:
                await _expire(run, row)
                found = run.rows[key]
            row = found
        if row.status is Status.CANCELLED:
            run.check()
        if row.result is None:
            raise FlowCancelled
        return msgspec.json.decode(row.result, type=Decision)
    finally:
        run.rested()


def _question(run: Run, key: str, prompt: str, preview: str | None, due: float | None) -> Approval:
    flow = run.flow
    return Approval(
        run.host.new_id("a"), ApprovalKind.FLOW, flow.requester, ApprovalStatus.PENDING,
        approval_text.question(prompt), run.clock.now(), conversation=flow.conversation,
        preview=approval_text.preview(preview), flow_id=flow.id, step=key, expires_at=due, detail={"flow": flow.name},
    )  # fmt: skip


async def _expire(run: Run, row: StepRow) -> None:
    """Nobody has answered in time; who answers at the same moment may still be first."""
    assert row.ref is not None
    verdict = Verdict(
        approval_id=row.ref, status=ApprovalStatus.EXPIRED, at=run.clock.now(), by="outlast", how="expiry"
    )
    await run.insist(lambda: run.store.decide(verdict))
    await run.look()
    run.check()
