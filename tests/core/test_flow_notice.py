"""Who is told of flows and approvals, and what: one notice for each thing that happened."""

from __future__ import annotations

import pytest

from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus
from outlast.core.flow import Flow, FlowMode, FlowStatus
from outlast.core.flow_notice import asked_notice, decided_notice, flow_notice, flow_told
from outlast.core.lifecycle import FLOW_MOVES, FlowVerb
from outlast.core.notice_text import notice_text, together
from outlast.core.session import Cause
from outlast.core.task import NotifyPolicy

ENDED = Flow(
    id="f-1", mode=FlowMode.PROGRAM, name="release", requester="agent:a:main", status=FlowStatus.FAILED,
    created_at=5.0, updated_at=202.0, revision=4, step="build", cause=Cause.ERROR, error="exit code 2", attempt=1,
    started_at=10.0, ended_at=202.0,
)  # fmt: skip
ASKED = Approval("a-1", ApprovalKind.EXEC, "agent:a:main", ApprovalStatus.PENDING, "Run rm -rf build?", 5.0)


def replaced(record, **fields):
    return type(record)(**{name: getattr(record, name) for name in record.__struct_fields__} | fields)


def test_a_flow_that_waits_or_runs_is_nobodys_news():
    told = {status for status in FlowStatus if flow_told(status)}
    assert told == {status for status in FlowStatus if status.final} | {FlowStatus.BLOCKED}
    assert {status for status in told if NotifyPolicy.FAILURES_ONLY in flow_told(status)} == {
        FlowStatus.FAILED, FlowStatus.LOST, FlowStatus.BLOCKED,
    }  # fmt: skip
    assert not [status for status in FlowStatus if NotifyPolicy.SILENT in flow_told(status)]


def test_a_notice_goes_to_the_channel_else_the_conversation_else_the_requester():
    notice = flow_notice(ENDED, FlowVerb.FAIL)
    assert (notice.kind, notice.target, notice.idempotency_key) == ("flow_ended", "agent:a:main", "f-1:fail:4")
    named = replaced(ENDED, conversation="agent:b:main")
    assert flow_notice(named, FlowVerb.FAIL).target == "agent:b:main"
    assert flow_notice(replaced(named, channel="ops"), FlowVerb.FAIL).target == "ops"
    assert flow_notice(replaced(ENDED, notify=NotifyPolicy.SILENT), FlowVerb.FAIL) is None


def test_an_end_is_told_with_where_it_stood_and_what_to_type():
    notice = flow_notice(ENDED, FlowVerb.FAIL)
    said = notice_text(notice.kind, notice.body)
    assert said.title == 'Flow "release" failed after 3m 12s'
    assert said.text == (
        'Flow "release" failed after 3m 12s.\nStep: build\nError: exit code 2\nMore: outlast flow show f-1'
    )


@pytest.mark.parametrize("status", [status for status in FlowStatus if flow_told(status)])
def test_every_end_has_its_words(status):
    flow = replaced(ENDED, status=status, label="nightly", error=None)
    verb = next(move.verb for move in FLOW_MOVES.values() if status in move.targets)
    notice = flow_notice(flow, verb)
    said = notice_text(notice.kind, notice.body)
    assert said.title.startswith('Flow "nightly" ')
    assert not said.title.endswith(f"is {status}") or status in ("blocked", "lost")


def test_a_flow_that_is_blocked_says_why_and_how_it_goes_on():
    blocked = replaced(
        ENDED, status=FlowStatus.BLOCKED, error=None, ended_at=None, blocker={"message": "step pack is new"}
    )
    notice = flow_notice(blocked, FlowVerb.BLOCK)
    said = notice_text(notice.kind, notice.body)
    assert notice.kind == "flow_blocked"
    assert said.text == (
        'Flow "release" is blocked until somebody sees to it.\nStep: build\nError: step pack is new\n'
        "More: outlast flow show f-1, to go on: outlast flow resume f-1"
    )


def test_the_reason_of_a_cancel_is_told_without_its_secrets():
    flow = replaced(
        ENDED, status=FlowStatus.CANCELLED, error=None, cancel_reason="wrong key sk-ant-api03-abcdefghijklmnopqrstuvwx"
    )
    text = notice_text("flow_ended", flow_notice(flow, FlowVerb.CANCEL).body).text
    assert "Reason: wrong key" in text and "abcdefghijkl" not in text and "Step:" not in text


def test_several_flows_are_counted_as_flows_and_with_tasks_as_notices():
    body = flow_notice(ENDED, FlowVerb.FAIL).body
    flows = together([("flow_ended", body)] * 2)
    assert flows.title == "2 flows: 2 failed" and flows.text.endswith("More: outlast flow list")
    assert "[f-1]" in flows.text
    assert together([("flow_ended", body), ("ended", {"taskId": "t-1", "status": "lost"})]).title.startswith(
        "2 notices"
    )


def test_a_question_is_told_once_and_its_answer_where_nothing_else_tells_it():
    asked = asked_notice(ASKED)
    assert (asked.kind, asked.target, asked.idempotency_key) == ("approval_asked", "agent:a:main", "a-1:asked")
    assert asked_notice(replaced(ASKED, conversation="agent:b:main")).target == "agent:b:main"
    assert "outlast approvals approve a-1" in notice_text(asked.kind, asked.body).text
    assert decided_notice(ASKED) is None
    answered = replaced(ASKED, status=ApprovalStatus.REJECTED, decided_by="ann", decided_how="cli", note="not today")
    told = decided_notice(answered)
    assert (told.kind, told.idempotency_key) == ("approval_decided", "a-1:rejected")
    text = notice_text(told.kind, told.body).text
    assert "rejected by ann" in text and "not today" in text
    for waits in ({"flow_id": "f-1"}, {"task_id": "t-1"}):
        assert decided_notice(replaced(answered, **waits)) is None
