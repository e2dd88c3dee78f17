"""Measure outlast beside the plain way, in the same run, and hold it to its promises.

    bench/run.py [--short] [--json FILE] [--markdown] [--settle SECONDS] [NAME…]

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
from bench_capture import capture
from bench_cli import cli
from bench_idle import idle, many
from bench_start import start_exit, told
from figures import Row

BENCHES: dict[str, Callable[[bool], Iterator[Row]]] = {
    "start_exit": start_exit,
    "told": told,
    "capture": capture,
    "idle": idle,
    "cli": cli,
    "adopt": adopt,
    "many": many,
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
    chosen = parser.parse_args(words)
    if unknown := [name for name in chosen.names if name not in BENCHES]:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    return chosen


def main(words: list[str]) -> int:
    chosen = parse(words)
    facts = machine.facts("/tmp")
    print("machine: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
    rows: list[Row] = []
    runs: list[dict[str, object]] = []
    broken: list[str] = []
    for name in chosen.names or BENCHES:
        if chosen.settle and not machine.wait_until_quiet(QUIET, chosen.settle):
            print(f"\nthe machine did not fall quiet within {chosen.settle:g} s; measuring all the same")
        before, busy, began = machine.load(), machine.busy(0.2 if chosen.short else 1.0), time.monotonic()
        print(f"\n== {name} (load average {before:.2f}, {busy:.0%} busy)", flush=True)
        try:
            for row in BENCHES[name](chosen.short):
                rows.append(row)
                print(row.text(), flush=True)
        except Exception:
            traceback.print_exc()
            broken.append(name)
        after, seconds = machine.load(), time.monotonic() - began
        runs.append({"name": name, "loadBefore": before, "busyBefore": busy, "loadAfter": after, "seconds": seconds})
        print(f"   load average {after:.2f} after {seconds:.0f} s")
    missed = [row.name for row in rows if row.verdict == "missed"]
    met = sum(row.verdict == "met" for row in rows)
    print(f"\n{met} targets met, {len(missed)} missed{': ' if missed else ''}{', '.join(missed)}")
    if chosen.markdown:
        print("\n| what | both sides, p50 / p99 | figure | target | |\n|---|---|---|---|---|")
        print("\n".join(row.markdown() for row in rows))
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            result = {"machine": facts, "short": chosen.short, "runs": runs, "figures": [r.as_dict() for r in rows]}
            json.dump(result, file, indent=1, ensure_ascii=False)
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
