"""What a program is given: the operations of a flow. Each is a step on record, under the name it is given."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import random
import uuid as uuids
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from outlast.core.errors import BadInput
from outlast.core.flow import StepKind, StepRow
from outlast.core.session import Status
from outlast.flows.branches import Branch, branches
from outlast.flows.children import flow_step
from outlast.flows.errors import FlowCancelled
from outlast.flows.program import FlowFunction, StepFunction, check_name, current, returned_by
from outlast.flows.retrying import ONCE, Retry, Span, seconds_of
from outlast.flows.run import Run
from outlast.flows.steps import CONTROL, Work, function_step
from outlast.flows.waits import (
    AgentAsk,
    AgentResult,
    CommandAsk,
    CommandResult,
    Decision,
    agent_step,
    approval_step,
    command_step,
    signal_step,
    sleep_step,
)

T = TypeVar("T")
_known = functools.lru_cache(1024)(check_name)


class Compensation(NamedTuple):
    """What undoes something, and when: on cancel, on failure."""

    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    on: str


class Rule(Protocol):
    """How often a command is tried in all, and how long the pauses are: a `Retry`, or the like."""

    @property
    def attempts(self) -> int:
        """How often in all."""

    def as_dict(self) -> dict[str, Any]:
        """The pauses as a task keeps them on record."""


class FlowContext:
    """The flow from within its program.

    Names of operations are 1 to 200 printable characters without ``#``; one that is used again counts up. Between
    operations a program must not depend on anything that differs from run to run: the time, chance, files, the net.
    Ask for those in steps (`now`, `random`, `uuid`, `step`).
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.compensations: list[Compensation] = []

    @property
    def flow_id(self) -> str:
        """The id of this flow."""
        return self._run.id

    @property
    def requester(self) -> str:
        """Who asked for this flow."""
        return self._run.flow.requester

    @property
    def goal(self) -> str | None:
        """What this flow is for, in words."""
        return self._run.flow.goal

    def _key(self, name: str) -> str:
        return self._run.key(_known(name))

    # ---- functions

    def call(
        self, function: StepFunction[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Run a decorated function as a step."""
        retry = function.retry or ONCE
        work = Work(function.fn, args, kwargs, function.is_async, retry, function.timeout, function.returns)
        return function_step(self._run, self._run.key(function.name), work)

    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        retry: Retry | None = None,
        timeout: Span | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, Any]:
        """Run a function as a step and return what it returned. Raises StepFailed, StepTimedOut.

        Coroutine functions run in the worker's loop, others in a thread. ``timeout`` bounds one attempt.
        """
        if isinstance(fn, StepFunction):
            retry, timeout, fn = retry or fn.retry, fn.timeout if timeout is None else timeout, fn.fn
        limit = None if timeout is None else seconds_of(timeout)
        work = Work(fn, args, kwargs, inspect.iscoroutinefunction(fn), retry or ONCE, limit, returned_by(fn))
        return function_step(self._run, self._key(name), work)

    # ---- children

    def run(
        self,
        name: str,
        command: str | Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        timeout: Span | None = None,
        retry: Rule | None = None,
        check: bool = True,
        title: str | None = None,
    ) -> Coroutine[Any, Any, CommandResult]:
        """Run a command as a child task, with a record of its own. Text goes to the shell, a list does not.

        With ``check`` a command that does not succeed raises StepFailed (its ``result`` is the `CommandResult`).
        """
        ask = CommandAsk(
            step=self._key(name),
            command=command if isinstance(command, str) else None,
            argv=None if isinstance(command, str) else [str(word) for word in command],
            stdin=stdin,
            env=None if env is None else dict(env),
            workdir=workdir,
            timeout_seconds=None if timeout is None else seconds_of(timeout),
            attempts=1 if retry is None else retry.attempts,
            retry=None if retry is None else retry.as_dict(),
            title=title,
        )
        return command_step(self._run, ask, check=check)

    def agent(
        self,
        name: str,
        agent: str,
        message: str,
        *,
        conversation: str | None = None,
        workdir: str | None = None,
        timeout: Span | None = None,
        check: bool = True,
        title: str | None = None,
    ) -> Coroutine[Any, Any, AgentResult]:
        """Give a configured agent a turn as a child task, and return its answer.

        Without ``conversation`` the step has one of its own; turns of the same one come one after the other. With
        ``check`` a turn that does not succeed raises StepFailed (its ``result`` is the `AgentResult`).
        """
        ask = AgentAsk(
            step=self._key(name),
            agent=agent,
            message=message,
            conversation=conversation,
            workdir=workdir,
            timeout_seconds=None if timeout is None else seconds_of(timeout),
            title=title,
        )
        return agent_step(self._run, ask, check=check)

    def flow(
        self, name: str, target: FlowFunction[..., Any] | str, /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Run another flow as a child and return its result. Raises StepFailed."""
        return flow_step(self._run, self._key(name), target, args, kwargs)

    # ---- waits

    def sleep(self, name: str, duration: Span) -> Coroutine[Any, Any, None]:
        """Wait: for a second or for months. Nothing is held meanwhile but a row."""
        return sleep_step(self._run, self._key(name), None, seconds_of(duration))

    def sleep_until(self, name: str, moment: datetime) -> Coroutine[Any, Any, None]:
        """Wait until a moment; it must have a zone. Raises ValueError."""
        if moment.tzinfo is None:
            raise ValueError("a moment needs a zone: datetime.now(timezone.utc)")
        return sleep_step(self._run, self._key(name), moment.timestamp())

    def signal(self, name: str, *, timeout: Span | None = None, type: Any = None) -> Coroutine[Any, Any, Any]:
        """Wait for a signal and return what it carries, as ``type`` where that is given. Raises SignalTimeout.

        A signal that was sent before anybody waited is not lost; each is given to one waiting step, oldest first.
        """
        limit = None if timeout is None else seconds_of(timeout)
        return signal_step(self._run, self._key(name), name, limit, type)

    def approve(
        self, name: str, prompt: str, *, preview: str | None = None, expires: Span | None = None
    ) -> Coroutine[Any, Any, Decision]:
        """Ask somebody a question that is approved or rejected, with what he is to see beside it."""
        limit = None if expires is None else seconds_of(expires)
        return approval_step(self._run, self._key(name), prompt, preview, limit)

    # ---- together

    async def gather(self, *awaitables: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """Run operations beside each other; wait for all, then return their results in order.

        The first failure by position is raised when all have ended, unless they are to be returned.
        """
        tasks = self._branched(awaitables)
        waiting = set(tasks)
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
                for one in done:
                    if not one.cancelled() and isinstance(one.exception(), CONTROL):
                        raise one.exception() or FlowCancelled
        except BaseException as error:
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(error, asyncio.CancelledError):
                raise self._run.interruption() from None
            raise
        results = [one.exception() or one.result() for one in tasks]
        failed = next((one.exception() for one in tasks if one.exception() is not None), None)
        if failed is not None and not return_exceptions:
            raise failed
        return results

    def _branched(self, awaitables: Sequence[Awaitable[Any]]) -> list[asyncio.Future[Any]]:
        """Make a task of each, in a branch of its own: what runs beside each other must not count others' steps."""
        parent = self._run.branch()
        parent.gathers += 1
        prefix = f"{parent.path}-" if parent.path else ""
        tasks: list[asyncio.Future[Any]] = []
        for place, one in enumerate(awaitables):
            if not inspect.iscoroutine(one):
                tasks.append(asyncio.ensure_future(one))
                continue
            branch = Branch(f"{prefix}{parent.gathers}.{place}", None)
            around = contextvars.copy_context()
            around.run(branches.set, branch)
            task = asyncio.get_running_loop().create_task(one, context=around)
            branch.task = task
            tasks.append(task)
        return tasks

    # ---- undoing

    def on_cancel(self, name: str, fn: Callable[..., Any], *args: Any) -> None:
        """If the flow is called off, run this then, as a step; the latest first."""
        self.compensations.append(Compensation(_known(name), fn, args, "cancel"))

    def on_failure(self, name: str, fn: Callable[..., Any], *args: Any) -> None:
        """If the flow fails, run this then, as a step; the latest first."""
        self.compensations.append(Compensation(_known(name), fn, args, "failure"))

    # ---- code that changes, and what differs from run to run

    def patched(self, id: str) -> bool:
        """Return True where the program may take a new way: not in flows that are past this point the old way."""
        return self._run.patched(_known(id))

    async def now(self) -> datetime:
        """Return the time (UTC), the same in every replay."""
        stamp = await self._value("now", self._run.clock.now)
        return datetime.fromtimestamp(stamp, UTC)

    async def random(self) -> float:
        """Return a random number from 0 to 1, the same in every replay."""
        return float(await self._value("random", random.random))

    async def uuid(self) -> str:
        """Return a random UUID, the same in every replay."""
        return str(await self._value("uuid", lambda: str(uuids.uuid4())))

    async def _value(self, name: str, made: Callable[[], Any]) -> Any:
        run, key = self._run, self._run.key(name)
        run.working()
        try:
            row = run.recorded(key, StepKind.VALUE)
            if row is None:
                seq, now, value = await run.may_begin(key), run.clock.now(), made()
                text = run.values.write(run.values_id, value)
                await run.record(StepRow(run.id, key, seq, StepKind.VALUE, Status.SUCCEEDED, 1, now, now, None, text))
                return value
            return run.values.read(run.values_id, row.result)
        finally:
            run.rested()

    def progress(self, done: int, known: int) -> None:
        """Say how many steps are done, of how many that are known. Raises BadInput for numbers that cannot be."""
        if not 0 <= done <= known:
            raise BadInput(f"progress: {done} of {known} steps cannot be")
        self._run.steps_done, self._run.steps_known = done, known


def context() -> FlowContext:
    """Return the context of the flow that runs here. Raises RuntimeError where none does."""
    found = current.get()
    if found is None:
        raise RuntimeError("no flow runs here")
    return found
