"""How flows of many steps are timed and counted, with played clocks: no peer is installed."""

from __future__ import annotations

import pytest
from peers import common, flows


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
