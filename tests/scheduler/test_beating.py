"""Heartbeats at work: each beat once, whoever else is there, and a line on record for each."""

from __future__ import annotations

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest
from api_fakes import asynchronous
from beat_house import MAIN, SINCE, beat_house

from outlast.core.agent_end import TurnEnd
from outlast.core.conversation import Mode
from outlast.core.errors import BadInput
from outlast.core.session import Cause, Status
from outlast.core.task import Runtime

Address = tuple[str, str]
HALF = 1800.0
HOUR = 3600.0


# ---- the interval


@pytest.mark.parametrize("nodes", [1, 2])
@asynchronous
async def test_a_beat_comes_every_half_hour_once_however_many_gateways_there_are(
    address: Address, tmp_path: Path, nodes: int
) -> None:
    async with beat_house(address, tmp_path, nodes) as house:
        for _ in range(4):
            await house.go(HALF + 0.1)
        times = [at for at, _ in house.asked]
        assert times == pytest.approx([HALF, 2 * HALF, 3 * HALF, 4 * HALF], abs=1)
        assert [outcome for _, outcome in await house.outcomes()] == ["silent"] * 4
        assert all(beat.why == "interval" and beat.ended_at for beat in await house.beats())


@asynchronous
async def test_the_message_holds_the_time_the_reason_and_the_checklist(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, tz="Europe/Berlin") as house:
        await house.go(HALF + 1)
        [(_, message)] = house.asked
        assert "2027-01-15 09:30 +0100" in message
        assert "because of: interval" in message
        assert message.endswith("HEARTBEAT.md:\n- look at the mail")


@pytest.mark.parametrize("checklist", [None, "", "# Mine\n<!-- nothing -->\n- [ ]\n"])
@asynchronous
async def test_with_nothing_on_the_checklist_and_nothing_pending_the_agent_is_not_asked(
    file: Address, tmp_path: Path, checklist: str | None
) -> None:
    async with beat_house(file, tmp_path) as house:
        house.checklist(checklist)
        await house.go(2 * HALF + 1)
        assert house.asked == []
        nothing = "HEARTBEAT.md has nothing to do in it and nothing is pending"
        assert [(why, outcome, reason) for _, why, outcome, reason in await house.history()] == [
            ("interval", "skipped", nothing), ("interval", "skipped", nothing),
        ]  # fmt: skip


@asynchronous
async def test_a_checklist_that_is_a_pipe_or_a_folder_holds_nobody_up(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        house.checklist(None)
        os.mkfifo(tmp_path / "HEARTBEAT.md")
        await house.go(HALF)
        (tmp_path / "HEARTBEAT.md").unlink()
        (tmp_path / "HEARTBEAT.md").mkdir()
        await house.go(HALF)
        assert [outcome for _, outcome in await house.outcomes()] == ["skipped", "skipped"]


@asynchronous
async def test_what_passed_while_no_gateway_ran_is_one_beat(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.beating[0].stop()
        await house.clock.advance(3 * 24 * HOUR)
        house.make().start()
        await house.go(1)
        assert [at for at, _ in house.asked] == pytest.approx([3 * 24 * HOUR], abs=1)
        assert (await house.state()).next_at == pytest.approx(SINCE + 3 * 24 * HOUR + HALF, abs=1)


@asynchronous
async def test_an_interval_that_was_made_shorter_holds_at_once(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, every_seconds=24 * HOUR) as house:
        await house.beating[0].stop()
        async with beat_house(file, tmp_path, every_seconds=60) as again:
            await again.go(61)
            assert len(again.asked) == 1


@asynchronous
async def test_outside_of_its_hours_there_is_no_beat_and_the_first_is_in_the_morning(
    file: Address, tmp_path: Path
) -> None:
    """It begins at 08:00; at 08:20 the hours end, and events wait through the night with the rest."""
    async with beat_house(file, tmp_path, active_from="23:00", active_until="08:20", every_seconds=600) as house:
        await house.go(15 * HOUR - 1)
        await house.tell()
        assert [at for at, _ in house.asked] == pytest.approx([600.0], abs=1)
        await house.go(2)
        assert [at for at, _ in house.asked] == pytest.approx([600.0, 15 * HOUR], abs=1)
        assert await house.waiting() == 0


@asynchronous
async def test_a_zone_that_is_none_stops_that_heartbeat_only(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, tz="Europe/Nowhere") as house:
        await house.go(HALF + 1)
        assert house.asked == []
        assert not await house.beating[0].takes(MAIN)
        with pytest.raises(BadInput):
            await house.beating[0].run(house.agents["main"], "local")


# ---- news


@asynchronous
async def test_a_completion_brings_a_beat_when_it_has_been_gathered(address: Address, tmp_path: Path) -> None:
    async with beat_house(address, tmp_path) as house:
        await house.go(60)
        await house.tell()
        await house.go(1.9)
        assert house.asked == []
        await house.go(0.2)
        assert [beat.why for beat in await house.beats()] == ["events: 1 succeeded"]
        assert len(house.told) == 1
        assert await house.waiting() == 0


@asynchronous
async def test_an_event_for_the_next_heartbeat_waits_for_it(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        house.checklist(None)
        await house.tell(mode=Mode.NEXT_HEARTBEAT)
        await house.go(HALF - 10)
        assert house.asked == []
        await house.go(20)
        assert [beat.why for beat in await house.beats()] == ["interval; events: 1 succeeded"]


@asynchronous
async def test_a_burst_of_five_hundred_is_a_few_turns_in_which_all_is_told(address: Address, tmp_path: Path) -> None:
    """Ten a second for 50 seconds, then a trickle: all are told, and no kind takes more than its share of the hour."""
    async with beat_house(address, tmp_path) as house:
        await house.go(60)
        for _ in range(50):
            await house.tell(10)
            await house.go(1)
        await house.go(HOUR)
        assert len(house.told) == 500
        assert await house.waiting() == 0
        by_news = [beat for beat in await house.beats() if beat.why.startswith("events: ")]
        assert 1 <= len(by_news) <= 2
        assert "500" in "".join(beat.why for beat in await house.beats())


@asynchronous
async def test_news_that_never_ends_takes_the_turns_that_are_allowed_and_no_more(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, every_seconds=24 * HOUR, turns_max_per_hour=6) as house:
        for _ in range(60):
            await house.tell(8)
            await house.go(60)
        beats = await house.beats()
        assert len(beats) == 3  # half of six: one kind of news leaves the rest of the hour to others
        assert min(b.at - a.at for a, b in pairwise(beats)) >= 30
        await house.tell(kind="failed")
        await house.go(HOUR)
        assert "failed" in " ".join(beat.why for beat in await house.beats())
        assert await house.waiting() == 0


@asynchronous
async def test_what_gathers_is_not_looked_at_with_each_event(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.tell()
        await house.go(0.1)
        before = house.store.calls["system_events"]
        for _ in range(100):
            await house.tell()
            await house.settle()
        assert house.store.calls["system_events"] == before


# ---- busy


@asynchronous
async def test_a_busy_conversation_is_left_alone_until_its_turn_has_ended(address: Address, tmp_path: Path) -> None:
    async with beat_house(address, tmp_path) as house:
        task = await house.turn()
        await house.go(HALF + 600)
        assert house.asked == []
        [(_, why, outcome, reason)] = await house.history()
        assert (why, outcome) == ("interval", "skipped")
        assert reason == f"busy: task {task.id} has its turn; again when it is free"
        await house.end(task)
        await house.go(0.1)
        assert [at for at, _ in house.asked] == pytest.approx([HALF + 600], abs=1)


@asynchronous
async def test_a_command_that_runs_for_the_agent_is_no_turn_of_it(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.turn(runtime=Runtime.CLI)
        await house.go(HALF + 1)
        assert len(house.asked) == 1


@asynchronous
async def test_no_beat_begins_while_another_runs(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, every_seconds=60) as house:
        house.gate.clear()
        await house.go(600)
        assert len(house.asked) == 1
        line = await house.beating[0].run(house.agents["main"], "local")
        assert line.outcome == "skipped"
        assert line.reason.startswith("busy: beat ")
        house.gate.set()
        await house.go(0.1)
        assert len(house.asked) == 2


# ---- what becomes of the answer


@asynchronous
async def test_an_answer_is_told_to_whoever_asked_for_the_last_turn_and_once_a_day(
    address: Address, tmp_path: Path
) -> None:
    async with beat_house(address, tmp_path, every_seconds=HOUR) as house:
        await house.end(await house.turn(requester="agent:boss:main"))
        house.answer = "The disk is full."
        await house.go(HOUR + 1)
        house.answer = "HEARTBEAT_OK"
        await house.go(HOUR)
        house.answer = "The disk is full."
        await house.go(10 * HOUR)
        assert await house.notices() == [("agent:boss:main", "The disk is full.")]
        assert (await house.history())[2][2:] == ("silent", "the same was told within the last 24 hours")
        await house.go(14 * HOUR)
        assert await house.notices() == [("agent:boss:main", "The disk is full.")] * 2


@asynchronous
async def test_where_nobody_has_asked_for_a_turn_the_operator_is_told(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.turn(requester=MAIN, runtime=Runtime.CLI)
        house.answer = "The disk is full."
        await house.go(HALF + 1)
        assert await house.notices() == [("local", "The disk is full.")]
        [beat] = await house.beats()
        assert (beat.outcome, beat.reason, beat.text) == ("told", "told local", "The disk is full.")
        assert (await house.state()).last_text_at == pytest.approx(SINCE + HALF, abs=1)
        assert await house.store.inner.check() == []
        await house.store.inner.prune_beats(SINCE + HOUR)
        assert await house.notices() == []


@asynchronous
async def test_the_secret_of_a_channel_does_not_stand_in_the_history(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.end(await house.turn(channel="webhook:https://x/?token=secret"))
        house.answer = "The disk is full."
        await house.go(HALF + 1)
        assert (await house.beats())[-1].reason == "told webhook"


@asynchronous
async def test_a_beat_that_fails_says_how_and_its_news_is_told_with_a_later_one(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        house.answer = TurnEnd(status=Status.FAILED, cause=Cause.ERROR, at=None, error="no such model")
        await house.tell()
        await house.go(2.1)
        assert [beat.reason for beat in await house.beats()] == ["no such model"]
        await house.go(57)
        assert len(house.asked) == 1
        house.answer = "HEARTBEAT_OK"
        await house.go(4)
        assert [beat.outcome for beat in await house.beats()] == ["failed", "silent"]
        assert await house.waiting() == 0


@asynchronous
async def test_a_beat_that_cannot_begin_says_why(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        house.refusing = BadInput("the folder is gone")
        await house.go(HALF + 1)
        [beat] = await house.beats()
        assert (beat.outcome, beat.reason) == ("failed", "the folder is gone")
        house.refusing = None
        await house.go(HALF)
        assert [outcome for _, outcome in await house.outcomes()] == ["failed", "silent"]


# ---- restarts


@asynchronous
async def test_a_beat_under_way_is_taken_up_by_the_next_gateway_and_told_once(address: Address, tmp_path: Path) -> None:
    async with beat_house(address, tmp_path) as house:
        house.gate.clear()
        house.answer = "The disk is full."
        await house.go(HALF + 1)
        await house.beating[0].stop()
        house.make().start()
        await house.go(120)
        house.gate.set()
        await house.go(0.1)
        assert len(house.asked) == 1
        assert [beat.outcome for beat in await house.beats()] == ["told"]
        assert len(await house.notices()) == 1


@asynchronous
async def test_a_beat_that_never_began_is_failed_by_the_next_gateway(file: Address, tmp_path: Path) -> None:
    """It was put on record, and then the gateway was killed."""
    async with beat_house(file, tmp_path) as house:
        house.store.after["take_beat"] = asyncio.Event()
        await house.go(HALF + 1)
        await house.beating[0].stop()
        del house.store.after["take_beat"]
        house.make().start()
        await house.go(0.1)
        [beat] = await house.beats()
        assert beat.outcome == "failed"
        assert "it never began" in beat.reason
        await house.go(HALF)
        assert [outcome for _, outcome in await house.outcomes()] == ["failed", "silent"]


@asynchronous
async def test_the_beat_of_a_gateway_that_died_is_given_up_when_its_lease_is_over(
    address: Address, tmp_path: Path
) -> None:
    """Of another gateway nobody knows more than what is on record."""
    async with beat_house(address, tmp_path, 2) as house:
        house.stores[0].after["take_beat"] = asyncio.Event()
        house.stores[1].gates["take_beat"] = asyncio.Event()
        await house.go(HALF + 0.5)
        await house.beating[0].stop()
        house.stores[1].gates.pop("take_beat").set()
        await house.go(50)
        assert [outcome for _, outcome in await house.outcomes()] == ["ran"]
        await house.go(10)
        [beat] = await house.beats()
        assert (beat.outcome, beat.reason) == ("failed", "begun on node n0, which is not heard of any more")
        await house.go(HALF)
        assert [outcome for _, outcome in await house.outcomes()] == ["failed", "silent"]


@asynchronous
async def test_a_beat_whose_gateway_lives_is_left_to_it_however_long_it_takes(address: Address, tmp_path: Path) -> None:
    """Its lease is renewed, also by the gateway that has taken it up after a restart of its own."""
    async with beat_house(address, tmp_path, 2) as house:
        house.stores[1].gates["take_beat"] = asyncio.Event()
        house.gate.clear()
        house.answer = "The disk is full."
        await house.go(HALF + 1)
        house.stores[1].gates.pop("take_beat").set()
        await house.go(300)
        await house.beating[0].stop()
        house.make(0).start()
        await house.go(300)
        assert [outcome for _, outcome in await house.outcomes()] == ["ran"]
        house.gate.set()
        await house.go(0.1)
        assert ([beat.outcome for beat in await house.beats()], len(house.asked)) == (["told"], 1)


@asynchronous
async def test_a_turn_that_begins_elsewhere_in_the_moment_of_a_beat_is_before_it(
    address: Address, tmp_path: Path
) -> None:
    """The heartbeat has looked and found the conversation free; when the turn has ended it looks again."""
    async with beat_house(address, tmp_path) as house:
        house.store.gates["take_beat"] = asyncio.Event()
        await house.go(HALF + 1)
        task = await house.turn()
        house.store.gates.pop("take_beat").set()
        await house.go(0.1)
        assert house.asked == []
        assert "busy" in (await house.beats())[0].reason
        await house.end(task)
        await house.go(0.1)
        assert len(house.asked) == 1


# ---- what is asked of them


@asynchronous
async def test_paused_is_no_beat_whatever_comes_and_resumed_is_one_at_its_time(
    address: Address, tmp_path: Path
) -> None:
    async with beat_house(address, tmp_path, 2) as house:
        await house.beating[0].pause(house.agents["main"])
        await house.tell()
        await house.go(3 * HALF)
        assert house.asked == []
        assert not await house.beating[1].takes(MAIN)
        state = await house.beating[0].resume(house.agents["main"])
        assert state.paused_at is None
        await house.go(1)
        assert len(house.asked) == 1
        assert await house.beating[1].takes(MAIN)


@asynchronous
async def test_pause_holds_through_a_restart(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        await house.beating[0].pause(house.agents["main"])
        await house.beating[0].stop()
        house.make().start()
        await house.go(3 * HALF)
        assert house.asked == []


@asynchronous
async def test_a_beat_by_hand_is_one_of_the_hour_and_moves_the_next(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path, active_from="10:00", active_until="11:00") as house:
        agent = house.agents["main"]
        house.checklist(None)
        beat = await house.beating[0].run(agent, "local")
        assert (beat.why, beat.outcome) == ("asked by local", "ran")
        await house.beating[0].ended(beat.id)
        again = await house.beating[0].run(agent, "local")
        assert (again.outcome, again.why) == ("skipped", "asked by local")
        assert again.reason == "one after the other: at least 30 s from beat to beat"
        assert len(house.asked) == 1
        assert (await house.state()).next_at == pytest.approx(SINCE + 2 * HOUR, abs=0.01)


@asynchronous
async def test_a_conversation_of_nobody_with_a_heartbeat_is_left_to_its_wakes(file: Address, tmp_path: Path) -> None:
    async with beat_house(file, tmp_path) as house:
        assert await house.beating[0].takes(MAIN)
        assert not await house.beating[0].takes("agent:main:other")
        assert not await house.beating[0].takes("agent:other:main")
