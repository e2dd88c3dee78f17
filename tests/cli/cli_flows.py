"""Flows as the wire has them, for tests without a gateway."""

from cli_fakes import answer

FLOW = {
    "flowId": "f01flow",
    "mode": "program",
    "name": "release",
    "handler": "/srv/release.py:release",
    "requester": "local",
    "conversation": None,
    "goal": "ship\x1b[31m 1.2",
    "label": "nightly",
    "parentId": None,
    "parentStep": None,
    "taskId": None,
    "scheduleId": None,
    "node": None,
    "status": "running",
    "cause": None,
    "error": None,
    "revision": 2,
    "step": None,
    "heldUp": None,
    "wait": None,
    "blocker": None,
    "progress": {"done": 3, "known": 7},
    "attempt": 1,
    "attemptsMax": 1,
    "crashes": 0,
    "priority": 0,
    "concurrencyKey": None,
    "concurrencyMax": None,
    "dedupeKey": None,
    "notify": "done_only",
    "delivery": "not_needed",
    "createdAt": "2026-11-23T10:00:00.000Z",
    "updatedAt": "2026-11-23T10:00:01.000Z",
    "startedAt": "2026-11-23T10:00:01.000Z",
    "endedAt": None,
    "notBeforeAt": None,
    "deadlineAt": None,
    "cancelAskedAt": None,
    "cancelReason": None,
    "durationMs": 12_000,
    "worker": "n1/w1",
    "ask": {},
    "followUp": "outlast flow watch f01flow",
}
DONE = {**FLOW, "status": "succeeded", "endedAt": "2026-11-23T10:00:13.000Z", "followUp": None, "result": "https://x"}
FAILED = {**DONE, "status": "failed", "cause": "error", "error": "no\nway", "followUp": "outlast flow retry f01flow"}
BLOCKED = {
    **FLOW,
    "status": "blocked",
    "heldUp": "on record is step 'a', but the program now asks for 'b'",
    "followUp": "outlast flow retry f01flow --from a",
}
HOSTILE = {**FLOW, "name": "\x1b]0;x\x07" + "n" * 100_000, "label": "a\nb\u202e", "goal": "g" * 100_000}
STEP = {
    "key": "build",
    "seq": 0,
    "kind": "run",
    "status": "succeeded",
    "attempt": 1,
    "startedAt": "2026-11-23T10:00:01.000Z",
    "endedAt": "2026-11-23T10:00:03.000Z",
    "dueAt": None,
    "durationMs": 2_000,
    "result": None,
    "resultCut": None,
    "error": None,
    "taskId": "t01task",
    "childId": None,
    "approvalId": None,
}
ASKED = {
    "approvalId": "a01",
    "step": "ship",
    "prompt": "Ship\x07 it?",
    "askedAt": None,
    "expiresAt": None,
    "approve": "outlast approvals approve a01",
    "reject": "outlast approvals reject a01",
}
WAITS = {"step": "go", "words": "waits for signal 'go'", "until": None, "command": "outlast flow signal f01flow go"}
SHOWN = {
    **FLOW,
    "state": {},
    "result": None,
    "waitsFor": [WAITS],
    "steps": [STEP, {**STEP, "key": "plan", "kind": "function", "taskId": None, "result": {"a": 1}}],
    "moreSteps": True,
    "signals": [
        {
            "signalId": 1,
            "flowId": "f01flow",
            "name": "early",
            "at": None,
            "payload": {"b": 2},
            "sentBy": "local",
            "key": None,
            "step": None,
        }
    ],
    "approvals": [ASKED],
    "children": [{**FLOW, "flowId": "f02child"}],
    "tasks": [
        {"taskId": "t01task", "status": "succeeded", "label": None, "exitCode": 0},
        {"taskId": "t02other", "status": "running", "label": "x", "exitCode": None},
    ],
}


def seen(flow, *steps, mark="m", after=-1, approvals=(), waits=()):
    """One answer of a watch."""
    return answer(
        {
            "mark": mark,
            "after": after,
            "flow": flow,
            "waitsFor": list(waits),
            "approvals": list(approvals),
            "steps": list(steps),
        }
    )


def page(*flows, after=None):
    """One page of a list."""
    return answer({"flows": list(flows), "next": after})
