"""Running a flow file: every step begins as soon as what it needs has ended, beside all others that can.

What happens depends on recorded results alone, never on which of two came first: the names of operations are fixed by
the file (``ID``, ``ID[3]``, ``ID:approval``, ``ID:cleanup``), a failure stops nothing but what comes after it, and the
result is put together in the order of the file. So a run that is taken up again goes the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from typing import Any

import msgspec

from outlast.flows.files.context import Context, Failure
from outlast.flows.files.definition import Definition, ForEach, Step
from outlast.flows.files.evaluate import REFUSALS, End, Scope, Unknown, holds, kind_of, read_json
from outlast.flows.files.operations import Operations
from outlast.flows.files.templates import Value, fill, fill_text


async def run_file(context: Context, definition: Definition, args: Mapping[str, Any], *, base_dir: str) -> object:
    """Run a flow file and return its result: ``outputs``, or the output of the last step that ran.

    ``args`` are all arguments as `outlast.flows.files.arguments.parse_args` returns them; paths are relative to
    ``base_dir``. Raises `Failure` when a step failed whose failure is not passed over.
    """
    return await _Run(context, definition, args, base_dir).result()


class _Run:
    def __init__(self, context: Context, definition: Definition, args: Mapping[str, Any], base_dir: str) -> None:
        self.context = context
        self.definition = definition
        self.ends: dict[str, End] = {}
        self.scope = Scope(args, _environment(definition, args), self.ends)
        self.operations = Operations(context, base_dir)
        self.done = 0
        self.known = len(definition.steps)

    async def result(self) -> object:
        await self.settle()
        for step in self.definition.steps:
            end = self.ends[step.id]
            if end.error is not None and step.on_failure == "fail":
                raise Failure(step.id, end.error)
        return self.outputs()

    def outputs(self) -> object:
        outputs = self.definition.outputs
        if outputs is None:
            ran = [end for step in self.definition.steps if (end := self.ends[step.id]).ran]
            return _output(ran[-1]) if ran else None
        return {name: self.output(name, value) for name, value in outputs.items()}

    def output(self, name: str, value: Value) -> object:
        try:
            return fill(value, self.scope)
        except Unknown as unknown:
            raise Failure(f"outputs.{name}", str(unknown)) from None

    # the order of steps

    async def settle(self) -> None:
        """Do all steps. Whatever ends this early, such as a cancellation, ends all that is under way first."""
        left = {step.id: len(step.needs) for step in self.definition.steps}
        users: dict[str, list[Step]] = {step.id: [] for step in self.definition.steps}
        for step in self.definition.steps:
            for name in step.needs:
                users[name].append(step)
        ended: asyncio.Queue[_Task] = asyncio.Queue()
        under_way: set[_Task] = set()
        try:
            for step in self.definition.steps:
                if not step.needs:
                    _begin(self.step(step), under_way, ended)
            while under_way:
                task = await ended.get()
                under_way.discard(task)
                step, self.ends[step.id] = task.result()
                self.count()
                for user in users[step.id]:
                    left[user.id] -= 1
                    if not left[user.id]:
                        _begin(self.step(user), under_way, ended)
        finally:
            await _end(under_way)

    def count(self) -> None:
        self.done += 1
        self.context.progress(self.done, self.known)

    # one step

    async def step(self, step: Step) -> tuple[Step, End]:
        """Do a step, or leave it out: for its condition, or for what is held back by a failure or refusal before it."""
        held = frozenset().union(*(self.ends[name].closed_by for name in step.needs))
        if held - _looked_at(step):
            return step, End(status="skipped", closed_by=held)
        end = await self.tried(step)
        failed = end.error is not None and step.on_failure == "fail"
        if failed and step.cleanup:
            end = await self.cleaned_up(step, end)
        closed_by = held | {step.id} if failed or end.status in REFUSALS else held
        return step, msgspec.structs.replace(end, closed_by=closed_by)

    async def tried(self, step: Step) -> End:
        try:
            if step.when is not None and not holds(step.when, self.scope):
                return End(status="skipped")
            if step.for_each is not None:
                return await self.each(step, step.for_each)
        except Unknown as unknown:
            return End(status="failed", error=str(unknown))
        return await self.operations.done(step, step.id, self.scope)

    async def cleaned_up(self, step: Step, end: End) -> End:
        """Do what is to be done after a failure; a failure of that is told with the first."""
        self.ends[step.id] = end
        for cleanup in step.cleanup:
            name = f"{step.id}:{cleanup.id}"
            after = await self.operations.done(cleanup, name, self.scope)
            if after.error is not None:
                end = msgspec.structs.replace(end, error=f"{end.error}; and {name}: {after.error}")
        return end

    # lists

    async def each(self, step: Step, rule: ForEach) -> End:
        """Do a step once for every item. Raises Unknown when there is no list, or too long a one.

        One at a time, the first failure ends the list. Several at a time, all are done: which were under way when one
        failed would be a matter of luck.
        """
        items = _items(rule, self.scope)
        self.known += len(items)
        ends: list[End | None] = [None] * len(items)
        left = iter(enumerate(items))

        async def work() -> None:
            for index, item in left:
                scope = msgspec.structs.replace(self.scope, item=item, index=index)
                ends[index] = end = await self.operations.done(step, f"{step.id}[{index}]", scope)
                self.count()
                if end.error is not None and rule.max_parallel == 1 and step.on_failure == "fail":
                    return

        await _together([work() for _ in range(min(rule.max_parallel, len(items)))])
        return _summed_up(ends)


def _environment(definition: Definition, args: Mapping[str, Any]) -> dict[str, str]:
    env = {}
    for name, text in definition.env.items():
        try:
            env[name] = fill_text(text, Scope(args, {}, {}))
        except Unknown as unknown:
            raise Failure(f"env.{name}", str(unknown)) from None
    return env


def _items(rule: ForEach, scope: Scope) -> list[Any]:
    value = fill(rule.items, scope)
    if isinstance(value, str) and isinstance(listed := read_json(value), list):
        value = listed
    if not isinstance(value, list):
        raise Unknown(f"for_each needs a list, and this is {kind_of(value)}")
    if len(value) > rule.max_items:
        raise Unknown(f"for_each takes at most {rule.max_items} items, and there are {len(value)}")
    return value


def _summed_up(ends: list[End | None]) -> End:
    """How a list ended: as its first item that failed did, else well; the outputs in the order of the items."""
    value = [None if end is None or end.error is not None else _output(end) for end in ends]
    bad = [(index, end) for index, end in enumerate(ends) if end is not None and end.error is not None]
    if not bad:
        return End(status="succeeded", value=value)
    index, first = bad[0]
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return End(status=first.status, value=value, error=f"item {index}{more}: {first.error}")


def _output(end: End) -> object:
    """The output of a step as a value: JSON when it prints a list or a mapping, else its text."""
    if end.stdout is None:
        return end.value
    if end.truncated:
        return None
    value = read_json(end.stdout)
    return value if isinstance(value, list | dict) else end.stdout.rstrip("\r\n")


def _looked_at(step: Step) -> frozenset[str]:
    """The steps whose end the condition of a step asks after: so it may run whatever that end was."""
    if step.when is None:
        return frozenset()
    asked = ("status", "approved", "exit_code")
    return frozenset(reference.name for reference in step.when.references if reference.part in asked)


_Task = asyncio.Task[tuple[Step, End]]


def _begin(work: Coroutine[Any, Any, tuple[Step, End]], under_way: set[_Task], ended: asyncio.Queue[_Task]) -> None:
    task = asyncio.create_task(work)
    under_way.add(task)
    task.add_done_callback(ended.put_nowait)


async def _together(works: list[Coroutine[Any, Any, None]]) -> None:
    """Do several things at once. When one ends with an exception, the others are ended first."""
    tasks = {asyncio.create_task(work) for work in works}
    try:
        await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
