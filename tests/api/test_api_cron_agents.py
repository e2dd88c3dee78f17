"""Turns of agents as what schedules do: each instant makes its turn once, in the conversation the rule says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent_world import agent_world
from api_fakes import asynchronous
from told_world import ALICE, BOB, HOSTILE

from outlast.core.errors import BadInput, Refused
from outlast.core.lifecycle import Verb
from outlast.core.session import Status
from outlast.core.task import Task


async def rule(at: Any, name: str = "look", **fields: Any) -> Any:
    given = {"every": "1m", "agent": "coder", "message": "look at the mail", **fields}
    return await at.ask("cron.add", name_=name, **given)


async def minute(at: Any, count: int = 1) -> None:
    for _ in range(count):
        await at.go(60.01)
        await at.settle()


async def turns(at: Any) -> list[Task]:
    """Return the turns there are, oldest first."""
    await at.settle()
    page = await at.ask("tasks.list", limit=100)
    return [await at.task(task.task_id) for task in reversed(page.tasks)]


@asynchronous
async def test_each_instant_is_a_turn_in_a_fresh_conversation(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        made = await rule(at, overlap="allow", timeoutSeconds=90, env={"A": "b"}, workdir=str(tmp_path))
        assert (made.payload, made.agent, made.message, made.to) == ("agent", "coder", "look at the mail", None)
        await minute(at, 2)
        first, second = await turns(at)
        assert (first.source, first.runtime, first.kind, first.label) == ("cron", "acp", "turn", "look")
        assert (first.schedule_id, first.requester, first.node) == (made.schedule_id, "local", "n1")
        assert first.conversation.startswith(f"cron:{made.schedule_id}:20")
        assert first.conversation != second.conversation
        payload = await at.store.payload_of(first.id)
        assert (payload["message"], payload["timeoutSeconds"]) == ("look at the mail", 90)
        assert (payload["env"], payload["workdir"]) == ({"A": "b"}, str(tmp_path))
        held = await at.store.get_agent_conversation(first.conversation)
        assert held.agent == "coder"
        limits = {queue.name: queue.limit_max for queue in await at.store.queues()}
        assert limits[f"conv:{first.conversation}"] == 1
        runs = (await at.ask("cron.runs", "look")).runs
        assert [(run.task_id, run.how) for run in runs] == [(second.id, "fired"), (first.id, "fired")]


@asynchronous
async def test_a_rule_may_say_in_which_conversation_and_who_is_told(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at, to="agent:coder:main", deliver="announce", conversation="agent:me:main", retries=2)
        await minute(at)
        [turn] = await turns(at)
        assert (turn.conversation, turn.queue) == ("agent:coder:main", "conv:agent:coder:main")
        assert (turn.notify, turn.channel, turn.attempts_max) == ("done_only", "agent:me:main", 3)
        assert turn.retry == {"delaySeconds": 5.0, "delayMaxSeconds": 300.0}
        await at.ask("tasks.cancel", turn.id)
        await at.go()
        [told] = await at.store.system_events("agent:me:main", 0, 10)
        assert turn.id in str(told.data)


@asynchronous
async def test_nobody_is_told_of_turns_unless_the_rule_says_so(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at)
        await rule(at, "hooked", webhook="https://example.com/hook", conversation="agent:me:main")
        await minute(at)
        by_label = {turn.label: turn for turn in await turns(at)}
        assert (by_label["look"].notify, by_label["look"].channel) == ("silent", None)
        assert (by_label["hooked"].notify, by_label["hooked"].channel) == (
            "done_only",
            "webhook:https://example.com/hook",
        )


@asynchronous
async def test_turns_wait_for_each_other_where_the_rule_queues_them(tmp_path: Path) -> None:
    """In conversations of their own, queues of their own would keep none waiting; one for all is a queue itself."""
    async with agent_world(tmp_path) as at:
        apart = await rule(at, "apart", overlap="queue")
        await rule(at, "one", overlap="queue", to="agent:coder:main")
        await minute(at, 2)
        queues = {turn.label: turn.queue for turn in await turns(at)}
        assert queues == {"apart": f"cron:{apart.schedule_id}", "one": "conv:agent:coder:main"}
        limits = {queue.name: queue.limit_max for queue in await at.store.queues()}
        assert limits[f"cron:{apart.schedule_id}"] == 1


@asynchronous
async def test_conversations_in_which_nothing_is_under_way_are_not_among_the_queues(tmp_path: Path) -> None:
    """A rule that fires every minute would fill the list with what keeps nobody waiting."""
    async with agent_world(tmp_path) as at:
        await rule(at)
        await minute(at)
        [turn] = await turns(at)
        named = f"conv:{turn.conversation}"
        assert named in {queue.name for queue in (await at.ask("tasks.queues")).queues}
        await at.ask("cron.pause", "look")
        await at.ask("tasks.cancel", turn.id)
        assert named not in {queue.name for queue in (await at.ask("tasks.queues")).queues}
        await at.ask("tasks.set-queue", name_=named, limit=0)
        assert named in {queue.name for queue in (await at.ask("tasks.queues")).queues}


@asynchronous
async def test_an_instant_is_left_out_while_the_turn_before_it_has_not_ended(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at)
        await minute(at, 2)
        [turn] = await turns(at)
        assert [run.how for run in (await at.ask("cron.runs", "look")).runs] == ["skipped", "fired"]
        await at.ask("tasks.cancel", turn.id)
        await minute(at)
        assert len(await turns(at)) == 2


@asynchronous
async def test_a_turn_can_be_had_now(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at)
        fired = await at.ask("cron.run", "look")
        turn = await at.task(fired.task_id)
        assert (turn.source, turn.status) == ("cron", Status.QUEUED)
        assert (await at.store.get_agent_conversation(turn.conversation)).agent == "coder"


@asynchronous
async def test_what_is_not_named_stays_and_another_payload_takes_its_place(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at, to="agent:coder:main", env={"A": "b"}, workdir=str(tmp_path))
        shown = await at.ask("cron.edit", "look", message="look again")
        assert (shown.agent, shown.message, shown.to) == ("coder", "look again", "agent:coder:main")
        shown = await at.ask("cron.edit", "look", agent="quick", to="agent:quick:main")
        assert (shown.agent, shown.message, shown.to) == ("quick", "look again", "agent:quick:main")
        assert shown.workdir == str(tmp_path)
        shown = await at.ask("cron.edit", "look", to="agent:quick:other")
        assert shown.to == "agent:quick:other"
        shown = await at.ask("cron.edit", "look", command="make")
        assert (shown.payload, shown.agent, shown.command) == ("command", None, "make")
        with pytest.raises(BadInput, match="message: does not go with"):
            await at.ask("cron.edit", "look", message="hello")
        with pytest.raises(BadInput, match="message: is required"):
            await at.ask("cron.edit", "look", agent="quick")


REFUSED = [
    ({"agent": "nobody"}, "no agent 'nobody'"),
    ({"message": None}, "message: is required"),
    ({"agent": None, "command": "make"}, "message: goes with agent only"),
    ({"command": "make"}, "does not go with"),
    ({"event": "x", "to": "agent:a:main"}, "does not go with"),
    ({"arguments": {"a": "b"}}, "arguments: goes with flow only"),
    ({"message": " \n"}, "message"),
    ({"to": "a\nb"}, "to"),
    ({"workdir": "/not/there"}, "not/there"),
    ({"env": {"A=B": "c"}}, "A=B"),
    ({"agent": None, "message": None}, "command: is required"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
@asynchronous
async def test_what_makes_no_rule_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    async with agent_world(tmp_path) as at:
        given = {
            name: value for name, value in {"agent": "coder", "message": "x", **fields}.items() if value is not None
        }
        with pytest.raises(BadInput, match=words):
            await at.ask("cron.add", name_="look", every="1m", **given)
        assert (await at.ask("cron.list")).schedules == []


@asynchronous
async def test_who_may_not_run_agents_schedules_none_and_one_speaks_in_ones_own_conversations(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        own = await rule(at, caller=ALICE, to="agent:coder:with:agent:alice:main")
        assert own.requester == "agent:alice:main"
        with pytest.raises(Refused, match="agent:coder:main"):
            await rule(at, "other", caller=ALICE, to="agent:coder:main")
        with pytest.raises(Refused, match="agent:coder:main"):
            await at.ask("cron.edit", "look", caller=ALICE, to="agent:coder:main")
        at.configure('[exec.requesters]\n"agent:bob:*" = "deny"\n')
        with pytest.raises(Refused, match="may not run agents"):
            await rule(at, "bobs", caller=BOB)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"more": '[exec.requesters]\n"agent:alice:*" = "deny"\n'}, "may not run agents"),
        ({"agents": ""}, "no agent 'coder'"),
    ],
)
@asynchronous
async def test_a_rule_that_can_make_no_turn_any_more_is_switched_off_and_says_why(
    tmp_path: Path, change: dict[str, str], why: str
) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at, caller=ALICE)
        at.configure(**change)
        await minute(at, 3)  # an agent that is missing is waited for a while
        shown = await at.ask("cron.show", "look")
        assert (shown.status, why in shown.why) == ("disabled", True)
        assert await turns(at) == []


@asynchronous
async def test_a_config_that_is_caught_half_written_costs_a_rule_nothing(tmp_path: Path) -> None:
    """Its instant waits; it has its turn once the agent is there again."""
    async with agent_world(tmp_path) as at:
        await rule(at)
        at.configure(agents="")
        await minute(at)
        assert await turns(at) == []
        at.configure()
        await at.go(6)
        assert len(await turns(at)) == 1
        assert (await at.ask("cron.show", "look")).status == "active"


@asynchronous
async def test_a_conversation_that_another_agent_holds_switches_the_rule_off(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at, to="shared")
        await at.ask("agents.run", agent="quick", message="mine", conversation="shared")
        await minute(at)
        shown = await at.ask("cron.show", "look")
        assert shown.status == "disabled"
        assert "held by agent quick" in shown.why


@asynchronous
async def test_a_rule_for_a_conversation_that_another_agent_holds_is_refused(tmp_path: Path) -> None:
    """It would be switched off at its first instant, perhaps at night."""
    async with agent_world(tmp_path) as at:
        await at.ask("agents.run", agent="quick", message="mine", conversation="agent:quick:main")
        await rule(at)
        await rule(at, "quick", agent="quick", to="agent:quick:main")
        with pytest.raises(BadInput, match="held by agent quick") as caught:
            await rule(at, "other", to="agent:quick:main")
        assert caught.value.code == "other_agent"
        for change in ({"to": "agent:quick:main"}, {"agent": "coder", "to": "agent:quick:main"}):
            with pytest.raises(BadInput, match="held by agent quick"):
                await at.ask("cron.edit", "look", **change)
        with pytest.raises(BadInput, match="held by agent quick"):
            await at.ask("cron.edit", "quick", agent="coder")
        assert (await at.ask("cron.show", "look")).to is None


@asynchronous
async def test_the_mend_of_a_rule_whose_only_moment_has_passed_is_to_do_it_now(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        await rule(at, every=None, in_="1m", caller=ALICE)
        at.configure(agents="")
        await minute(at)
        assert (await at.ask("cron.show", "look")).status == "active"
        await minute(at, 2)
        assert (await at.ask("cron.show", "look")).status == "disabled"
        [finding] = [one for one in (await at.ask("tasks.audit")).findings if one.code == "auto_disabled"]
        assert finding.fix.startswith("outlast cron run look does it now")
        [told] = await at.store.system_events(ALICE.requester, 0, 10)
        assert told.text.endswith("Once it is mended: outlast cron run look")
        assert (await at.ask("cron.resume", "look")).status == "done"


@asynchronous
async def test_instants_of_many_rules_in_one_moment_are_a_turn_each_also_after_a_restart(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        for number in range(20):
            await rule(at, f"r{number}")
        await minute(at)
        assert len(await turns(at)) == 20
        await at.restart()
        await at.settle()
        assert len(await turns(at)) == 20


@asynchronous
async def test_hostile_messages_and_secrets_are_shown_harmlessly(tmp_path: Path) -> None:
    async with agent_world(tmp_path) as at:
        said = f"{HOSTILE} token=sk-ant-api03-{'a' * 40}"
        made = await rule(at, message=said)
        assert "sk-ant" not in made.message
        await minute(at)
        [turn] = await turns(at)
        assert "sk-ant" not in str(turn)
        payload = await at.store.payload_of(turn.id)
        assert "$(touch /tmp/x) `id`" in payload["message"]
        assert "{text} {{}} %s" in payload["message"]
        assert (await at.verbs(turn.id))[0] == Verb.CREATE
