"""Functions as steps: tried, timed, recorded. What a function does to itself costs its step, never the worker.

A function may take long, block the loop, raise what is no `Exception`, call `sys.exit`, fork, or ignore that it is
cancelled. A coroutine function runs in the loop of the worker; any other in a thread of its own, which cannot be ended:
when its time is up the step counts as timed out, and the thread goes on to its end unheard.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import random
import threading
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NamedTuple

import msgspec

from outlast.core.flow import StepKind, StepRow
from outlast.core.redact import redact
from outlast.core.retry import pause
from outlast.core.session import Status
from outlast.core.text import sound
from outlast.flows.errors import (
    ClaimLost,
    CodeChanged,
    Crashed,
    DeadlinePassed,
    FlowCancelled,
    NotStorable,
    Parked,
    StepFailed,
    StepTimedOut,
)
from outlast.flows.program import current
from outlast.flows.retrying import Retry
from outlast.flows.run import Run

SHOWN_AFTER = 0.25
"""Seconds after which a step that is under way is put on record as running, for those who look."""
ERROR_MAX = 2_000
"""Characters of an error on record."""
LOOKED_AT_MAX = 40_000
"""Characters of it that are looked at for secrets: more than is kept, so that none is cut in two and missed."""
TRACE_MAX = 8_000
"""Characters of a traceback in the log."""
FORKED = 70
"""The exit code of a child process that a step made with `os.fork` and let run back into the worker's code."""
CONTROL = (FlowCancelled, DeadlinePassed, Parked, ClaimLost, CodeChanged, Crashed)
"""What interrupts a run, and is nobody's failure."""


class Work(NamedTuple):
    """What is to be done in one step."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_async: bool
    retry: Retry
    timeout: float | None
    returns: Any


async def function_step(run: Run, key: str, work: Work) -> Any:
    """Have a function done as a step; return what it returned, as it is on record. Raises StepFailed."""
    run.working()
    try:
        row = run.recorded(key, StepKind.FUNCTION)
        if row is None:
            seq = await run.may_begin(key) if run.unsettled else run.next_seq()
            return await _tried(run, key, seq, 1, work)
        if row.status is Status.SUCCEEDED:
            return run.values.read(run.values_id, row.result, work.returns)
        if row.status.final and row.status is not Status.CANCELLED:
            raise failure_of(row)
        run.check()
        if row.due_at is not None:
            await run.wait(key, row.due_at)
        return await _tried(run, key, row.seq, row.attempt, work)
    finally:
        run.rested()


async def _tried(run: Run, key: str, seq: int, attempt: int, work: Work) -> Any:
    """Try as often as the rule allows; ``attempt`` is the one that comes first."""
    while True:
        started = run.clock.now()
        row = StepRow(run.id, key, seq, StepKind.FUNCTION, Status.RUNNING, attempt, started)
        run.host.reached("before_step", row)
        try:
            value = await _attempt(run, row, work)
            text, value = await run.keep(run.values.round_trip, value, work.returns)
        except CONTROL:
            raise
        except BaseException as error:
            await _failed(run, row, work, error)
            attempt += 1
        else:
            ended = run.clock.now()
            await run.record(
                StepRow(
                    run.id, key, seq, StepKind.FUNCTION, Status.SUCCEEDED, attempt, started, ended, None, text
                ),
                ended,
            )  # fmt: skip
            return value


async def _failed(run: Run, row: StepRow, work: Work, error: BaseException) -> None:
    """Record a failed attempt, and wait for the next one. Raises StepFailed where there is none."""
    if isinstance(error, asyncio.CancelledError) and _from_outside(run):
        await _interrupted(run, row)
    now = run.clock.now()
    timed_out = isinstance(error, _TimeIsUp)
    said = error_text(error)
    if work.retry.allows(row.attempt, error):
        due = now + pause(work.retry.policy, row.attempt, random.random())  # noqa: S311 — spreads retries
        again = msgspec.structs.replace(row, attempt=row.attempt + 1, due_at=due, error=said)
        await run.record(again)
        run.rows[row.key] = again
        if due > now:
            await run.wait(row.key, due)
        return
    status = Status.TIMED_OUT if timed_out else Status.FAILED
    kind = "TimeoutError" if timed_out else type(error).__name__
    text = await run.keep(run.values.write, {"type": kind, "message": said})
    ended = msgspec.structs.replace(row, status=status, ended_at=now, result=text, error=said)
    await run.record(ended)
    raise failure_of(ended) from (None if timed_out else error)


def _from_outside(run: Run) -> bool:
    task = asyncio.current_task()
    return run.interrupt is not None or (task is not None and task.cancelling() > 0)


async def _interrupted(run: Run, row: StepRow) -> None:
    """A step was ended by what interrupts its flow: note that, where the flow is still ours, and pass it on."""
    why = run.interruption()
    if isinstance(why, FlowCancelled | DeadlinePassed):
        status, now = Status.CANCELLED, run.clock.now()
        await run.record(msgspec.structs.replace(row, status=status, ended_at=now, error="called off"))
    raise why


def failure_of(row: StepRow, result: object = None) -> StepFailed:
    """Return what a step that ended badly raises, the first time as in every replay."""
    kind = str(row.status)
    if row.kind is StepKind.FUNCTION and row.result is not None:
        kind = str(msgspec.json.decode(row.result).get("type", kind))
    made = StepTimedOut if row.status is Status.TIMED_OUT else StepFailed
    return made(row.key, row.error or str(row.status), type=kind, result=result)


class _TimeIsUp(Exception):
    """The attempt took longer than it may."""


def error_text(error: BaseException) -> str:
    """Return an exception in words that any store can hold, without the secrets that are recognised in it."""
    if isinstance(error, _TimeIsUp):
        return str(error)
    try:
        said = str(error)[:LOOKED_AT_MAX]
    except BaseException:
        said = "(its message cannot be shown)"
    if isinstance(error, NotStorable):
        return redact(said)[:ERROR_MAX]
    name = type(error).__name__
    return str(sound(redact(f"{name}: {said}" if said else name)))[:ERROR_MAX]


def trace_of(error: BaseException) -> str:
    """Return where an exception came from, for the log: its last lines, without the secrets that are recognised."""
    try:
        return redact("".join(traceback.format_exception(error))[-LOOKED_AT_MAX:])[-TRACE_MAX:].rstrip()
    except BaseException:
        return "(where it came from cannot be shown)"


# ---- one attempt


async def _attempt(run: Run, row: StepRow, work: Work) -> Any:
    """Have the function do its work once, as if no flow were there. Raises whatever it raises, and _TimeIsUp."""
    token = current.set(None)
    try:
        if not work.is_async:
            return await _in_thread(run, row, work)
        made = work.fn(*work.args, **work.kwargs)
        if type(made) is not types.CoroutineType:
            if not inspect.isawaitable(made):
                return made
            made = _coroutine(made)
        if work.timeout is None:
            return await _watched(made, run, row)
        limit = asyncio.timeout(work.timeout)
        try:
            async with limit:
                return await _watched(made, run, row)
        except TimeoutError:
            if limit.expired():
                raise _TimeIsUp(f"it took longer than {work.timeout:g} s") from None
            raise
    finally:
        current.reset(token)
        if os.getpid() != run.host.pid:
            os._exit(FORKED)  # a child the step has made: what follows is the worker's alone


def _coroutine(made: Any) -> Coroutine[Any, Any, Any]:
    if inspect.iscoroutine(made):
        return made

    async def awaited() -> Any:
        return await made

    return awaited()


class _Shown:
    """Puts a step on record as running when it has been at work for a while."""

    def __init__(self, run: Run, row: StepRow) -> None:
        self._run = run
        self._row = row
        self._timer: asyncio.TimerHandle | None = None
        self._job: asyncio.Task[None] | None = None

    def begun(self) -> None:
        """It does not end at once."""
        self._timer = asyncio.get_running_loop().call_later(SHOWN_AFTER, self._show)

    def _show(self) -> None:
        self._job = asyncio.create_task(self._run.show(self._row))

    def ended(self) -> None:
        """It has ended."""
        if self._timer is not None:
            self._timer.cancel()
        if self._job is not None:
            self._job.cancel()  # not begun, it would write over what comes now


@types.coroutine
def _watched(coro: Coroutine[Any, Any, Any], run: Run, row: StepRow) -> Generator[Any, Any, Any]:
    """Drive a coroutine; only one that does not end at once is worth a timer."""
    try:
        yielded = coro.send(None)
    except StopIteration as stop:
        return stop.value
    shown = _Shown(run, row)
    shown.begun()
    try:
        while True:
            if os.getpid() != run.host.pid:
                os._exit(FORKED)  # a child that awaits: it would take our loop's news away from us
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = coro.throw(error)
            else:
                yielded = coro.send(sent)
    except StopIteration as stop:
        return stop.value
    finally:
        shown.ended()


async def _in_thread(run: Run, row: StepRow, work: Work) -> Any:
    """Run a plain function in a thread of its own. Threads are daemons: one that never ends does not keep a worker."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def body() -> None:
        answer: tuple[Any, BaseException | None]
        try:
            answer = context.run(work.fn, *work.args, **work.kwargs), None
        except BaseException as error:
            answer = None, error
        if os.getpid() != run.host.pid:
            os._exit(FORKED)
        try:
            loop.call_soon_threadsafe(_settle, done, answer)
        except RuntimeError:
            pass  # the loop has closed: nobody waits any more

    shown = _Shown(run, row)
    threading.Thread(target=body, name=f"step {row.key}"[:60], daemon=True).start()
    shown.begun()
    try:
        value, error = await asyncio.wait_for(done, work.timeout)
    except TimeoutError:
        raise _TimeIsUp(f"it took longer than {work.timeout:g} s; its thread goes on") from None
    finally:
        shown.ended()
    if error is not None:
        raise error
    return value


def _settle(done: asyncio.Future[tuple[Any, BaseException | None]], answer: tuple[Any, BaseException | None]) -> None:
    if not done.done():
        done.set_result(answer)
