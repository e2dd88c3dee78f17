"""A gateway killed with -9 between question, answer and start: what was approved runs once, what was not never."""

from __future__ import annotations

import http.client
import threading
from typing import Any

import pytest
from crashing import Node, until
from running import PATIENCE

from outlast.core.approval import Approval, ApprovalStatus, Verdict
from outlast.core.session import Cause, Status

COMMIT_POINTS = ("store:before_commit", "store:after_commit")
DECIDE_POINTS = ("approvals:before_decide", "approvals:after_decide")
ANSWER_POINTS = (*DECIDE_POINTS, "worker:after_spawn", "worker:before_finish", *COMMIT_POINTS, "worker:after_finish")


def ask(node: Node, command: str | None = None, **fields: Any) -> dict[str, Any]:
    answer = node.exec(command or node.counting(), ask=True, **fields)
    assert (answer["status"], answer["waitsForApproval"]) == ("queued", True)
    return answer


def decide(node: Node, approval_id: str, decision: str = "approve", **fields: Any) -> tuple[int, Any] | None:
    """Answer; None when the gateway died instead of answering."""
    try:
        reply = node.ask("POST", f"/v1/approvals/{approval_id}/{decision}", fields)
    except (OSError, http.client.HTTPException):
        return None
    return reply.status, reply.json


def status_of(node: Node, approval_id: str) -> str:
    return str(node.ask("GET", f"/v1/approvals/{approval_id}").json["status"])


def test_a_crash_between_question_and_answer_loses_neither(node: Node) -> None:
    assert node.begin()
    asked = ask(node)
    node.kill()
    assert node.begin()
    assert status_of(node, asked["approvalId"]) == "pending"
    assert node.runs() == 0
    assert decide(node, asked["approvalId"]) is not None
    node.ended(asked["taskId"])
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1


@pytest.mark.parametrize("point", ANSWER_POINTS)
def test_a_crash_over_an_answer_runs_the_command_once_or_leaves_the_question(node: Node, point: str) -> None:
    """Before the commit nothing has happened; after it the command runs, once, whoever hears of it."""
    assert node.begin()
    asked = ask(node, node.counting(f"{node.gate}; exit 5"))
    node.kill()
    assert node.begin(point)
    if point != "worker:after_spawn":
        node.open_gate()
    answer = decide(node, asked["approvalId"])
    node.dies()
    node.open_gate()
    assert node.begin(), node.log()
    if point == "approvals:before_decide":
        assert answer is None
        assert status_of(node, asked["approvalId"]) == "pending" and node.runs() == 0
        assert decide(node, asked["approvalId"]) is not None
    else:
        found = decide(node, asked["approvalId"])
        assert found is not None and found[0] == 409 and "was approved by local" in found[1]["error"]["message"]
    node.ended(asked["taskId"])
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1


@pytest.mark.parametrize("point", ["worker:before_claim", "worker:after_claim"])
def test_a_crash_before_an_approved_command_begins_leaves_it_to_the_next_gateway(node: Node, point: str) -> None:
    assert node.begin()
    asked = ask(node)
    node.kill()
    told = {"at": float(asked_at(node, asked["approvalId"])) + 0.001, "by": "local", "how": "cli"}
    verdict = Verdict(approval_id=asked["approvalId"], status=ApprovalStatus.APPROVED, **told)  # type: ignore[arg-type]
    assert node.act("decide", verdict) is not None
    node.begin(point)
    node.dies()
    node.see_through()
    node.judge(Status.FAILED, Cause.EXIT, code=5)
    assert node.runs() == 1


def asked_at(node: Node, approval_id: str) -> float:
    approval: Approval = node.act("get_approval", approval_id)
    return approval.created_at


@pytest.mark.parametrize("point", COMMIT_POINTS)
def test_a_crash_over_a_question_records_all_of_it_or_nothing(node: Node, point: str) -> None:
    """Never work that is held by no question, nor a question that holds no work."""
    assert node.begin(point)
    assert node.submit(node.counting(), ask=True) is None
    node.dies()
    assert node.begin()
    approvals = node.ask("GET", "/v1/approvals").json["approvals"]
    tasks = node.ask("GET", "/v1/tasks").json["tasks"]
    if point == "store:before_commit":
        assert (approvals, tasks) == ([], [])
        return
    assert [one["taskId"] for one in approvals] == [task["taskId"] for task in tasks]
    assert decide(node, approvals[0]["approvalId"], "reject") is not None
    node.judge(Status.CANCELLED, Cause.REJECTED, attempt=0)
    assert node.runs() == 0


@pytest.mark.parametrize("point", [*DECIDE_POINTS, *COMMIT_POINTS])
def test_a_crash_over_a_no_never_runs_the_command(node: Node, point: str) -> None:
    assert node.begin()
    asked = ask(node)
    node.kill()
    assert node.begin(point)
    decide(node, asked["approvalId"], "reject")
    node.dies()
    assert node.begin()
    if point in (DECIDE_POINTS[0], COMMIT_POINTS[0]):
        assert status_of(node, asked["approvalId"]) == "pending"
        assert decide(node, asked["approvalId"], "reject") is not None
    node.ended(asked["taskId"])
    node.judge(Status.CANCELLED, Cause.REJECTED, attempt=0)
    assert node.runs() == 0


@pytest.mark.parametrize("point", DECIDE_POINTS)
def test_a_crash_while_a_question_expires_still_ends_it_once(node: Node, point: str) -> None:
    assert node.begin(point)
    node.submit(node.counting(), ask=True, approvalExpiresSeconds=1)
    node.dies()
    assert node.begin()
    node.ended(node.only_task())
    [question] = node.ask("GET", "/v1/approvals").json["approvals"]
    assert question["status"] == "expired"
    node.judge(Status.CANCELLED, Cause.EXPIRED, attempt=0)
    assert node.runs() == 0


@pytest.mark.parametrize("point", [None, *COMMIT_POINTS])
def test_those_who_decide_hear_of_a_question_once_however_often_gateways_die(node: Node, point: str | None) -> None:
    node.env["OUTLAST_APPROVALS_NOTIFY"] = "boss"
    assert node.begin()
    node.exec("true", ask=True)
    node.kill()
    node.begin(point)
    if point is not None:
        try:
            node.exec("true again", ask=True)
        except (OSError, http.client.HTTPException, AssertionError):
            pass
        node.dies()
        assert node.begin()
    else:
        node.exec("true again", ask=True)

    def heard() -> list[Any]:
        return list(node.ask("GET", "/v1/conversations/boss/events").json["events"])

    waiting = node.ask("GET", "/v1/approvals?status=pending").json["approvals"]
    until(lambda: len(heard()) == len(waiting))
    node.kill()
    assert node.begin()
    asked = node.exec("true at last", ask=True)
    until(lambda: any(asked["approvalId"] in event["text"] for event in heard()))
    assert len(heard()) == len(waiting) + 1


def answer_at_once(node: Node, decision: str, id_: str, start: threading.Barrier, answers: list[Any]) -> None:
    start.wait(PATIENCE)
    answers.append((decide(node, id_, decision), decision))


def test_two_gateways_that_answer_at_the_same_moment_give_one_answer(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    assert first.begin() and second.begin()
    for turn in range(5):
        asked = ask(first, first.counting(f"exit {turn}"))
        answers: list[Any] = []
        barrier = threading.Barrier(4)
        told = asked["approvalId"], barrier, answers

        pairs = [(first, "approve"), (second, "reject"), (second, "approve"), (first, "reject")]
        threads = [threading.Thread(target=answer_at_once, args=(*pair, *told)) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        good = [decision for found, decision in answers if found is not None and found[0] == 200]
        assert len(good) == 1, answers
        assert sorted(found[0] for found, _ in answers) == [200, 409, 409, 409]
        [task] = first.ended(asked["taskId"])
        assert task["status"] == ("cancelled" if good == ["reject"] else "failed" if turn else "succeeded")


def test_an_answer_at_another_gateway_starts_the_command_where_it_was_asked(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    assert first.begin() and second.begin()
    asked = ask(first)
    assert decide(second, asked["approvalId"]) is not None
    first.ended(asked["taskId"])
    assert first.runs() == 1


def test_a_question_expires_though_the_gateway_it_was_asked_at_is_gone(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    assert first.begin() and second.begin()
    asked = ask(first, approvalExpiresSeconds=1)
    first.kill()
    second.ended(asked["taskId"])
    assert status_of(second, asked["approvalId"]) == "expired"
