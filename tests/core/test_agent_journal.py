"""Journals of turns: what a line makes in a transcript, and what the lines together have said."""

from __future__ import annotations

from typing import Any

import msgspec

from outlast.core.agent import AgentEvent, EventKind, Usage
from outlast.core.agent_journal import PIECES_MAX, JournalLine, TurnRef, TurnState, entries_of, read_line

TURN = TurnRef("agent:coder:main", "coder", "s1", "local", "t1")


def lines(*events: dict[str, Any]) -> list[JournalLine]:
    """Events as lines of a journal, each of ten bytes, one a second."""
    made = [msgspec.convert({"at": float(second), **event}, AgentEvent) for second, event in enumerate(events)]
    return [JournalLine(10 * place, event) for place, event in enumerate(made, 1)]


def test_pieces_of_a_message_that_follow_each_other_are_one_entry() -> None:
    """Named by the last piece, dated by the first; another message, or anything between, begins another entry."""
    made = entries_of(
        TURN,
        lines(
            {"ev": "text", "id": "m1", "text": "a"}, {"ev": "text", "id": "m1", "text": "b"},
            {"ev": "thought", "id": "m2", "text": "c"}, {"ev": "thought", "id": "m3", "text": "d"},
            {"ev": "tool", "id": "t1", "title": "ls"}, {"ev": "thought", "id": "m3", "text": "e"},
        ),
    )  # fmt: skip
    assert [(e.kind.value, e.text, e.at, e.journal_at) for e in made] == [
        ("text", "ab", 0.0, 20), ("thought", "c", 2.0, 30), ("thought", "d", 3.0, 40), ("tool", "ls", 4.0, 50),
        ("thought", "e", 5.0, 60),
    ]  # fmt: skip
    assert [entry.source_key for entry in made] == ["s1:20", "s1:30", "s1:40", "s1:50", "s1:60"]
    assert {entry.task_id for entry in made} == {"t1"}


def test_pieces_make_no_entry_without_bounds() -> None:
    made = entries_of(TURN, lines(*[{"ev": "text", "id": "m1", "text": "x" * 40_000}] * 4))
    assert "".join(entry.text for entry in made) == "x" * 160_000
    assert len(made) == 4 and max(len(entry.text) for entry in made) <= PIECES_MAX


def test_what_an_event_says_beside_its_text_is_in_the_data() -> None:
    events = lines(
        {"ev": "ready", "title": "Coder"}, {"ev": "begun", "agentSession": "x"},
        {"ev": "tool", "id": "t1", "status": "completed", "data": {"kind": "execute"}},
        {"ev": "plan", "data": {"entries": [{"content": "look", "status": "completed"}, {"content": "act"}, 7]}},
        {"ev": "permission", "id": "p1", "title": "Run", "text": "rm", "data": {"options": []}},
        {"ev": "permitted", "id": "p1", "status": "allowed"}, {"ev": "steered", "id": "m1", "text": "left"},
        {"ev": "usage", "usage": {"inputTokens": 3}},
        {"ev": "end", "text": "done", "stop": "end_turn", "usage": {"inputTokens": 3}, "agentSession": "x"},
    )  # fmt: skip
    made = entries_of(TURN, events)
    assert [(e.kind.value, e.text) for e in made] == [
        ("tool", ""), ("plan", "[x] look\n[ ] act\n7"), ("permission", "rm"), ("permission", ""), ("steer", "left"),
        ("end", "done"),
    ]  # fmt: skip
    assert made[0].data == {"id": "t1", "status": "completed", "kind": "execute"}
    assert made[3].data == {"id": "p1", "status": "allowed"}
    assert made[5].data == {"stop": "end_turn", "usage": {"inputTokens": 3}, "agentSession": "x"}


def test_a_line_that_is_no_event_is_a_note_without_secrets() -> None:
    for line in (b"oops password=hunter2hunter2", b"{}", b'{"ev": "what", "at": 1}', b"\xff\xfe\x00", b"[" * 5000):
        event = read_line(line, 7.0)
        assert (event.ev, event.at) == (EventKind.NOTE, 7.0)
        assert "hunter2" not in str(event.text) and len(str(event.text)) < 300


def test_the_state_of_a_turn_is_what_its_lines_have_said() -> None:
    state = TurnState()
    for line in lines(
        {"ev": "permission", "id": "p1"}, {"ev": "permission", "id": "p2"}, {"ev": "permitted", "id": "p1"},
        {"ev": "permitted", "id": "p9"}, {"ev": "usage", "usage": {"inputTokens": 3}},
    ):  # fmt: skip
        state.take(line.event)
    assert (state.begun, state.agent_session, list(state.asked), state.end) == (False, None, ["p2"], None)
    assert state.usage == Usage(input_tokens=3)
    for line in lines({"ev": "begun", "agentSession": "x"}, {"ev": "end", "stop": "end_turn"}):
        state.take(line.event)
    assert (state.begun, state.agent_session) == (True, "x")
    assert state.end is not None and state.end.stop == "end_turn"
