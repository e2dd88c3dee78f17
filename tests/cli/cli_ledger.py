"""A ledger's records and answers as the wire has them, for tests without a gateway."""

from cli_fakes import answer, chunked, event

TASK = {
    "taskId": "01task",
    "runtime": "cli",
    "kind": "command",
    "source": "cli",
    "requester": "local",
    "conversation": None,
    "parentId": None,
    "flowId": None,
    "node": "here",
    "label": "nightly",
    "title": None,
    "command": "./build.sh\n\x1b[31m",
    "workdir": "/work",
    "status": "running",
    "cause": None,
    "exitCode": None,
    "exitSignal": None,
    "error": None,
    "summary": None,
    "progress": 40,
    "progressMessage": "half\x07way",
    "attempt": 1,
    "attemptsMax": 1,
    "queue": "default",
    "priority": 0,
    "dedupeKey": None,
    "notify": "done_only",
    "delivery": "not_needed",
    "createdAt": "2026-11-23T10:00:00.000Z",
    "startedAt": "2026-11-23T10:00:01.000Z",
    "endedAt": None,
    "lastSeenAt": None,
    "deadlineAt": None,
    "notBeforeAt": None,
    "cancelAskedAt": None,
    "dismissedAt": None,
    "durationMs": 12_000,
    "sessionId": "s1",
    "revision": 2,
    "usage": None,
    "detail": {},
    "existing": False,
    "advice": [],
    "followUp": "outlast tasks wait 01task",
}
QUEUED = {**TASK, "status": "queued", "startedAt": None, "durationMs": None, "sessionId": None, "progress": None}
DONE = {**TASK, "status": "succeeded", "exitCode": 0, "cause": "exit", "endedAt": "2026-11-23T10:00:13.000Z"}
FAILED = {**DONE, "taskId": "01other", "status": "failed", "exitCode": 7, "error": "no\nway"}
HOSTILE = {**TASK, "label": "\x1b]0;x\x07" + "l" * 1_000_000, "command": "a\nb\u202e" + "c" * 1_000_000}


def path_of(gateway, index=-1):
    return gateway.seen[index].split(b" ")[1].decode()


FIRST = {"sessionId": "s1", "text": "a\nb", "truncated": None, "bytes": {"start": 0, "end": 3}}


def row_of(number, verb, status=None, **data):
    at = "2026-11-23T10:00:00.000Z"
    return {
        "eventId": number,
        "taskId": "01task",
        "at": at,
        "verb": verb,
        "status": status,
        "cause": None,
        "data": data,
    }


CREATED, CLAIMED = row_of(1, "create", "queued"), row_of(2, "claim", "running", worker="w\x1b")
PROGRESS, ENDED = row_of(5, "progress", progress=40), {**row_of(7, "fail", "failed"), "cause": "exit"}


def history(*events, after=None):
    return answer({"taskId": "01task", "events": list(events), "next": after})


def news(*events, end=True):
    """An answer with these task events (and the first words of a listening stream)."""
    parts = [b": listening\n\n", *(event("task", {**each, "task": TASK}, each["eventId"]) for each in events)]
    return chunked(*parts, end=end)


def refusal(message="not ended"):
    return answer({"error": {"code": "not_ended", "message": message, "hint": None}}, 409)


def audit(*findings, **counts):
    counts = {"error": 0, "warn": 0, "info": 0, **counts}
    return {"findings": list(findings), "counts": counts, "codes": {}, "more": False, "checkedAt": None}


def upkeep(more=False, **fields):
    zero = {"applied": True, "moves": [], "lost": [], "cleaned": 0, "pruned": 0, "prunable": 0}
    return answer({**zero, "archived": 0, "archive": None, "more": more, **fields})
