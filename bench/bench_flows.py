"""Flows of ten steps that do nothing, each on record before the next begins, beside others who run such flows.

bench/bench_flows.py [--short] [--markdown] [--settle SECONDS] [--only WORD…]

Ours over SQLite and a peer take turns, as in `bench_peers`, whatever database the peer has. All must record every step
durably; that is read back, and whoever does not is not measured. The peers are tuned as bench/peers/ says, and some run
as shipped as well: the toughest of them is the one to beat.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence

import lodging
import machine
from bench_peers import NAMES, Contest, Room, folder, server
from figures import Bound, Row, Side, number, ratio_of_medians
from peers.catalogue import FLOWS, OUR_FLOWS, RAW, Peer

ROUNDS = 3
LONG = ["--warm", "0", "--seconds", "6", "--singles", "40"]
SHORT = ["--warm", "0", "--seconds", "10", "--tasks", "200", "--singles", "10"]
TIMES = 15
"""How many times faster than the fastest peer ours is to be."""
COMMITS = 2
"""How many raw durable commits one step may take."""


class FlowContest(Contest):
    """The runs of our flows over SQLite, and of the peers'."""

    def __init__(self, settle: float = 0) -> None:
        super().__init__("sqlite", settle)
        self.ours = OUR_FLOWS["sqlite"]

    def label(self, peer: Peer) -> str:
        """Return who it is and on what, the database named where the versions do not tell."""
        return super().label(peer) + (f", {NAMES[peer.database]}" if peer.database == "postgresql" else "")

    def steps(self, peer: Peer) -> list[float]:
        """Return the milliseconds of single steps."""
        return [took for run in self._runs[peer] for took in run.steps]

    def commits(self) -> list[float]:
        """Return the milliseconds of the raw commits that were made between our flows."""
        return [took for run in self._runs[self.ours] for took in run.commits]

    def step_in_commits(self) -> list[float]:
        """How many raw commits one of our steps took, median by median, run by run."""
        return [ratio_of_medians(run.steps, run.commits) for run in self._runs[self.ours]]

    def throughput(self) -> Row:
        method = self.method(
            "one at a time first, then 100 flows kept in flight for some seconds, each counted until the last has "
            "ended; each turn gives a rate and, with ours just before it, a ratio; the median of a peer's ratios, and "
            "the toughest peer's is the figure"
        )
        sides = [Side(self.label(peer), self.rates(peer), "/s") for peer in (self.ours, *self.peers)]
        name, title = "flows.many", "flows of 10 no-op steps, 100 in flight"
        if not self.peers:
            alone = statistics.median(self.rates(self.ours))
            return Row(name, title, method, sides, "outlast alone", alone, "/s", None, self.note(()))
        ratios = {peer: statistics.median(self.faster(peer)) for peer in self.peers}
        best = min(ratios, key=ratios.__getitem__)
        each = ", ".join(f"{self.label(peer)} {number(ratio)}×" for peer, ratio in ratios.items())
        return Row(
            name, title, method, sides, f"outlast ÷ {best.title}", ratios[best], "×", Bound("at least", TIMES),
            f"{self.note(self.faster(best))}; {each}",
        )  # fmt: skip

    def step(self) -> Row:
        sides = [Side("raw durable commit, SQLite", self.commits(), "ms")]
        sides += [Side(self.label(peer), self.steps(peer), "ms") for peer in (self.ours, *self.peers)]
        ratios = self.step_in_commits()
        return Row(
            "flows.step", "one step, one flow at a time",
            "in the same turns: from where the program goes on after a step until it goes on after the next; after "
            "each of our flows as many raw commits to the same disk, and each run's medians compared",
            sides, "outlast p50 ÷ raw durable commit p50", statistics.median(ratios), "×", Bound("at most", COMMITS),
            self.note(ratios),
        )  # fmt: skip

    def one_flow(self) -> Row:
        order = dict.fromkeys((self.ours, *self.peers))
        sides = [Side(self.label(peer), self.milliseconds(peer), "ms") for peer in order]
        best = self.quickest()
        turns = self.slower(best)
        return Row(
            "flows.one", "a flow of 10 no-op steps, one at a time", "in the same turns: from start to end known",
            sides, f"outlast p50 ÷ {best.title} p50", statistics.median(turns), "×", None, self.note(turns),
        )  # fmt: skip


def flows(short: bool, only: Sequence[str] = (), settle: float = 0) -> Iterator[Row]:
    """Compare with the peers; in the short form with nothing but a raw commit, so that nothing is installed."""
    contest = FlowContest(settle)
    if short:
        contest.take_turns(RAW, SHORT, folder)
        yield from rows_of(contest)
        return
    peers = [peer for peer in FLOWS if not only or any(word in f"{peer}".lower() for word in only)]
    with server() as database:
        rooms: dict[str, Room] = {"postgresql": database}
        for _ in range(ROUNDS):
            for peer in peers:
                contest.take_turns(peer, LONG, folder, rooms.get(peer.database))
        yield from rows_of(contest)  # before the server is stopped: that may fail, and these took minutes


def rows_of(contest: FlowContest) -> Iterator[Row]:
    yield contest.throughput()
    yield contest.step()
    if contest.peers:
        yield contest.one_flow()


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/bench_flows.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="few flows, and no peers: does it run at all?")
    parser.add_argument("--markdown", action="store_true", help="also print a table for the documentation")
    parser.add_argument("--settle", type=float, default=0, metavar="SECONDS", help="wait before each turn for a lull")
    parser.add_argument("--only", nargs="+", default=(), metavar="WORD", help="peers that are known by one of these")
    chosen = parser.parse_args(words)
    with lodging.ground() as place:
        print("machine: " + ", ".join(f"{key} {value}" for key, value in machine.facts(place).items()), flush=True)
        rows = []
        for row in flows(chosen.short, chosen.only, chosen.settle):
            rows.append(row)
            print(f"\n{row.text()}", flush=True)
    if chosen.markdown:
        print("\n" + "\n".join(row.markdown() for row in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
