"""Turns of ACP agents, through a real runner and a scripted agent."""

from __future__ import annotations

from agent_running import acp, python

from outlast.core.agent import EventKind, Usage
from patient_runner import PATIENT


def test_a_whole_turn_becomes_a_journal(start) -> None:
    """All that an agent says is in it, in order, masked, and the last line has the answer and what it used."""
    turn = start(acp("whole"), socket="/nowhere")
    end = turn.end()
    kinds = [event.ev for event in turn.events]
    assert kinds == [
        EventKind.READY, EventKind.BEGUN, EventKind.THOUGHT, EventKind.PLAN, EventKind.TOOL, EventKind.TOOL,
        EventKind.USAGE, *kinds[7:-1], EventKind.END,
    ]  # fmt: skip
    ready, begun, thought, plan, call, brought, usage = turn.events[:7]
    assert (ready.title, ready.data) == ("Scripted", {"version": "1.0", "protocol": 1, "can": []})
    assert (begun.agent_session, begun.data) == ("s-1", {"resumed": False})
    assert (thought.id, thought.text) == ("m1", "let me think")
    assert plan.data == {"entries": [{"content": "look", "priority": "high", "status": "pending"}]}
    assert (call.id, call.title, call.status) == ("t1", "cat a", "pending")
    assert call.data["input"] == {"command": "cat a", "env": [{"name": "API_KEY", "value": "***"}]}
    assert (brought.id, brought.status, brought.data["output"]) == ("t1", "completed", "password: ***")
    assert (usage.data, usage.usage) == ({"used": 10, "size": 100}, Usage(cost_usd=0.5))
    pieces = turn.events[7:-1]
    assert {event.ev for event in pieces} == {EventKind.TEXT}
    assert {event.id for event in pieces} == {"m2"}
    assert "".join(event.text for event in pieces) == "Hello, world\nand more"
    assert (end.stop, end.text, end.agent_session) == ("end_turn", "Hello, world\nand more", "s-1")
    assert end.usage == Usage(input_tokens=5, output_tokens=7, total_tokens=12, cost_usd=0.5)
    assert turn.alive() == []


def test_the_agent_is_told_who_we_are_and_for_whom_it_works(start, tmp_path) -> None:
    shell = 'import os; print(*(os.environ[name] for name in ("FROM_CONFIG", "FROM_TURN", "OUTLAST_REQUESTER")))'
    agent = python(shell, env={"FROM_CONFIG": "1", "FROM_TURN": "1"})
    assert start(agent, env={"FROM_TURN": "2"}).end().text == "1 2 agent:scripted:main"


def test_a_system_text_comes_before_the_first_prompt_only(start) -> None:
    assert start(acp(system="Be brief.")).end().text == "you said: Be brief.\n\nhello"
    again = start(acp("resume", system="Be brief."), agent_session="s-7").end()
    assert (again.text, again.agent_session) == ("you said: hello", "s-7")


def test_an_earlier_session_is_taken_up_and_what_it_replays_is_no_news(start) -> None:
    for way in ("load", "resume"):
        turn = start(acp(way), agent_session="s-7")
        assert turn.end().text == "you said: hello"
        assert [event.text for event in turn.of(EventKind.TEXT)] == ["you said: hello"]
        assert turn.of(EventKind.BEGUN)[0].data == {"resumed": True}


def test_a_session_that_is_gone_becomes_a_new_one_and_a_note(start) -> None:
    turn = start(acp("load"), agent_session="s-gone")
    assert turn.end().agent_session == "s-1"
    assert "s-gone is gone (no such session)" in turn.of(EventKind.NOTE)[0].text
    assert turn.of(EventKind.BEGUN)[0].data == {"resumed": False}


def test_an_agent_that_falls_over_its_old_session_gets_a_new_one_next_time(start) -> None:
    end = start(acp("load", "crash:load"), agent_session="s-7").end()
    assert (end.stop, end.code) == ("error", "session_gone")
    assert "exit code 7" in end.error and "session s-7" in end.error


def test_an_agent_that_cannot_take_up_sessions_begins_anew(start) -> None:
    turn = start(acp(), agent_session="s-7")
    assert turn.end().agent_session == "s-1"
    assert "the agent keeps none" in turn.of(EventKind.NOTE)[0].text


def test_a_login_with_a_key_that_is_there_needs_nobody(start) -> None:
    assert start(acp("login", "key", env={"SCRIPTED_KEY": "k"})).end().text == "you said: hello"


def test_a_login_that_wants_somebody_says_how(start) -> None:
    end = start(acp("login", "key")).end()
    assert (end.stop, end.code) == ("login_wanted", "login_wanted")
    assert end.error == "Scripted wants somebody to log in"
    assert "scripted_acp.py login key login" in end.data["hint"]  # the agent's own command, with what it adds
    assert "set SCRIPTED_KEY in env of the agent" in end.data["hint"]
    refused = start(acp("login", "key", "refuses-key", env={"SCRIPTED_KEY": "k"})).end()
    assert (refused.stop, refused.error) == (
        "login_wanted",
        "Scripted does not take the login key: that key is not good",
    )


def test_steering_is_the_next_prompt_of_the_session(start) -> None:
    turn = start(acp("permission"), "1")
    turn.until(EventKind.PERMISSION)
    turn.tell(op="steer", id="w1", text="0")
    turn.tell(op="permission", id="p1", option="yes")
    end = turn.end()
    steered = turn.of(EventKind.STEERED)
    assert [(event.id, event.text, event.status) for event in steered] == [("w1", "0", "sent")]
    assert (end.stop, end.usage.total_tokens) == ("end_turn", 24)
    order = [event.ev for event in turn.events]
    assert order.index(EventKind.STEERED) > order.index(EventKind.PERMITTED)


def test_a_steer_that_interrupts_stops_what_is_going_on(start) -> None:
    turn = start(acp("forever"), argv=PATIENT)
    turn.until(EventKind.TEXT)
    turn.tell(op="steer", id="w1", text="something else", interrupt=True)
    turn.until(lambda event: event.ev is EventKind.TEXT and event.text == "stopped\n")
    assert turn.until(EventKind.STEERED).status == "sent"
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"


def test_a_steer_that_comes_too_late_is_dropped_and_says_so(start) -> None:
    turn = start(acp("forever"))
    turn.until(EventKind.TEXT)
    turn.tell(op="steer", id="w1", text="more")
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"
    assert [(event.id, event.status) for event in turn.of(EventKind.STEERED)] == [("w1", "dropped")]


def test_the_stops_of_the_protocol(start) -> None:
    for habit, stop in (("refusal", "refusal"), ("max-tokens", "max_tokens"), ("max-requests", "max_turns")):
        assert start(acp(habit)).end().stop == stop


def test_a_long_answer_is_coalesced_and_loses_nothing(start) -> None:
    turn = start(acp("long"))
    end = turn.end()
    pieces = turn.of(EventKind.TEXT)
    whole = "".join(f"line {count} of a long answer, with some words in it\n" for count in range(3000))
    assert "".join(event.text for event in pieces) == whole
    assert len(pieces) < 1000
    assert len(end.text) < 61_000
    assert end.text.endswith("line 2999 of a long answer, with some words in it")
    assert all(event.text.endswith("\n") for event in pieces)
