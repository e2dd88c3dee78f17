"""An agent that speaks ACP and does next to nothing: it answers, or waits when it is told to. Standard library only.

Told ``run 20`` it has `true` run twenty times by its client, told ``own 20`` it runs it by itself, told ``hold`` it has
its client run a command that stays.
"""

import itertools
import json
import subprocess
import sys
import time

NUMBERS = itertools.count(1000)


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        method, given = asked.get("method"), asked.get("params") or {}
        result: dict[str, object] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {}, "authMethods": []}
        elif method == "session/new":
            result = {"sessionId": "s1"}
        elif method == "session/prompt":
            said = given["prompt"][0]["text"]
            update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": f"you said: {said}"}}
            say({"method": "session/update", "params": {"sessionId": "s1", "update": update}})
            do(*said.split())
            result = {"stopReason": "end_turn"}
        if "id" in asked:
            say({"id": asked["id"], "result": result})


def do(act: str, count: str = "0") -> None:
    if act == "wait":
        time.sleep(600)
    if act == "hold":
        run("sleep", "600")
    for _ in range(int(count)):
        if act == "run":
            run("true")
        else:
            subprocess.run(["true"], check=True)


def run(command: str, *args: str) -> None:
    """Have the client run a command to its end."""
    made = ask("terminal/create", {"command": command, "args": list(args)})
    for act in ("wait_for_exit", "output", "release"):
        ask(f"terminal/{act}", {"terminalId": made["terminalId"]})


def ask(method: str, params: dict[str, object]) -> dict[str, object]:
    number = next(NUMBERS)
    say({"id": number, "method": method, "params": {"sessionId": "s1", **params}})
    while True:
        answer: dict[str, object] = json.loads(sys.stdin.readline())
        if answer.get("id") == number and "method" not in answer:
            result = answer["result"]
            assert isinstance(result, dict)
            return result


def say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
