"""How flows of many steps are timed and counted, with played clocks: no peer is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import bench_flow_gateway
import bench_flows
import bench_peers
import pytest
from bench_flows import FlowContest
from peers import catalogue, common, flows
from peers.catalogue import FLOWS, OUR_FLOWS, RAW, Figures, NotMeasured, Peer

WAL_FULL = {"journal_mode": "wal", "synchronous": "full"}
DBOS, _, DBOS_POSTGRES, ABSURD, RESTATE, *_ = FLOWS


class Clock:
    """A hand that the test moves, in place of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(common.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_flows_that_end_in_crowds_are_all_counted(clock: Clock) -> None:
    """A window that closed at its tenth second would see one crowd of a hundred or two, by chance."""
    wave = flows.Wave(common.arguments(None, ["--warm", "0", "--seconds", "10"]))
    for clock.now in (0.0, 9.0):
        assert [wave.another() for _ in range(100)] == [True] * 100
    for clock.now in (9.0, 18.0):
        for _ in range(100):
            wave.ended()
    assert not wave.another()
    assert wave.figures() == {"tasks": 200, "seconds": 18.0, "tasksPerSecond": 200 / 18}


def test_a_step_is_timed_from_where_the_program_went_on(clock: Clock) -> None:
    """What a peer does to record a step is inside; what it does before the first one is not."""
    laps = flows.Laps()
    laps.counting = True
    clock.now = 5.0
    lap = laps.start()
    for clock.now in (5.25, 5.75):
        lap()
    assert laps.milliseconds == [250.0, 500.0]


def test_steps_are_timed_one_flow_at_a_time_only(clock: Clock) -> None:
    """With a hundred in flight a step waits for others, which is not what one step costs."""
    laps = flows.Laps()
    lap = laps.start()
    clock.now = 1.0
    lap()
    assert laps.milliseconds == []


def test_our_own_side_runs_whole_flows(tmp_path: Path) -> None:
    """The very script that is compared with others, with few flows: every step of them on record, and durable."""
    words = ["--warm", "0", "--seconds", "120", "--tasks", "20", "--in-flight", "5", "--singles", "2"]
    found = catalogue.run(OUR_FLOWS["sqlite"], [*words, "--folder", str(tmp_path)])
    assert found.rate is not None
    assert found.rate > 0
    assert len(found.milliseconds) == 2
    assert len(found.steps) == len(found.commits) == 2 * flows.STEPS
    assert found.durability == WAL_FULL


class Played:
    """Figures as they might come, instead of runs: a rate, and the milliseconds of one step. A text: not measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **turns: list[tuple[float, float] | str]) -> None:
        self.turns = {name: iter(given) for name, given in turns.items()}
        self.rooms: list[tuple[str, Sequence[str]]] = []
        self.commit = 0.25
        monkeypatch.setattr(bench_peers, "run", self.run)
        monkeypatch.setattr(bench_peers, "lull", lambda _patience: 0.25)

    def run(self, peer: Peer, words: Sequence[str]) -> Figures:
        self.rooms.append((peer.script, list(words)))
        turn = next(self.turns[peer.script])
        if isinstance(turn, str):
            raise NotMeasured(turn)
        rate, step = turn
        ours = peer == OUR_FLOWS["sqlite"]
        return Figures(
            rate, [step * 12], {}, {peer.script: "1.0", "python": "3"}, [], 0.5, [step] * 3, [self.commit] * ours
        )


def room(word: str) -> bench_peers.Room:
    @contextmanager
    def lent() -> Iterator[list[str]]:
        yield [word]

    return lent


def test_the_toughest_peer_is_the_one_to_beat_whatever_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is compared with ours of the same turn; the others are named with their ratios."""
    played = Played(
        monkeypatch,
        outlast_flows=[(1000.0, 0.5)] * 2 + [(500.0, 0.5)],
        dbos_flows=[(10.0, 2.0)],
        absurd_flows=[(100.0, 1.0)],
        restate_flows=[(20.0, 1.5)],
    )
    contest = FlowContest()
    for peer in (DBOS, ABSURD, RESTATE):
        contest.take_turns(peer, [], room("folder"), room("server") if peer == ABSURD else None)
    row = contest.throughput()
    assert (row.label, row.value, row.verdict) == ("outlast ÷ Absurd", 10.0, "missed")
    assert "DBOS 1.0 100×" in row.note
    assert "Absurd 1.0, PostgreSQL 10.0×" in row.note
    assert "Restate 1.0, as shipped 25.0×" in row.note
    assert ("absurd_flows", ["server"]) in played.rooms
    assert ("outlast_flows", ["server"]) not in played.rooms


def test_a_step_is_held_to_two_raw_commits_of_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second run the disk was ten times slower for both: the ratio does not move. Peers do not count here."""
    played = Played(
        monkeypatch, outlast_flows=[(1.0, 0.5), (1.0, 5.0)], raw=[(0.0, 0.25)], dbos_flows=[(1.0, 99.0)]
    )  # fmt: skip
    contest = FlowContest()
    contest.take_turns(RAW, [], room("folder"))
    played.commit = 2.5
    contest.take_turns(DBOS_POSTGRES, [], room("folder"))
    row = contest.step()
    assert (row.value, row.verdict) == (2.0, "met")
    assert row.sides[0].values == [0.25, 2.5]
    assert row.sides[-1].values == [99.0] * 3


def test_without_peers_a_short_run_says_what_ours_alone_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed for it, and no verdict is made up."""
    Played(monkeypatch, outlast_flows=[(1000.0, 0.5)], raw=[(0.0, 0.25)])
    rows = list(bench_flows.flows(short=True))
    assert [(row.name, row.value, row.verdict) for row in rows] == [
        ("flows.many", 1000.0, ""), ("flows.step", 2.0, "met"),
    ]  # fmt: skip


def test_a_copied_flow_is_another_one_that_is_due_later() -> None:
    """A hundred thousand flows due in the same second, or all of one id, would measure something else."""
    flow = ("f1", "sleeping", 100.0)
    made = bench_flow_gateway._copy(flow, {"id": 0, "ready_at": 2}, "id", "f0000007", 7)
    assert made == ["f0000007", "sleeping", 107.0]
    line = (12, "f1", "create")
    assert bench_flow_gateway._copy(line, {"flow_id": 1, "id": 0}, "flow_id", "f7", 7) == [None, "f7", "create"]
    waits = ("f2", None)
    assert bench_flow_gateway._copy(waits, {"id": 0, "ready_at": 1}, "id", "f9", 9) == ["f9", None]
