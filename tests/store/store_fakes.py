"""Words for store tests: tasks, claims and moves without a clock."""

from __future__ import annotations

import itertools

from outlast.core.lifecycle import Verb, transition
from outlast.core.task import NewTask, Runtime, StartClaim, TaskFilter
from outlast.store.base import Claim

_numbers = itertools.count(1_000_000)


def new(number: int | None = None, **given) -> NewTask:
    """A task whose id and moment follow from its number."""
    number = next(_numbers) if number is None else number
    made = {
        "id": f"t{number:014d}", "runtime": Runtime.CLI, "kind": "exec", "source": "test", "requester": "agent:a:main",
        "created_at": 1000.0 + number,
    }  # fmt: skip
    return NewTask(**{**made, **given})


def start(claim_id: str = "c1", **given) -> StartClaim:
    return StartClaim(**{"claim_id": claim_id, "worker": "w1", "lease_until": 5060.0, **given})


def claim(*claim_ids: str, **given) -> Claim:
    return Claim(**{"worker": "w1", "claim_ids": claim_ids, "lease_until": 5060.0, "now": 5000.0, **given})


def move(task_id: str, verb: Verb, **given):
    return transition(task_id, verb, given.pop("at", 6000.0), **given)


async def make(store, number: int | None = None, **given):
    return (await store.create_task(new(number, **given))).task


async def running(store, claim_id: str = "c1", **given):
    """A task that was created and claimed."""
    task = await make(store, **given)
    taken = await take(store, claim_id)
    assert [one.id for one in taken] == [task.id]
    return taken[0]


async def take(store, *claim_ids: str, **given) -> list:
    """Claim, and look at the tasks only."""
    return [taken.task for taken in await store.claim_tasks(claim(*claim_ids, **given))]


async def everything(store) -> tuple:
    """All that the store holds, to show that an act changed nothing."""
    page = await store.list_tasks(TaskFilter(), 1000)
    return page.tasks, await store.events_since(0), await store.pending_outbox(1000)
