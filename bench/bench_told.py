"""Told, not polling: what many rules cost, how late an instant is fired, how soon after an end somebody is woken."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import apsw
import machine
from bench_peers import IDLE, lull
from figures import Bound, Row, Side, percentile, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging
from talk import Line

from outlast.core.schedule import CommandPayload, Kind, Schedule
from outlast.store.sqlite import SqliteStore
from outlast.store.told_rows import SCHEDULE_COLUMNS, schedule_columns

MANY = 100_000
DAY = 86_400.0
WINDOW_MS = 250.0


def told(short: bool) -> Iterator[Row]:
    """Rules in great number, many at once, some every second; ends that wake."""
    many = 5_000 if short else MANY
    with Lodging() as empty, Lodging() as full:
        fill(os.path.join(empty.home, "ledger.db"), 0)
        fill(os.path.join(full.home, "ledger.db"), many)
        yield _start(empty, full, many, 2 if short else 9)
        full.start()
        yield asyncio.run(_add(full, many, 50 if short else 500))
        yield _idle(full, many, 2.0 if short else 30.0)
        yield asyncio.run(_burst(full, many, 100 if short else 1000))
        yield asyncio.run(_lateness(full, many, 20, 3 if short else 20))
        full.stop()
    with Lodging() as lodging:
        lodging.start()
        yield from asyncio.run(_wakes(lodging, 5 if short else 100, 0.0 if short else 3.0))
        lodging.stop()


# ---- many rules


def fill(path: str, count: int) -> None:
    """Make the store at ``path`` with so many rules of all kinds, none of them due today."""
    asyncio.run(_make(path))
    connection = apsw.Connection(path)
    columns, marks = ", ".join(SCHEDULE_COLUMNS), ", ".join(f":{name}" for name in SCHEDULE_COLUMNS)
    now = time.time()
    with connection:
        connection.executemany(
            f"INSERT INTO schedule ({columns}) VALUES ({marks})",
            (schedule_columns(_rule(number, now)) for number in range(count)),
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _make(path: str) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


def _rule(number: int, now: float) -> Schedule:
    zone = ("UTC", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe")[number % 4]
    due = now + DAY + number
    return Schedule(
        id=f"r{number:016d}", name=f"rule{number:07d}", requester="local", created_at=now, updated_at=now,
        kind=Kind.CRON, expr=f"{number % 60} {number % 24} * * *", tz=zone, payload=CommandPayload(command="true"),
        next_at=due, next_fire_at=due,
    )  # fmt: skip


def _start(empty: Lodging, full: Lodging, many: int, rounds: int) -> Row:
    took: dict[str, list[float]] = {"empty": [], "full": []}
    for turn in range(rounds + 1):
        for name, lodging in (("empty", empty), ("full", full)):
            seconds = lodging.start()
            lodging.stop()
            if turn:
                took[name].append(seconds * 1000)
    return Row(
        "told.start",
        f"starting a gateway on {many:,} schedules",
        "`outlast gateway start` to ready, wall, in turns with one on none; the next instants are stored",
        [Side(f"{many:,} schedules", took["full"], "ms"), Side("none", took["empty"], "ms")],
        "ratio of p50",
        ratio_of_medians(took["full"], took["empty"]),
        "×",
        Bound("at most", 2),
        spread(ratio_by_round(took["full"], took["empty"])),
    )


async def _add(full: Lodging, many: int, count: int) -> Row:
    line = await Line.open(full.socket)
    took = []
    for number in range(count + 20):
        fields = {
            "name": f"added{number}",
            "cron": f"{number % 60} 3 * * 1-5",
            "tz": "Europe/London",
            "command": "true",
        }
        began = time.perf_counter()
        await line.post("/v1/cron", **fields)
        if number >= 20:
            took.append((time.perf_counter() - began) * 1000)
    line.close()
    side = Side("cron add", took, "ms")
    return Row(
        "told.add",
        f"adding a schedule to {many:,}",
        "POST /v1/cron on a kept connection, one after the other, durable, with zone and preview",
        [side], "p50", side.p50, "ms", Bound("at most", 5), f"p99 {side.p99:.2f} ms",
    )  # fmt: skip


def _idle(full: Lodging, many: int, seconds: float) -> Row:
    time.sleep(1.0)
    before = machine.work(full.gateway_pid)
    time.sleep(seconds)
    after = machine.work(full.gateway_pid)
    spent = (after.nanoseconds - before.nanoseconds) / 1e6
    return Row(
        "told.idle",
        f"an idle gateway with {many:,} schedules",
        f"context switches and run time of all its threads, {seconds:g} s apart",
        [Side("context switches", [after.switches - before.switches], ""), Side("run time", [spent], "ms")],
        "run time", spent, "ms", Bound("at most", 1),
    )  # fmt: skip


# ---- many at once, and some all the time


async def _burst(full: Lodging, many: int, count: int) -> Row:
    """All of one second: when the last of them is on record, seen from outside."""
    due = float(int(time.time()) + 2 + count // 100)
    await _added(full, (f"burst{number}" for number in range(count)), at=_iso(due), overlap="allow")
    reader = apsw.Connection(os.path.join(full.home, "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.set_busy_timeout(1000)
    assert time.time() < due, "adding them took too long"
    recorded = 0
    took: list[float] = []
    while recorded < count:
        await asyncio.sleep(max(0.002, due - time.time()))
        recorded = reader.execute("SELECT count(*) FROM firing WHERE instant = ?", (due,)).get
        took += [(time.time() - due) * 1000] * (recorded - len(took))
        assert time.time() < due + 60, f"{recorded} of {count} after a minute"
    reader.close()
    await _quiet(full)
    return Row(
        "told.burst",
        f"{count:,} schedules due in the same second",
        f"every firing with its task committed, as another process reads it every 2 ms; {many:,} other schedules",
        [Side("on record after", took, "ms")],
        "all", took[-1], "ms", Bound("at most", 1000),
    )  # fmt: skip


async def _lateness(full: Lodging, many: int, rules: int, seconds: int) -> Row:
    """A normal load: some rules every second, each with a real command."""
    line = await Line.open(full.socket)
    names = [f"steady{number}" for number in range(rules)]
    await _added(full, names, cron="* * * * * *", overlap="allow")
    await asyncio.sleep(seconds + 1.5)
    for name in names:
        await line.post(f"/v1/cron/{name}/pause")
    line.close()
    await _quiet(full)
    reader = apsw.Connection(os.path.join(full.home, "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = reader.execute(
        "SELECT task.started_at - firing.instant FROM firing JOIN task ON task.id = firing.task_id "
        "JOIN schedule ON schedule.id = firing.schedule_id WHERE schedule.name LIKE 'steady%' ORDER BY firing.instant"
    ).fetchall()
    reader.close()
    late = [row[0] * 1000 for row in rows]
    expected = rules * seconds
    assert len(late) >= expected, f"{len(late)} firings of at least {expected}"
    return Row(
        "told.lateness",
        f"lateness of {rules} schedules every second",
        f"from the instant to the start of its task on record, {len(late)} firings, each running `true`; "
        f"{many:,} other schedules",
        [Side("instant to start", late, "ms")],
        "p99", percentile(late, 0.99), "ms", Bound("at most", 50),
    )  # fmt: skip


async def _added(lodging: Lodging, names: Iterable[str], **fields: object) -> None:
    """Add rules over a few connections at once."""
    left = iter(names)

    async def adder() -> None:
        line = await Line.open(lodging.socket)
        for name in left:
            await line.post("/v1/cron", name=name, command="true", workdir="/", tz="UTC", **fields)
        line.close()

    await asyncio.gather(*(adder() for _ in range(8)))


async def _quiet(lodging: Lodging) -> None:
    """Wait until nothing runs any more."""
    line = await Line.open(lodging.socket)
    deadline = time.monotonic() + 120
    while (await line.get("/v1/tasks?status=queued,running&limit=1"))["tasks"]:
        assert time.monotonic() < deadline, "the work does not end"
        await asyncio.sleep(0.05)
    line.close()


# ---- ends that wake


async def _wakes(lodging: Lodging, conversations: int, patience: float) -> Iterable[Row]:
    """One end in each conversation, then three more within the window: from each end to the start of a command."""
    busy: list[float] = []
    line = await Line.open(lodging.socket)
    first: list[float] = []
    rest: list[float] = []
    for number in range(conversations):
        key = f"agent:bench{number}:main"
        busy.append(lull(patience))
        await line.post("/v1/wakes", conversation=key, argv=["/bin/true"])
        ended = await _ends(line, key, 1)
        [wake] = await _wakes_of(line, 1 + len(first) * 2)
        first.append((_moment(wake["startedAt"]) - ended[0]) * 1000)
        ended = await _ends(line, key, 3)
        later = (await _wakes_of(line, 2 + (len(first) - 1) * 2))[0]
        due = max(_moment(wake["endedAt"]) + WINDOW_MS / 1000, ended[0])
        rest.append((_moment(later["startedAt"]) - due) * 1000)
    line.close()
    how = f"{conversations} conversations in turn, SQLite, durable; times of the supervisors that saw the processes; "
    how += f"others kept the cores {min(busy):.0%} to {max(busy):.0%} busy when each began"
    return [
        _wake_row("told.wake", "end of a task → wake command started, the first of a burst", how, first, busy),
        _wake_row(
            "told.wake_rest", f"the rest of a burst: end of the {WINDOW_MS:g} ms window → wake command started",
            how + "; three more ends within the window", rest, busy,
        ),
    ]  # fmt: skip


def _wake_row(name: str, title: str, how: str, took: Sequence[float], busy: Sequence[float]) -> Row:
    side = Side("after", took, "ms")
    quiet = [one for one, others in zip(took, busy, strict=True) if others <= IDLE]
    note = f"p50 {side.p50:.1f} ms"
    if quiet:
        note += f"; of the {len(quiet)} begun in a lull p99 {percentile(quiet, 0.99):.1f} ms"
    return Row(name, title, how, [side], "p99", side.p99, "ms", Bound("at most", 20), note)


async def _ends(line: Line, key: str, count: int) -> list[float]:
    """Run so many commands for a conversation, and return when they ended, the first one first."""
    tasks = [
        await line.post("/v1/exec", command="true", detach=True, requester=key, allowDuplicate=True)
        for _ in range(count)
    ]  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        found = [await line.get(f"/v1/tasks/{task['taskId']}") for task in tasks]
        if all(task["endedAt"] for task in found):
            return sorted(_moment(task["endedAt"]) for task in found)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)  # seldom: whoever asks competes with what is measured


async def _wakes_of(line: Line, count: int) -> list[dict[str, Any]]:
    """Wait until so many wake commands have been run, and return them, newest first."""
    deadline = time.monotonic() + 30
    while True:
        found = [one for one in (await line.get("/v1/sessions?status=all&limit=1000"))["sessions"] if one["labels"]]
        if len(found) >= count and all(one["endedAt"] for one in found):
            return list(found)[:1]
        assert time.monotonic() < deadline, f"{len(found)} wakes of {count}"
        await asyncio.sleep(0.02)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


if __name__ == "__main__":  # a look at it by itself: python bench/bench_told.py [--quick]
    import sys

    from lodging import ground

    with ground():
        for row in told("--quick" in sys.argv):
            print(row.text(), flush=True)
            if "--json" in sys.argv:
                print(json.dumps(row.as_dict()))
