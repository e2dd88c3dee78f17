"""A scripted agent that says what nobody should: names that are traps, numbers that are none, far too much of it all.

hostile_acp.py WORD      standard library only
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
import scripted_acp as agent

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202edrow\u2028\u2066\x00{message} {{x}} $(id) `id` '\"\\"


def numbers(number, session, said):
    """Numbers that no record holds, in every place a number may be."""
    for huge in (10**30, -(10**30), 2**63, 1e308, True, "12", None, [1], {"a": 1}):
        cost = {"amount": huge, "currency": "USD"}
        agent.update(session, sessionUpdate="usage_update", used=huge, size=huge, cost=cost)
        agent.update(session, sessionUpdate="tool_call", toolCallId="n", title="n", rawInput={"n": huge}, status=huge)
    raw = '{"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s-1", "update": {"sessionUpdate":'
    agent.write(raw + ' "usage_update", "used": NaN, "size": 1e999, "cost": {"amount": NaN, "currency": "USD"}}}}')
    agent.text(session, "counted")
    agent.answer(number, {"stopReason": "end_turn", "usage": dict.fromkeys(("inputTokens", "outputTokens"), 10**30)})


def names(number, session, said):
    """Files, tools, sessions and options by names that are traps; tell what came of the files."""
    home = os.getcwd()
    asked = [
        ("fs/write_text_file", {"path": f"{home}/two\nlines\x1b[31m{{x}} $(touch owned)", "content": NASTY}),
        ("fs/read_text_file", {"path": f"{home}/two\nlines\x1b[31m{{x}} $(touch owned)"}),
        ("fs/write_text_file", {"path": f"{home}/nul\x00/etc/passwd", "content": "x"}),
        ("fs/write_text_file", {"path": f"{home}/half\ud800", "content": "half\udcff"}),
        ("fs/write_text_file", {"path": f"{home}/../escaped\n", "content": "x"}),
        ("fs/write_text_file", {"path": f"{home}/" + "n" * 300, "content": "x"}),
        ("fs/write_text_file", {"path": home, "content": "x"}),
        ("fs/read_text_file", {"path": f"{home}/" + "d/" * 3000}),
        ("fs/read_text_file", {"path": 7}),
        ("fs/read_text_file", {"path": f"{home}/\x1b[2J"}),
        ("\x1b]0;method\x07" + "m" * 10_000, {}),
    ]
    got = [agent.ask(method, {"sessionId": session, **params}) for method, params in asked]
    agent.update(
        session, sessionUpdate="tool_call", toolCallId=NASTY * 50, title=NASTY * 50, kind=NASTY, status=NASTY,
        rawInput={NASTY: NASTY, "deep": json.loads("[" * 100 + "]" * 100)}, locations=[{"path": NASTY}],
    )  # fmt: skip
    agent.update(session, sessionUpdate="plan", entries=[{"content": NASTY, "priority": NASTY, "status": NASTY}] * 500)
    agent.update(session, sessionUpdate=NASTY, content=NASTY)
    agent.say({"method": NASTY, "params": [NASTY]})
    said = [one["result"] if "result" in one else one["error"]["message"] for one in got]
    agent.text(session, json.dumps(said))
    agent.text(session, NASTY, "agent_thought_chunk")
    return "end_turn"


def options(number, session, said):
    """Ask for leave with answers whose names no record keeps as they are, and tell which was given."""
    ids = ["token=abcdefgh12345", "a\x1b[31mb", "same", "same", "x" * 20_000, ""]
    choices = [{"optionId": one, "name": NASTY, "kind": "allow_once"} for one in ids]
    call = {"toolCallId": "t", "title": "leave?"}
    got = agent.ask("session/request_permission", {"sessionId": session, "toolCall": call, "options": choices})
    agent.text(session, json.dumps(ids.index(got["result"]["outcome"]["optionId"])))
    return "end_turn"


def many(number, session, said):
    """As many small updates as the prompt says, of the kind it says."""
    kind, count = said.split()
    lines = {
        "text": lambda n: {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "a "}},
        "messages": lambda n: {"sessionUpdate": "agent_message_chunk", "messageId": str(n),
                               "content": {"type": "text", "text": "a "}},
        "tool": lambda n: {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "in_progress",
                           "title": f"step {n}"},
        "tools": lambda n: {"sessionUpdate": "tool_call", "toolCallId": f"t{n}", "title": f"tool {n}"},
        "plan": lambda n: {"sessionUpdate": "plan", "entries": [{"content": f"step {n}", "status": "pending"}]},
        "usage": lambda n: {"sessionUpdate": "usage_update", "used": n, "size": 10**9},
    }[kind]  # fmt: skip
    out: list[str] = []
    for n in range(int(count)):
        params = {"sessionId": session, "update": lines(n)}
        out.append(json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params}))
        if len(out) == 1000:
            agent.write("\n".join(out))
            out.clear()
    if out:
        agent.write("\n".join(out))
    agent.text(session, "that was all")
    return "end_turn"


def introduce(number, params):
    """Introduce ourselves in words of a kind nobody expects, and want a login by methods that are none."""
    methods = [7, None, {"id": ["x"]}, {"id": NASTY, "name": NASTY, "type": "terminal", "args": [NASTY, 5]},
               {"id": "k", "type": "env_var", "vars": [{"name": NASTY}, 3, {}]},
               {"id": "d", "description": NASTY * 10_000, "_meta": {"terminal-auth": {"command": NASTY}}}]  # fmt: skip
    able = {"loadSession": "yes", "sessionCapabilities": {f"{NASTY}{n}": {} for n in range(10_000)},
            "promptCapabilities": [1], "mcpCapabilities": None}  # fmt: skip
    info = {"name": [1], "title": NASTY * 5_000, "version": {"major": 10**30}}
    agent.answer(number, {"protocolVersion": 1, "agentInfo": info, "agentCapabilities": able, "authMethods": methods})


def greedy():
    """Ask for a large file sixty times, read no answer until somebody lets us, and tell how many came."""
    Path("large").write_text("x" * 5_000_000)
    came, prompted = 0, None
    for line in sys.stdin:
        if '"result"' in line[:200] and came < 60:
            came += 1
            if came == 60:
                agent.text("s-1", "all came")
                while not os.path.exists("leave"):
                    time.sleep(0.01)
                agent.answer(prompted, {"stopReason": "end_turn"})
            continue
        message = json.loads(line)
        if message["method"] != "session/prompt":
            agent.METHODS[message["method"]](message["id"], message["params"])
            continue
        prompted = message["id"]
        for count in range(60):
            params = {"sessionId": "s-1", "path": f"{os.getcwd()}/large"}
            agent.say({"id": 5000 + count, "method": "fs/read_text_file", "params": params})
        while not os.path.exists("read"):
            time.sleep(0.01)


def curious(number, session, said):
    """Ask for leave as often as the prompt says, all at once; tell the answers, with ``wait`` once told to stop."""
    said, _, wait = said.partition(" ")
    options = [{"optionId": one, "name": one, "kind": f"{one}_once"} for one in ("allow", "reject")]
    for count in range(int(said)):
        call = {"toolCallId": f"t{count}", "title": f"may I {count}"}
        params = {"sessionId": session, "toolCall": call, "options": options}
        agent.say({"id": 5000 + count, "method": "session/request_permission", "params": params})
    if wait:
        agent.CANCELLED.wait()
    while len(agent.RESULTS) < int(said):
        time.sleep(0.01)
    told = [one["result"]["outcome"].get("optionId", "cancelled") for one in agent.RESULTS.values()]
    agent.text(session, json.dumps({one: told.count(one) for one in sorted(set(told))}))
    return "cancelled" if wait else "end_turn"


def unhearing():
    """Close our ears before anybody has said what there is to do, and stay."""
    for _ in ("initialize", "session/new"):
        message = json.loads(sys.stdin.readline())
        if message["method"] == "session/new":
            os.close(0)
        agent.METHODS[message["method"]](message["id"], message["params"])
    time.sleep(600)


if "introduction" in agent.HABITS:
    agent.METHODS["initialize"] = introduce
agent.TURNS.update({"numbers": numbers, "names": names, "many": many, "options": options, "curious": curious})
MAINS = {"greedy": greedy, "unhearing": unhearing}
next((MAINS[habit] for habit in agent.HABITS if habit in MAINS), agent.main)()
