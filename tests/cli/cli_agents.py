"""Agents, turns and what was said as the wire has them, for tests without a gateway."""

import re

from cli_fakes import answer
from cli_ledger import TASK

HOSTILE = "\x1b]0;owned\x07\x1b[31m{message} $(id) `id` \u202edrow\u2028\x9b2J\x7f"
AGENT = {
    "agent": "coder", "backend": "acp", "command": ["claude-agent-acp", "--x y"], "model": None, "workdir": None,
    "permissions": "ask", "timeoutSeconds": 3600.0, "heartbeatSeconds": None, "conversation": "agent:coder:main",
    "running": 0, "queued": 0,
}  # fmt: skip
MODEL = {**AGENT, "agent": "main", "backend": "model", "command": [], "model": HOSTILE, "heartbeatSeconds": 1800.0,
         "running": 1, "queued": 2}  # fmt: skip
TURN = {**TASK, "taskId": "01turn", "runtime": "acp", "kind": "turn", "command": "", "title": f"coder: {HOSTILE}",
        "conversation": "agent:coder:main", "requester": f"agent:{HOSTILE}", "durationMs": 120_000}  # fmt: skip
DONE = {**TURN, "status": "succeeded", "cause": "exit", "endedAt": "2026-11-23T10:00:13.000Z"}
FAILED = {**DONE, "taskId": "01bad", "status": "failed", "cause": "error", "error": f"no luck\n{HOSTILE}",
          "detail": {"hint": f"log in{HOSTILE}"}}  # fmt: skip
SHOWN = {
    "task": DONE, "agent": "coder", "parent": f"agent:{HOSTILE}", "depth": 1, "text": f"All\n{HOSTILE}\ndone.",
    "stop": "end_turn", "inputTokens": 1200, "outputTokens": None, "costUsd": 0.25, "durationMs": 120_000,
}  # fmt: skip


def entry(seq, kind="text", text="hello", task="01turn", **data):
    return {"seq": seq, "at": "2026-11-23T10:00:13.000Z", "kind": kind, "text": text, "data": data, "taskId": task}


def page(*entries, ended=False, before=None, after=None):
    last = entries[-1]["seq"] if entries else after
    found = {"conversation": "agent:coder:main", "agent": "coder", "entries": list(entries), "after": last}
    return answer({**found, "before": before, "ended": ended})


def harmless(*texts):
    """True when nothing in a text does more than to be read."""
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]", "".join(texts))
