"""A runner that does what its prompt says: the last line of the prompt is a list of acts in JSON.

It speaks the protocol of `outlast.agents.runner` with the standard library alone, so it starts in no time, and it can
misbehave in ways the real one does not.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any

WISHES: queue.Queue[dict[str, Any]] = queue.Queue()
STUBBORN = threading.Event()


def event(ev: str, **fields: Any) -> None:
    """Write a line of the journal."""
    os.write(1, json.dumps({"ev": ev, "at": time.time(), **fields}).encode() + b"\n")


def end(**fields: Any) -> None:
    """Write the last line, and leave."""
    event("end", **{"stop": "end_turn", "text": "", **fields})
    os._exit(1 if fields.get("error") else 0)


def called_off(*_: object) -> None:
    if not STUBBORN.is_set():
        end(stop="cancelled", text="half of it")


def listen(turn: dict[str, Any]) -> None:
    """Take the wishes of the gateway; a second turn is passed over."""
    for line in filter(str.strip, sys.stdin):
        wish = json.loads(line)
        if wish.get("op") == "cancel":
            called_off()
        elif "op" in wish:
            WISHES.put(wish)
        else:
            with open(os.path.join(turn["workdir"], "again"), "a", encoding="utf-8") as file:
                file.write("told again\n")


def act(turn: dict[str, Any], name: str, *given: Any) -> None:
    """Do one act."""
    match name:
        case "begin":
            event("ready", title="Scripted", data={"version": "1"})
            event("begun", agentSession=given[0] if given else "as-1", data={"resumed": False})
        case "say":
            event("text", id=given[1] if len(given) > 1 else "m1", text=given[0])
        case "event":
            event(**given[0])
        case "echo":
            event("text", id="m9", text=json.dumps({key: turn.get(key) for key in given}))
        case "note":
            with open(given[0], "a", encoding="utf-8") as file:
                file.write("ran\n")
        case "gate":
            while not os.path.exists(given[0]):
                time.sleep(0.005)
        case "ask":
            event("permission", id=given[0], title=given[1], text="it says", data={"options": given[2], **given[3]})
            wish = WISHES.get()
            said = "rejected" if wish["option"] in (None, "no") else "allowed"
            event("permitted", id=given[0], status=said, data={"option": wish["option"], "by": "answer"})
        case "first":
            if not os.path.exists(given[0]):
                open(given[0], "w").close()
                end(**given[1])
        case "expire":
            expires_at = time.time() + given[2]
            event("permission", id=given[0], title=given[1], data={"options": [], "expiresAt": expires_at})
            while not (os.path.exists(given[3]) and time.time() >= expires_at):
                time.sleep(0.005)
            event("permitted", id=given[0], status="expired", data={"option": None, "by": "expiry"})
        case "steered":
            wish = WISHES.get()
            event("steered", id=wish["id"], text=wish["text"], status="sent")
        case "flood":
            for _ in range(given[0]):
                event("text", id="f1", text="x" * given[1])
        case "stderr":
            os.write(2, given[0].encode() * given[1])
        case "raw":
            sys.stdout.write(given[0] * (given[1] if len(given) > 1 else 1))
            sys.stdout.flush()
        case "child":
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
        case "stubborn":
            STUBBORN.set()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "hang":
            while True:
                time.sleep(1000)
        case "exit":
            os._exit(given[0])
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "end":
            end(**given[0])


def first() -> dict[str, Any]:
    """Return the turn: the first line that does not break off."""
    for line in sys.stdin:
        try:
            return dict(json.loads(line))
        except ValueError:
            continue
    os._exit(1)


def main() -> None:
    """Read the turn and do what it says."""
    signal.signal(signal.SIGTERM, called_off)
    turn = first()
    threading.Thread(target=listen, args=(turn,), daemon=True).start()
    for name, *given in json.loads(turn["prompt"].rpartition("\n")[2]):
        act(turn, name, *given)
    end(text="done")


main()
