"""Agents in flows: a step of a file, or of a program, is a turn whose answer the flow goes on with."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from agent_house import PATIENCE, AgentHouse, agent_house, asynchronous, script

from houses import House
from outlast.core.agent import DEPTH_MAX
from outlast.core.flow import FILE_HANDLER, Flow, FlowMode, NewFlow
from outlast.core.ids import timed_id
from outlast.flows.files.arguments import parse_args
from outlast.flows.files.program import given_of
from outlast.flows.files.reading import check_text
from outlast.flows.values import InRow, Values

MAIN = "agent:coder:main"
TWO = """
name: review
args: {first: {type: string}, second: {type: string}}
steps:
  - {id: look, agent: coder, message: "${args.first}", title: look at it}
  - {id: tell, agent: coder, message: "${args.second}", conversation: agent:coder:main}
outputs:
  found: ${steps.look.output.found}
  told: ${steps.tell.stdout}
"""


async def begin(home: AgentHouse, text: str, requester: str = "local", **args: Any) -> str:
    """Put a run of a file on record; return its id."""
    definition = check_text(text, "x.flow.yaml").required()
    new = NewFlow(
        id=timed_id("f", home.clock.now(), secrets.randbits(40), 4), mode=FlowMode.FILE, name=definition.name,
        handler=FILE_HANDLER, requester=requester, created_at=home.clock.now(), node="n1",
        input=given_of(definition, parse_args(definition, (), args), str(home.path)),
    )  # fmt: skip
    return (await home.store.create_flow(new)).flow.id


async def ended(home: AgentHouse, flow_id: str) -> Flow:
    async with asyncio.timeout(PATIENCE):
        while True:
            news = home.books.ledger.news.next_flow()
            flow = await home.store.get_flow(flow_id)
            assert flow is not None
            if flow.status.final:
                return flow
            await asyncio.wait([news], timeout=0.2)


def result_of(flow: Flow) -> Any:
    return Values(InRow()).read(flow.id, flow.result)


@asynchronous
async def test_an_agent_step_is_a_turn_and_its_answer_is_its_output(house: House) -> None:
    """The flow goes on with the answer, JSON where it is; a step without a conversation has one of its own."""
    async with agent_house(house, flows=True) as home:
        first = script(["begin"], ["end", {"text": '{"found": 3}'}])
        second = script(["begin"], ["end", {"text": "three were found"}])
        flow_id = await begin(home, TWO, first=first, second=second)
        flow = await ended(home, flow_id)
        assert (flow.status.value, flow.error) == ("succeeded", None)
        assert result_of(flow) == {"found": 3, "told": "three were found"}
        look, tell = await home.store.steps_of(flow_id)
        assert (look.kind.value, tell.kind.value) == ("agent", "agent")
        task = await home.store.get_task(str(look.ref))
        assert task is not None and task.conversation == f"agent:coder:flow:{flow_id}:look"
        assert (task.flow_id, task.title, task.ask["workdir"]) == (flow_id, "look at it", str(home.path))
        assert [entry.text for entry in await home.transcript() if entry.kind.value == "end"] == ["three were found"]


@asynchronous
async def test_an_agent_step_that_fails_fails_the_flow_with_its_reason(house: House) -> None:
    async with agent_house(house, flows=True) as home:
        message = script(["begin"], ["end", {"stop": "refusal", "text": "no"}])
        flow = await ended(home, await begin(home, TWO, first=message, second="x"))
        assert flow.status.value == "failed" and "the agent refused" in str(flow.error)


@asynchronous
async def test_a_flow_cannot_run_an_agent_that_is_not_there_or_for_whom_may_not(house: House) -> None:
    async with agent_house(house, flows=True, exec_requesters={"guest": "allowlist"}) as home:
        text = TWO.replace("agent: coder,", "agent: nobody,", 1)
        flow = await ended(home, await begin(home, text, first="x", second="x"))
        assert "no agent 'nobody'" in str(flow.error)
        flow = await ended(home, await begin(home, TWO, requester="guest", first="x", second="x"))
        assert "guest may not run agents here" in str(flow.error)


@asynchronous
async def test_a_flow_speaks_in_the_conversations_of_who_started_it_only(house: House) -> None:
    """Else it would be a way into what an agent holds with others: what it knows from there, and what it does next."""
    async with agent_house(house, flows=True) as home:
        message = script(["begin"], ["end", {"text": '{"found": 3}'}])
        flow = await ended(home, await begin(home, TWO, requester="bob", first=message, second=message))
        assert flow.status.value == "failed"
        assert "bob may not speak in agent:coder:main" in str(flow.error)
        assert await home.transcript() == []
        own = TWO.replace("agent:coder:main", "agent:coder:with:bob")
        flow = await ended(home, await begin(home, own, requester="bob", first=message, second=message))
        assert (flow.status.value, flow.error) == ("succeeded", None)


@asynchronous
async def test_agents_that_have_flows_ask_agents_come_to_an_end(house: House) -> None:
    """A step is one level below whoever started the flow: an agent whose flow asks that agent would go on for ever."""
    one = 'name: look\nargs: {say: {type: string}}\nsteps: [{id: look, agent: coder, message: "${args.say}"}]\n'
    async with agent_house(house, flows=True) as home:
        requester = MAIN
        await home.turn(["begin"], ["end", {"text": "go"}])
        for depth in range(1, DEPTH_MAX + 2):
            flow = await ended(
                home, await begin(home, one, requester, say=script(["begin"], ["end", {"text": "deeper"}]))
            )
            if depth > DEPTH_MAX:
                assert "was asked for 5 deep already" in str(flow.error)
                assert len(await home.store.agent_conversations(None, 100)) == 1 + DEPTH_MAX
                return
            assert flow.error is None
            [step] = await home.store.steps_of(flow.id)
            task = await home.store.get_task(str(step.ref))
            assert task is not None and task.conversation is not None
            held = await home.store.get_agent_conversation(task.conversation)
            assert held is not None and held.depth == depth
            requester = task.conversation


@asynchronous
async def test_a_flow_that_is_called_off_takes_its_agent_along(house: House) -> None:
    async with agent_house(house, flows=True) as home:
        message = script(["begin"], ["say", "at work"], ["hang"])
        flow_id = await begin(home, TWO, first=message, second="x")
        await home.said("at work", f"agent:coder:flow:{flow_id}:look")
        await home.store.ask_cancel_flow(flow_id, home.clock.now(), None)
        home.books.look()
        assert (await ended(home, flow_id)).status.value == "cancelled"
        await home.nothing_left()
