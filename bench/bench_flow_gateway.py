"""Flows in a gateway: what a flow of one step costs whoever waits for it, and what very many cost that only wait."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator

import apsw
import machine
from bench_cli import spend
from bench_idle import settled
from figures import Bound, Row, Side, percentile, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging, wait_for
from talk import Line

MANY = 100_000
DAY = 86_400.0
MB = 1e6
NAP_SECONDS = 3
"""Longer than a flow that waits stays in memory: it is let go, and taken up again when it is due."""
LAST_LOOK_SECONDS = 35
"""Longer than a lease: once after the last flow, a look is due at whether a lease has run out."""
TRUE = "/bin/true"

ONE_STEP = f"name: one\nsteps:\n  - id: only\n    run: [{TRUE}]\n"
SLEEPING = "name: sleeping\nsteps:\n  - id: rest\n    sleep: 1d\n"
WAITING = "name: waiting\nsteps:\n  - id: news\n    wait: news\n"
NAPPING = f"name: napping\nsteps:\n  - id: nap\n    sleep: {NAP_SECONDS}s\n"
TABLES = {"flow": "id", "flow_input": "flow_id", "flow_step": "flow_id", "flow_event": "flow_id"}
"""Where the rows of a flow are, and which column says whose they are."""


def flow_gateway(short: bool) -> Iterator[Row]:
    """`outlast flow run` of one step; a gateway with flows in great number that sleep, or wait for a signal."""
    with Lodging() as lodging:
        lodging.start()
        yield _start_up(lodging, 5 if short else 60)
        lodging.stop()
    many = 2_000 if short else MANY
    with Lodging() as empty, Lodging() as full:
        _fill(full, many)
        yield _gateway_start(empty, full, many, 2 if short else 7)
        empty.start()
        full.start()
        yield _lateness(empty, full, many, 3 if short else 30)
        yield _memory(empty, full, many)
        yield _idle(full, many, 2.0 if short else 30.0)
        empty.stop()
        full.stop()


# ---- one step


def _start_up(lodging: Lodging, rounds: int) -> Row:
    flow_run = [*lodging.outlast, "flow", "run", _file(lodging, "one", ONE_STEP)]
    walls: dict[str, list[float]] = {"flow": [], "step": [], "cpu": []}
    for turn in range(rounds + 3):
        cpu, took = spend(flow_run, lodging.env)
        _, alone = spend([TRUE], lodging.env)
        if turn > 2:
            for name, value in (("flow", took), ("step", alone), ("cpu", cpu)):
                walls[name].append(value)
    over = [took - alone for took, alone in zip(walls["flow"], walls["step"], strict=True)]
    return Row(
        "flow_gateway.start_up",
        "`outlast flow run` of a file with one step, over the step itself",
        "the whole command, wall, a gateway up, byte code cached; in turns with the same command alone",
        [
            Side("outlast flow run, wall", walls["flow"], "ms"),
            Side("the step's command alone, wall", walls["step"], "ms"),
            Side("outlast flow run, its own CPU", walls["cpu"], "ms"),
        ],
        "p50 of the difference",
        statistics.median(over),
        "ms",
        Bound("at most", 150),
        f"p99 {percentile(over, 0.99):.0f} ms; load average {machine.load():.1f}",
    )


def _file(lodging: Lodging, name: str, text: str) -> str:
    path = os.path.join(lodging.home, f"{name}.flow.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


# ---- very many


def _fill(lodging: Lodging, count: int) -> None:
    """Let a gateway run one flow of each kind until it is let go; multiply what it then has on record."""
    lodging.start()
    for name, text in (("sleeping", SLEEPING), ("waiting", WAITING)):
        _begin(lodging, _file(lodging, name, text))
    database = os.path.join(lodging.home, "ledger.db")
    wait_for(lambda: len(_select(database, "SELECT id FROM flow WHERE status = 'waiting'")) == 2, "both flows to wait")
    lodging.stop()
    connection = apsw.Connection(database)
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        for (flow_id,) in connection.execute("SELECT id FROM flow").fetchall():
            _multiply(connection, flow_id, count // 2)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _begin(lodging: Lodging, path: str) -> str:
    return lodging.cli("flow", "run", "--detach", path).strip().rpartition(" ")[2]


def _select(database: str, sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def _multiply(connection: apsw.Connection, flow_id: str, count: int) -> None:
    """Copy a flow so often, each copy due a second after the one before it."""
    for table, owner in TABLES.items():
        cursor = connection.execute(f"SELECT * FROM {table} WHERE {owner} = ?", (flow_id,))
        rows = cursor.fetchall()
        columns = [name for name, *_ in connection.execute(f"SELECT name FROM pragma_table_info('{table}')")]
        places = {name: columns.index(name) for name in (owner, "id", "ready_at", "due_at") if name in columns}
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO {table} VALUES ({marks})",
            (
                _copy(row, places, owner, f"{flow_id[:8]}{number:09d}", number)
                for number in range(count)
                for row in rows
            ),
        )


def _copy(row: tuple[object, ...], places: dict[str, int], owner: str, flow_id: str, later: int) -> list[object]:
    made = list(row)
    if owner != "id" and "id" in places:
        made[places["id"]] = None  # a line of history: the table numbers it
    made[places[owner]] = flow_id
    for name in ("ready_at", "due_at"):
        if name in places and isinstance(row[places[name]], float):
            made[places[name]] = row[places[name]] + later
    return made


def _gateway_start(empty: Lodging, full: Lodging, many: int, rounds: int) -> Row:
    took: dict[str, list[float]] = {"empty": [], "full": []}
    for turn in range(rounds + 1):
        for name, lodging in (("empty", empty), ("full", full)):
            seconds = lodging.start()
            lodging.stop()
            if turn:
                took[name].append(seconds * 1000)
    return Row(
        "flow_gateway.start",
        f"starting a gateway on {many:,} flows that sleep or wait",
        "`outlast gateway start` to ready, wall, in turns with one on none",
        [Side(f"{many:,} flows", took["full"], "ms"), Side("none", took["empty"], "ms")],
        "ratio of p50",
        ratio_of_medians(took["full"], took["empty"]),
        "×",
        Bound("at most", 1.3),
        spread(ratio_by_round(took["full"], took["empty"])),
    )


def _lateness(empty: Lodging, full: Lodging, many: int, count: int) -> Row:
    late = {name: _naps(lodging, count) for name, lodging in (("empty", empty), ("full", full))}
    side = Side(f"among {many:,}", late["full"], "ms")
    return Row(
        "flow_gateway.lateness",
        f"the next of {many:,} flows that is due goes on",
        f"{count} flows that sleep {NAP_SECONDS} s, let go meanwhile: from the moment on record to the end of the step "
        "on record, which is durable",
        [side, Side("with no others", late["empty"], "ms")],
        "p99",
        side.p99,
        "ms",
        Bound("at most", 50),
        f"load average {machine.load():.1f}",
    )


def _naps(lodging: Lodging, count: int) -> list[float]:
    """Return by how many milliseconds each nap was longer than it should have been."""
    path = _file(lodging, "napping", NAPPING)
    for _ in range(count):
        _begin(lodging, path)
    left = "SELECT id FROM flow WHERE name = 'napping' AND ended_at IS NULL"
    database = os.path.join(lodging.home, "ledger.db")
    wait_for(lambda: not _select(database, left), "the naps to end", NAP_SECONDS + 60)
    naps = "SELECT id FROM flow WHERE name = 'napping'"
    found = _select(database, f"SELECT due_at, ended_at FROM flow_step WHERE flow_id IN ({naps})")
    assert len(found) == count, found
    return [(float(ended) - float(due)) * 1000 for due, ended in found]  # type: ignore[arg-type]


def _memory(empty: Lodging, full: Lodging, many: int) -> Row:
    sizes = {}
    for name, lodging in (("empty", empty), ("full", full)):
        asyncio.run(_look(lodging))
        settled(lodging)
        sizes[name] = machine.memory(lodging.gateway_pid).rss / MB
    return Row(
        "flow_gateway.memory",
        f"memory of the gateway with {many:,} flows that sleep or wait",
        "resident size of two gateways that have done the same otherwise, one on no other flows",
        [Side(f"{many:,} flows", [sizes["full"]], "MB"), Side("none", [sizes["empty"]], "MB")],
        "growth",
        max(0.0, sizes["full"] - sizes["empty"]),
        "MB",
        Bound("at most", 5),
    )


async def _look(lodging: Lodging) -> None:
    """Ask for a page of flows, as somebody will."""
    line = await Line.open(lodging.socket)
    for _ in range(20):
        await line.get("/v1/flows")
    line.close()


def _idle(full: Lodging, many: int, seconds: float) -> Row:
    time.sleep(LAST_LOOK_SECONDS if seconds > 10 else 0)
    before = machine.work(full.gateway_pid)
    time.sleep(seconds)
    after = machine.work(full.gateway_pid)
    spent = (after.nanoseconds - before.nanoseconds) / 1e6
    return Row(
        "flow_gateway.idle",
        f"an idle gateway with {many:,} flows that sleep or wait",
        f"context switches and run time of all its threads, {seconds:g} s apart",
        [Side("context switches", [after.switches - before.switches], ""), Side("run time", [spent], "ms")],
        "run time",
        spent,
        "ms",
        Bound("at most", 1),
    )
