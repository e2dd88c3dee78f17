"""Measure outlast beside the plain way, in the same run, and hold it to its promises.

    bench/run.py [--short] [--json FILE] [--markdown] [--settle SECONDS] [--dir DIR] [NAME…]

Every figure is printed with both sides, how it was taken, how many samples, and its target; whether that is met is
computed. Machines are shared and noisy: compare figures of one run, not absolute numbers of two.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator

import machine
from bench_adopt import adopt
from bench_agents import agents
from bench_capture import capture
from bench_cli import cli
from bench_flow_gateway import flow_gateway
from bench_flows import flows
from bench_idle import idle, many
from bench_peers import peers
from bench_start import start_exit, told
from bench_tasks import tasks
from bench_told import told as later
from bench_transcript import transcript
from figures import Row
from lodging import BASE, ground

BENCHES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "start_exit": start_exit,
    "told": told,
    "capture": capture,
    "idle": idle,
    "cli": cli,
    "adopt": adopt,
    "many": many,
    "tasks": tasks,
    "later": later,
    "peers": peers,
    "flows": flows,
    "flow_gateway": flow_gateway,
    "transcript": transcript,
    "agents": agents,
}
QUIET = 0.7
"""Load average below which figures are worth writing down."""


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--short", "--quick", action="store_true", help="few samples: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--markdown", action="store_true", help="also print a table for the documentation")
    parser.add_argument("--settle", type=float, default=0, metavar="SECONDS", help="wait that long for a quiet machine")
    parser.add_argument(
        "--dir", default=BASE, help="where the homes are, on the disk to be measured (default: %(default)s)"
    )
    chosen = parser.parse_args(words)
    if unknown := [name for name in chosen.names if name not in BENCHES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    return chosen


class Report:
    """Everything one run of some benchmarks has found."""

    def __init__(self, facts: dict[str, str], short: bool, place: str) -> None:
        self.facts = facts
        self._place = place
        self.short = short
        self.rows: list[Row] = []
        self.runs: list[dict[str, object]] = []
        self.broken: list[str] = []

    def measure(self, name: str) -> None:
        """Run one benchmark and print each figure as it comes."""
        before, busy, began = machine.load(), machine.busy(0.2 if self.short else 1.0), time.monotonic()
        file_us = machine.file_creation(self._place) * 1e6
        print(f"\n== {name} (load average {before:.2f}, {busy:.0%} busy, a file made in {file_us:.0f} µs)", flush=True)
        try:
            for row in BENCHES[name](self.short):
                self.rows.append(row)
                print(row.text(), flush=True)
        except Exception:
            traceback.print_exc()
            self.broken.append(name)
        after, seconds = machine.load(), time.monotonic() - began
        print(f"   load average {after:.2f} after {seconds:.0f} s")
        run = {"loadBefore": before, "busyBefore": busy, "fileMicroseconds": file_us, "loadAfter": after}
        self.runs.append({"name": name, **run, "seconds": seconds})

    def summary(self) -> str:
        missed = [row.name for row in self.rows if row.verdict == "missed"]
        met = sum(row.verdict == "met" for row in self.rows)
        parts = [f"{met} targets met", f"{len(missed)} missed{': ' if missed else ''}{', '.join(missed)}"]
        if self.broken:
            parts.append(f"broken: {', '.join(self.broken)}")
        return "; ".join(parts)

    def markdown(self) -> str:
        head = ["| what | both sides, p50 / p99 | figure | target | |", "|---|---|---|---|---|"]
        return "\n".join(head + [row.markdown() for row in self.rows])

    def as_json(self) -> str:
        figures = [row.as_dict() for row in self.rows]
        result = {"machine": self.facts, "short": self.short, "runs": self.runs, "figures": figures}
        return json.dumps({**result, "broken": self.broken}, indent=1, ensure_ascii=False) + "\n"


def main(words: list[str]) -> int:
    chosen = parse(words)
    with ground(chosen.dir) as place:
        report = Report(machine.facts(place), chosen.short, place)
        print("machine: " + ", ".join(f"{key} {value}" for key, value in report.facts.items()))
        for name in chosen.names or BENCHES:
            if chosen.settle and not machine.wait_until_quiet(QUIET, chosen.settle):
                print(
                    f"\nnot quiet after {chosen.settle:g} s (load average {machine.load():.2f}): measured all the same"
                )
            report.measure(name)
    print(f"\n{report.summary()}")
    if chosen.markdown:
        print(f"\n{report.markdown()}")
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            file.write(report.as_json())
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
