"""A command under outlast that itself calls outlast while no gateway runs."""

import json
import os
import signal
import socket
import sys
import time

from cli_live import PATIENCE

from outlast.process.keeper import proc
from outlast.process.keeper.wire import pack, receive

SCRIPT = f"read go; {sys.executable} -m outlast process list; echo code $?; read end"


def start(own):
    """Start a session that waits for a line before it calls outlast, and kill the gateway."""
    call = {"tool": "exec", "command": SCRIPT, "yieldMs": 0, "stdin": "pipe", "streams": "merged"}
    session = json.loads(own.run("tool", json.dumps(call)).stdout)
    keeper = own.json("status", "--json")["keeper"]["pid"]
    own.kill_gateway()
    return session, keeper


def go(own, session):
    """Type a line straight to the supervisor, for there is no gateway, and wait until the session has printed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(f"{own.home}/run/{session['sessionId']}.ctl")
        sock.sendall(pack({"op": "write", "n": 1, "data": "Cg=="}) + pack({"op": "watch", "after": 0}))
        message = receive(sock)
        while message is not None and message.get("ev") != "out":
            message = receive(sock)
    assert message is not None


def serves_starts(own):
    """True while anybody accepts connections on the keeper's address."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(f"{own.home}/run/keeper.sock") == 0


def test_a_gateway_started_from_within_a_session_does_not_belong_to_it(own):
    """Whoever ends the session must not end the gateway that it happened to start, nor the keeper."""
    session, keeper = start(own)
    supervisor = next(pid for pid in proc.descendants(keeper) if session["pid"] in proc.children(pid))
    go(own, session)
    gateway = own.json("gateway", "status", "--json")["pid"]
    assert gateway not in proc.descendants(supervisor)
    assert own.run("process", "kill", session["sessionId"]).returncode == 0
    status = own.json("status", "--json")
    assert (status["gateway"]["pid"], status["keeper"]["pid"]) == (gateway, keeper)


def test_without_a_keeper_it_says_where_to_start_one(own):
    """Rather no gateway than one that ends with the session."""
    session, keeper = start(own)
    os.kill(keeper, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while serves_starts(own):  # its spares leave when they notice, a moment later
        assert time.monotonic() < deadline
    go(own, session)
    own.run("gateway", "start")
    waited = own.json("process", "wait", session["sessionId"], "--pattern", "code [0-9]", "--json")
    assert waited["met"]
    text = own.run("process", "log", session["sessionId"]).stdout.decode()
    assert "code 6" in text
    assert "outlast gateway start" in text
