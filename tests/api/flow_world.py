"""A ledger world with flows on record, and a pretended worker that moves them as an engine would."""

from __future__ import annotations

import asyncio
import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

from told_world import TellingWorld, telling_world

from outlast.api.context import Caller
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.flow import Flow, FlowMode, FlowStatus, FlowWorker, NewFlow, StepKind, StepRow
from outlast.core.lifecycle import FlowVerb, flow_transition
from outlast.core.session import Status
from outlast.core.task import NewTask, Runtime
from outlast.store.base_flows import Child, FlowClaim, HeldFlow

ALICE, BOB = Caller("agent:alice:main", operator=False), Caller("agent:bob:main", operator=False)
PROGRAM = "release.mod:release"
FILE = """\
name: brief
args:
  tag: {type: string, default: family}
steps:
  - id: fetch
    run: fetch-mail
  - id: words
    run: [count, "${steps.fetch.output}"]
    needs: [fetch]
  - id: lines
    run: [count, -l]
    needs: [fetch]
  - id: tell
    run: tell-me
    needs: [words, lines]
"""


class FlowWorld(TellingWorld):
    """Use `flow_world`."""

    _numbers = itertools.count(1)

    async def open(self) -> None:
        self.taken: dict[str, HeldFlow] = {}
        await super().open()
        if not self.failing:
            await self.store.set_queue_limit("nobody", 0)

    async def program(self, *, caller: Caller | None = None, **fields: Any) -> Any:
        """Start a program; return its record as it was answered."""
        answer = await self.ask("flow.start", handler=fields.pop("handler", PROGRAM), caller=caller, **fields)
        await self.settle()
        return answer

    async def managed(self, name: str = "deploy", *, caller: Caller | None = None, **fields: Any) -> Any:
        """Put a managed flow on record."""
        return await self.ask("flow.create", name_=name, caller=caller, **fields)

    async def flow(self, flow_id: str) -> Flow:
        """Return a flow as it stands on record."""
        await self.settle()
        flow = await self.store.get_flow(flow_id)
        assert flow is not None
        return flow

    # ---- what an engine does

    async def claim(self, flow_id: str, handler: str = PROGRAM) -> HeldFlow:
        """Take a flow as its worker does, and with it whatever else of its handler is ready."""
        now = self.clock.now()
        claim = FlowClaim(
            worker="w1", claim_ids=[f"k{next(self._numbers)}" for _ in range(20)], handlers=[handler], now=now,
            lease_until=now + 30,
        )  # fmt: skip
        self.taken |= {held.flow.id: held for held in await self.store.claim_flows(claim)}
        await self.settle()
        return self.taken[flow_id]

    def held(self, flow_id: str) -> HeldFlow:
        """Return a flow that was taken together with another one."""
        return self.taken[flow_id]

    async def write(self, held: HeldFlow, key: str, **fields: Any) -> StepRow:
        """Write a step of a held flow; by default a function that succeeded just now."""
        now = self.clock.now()
        seq = len(await self.store.steps_of(held.flow.id))
        row = StepRow(
            flow_id=held.flow.id, key=key, seq=fields.pop("seq", seq), kind=fields.pop("kind", StepKind.FUNCTION),
            status=fields.pop("status", Status.SUCCEEDED), attempt=fields.pop("attempt", 1),
            started_at=fields.pop("started_at", now), ended_at=fields.pop("ended_at", now), **fields,
        )  # fmt: skip
        assert await self.store.checkpoint(held.flow.id, self.claim_of(held), [row])
        return row

    async def open_step(self, held: HeldFlow, key: str, kind: StepKind, **fields: Any) -> StepRow:
        """Write a step that has not ended."""
        return await self.write(held, key, kind=kind, status=Status.RUNNING, ended_at=None, **fields)

    async def child(self, held: HeldFlow, key: str, kind: StepKind, **what: Any) -> StepRow:
        """Begin a step with a task, a flow or an approval."""
        [(word, made)] = what.items()
        seq = len(await self.store.steps_of(held.flow.id))
        row = StepRow(held.flow.id, key, seq, kind, Status.RUNNING, 1, self.clock.now(), ref=made.id)
        assert await self.store.start_child(held.flow.id, self.claim_of(held), row, Child(**{word: made}))
        return row

    @staticmethod
    def claim_of(held: HeldFlow) -> str:
        assert held.flow.claim_id is not None
        return held.flow.claim_id

    async def move(self, held: HeldFlow, verb: FlowVerb, **fields: Any) -> Flow:
        """Move a held flow."""
        given = {"claim_id": held.flow.claim_id, **fields}
        moved = await self.store.move_flow(flow_transition(held.flow.id, verb, self.clock.now(), **given))
        assert moved is not None
        await self.settle()
        return moved

    async def succeed(self, held: HeldFlow, result: Any = None) -> Flow:
        return await self.move(held, FlowVerb.SUCCEED, result=json.dumps(result))

    async def fail(self, held: HeldFlow, error: str = "no") -> Flow:
        return await self.move(held, FlowVerb.FAIL, error=error)

    async def park(self, held: HeldFlow, wait: dict[str, object], ready_at: float | None = None) -> Flow:
        return await self.move(held, FlowVerb.WAIT, wait=wait, ready_at=ready_at)

    async def block(self, held: HeldFlow, **blocker: Any) -> Flow:
        return await self.move(held, FlowVerb.BLOCK, blocker=blocker)

    def question(self, flow_id: str, step: str = "ship", **fields: Any) -> Approval:
        """Return an approval that a flow may ask for."""
        given: dict[str, Any] = {"prompt": "Ship it?", "requester": "local", **fields}
        return Approval(
            id=f"a{next(self._numbers)}", kind=ApprovalKind.FLOW, status=ApprovalStatus.PENDING,
            created_at=self.clock.now(), flow_id=flow_id, step=step, **given,
        )  # fmt: skip

    async def answer(self, approval: Approval, status: ApprovalStatus = ApprovalStatus.APPROVED) -> None:
        verdict = Verdict(approval_id=approval.id, status=status, at=self.clock.now(), by="local", how="cli")
        assert await self.store.decide(verdict) is not None
        await self.settle()

    def command(self, flow_id: str | None, **fields: Any) -> NewTask:
        """Return a task of a flow that nobody here runs."""
        given: dict[str, Any] = {"requester": "local", "queue": "nobody", **fields}
        return NewTask(
            id=f"t0000{next(self._numbers)}", runtime=Runtime.CLI, kind="exec", source="flow",
            created_at=self.clock.now(), flow_id=flow_id, **given,
        )  # fmt: skip

    def sub_flow(self, parent: Flow, step: str, **fields: Any) -> NewFlow:
        """Return a flow that another one begins."""
        given: dict[str, Any] = {"requester": parent.requester, "name": "sub", "handler": PROGRAM, **fields}
        return NewFlow(
            id=f"f0000{next(self._numbers)}", mode=FlowMode.PROGRAM, created_at=self.clock.now(),
            parent_id=parent.id, parent_step=step, **given,
        )  # fmt: skip

    async def serve(self, *handlers: str, lease: float = 60.0) -> None:
        """Have a worker on record that serves these handlers."""
        now = self.clock.now()
        worker = FlowWorker(f"w{next(self._numbers)}", "n1", 4242, list(handlers), now, now + lease)
        await self.store.flow_worker(worker)

    # ---- who waits

    async def under_way(self, act: str, name: str | None = None, **fields: Any) -> asyncio.Task[Any]:
        """Begin to ask for something that waits; return when the wait is under way."""
        task = asyncio.ensure_future(self.ask(act, name, **fields))
        await self.settle()
        return task


flow_world = partial(telling_world, made=FlowWorld)
"""A `FlowWorld` for as long as the block lasts."""

__all__ = [
    "ALICE", "BOB", "FILE", "PROGRAM", "FlowStatus", "FlowWorld", "Path", "flow_world",
]  # fmt: skip
