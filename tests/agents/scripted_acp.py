"""An agent for tests that speaks the Agent Client Protocol over stdio, and misbehaves where it is told to.

scripted_acp.py [WORD …]     each word is a habit, see HABITS below; standard library only
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HABITS = frozenset(sys.argv[1:])
REMEMBERED = os.environ.get("SCRIPTED_MEMORY", "")
OUT = threading.Lock()
ANSWERS: dict[object, threading.Event] = {}
RESULTS: dict[object, dict] = {}
CANCELLED = threading.Event()
LOGGED_IN = threading.Event()
COUNTER = iter(range(1000, 10_000))


def write(text: str) -> None:
    with OUT:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say(message: dict) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}))


def update(session: str, **fields) -> None:
    say({"method": "session/update", "params": {"sessionId": session, "update": fields}})


def chunk(words: str, kind: str = "agent_message_chunk") -> dict:
    return {"sessionUpdate": kind, "content": {"type": "text", "text": words}}


def text(session: str, words: str, kind: str = "agent_message_chunk") -> None:
    update(session, **chunk(words, kind))


def at_once(session: str, *updates: dict) -> None:
    """Write several updates in one go: whoever reads them has all of them, however busy the machine is."""
    params = ({"sessionId": session, "update": fields} for fields in updates)
    write("\n".join(json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": one}) for one in params))


def ask(method: str, params: dict) -> dict:
    """Ask the client; returns its whole answer."""
    number = next(COUNTER)
    ANSWERS[number] = threading.Event()
    say({"id": number, "method": method, "params": params})
    ANSWERS[number].wait()
    return RESULTS[number]


def answer(number, result=None, error=None) -> None:
    say({"id": number, "result": result} if error is None else {"id": number, "error": error})


def die(habit: str) -> None:
    """Crash at a point, if that is a habit."""
    if f"crash:{habit}" in HABITS:
        sys.stderr.write(f"Traceback: the agent fell over in {habit}\n")
        sys.stderr.flush()
        os._exit(7)
    if f"exit0:{habit}" in HABITS:
        os._exit(0)


def initialize(number, params) -> None:
    die("initialize")
    if "silent" in HABITS:
        sys.stderr.write("still warming up\n")
        sys.stderr.flush()
        return
    if "garbage-only" in HABITS:
        for count in range(1000):
            write(f"log line {count}: not a message")
        return
    methods = [{"id": "browser", "name": "Log in with a browser", "type": "terminal", "args": ["login"]}]
    if "key" in HABITS:
        methods.append({"id": "key", "name": "A key", "type": "env_var", "vars": [{"name": "SCRIPTED_KEY"}]})
    sessions = {"resume": {}} if "resume" in HABITS else {}
    answer(
        number,
        {
            "protocolVersion": 2 if "version-2" in HABITS else "one" if "version-text" in HABITS else 1,
            "agentInfo": {"name": "scripted", "title": "Scripted", "version": "1.0"},
            "agentCapabilities": {"loadSession": "load" in HABITS, "sessionCapabilities": sessions},
            "authMethods": methods,
            "_meta": {"client": params},
        },
    )


def new_session(number, params) -> None:
    die("new")
    if "login" in HABITS and not LOGGED_IN.is_set():
        answer(number, error={"code": -32000, "message": "Authentication required"})
    elif "no-id" in HABITS:
        answer(number, {})
    else:
        answer(number, {"sessionId": "s-1"})


def load_session(number, params) -> None:
    die("load")
    if params["sessionId"] == "s-gone":
        answer(number, error={"code": -32602, "message": "no such session"})
        return
    text(params["sessionId"], "what was said before")
    answer(number, None)


def authenticate(number, params) -> None:
    if "refuses-key" in HABITS:
        answer(number, error={"code": -32000, "message": "that key is not good"})
        return
    LOGGED_IN.set()
    answer(number, {})


def prompt(number, params) -> None:
    session, said = params["sessionId"], params["prompt"][0]["text"]
    CANCELLED.clear()
    die("prompt")
    for habit, act in TURNS.items():
        if habit in HABITS:
            stop = act(number, session, said)
            break
    else:
        text(session, f"you said: {said}")
        stop = "end_turn"
    if stop is not None:
        answer(number, {"stopReason": stop, "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}})


def whole(number, session, said):
    """Everything a turn can have."""
    at_once(session, chunk("let me ", "agent_thought_chunk"), chunk("think", "agent_thought_chunk"))
    update(session, sessionUpdate="plan", entries=[{"content": "look", "priority": "high", "status": "pending"}])
    update(session, sessionUpdate="tool_call", toolCallId="t1", title="cat a\x1b[31m", kind="execute", status="pending",
           rawInput={"command": "cat a", "env": [{"name": "API_KEY", "value": "hunter22"}]})  # fmt: skip
    update(session, sessionUpdate="tool_call_update", toolCallId="t1", status="completed",
           content=[{"type": "content", "content": {"type": "text", "text": "password: hunter2"}}])  # fmt: skip
    update(session, sessionUpdate="usage_update", used=10, size=100, cost={"amount": 0.5, "currency": "USD"})
    for piece in ("Hello, ", "wor", "ld\nand ", "more"):
        text(session, piece)
    update(session, sessionUpdate="something_new", what={"is": "this"})
    return "end_turn"


def permission(number, session, said):
    """Ask for leave as often as the prompt says, and tell what came of it."""
    for count in range(int(said)):
        got = ask(
            "session/request_permission",
            {
                "sessionId": session,
                "toolCall": {"toolCallId": f"t{count}", "title": "rm -rf build", "kind": "execute",
                             "rawInput": {"command": "rm -rf build"}},
                "options": [
                    {"optionId": "no", "name": "No", "kind": "reject_once"},
                    {"optionId": "always", "name": "Always", "kind": "allow_always"},
                    {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
                ],
            },
        )  # fmt: skip
        text(session, f"answer {count}: {json.dumps(got['result']['outcome'], sort_keys=True)}\n")
    return "cancelled" if CANCELLED.is_set() else "end_turn"


def files(number, session, said):
    """Do what the prompt says, a JSON list of [method, params], and tell what came of it."""
    got = [ask(method, {"sessionId": session, **params}) for method, params in json.loads(said)]
    text(session, json.dumps([{k: v for k, v in one.items() if k in ("result", "error")} for one in got]))
    return "end_turn"


def terminals(number, session, said):
    """Do the steps of the prompt: [method, params] one by one, a list of those at once; tell what came of each.

    A step may be a text that is said, or null: a wait until somebody says stop.
    """
    got = []
    for step in json.loads(said):
        if isinstance(step, str):
            text(session, step)
        elif step is None:
            CANCELLED.wait()
        elif isinstance(step[0], str):
            got.append(ask(step[0], {"sessionId": session, **step[1]}))
        else:
            with ThreadPoolExecutor(len(step)) as pool:
                got.append(list(pool.map(lambda one: ask(one[0], {"sessionId": session, **one[1]}), step)))
    text(session, json.dumps([_came(one) for one in got]))
    return "cancelled" if CANCELLED.is_set() else "end_turn"


def _came(one):
    return [_came(each) for each in one] if isinstance(one, list) else one.get("result", one.get("error"))


def flood(number, session, said):
    """Five megabytes of standard error, then an answer."""
    line = "noise " * 20 + "\n"
    for _ in range(5 * 1024 * 1024 // len(line)):
        sys.stderr.write(line)
    sys.stderr.write("the last line\n")
    sys.stderr.flush()
    text(session, "done flooding")
    return "end_turn"


def forever(number, session, said):
    """Work until somebody says stop."""
    text(session, "working…\n")
    CANCELLED.wait()
    text(session, "stopped\n")
    return "cancelled"


def unmoved(number, session, said):
    """Stop when somebody says so, and call that an end like any other: some know no other."""
    forever(number, session, said)
    return "end_turn"


def deaf(number, session, said):
    """Work for ever, whatever anybody says."""
    text(session, "I do not listen\n")
    while True:
        time.sleep(60)


def mid(number, session, said):
    text(session, "half of it")
    time.sleep(0.05)
    die("mid")


def noise(number, session, said):
    """Things on the wire that do not belong there."""
    write("npm warn something")
    write('{"jsonrpc": "2.0", "method": 5}')
    write('{"half a mess')
    write("[1, 2, 3]")
    write("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
    say({"id": 99, "method": "client/unknown", "params": {}})
    say({"method": "session/update", "params": {"sessionId": session, "update": 7}})
    text("somebody else's", "not for you")
    write("")
    line = json.dumps({"method": "session/update", "params": {"sessionId": session, "update": chunk("TEXT")}})
    write(line.replace("TEXT", r"a\u0000b \ud800 \u001b[31mred\u001b[0m {{x}} {y}"))
    return "end_turn"


def wrong_id(number, session, said):
    say({"id": "prompt-1", "result": {"stopReason": "end_turn"}})


def no_result(number, session, said):
    say({"id": number, "somethingElse": 1})


def odd_stop(number, session, said):
    return "tired"


def bad_json(number, session, said):
    """The answer itself is broken."""
    write('{"jsonrpc": "2.0", "id": ' + str(number) + ', "result": {"stopReason": "end_turn"')
    os._exit(0)


def giant_update(number, session, said):
    text(session, "x" * (20 * 1024 * 1024))
    text(session, "after the giant")
    return "end_turn"


def giant_answer(number, session, said):
    say({"id": number, "result": {"stopReason": "end_turn", "x": "y" * (20 * 1024 * 1024)}})


def children(number, session, said):
    """Leave children behind: one in our group, one in a session of its own that holds our pipes."""
    here = subprocess.Popen(["sleep", "600"])
    there = subprocess.Popen(["sleep", "600"], start_new_session=True)
    text(session, f"{here.pid} {there.pid}")
    return "end_turn"


def historian(number, session, said):
    """Have a child that writes down what was said when its input ends, and is not waited for."""
    subprocess.Popen(["sh", "-c", "read word; sleep 0.3; echo kept > history"], stdin=subprocess.PIPE)
    return "end_turn"


def orphan_crash(number, session, said):
    """Crash while a child holds the pipes."""
    subprocess.Popen(["sleep", "600"])
    os._exit(3)


def failing(number, session, said):
    answer(number, error={"code": -32603, "message": "Internal error", "data": {"details": "model overloaded"}})


def closes_output(number, session, said):
    os.close(1)
    time.sleep(600)


def long_text(number, session, said):
    for count in range(3000):
        text(session, f"line {count} of a long answer, with some words in it\n")
    return "end_turn"


TURNS = {
    "whole": whole, "permission": permission, "files": files, "terminals": terminals, "flood": flood,
    "forever": forever, "unmoved": unmoved, "deaf": deaf,
    "crash:mid": mid, "exit0:mid": mid, "noise": noise, "wrong-id": wrong_id, "no-result": no_result,
    "odd-stop": odd_stop, "bad-json": bad_json, "giant-update": giant_update, "giant-answer": giant_answer,
    "children": children, "historian": historian, "orphan-crash": orphan_crash, "failing": failing,
    "closes-output": closes_output, "long": long_text,
    "refusal": lambda *_: "refusal", "max-tokens": lambda *_: "max_tokens",
    "max-requests": lambda *_: "max_turn_requests",
}  # fmt: skip
METHODS = {
    "initialize": initialize, "session/new": new_session, "session/load": load_session, "session/resume": load_session,
    "authenticate": authenticate, "session/prompt": prompt,
}  # fmt: skip


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method = message.get("method")
        if method is None:
            RESULTS[message["id"]] = message
            if message["id"] in ANSWERS:  # not what was asked under a number of its own
                ANSWERS[message["id"]].set()
        elif method == "session/cancel":
            if REMEMBERED:
                with open(REMEMBERED, "a", encoding="utf-8") as file:
                    file.write("cancel\n")
            CANCELLED.set()
        elif method in METHODS:
            threading.Thread(target=METHODS[method], args=(message["id"], message["params"]), daemon=True).start()
    if "stays" in HABITS:
        time.sleep(600)


if __name__ == "__main__":
    main()
