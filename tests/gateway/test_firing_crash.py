"""Gateways killed with -9 in the middle of a firing: each instant has one task, and its command has run once."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from crashing import Node, until

from outlast.core import schedule as rules
from outlast.core.schedule import CommandPayload, EventPayload, Kind, Misfire, Overlap, Schedule
from outlast.core.session import Status
from outlast.gateway.stores import make_store
from outlast.scheduler.instants import following
from outlast.store.base_told import FiringRow

POINTS = [
    "scheduler:before_fire",
    "scheduler:after_fire",
    "worker:before_claim",
    "worker:after_claim",
    "worker:after_spawn",
    "worker:before_finish",
    "worker:after_finish",
    "store:before_commit",
    "store:after_commit",
]
LISTENER = "agent:a:main"


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest) -> Iterator[Node]:
    """A home on a store of each kind."""
    made = Node("" if request.param == "sqlite" else request.getfixturevalue("pg_database"))
    yield made
    made.close()


@pytest.fixture
def three(pg_database: str) -> Iterator[list[Node]]:
    """Three homes on one database."""
    made = [Node(pg_database) for _ in range(3)]
    yield made
    for node in made:
        node.close()


def rule(node: Node, name: str, **given: Any) -> Schedule:
    """A rule that is due since a moment ago."""
    now = round(time.time(), 3)
    made = {
        "id": f"r-{name}", "name": name, "requester": "local", "created_at": now - 1, "updated_at": now - 1,
        "kind": Kind.AT, "expr": rules.format_moment(now), "overlap": Overlap.ALLOW,
        "payload": CommandPayload(command=f'echo "$OUTLAST_TASK_ID" >> {node.path("ran")}', workdir="/tmp"),
    }  # fmt: skip
    schedule = Schedule(**{**made, **given})
    return rules.begin(schedule, now - 1, following(schedule))


def each_second(node: Node, name: str, command: CommandPayload) -> Schedule:
    """A rule that fires each second; whatever a busy machine lets pass is fired all the same."""
    return rule(node, name, kind=Kind.EVERY, expr="1", payload=command, misfire=Misfire.ALL, misfire_max=100)


def add(node: Node, *schedules: Schedule) -> None:
    """Put rules on record, whether a gateway is about or not."""

    async def main() -> None:
        store = make_store(node.config)
        await store.open()
        try:
            await asyncio.gather(*(store.add_schedule(schedule) for schedule in schedules))
        finally:
            await store.close()

    asyncio.run(main())


def firings(node: Node, *names: str) -> list[FiringRow]:
    async def main() -> list[FiringRow]:
        store = make_store(node.config, read_only=True)
        await store.open()
        try:
            return [row for name in names for row in (await store.firings_of(f"r-{name}", 1000))[::-1]]
        finally:
            await store.close()

    return asyncio.run(main())


def heard(node: Node) -> list[str]:
    reply = node.ask("GET", f"/v1/conversations/{LISTENER}/events")
    assert reply.status == 200, reply
    return [event["text"] for event in reply.json["events"]]


def lines(*nodes: Node) -> list[str]:
    """The tasks whose commands have run, each as often as it has."""
    return [line for node in nodes if node.path("ran").exists() for line in node.path("ran").read_text().splitlines()]


def judge(node: Node, rows: list[FiringRow], ran: list[str]) -> None:
    """Each instant has one task, each task one instant, and each has run once and to its end."""
    assert [row.how for row in rows] == ["fired"] * len(rows)
    assert max(Counter((row.schedule_id, row.instant) for row in rows).values()) == 1
    tasks = node.books().tasks
    assert Counter(task.id for task in tasks) == Counter(row.task_id for row in rows if row.task_id)
    assert [task.status for task in tasks] == [Status.SUCCEEDED] * len(tasks), tasks
    assert Counter(ran) == Counter(task.id for task in tasks)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_in_the_middle_of_a_firing_neither_loses_nor_repeats_it(home: Node, point: str) -> None:
    """Killed before, in and after the commit, before and after the spawn: the next gateway finds all or nothing."""
    names = ("one", "two", "three", "each-hour", "event")
    hold = f"; {home.gate}" if point == "worker:after_spawn" else ""  # what is over by then has no such moment
    command = f'echo "$OUTLAST_TASK_ID" >> {home.path("ran")}{hold}'
    add(
        home,
        *(rule(home, name, payload=CommandPayload(command=command, workdir="/tmp")) for name in names[:3]),
        rule(home, "each-hour", kind=Kind.EVERY, expr="3600", anchor_at=time.time() - 3600.5),
        rule(home, "event", payload=EventPayload(conversation=LISTENER, text="stand up")),
    )
    home.begin(point)
    home.dies()
    home.open_gate()
    assert home.begin(), home.log()
    until(lambda: len(firings(home, *names)) == len(names))
    home.ended(*(task["taskId"] for task in home.ask("GET", "/v1/tasks").json["tasks"]))
    judge(home, firings(home, *names), lines(home))
    assert heard(home) == ["stand up"]


@pytest.mark.parametrize("point", ["scheduler:before_fire", "scheduler:after_fire", "worker:after_claim"])
def test_three_gateways_share_the_instants_and_the_death_of_one_costs_none(three: list[Node], point: str) -> None:
    """One database, three schedulers: whoever dies over an instant, it is fired once, and so are those that follow."""
    first = three[0]
    command = CommandPayload(command=f'echo "$OUTLAST_TASK_ID" >> {first.path("ran")}', workdir="/tmp")
    assert three[1].begin(), three[1].log()
    assert three[2].begin(), three[2].log()
    first.begin(point)
    add(first, *(each_second(first, name, command) for name in ("a", "b", "c")))
    until(lambda: len(firings(first, "a", "b", "c")) >= 6)
    for name in ("a", "b", "c"):
        assert three[1].ask("POST", f"/v1/cron/{name}/pause", {}).status == 200
    first.kill()  # it may not have come to its point yet
    assert first.begin(), first.log()  # what it held is settled by its own next gateway
    rows = firings(first, "a", "b", "c")
    three[1].ended(*(str(row.task_id) for row in rows))
    judge(first, rows, lines(first))
    for name in ("a", "b", "c"):
        instants = [row.instant for row in rows if row.schedule_id == f"r-{name}"]
        gaps = {round(later - earlier, 3) for earlier, later in itertools.pairwise(instants)}
        assert gaps <= {1.0}, "an instant is missing"


def _alive(node: Node) -> bool:
    return node.process is not None and node.process.poll() is None


def revived(nodes: list[Node]) -> bool:
    """Start those that have died over their points."""
    return all(_alive(node) or node.begin() for node in nodes)


@pytest.mark.soak
def test_gateways_that_die_again_and_again_fire_every_instant_once(three: list[Node]) -> None:
    """Twenty kills at points in turn, over some forty seconds of rules that fire each second."""
    first = three[0]
    command = CommandPayload(command=f'echo "$OUTLAST_TASK_ID" >> {first.path("ran")}', workdir="/tmp")
    names = [f"r{number}" for number in range(10)]
    for node in three:
        assert node.begin(), node.log()
    add(first, *(each_second(first, name, command) for name in names))
    for turn in range(20):
        node = three[turn % 3]
        node.kill()
        node.begin(POINTS[turn % len(POINTS)])
        goal = len(firings(first, *names)) + 10
        until(lambda goal=goal: revived(three) and len(firings(first, *names)) >= goal)
    for node in three:  # whoever is armed still may die any moment
        node.kill()
        assert node.begin(), node.log()
    for name in names:
        assert first.ask("POST", f"/v1/cron/{name}/pause", {}).status == 200
    rows = firings(first, *names)
    first.ended(*(str(row.task_id) for row in rows))
    judge(first, rows, lines(first))
