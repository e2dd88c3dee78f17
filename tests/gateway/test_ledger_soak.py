"""A mixed load under a gateway that is killed again and again: in the end the totals add up."""

from __future__ import annotations

import http.client
import os
import queue
import random
import threading
from collections import Counter
from typing import Any

import pytest
from crashing import ENDS, Node, check, until

from houses import House
from outlast.core.session import Cause, Status
from outlast.core.task import Task

AT_ONCE, AHEAD = 6, 24
"""Callers that ask for work side by side, and how much of it they ask for before some has ended."""
LONG = "sleep 1000"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "succeeds": ("sleep {nap}; exit 0", {}),
    "fails": ("sleep {nap}; exit 5", {}),
    "retried": ("[ $(wc -l < {ran}) -ge 3 ]", {"retries": 4, "retryDelaySeconds": 0.01}),
    "given up": ("exit 6", {"retries": 2, "retryDelaySeconds": 0.01}),
    "cancelled": (LONG, {"retries": 2, "graceSeconds": 0.5}),
    "timed out": (LONG, {"timeoutSeconds": 5.0}),
    "delayed": ("exit 0", {"delaySeconds": 0.1}),
    "narrow": ("sleep {nap}; exit 0", {"queue": "narrow"}),
    "outlived": ("sleep 0.3; exit 7", {"background": True}),
}
EXPECTED: dict[str, tuple[Status, Cause, int | None, int]] = {
    "succeeds": (Status.SUCCEEDED, Cause.EXIT, 0, 1),
    "fails": (Status.FAILED, Cause.EXIT, 5, 1),
    "retried": (Status.SUCCEEDED, Cause.EXIT, 0, 3),
    "given up": (Status.FAILED, Cause.EXIT, 6, 3),
    "timed out": (Status.TIMED_OUT, Cause.TIMEOUT, None, 1),
    "delayed": (Status.SUCCEEDED, Cause.EXIT, 0, 1),
    "narrow": (Status.SUCCEEDED, Cause.EXIT, 0, 1),
    "outlived": (Status.FAILED, Cause.EXIT, 7, 1),
}
Died = (OSError, http.client.HTTPException)


class Load:
    """Asks for so many tasks of all kinds until each has been acknowledged, whatever happens to the gateway."""

    def __init__(self, node: Node, count: int, luck: random.Random) -> None:
        self._node = node
        self._up = threading.Event()
        self._room = threading.Semaphore(AHEAD)
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._naps = luck
        kinds = [list(KINDS)[i % len(KINDS)] for i in range(count)]
        luck.shuffle(kinds)
        for kind in kinds:
            self._wanted.put(kind)
        self._numbers = iter(range(10**9))
        self._lock = threading.Lock()
        self.asked: dict[str, str] = {}
        self.acknowledged: dict[str, str] = {}
        self.within: list[str] = []
        self.failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(AT_ONCE)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        assert self.failed == []

    def gateway(self, up: bool) -> None:
        """Say whether there is a gateway to ask."""
        if up:
            self._up.set()
        else:
            self._up.clear()

    def more(self, count: int) -> None:
        """Let so much more be asked for."""
        if count:
            self._room.release(count)

    def _go(self) -> None:
        try:
            while True:
                kind = self._wanted.get_nowait()
                assert self._room.acquire(timeout=60)
                self._one(kind)
        except queue.Empty:
            pass
        except BaseException as error:
            self.failed.append(error)
            raise

    def _one(self, kind: str) -> None:
        """See one task to its acknowledgement, under a new name each time: an unanswered call may have been heard."""
        while True:
            with self._lock:
                name = f"{kind} {next(self._numbers)}"
                nap = round(self._naps.uniform(0.0, 0.15), 3)
            command, fields = KINDS[kind]
            self.asked[name] = kind
            path = f"'{self._node.path(name)}'"
            line = f"echo $OUTLAST_TASK_ID >> {path}; {command.format(nap=nap, ran=path)}"
            answer = self._answer(line, {"detach": "background" not in fields, "labels": [name], **fields})
            if answer is not None and answer["status"] in ("queued", "running"):
                break
            if answer is not None:  # the gateway was so slow that the command ended within its call
                self.within.append(name)
        self.acknowledged[name] = str(answer.get("taskId") or "t" + answer["sessionId"][1:])
        if kind == "cancelled":
            self._call_off(self.acknowledged[name])

    def _answer(self, command: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        self._up.wait(60)
        try:
            return self._node.exec(command, **fields)
        except Died:
            return None

    def _call_off(self, task_id: str) -> None:
        while True:
            self._up.wait(60)
            try:
                reply = self._node.ask("POST", f"/v1/tasks/{task_id}/cancel", {})
            except Died:
                continue
            assert reply.status in (200, 409), reply
            return


def endure(node: Node, *, tasks: int, kills: int, seed: int) -> None:
    """Put the load on, and kill the gateway whenever so many tasks have ended."""
    luck = random.Random(seed)
    moments = sorted(luck.sample(range(1, tasks * 9 // 10), kills))
    load = Load(node, tasks, luck)
    assert node.begin()
    assert node.ask("POST", "/v1/tasks/queues", {"name": "narrow", "limit": 2}).status == 200
    load.gateway(True)
    load.start()
    ended, last = 0, 0
    for moment in moments:
        lines = node.events(last)
        while ended < moment:
            line = next(lines)
            last = line["eventId"]
            ended += line["verb"] in ENDS
            load.more(line["verb"] in ENDS)
        lines.close()
        load.gateway(False)
        node.kill()
        assert node.begin(), node.log()
        load.gateway(True)
    load.more(tasks)
    load.join()
    until(lambda: all_recorded(node, load))
    unheard = [task for task in live(node) if load.asked[task["label"]] == "cancelled"]
    for task in unheard:
        node.ask("POST", f"/v1/tasks/{task['taskId']}/cancel", {})
    left = [task["taskId"] for task in live(node)]
    if left:
        node.ended(*left)
    add_up(node, load)


def all_recorded(node: Node, load: Load) -> bool:
    """True once everything that outlived its call has a record; that comes just after the answer."""
    specs = {name: node.record(name).get("spec") or {} for name in os.listdir(node.paths.sessions)}
    outlived = [name for name, spec in specs.items() if spec and not spec.get("task_id")]
    wanted = [name for name in outlived if specs[name]["labels"][0] not in load.within]
    return all(node.ask("GET", f"/v1/tasks/t{name[1:]}").status == 200 for name in wanted)


def live(node: Node) -> list[dict[str, Any]]:
    return list(node.ask("GET", "/v1/tasks?status=queued,running&limit=1000").json["tasks"])


def add_up(node: Node, load: Load) -> None:
    """Compare what was asked for, what is on record, what was told, and what was really run."""
    books = node.books()
    by_name: dict[str, list[Task]] = {}
    for task in books.tasks:
        by_name.setdefault(task.label or "", []).append(task)
    assert max(map(len, by_name.values())) == 1
    for name, task_id in load.acknowledged.items():
        assert [task.id for task in by_name.get(name, [])] == [task_id], name
    for name, kind in load.asked.items():
        lines = ran(node, name)
        if name not in by_name:
            assert len(lines) == (name in load.within), name
            continue
        [task] = by_name[name]
        assert set(lines) <= {task.id if task.source == "detach" else ""}, name
        told = 0 if kind == "outlived" else 1
        if kind == "cancelled":
            check(books, task, Status.CANCELLED, Cause.OPERATOR, attempt=task.attempt, notices=told)
            assert len(lines) <= task.attempt <= 1, name
        else:
            status, cause, code, attempt = EXPECTED[kind]
            check(books, task, status, cause, code=code, attempt=attempt, notices=told)
            assert len(lines) == attempt, (name, lines, books.events[task.id])
    assert len(load.acknowledged) == sum(1 for name in by_name if name in load.acknowledged)
    assert max(Counter(row.idempotency_key for row in books.notices).values()) == 1
    assert len(books.notices) == sum(task.notify != "silent" for task in books.tasks)
    until(lambda: nothing_runs(node))


def ran(node: Node, name: str) -> list[str]:
    try:
        return node.path(name).read_text().splitlines()
    except FileNotFoundError:
        return []


def nothing_runs(node: Node) -> bool:
    house = House.__new__(House)
    house.home = node.home
    return house.processes() == [] and node.ask("GET", "/v1/status").json["sessions"]["live"] == 0


def test_totals_add_up_after_a_few_kills(node: Node) -> None:
    """Eight kills over forty tasks: each was run as often as it says, ended once and was told once."""
    endure(node, tasks=40, kills=8, seed=7)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1])
def test_totals_add_up_after_many_kills(node: Node, seed: int) -> None:
    """Two hundred kills over five hundred tasks."""
    endure(node, tasks=500, kills=200, seed=seed)
