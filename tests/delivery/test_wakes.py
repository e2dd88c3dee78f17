"""Wakes: the first of a burst at once, the rest together, nobody too often, nothing lost when one fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from api_fakes import asynchronous
from telling_house import A, B, failed, open_house

from outlast.core.conversation import EVENTS_MAX, FOLDED, Mode
from outlast.delivery import wake as wakes
from outlast.delivery.backoff import ATTEMPTS_MAX, FIRST_SECONDS, LONGEST_SECONDS
from outlast.store.base_told import WAKE_WINDOW_SECONDS
from watched_store import trouble


@pytest.fixture(autouse=True)
def luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """No luck: no retry comes a moment early."""
    monkeypatch.setattr("random.random", lambda: 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@asynchronous
async def test_an_end_wakes_who_asked_for_the_work(path: Path) -> None:
    """The whole way: a task ends, its notice goes into the queue, the queue's wake goes out, the queue is empty."""
    async with open_house(path) as house:
        await house.wake()
        task = await house.ends()
        await house.go()
        [message] = house.channels["wake"].sent
        assert (message.kind, message.conversation) == ("conversation.events", A)
        assert task.id in message.text
        assert await house.waiting() == []


@asynchronous
async def test_the_first_of_a_burst_goes_at_once_and_the_rest_together(path: Path) -> None:
    """A hundred tasks that end together are two nudges, not a hundred turns of an agent."""
    async with open_house(path) as house:
        await house.wake()
        await house.says("first")
        await house.go(0.02)
        channel = house.channels["wake"]
        assert [message.text for message in channel.sent] == ["first"]
        for number in range(100):
            await house.says(f"later {number}")
        await house.go(WAKE_WINDOW_SECONDS - 0.03)
        assert len(channel.sent) == 1
        await house.go(0.05)
        assert len(channel.sent) == 2
        assert channel.sent[1].text.startswith("100 notices")
        assert len(channel.sent[1].data["eventIds"]) == 100
        assert await house.waiting() == []


@asynchronous
async def test_a_first_event_after_quiet_waits_for_no_window(path: Path) -> None:
    """The window is for bursts: what comes alone is told at once, every time."""
    async with open_house(path) as house:
        await house.wake()
        for _ in range(3):
            await house.says()
            await house.go(0.01)
            await house.go(1)
        assert house.channels["wake"].at == pytest.approx([0.0, 1.01, 2.02], abs=0.005)


@asynchronous
async def test_what_comes_while_a_wake_is_on_its_way_is_told_after_it(path: Path) -> None:
    """A turn of an agent takes minutes: what ends meanwhile is neither lost nor a second turn beside the first."""
    async with open_house(path) as house:
        await house.wake()
        channel = house.channels["wake"]
        channel.gate.clear()
        await house.says("one")
        await house.go()
        for text in ("two", "three"):
            await house.says(text)
            await house.go(5)
        assert (len(channel.sent), channel.most) == (1, 1)
        channel.gate.set()
        await house.go(WAKE_WINDOW_SECONDS + 0.05)
        assert len(channel.sent) == 2
        assert "two" in channel.sent[1].text
        assert "three" in channel.sent[1].text
        assert channel.most == 1
        assert await house.waiting() == []


@asynchronous
async def test_a_slow_wake_holds_up_no_other(path: Path) -> None:
    """One agent's long turn must not keep another from hearing, neither at once nor at the end of the window."""
    async with open_house(path) as house:
        await house.wake("slow", A)
        await house.wake("quick", B)
        house.channels["slow"].gate.clear()
        await house.says(conversation=A)
        await house.go()
        for _ in range(2):
            await house.says(conversation=B)
            await house.go(0.01)
        await house.go(WAKE_WINDOW_SECONDS)
        assert len(house.channels["quick"].sent) == 2, "the window of the quick one was hidden by the slow one"


@asynchronous
async def test_nobody_is_nudged_too_often_and_nothing_is_lost_by_it(path: Path) -> None:
    """A stream of events is told in ten nudges a minute, however fast it flows."""
    async with open_house(path) as house:
        await house.wake()
        for number in range(60):
            await house.says(f"event {number}")
            await house.go(0.5)
        channel = house.channels["wake"]
        assert len(channel.sent) == wakes.RATE_MAX
        await house.go(wakes.RATE_SECONDS)
        assert await house.waiting() == []
        told = [event for message in channel.sent for event in message.data["eventIds"]]
        assert len(told) == len(set(told)) == 60
        for start in channel.at:
            window = [at for at in channel.at if start <= at < start + wakes.RATE_SECONDS - 0.01]
            assert len(window) <= wakes.RATE_MAX


@asynchronous
async def test_a_wake_that_fails_leaves_the_events_and_tries_again(path: Path) -> None:
    """A webhook that is down for a while must not cost a single event."""
    async with open_house(path) as house:
        wake_id = await house.wake()
        channel = house.channels["wake"]
        channel.script = [failed("it said 500")]
        await house.says("one")
        await house.go()
        assert await house.waiting() == ["one"]
        assert (await house.store.get_wake(wake_id)).error == "it said 500"
        await house.go(FIRST_SECONDS)
        assert len(channel.sent) == 2
        assert len(set(channel.ids)) == 1
        assert await house.waiting() == []


@asynchronous
async def test_a_wake_that_fails_too_often_is_parked_and_its_events_stay(path: Path) -> None:
    """Given up is the way, not the news: whoever reads the queue finds all of it."""
    async with open_house(path) as house:
        await house.wake()
        house.channels["wake"].always = failed("it is dead")
        await house.says("one")
        for _ in range(ATTEMPTS_MAX):
            await house.go(LONGEST_SECONDS + 1)
        assert len(house.channels["wake"].sent) == ATTEMPTS_MAX
        [parked] = await house.store.parked_wakes(10)
        assert parked.error == "it is dead"
        await house.says("two")
        await house.go(LONGEST_SECONDS)
        assert len(house.channels["wake"].sent) == ATTEMPTS_MAX
        assert await house.waiting() == ["one", "two"]
        house.channels["wake"].always = None
        await house.store.revive_wake(parked.id, house.clock.now())
        await house.go()
        assert await house.waiting() == []


@pytest.mark.parametrize("how", ["gone", "refused"])
def test_a_wake_that_can_never_work_is_parked_at_once(path: Path, how: str) -> None:
    """410, or a channel that cannot be opened: no second try."""

    @asynchronous
    async def run() -> None:
        async with open_house(path) as house:
            await house.wake()
            if how == "gone":
                house.channels["wake"].always = failed("gone", retryable=False, gone=True)
            else:
                house.refused["wake"] = "no usable secret"
            await house.says()
            await house.go(3600)
            assert len(await house.store.parked_wakes(10)) == 1
            assert len(house.channels["wake"].sent) == (how == "gone")

    run()


@asynchronous
async def test_what_was_read_meanwhile_wakes_nobody(path: Path) -> None:
    """A reader who was there first has heard it: an agent must not be woken with nothing to say."""
    async with open_house(path, started=False) as house:
        wake_id = await house.wake()
        await house.says()
        await house.store.ack_events(A, 2**40, house.clock.now())
        house.wakes.start()
        await house.go()
        assert house.channels["wake"].sent == []
        assert (await house.store.get_wake(wake_id)).due_at is None


@asynchronous
async def test_an_event_for_the_next_turn_wakes_nobody_and_goes_along(path: Path) -> None:
    """``next-heartbeat`` waits; with the next wake it is told."""
    async with open_house(path) as house:
        await house.wake()
        await house.says("later", mode=Mode.NEXT_HEARTBEAT)
        await house.go(3600)
        assert house.channels["wake"].sent == []
        await house.says("now")
        await house.go()
        [message] = house.channels["wake"].sent
        assert "later" in message.text
        assert "now" in message.text


@asynchronous
async def test_more_than_one_wake_can_tell_go_out_in_several(path: Path) -> None:
    """A queue longer than one message is told to its end, in order."""
    async with open_house(path, started=False) as house:
        await house.wake()
        for number in range(2 * wakes.TOLD_MAX + 1):
            await house.says(f"event {number}")
        house.wakes.start()
        await house.go(5)
        told = [event for message in house.channels["wake"].sent for event in message.data["eventIds"]]
        assert len(told) == 2 * wakes.TOLD_MAX + 1
        assert told == sorted(told)
        assert await house.waiting() == []


@asynchronous
async def test_a_queue_that_was_folded_says_so_to_who_is_woken(path: Path) -> None:
    """What had to be summed up is told as a sum, not passed over."""
    async with open_house(path, started=False) as house:
        await house.wake()
        for number in range(EVENTS_MAX + 1):
            await house.says(f"event {number}")
        house.wakes.start()
        await house.go(5)
        first = house.channels["wake"].sent[0]
        assert FOLDED in first.text
        assert first.data["events"]


@asynchronous
async def test_a_crash_between_sending_and_recording_wakes_again_under_the_same_id(path: Path) -> None:
    """The agent may be woken twice then, but can tell that it is the same nudge."""
    async with open_house(path) as house:
        await house.wake()
        house.store.gates["settle_wake"] = asyncio.Event()
        await house.says()
        await house.go()
        before = house.channels["wake"].ids
        await house.stop()
    async with open_house(path) as house:
        await house.go()
        assert house.channels["wake"].ids == before
        assert await house.waiting() == []


@asynchronous
async def test_a_stop_in_mid_wake_lets_go_and_the_next_gateway_wakes(path: Path) -> None:
    """Nothing is waited for at a stop, and nothing forgotten."""
    async with open_house(path) as house:
        await house.wake()
        house.channels["wake"].gate.clear()
        await house.says()
        await house.go()
        await house.stop()
        assert house.channels["wake"].cancelled == 1
    async with open_house(path) as house:
        await house.go()
        assert len(house.channels["wake"].sent) == 1


@asynchronous
async def test_a_store_that_takes_nothing_wakes_nobody_twice(path: Path) -> None:
    """A full disk must not start an agent again and again."""
    async with open_house(path) as house:
        await house.wake()
        house.store.failing["settle_wake"] = trouble("store_full")
        await house.says()
        await house.go(300)
        assert len(house.channels["wake"].sent) == 1
        house.store.failing.clear()
        await house.go(60)
        assert await house.waiting() == []
        assert len(house.channels["wake"].sent) == 1


@asynchronous
async def test_a_question_that_fails_is_asked_again_after_a_pause(path: Path) -> None:
    """Trouble while a wake is made up must not become a tight loop."""
    async with open_house(path) as house:
        await house.wake()
        house.store.failing["system_events"] = trouble()
        await house.says()
        await house.go(60)
        assert house.store.calls["system_events"] <= 14
        assert house.channels["wake"].sent == []
        house.store.failing.clear()
        await house.go(6)
        assert len(house.channels["wake"].sent) == 1


@asynchronous
async def test_a_fault_of_ours_counts_as_a_failure(path: Path) -> None:
    """A channel that breaks in an unforeseen way is tried with pauses, and given up in the end."""
    async with open_house(path) as house:
        await house.wake()
        house.channels["wake"].always = RuntimeError("never thought of")
        await house.says()
        await house.go(1)
        assert len(house.channels["wake"].sent) == 1
        for _ in range(ATTEMPTS_MAX):
            await house.go(LONGEST_SECONDS + 1)
        [parked] = await house.store.parked_wakes(10)
        assert "never thought of" in parked.error


@asynchronous
async def test_a_wake_that_is_removed_on_its_way_leaves_the_events(path: Path) -> None:
    """Nobody can say whether it was heard by the one who asked to be woken no more."""
    async with open_house(path) as house:
        wake_id = await house.wake()
        house.channels["wake"].gate.clear()
        await house.says("one")
        await house.go()
        await house.store.remove_wake(wake_id)
        house.channels["wake"].gate.set()
        await house.go()
        assert await house.waiting() == ["one"]


@asynchronous
async def test_idle_wakes_ask_nothing_and_neither_do_those_on_their_way(path: Path) -> None:
    """No ticking, not even while a turn of an hour goes on."""
    async with open_house(path) as house:
        await house.wake()
        house.channels["wake"].gate.clear()
        await house.says()
        await house.go()
        house.store.calls.clear()
        await house.go(500)
        assert sum(house.store.calls.values()) == 0
        house.channels["wake"].gate.set()
        await house.go(5)
        house.store.calls.clear()
        await house.go(500)
        assert sum(house.store.calls.values()) <= 2  # the net that is under every loop


@asynchronous
async def test_each_wake_of_a_conversation_tells_everything_though_another_was_quicker(path: Path) -> None:
    """An event counts as consumed when all of them have told it; one that failed once has not lost it."""
    async with open_house(path) as house:
        await house.wake("quick")
        await house.wake("slow")
        house.channels["slow"].script = [failed()]
        await house.says("one")
        await house.go()
        assert [message.text for message in house.channels["quick"].sent] == ["one"]
        assert await house.waiting() == ["one"]
        await house.go(60)
        assert [message.text for message in house.channels["slow"].sent] == ["one", "one"]
        assert len(house.channels["quick"].sent) == 1
        assert await house.waiting() == []


@asynchronous
async def test_a_wake_that_was_given_up_holds_nothing_back(path: Path) -> None:
    async with open_house(path) as house:
        await house.wake("quick")
        await house.wake("gone")
        house.channels["gone"].always = failed("410", retryable=False, gone=True)
        await house.says("one")
        await house.go()
        assert await house.waiting() == []
        await house.says("two")
        await house.go(1)
        assert [message.text for message in house.channels["quick"].sent] == ["one", "two"]
        assert await house.waiting() == []


@asynchronous
async def test_what_a_heartbeat_tells_no_wake_tells_and_no_wake_stays_due(path: Path) -> None:
    """It is left to the heartbeat; once that has told it, the wake is done, and it is one's own again when it ends."""
    async with open_house(path) as house:
        wake_id = await house.wake()
        house.merged.add(A)
        await house.says("first")
        await house.go(10 * wakes.MERGED_SECONDS)
        assert house.channels["wake"].sent == []
        assert await house.waiting() == ["first"]
        await house.store.inner.ack_events(A, 2**40, house.clock.now())
        await house.go(2 * wakes.MERGED_SECONDS)
        assert (await house.store.inner.get_wake(wake_id)).due_at is None
        await house.says("second")
        await house.go(1)
        house.merged.clear()
        await house.go(2 * wakes.MERGED_SECONDS)
        assert [message.text for message in house.channels["wake"].sent] == ["second"]
