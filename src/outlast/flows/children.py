"""Other flows as steps: a program, or a flow file, that runs as a child with a record of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from outlast.core.errors import BadInput, NotFound
from outlast.core.flow import FILE_HANDLER, FlowMode, NewFlow, StepKind, StepRow
from outlast.core.session import Status
from outlast.core.task import NotifyPolicy
from outlast.flows.errors import NotStorable
from outlast.flows.files.arguments import concurrency_key, goal_of, parse_args
from outlast.flows.files.program import given_of
from outlast.flows.files.reading import check_file
from outlast.flows.program import FlowFunction
from outlast.flows.run import Run
from outlast.flows.steps import failure_of
from outlast.flows.waits import ended
from outlast.store.base_flows import Child

FILE_ENDINGS = (".yaml", ".yml", ".json", ".lobster")
"""How the name of a flow file ends."""


async def flow_step(
    run: Run,
    key: str,
    target: FlowFunction[..., Any] | str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Have another flow run as a child; return its result. Raises StepFailed."""
    run.working()
    try:
        row = run.recorded(key, StepKind.FLOW)
        if row is None:
            seq, now = await run.may_begin(key), run.clock.now()
            row = StepRow(run.id, key, seq, StepKind.FLOW, Status.RUNNING, 1, now)
            try:
                child = await _child_flow(run, key, target, args, kwargs)
            except (BadInput, NotFound, NotStorable) as error:
                row = msgspec.structs.replace(row, status=Status.FAILED, ended_at=now, error=str(error))
                await run.record(row)
            else:
                row = msgspec.structs.replace(row, ref=child.id)
                await run.begin_child(row, Child(flow=child))
        row = await ended(run, row)
        if row.status is not Status.SUCCEEDED:
            raise failure_of(row)
        return run.values.read(run.values_id, row.result, target.returns if isinstance(target, FlowFunction) else None)
    finally:
        run.rested()


async def _child_flow(
    run: Run, key: str, target: FlowFunction[..., Any] | str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> NewFlow:
    parent, now = run.flow, run.clock.now()
    given: dict[str, Any] = {name: run.given[name] for name in ("env", "workdir") if name in run.given}
    given["values"] = run.values_id
    fields: dict[str, Any]
    if isinstance(target, str) and target.endswith(FILE_ENDINGS):
        fields = _of_file(run, target, kwargs, given)
    else:
        given |= {"args": await _plain(run, list(args)), "kwargs": await _plain(run, dict(kwargs))}
        fields = {"mode": FlowMode.PROGRAM, "input": given}
        if isinstance(target, FlowFunction):
            fields |= {"name": target.name, "handler": target.handler, **rules_of(target, tuple(args), kwargs, now)}
        else:
            fields |= {"name": target.rpartition(":")[2], "handler": await run.host.handler_named(target)}
    asked: dict[str, object] = {"parent": parent.id, "step": key}
    return NewFlow(
        id=run.host.new_id("f"), requester=parent.requester, created_at=now, ask=asked, parent_id=parent.id,
        parent_step=key, node=parent.node, notify=NotifyPolicy.SILENT, label=parent.label, **fields,
    )  # fmt: skip


def _of_file(run: Run, target: str, kwargs: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return what a flow file that runs as a child is recorded with. Raises BadInput for a file that is wrong."""
    path = os.path.join(str(given.get("workdir") or "/"), target)
    definition = check_file(path).required()
    values = parse_args(definition, (), dict(kwargs))
    given |= given_of(definition, values, os.path.dirname(path))
    fields: dict[str, Any] = {
        "mode": FlowMode.FILE, "name": definition.name, "handler": FILE_HANDLER, "input": given,
        "goal": goal_of(definition, values), "concurrency_key": concurrency_key(definition, values),
    }  # fmt: skip
    if definition.concurrency is not None:
        fields["concurrency_max"] = definition.concurrency.max
    if definition.timeout is not None:
        fields["deadline_at"] = run.clock.now() + definition.timeout
    return fields


def rules_of(
    target: FlowFunction[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], now: float
) -> dict[str, Any]:
    """Return what a flow's decorator says of how it runs, as fields of a new record."""
    rules: dict[str, Any] = {
        "priority": target.priority,
        "concurrency_key": target.key_of(args, kwargs),
        "concurrency_max": target.concurrency_max,
    }
    if target.deadline is not None:
        rules["deadline_at"] = now + target.deadline
    if target.retry is not None:
        rules |= {"attempts_max": target.retry.attempts, "retry": target.retry.as_dict()}
    return rules


async def _plain(run: Run, value: object) -> Any:
    return msgspec.json.decode(await run.keep(run.values.write, value))
