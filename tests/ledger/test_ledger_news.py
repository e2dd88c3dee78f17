"""News: whoever waits for a task is woken by the act that moved it, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from api_fakes import asynchronous, settle
from ledger_fakes import DONE, ledgers

from outlast.core.session import Cause
from outlast.ledger.news import News
from outlast.store.base import Change


def waiting(news: News) -> int:
    """How many waiters are known."""
    return len(news._waiters) + len(news._events)


@asynchronous
async def test_a_move_wakes_those_who_wait_for_that_task(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        first, second = await at.one.begun("t1"), await at.one.begun("t2")
        one, both, other = (at.one.news.waiting_for(ids) for ids in (["t1"], ["t1", "t2"], ["t2"]))
        await at.one.finish(first, DONE)
        assert (one.done(), both.done(), other.done()) == (True, True, False)
        await at.one.finish(second, DONE)
        assert other.done()


@asynchronous
async def test_every_kind_of_move_wakes(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        seen = []
        at.one.news.on_moved(lambda task: seen.append((task.id, task.status.value)))
        await at.one.progress((await at.one.begun("t1")).id, 5, None)
        await at.one.lose(await at.one.begun("t3"), Cause.LEASE_EXPIRED, "nothing")
        await at.one.recover(await at.one.require("t3"), DONE)
        await at.one.cancel(await at.one.make("t4"), Cause.OPERATOR)
        await at.one.time_out(await at.one.begun("t5"))
        await at.one.never_began(await at.one.begun("t2"))
        assert seen == [
            ("t1", "running"),
            ("t3", "lost"),
            ("t3", "succeeded"),
            ("t4", "cancelled"),
            ("t5", "timed_out"),
            ("t2", "queued"),
        ]


@asynchronous
async def test_waiters_leave_nothing_behind() -> None:
    """A gateway that lives for months must not grow by those who once waited."""
    news = News()
    given_up, woken, event = news.waiting_for(["t1", "t2"]), news.waiting_for(["t2"]), news.next_event()
    assert waiting(news) == 3
    given_up.cancel()
    news.stir()
    await settle()
    assert woken.done() and event.done()
    assert waiting(news) == 0


@asynchronous
async def test_what_others_commit_wakes_everybody() -> None:
    news = News()
    waiter, event = news.waiting_for(["t1"]), news.next_event()
    news._changed(Change(foreign=True))
    assert waiter.done() and event.done()


@asynchronous
async def test_what_we_commit_wakes_those_who_follow_history_only() -> None:
    news = News()
    waiter, event = news.waiting_for(["t1"]), news.next_event()
    news._changed(Change(events=False))
    assert not event.done()
    news._changed(Change())
    assert event.done() and not waiter.done()
    news._changed(Change())  # a waiter that is done and not forgotten yet is no trouble
    await settle()
    assert waiting(news) == 1


@asynchronous
async def test_a_store_tells_its_news(tmp_path: Path) -> None:
    async with ledgers(("sqlite", str(tmp_path / "ledger.db"))) as at:
        at.one.news.follow(at.one.store)
        event = at.one.news.next_event()
        await at.one.make()
        assert event.done()
        again, waiter = at.one.news.next_event(), at.one.news.waiting_for(["t1"])
        await at.two.make("t2")
        assert await at.one.store.look_around()
        assert again.done() and waiter.done()


@asynchronous
async def test_what_is_committed_about_flows_wakes_those_who_watch_flows_only() -> None:
    news = News()
    nothing = dict.fromkeys(Change.__struct_fields__, False)
    for brought in ("flows", "steps", "foreign"):
        flow, event = news.next_flow(), news.next_event()
        news._changed(Change(**{**nothing, "events": False}))
        assert not flow.done()
        news._changed(Change(**{**nothing, brought: True}))
        assert flow.done() and event.done() is (brought == "foreign")
        event.cancel()
    given_up = news.next_flow()
    given_up.cancel()
    await settle()
    assert waiting(news) + len(news._flows) == 0
