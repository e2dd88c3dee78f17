"""Who hears of what: every policy with every move, and a notice that can be recognised."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from outlast.core.lifecycle import TASK_MOVES, Verb
from outlast.core.notification import notice_of, told
from outlast.core.session import Cause, Status
from outlast.core.task import NotifyPolicy, Runtime, Task

MOVES = [(verb, target) for verb, move in TASK_MOVES.items() for target in move.targets]
TOLD = {
    ("claim", "running"): {"state_changes"},
    ("succeed", "succeeded"): {"state_changes", "done_only"},
    ("fail", "failed"): {"state_changes", "done_only", "failures_only"},
    ("time_out", "timed_out"): {"state_changes", "done_only", "failures_only"},
    ("requeue", "queued"): {"state_changes"},
    ("cancel", "cancelled"): {"state_changes", "done_only"},
    ("lose", "lost"): {"state_changes", "done_only", "failures_only"},
    ("recover", "succeeded"): {"state_changes", "done_only", "failures_only"},
    ("recover", "failed"): {"state_changes", "done_only", "failures_only"},
    ("recover", "timed_out"): {"state_changes", "done_only", "failures_only"},
    ("recover", "cancelled"): {"state_changes", "done_only", "failures_only"},
}


def task(status: Status = Status.SUCCEEDED, **fields: object) -> Task:
    given = {
        "id": "t1", "runtime": Runtime.CLI, "kind": "exec", "source": "detach", "requester": "agent:a:main",
        "status": status, "created_at": 1.0, "revision": 3,
    }  # fmt: skip
    return msgspec.convert({**given, **fields}, Task)


@pytest.mark.parametrize(("policy", "move"), list(itertools.product(NotifyPolicy, MOVES)))
def test_every_policy_hears_of_the_moves_it_was_promised(policy: NotifyPolicy, move: tuple[Verb, Status]) -> None:
    """The table is written out a second time on purpose: a change of who is told must be meant."""
    verb, target = move
    expected = policy.value in TOLD[verb.value, target.value]
    assert (policy in told(verb, target)) is expected
    assert (notice_of(task(target, notify=policy), verb, None) is not None) is expected


def test_the_table_covers_every_move() -> None:
    assert {(verb.value, target.value) for verb, target in MOVES} == set(TOLD)


@pytest.mark.parametrize(("policy", "status"), list(itertools.product(NotifyPolicy, Status)))
def test_creating_is_never_told(policy: NotifyPolicy, status: Status) -> None:
    assert told(Verb.CREATE, status) == frozenset()
    assert notice_of(task(status, notify=policy), Verb.CREATE, None) is None


@pytest.mark.parametrize(("verb", "target"), MOVES)
def test_silent_hears_of_nothing(verb: Verb, target: Status) -> None:
    assert NotifyPolicy.SILENT not in told(verb, target)


@pytest.mark.parametrize(
    ("verb", "target", "kind"),
    [
        (Verb.CLAIM, Status.RUNNING, "changed"),
        (Verb.REQUEUE, Status.QUEUED, "changed"),
        (Verb.FAIL, Status.FAILED, "ended"),
        (Verb.LOSE, Status.LOST, "ended"),
        (Verb.RECOVER, Status.FAILED, "corrected"),
        (Verb.RECOVER, Status.SUCCEEDED, "corrected"),
    ],
)
def test_a_notice_says_what_kind_of_news_it_is(verb: Verb, target: Status, kind: str) -> None:
    notice = notice_of(task(target, notify="state_changes"), verb, None)
    assert notice is not None and notice.kind == kind


def test_a_notice_goes_to_the_conversation_and_else_to_the_requester() -> None:
    asked = notice_of(task(conversation="agent:a:subagent:7"), Verb.SUCCEED, Cause.EXIT)
    plain = notice_of(task(), Verb.SUCCEED, Cause.EXIT)
    assert asked is not None and plain is not None
    assert (asked.target, plain.target) == ("agent:a:subagent:7", "agent:a:main")


def test_the_end_of_a_turn_is_told_to_who_asked_for_it_with_what_it_used() -> None:
    """Its conversation is the agent's own; the exit code is that of a process nobody has asked about."""
    usage = {"inputTokens": 5, "outputTokens": 7, "costUsd": 0.5}
    turn = task(
        runtime=Runtime.SUBAGENT, conversation="agent:coder:subagent:7", ask={"agent": "coder"},
        detail={"usage": usage, "exitCode": 1},
    )  # fmt: skip
    notice = notice_of(turn, Verb.SUCCEED, Cause.EXIT)
    assert notice is not None and notice.target == "agent:a:main"
    assert notice.body == {
        "taskId": "t1", "status": "succeeded", "cause": "exit", "attempt": 0, "agent": "coder",
        "conversation": "agent:coder:subagent:7", "tokens": 12, "costUsd": 0.5,
    }  # fmt: skip
    known = notice_of(msgspec.structs.replace(turn, detail={"usage": {"totalTokens": 9}}), Verb.SUCCEED, Cause.EXIT)
    assert known is not None and known.body["tokens"] == 9 and "costUsd" not in known.body
    silent = notice_of(msgspec.structs.replace(turn, detail={}, channel="webhook:https://x"), Verb.SUCCEED, Cause.EXIT)
    assert silent is not None and silent.target == "webhook:https://x" and "tokens" not in silent.body


def test_a_notice_carries_what_there_is_and_no_empty_fields() -> None:
    ended = task(
        Status.FAILED, attempt=2, started_at=2.0, ended_at=5.0, session_id="s1", error="exit code 3",
        detail={"exitCode": 3, "userSeconds": 0.5}, label="nightly", summary="last line",
    )  # fmt: skip
    notice = notice_of(ended, Verb.FAIL, Cause.EXIT)
    assert notice is not None
    assert notice.body == {
        "taskId": "t1", "status": "failed", "cause": "exit", "label": "nightly", "attempt": 2, "startedAt": 2.0,
        "endedAt": 5.0, "exitCode": 3, "error": "exit code 3", "summary": "last line", "sessionId": "s1",
    }  # fmt: skip


def test_the_key_is_the_same_for_the_same_move_and_another_for_every_other() -> None:
    """Two writers of one move make one key; a second end of a recovered task makes another."""
    moves = [(Verb.FAIL, 3), (Verb.LOSE, 3), (Verb.RECOVER, 4), (Verb.FAIL, 5)]
    notices = [notice_of(task(Status.FAILED, revision=revision), verb, None) for verb, revision in moves]
    keys = [notice.idempotency_key for notice in notices if notice is not None]
    assert len(set(keys)) == len(moves)
    again = notice_of(task(Status.FAILED, revision=3), Verb.FAIL, Cause.EXIT)
    assert again is not None and again.idempotency_key == keys[0]
