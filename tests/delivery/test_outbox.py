"""The outbox: every notice arrives, in the order of its target, whoever is slow, dead, wrong or out of reach."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from api_fakes import asynchronous
from telling_house import A, B, House, about, failed, open_house

from outlast.core.task import Delivery
from outlast.delivery import outbox
from outlast.delivery.backoff import ATTEMPTS_MAX, FIRST_SECONDS, LONGEST_SECONDS
from watched_store import trouble

HOOK, OTHER = "webhook:https://hook.test/", "webhook:https://other.test/"


@pytest.fixture(autouse=True)
def luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """No luck: no retry comes a moment early."""
    monkeypatch.setattr("random.random", lambda: 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@asynchronous
async def test_a_channel_hears_in_the_order_of_the_ends(path: Path) -> None:
    """A receiver that hears "deployed" before "built" draws the wrong conclusion."""
    async with open_house(path) as house:
        tasks = [(await house.ends(HOOK)).id for _ in range(50)]
        await house.go()
        assert about(house.channels[HOOK]) == tasks
        assert house.channels[HOOK].most == 1
        assert await house.states() == ["delivered"] * 50
        task = await house.store.get_task(tasks[0])
        assert task.delivery is Delivery.DELIVERED


@asynchronous
async def test_what_failed_is_tried_again_before_its_successors(path: Path) -> None:
    """A younger notice that overtakes an older one would be the end of the order."""
    async with open_house(path) as house:
        channel = house.channels[HOOK]
        channel.script = [failed(), failed(), None]
        first, second = await house.ends(HOOK), await house.ends(HOOK)
        await house.go(60)
        assert about(channel) == [first.id] * 3 + [second.id]
        assert len(set(channel.ids)) == 2, "a second sending carries the same id"


@asynchronous
async def test_the_pauses_double_up_to_an_hour(path: Path) -> None:
    """A receiver that is down must not be hammered, nor be forgotten for a day."""
    async with open_house(path) as house:
        house.channels[HOOK].always = failed()
        await house.ends(HOOK)
        await house.go(0.001)
        for _ in range(ATTEMPTS_MAX):
            await house.go(LONGEST_SECONDS + 1)
        at = house.channels[HOOK].at
        pauses = [round(later - earlier) for earlier, later in itertools.pairwise(at)]
        assert pauses == [min(FIRST_SECONDS * 2**n, LONGEST_SECONDS) for n in range(ATTEMPTS_MAX - 1)]


@asynchronous
async def test_who_fails_together_does_not_come_back_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that comes back must not be met by everybody in the same instant."""
    lucks = iter((0.0, 0.5, 1.0))
    monkeypatch.setattr("random.random", lambda: next(lucks))
    targets = [f"webhook:https://h{number}.test/" for number in range(3)]
    async with open_house(path) as house:
        for target in targets:
            house.channels[target].script = [failed()]
            await house.ends(target)
        await house.go(5)
        again = sorted(round(house.channels[target].at[1] - house.channels[target].at[0], 2) for target in targets)
        assert again == pytest.approx([1.5, 1.75, 2.0], abs=0.01)


@asynchronous
async def test_the_receiver_may_name_the_pause(path: Path) -> None:
    """Retry-After is a request; one of a year is not."""
    async with open_house(path) as house:
        house.channels[HOOK].script = [failed(retry_after=100.0), failed(retry_after=1e9)]
        await house.ends(HOOK)
        await house.go(LONGEST_SECONDS + 200)
        assert house.channels[HOOK].at == pytest.approx([0.0, 100.0, 3700.0], abs=0.1)


@asynchronous
async def test_after_enough_attempts_a_notice_is_parked_and_the_next_one_goes(path: Path) -> None:
    """A dead letter must not block those behind it for ever, nor vanish."""
    async with open_house(path) as house:
        channel = house.channels[HOOK]
        channel.script = [failed("it said 500")] * ATTEMPTS_MAX
        dead, alive = await house.ends(HOOK), await house.ends(HOOK)
        for _ in range(ATTEMPTS_MAX):
            await house.go(LONGEST_SECONDS + 1)
        assert about(channel) == [dead.id] * ATTEMPTS_MAX + [alive.id]
        assert await house.states() == ["parked", "delivered"]
        assert [task.id for task in await house.store.delivery_failed(10)] == [dead.id]
        [notice] = await house.store.list_notices("parked", None, 10)
        assert notice.error == "it said 500"
        assert await house.store.revive_notice(notice.id, house.clock.now())
        await house.go()
        assert about(channel)[-1] == dead.id
        assert await house.states() == ["delivered", "delivered"]


@pytest.mark.parametrize("how", [{"retryable": False}, {"retryable": False, "gone": True}])
def test_what_can_never_be_delivered_is_parked_at_once(path: Path, how: dict[str, bool]) -> None:
    """400 and 410 are final: to repeat the same request is only a nuisance."""

    @asynchronous
    async def run() -> None:
        async with open_house(path) as house:
            house.channels[HOOK].script = [failed("it said no", **how)]
            await house.ends(HOOK)
            await house.ends(HOOK)
            await house.go()
            assert await house.states() == ["parked", "delivered"]
            assert len(house.channels[HOOK].sent) == 2

    run()


@asynchronous
async def test_a_target_that_is_no_use_is_parked_with_all_that_waits_for_it(path: Path) -> None:
    """A channel that cannot be opened (any more) parks each of its notices, and holds up nobody."""
    async with open_house(path) as house:
        house.refused[HOOK] = "no usable secret"
        for _ in range(3):
            await house.ends(HOOK)
        await house.ends(OTHER)
        await house.go()
        assert await house.states() == ["parked"] * 3 + ["delivered"]
        [*_, notice] = await house.store.list_notices("parked", None, 10)
        assert notice.error == "no usable secret"


@asynchronous
async def test_a_slow_target_holds_up_nobody_else(path: Path) -> None:
    """One receiver that takes ten minutes must not make everybody else's retries wait for it."""
    async with open_house(path) as house:
        house.channels[HOOK].gate.clear()
        await house.ends(HOOK)
        await house.go()
        house.channels[OTHER].script = [failed()]
        await house.ends(OTHER)
        await house.go()
        assert len(house.channels[OTHER].sent) == 1
        await house.go(FIRST_SECONDS + 0.1)
        assert len(house.channels[OTHER].sent) == 2, "its second try waited for the slow one"
        await house.ends(requester=B)
        await house.go()
        assert len(await house.waiting(B)) == 1
        house.channels[HOOK].gate.set()
        await house.go()
        assert await house.states() == ["delivered"] * 3


@asynchronous
async def test_many_targets_are_served_at_once_and_no_more_than_that(path: Path) -> None:
    """Sixteen slow ones fill the house; the others follow as they leave."""
    async with open_house(path) as house:
        targets = [f"webhook:https://h{number:03d}.test/" for number in range(40)]
        for target in targets:
            house.channels[target].gate.clear()
            await house.ends(target)
        await house.go()
        assert sum(house.channels[target].busy for target in targets) == outbox.AT_ONCE
        for target in targets:
            house.channels[target].gate.set()
        await house.go()
        assert await house.states() == ["delivered"] * 40


@asynchronous
async def test_a_crash_between_sending_and_recording_sends_again_under_the_same_id(path: Path) -> None:
    """Whether it arrived is not known then: only the same id lets the receiver tell the second from a new one."""
    async with open_house(path) as house:
        house.store.gates["settle_notice"] = asyncio.Event()
        await house.ends(HOOK)
        await house.go()
        before = house.channels[HOOK].ids
        await house.stop()
    async with open_house(path) as house:
        await house.go()
        assert house.channels[HOOK].ids == before
        assert await house.states() == ["delivered"]


@asynchronous
async def test_a_stop_in_mid_send_lets_go_and_the_next_gateway_sends(path: Path) -> None:
    """A gateway that stops does not wait for a slow receiver, and forgets nothing."""
    async with open_house(path) as house:
        house.channels[HOOK].gate.clear()
        await house.ends(HOOK)
        await house.go()
        await house.stop()
        assert house.channels[HOOK].cancelled == 1
        assert await house.states() == ["pending"]
        ids = house.channels[HOOK].ids
    async with open_house(path) as house:
        await house.go()
        assert house.channels[HOOK].ids == ids


@asynchronous
async def test_a_store_that_takes_nothing_makes_nobody_hear_twice(path: Path) -> None:
    """A full disk must not become a flood: what was sent is recorded later, it is not sent again."""
    async with open_house(path) as house:
        house.store.failing["settle_notice"] = trouble("store_full")
        await house.ends(HOOK)
        await house.go(120)
        assert len(house.channels[HOOK].sent) == 1
        house.store.failing.clear()
        await house.go(60)
        assert await house.states() == ["delivered"]
        assert len(house.channels[HOOK].sent) == 1


@asynchronous
async def test_a_store_out_of_reach_is_asked_now_and_then(path: Path) -> None:
    """While nothing can be read there is nothing to do but wait, and then to go on by oneself."""
    async with open_house(path) as house:
        house.store.failing["*"] = trouble()
        await house.ends(HOOK)
        before = house.store.calls["due_heads"]
        await house.go(60)
        assert house.store.calls["due_heads"] - before <= 14
        house.store.failing.clear()
        await house.go(6)
        assert await house.states() == ["delivered"]


@asynchronous
async def test_a_fault_of_ours_counts_as_a_failure_and_ends_in_the_park(path: Path) -> None:
    """A channel that breaks in an unforeseen way must neither stop the loop nor be tried without end."""
    async with open_house(path) as house:
        house.channels[HOOK].always = RuntimeError("never thought of")
        await house.ends(HOOK)
        await house.ends(OTHER)
        await house.go()
        assert (len(house.channels[HOOK].sent), len(house.channels[OTHER].sent)) == (1, 1)
        for _ in range(ATTEMPTS_MAX):
            await house.go(LONGEST_SECONDS + 1)
        [notice] = await house.store.list_notices("parked", None, 10)
        assert "never thought of" in notice.error


@asynchronous
async def test_a_conversation_that_cannot_be_told_stops_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One poisoned notice is left alone for a while; the loop goes on."""
    async with open_house(path) as house:
        deliver = house.store.inner.deliver_to_conversation

        async def poisoned(target: str, now: float, limit: int = 200) -> int:
            if target == A:
                raise ValueError("poison")
            return int(await deliver(target, now, limit))

        monkeypatch.setattr(house.store.inner, "deliver_to_conversation", poisoned)
        await house.ends(requester=A)
        await house.ends(requester=B)
        await house.go(30)
        assert await house.states() == ["pending", "delivered"]
        assert house.store.calls["deliver_to_conversation"] <= 3
        monkeypatch.undo()
        await house.go(outbox.REST_SECONDS)
        assert await house.states() == ["delivered", "delivered"]


# ---- who sees the end by himself


@asynchronous
async def test_who_waits_and_sees_the_end_is_not_told(path: Path) -> None:
    """An agent whose wait has just returned the end must not be woken with the same news."""
    async with open_house(path) as house:
        task = await house.ends()
        with house.outbox.holding([task.id], A):
            await house.go()
            assert await house.states() == ["pending"]
            await house.store.settle_seen([task.id], A, house.clock.now(), "wait")
        await house.go()
        assert await house.states() == ["delivered"]
        assert await house.waiting() == []


@asynchronous
async def test_who_leaves_before_the_end_is_told_after_all(path: Path) -> None:
    """A wait that ran out, or whose caller hung up, has seen nothing."""
    async with open_house(path) as house:
        task = await house.ends()
        with house.outbox.holding([task.id], A), house.outbox.holding([task.id], A):
            await house.go()
        await house.go()
        assert len(await house.waiting()) == 1


@asynchronous
async def test_two_who_wait_are_counted_as_two(path: Path) -> None:
    """The first one to leave must not release what the second still waits for."""
    async with open_house(path) as house:
        with house.outbox.holding(["t-1"], A):
            with house.outbox.holding(["t-1"], A):
                pass
            assert house.outbox._held[("t-1", A)] == 1
        assert not house.outbox._held


@asynchronous
async def test_what_is_held_back_neither_leaves_with_others_nor_hides_them(path: Path) -> None:
    """Notices of one conversation move together: the one that is held stays, whatever stands before it."""
    async with open_house(path, started=False) as house:
        first, seen = await house.ends(), await house.ends()
        await house.ends(OTHER)
        house.channels[OTHER].script = [failed()]
        with house.outbox.holding([seen.id], A):
            house.outbox.start()
            await house.go()
            assert await house.states() == ["delivered", "pending", "pending"]
            await house.go(FIRST_SECONDS + 0.1)
            assert len(house.channels[OTHER].sent) == 2, "its retry was hidden by what is held"
            await house.store.settle_seen([seen.id], A, house.clock.now(), "wait")
        await house.go()
        assert [text for text in await house.waiting() if seen.id in text] == []
        assert [text for text in await house.waiting() if first.id in text] != []


# ---- rest


@asynchronous
async def test_an_idle_outbox_asks_nothing(path: Path) -> None:
    """Idle means idle: no ticking."""
    async with open_house(path) as house:
        await house.ends(HOOK)
        await house.go(60)
        house.store.calls.clear()
        await house.go(500)
        assert sum(house.store.calls.values()) == 0


@pytest.mark.parametrize("blocked", ["held", "busy"])
def test_what_is_overdue_and_blocked_does_not_keep_it_busy(path: Path, blocked: str) -> None:
    """What cannot go out now must not be asked for again and again."""

    @asynchronous
    async def run() -> None:
        async with open_house(path) as house:
            await _blocked(house, blocked)

    run()


async def _blocked(house: House, how: str) -> None:
    house.channels[HOOK].gate.clear()
    task = await house.ends(HOOK if how == "busy" else None)
    with house.outbox.holding([task.id], A):
        await house.go()
        house.store.calls.clear()
        await house.go(500)
        assert sum(house.store.calls.values()) == 0
