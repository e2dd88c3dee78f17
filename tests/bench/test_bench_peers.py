"""The comparison with other queues, as far as it goes without them: no peer is installed and nothing is downloaded."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bench_peers
import pytest
from bench_peers import Contest
from peers import catalogue, common
from peers.catalogue import FLOWS, HUEY, OURS, POSTGRESQL, RAW, SQLITE, Figures, NotMeasured, Peer

PEERS = (RAW, *OURS.values(), *SQLITE, *POSTGRESQL, *FLOWS)
SCRIPTS = Path(catalogue.__file__).parent
FEW = ["--warm", "0", "--seconds", "120", "--tasks", "20", "--in-flight", "5", "--singles", "3"]
WAL_FULL = {"journal_mode": "wal", "synchronous": "full"}


@pytest.mark.parametrize("script", sorted({peer.script for peer in PEERS} | {"restate_service"}))
def test_every_script_parses_and_says_whom_it_measures(script: str) -> None:
    """A script that only runs in its peer's environment would otherwise be broken unseen."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text("utf-8"))
    assert ast.get_docstring(tree)
    assert {"main"} <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_what_is_installed_is_pinned() -> None:
    """The scripts hook into their peers: another version may not be listened to, or be another measurement."""
    assert [word for peer in PEERS for word in peer.packages if "==" not in word] == []
    assert [word for peer in PEERS for word in peer.npm if "@" not in word[1:]] == []
    assert [peer.script for peer in PEERS if not peer.packages] == ["raw", "outlast", "outlast"]


def test_our_own_side_runs_through_ledger_and_worker(tmp_path: Path) -> None:
    """The very script that is compared with others, with few tasks: real figures, and durable ones."""
    found = catalogue.run(OURS["sqlite"], [*FEW, "--folder", str(tmp_path)])
    assert found.rate is not None
    assert found.rate > 0
    assert len(found.milliseconds) == 3
    assert min(found.milliseconds) > 0
    assert found.durability == WAL_FULL
    assert {"outlast", "sqlite", "python"} <= set(found.versions)
    assert "23 tasks on record, all succeeded" in found.settings


def test_the_raw_commit_is_as_durable(tmp_path: Path) -> None:
    """Ours is held to three of these: a commit that is not synced would make the target a lie."""
    found = catalogue.run(RAW, [*FEW, "--folder", str(tmp_path)])
    assert (found.rate, len(found.milliseconds), found.durability) == (None, 3, WAL_FULL)


def test_a_script_that_fails_is_not_measured_and_says_why(tmp_path: Path) -> None:
    """Its last words go into the report instead of a figure."""
    with pytest.raises(NotMeasured, match=r"failed: .*unable to open database"):
        catalogue.run(RAW, [*FEW, "--folder", str(tmp_path / "missing")])


def test_a_peer_without_its_python_is_not_measured() -> None:
    """oban-py needs a newer Python than some machines have: a reason, not a crash."""
    with pytest.raises(NotMeasured, match=r"needs Python 3\.99"):
        catalogue.environment(Peer("oban", "oban-py", "postgresql", ("oban==0",), (3, 99)))


def test_scripts_that_share_an_environment_want_the_same_in_it() -> None:
    """Otherwise each turn would tear down and install anew what the turn before it had made."""
    wanted: dict[str, set[tuple[tuple[str, ...], ...]]] = {}
    for peer in PEERS:
        wanted.setdefault(peer.house or peer.script, set()).add((peer.packages, peer.npm))
    assert {house: sets for house, sets in wanted.items() if len(sets) > 1} == {}


@pytest.mark.parametrize(
    ("database", "durability", "why"),
    [
        ("sqlite", {"journal_mode": "wal", "synchronous": "normal"}, "synchronous is normal"),
        ("sqlite", {"journal_mode": "memory", "synchronous": "full"}, "journal_mode is memory"),
        ("postgresql", {"fsync": "on", "synchronous_commit": "off", "full_page_writes": "on"}, "synchronous_commit is"),
        ("postgresql", {}, "fsync is None"),
        ("restate", {"log_synced": "9 times in 40 flows"}, "log_synced is 9 times in 40 flows"),
    ],
)
def test_who_does_not_write_durably_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: catalogue.Database, durability: dict[str, str], why: str
) -> None:
    """A fast figure of a queue that forgets at a power cut must not enter the comparison."""
    line = {"many": None, "single": {"milliseconds": [1.0]}, "durability": durability, "versions": {}, "settings": []}
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers" / "cheat.py").write_text(f"print({json.dumps(line)!r})")
    monkeypatch.setattr(catalogue, "BENCH", str(tmp_path))
    with pytest.raises(NotMeasured, match=f"not durable here: {why}"):
        catalogue.run(Peer("cheat", "Cheat", database), [])


def test_a_window_counts_neither_the_warm_up_nor_what_ends_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate is that of the steady state: ten seconds of warm-up, two that count."""
    now = 0.0
    monkeypatch.setattr(common.time, "perf_counter", lambda: now)
    window = common.Window(common.arguments(None, ["--warm", "10", "--seconds", "2"]))
    for now in (5.0, 9.9, 10.5, 11.0, 11.5, 12.0, 12.5):
        assert window.another() is (now < 12)
        window.ended()
    assert window.figures() == {"tasks": 4, "seconds": 2.0, "tasksPerSecond": 2.0}


def test_a_window_that_a_number_closed_ends_with_its_last_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a short run would be divided by time in which nothing was asked for."""
    now = 100.0
    monkeypatch.setattr(common.time, "perf_counter", lambda: now)
    window = common.Window(common.arguments(None, ["--warm", "0", "--seconds", "60", "--tasks", "2"]))
    assert [window.another() for _ in range(3)] == [True, True, False]
    now = 100.5
    window.ended()
    now = 101.0
    window.ended()
    assert window.figures()["tasksPerSecond"] == 2.0


class Played:
    """Figures as they might come, instead of runs. A text is why somebody was not measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **turns: list[tuple[float, float] | str]) -> None:
        self.turns = {name: iter(given) for name, given in turns.items()}
        monkeypatch.setattr(bench_peers, "run", self.run)
        monkeypatch.setattr(bench_peers, "lull", lambda _patience: 0.25)

    def run(self, peer: Peer, _words: list[str]) -> Figures:
        turn = next(self.turns[peer.script])
        if isinstance(turn, str):
            raise NotMeasured(turn)
        rate, took = turn
        return Figures(
            rate, [took] * 3, WAL_FULL, {peer.script: "1.0", "sqlite": "3.54.1", "python": "3"}, ["as is"], 0.5
        )


@contextmanager
def nowhere() -> Iterator[list[str]]:
    yield []


def test_turns_are_compared_with_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second turn the machine was ten times slower for both: the ratio does not move."""
    Played(
        monkeypatch,
        outlast=[(1100.0, 2.0), (110.0, 20.0), (1000.0, 2.0)],
        huey=[(100.0, 1.0), (10.0, 10.0), (200.0, 4.0)],
    )
    contest = Contest("sqlite")
    for _ in range(3):
        contest.take_turns(HUEY, [], nowhere)
    many, one = contest.throughput(), contest.one_by_one(HUEY, None)
    assert (many.value, many.unit, many.verdict) == (11.0, "×", "met")
    assert "rounds 5.00 to 11.0" in many.note
    assert "others kept the cores 25% to 25% busy; load average 0.5" in many.note
    assert one.value == 2.0
    assert [side.label for side in many.sides] == ["outlast 1.0, SQLite 3.54.1", "Huey 1.0, SQLite 3.54.1"]
    assert "Huey: journal_mode wal, synchronous full; as is; Python 3" in many.method


def test_the_fastest_peer_is_the_one_to_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the slower one is not what was promised."""
    Played(monkeypatch, outlast=[(1000.0, 1.0)] * 2, huey=[(200.0, 2.0)], dbos=[(50.0, 4.0)])
    contest = Contest("sqlite")
    contest.take_turns(SQLITE[1], [], nowhere)
    contest.take_turns(HUEY, [], nowhere)
    row = contest.throughput()
    assert (row.label, row.value, row.verdict) == ("outlast ÷ Huey", 5.0, "missed")
    assert contest.quickest() == HUEY


def test_a_missing_peer_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once; the figure of the others stands, and says who was not there."""
    Played(monkeypatch, outlast=[(1000.0, 1.0)] * 3, huey=["cannot be installed: no network"])
    contest = Contest("sqlite")
    contest.take_turns(HUEY, [], nowhere)
    contest.take_turns(HUEY, [], nowhere)
    row = contest.throughput()
    assert (row.value, row.unit, row.bound) == (1000.0, "/s", None)
    assert "Huey not measured, it cannot be installed: no network" in row.note


def test_ours_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison without ourselves is broken, not merely incomplete."""
    Played(monkeypatch, outlast=["failed: no ledger"])
    with pytest.raises(RuntimeError, match="outlast failed: no ledger"):
        Contest("sqlite").take_turns(HUEY, [], nowhere)
