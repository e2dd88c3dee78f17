"""The benchmark of agents' turns, run for real in its short form."""

from __future__ import annotations

import pytest
from bench_agents import agents


@pytest.mark.timeout(900)  # it takes a minute where others keep the cores busy, and what it waits for has limits
def test_turns_are_timed_and_weighed_beside_the_agent_by_hand() -> None:
    rows = {row.name: row for row in agents(True)}
    names = {f"agents.{what}{kind}" for what in ("time", "memory") for kind in ("", "_acp", "_model")}
    assert set(rows) == names | {"agents.together", "agents.commands", "agents.terminal_memory"}
    assert rows["agents.terminal_memory"].value > 0.5, "a Python holds more than that"
    turn, runner, hand = rows["agents.time"].sides
    assert all(len(side.values) >= 2 for side in (turn, runner, hand))
    assert min(turn.p50, runner.p50, hand.p50) > 0  # which is how long depends on what else the machine does
    assert rows["agents.memory"].value > 1 and rows["agents.memory"].verdict in ("met", "missed")
