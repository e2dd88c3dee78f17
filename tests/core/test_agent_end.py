"""How turns come out: the agent's last word first, the end of its runner where there is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from outlast.core.agent import AgentEvent
from outlast.core.agent_end import TAIL_MAX, TurnEnd, turn_end
from outlast.core.agent_journal import TurnState
from outlast.core.outcome import SUMMARY_MAX
from outlast.core.session import Cause, Exit, Status


def ended(end: Exit, said: dict[str, Any] | None = None, **given: Any) -> TurnEnd:
    state = TurnState()
    if said is not None:
        state.take(msgspec.convert({"ev": "end", "at": 100.0, **said}, AgentEvent))
    return turn_end(state, end, began_at=90.0, **given)


FINE = Exit(cause=Cause.EXIT, code=0, at=101.0)


def test_a_good_end_has_the_answer_and_its_figures() -> None:
    said = {"stop": "end_turn", "text": "done " * 400, "usage": {"inputTokens": 3}, "agentSession": "x"}
    end = ended(FINE, said)
    assert (end.status, end.cause, end.error) == (Status.SUCCEEDED, Cause.EXIT, None)
    assert end.detail == {
        "exitCode": 0, "producedBytes": 0, "stop": "end_turn", "durationMs": 11_000, "usage": {"inputTokens": 3},
        "agentSession": "x",
    }  # fmt: skip
    outcome = end.outcome("{}")
    assert len(str(outcome.summary)) <= SUMMARY_MAX and outcome.output == "{}"


@pytest.mark.parametrize("kill", [None, Exit(cause=Cause.OPERATOR, signal=9, at=101.0)])
def test_the_last_word_counts_whatever_becomes_of_the_runner(kill: Exit | None) -> None:
    assert ended(kill or FINE, {"stop": "end_turn"}).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("called_off", "status", "cause"),
    [
        (None, Status.CANCELLED, Cause.OPERATOR),
        (Cause.PARENT, Status.CANCELLED, Cause.PARENT),
        (Cause.DEADLINE, Status.TIMED_OUT, Cause.DEADLINE),
    ],
)
def test_a_turn_that_was_called_off_says_why(called_off: Cause | None, status: Status, cause: Cause) -> None:
    """Also where its runner had to be killed over it, and said nothing."""
    end = ended(FINE, {"stop": "cancelled", "text": "half"}, called_off=called_off)
    assert (end.status, end.cause, end.text, end.error) == (status, cause, "half", None)
    killed = Exit(cause=called_off or Cause.OPERATOR, signal=9, at=101.0)
    silent = ended(killed, called_off=called_off)
    assert (silent.status, silent.cause) == (status, cause)


def test_a_limit_that_came_from_the_deadline_is_told_as_the_deadline() -> None:
    said = {"stop": "error", "code": "timeout", "error": "too long"}
    assert ended(FINE, said).cause is Cause.TIMEOUT
    assert ended(FINE, said, deadline_at=100.5).cause is Cause.DEADLINE
    assert ended(FINE, said, deadline_at=200.0).cause is Cause.TIMEOUT
    assert ended(Exit(cause=Cause.TIMEOUT, signal=15, at=101.0)).status is Status.TIMED_OUT


def test_a_runner_without_a_last_word_has_failed_and_its_last_lines_are_quoted() -> None:
    end = ended(FINE, tail="x" * 5000 + "the last straw")
    assert (end.status, end.code) == (Status.FAILED, "no_end")
    assert "exit code 0" in str(end.error) and str(end.error).endswith("the last straw")
    assert len(str(end.error)) < TAIL_MAX + 100


def test_what_nobody_saw_the_end_of_is_lost() -> None:
    gone = Exit(cause=Cause.HOST_RESTART, at=None, note="the machine restarted")
    end = ended(gone)
    assert (end.status, end.cause, end.duration_ms) == (Status.LOST, Cause.HOST_RESTART, None)
    assert ended(gone, called_off=Cause.OPERATOR).status is Status.LOST
    assert ended(gone, {"stop": "end_turn", "text": "done"}).status is Status.SUCCEEDED


def test_a_last_word_that_found_no_room_is_not_held_against_the_agent() -> None:
    end = ended(FINE, missing=4096, tail="noise")
    assert (end.status, end.code) == (Status.FAILED, "no_end")
    assert end.error == (
        "the end of what the agent said was not kept: 4096 bytes of the journal are missing (exit code 0): noise"
    )
    assert ended(FINE, {"stop": "end_turn"}, missing=4096).status is Status.SUCCEEDED
