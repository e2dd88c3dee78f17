"""What an agent asks leave for: answered by people, by the policy, by the clock."""

from __future__ import annotations

import json

import pytest
from agent_running import acp

from outlast.core.agent import EventKind

CANCELLED = {"outcome": "cancelled"}


def chose(option: str) -> dict[str, str]:
    return {"outcome": "selected", "optionId": option}


def answers(turn) -> list[dict[str, str]]:
    """What the agent heard, as it tells when it has ended."""
    turn.end()
    lines = "".join(event.text for event in turn.of(EventKind.TEXT)).splitlines()
    return [json.loads(line.partition(": ")[2]) for line in lines]


def test_a_question_waits_for_its_answer(start) -> None:
    turn = start(acp("permission"), "2")
    asked = turn.until(EventKind.PERMISSION)
    assert (asked.id, asked.title) == ("p1", "rm -rf build")
    assert asked.data["input"] == {"command": "rm -rf build"}
    assert asked.data["toolId"] == "t0"
    assert [option["id"] for option in asked.data["options"]] == ["no", "always", "yes"]
    assert asked.data["expiresAt"] == pytest.approx(asked.at + 3600, abs=5)
    turn.tell(op="permission", id="p1", option="always")
    told = turn.until(EventKind.PERMITTED)
    assert (told.id, told.status, told.data) == ("p1", "allowed", {"option": "always", "by": "answer"})
    turn.until(EventKind.PERMISSION)
    turn.tell(op="permission", id="p2", option=None)
    told = turn.until(EventKind.PERMITTED)
    assert (told.id, told.status, told.data) == ("p2", "rejected", {"option": "no", "by": "answer"})
    assert answers(turn) == [chose("always"), chose("no")]


@pytest.mark.parametrize(("policy", "option", "status"), [("allow", "yes", "allowed"), ("deny", "no", "rejected")])
def test_the_policy_answers_at_once_and_once_only(start, policy: str, option: str, status: str) -> None:
    """Of the options that fit it takes the one that holds once, not for ever."""
    turn = start(acp("permission", permissions=policy), "1")
    assert answers(turn) == [chose(option)]
    assert turn.of(EventKind.PERMISSION) == []
    (told,) = turn.of(EventKind.PERMITTED)
    assert (told.id, told.status, told.title) == ("p1", status, "rm -rf build")
    assert (told.data["by"], told.data["option"]) == ("policy", option)


def test_a_question_nobody_answers_expires_as_a_no(start) -> None:
    """The runner keeps the time itself: there may be no gateway."""
    turn = start(acp("permission", permission_seconds=0.3), "1")
    assert answers(turn) == [chose("no")]
    (told,) = turn.of(EventKind.PERMITTED)
    assert (told.status, told.data["by"]) == ("expired", "expiry")


def test_calling_the_turn_off_answers_what_is_open(start) -> None:
    turn = start(acp("permission"), "1")
    turn.until(EventKind.PERMISSION)
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"
    assert [(event.status, event.data["by"]) for event in turn.of(EventKind.PERMITTED)] == [("cancelled", "cancel")]


def test_answers_to_other_questions_are_noted_and_harmless(start) -> None:
    """One sent twice, one for a question that never was, one that is none of the options."""
    turn = start(acp("permission"), "1")
    turn.until(EventKind.PERMISSION)
    given = (("p9", "yes"), ("p1", "perhaps"), ("p1", "yes"), ("p1", "no"))
    lines = [json.dumps({"op": "permission", "id": number, "option": option}) + "\n" for number, option in given]
    turn.write("".join(lines).encode())  # at once: the turn may be over before a second line is written
    assert answers(turn) == [chose("yes")]
    assert len(turn.of(EventKind.PERMITTED)) == 1
    ignored = [event.text for event in turn.of(EventKind.NOTE)]
    assert [text.split()[3].strip(",") for text in ignored][:2] == ["p9", "p1"]
