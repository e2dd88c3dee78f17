"""How a run comes to its end: the program's result, its failure, its cancellation, or a wait on record."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from typing import TYPE_CHECKING, Any

from outlast.core.errors import OutlastError
from outlast.core.lifecycle import FlowTransition, FlowVerb, flow_transition
from outlast.core.retry import RetryPolicy, again_at
from outlast.core.session import Cause
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
from outlast.flows.run import COMPENSATE, Run
from outlast.flows.steps import Work, error_text, function_step

if TYPE_CHECKING:
    from outlast.flows.engine import Program

import msgspec

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
    if moved is not None:
        run.host.ended(moved)
    else:
        log.info("flow %s is somebody else's by now, or has ended", run.id)


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
        if run.forgotten is not None:
            raise CodeChanged(run.forgotten, "the end")
        text = run.values.write(run.values_id, result)
    except (Parked, ClaimLost, Crashed):
        raise
    except CodeChanged as changed:
        run.check()
        blocker: dict[str, object] = {
            "kind": "code_changed", "step": changed.asked, "expected": changed.recorded, "found": changed.asked,
            "message": str(changed), "next": f"outlast flow retry {run.id} --from {changed.recorded.partition(' ')[0]}",
        }  # fmt: skip
        return _blocked(run, blocker, changed.asked)
    except (FlowCancelled, DeadlinePassed) as why:
        return await _called_off(run, context, why)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and (again := _cancelled_by(run)) is not None:
            if isinstance(again, FlowCancelled | DeadlinePassed):
                return await _called_off(run, context, again)
            raise again from None
        return await _failed(run, context, error)
    finally:
        current.reset(token)
    await run.flush()
    return flow_transition(
        run.id, FlowVerb.SUCCEED, run.clock.now(), claim_id=run.claim_id, result=text, **_progress(run)
    )


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


async def _failed(run: Run, context: FlowContext, error: BaseException) -> FlowTransition:
    """The program failed: try the flow again, or undo and say why."""
    said: str | None
    said, step = error_text(error), error.step if isinstance(error, StepFailed) else None
    if isinstance(error, OutlastError | NotStorable):
        said = str(error)
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
    log.info("flow %s failed: %s", run.id, said, exc_info=error)
    said = await _undone(run, context, "failure", said)
    return flow_transition(
        run.id, FlowVerb.FAIL, run.clock.now(), claim_id=run.claim_id, cause=Cause.ERROR, error=said, step=step,
        **_progress(run),
    )  # fmt: skip


async def _called_off(run: Run, context: FlowContext, why: BaseException) -> FlowTransition | None:
    """Undo what was done, wait until every child has ended, and then say so."""
    late = isinstance(why, DeadlinePassed)
    said: str | None = "its deadline has passed" if late else run.flow.cancel_reason
    said = await _undone(run, context, "failure" if late else "cancel", said)
    await _children_ended(run)
    verb, cause = (FlowVerb.FAIL, Cause.DEADLINE) if late else (FlowVerb.CANCEL, Cause.OPERATOR)
    return flow_transition(
        run.id, verb, run.clock.now(), claim_id=run.claim_id, cause=cause, error=said, **_progress(run)
    )


async def _undone(run: Run, context: FlowContext, on: str, said: str | None) -> str | None:
    """Run the compensations, the latest first; one that fails is told and stops no other."""
    run.compensating = True
    _clear_cancels()
    for one in reversed([one for one in context.compensations if one.on == on]):
        try:
            await _compensate(run, one)
        except StepFailed as failed:
            said = f"{said or 'called off'}; {failed}"
    return said


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
