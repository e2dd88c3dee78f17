"""What an audit asks of agents: who wants a login, who is silent, who waits for leave, whose beats fail."""

from __future__ import annotations

import pytest

from outlast.core.approval import ApprovalKind, ApprovalStatus
from outlast.core.lifecycle import Verb
from outlast.core.session import Cause
from outlast.core.task import Runtime
from store.agent_fakes import beat, heartbeat
from store.flow_fakes import question, verdict
from store.store_fakes import move, running

WANTED = {"stop": "login_wanted", "code": "login_wanted", "hint": "coder login"}


async def turn(store, agent: str = "coder", claim_id: str = "c1", **given):
    """A turn of an agent that runs."""
    return await running(store, claim_id, **{"runtime": Runtime.ACP, "ask": {"agent": agent}, **given})


async def ended(store, at: float, detail=WANTED, verb: Verb = Verb.FAIL, agent: str = "coder", **given) -> str:
    """The id of a turn that ended at a moment."""
    task = await turn(store, agent, f"c{at}", **given)
    more = {"cause": Cause.ERROR} if verb is Verb.FAIL else {}
    assert await store.apply(move(task.id, verb, at=at, claim_id=task.claim_id, detail=detail, **more))
    return task.id


async def wanted(store, limit: int = 10) -> list[str]:
    return [task.id for task in await store.login_wanted(limit)]


# ---- who wants a login


async def test_the_newest_turn_of_each_agent_that_wants_a_login_is_found_once(store):
    assert await wanted(store) == []
    await ended(store, 6001.0)
    second = await ended(store, 6003.0)
    other = await ended(store, 6002.0, agent="quick", runtime=Runtime.SUBAGENT)
    assert await wanted(store) == [other, second]
    assert await wanted(store, 1) == [other]
    assert (await store.login_wanted(10))[1].detail == WANTED


async def test_a_later_turn_that_goes_well_ends_it_and_an_earlier_one_does_not(store):
    await ended(store, 6001.0, {"stop": "end_turn"}, Verb.SUCCEED)
    found = await ended(store, 6002.0)
    await ended(store, 6003.0, {"stop": "end_turn"}, Verb.SUCCEED, agent="quick")
    assert await wanted(store) == [found]
    await ended(store, 6004.0, {"stop": "error", "error": "the network"})
    await ended(store, 6005.0, {}, Verb.CANCEL)
    assert await wanted(store) == [found], "neither of these says that somebody has logged in"
    await ended(store, 6006.0, {"stop": "end_turn"}, Verb.SUCCEED)
    assert await wanted(store) == []
    again = await ended(store, 6007.0)
    assert await wanted(store) == [again]


async def test_one_that_was_dismissed_hides_what_was_before_it(store):
    await ended(store, 6001.0)
    await store.dismiss(await ended(store, 6002.0), 6003.0)
    assert await wanted(store) == []


@pytest.mark.parametrize(
    ("outcome", "at", "ends"),
    [("silent", 6002.0, True), ("told", 6002.0, True), ("failed", 6002.0, False), ("skipped", 6002.0, False),
     ("ran", 6002.0, False), ("silent", 6000.0, False)],
)  # fmt: skip
async def test_a_beat_that_goes_well_ends_it_too(store, outcome, at, ends):
    found = await ended(store, 6001.0)
    await store.add_beat(beat(1, "coder", outcome, at=at, ended_at=at))
    await store.add_beat(beat(1, "quick", "silent", at=6002.0, ended_at=6002.0))
    assert await wanted(store) == ([] if ends else [found])


async def test_work_that_only_speaks_of_logins_is_no_turn_that_wants_one(store):
    await ended(store, 6001.0, runtime=Runtime.CLI)
    await ended(store, 6002.0, {"stop": "error", "agentSession": '"stop":"login_wanted"'})
    await ended(store, 6003.0, ask={"message": "x"})
    assert await wanted(store) == []
    hostile = {"agent": "coder", "message": '","agent":"quick'}
    found = await ended(store, 6004.0, ask=hostile)
    assert await wanted(store) == [found]
    await ended(store, 6005.0, {}, Verb.SUCCEED, agent="quick")
    assert await wanted(store) == [found]


# ---- who is silent, who waits for leave


async def silent(store, before: float = 5000.5, limit: int = 10) -> list[str]:
    return [task.id for task in await store.silent_agents(before, limit)]


async def test_turns_without_a_sign_of_life_are_found_the_quietest_first_and_commands_are_not(store):
    first = await turn(store)
    command = await running(store, "c2")
    second = await turn(store, claim_id="c3", runtime=Runtime.SUBAGENT)
    await store.note_seen([first.id], 5000.25)
    assert await silent(store) == [second.id, first.id]
    assert await silent(store, 5000.0) == []
    assert await silent(store, limit=1) == [second.id]
    assert [task.id for task in await store.stale_running(5000.5, 10)] == [command.id]
    await store.note_seen([second.id], 5001.0)
    assert await silent(store) == [first.id]
    await store.apply(move(first.id, Verb.SUCCEED, claim_id=first.claim_id))
    assert await silent(store) == []


async def test_a_turn_that_waits_for_leave_is_not_silent(store):
    task = await turn(store)
    asked = question(1, kind=ApprovalKind.ACP, task_id=task.id)
    await store.ask_approval(question(2, kind=ApprovalKind.ACP, task_id="another"))
    await store.ask_approval(question(3, kind=ApprovalKind.FLOW, task_id=task.id))
    assert await silent(store) == [task.id]
    await store.ask_approval(asked)
    assert await silent(store) == []
    await store.decide(verdict(asked.id))
    assert await silent(store) == [task.id]


async def test_leave_that_was_waited_for_too_long_is_found_until_somebody_answers(store):
    for number, kind in ((3, ApprovalKind.ACP), (1, ApprovalKind.ACP), (2, ApprovalKind.EXEC)):
        await store.ask_approval(question(number, kind=kind))
    created = question(3).created_at

    async def parked(before: float, limit: int = 10) -> list[str]:
        return [one.id for one in await store.parked_permissions(before, limit)]

    assert await parked(created + 1) == [question(1).id, question(3).id]
    assert await parked(created) == [question(1).id]
    assert await parked(created + 1, 1) == [question(1).id]
    await store.decide(verdict(question(1).id, ApprovalStatus.REJECTED))
    assert await parked(created + 1) == [question(3).id]


# ---- whose beats fail


async def failing(store, limit: int = 10) -> list[int]:
    return [one.id for one in await store.failing_beats(limit)]


async def beats(store, *outcomes: str, agent: str = "main", first: int = 1) -> list[int]:
    return [
        await store.add_beat(beat(number, agent, outcome, ended_at=None if outcome == "ran" else 1000.5 + number))
        for number, outcome in enumerate(outcomes, first)
    ]


async def test_three_beats_that_have_failed_in_a_row_are_found_until_one_has_not(store):
    await store.set_beat(heartbeat(next_at=1.0), None)
    await beats(store, "failed", "failed")
    assert await failing(store) == [], "two are no row of three"
    ids = await beats(store, "skipped", "failed", "skipped", "ran", first=3)
    assert await failing(store) == [ids[1]], "skipped ones do not count, nor does one that is under way"
    await store.end_beat(ids[3], "failed", "no", None, 1010.0)
    assert await failing(store) == [ids[3]]
    await beats(store, "silent", first=11)
    assert await failing(store) == []
    await beats(store, "failed", "failed", first=12)
    assert await failing(store) == []


async def test_each_agent_counts_for_itself_and_one_that_is_paused_for_nothing(store):
    for agent in ("a", "b", "c"):
        await store.set_beat(heartbeat(agent, next_at=1.0), None)
    first = await beats(store, "failed", "failed", "failed", agent="b")
    second = await beats(store, "failed", "failed", "failed", agent="a", first=5)
    await beats(store, "failed", "failed", agent="c", first=9)
    await beats(store, "failed", "failed", "failed", agent="nobody", first=9)
    assert await failing(store) == [first[2], second[2]]
    assert await failing(store, 1) == [first[2]]
    await store.set_beat(heartbeat("b", paused_at=5.0), 1.0)
    assert await failing(store) == [second[2]]
