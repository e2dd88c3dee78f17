"""Turns of agents in a gateway: on record before they begin, kept as they grow, ended as they ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import pytest
from agent_house import PATIENCE, YES, agent_house, asynchronous, kinds, script
from crashing import exits, until

from houses import House
from outlast.api.agent_work import TurnAsk
from outlast.config import ConfiguredAgents
from outlast.core.agent import EntryKind
from outlast.core.approval import ApprovalFilter, ApprovalStatus
from outlast.core.conversation import NewSystemEvent
from outlast.core.errors import BadInput, Conflict, Refused
from outlast.core.session import Cause, Status
from outlast.core.task import TaskFilter
from outlast.process.keeper import record as records

MAIN = "agent:coder:main"


@asynchronous
async def test_a_turn_leaves_its_prompt_its_words_and_its_end_in_the_transcript(house: House) -> None:
    """Pieces of a message together are what was said; the agent's own session is there for the next turn."""
    async with agent_house(house) as home:
        usage = {"inputTokens": 1200, "outputTokens": 34, "costUsd": 0.25}
        task = await home.turn(["begin"], ["say", "Hel"], ["say", "lo"], ["end", {"text": "Hello", "usage": usage}])
        assert (task.status, task.cause, task.summary) == (Status.SUCCEEDED, Cause.EXIT, "Hello")
        assert task.detail["usage"] == usage and task.detail["stop"] == "end_turn"
        entries = await home.transcript()
        said = kinds(entries)
        assert said[0][0] == "prompt" and said[-1] == ("end", "Hello")
        assert "".join(text for kind, text in said if kind == "text") == "Hello"
        assert {entry.task_id for entry in entries} == {task.id}
        held = await home.store.get_agent_conversation(MAIN)
        assert held is not None and (held.agent_session, held.turns) == ("as-1", 1)
        [told] = await home.told("local")
        assert told.data["tokens"] == 1234 and told.data["costUsd"] == 0.25
        assert "1,234 tokens, $0.25" in told.text
        again = await home.turn(["begin"], ["echo", "agent_session", "conversation", "task_id"])
        [*_, echoed, _] = kinds(await home.transcript())
        assert f'"agent_session": "as-1", "conversation": "{MAIN}", "task_id": "{again.id}"' in echoed[1]
        await home.nothing_left()


@asynchronous
async def test_turns_of_one_conversation_come_one_after_the_other_and_others_beside_it(house: House) -> None:
    """The second waits in its queue while the first runs; a turn of another conversation does not wait."""
    async with agent_house(house) as home:
        first = await home.start(["begin"], ["say", "first"], ["gate", home.gate()])
        await home.said("first")
        second = await home.start(["begin"], ["say", "second"])
        other = await home.turn(["begin"], conversation="agent:coder:other")
        assert other.status is Status.SUCCEEDED
        assert (await home.store.get_task(second.id)).status is Status.QUEUED
        home.open_gate()
        assert (await home.ended(first)).status is (await home.ended(second)).status is Status.SUCCEEDED
        texts = [text for kind, text in kinds(await home.transcript()) if kind == "text"]
        assert texts == ["first", "second"]


@asynchronous
async def test_what_has_happened_is_told_before_the_message_and_counts_as_heard_at_the_end(house: House) -> None:
    """Events stand before the message, marked; they are acknowledged when the turn has ended, and not before."""
    async with agent_house(house) as home:
        await home.store.add_system_event(
            NewSystemEvent(conversation=MAIN, at=1.0, kind="note", text="the build is red", source_key="k1")
        )
        task = await home.start(["begin"], ["echo", "prompt"], ["gate", home.gate()])
        entries = await home.said("the build is red")
        assert kinds(entries)[0][0] == "event" and entries[0].data["eventIds"] == [1]
        await home.said("what has happened since your last turn")
        assert len(await home.store.system_events(MAIN, 0, 10)) == 1
        home.open_gate()
        await home.ended(task)
        assert await home.store.system_events(MAIN, 0, 10) == []


@asynchronous
async def test_what_was_told_to_an_agent_that_never_began_is_told_again(house: House) -> None:
    async with agent_house(house) as home:
        await home.store.add_system_event(
            NewSystemEvent(conversation=MAIN, at=1.0, kind="note", text="the build is red", source_key="k1")
        )
        task = await home.turn(["end", {"stop": "error", "error": "no such program", "code": "no_program"}])
        assert (task.status, task.error) == (Status.FAILED, "no such program")
        assert len(await home.store.system_events(MAIN, 0, 10)) == 1


@asynchronous
async def test_a_session_that_is_gone_fails_one_turn_and_not_all_to_come(house: House) -> None:
    """The next turn begins a new one, and hears what this one was to hear."""
    async with agent_house(house) as home:
        await home.turn(["begin", "as-7"])
        await home.turn(["echo", "agent_session"], ["begin", "as-7"])
        assert '{"agent_session": "as-7"}' in [entry.text for entry in await home.transcript()]
        gone = {"stop": "error", "error": "no such session", "code": "session_gone"}
        await home.store.add_system_event(
            NewSystemEvent(conversation=MAIN, at=1.0, kind="note", text="the build is red", source_key="k1")
        )
        task = await home.turn(["begin", "as-7"], ["end", gone])
        assert (task.status, task.detail["code"]) == (Status.FAILED, "session_gone")
        await home.turn(["echo", "agent_session", "prompt"], ["begin", "as-8"])
        echo = [entry.text for entry in await home.transcript() if entry.text.startswith('{"agent_session"')][-1]
        assert '"agent_session": null' in echo and "the build is red" in echo


ENDS = [
    (["exit", 0], Status.FAILED, "no_end", "ended without a result (exit code 0)"),
    (["exit", 7], Status.FAILED, "no_end", "ended without a result (exit code 7)"),
    (["kill"], Status.FAILED, "no_end", "ended without a result (signal SIGKILL)"),
    (["end", {"stop": "refusal"}], Status.FAILED, None, "the agent refused"),
    (["end", {"stop": "max_tokens"}], Status.FAILED, None, "limit of tokens"),
    (["end", {"stop": "login_wanted", "error": "log in: x login", "code": "login_wanted"}], Status.FAILED,
     "login_wanted", "log in: x login"),
    (["end", {"stop": "error", "error": "too long", "code": "timeout"}], Status.TIMED_OUT, "timeout", "too long"),
    (["end", {"stop": "error"}], Status.FAILED, None, "the agent failed"),
    (["end", {"stop": "cancelled"}], Status.CANCELLED, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("act", "status", "code", "error"), ENDS)
def test_every_end_is_the_right_state_with_a_readable_cause(
    house: House, act: list[object], status: Status, code: str | None, error: str | None
) -> None:
    """Also where the runner dies without a word; the process it left in another session is ended with it."""

    @asynchronous
    async def turn() -> None:
        async with agent_house(house) as home:
            task = await home.turn(["begin"], ["child"], ["stderr", "the last straw\n", 1], act)
            assert task.status is status
            assert task.detail.get("code") == code
            assert (error is None) == (task.error is None) and (error or "") in (task.error or "")
            if code == "no_end":
                assert "the last straw" in str(task.error)
            [end] = [entry for entry in await home.transcript() if entry.kind is EntryKind.END]
            assert end.data.get("error") == (task.error if code is not None else None)
            assert (end.at, end.data.get("code")) == (task.ended_at, code) or code != "no_end"
            await home.nothing_left()

    turn()


@asynchronous
async def test_a_transcript_says_how_a_turn_ended_whose_record_is_gone(house: House) -> None:
    """Nobody is left to write its last line. Whoever looks again adds nothing."""
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["say", "half of it"], ["hang"])
        await home.said("half of it")
        session_id = (await home.record(task)).session_id or ""
        folder = home.sessions.get(session_id).folder
        started = (records.read(folder) or {})["started"]

        async def wreck() -> None:
            for name in ("supervisor", "pid"):
                os.kill(started[name], signal.SIGKILL)
                await asyncio.to_thread(exits, started[name])
            await asyncio.to_thread(until, lambda: "end" in (records.read(folder) or {}))  # by another supervisor
            shutil.rmtree(folder)

        await home.restart(wreck)
        lost = await home.ended(task)
        assert (lost.status, lost.cause) == (Status.LOST, Cause.EVIDENCE_GONE)
        await home.restart()
        kept = await home.transcript()
        assert kinds(kept)[-2:] == [("text", "half of it"), ("end", "")]
        assert [entry.data for entry in kept if entry.kind is EntryKind.END] == [
            {"stop": "error", "error": lost.error, "status": "lost", "cause": "evidence_gone"}
        ]


@asynchronous
async def test_a_transcript_says_that_a_turn_was_called_off_by_force(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["stubborn"], ["begin"], ["say", "deaf"], ["hang"])
        await home.said("deaf")
        called = await home.books.ledger.cancel(await home.record(task), Cause.OPERATOR)
        await home.books.call_off(called, Cause.OPERATOR, 0.01)
        assert (await home.ended(task)).status is Status.CANCELLED
        [end] = [entry for entry in await home.transcript() if entry.kind is EntryKind.END]
        assert (end.data["stop"], end.data["cause"]) == ("cancelled", "operator")


@asynchronous
async def test_what_is_no_line_of_a_journal_is_noted_and_costs_nothing_else(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.turn(
            ["begin"], ["raw", "not json\n{}\n"], ["raw", "y", 3_000_000],
            ["raw", "\n"], ["stderr", "z" * 1000, 5000],
            ["say", "still here"], ["end", {"text": "fine"}],
        )  # fmt: skip
        assert (task.status, task.summary) == (Status.SUCCEEDED, "fine")
        said = kinds(await home.transcript())
        notes = [text for kind, text in said if kind == "note"]
        assert len(notes) >= 3 and all("no event" in text and len(text) < 300 for text in notes)
        assert ("text", "still here") in said


@asynchronous
async def test_a_flood_of_events_is_kept_in_few_acts(house: House) -> None:
    """Thousands of pieces come in order and whole, in entries of bounded size."""
    async with agent_house(house) as home:
        task = await home.turn(["begin"], ["flood", 20_000, 100])
        assert task.status is Status.SUCCEEDED
        texts = [entry.text for entry in await home.transcript() if entry.kind.value == "text"]
        assert "".join(texts) == "x" * 2_000_000
        assert len(texts) < 2000 and max(map(len, texts)) <= 64 * 1024


# ---- calling off


@asynchronous
async def test_a_turn_that_is_called_off_ends_by_itself_and_says_how_far_it_came(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["say", "at work"], ["child"], ["hang"])
        await home.said("at work")
        await home.cancel(task)
        ended = await home.ended(task)
        assert (ended.status, ended.cause, ended.summary) == (Status.CANCELLED, Cause.OPERATOR, "half of it")
        await home.nothing_left()


@asynchronous
async def test_a_turn_that_does_not_heed_is_ended_with_its_whole_tree(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["stubborn"], ["begin"], ["say", "at work"], ["child"], ["hang"])
        await home.said("at work")
        await home.books.call_off(await home.record(task), Cause.OPERATOR, 0.2)
        ended = await home.ended(task)
        assert (ended.status, ended.cause) == (Status.CANCELLED, Cause.OPERATOR)
        await home.nothing_left()


@asynchronous
async def test_a_turn_that_waits_for_its_conversation_can_be_called_off(house: House) -> None:
    """Somebody else has the conversation, as a heartbeat does: the turn is held, and ends without having begun."""
    async with agent_house(house) as home:
        async with home.turns.lock(MAIN):
            task = await home.start(["begin"])
            await home.until(task, lambda found: found.status is Status.RUNNING)
            await home.books.call_off(await home.record(task), Cause.OPERATOR)
            assert (await home.ended(task)).status is Status.CANCELLED
        assert (await home.turn(["begin"])).status is Status.SUCCEEDED
        assert [kind for kind, _ in kinds(await home.transcript())].count("prompt") == 1


@asynchronous
async def test_a_turn_past_its_deadline_is_timed_out(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.turn(["begin"], ["hang"], deadline_at=home.clock.now() + 1.0)
        assert (task.status, task.cause) == (Status.TIMED_OUT, Cause.DEADLINE)
        await home.nothing_left()


# ---- steering


@asynchronous
async def test_a_running_agent_hears_what_it_is_told(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["say", "at work"], ["steered"])
        await home.said("at work")
        steer_id = await home.turns.steer(await home.record(task), "look left")
        await home.ended(task)
        [steer] = [entry for entry in await home.transcript() if entry.kind.value == "steer"]
        assert (steer.text, steer.data["id"], steer.data["status"]) == ("look left", steer_id, "sent")
        with pytest.raises(Conflict, match="does not run"):
            await home.turns.steer(task, "too late")


# ---- leave


@pytest.mark.parametrize(("status", "option"), [(ApprovalStatus.APPROVED, "yes"), (ApprovalStatus.REJECTED, "no")])
def test_a_question_of_an_agent_is_an_approval_and_its_answer_reaches_the_agent(
    house: House, status: ApprovalStatus, option: str
) -> None:
    @asynchronous
    async def turn() -> None:
        async with agent_house(house) as home:
            about = {"input": {"command": "rm -rf build"}, "kind": "execute"}
            task = await home.start(["begin"], ["ask", "p1", "Run rm", YES, about])
            [approval] = await home.asked()
            assert (approval.kind.value, approval.task_id, approval.requester) == ("acp", task.id, "local")
            assert "Run rm" in approval.prompt and "rm -rf build" in str(approval.preview)
            await home.answer(approval, status)
            assert (await home.ended(task)).status is Status.SUCCEEDED
            [_, permitted] = [entry for entry in await home.transcript() if entry.kind.value == "permission"]
            assert permitted.data["option"] == option

    turn()


@asynchronous
async def test_a_question_nobody_answers_expires_and_the_turn_goes_on(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["expire", "p1", "Run rm", 0.3, home.gate()], ["say", "without it"])
        async with asyncio.timeout(PATIENCE):  # what has expired before it is read is not asked at all
            while not (await home.store.list_approvals(ApprovalFilter(), 100)).approvals:
                await asyncio.sleep(0.01)
        home.open_gate()
        assert (await home.ended(task)).status is Status.SUCCEEDED
        [closed] = (await home.store.list_approvals(ApprovalFilter(), 100)).approvals
        assert closed.status in (ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED)


@asynchronous
async def test_the_questions_of_a_turn_that_ends_are_void(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["ask", "p1", "Run rm", YES, {}])
        [approval] = await home.asked()
        await home.cancel(task)
        await home.ended(task)
        closed = await home.store.get_approval(approval.id)
        assert closed is not None and closed.status is ApprovalStatus.CANCELLED


# ---- restart


@asynchronous
async def test_a_turn_goes_on_over_a_restart_and_nothing_is_missed_or_kept_twice(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["say", "one"], ["gate", home.gate()], ["say", "two", "m2"])
        await home.said("one")
        await home.restart()
        home.open_gate()
        assert (await home.ended(task)).status is Status.SUCCEEDED
        assert [text for kind, text in kinds(await home.transcript()) if kind == "text"] == ["one", "two"]
        assert len(await home.told("local")) == 1
        assert not (home.path / "agents/coder/again").exists()


@asynchronous
async def test_a_turn_that_ended_while_no_gateway_ran_is_read_back(house: House) -> None:
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["say", "one"], ["gate", home.gate()], ["say", "two", "m2"])
        await home.said("one")

        async def meanwhile() -> None:
            home.open_gate()
            await home.nothing_left()

        await home.restart(meanwhile)
        ended = await home.ended(task)
        assert (ended.status, ended.summary) == (Status.SUCCEEDED, "done")
        assert [text for kind, text in kinds(await home.transcript()) if kind == "text"] == ["one", "two"]


@asynchronous
async def test_an_answer_given_while_no_gateway_ran_reaches_the_agent(house: House) -> None:
    """The question is not asked a second time, and the restart does not wait for anybody."""
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["ask", "p1", "Run rm", YES, {}])
        [approval] = await home.asked()
        await home.restart()
        [again] = await home.asked()
        assert again.id == approval.id

        async def meanwhile() -> None:
            await home.decide_by_hand(approval)

        await home.restart(meanwhile)
        assert (await home.ended(task)).status is Status.SUCCEEDED
        [_, permitted] = [entry for entry in await home.transcript() if entry.kind.value == "permission"]
        assert permitted.data["option"] == "yes"


@asynchronous
async def test_a_runner_that_has_said_nothing_yet_is_given_its_turn_again_and_takes_it_once(house: House) -> None:
    """Nobody knows whether the gateway that died had given it: told twice is harmless, told never would be for ever."""
    async with agent_house(house) as home:
        task = await home.start(["note", home.gate("begun")], ["gate", home.gate()], ["begin"], ["say", "one"])
        await home.exists("begun")
        await home.restart()
        await home.exists("agents/coder/again")
        home.open_gate()
        assert (await home.ended(task)).status is Status.SUCCEEDED
        assert [kind for kind, _ in kinds(await home.transcript())] == ["prompt", "text", "end"]
        assert (home.path / "begun").read_text() == "ran\n"


@asynchronous
async def test_a_runner_nobody_can_give_its_turn_to_is_ended(house: House) -> None:
    """Its agent was taken out of the configuration in the moment of a restart."""
    async with agent_house(house) as home:
        task = await home.start(["note", home.gate("begun")], ["gate", home.gate()])
        await home.exists("begun")

        async def meanwhile() -> None:
            home.config = home.config._replace(agents=ConfiguredAgents({}))

        await home.restart(meanwhile)
        ended = await home.ended(task)
        assert (ended.status, ended.detail["code"]) == (Status.FAILED, "no_such_agent")
        await home.nothing_left()


@asynchronous
async def test_a_directory_that_cannot_be_made_is_named_with_the_way_out(house: House) -> None:
    """Its own folder in the home: a file is in the way, or the home is not ours to write in any more."""
    async with agent_house(house) as home:
        (home.path / "agents").mkdir(exist_ok=True)
        (home.path / "agents/coder").write_text("in the way")
        ended = await home.turn(["begin"])
        assert (ended.status, ended.detail["code"]) == (Status.FAILED, "bad_workdir")
        assert f"cannot make the directory {home.path}/agents/coder" in (ended.error or "")
        (home.path / "agents/coder").unlink()
        assert (await home.turn(["begin"])).status is Status.SUCCEEDED


# ---- spawning


@asynchronous
async def test_a_spawned_agent_has_a_conversation_of_its_own_and_its_end_is_told_to_who_spawned_it(
    house: House,
) -> None:
    async with agent_house(house) as home:
        created = await home.turns.spawn(TurnAsk(agent="coder", message=script(["begin"])), MAIN)
        task = await home.ended(created.task)
        assert (task.kind, task.queue, task.requester) == ("spawn", "subagents", MAIN)
        assert str(task.conversation).startswith("agent:coder:subagent:")
        held = await home.store.get_agent_conversation(str(task.conversation))
        assert held is not None and (held.parent, held.depth) == (MAIN, 1)
        flow = await home.store.get_flow(str(task.flow_id))
        assert flow is not None and (flow.status.value, flow.task_id) == ("succeeded", task.id)
        [told] = await home.told(MAIN)
        assert told.data["taskId"] == task.id


@asynchronous
async def test_the_sixth_child_and_the_sixth_level_are_refused(house: House) -> None:
    async with agent_house(house) as home:
        ask = TurnAsk(agent="coder", message=script(["begin"], ["gate", home.gate()]))
        children = await asyncio.gather(*(home.turns.spawn(ask, MAIN) for _ in range(7)), return_exceptions=True)
        refused = [one for one in children if isinstance(one, Refused)]
        assert [one.code for one in refused] == ["too_many_children"] * 2
        deepest = str(next(one for one in children if not isinstance(one, BaseException)).task.conversation)
        for _ in range(4):
            deepest = str((await home.turns.spawn(ask, deepest)).task.conversation)
        with pytest.raises(Refused, match="5 deep"):
            await home.turns.spawn(ask, deepest)
        home.open_gate()


@asynchronous
async def test_at_most_eight_spawned_agents_run_at_once_and_the_others_wait(house: House) -> None:
    async with agent_house(house) as home:
        ask = TurnAsk(agent="coder", message=script(["begin"], ["gate", home.gate()]))
        made = [await home.turns.spawn(ask, f"agent:coder:p{place % 3}") for place in range(10)]
        [lane] = [queue for queue in await home.store.queues() if queue.name == "subagents"]
        assert (lane.limit_max, lane.running, lane.queued) == (8, 8, 2)
        home.open_gate()
        for one in made:
            assert (await home.ended(one.task)).status is Status.SUCCEEDED


@asynchronous
async def test_who_is_called_off_takes_along_what_it_has_spawned(house: House) -> None:
    """Also what waits in the lane, and what its children have spawned; the children of others go on."""
    async with agent_house(house) as home:
        ask = TurnAsk(agent="coder", message=script(["begin"], ["say", "here"], ["gate", home.gate()]))
        top = (await home.turns.spawn(ask, MAIN)).task
        child = (await home.turns.spawn(ask, str(top.conversation))).task
        grandchild = (await home.turns.spawn(ask, str(child.conversation))).task
        other = (await home.turns.spawn(ask, MAIN)).task
        await home.said("here", str(grandchild.conversation))
        await home.cancel(top)
        assert (await home.ended(top)).cause is Cause.OPERATOR
        for below in (child, grandchild):
            ended = await home.ended(below)
            assert (ended.status, ended.cause) == (Status.CANCELLED, Cause.PARENT)
        home.open_gate()
        assert (await home.ended(other)).status is Status.SUCCEEDED


@asynchronous
async def test_a_spawn_that_is_asked_for_again_while_it_lives_is_that_one(house: House) -> None:
    """What was spawned once has ended is spawned anew."""
    async with agent_house(house) as home:
        ask = TurnAsk(agent="coder", message=script(["begin"], ["gate", home.gate()]), dedupe_key="k")
        first, again = [await home.turns.spawn(ask, MAIN) for _ in range(2)]
        assert (first.existing, again.existing, again.task.id) == (False, True, first.task.id)
        home.open_gate()
        await home.ended(first.task)
        assert not (await home.turns.spawn(ask, MAIN)).existing


@asynchronous
async def test_what_a_turn_spawns_while_it_is_called_off_is_refused(house: House) -> None:
    """It would outlive what it was spawned for: who called that off has gone through its children already."""
    async with agent_house(house) as home:
        task = await home.start(["begin"], ["stubborn"], ["say", "here"], ["gate", home.gate()])
        await home.said("here")
        await home.books.ledger.cancel(await home.record(task), Cause.OPERATOR)
        with pytest.raises(Conflict) as caught:
            await home.turns.spawn(TurnAsk(agent="coder", message=script(["begin"])), MAIN)
        assert caught.value.code == "parent_ended"
        home.open_gate()
        await home.ended(task)


@asynchronous
async def test_a_turn_in_the_conversation_of_a_spawned_agent_waits_for_it(house: House) -> None:
    async with agent_house(house) as home:
        ask = TurnAsk(agent="coder", message=script(["begin"], ["say", "spawned"], ["gate", home.gate()]))
        child = (await home.turns.spawn(ask, MAIN)).task
        after = await home.start(["begin"], ["say", "asked again"], conversation=child.conversation)
        await home.said("spawned", str(child.conversation))
        assert (await home.record(after)).status is Status.QUEUED
        home.open_gate()
        assert (await home.ended(after)).status is Status.SUCCEEDED
        said = kinds(await home.transcript(str(child.conversation)))
        assert [text for kind, text in said if kind == "text"] == ["spawned", "asked again"]


@asynchronous
async def test_queues_of_quiet_conversations_are_forgotten(house: House) -> None:
    """Those of busy ones stay, as do the lane and one that was told to rest; the next turn is alone there again."""
    async with agent_house(house) as home:
        await home.turn(["begin"], conversation="quiet")
        await home.store.set_queue_limit("conv:resting", 0)
        busy = await home.start(["begin"], ["gate", home.gate()], conversation="busy")
        await home.turns.tidy()
        names = {queue.name for queue in await home.store.queues()}
        assert names == {"conv:busy", "conv:resting", "subagents"}
        again = await home.start(["begin"], ["gate", home.gate()], conversation="quiet")
        waiting = await home.start(["begin"], conversation="quiet")
        assert (await home.record(waiting)).status is Status.QUEUED
        home.open_gate()
        for task in (busy, again, waiting):
            assert (await home.ended(task)).status is Status.SUCCEEDED


# ---- what cannot be


@asynchronous
async def test_an_unknown_agent_and_a_conversation_of_another_one_are_refused(house: House) -> None:
    async with agent_house(house, other={"backend": "acp", "command": ["x"]}) as home:
        with pytest.raises(BadInput, match="no agent 'nobody'"):
            await home.start(["begin"], agent="nobody")
        await home.turn(["begin"])
        with pytest.raises(BadInput, match="held by agent coder"):
            await home.start(["begin"], agent="other", conversation=MAIN)


@asynchronous
async def test_a_turn_without_a_task_is_kept_like_any_other_and_read_back_after_a_restart(house: House) -> None:
    async with agent_house(house) as home:
        await home.store.add_system_event(
            NewSystemEvent(conversation=MAIN, at=1.0, kind="note", text="red", source_key="k1")
        )
        session_id = home.sessions.new_id()
        message = script(["begin"], ["say", "looking"], ["gate", home.gate()], ["end", {"text": "HEARTBEAT_OK"}])
        await home.turns.begin_beat("coder", message, session_id, timeout_seconds=60.0)
        following = asyncio.ensure_future(home.turns.end_of_beat("coder", session_id))
        await home.said("looking")
        following.cancel()
        await home.restart()
        home.open_gate()
        end = await home.turns.end_of_beat("coder", session_id)
        assert end is not None and (end.status, end.text) == (Status.SUCCEEDED, "HEARTBEAT_OK")
        said = kinds(await home.transcript())
        assert [kind for kind, _ in said] == ["event", "prompt", "text", "end"]
        assert await home.store.system_events(MAIN, 0, 10) == []
        assert await home.turns.end_of_beat("coder", home.sessions.new_id()) is None
        assert (await home.store.list_tasks(TaskFilter(), 10)).tasks == []


@asynchronous
async def test_twenty_turns_at_once(house: House) -> None:
    """Each in its own conversation; all end well, and nothing is left of them."""
    async with agent_house(house) as home:
        tasks = [
            await home.start(["begin"], ["flood", 50, 200], ["gate", home.gate()], conversation=f"agent:coder:c{n}")
            for n in range(20)
        ]
        for task in tasks:
            await home.said("x", str(task.conversation))
        home.open_gate()
        for task in tasks:
            assert (await home.ended(task)).status is Status.SUCCEEDED
            texts = [text for kind, text in kinds(await home.transcript(str(task.conversation))) if kind == "text"]
            assert "".join(texts) == "x" * 10_000
        await home.nothing_left()
