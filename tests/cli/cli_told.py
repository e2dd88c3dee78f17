"""Schedules, conversations, wakes and notices as the wire has them, for tests without a gateway."""

FIRINGS = [
    {
        "at": "2999-03-28T01:00:00.000Z",
        "firesAt": "2999-03-28T01:00:00.000Z",
        "local": "Thu 2999-03-28 03:00:00",
        "offset": "+02:00 CEST",
        "note": "02:30 does not exist",
    },
    {
        "at": "2999-03-29T00:30:00.000Z",
        "firesAt": "2999-03-29T00:32:10.000Z",
        "local": "Fri 2999-03-29 02:30:00",
        "offset": "+02:00 CEST",
        "note": None,
    },
]
UNDERSTOOD = {
    "words": "At 02:30 every day",
    "zone": "Europe/Berlin",
    "next": FIRINGS,
    "notes": ["02:30 happens twice on 2999-10-31: runs once, the first time"],
}
SCHEDULE = {
    "name": "backup",
    "scheduleId": "r1",
    "requester": "local",
    "kind": "cron",
    "expr": "30 2 * * *",
    "tz": "Europe/Berlin",
    "words": "At 02:30 every day",
    "payload": "command",
    "command": "./backup.sh\x1b[31m",
    "workdir": "/work",
    "event": None,
    "conversation": None,
    "misfire": "once",
    "overlap": "skip",
    "jitterSeconds": 300.0,
    "retries": 3,
    "timeoutSeconds": 3600.0,
    "deliver": "none",
    "webhook": None,
    "deleteAfterRun": False,
    "status": "active",
    "why": None,
    "nextAt": "2999-03-28T01:00:00.000Z",
    "nextFireAt": "2999-03-28T01:00:00.000Z",
    "lastAt": None,
    "failures": 0,
    "comment": "a remark\nof two \x1blines",
    "createdAt": "2026-11-23T10:00:00.000Z",
    "updatedAt": "2026-11-23T10:00:00.000Z",
    "revision": 2,
    "understood": UNDERSTOOD,
}
TELLING = {**SCHEDULE, "payload": "event", "command": None, "event": "e\x07" * 1000, "conversation": "agent:\x1b[0m"}
DISABLED = {**SCHEDULE, "name": "old", "status": "disabled", "why": "10 failures in a row", "nextFireAt": None}
RUNS = [
    {
        "instant": "2026-11-23T10:00:00.000Z",
        "at": "2026-11-23T10:00:00.020Z",
        "how": "fired",
        "taskId": "01task",
        "status": "succeeded",
        "note": None,
        "before": 1.5,
    },
    {
        "instant": "2026-11-22T10:00:00.000Z",
        "at": "2026-11-23T09:00:00.000Z",
        "how": "missed",
        "taskId": None,
        "status": None,
        "note": "3 passed\x1b unfired",
        "before": 1.25,
    },
]
EVENT = {
    "eventId": 7,
    "conversation": "agent:a:main",
    "at": "2026-11-23T10:00:00.000Z",
    "kind": "ended",
    "text": '"nightly" failed.\n| \x1b[31mred',
    "data": {},
    "mode": "now",
    "ackedAt": None,
}
WAKE = {
    "wakeId": "w1",
    "conversation": "agent:a:main",
    "channel": 'command:["claude","{text}"]',
    "status": "ready",
    "attempts": 0,
    "error": None,
    "dueAt": None,
    "sentAt": None,
    "createdAt": "2026-11-23T10:00:00.000Z",
}
NOTICE = {
    "noticeId": 5,
    "taskId": "01task",
    "target": "webhook:https://example.org/***",
    "kind": "ended",
    "state": "parked",
    "attempts": 9,
    "error": "answered 500\x1b",
    "at": "2026-11-23T10:00:00.000Z",
    "nextAt": None,
    "settledAt": None,
    "title": '"nightly" failed',
    "key": "01task:fail:3",
}


def events(*rows, next=None):
    return {"conversation": "agent:a:main", "events": list(rows), "next": next}
