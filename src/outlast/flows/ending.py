"""How a run comes to its end: the program's result, its failure, its cancellation, or a wait on record."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from typing import TYPE_CHECKING, Any

import msgspec

from outlast.core.errors import OutlastError
from outlast.core.flow import COMPENSATE, StepKind, StepRow
from outlast.core.lifecycle import FlowTransition, FlowVerb, flow_transition
from outlast.core.redact import redact
from outlast.core.retry import RetryPolicy, again_at
from outlast.core.session import Cause, Status
from outlast.flows.context import Compensation, FlowContext
from outlast.flows.errors import (
    ClaimLost,
    CodeChanged,
    Crashed,
    DeadlinePassed,
    FlowCancelled,
    NotStorable,
    Parked,
    StepFailed,
)
from outlast.flows.program import StepFunction, current
from outlast.flows.retrying import ONCE
from outlast.flows.run import Run
from outlast.flows.steps import Work, error_text, function_step, trace_of

if TYPE_CHECKING:
    from outlast.flows.engine import Program

log = logging.getLogger("outlast.flows")

CRASHES_MAX = 5
"""Workers that may die in a row over the same step before the flow is blocked."""


async def run_to_end(run: Run, program: Program | None) -> None:
    """Run a claimed flow until it ends, is blocked, waits, or is somebody else's."""
    try:
        move = await _outcome(run, program)
    except (Parked, ClaimLost, Crashed):
        return
    if move is None:
        return
    try:
        run.host.reached("before_end", None)
        moved = await run.insist(lambda: run.store.move_flow(move))
        run.host.reached("after_end", None)
    except Crashed:
        return
    if moved is None:  # perhaps it was done, and only the answer was lost
        log.info("flow %s is somebody else's by now, or has ended", run.id)
        moved = await run.insist(lambda: run.store.get_flow(run.id))
    if moved is not None:
        run.host.ended(moved)


async def _outcome(run: Run, program: Program | None) -> FlowTransition | None:
    if run.flow.crashes >= CRASHES_MAX:
        return _blocked(run, _crashed(run), _last_step(run))
    if program is None:
        return _blocked(run, {"kind": "no_handler", "message": f"nobody here knows {run.flow.handler}"}, None)
    context = FlowContext(run)
    deadline = None
    if run.flow.deadline_at is not None and run.flow.deadline_at <= run.clock.now():
        await _pass_deadline(run)
    elif run.flow.deadline_at is not None:
        deadline = asyncio.create_task(_watch_deadline(run))
    try:
        return await _ran(run, program, context)
    finally:
        if deadline is not None:
            deadline.cancel()


async def _ran(run: Run, program: Program, context: FlowContext) -> FlowTransition | None:
    """Run the program, and say which move its end is."""
    token = current.set(context)
    try:
        given = run.given if run.flow.parent_id is None else run.values.resolved(run.values_id, run.given)
        result = await program.run(context, given)
        if run.interrupt is not None and run.interrupt not in (Parked, ClaimLost, Crashed):
            raise run.interrupt
        if (fate := _decided(run)) is not None:
            return await _end_as(run, context, fate)
        if run.forgotten is not None:
            raise CodeChanged(run.forgotten, "the end")
        text = await run.keep(run.values.write, result)
    except (Parked, ClaimLost, Crashed):
        raise
    except CodeChanged as changed:
        run.check()
        blocker: dict[str, object] = {
            "kind": "code_changed", "step": changed.asked, "expected": changed.recorded, "found": changed.asked,
            "message": str(changed), "next": f"outlast flow retry {run.id} --from {changed.recorded.partition(' ')[0]}",
        }  # fmt: skip
        return _blocked(run, blocker, changed.asked)
    except BaseException as error:
        if (why := _called_off_by(run, error)) is not None:
            return await _called_off(run, context, why)
        if isinstance(error, asyncio.CancelledError) and (again := _cancelled_by(run)) is not None:
            raise again from None
        return await _failed(run, context, error)
    finally:
        current.reset(token)
    await run.flush()
    return flow_transition(
        run.id, FlowVerb.SUCCEED, run.clock.now(), claim_id=run.claim_id, result=text, **_progress(run)
    )


def _called_off_by(run: Run, error: BaseException) -> type[BaseException] | None:
    """Return why the flow ends, where that was wished for, or its time is up; None where the program just failed.

    What else went wrong then does not matter: after a crash it might go wrong in another way, and the end be another.
    """
    for why in (FlowCancelled, DeadlinePassed):
        if run.interrupt is why or isinstance(error, why):
            return why
    return None


def _cancelled_by(run: Run) -> BaseException | None:
    """Return what a CancelledError at the top stands for; None where the program raised it by itself."""
    task = asyncio.current_task()
    if run.interrupt is not None or (task is not None and task.cancelling() > 0):
        return run.interruption()
    return None


async def _watch_deadline(run: Run) -> None:
    assert run.flow.deadline_at is not None
    await run.clock.sleep(run.flow.deadline_at - run.clock.now())
    await _pass_deadline(run)


async def _pass_deadline(run: Run) -> None:
    """End what runs for the flow, then the program."""
    await run.insist(lambda: run.store.ask_cancel_flow(run.id, run.clock.now(), Cause.DEADLINE.value))
    run.pass_deadline()


# ---- ends that are no success


class Fate(msgspec.Struct, frozen=True):
    """How a flow ends that does not succeed. It is on record before the first thing is undone.

    So whoever takes over undoes the same things and comes to the same end, whatever has been wished for meanwhile.
    ``on`` says which compensations run.
    """

    on: str
    verb: FlowVerb
    cause: Cause
    error: str | None = None
    step: str | None = None


def _decided(run: Run) -> Fate | None:
    """Return the end an earlier worker has begun to bring about."""
    row = run.rows.get(COMPENSATE)
    return None if row is None or row.result is None else msgspec.json.decode(row.result, type=Fate)


async def _failed(run: Run, context: FlowContext, error: BaseException) -> FlowTransition:
    """The program failed: try the flow again, or undo and say why."""
    said: str | None
    said, step = error_text(error), error.step if isinstance(error, StepFailed) else None
    if isinstance(error, OutlastError | NotStorable):
        said = redact(str(error))
    flow, now = run.flow, run.clock.now()
    rule = None if flow.retry is None else msgspec.convert(flow.retry, RetryPolicy)
    again = again_at(
        rule, attempt=flow.attempt, attempts_max=flow.attempts_max, now=now,
        luck=random.random(), deadline_at=flow.deadline_at,  # noqa: S311 — spreads retries, guards nothing
    )  # fmt: skip
    if again is not None and not isinstance(error, OutlastError):
        return flow_transition(
            run.id, FlowVerb.REQUEUE, now, claim_id=run.claim_id, ready_at=again, error=said, step=step
        )
    log.info("flow %s failed: %s\n%s", run.id, said, trace_of(error))
    return await _end_as(run, context, Fate("failure", FlowVerb.FAIL, Cause.ERROR, said, step))


async def _called_off(run: Run, context: FlowContext, why: type[BaseException]) -> FlowTransition:
    """The flow was called off, or its time is up."""
    if why is DeadlinePassed:
        return await _end_as(
            run, context, Fate("failure", FlowVerb.FAIL, Cause.DEADLINE, "its deadline has passed")
        )  # fmt: skip
    return await _end_as(run, context, Fate("cancel", FlowVerb.CANCEL, Cause.OPERATOR, run.flow.cancel_reason))


async def _end_as(run: Run, context: FlowContext, fate: Fate) -> FlowTransition:
    """Undo what was done, wait until every child has ended where that was wished for, and then say so."""
    run.compensating = True
    _clear_cancels()
    fate, said = await _undone(run, context, fate)
    if fate.cause is not Cause.ERROR:
        await _children_ended(run)
    return flow_transition(
        run.id, fate.verb, run.clock.now(), claim_id=run.claim_id, cause=fate.cause, error=said, step=fate.step,
        **_progress(run),
    )  # fmt: skip


async def _undone(run: Run, context: FlowContext, fate: Fate) -> tuple[Fate, str | None]:
    """Run the compensations, the latest first; one that fails is told and stops no other."""
    decided = _decided(run)
    fate = decided or fate
    wanted = [one for one in reversed(context.compensations) if one.on == fate.on]
    if wanted and decided is None:
        seq, now = await run.may_begin(COMPENSATE), run.clock.now()
        text = msgspec.json.encode(fate).decode()
        await run.record(StepRow(run.id, COMPENSATE, seq, StepKind.VALUE, Status.SUCCEEDED, 1, now, now, None, text))
    said = fate.error
    for one in wanted:
        try:
            await _compensate(run, one)
        except StepFailed as failed:
            said = f"{said or 'called off'}; {failed}"
    return fate, said


def _clear_cancels() -> None:
    """The interruption has done its work: what follows is to wait like anything else."""
    task = asyncio.current_task()
    while task is not None and task.cancelling() > 0:
        task.uncancel()


async def _compensate(run: Run, one: Compensation) -> None:
    fn: Any = one.fn
    if inspect.ismethod(fn) and isinstance(fn.__self__, FlowContext):  # ctx.on_cancel("undo", ctx.run, "undo", …)
        name, *rest = one.args
        await fn(f"{COMPENSATE}{name}", *rest)
        return
    retry, timeout, returns = ONCE, None, None
    if isinstance(fn, StepFunction):
        retry, timeout, returns, fn = fn.retry or ONCE, fn.timeout, fn.returns, fn.fn
    work = Work(fn, one.args, {}, inspect.iscoroutinefunction(fn), retry, timeout, returns)
    await function_step(run, run.key(COMPENSATE + one.name), work)


async def _children_ended(run: Run) -> None:
    """Wait until no task or flow of this one lives. The wish to end has reached them with ours."""
    run.working()
    try:
        while await _live_children(run):
            await run.wait("", None, every=True)
    finally:
        run.rested()


async def _live_children(run: Run) -> bool:
    if await run.insist(lambda: run.store.live_tasks_of_flow(run.id, 1)):
        return True
    children = await run.insist(lambda: run.store.child_flows(run.id))
    return any(not child.status.final for child in children)


def _blocked(run: Run, blocker: dict[str, object], step: str | None) -> FlowTransition:
    return flow_transition(
        run.id, FlowVerb.BLOCK, run.clock.now(), claim_id=run.claim_id, blocker=blocker, step=step, **_progress(run)
    )


def _crashed(run: Run) -> dict[str, object]:
    last = _last_step(run)
    return {
        "kind": "crashed", "step": last, "next": f"outlast flow retry {run.id}",
        "message": f"{run.flow.crashes} workers died in a row after step {last}",
    }  # fmt: skip


def _last_step(run: Run) -> str | None:
    last = max(run.rows.values(), key=lambda row: row.seq, default=None)
    return None if last is None else last.key


def _progress(run: Run) -> dict[str, Any]:
    return {"steps_done": run.steps_done, "steps_known": run.steps_known}
