"""Transcripts: pages of a very long one beside those of a short one, both ways, and how quickly entries are added."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import apsw
import lodging
from bench_peers import server
from figures import Bound, Row, Side, number, ratio_by_round, ratio_of_medians, spread

from outlast.core.agent import AgentConversation, Entry, EntryKind, NewEntry
from outlast.store.base import Store
from outlast.store.sqlite import SqliteStore

FEW, MANY = 1_000, 1_000_000
PAGE = 100
SLOWER = 1.3
"""How many times longer a page of the long transcript may take."""
AT_ONCE, PER_ACT = 20, 10
"""Conversations that grow at once, and entries of one commit: what an agent says in about a third of a second."""
TEXT = "The tests of the parser pass; what is left is the case of an empty file, which it takes for a broken one. "
MULTIPLY = """
    INSERT INTO transcript (conversation, seq, at, kind, text, data, task_id, source_key, journal_at)
    WITH RECURSIVE number (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM number WHERE n < {count})
    SELECT conversation, n, at + n, kind, text, data, task_id, conversation || ':' || (n * 180), n * 180
    FROM number CROSS JOIN transcript WHERE conversation = '{key}' AND seq = 1
"""
"""All other entries are like one that really went in, but for number, moment and source."""
_sources = itertools.count()


class Filled(NamedTuple):
    """A store and a conversation of so many entries in it."""

    store: Store
    key: str
    count: int


class Kind(NamedTuple):
    """A way to page: onward or back, and from where in a transcript of so many entries."""

    title: str
    onward: bool
    place: Callable[[int], int | None]


def _somewhere(count: int) -> int:
    return random.randrange(count // 4, count * 3 // 4)


ONWARD = (Kind("first", True, lambda _: 0), Kind("middle", True, _somewhere), Kind("last", True, lambda n: n - PAGE))
BACK = (Kind("newest", False, lambda _: None), Kind("middle", False, _somewhere), Kind("oldest", False, lambda _: 101))


def transcript(short: bool) -> Iterator[Row]:
    """Page and append over SQLite, and in the long form over PostgreSQL too."""
    many, rounds = (20_000, 20) if short else (MANY, 300)
    place = lodging._ground or lodging.BASE
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="transcript-", dir=place) as folder:
        few, long = (runner.run(_in_file(f"{folder}/{count}.db", count)) for count in (FEW, many))
        yield from _measure(runner, "SQLite", few, long, rounds)
        yield runner.run(_beside_raw(long, f"{folder}/raw.db", rounds))
        runner.run(few.store.close())
        runner.run(long.store.close())
    if not short:
        with asyncio.Runner() as runner, server() as room, room() as [_, dsn]:
            few, long = (runner.run(_on_server(dsn, count)) for count in (FEW, many))
            yield from _measure(runner, "PostgreSQL", few, long, rounds)
            runner.run(few.store.close())
            runner.run(long.store.close())


# ---- stores that are full


async def _in_file(path: str, count: int) -> Filled:
    filled = await _begun(SqliteStore(path), count)
    connection = apsw.Connection(path)
    connection.execute(MULTIPLY.format(count=count, key=filled.key))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return filled


async def _on_server(dsn: str, count: int) -> Filled:
    """Fill a conversation on the server; the short one and the long one are in the same tables there."""
    import psycopg

    from outlast.store.postgres import PostgresStore

    filled = await _begun(PostgresStore(dsn), count)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(MULTIPLY.format(count=count, key=filled.key).encode())
        connection.execute("VACUUM ANALYZE transcript")  # as the server does by itself, sooner or later
        connection.execute("CHECKPOINT")
    return filled


async def _begun(store: Store, count: int) -> Filled:
    """Return a store with a conversation of one entry."""
    key = f"agent:bench:{count}"
    await store.open()
    await _hold(store, key)
    await store.append_entries(key, [_entry(key)])
    return Filled(store, key, count)


async def _hold(store: Store, key: str) -> None:
    now = time.time()
    await store.hold_conversation(AgentConversation(key, "bench", now, now, "/"))


def _entry(key: str) -> NewEntry:
    place = next(_sources)
    return NewEntry(
        at=time.time(), kind=EntryKind.TEXT, text=TEXT, task_id="t0000000000000001", source_key=f"{key}/new:{place}",
        journal_at=place,
    )  # fmt: skip


# ---- pages


def _measure(runner: asyncio.Runner, title: str, few: Filled, long: Filled, rounds: int) -> Iterator[Row]:
    for way, kinds in (("onward", ONWARD), ("back", BACK)):
        yield runner.run(_pages(title, way, kinds, (few, long), rounds))
    yield runner.run(_streams(title, (few, long), max(2, rounds // 30)))


async def _pages(title: str, way: str, kinds: tuple[Kind, ...], both: tuple[Filled, Filled], rounds: int) -> Row:
    took: dict[tuple[Kind, int], list[float]] = {(kind, of.count): [] for kind in kinds for of in both}
    for turn in range(rounds + 5):
        for kind in kinds:
            for of in both if turn % 2 else both[::-1]:
                spent = await _timed(_page(kind, of))
                if turn >= 5:  # the first of each fill the caches
                    took[kind, of.count].append(spent * 1e3)
    few, long = (of.count for of in both)
    ratios = {kind: ratio_of_medians(took[kind, long], took[kind, few]) for kind in kinds}
    worst = max(kinds, key=ratios.__getitem__)
    rounds_of_worst = spread(ratio_by_round(took[worst, long], took[worst, few]))
    return Row(
        f"transcript.{way}.{title.lower()}", f"pages of {PAGE} entries of {long:,}, {way}, {title}",
        f"both transcripts in turns, asked of the store: {', '.join(kind.title for kind in kinds)}; those in the "
        "middle somewhere else each time",
        [Side(f"{kind.title} of {count:,}", took[kind, count], "ms") for kind in kinds for count in (long, few)],
        f"{worst.title}, p50 of {long:,} ÷ of {few:,}", ratios[worst], "×", Bound("at most", SLOWER),
        f"{rounds_of_worst}; " + ", ".join(f"{kind.title} {number(ratios[kind])}×" for kind in kinds),
    )  # fmt: skip


async def _page(kind: Kind, of: Filled) -> None:
    place = kind.place(of.count)
    if kind.onward:
        found = await of.store.entries_of(of.key, place or 0, PAGE)
        first = (place or 0) + 1
    else:
        found = await of.store.entries_before(of.key, place, PAGE)
        first = (of.count + 1 if place is None else place) - PAGE
    assert _numbers(found) == range(first, first + PAGE), (kind.title, first)


def _numbers(found: list[Entry]) -> range:
    """The numbers of a page, which has no gaps."""
    assert all(later.seq - earlier.seq == 1 for earlier, later in itertools.pairwise(found))
    return range(found[0].seq, found[-1].seq + 1)


async def _timed(asked: Awaitable[object]) -> float:
    begin = time.perf_counter()
    await asked
    return time.perf_counter() - begin


# ---- entries that come


async def _streams(title: str, both: tuple[Filled, Filled], rounds: int) -> Row:
    """Many conversations grow at once in a store that holds much, and in one that does not."""
    rates: dict[int, list[float]] = {of.count: [] for of in both}
    keys = [f"agent:bench:stream:{number:02}" for number in range(AT_ONCE)]
    for of in both:
        for key in keys:
            await _hold(of.store, key)
    for turn in range(rounds):
        for of in both if turn % 2 else both[::-1]:
            rates[of.count].append(await _grown(of.store, keys))
    few, long = (of.count for of in both)
    return Row(
        f"transcript.append.{title.lower()}", f"entries appended, {AT_ONCE} conversations at once, {title}",
        f"in turns, each conversation in acts of {PER_ACT} entries, one after the other, each durable when it returns",
        [Side(f"beside {count:,} entries", rates[count], "/s") for count in (long, few)],
        f"beside {long:,}", Side("", rates[long], "/s").p50, "/s", None,
        f"{number(ratio_of_medians(rates[long], rates[few]))}× of the rate beside {few:,}",
    )  # fmt: skip


async def _grown(store: Store, keys: list[str], acts: int = 20) -> float:
    """Return entries a second."""

    async def one(key: str) -> None:
        for _ in range(acts):
            await store.append_entries(key, [_entry(key) for _ in range(PER_ACT)])

    return len(keys) * acts * PER_ACT / await _timed(asyncio.gather(*map(one, keys)))


async def _beside_raw(of: Filled, path: str, rounds: int) -> Row:
    """One act of a few entries, alone, beside a raw durable commit of the same disk."""
    connection = apsw.Connection(path)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    raw, acts = [], []
    key = "agent:bench:alone"
    await _hold(of.store, key)
    for _ in range(rounds):
        begin = time.perf_counter()
        connection.execute("INSERT INTO t (b) VALUES ('x')")
        raw.append((time.perf_counter() - begin) * 1e3)
        new = [_entry(key) for _ in range(PER_ACT)]
        acts.append(await _timed(of.store.append_entries(key, new)) * 1e3)
    connection.close()
    ratios = ratio_by_round(acts, raw)
    return Row(
        "transcript.append.alone", f"{PER_ACT} entries appended, one act at a time, SQLite",
        f"in turns with a raw durable commit of one small row; the store holds {of.count:,} entries",
        [Side(f"append {PER_ACT} entries", acts, "ms"), Side("raw durable commit", raw, "ms")],
        "append p50 ÷ raw commit p50", ratio_of_medians(acts, raw), "×", None, spread(ratios),
    )  # fmt: skip
