"""The ledger with a long past: what a million records cost whoever lists, shows, audits, or starts a gateway."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import machine
from bench_cli import spend
from figures import Bound, Row, Side, ratio_by_round, ratio_of_medians, spread
from lodging import Lodging
from old_ledger import fill

FEW, MANY = 1_000, 1_000_000
MIB = 1 << 20


def tasks(short: bool) -> Iterator[Row]:
    """The same questions of a young ledger and of an old one, in turns."""
    many = 20_000 if short else MANY
    rounds = 4 if short else 40
    with _house(FEW) as young, _house(many) as old:
        yield from _start(young, old, many, 2 if short else 7)
        young.start()
        old.start()
        yield _list(young, old, many, rounds)
        yield _cpu(old, many, rounds)
        yield from _questions(young, old, many, rounds)
        yield _memory(young, old, many)
        yield _idle(old, many, 2.0 if short else 30.0)
        young.stop()
        old.stop()


@contextmanager
def _house(count: int) -> Iterator[Lodging]:
    with Lodging() as lodging:
        fill(os.path.join(lodging.home, "ledger.db"), count, time.time())
        yield lodging
        shutil.rmtree(lodging.home, ignore_errors=True)


def _start(young: Lodging, old: Lodging, many: int, rounds: int) -> Iterator[Row]:
    took: dict[str, list[float]] = {"young": [], "old": []}
    for turn in range(rounds + 1):
        for name, lodging in (("young", young), ("old", old)):
            seconds = lodging.start()
            lodging.stop()
            if turn:
                took[name].append(seconds * 1000)
    yield Row(
        "tasks.start",
        f"starting a gateway on {many:,} records",
        f"`outlast gateway start` to ready, wall, in turns with one on {FEW:,} records; ended tasks, 3 events each",
        [Side(f"{many:,} records", took["old"], "ms"), Side(f"{FEW:,} records", took["young"], "ms")],
        "ratio of p50",
        ratio_of_medians(took["old"], took["young"]),
        "×",
        Bound("at most", 1.3),
        spread(ratio_by_round(took["old"], took["young"])),
    )


def _list(young: Lodging, old: Lodging, many: int, rounds: int) -> Row:
    took = _in_turns(young, old, ("tasks", "list", "--limit", "50"), rounds)
    return Row(
        "tasks.list",
        f"`outlast tasks list --limit 50` of {many:,} records",
        f"the whole command, wall, in turns with {FEW:,} records, gateway up, byte code cached",
        [Side(f"{many:,} records", took["old"], "ms"), Side(f"{FEW:,} records", took["young"], "ms")],
        "ratio of p50",
        ratio_of_medians(took["old"], took["young"]),
        "×",
        Bound("at most", 1.3),
        spread(ratio_by_round(took["old"], took["young"])),
    )


def _in_turns(young: Lodging, old: Lodging, words: tuple[str, ...], rounds: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"young": [], "old": []}
    for turn in range(rounds + 2):
        for name, lodging in (("young", young), ("old", old)):
            _, wall = spend([*lodging.outlast, *words], lodging.env)
            if turn > 1:
                took[name].append(wall)
    return took


def _cpu(old: Lodging, many: int, rounds: int) -> Row:
    cpu: dict[str, list[float]] = {"ours": [], "bare": []}
    listing = [*old.outlast, "tasks", "list", "--limit", "50"]
    bare = [sys.executable, "-c", "pass"]
    for turn in range(rounds + 2):
        for name, argv in (("ours", listing), ("bare", bare)):
            used, _ = spend(argv, old.env)
            if turn > 1:
                cpu[name].append(used)
    return Row(
        "tasks.cpu",
        "CPU of `outlast tasks list --limit 50`",
        f"user + system time by wait4 of both processes in turns, {many:,} records, byte code cached",
        [Side("outlast tasks list", cpu["ours"], "ms"), Side("python -c pass", cpu["bare"], "ms")],
        "ratio of p50",
        ratio_of_medians(cpu["ours"], cpu["bare"]),
        "×",
        Bound("at most", 6),
        spread(ratio_by_round(cpu["ours"], cpu["bare"])),
    )


def _questions(young: Lodging, old: Lodging, many: int, rounds: int) -> Iterator[Row]:
    middle = f"t{many // 2:016d}"
    for name, words_old, words_young in (
        ("show", ("tasks", "show", middle), ("tasks", "show", f"t{FEW // 2:016d}")),
        ("audit", ("tasks", "audit"), ("tasks", "audit")),
        ("maintenance", ("tasks", "maintenance"), ("tasks", "maintenance")),
    ):
        took: dict[str, list[float]] = {"young": [], "old": []}
        for turn in range(rounds // 2 + 2):
            for side, lodging, words in (("young", young, words_young), ("old", old, words_old)):
                _, wall = spend([*lodging.outlast, *words], lodging.env)
                if turn > 1:
                    took[side].append(wall)
        yield Row(
            f"tasks.{name}",
            f"`outlast tasks {name}` on {many:,} records",
            f"the whole command, wall, in turns with {FEW:,} records",
            [Side(f"{many:,} records", took["old"], "ms"), Side(f"{FEW:,} records", took["young"], "ms")],
            "ratio of p50",
            ratio_of_medians(took["old"], took["young"]),
            "×",
            Bound("at most", 1.5),
            spread(ratio_by_round(took["old"], took["young"])),
        )


def _memory(young: Lodging, old: Lodging, many: int) -> Row:
    sizes = {name: machine.memory(lodging.gateway_pid).rss / MIB for name, lodging in (("young", young), ("old", old))}
    return Row(
        "tasks.memory",
        f"gateway memory on {many:,} records, after all of the above",
        "resident size of both gateways after the same questions",
        [Side(f"{many:,} records", [sizes["old"]], "MiB"), Side(f"{FEW:,} records", [sizes["young"]], "MiB")],
        "growth",
        max(0.0, sizes["old"] - sizes["young"]),
        "MiB",
        Bound("at most", 5),
    )


def _idle(old: Lodging, many: int, seconds: float) -> Row:
    time.sleep(1.0)
    before = machine.work(old.gateway_pid)
    time.sleep(seconds)
    after = machine.work(old.gateway_pid)
    return Row(
        "tasks.idle",
        f"an idle gateway on {many:,} records",
        f"context switches and run time of all its threads, {seconds:g} s apart",
        [
            Side("context switches", [after.switches - before.switches], ""),
            Side("run time", [(after.nanoseconds - before.nanoseconds) / 1e6], "ms"),
        ],
        "run time",
        (after.nanoseconds - before.nanoseconds) / 1e6,
        "ms",
        Bound("at most", 1),
    )
