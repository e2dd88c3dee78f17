"""What comes to a flow twice, too late or from several sides at once: one clear answer each, and one end."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import pytest
from crashing import until
from flow_crashing import EVERY, FlowNode
from running import PATIENCE, Reply

from outlast.core.approval import ApprovalStatus
from outlast.core.flow import FlowStatus
from outlast.core.lifecycle import FlowVerb, flow_transition
from outlast.core.session import Status


@pytest.fixture
def flows(flows: FlowNode) -> FlowNode:
    """Likewise, with a gateway and a worker."""
    flows.begin_without_hosting()
    flows.work()
    return flows


def asks(flows: FlowNode, kind: str = "approval", **fields: Any) -> tuple[str, str]:
    """Have a flow ask something; return its id and the question's."""
    flow_id = flows.start(kind, **fields)
    if kind == "expiring":
        until(lambda: flows.questions(flow_id))  # it may wait for so short a time that nobody sees it wait
    else:
        flows.flow_waits(flow_id)
    return flow_id, flows.questions(flow_id)[0].id


def answered(flows: FlowNode, approval_id: str, how: str = "approve", **fields: Any) -> Reply:
    """Answer over HTTP."""
    return flows.ask("POST", f"/v1/approvals/{approval_id}/{how}", fields)


def refused(reply: Reply, status: int, code: str) -> str:
    """The sentence of an answer that says no, and what to do instead."""
    assert (reply.status, reply.json["error"]["code"]) == (status, code), reply
    return str(reply.json["error"]["message"])


def result(flows: FlowNode, flow_id: str) -> Any:
    """What a flow that succeeds came to."""
    flows.flow_ended(flow_id)
    return msgspec.json.decode(flows.judge_flow(flow_id).result or "")


def test_a_second_answer_is_told_of_the_first_and_changes_nothing(flows: FlowNode) -> None:
    flow_id, approval_id = asks(flows)
    assert answered(flows, approval_id, note="go").status == 200
    for how in ("approve", "reject"):
        assert "was approved by" in refused(answered(flows, approval_id, how), 409, "conflict")
    assert result(flows, flow_id) == ["FIRST", [True, "go"], "LAST"]
    assert "was approved by" in refused(answered(flows, approval_id, "reject"), 409, "conflict")
    assert flows.questions(flow_id)[0].revision == 2


def test_of_many_answers_at_once_one_counts_and_the_flow_hears_that_one(flows: FlowNode) -> None:
    flow_id, approval_id = asks(flows)
    replies: dict[str, Reply] = {}

    def answer(number: int) -> None:
        how = "approve" if number % 2 else "reject"
        replies[f"{how}-{number}"] = answered(flows, approval_id, how, note=str(number))

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    [won] = [name for name, reply in replies.items() if reply.status == 200]
    assert all(reply.status == 409 for name, reply in replies.items() if name != won)
    assert result(flows, flow_id)[1] == [won.startswith("approve"), won.partition("-")[2]]


def test_an_answer_after_the_time_for_it_has_passed_is_refused_and_the_flow_goes_on_without(flows: FlowNode) -> None:
    flow_id, approval_id = asks(flows, "expiring")
    until(lambda: flows.questions(flow_id)[0].status is ApprovalStatus.EXPIRED)
    for how in ("approve", "reject"):
        refused(answered(flows, approval_id, how), 409, "expired")
    assert result(flows, flow_id) == ["FIRST", [False, "expired"], "LAST"]


def test_an_answer_that_comes_when_nobody_has_noted_yet_that_its_time_has_passed_is_too_late_all_the_same(
    flows: FlowNode,
) -> None:
    """No gateway, no worker; the clock alone decides. Whoever comes next notes it, and the flow goes on."""
    flow_id, approval_id = asks(flows, "expiring")
    flows.kill()
    flows.workers[0].send_signal(9)
    flows.workers[0].wait()
    expires_at = flows.questions(flow_id)[0].expires_at
    assert expires_at is not None
    until(lambda: time.time() > expires_at)
    if flows.questions(flow_id)[0].status is ApprovalStatus.PENDING:
        assert flows.decide(approval_id) is None
    flows.work()
    flows.bury()
    assert result(flows, flow_id) == ["FIRST", [False, "expired"], "LAST"]
    assert flows.decide(approval_id, ApprovalStatus.REJECTED) is None


def test_an_answer_after_the_flow_was_called_off_is_refused(flows: FlowNode) -> None:
    flow_id, approval_id = asks(flows)
    assert (
        flows.ask("POST", f"/v1/flows/{flow_id}/cancel", {"timeoutMs": int(PATIENCE * 1000)}).json["status"]
        == "cancelled"
    )
    for how in ("reject", "approve"):
        refused(answered(flows, approval_id, how), 409, "cancelled")
    flows.judge_flow(flow_id, FlowStatus.CANCELLED)
    assert flows.questions(flow_id)[0].status is ApprovalStatus.CANCELLED


def test_an_answer_and_a_wish_to_cancel_at_once_come_to_one_end(flows: FlowNode) -> None:
    """Whichever was first: the flow is cancelled or has succeeded, and the question agrees with its step."""
    for number in range(6):
        flow_id, approval_id = asks(flows)
        acts = [
            lambda a=approval_id: answered(flows, a),
            lambda f=flow_id: flows.ask("POST", f"/v1/flows/{f}/cancel", {"timeoutMs": int(PATIENCE * 1000)}),
        ]
        threads = [threading.Thread(target=act) for act in (acts if number % 2 else acts[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * PATIENCE)
        flow = flows.flow_ended(flow_id)
        assert flow.status in (FlowStatus.SUCCEEDED, FlowStatus.CANCELLED)
        flows.judge_flow(flow_id, flow.status)
        answer, row = flows.questions(flow_id)[0], flows.steps(flow_id)["op"]
        assert (answer.status is ApprovalStatus.APPROVED) == (row.status is Status.SUCCEEDED)


def send(flows: FlowNode, flow_id: str, payload: object, key: str | None = None) -> Reply:
    """Send a signal over HTTP."""
    return flows.ask("POST", f"/v1/flows/{flow_id}/signal", {"name": "op", "payload": payload, "key": key})


def test_a_signal_sent_twice_counts_twice_unless_it_has_a_key(flows: FlowNode) -> None:
    """With a key it is the first one again, also when the flow has consumed that."""
    flow_id = flows.start("signals")
    flows.flow_waits(flow_id)
    first = send(flows, flow_id, 1, "k")
    until(lambda: flows.steps(flow_id)["op"].status.final)
    again = send(flows, flow_id, 2, "k")
    assert (first.status, again.status) == (200, 200)
    assert again.json["signalId"] == first.json["signalId"] and again.json["existing"]
    assert flows.flow_waits(flow_id).step == "op#2"
    for payload in (3, 3):
        assert send(flows, flow_id, payload).status == 200
    assert result(flows, flow_id) == ["FIRST", [1, 3, 3], "LAST"]
    assert refused(send(flows, flow_id, 4), 409, "flow_ended")
    assert refused(send(flows, flow_id, 1, "k"), 409, "flow_ended")


def test_a_second_wish_to_cancel_is_told_of_the_first_and_what_is_undone_is_undone_once(flows: FlowNode) -> None:
    """Also while the compensations run."""
    flow_id = flows.start("undone_slowly")
    flows.flow_waits(flow_id)
    wish = f"/v1/flows/{flow_id}/cancel"
    assert flows.ask("POST", wish, {"reason": "enough", "timeoutMs": 0}).json["status"] in ("waiting", "running")
    until(lambda: flows.marks()["undo-begun"])
    for _ in range(2):
        assert "already" in refused(flows.ask("POST", wish, {"timeoutMs": 0}), 409, "already_cancelling")
    assert send(flows, flow_id, 1).status == 200
    flows.open_gate()
    flow = flows.flow_ended(flow_id)
    flows.judge_flow(flow_id, FlowStatus.CANCELLED)
    assert (flow.error, flow.cancel_reason) == ("enough", "enough")
    assert flows.marks() == {"first": 1, "undo-begun": 1, "undo-ended": 1}
    refused(flows.ask("POST", wish, {}), 409, "flow_ended")
    refused(flows.ask("POST", f"/v1/flows/{flow_id}/retry", {}), 409, "flow_ended")


def test_an_end_by_force_while_it_is_undone_is_the_end_and_its_worker_writes_nothing_more(flows: FlowNode) -> None:
    flow_id = flows.start("undone_slowly")
    flows.flow_waits(flow_id)
    flows.ask("POST", f"/v1/flows/{flow_id}/cancel", {"timeoutMs": 0})
    until(lambda: flows.marks()["undo-begun"])
    forced = flows.ask("POST", f"/v1/flows/{flow_id}/cancel", {"force": True})
    assert forced.json["status"] == "cancelled", forced
    rows, flow = flows.steps(flow_id), flows.flow(flow_id)
    flows.open_gate()
    assert result(flows, flows.put(EVERY, [flows.place, "coroutine"])) == ["FIRST", "OP", "LAST"]
    assert (flows.steps(flow_id), flows.flow(flow_id)) == (rows, flow)


def test_a_move_by_a_revision_that_has_passed_changes_nothing(flows: FlowNode) -> None:
    """A managed flow over HTTP; a blocked program, resumed by two at once."""
    made = flows.ask("POST", "/v1/flows/managed", {"name": "deploy"}).json
    flow_id, old = made["flowId"], made["revision"]
    moved = flows.ask("POST", f"/v1/flows/{flow_id}/set-waiting", {"revision": old, "waitFor": "ann"})
    assert moved.json["revision"] == old + 1
    for verb, body in (("set-waiting", {"waitFor": "bob"}), ("finish", {}), ("fail", {"error": "x"}), ("resume", {})):
        said = refused(flows.ask("POST", f"/v1/flows/{flow_id}/{verb}", {"revision": old, **body}), 409, "conflict")
        assert f"revision {old + 1}, not {old}" in said
    assert flows.ask("POST", f"/v1/flows/{flow_id}/finish", {"revision": old + 1}).json["status"] == "succeeded"
    refused(flows.ask("POST", f"/v1/flows/{flow_id}/finish", {"revision": old + 2}), 409, "flow_ended")

    blocked = flows.start("signal")
    flows.flow_waits(blocked)
    block = flow_transition(blocked, FlowVerb.BLOCK, time.time(), blocker={"kind": "code_changed"})
    revision = flows.act("move_flow", block).revision
    path = f"/v1/flows/{blocked}/resume"
    refused(flows.ask("POST", path, {"revision": revision - 1}), 409, "conflict")
    assert flows.ask("POST", path, {"revision": revision}).status == 200
    assert flows.ask("POST", path, {"revision": revision}).status == 409
    flows.signal(blocked, "op", "1")
    assert result(flows, blocked) == ["FIRST", 1, "LAST"]
