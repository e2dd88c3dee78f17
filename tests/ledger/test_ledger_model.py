"""Two workers, any order of acts, two databases: what is on record is always what the table of the model says."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from ledger_desk import NODES, Desk, StepClock, postgres_desk, sqlite_desk
from ledger_model import DELAY, DELAY_MAX, Hold, Model, Row

from outlast.core.outcome import Outcome
from outlast.core.retry import RetryPolicy
from outlast.core.session import Cause, Status
from outlast.core.task import NewTask, NotifyPolicy, Runtime, Task
from outlast.ledger import tasks as ledger_tasks

WORKERS = st.integers(0, 1)
QUEUES = ("a", "b")
OUTCOMES = {
    "succeeded": "exit",
    "failed": "exit",
    "timed_out": "timeout",
    "cancelled": "operator",
    "lost": "evidence_gone",
}
POLICIES = [policy.value for policy in NotifyPolicy]
PICK = st.integers(0, 10_000)
COMPARED = (
    "status", "cause", "attempt", "attempts_max", "revision", "progress", "notify", "delivery", "priority", "queue",
    "node", "dedupe_key", "deadline_at", "started_at", "ended_at", "seen_at", "lease_until", "session_id",
)  # fmt: skip
RETRY = msgspec.to_builtins(RetryPolicy(delay_seconds=DELAY, delay_max_seconds=DELAY_MAX))


class Machine(RuleBasedStateMachine):
    """Does every act to the model and to each database, and compares the answers."""

    desks: list[Desk]
    runner: asyncio.Runner
    clock: StepClock

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.holds: list[Hold] = []
        self.generations = [0, 0]
        self.clock.at = 1_800_000_000.0
        for desk in self.desks:
            desk.clear()

    @property
    def now(self) -> float:
        return self.clock.at

    def everywhere(self, act: Callable[[Desk], Awaitable[Any]], expected: Any) -> None:
        """Do it in each database; the answers are those of the model."""
        for desk in self.desks:
            assert self.runner.run(_run(act, desk)) == expected, desk.name

    def pick(self, number: int) -> Row:
        return list(self.model.rows.values())[number % len(self.model.rows)]

    def held_task(self, desk: Desk, hold: Hold) -> Task:
        return desk.holds[hold.claim]

    def note_hold(self, desk: Desk, task_id: str, task: Task) -> None:
        desk.holds[self.model.hold_of(task_id).claim] = task

    # ---- beginning

    @rule(
        worker=WORKERS,
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([0, 0, 0, 1, -1]),
        notify=st.sampled_from(POLICIES),
        attempts_max=st.sampled_from([1, 1, 2, 3]),
        dedupe_key=st.sampled_from([None, None, None, "k"]),
        delay=st.sampled_from([None, None, None, 5.0]),
        deadline=st.sampled_from([None, None, 7.0, 40.0]),
        node=st.sampled_from([None, *NODES]),
        how=st.sampled_from(["queue", "queue", "start", "start", "running", "external"]),
    )
    def create(self, worker: int, how: str, delay: float | None, deadline: float | None, **given: Any) -> None:
        number = len(self.model.rows) + 1
        row = Row(f"t{number:04d}", self.now, **given)
        row.external = how == "external"
        row.not_before_at = None if delay is None else self.now + delay
        row.deadline_at = None if deadline is None else self.now + deadline
        new = self._new(row)
        if how in ("running", "external"):
            row.not_before_at = None
            new = msgspec.structs.replace(new, not_before_at=None)
        ledger = self.desks[0].ledgers[worker]
        expected = self.model.create(
            row, ledger.node, ledger.worker, how == "start", how in ("running", "external"), how != "external"
        )

        async def act(desk: Desk) -> tuple[str, bool]:
            ledger = desk.ledgers[worker]
            if how in ("running", "external"):
                made = await ledger.record_running(new, leased=how == "running")
            else:
                made = await ledger.create(new, start=how == "start")
            if not made.existing and made.task.status is Status.RUNNING:
                self.note_hold(desk, row.id, made.task)
            return made.task.id, made.existing

        self.everywhere(act, expected)
        if not expected[1] and row.status == "running":
            self.holds.append(self.model.hold_of(row.id))

    def _new(self, row: Row) -> NewTask:
        return NewTask(
            id=row.id, runtime=Runtime.EXTERNAL if row.external else Runtime.CLI, kind="exec", source="test",
            requester="local", created_at=row.created_at, payload={"spec": row.id}, node=row.node, queue=row.queue,
            priority=row.priority, notify=NotifyPolicy(row.notify), attempts_max=row.attempts_max, retry=RETRY,
            dedupe_key=row.dedupe_key, not_before_at=row.not_before_at, deadline_at=row.deadline_at,
        )  # fmt: skip

    @rule(worker=WORKERS, count=st.integers(1, 3), queues=st.sampled_from([(), (), ("a",), ("b", "none")]))
    def claim(self, worker: int, count: int, queues: tuple[str, ...]) -> None:
        ledger = self.desks[0].ledgers[worker]
        expected = self.model.claim(count, queues, ledger.node, ledger.worker, self.now)

        async def act(desk: Desk) -> list[str]:
            taken = await desk.ledgers[worker].claim(count, queues)
            for one in taken:
                assert one.payload == {"spec": one.task.id}
                self.note_hold(desk, one.task.id, one.task)
            return [one.task.id for one in taken]

        self.everywhere(act, expected)
        self.holds += [self.model.hold_of(task_id) for task_id in expected]

    @rule(worker=WORKERS)
    def restart(self, worker: int) -> None:
        """A worker dies; the next of its node takes over what it held. What it knew comes too late from now on."""
        self.generations[worker] += 1
        node = NODES[worker]
        taken = sorted(
            r.id for r in self.model.rows.values() if r.status == "running" and r.node == node and not r.external
        )
        for task_id in taken:
            self.model.reclaim(task_id, f"{node}/{self.generations[worker]}", self.now)

        async def act(desk: Desk) -> list[str]:
            found = await desk.restart(worker, self.generations[worker])
            for task_id, task in found.items():
                self.note_hold(desk, task_id, task)
            return list(found)

        self.everywhere(act, taken)
        self.holds += [self.model.hold_of(task_id) for task_id in taken]

    @rule(queue=st.sampled_from(QUEUES), limit=st.sampled_from([None, None, 0, 1, 2]))
    def limit(self, queue: str, limit: int | None) -> None:
        self.model.limits.pop(queue, None)
        if limit is not None:
            self.model.limits[queue] = limit
        self.everywhere(lambda desk: desk.stores[0].set_queue_limit(queue, limit), None)

    @rule(seconds=st.sampled_from([0.5, 5.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.clock.at += seconds

    # ---- while it runs

    @precondition(lambda self: self.holds)
    @rule(number=PICK, what=st.sampled_from(["renew", "progress", "attach"]), percent=st.integers(0, 100))
    def keep_at_it(self, number: int, what: str, percent: int) -> None:
        """By whoever believes to hold the task, rightly or not: the fence tells."""
        hold = self.holds[number % len(self.holds)]
        if what == "renew":
            expected = self.model.renew(hold, self.now)
        elif what == "progress":
            expected = self.model.progress(hold.id, percent, self.now, hold)
        else:
            expected = self.model.attach(hold, f"s{percent}")

        async def act(desk: Desk) -> bool:
            task, ledger = self.held_task(desk, hold), desk.ledgers[NODES.index(hold.node)]
            if what == "renew":
                return await ledger.renew([str(task.claim_id)]) == {task.claim_id}
            if what == "progress":
                return await ledger.progress(task.id, percent, None, claim_id=task.claim_id) is not None
            return await ledger.attach(task, f"s{percent}") is not None

        self.everywhere(act, expected)

    # ---- ending

    @precondition(lambda self: self.holds)
    @rule(number=PICK, status=st.sampled_from(list(OUTCOMES)), ago=st.sampled_from([None, 0.25, -5.0]))
    def finish(self, number: int, status: str, ago: float | None) -> None:
        hold = self.holds[number % len(self.holds)]
        at = None if ago is None else self.now - ago
        outcome = Outcome(status=Status(status), cause=Cause(OUTCOMES[status]), at=at)
        expected = self.model.finish(hold, status, OUTCOMES[status], at, self.now)

        async def act(desk: Desk) -> str:
            recorded = await desk.ledgers[NODES.index(hold.node)].finish(self.held_task(desk, hold), outcome)
            assert recorded.task.id == hold.id
            return recorded.how

        self.everywhere(act, expected)

    @precondition(lambda self: self.holds)
    @rule(number=PICK)
    def never_began(self, number: int) -> None:
        hold = self.holds[number % len(self.holds)]
        expected = self.model.never_began(hold, self.now)

        async def act(desk: Desk) -> bool:
            ledger = desk.ledgers[NODES.index(hold.node)]
            return await ledger.never_began(self.held_task(desk, hold)) is not None

        self.everywhere(act, expected)

    @precondition(lambda self: self.model.rows)
    @rule(worker=WORKERS, number=PICK, status=st.sampled_from(list(OUTCOMES)))
    def recover(self, worker: int, number: int, status: str) -> None:
        task_id = self.pick(number).id
        expected = self.model.recover(task_id, status, OUTCOMES[status], self.now - 1.0, self.now)
        outcome = Outcome(status=Status(status), cause=Cause(OUTCOMES[status]), at=self.now - 1.0)

        async def act(desk: Desk) -> bool:
            ledger = desk.ledgers[worker]
            return await ledger.recover(await ledger.require(task_id), outcome) is not None

        self.everywhere(act, expected)

    @rule(worker=WORKERS)
    def round(self, worker: int) -> None:
        """See to what is due: leases that ran out are given up, deadlines end what nobody holds."""
        expired, overdue = self.model.expired(self.now), self.model.overdue(self.now)
        for task_id in expired:
            self.model.lose(task_id, "lease_expired", self.now)
        for task_id in overdue:
            row = self.model.rows[task_id]
            if row.status == "queued":
                self.model.cancel(task_id, "deadline", self.now)
            elif row.external:
                self.model.time_out(task_id, self.now)

        async def act(desk: Desk) -> tuple[set[str], set[str]]:
            ledger, store = desk.ledgers[worker], desk.ledgers[worker].store
            gone, late = await store.expired_leases(self.now, 1000), await store.past_deadline(self.now, 1000)
            for task in gone:
                await ledger.lose(task, Cause.LEASE_EXPIRED, "the lease ran out")
            for task in late:
                if task.status is Status.QUEUED:
                    await ledger.cancel(task, Cause.DEADLINE)
                elif task.runtime is Runtime.EXTERNAL:
                    await ledger.time_out(task)
            return {task.id for task in gone}, {task.id for task in late}

        self.everywhere(act, (set(expired), set(overdue)))

    @precondition(lambda self: self.model.rows)
    @rule(worker=WORKERS, number=PICK, cause=st.sampled_from(["operator", "parent"]))
    def cancel(self, worker: int, number: int, cause: str) -> None:
        task_id = self.pick(number).id
        expected = self.model.cancel(task_id, cause, self.now)

        async def act(desk: Desk) -> str:
            ledger = desk.ledgers[worker]
            return (await ledger.cancel(await ledger.require(task_id), Cause(cause), "no longer wanted")).status.value

        self.everywhere(act, expected)

    # ---- the rest

    @precondition(lambda self: self.model.rows)
    @rule(number=PICK, policy=st.sampled_from([*POLICIES, "dismiss", "dismiss"]))
    def mark(self, number: int, policy: str) -> None:
        task_id = self.pick(number).id
        if policy == "dismiss":
            done = self.model.dismiss(task_id)
        else:
            done = self.model.set_notify(task_id, policy)

        async def act(desk: Desk) -> bool:
            store = desk.stores[1]
            if policy == "dismiss":
                return await store.dismiss(task_id, self.now) is not None
            return await store.set_notify(task_id, NotifyPolicy(policy), self.now) is not None

        self.everywhere(act, done)

    # ---- what always holds

    @invariant()
    def the_record_is_the_table(self) -> None:
        due = self.model.next_due()
        for desk in self.desks:
            found = self.runner.run(desk.rows())
            assert {key: self._seen(task) for key, task in found.items()} == self._expected(), desk.name
            assert self.runner.run(desk.stores[1].next_due()) == due, desk.name

    def _seen(self, task: Task) -> dict[str, Any]:
        shown = {name: getattr(task, name) for name in COMPARED}
        shown["not_before_at"] = self._later(task.not_before_at)
        shown["worker"] = task.claimed_by
        return shown | {"cancel_asked": task.cancel_asked_at is not None, "dismissed": task.dismissed_at is not None}

    def _expected(self) -> dict[str, dict[str, Any]]:
        names = (*COMPARED, "worker", "cancel_asked", "dismissed")
        return {
            row.id: {name: getattr(row, name) for name in names} | {"not_before_at": self._later(row.not_before_at)}
            for row in self.model.rows.values()
        }

    def _later(self, moment: float | None) -> float | None:
        """A moment that has passed counts as none: claims take it away when they come by."""
        return None if moment is None or moment <= self.now else moment

    def teardown(self) -> None:
        """History and notices are complete, once each, and only live work has a payload left."""
        rows = self.model.rows.values()
        for desk in self.desks:
            verbs, notices = self.runner.run(desk.history())
            assert verbs == {row.id: row.verbs for row in rows}, desk.name
            assert notices == {row.id: row.notices for row in rows if row.notices}, desk.name
            payloads = {row.id: self.runner.run(desk.stores[0].payload_of(row.id)) for row in rows}
            assert payloads == {row.id: {"spec": row.id} if row.live else None for row in rows}, desk.name


async def _run(act: Callable[[Desk], Awaitable[Any]], desk: Desk) -> Any:
    return await act(desk)


@pytest.fixture
def machine(runner: asyncio.Runner, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The machine over two empty databases. Its SQLite file is in memory where that is possible: it syncs a lot."""
    monkeypatch.setattr(ledger_tasks.random, "random", lambda: 0.0)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        clock = StepClock()
        address = request.getfixturevalue("pg_database")
        desks = [sqlite_desk(f"{folder}/ledger.db", clock), postgres_desk(address, clock)]
        for desk in desks:
            runner.run(desk.open())
        yield type("BoundMachine", (Machine,), {"desks": desks, "runner": runner, "clock": clock})
        for desk in desks:
            runner.run(desk.close())


def explore(machine: Any, examples: int, steps: int, *, derandomize: bool) -> None:
    chosen = settings(
        max_examples=examples, stateful_step_count=steps, derandomize=derandomize, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)


def test_whatever_happens_the_record_is_what_the_model_says(machine: Any) -> None:
    """The same examples at every run, so that a failure is one for everybody."""
    explore(machine, 40, 30, derandomize=True)


@pytest.mark.soak
def test_whatever_happens_for_a_long_time(machine: Any) -> None:
    """New examples at every run, longer ones."""
    explore(machine, 1500, 80, derandomize=False)
