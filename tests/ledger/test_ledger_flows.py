"""What the end of a task means for the flow that waits for it: the ledger hands its output on to the step."""

from __future__ import annotations

import msgspec
from api_fakes import asynchronous
from ledger_fakes import DONE, FAILED, SINCE, ledgers

from outlast.core.flow import FlowMode, NewFlow, StepKind, StepRow
from outlast.core.session import Status
from outlast.store.base_flows import Child, FlowClaim

Address = tuple[str, str]


async def _waits_for_task(store, task_id: str, flow_id: str = "f1") -> None:
    """A flow whose one step waits for a task that is on record."""
    new = NewFlow(
        id=flow_id, mode=FlowMode.PROGRAM, name="x", requester="local", created_at=SINCE, handler="m:h",
    )  # fmt: skip
    claim = FlowClaim(worker="w", claim_ids=["c1"], handlers=["m:h"], now=SINCE, lease_until=SINCE + 60)
    await store.create_flow(new, claim)
    row = StepRow(flow_id, "run", 0, StepKind.RUN, Status.RUNNING, 1, SINCE, ref=task_id)
    assert await store.start_child(flow_id, "c1", row, Child())


@asynchronous
async def test_the_output_of_work_is_the_result_of_the_step_that_waits_for_it(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun(flow_id="f1")
        await _waits_for_task(at.one.store, task.id)
        await at.one.finish(task, msgspec.structs.replace(FAILED, output='{"stdout":"half a pair: \ud83d"}'))
        [step] = await at.two.store.steps_of("f1")
        assert (step.status, step.error) == (Status.FAILED, "exit code 3")
        assert step.result == '{"stdout":"half a pair: \ufffd"}'
        assert (await at.two.store.get_flow("f1")).nudges == 1


@asynchronous
async def test_a_step_hears_of_the_last_attempt_only(address: Address) -> None:
    async with ledgers(address) as at:
        task = await at.one.begun(flow_id="f1", attempts_max=2)
        await _waits_for_task(at.one.store, task.id)
        recorded = await at.one.finish(task, msgspec.structs.replace(FAILED, output='"first"'))
        assert recorded.how == "requeued"
        assert (await at.one.store.steps_of("f1"))[0].status is Status.RUNNING
        at.clock.at += 100
        [again] = await at.one.claim(1)
        await at.one.finish(again.task, msgspec.structs.replace(DONE, output='"second"'))
        [step] = await at.one.store.steps_of("f1")
        assert (step.status, step.result) == (Status.SUCCEEDED, '"second"')
