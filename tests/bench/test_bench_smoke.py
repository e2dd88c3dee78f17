"""The benchmarks' arithmetic, and one of them run for real: it measures, judges and cleans up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest
from figures import Bound, Row, Side, number, percentile, ratio_by_round, ratio_of_medians, spread, with_unit
from run import BENCHES, Report, main

RUN = Path(__file__).resolve().parents[2] / "bench" / "run.py"


@pytest.fixture
def place() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="olb-") as folder:
        yield folder


def row(value: float, bound: Bound | None, name: str = "x.y") -> Row:
    return Row(name, "a figure", "by hand", [Side("ours", [1.0, 2.0, 30.0], "ms")], "p50", value, "ms", bound)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.995, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert percentile([*range(100, 0, -1)], share) == expected


def test_the_99th_of_few_samples_is_the_worst() -> None:
    assert percentile([5, 1, 9], 0.99) == 9


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_bad_end_of_a_rate_is_the_slow_one() -> None:
    values = [100.0, 200.0, 300.0]
    assert Side("times", values, "ms").p99 == 300
    assert Side("rates", values, "/s").p99 == 100
    assert Side("speeds", values, "MB/s").p99 == 100


def test_ratios_compare_medians_of_the_same_rounds() -> None:
    ours, theirs = [2.0, 4.0, 90.0, 20.0, 40.0, 30.0], [1.0, 2.0, 3.0, 10.0, 10.0, 500.0]
    assert ratio_of_medians(ours, theirs) == 25 / 6.5
    assert ratio_by_round(ours, theirs, 2) == [2.0, 3.0]
    assert ratio_by_round(ours[:2], theirs[:2], 10) == [2.0, 2.0]
    assert spread([3.0, 2.0]) == "rounds 2.00 to 3.00"


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound("at most", 3), 3.0, "met"),
        (Bound("at most", 3), 3.001, "missed"),
        (Bound("at least", 0.8), 0.8, "met"),
        (Bound("at least", 0.8), 0.79, "missed"),
        (Bound("at most", 0), 0.0, "met"),
        (Bound("at most", 0), 1.0, "missed"),
        (None, 7.0, ""),
    ],
)
def test_a_verdict_follows_from_value_and_target(bound: Bound | None, value: float, verdict: str) -> None:
    figure = row(value, bound)
    assert figure.verdict == verdict
    assert figure.text().endswith(verdict or with_unit(value, "ms"))


def test_a_figure_is_printed_with_everything_it_rests_on() -> None:
    text = row(2.0, Bound("at most", 3)).text()
    for part in ("a figure", "by hand", "ours", "p50     2.00 ms", "p99     30.0 ms", "n 3", "target ≤ 3 ms", "met"):
        assert part in text
    assert row(2.0, Bound("at most", 3)).markdown() == (
        "| a figure | ours: 2.00 / 30.0 ms, n 3 | p50 **2.00 ms** | ≤ 3 ms | met |"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1.005, "1.00"), (12.34, "12.3"), (1234.5, "1,234"), (-2.5, "-2.50")],
)
def test_numbers_show_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_a_report_names_what_was_missed_and_what_broke(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def good(short: bool) -> Iterator[Row]:
        yield row(1.0, Bound("at most", 3), "good")
        yield row(9.0, Bound("at most", 3), "slow")

    def bad(short: bool) -> Iterator[Row]:
        yield row(1.0, None, "half")
        raise RuntimeError("no gateway")

    monkeypatch.setitem(BENCHES, "good", good)
    monkeypatch.setitem(BENCHES, "bad", bad)
    report = Report({"cores": "2"}, short=True, place=place)
    report.measure("good")
    report.measure("bad")
    assert report.summary() == "1 targets met; 1 missed: slow; broken: bad"
    result = json.loads(report.as_json())
    assert [figure["name"] for figure in result["figures"]] == ["good", "slow", "half"]
    assert [run["name"] for run in result["runs"]] == ["good", "bad"]


def test_an_unknown_benchmark_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--short", "speed"])
    assert stop.value.code == 2
    assert "start_exit" in capsys.readouterr().err


def test_what_a_process_uses_is_read_from_the_kernel() -> None:
    pid = os.getpid()
    used = machine.memory(pid)
    assert 0 < used.uss <= used.pss <= used.rss
    assert used.rss <= machine.peak_rss(pid) * 1.1
    before = machine.work(pid).nanoseconds
    for _ in range(300):  # the kernel counts at its ticks
        sum(range(300_000))
        if machine.work(pid).nanoseconds > before:
            break
    assert machine.work(pid).nanoseconds > before
    assert machine.parent(pid) == os.getppid()
    assert machine.memory(2**22 + 1) == machine.NOTHING


def test_a_benchmark_runs_and_leaves_nothing_behind(place: str) -> None:
    """A real gateway, real sessions: what comes out is samples, and a verdict that follows from them."""
    out = Path(place, "out.json")
    home = Path(place, "homes")
    home.mkdir()
    words = [sys.executable, str(RUN), "--short", "--dir", str(home), "--json", str(out), "told"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (figure,) = json.loads(out.read_text("utf-8"))["figures"]
    side = figure["sides"][0]
    assert side["n"] == 15
    assert 0 < side["p50"] <= side["p99"] == figure["figure"]["value"]
    assert figure["verdict"] == ("met" if side["p99"] <= figure["target"]["limit"] else "missed")
    assert f"told: {figure['title']}" in done.stdout
    assert list(home.iterdir()) == []
    assert [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mentions(pid, place)] == []


def mentions(pid: int, folder: str) -> bool:
    """True when a living process was started with this directory in its words or its environment."""
    try:
        return any(folder.encode() in Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    except OSError:
        return False
