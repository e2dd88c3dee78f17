"""Claims by several processes: each task is one worker's, and a queue's limit holds whoever claims."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from claimer import store_of

from children import PATIENCE, children, ended, heard, tell
from outlast.core.task import NewTask, Runtime

CLAIMER = Path(__file__).with_name("claimer.py")
QUEUES = ("plenty", "plenty", "plenty", "tight")
LIMIT = 5


async def fill(kind: str, address: str, count: int) -> None:
    """Queue that many tasks, every fourth in a queue of which few may run at once."""
    store = store_of(kind, address)
    await store.open()
    await store.set_queue_limit("tight", LIMIT)
    for begin in range(0, count, 500):
        new = [
            NewTask(
                id=f"t{number:08d}", runtime=Runtime.CLI, kind="exec", source="test", requester="local",
                created_at=float(number), queue=QUEUES[number % len(QUEUES)], payload={"number": number},
            )
            for number in range(begin, min(count, begin + 500))
        ]  # fmt: skip
        await asyncio.gather(*map(store.create_task, new))
    await store.close()


async def history(kind: str, address: str) -> list[Any]:
    """Every line of history there is, in order."""
    store = store_of(kind, address)
    await store.open()
    events: list[Any] = []
    while page := await store.events_since(events[-1].id if events else 0):
        events += page
    await store.close()
    return events


def claim_all(kind: str, address: str, workers: int, seconds: float) -> list[list[str]]:
    """Let workers in processes of their own claim at once, again and again, until nothing is left; return who got what.

    They begin each round together: a file has no queue for writers, and one of them might not get a turn at all.
    """
    argv = [sys.executable, str(CLAIMER), kind, address]
    got: list[list[str]] = [[] for _ in range(workers)]
    with children(*([*argv, f"w{n}"] for n in range(workers)), seconds=seconds) as started:
        assert [heard(one) for one in started] == ["ready"] * workers
        more = True
        while more:
            for one in started:
                tell(one, "go")
            rounds = [heard(one).split() for one in started]
            for mine, some in zip(got, rounds, strict=True):
                mine += some
            more = any(rounds)
        assert [ended(one) for one in started] == [0] * workers
    return got


def attack(kind: str, address: str, count: int, seconds: float = PATIENCE) -> None:
    asyncio.run(fill(kind, address, count))
    got = claim_all(kind, address, 2, seconds)
    each = Counter(task_id for some in got for task_id in some)
    assert len(each) == count and set(each.values()) == {1}
    assert all(len(some) > count // 5 for some in got), "one worker had it all: nothing was contested"
    events = asyncio.run(history(kind, address))
    verbs = Counter((event.task_id, event.verb) for event in events)
    assert set(verbs.values()) == {1} and len(verbs) == 3 * count
    running: set[str] = set()
    for event in events:
        if int(event.task_id[1:]) % len(QUEUES) == QUEUES.index("tight"):
            (running.add if event.verb == "claim" else running.discard)(event.task_id)
            assert len(running) <= LIMIT


def test_no_task_is_claimed_twice_and_no_limit_is_broken(address: tuple[str, str]) -> None:
    attack(*address, 2000)


@pytest.mark.soak
def test_no_task_is_claimed_twice_in_a_hundred_thousand_claims(address: tuple[str, str]) -> None:
    attack(*address, 100_000, seconds=1500)
