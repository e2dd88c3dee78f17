"""What a peer may ask of a supervisor. Each request is one small function; every answer carries the request's ``n``.

Answers with ``error``: ``unknown_op``, ``bad_request``, ``ended``, ``no_stdin``, ``stdin_full``, ``not_a_pty``, ``os``.
"""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from outlast.process.keeper import proc
from outlast.process.keeper.channel import Channel
from outlast.process.keeper.pump import STDIN_MAX
from outlast.process.keeper.spawn import set_size
from outlast.process.keeper.wire import PROTOCOL, Message

if TYPE_CHECKING:
    from outlast.process.keeper.supervisor import Supervisor


def answer(sup: Supervisor, channel: Channel, message: Message) -> bool:
    """Serve one request. False when the peer is gone."""
    n = message.get("n")
    act = _OPS.get(str(message.get("op")))
    if act is None:
        return channel.send({"n": n, "error": "unknown_op"})
    try:
        reply = act(sup, channel, message)
    except OSError as error:
        reply = {"error": "os", "message": error.strerror or str(error)}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reply = {"error": "bad_request", "message": str(error)}
    return True if reply is None else channel.send({"n": n, **reply})


def _hello(sup: Supervisor, channel: Channel, message: Message) -> Message:
    return {
        "protocol": PROTOCOL,
        "version": sup.version,
        "supervisor": os.getpid(),
        "id": sup.spec["id"],
        "pid": sup.pid,
        "exit": sup.exit,
        "complete": not sup.pump.open,
        "leftovers": len(sup.tree()) if sup.exit else 0,
        **sup.spool.report(),
    }


def _watch(sup: Supervisor, channel: Channel, message: Message) -> None:
    """One notice when output passes ``after``; the peer asks again when it has digested it."""
    channel.watch = int(message["after"])
    sup.notify(channel)


def _write(sup: Supervisor, channel: Channel, message: Message) -> Message:
    data = base64.b64decode(message.get("data") or "", validate=True)
    if sup.exit is not None:
        return {"error": "ended"}
    if not sup.pump.takes_input:
        return {"error": "no_stdin"}
    if sup.pump.input_waiting + len(data) > STDIN_MAX:
        return {"error": "stdin_full", "pending": sup.pump.input_waiting}
    sup.pump.write(data, eof=bool(message.get("eof")))
    return {"accepted": len(data), "pending": sup.pump.input_waiting}


def _signal(sup: Supervisor, channel: Channel, message: Message) -> Message:
    signum, scope = int(message["signal"]), message.get("scope", "leader")
    if scope == "tree":
        return {"sent": sum(_reached(pid, signum) for pid in sup.tree())}
    if sup.exit is not None:
        return {"error": "ended"}
    if scope == "group":
        os.killpg(sup.foreground_group(), signum)
    else:
        os.kill(sup.pid, signum)
    return {"sent": 1}


def _reached(pid: int, signum: int) -> bool:
    """Signal one of many. Who has vanished or belongs to another user does not shield the others."""
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill(sup: Supervisor, channel: Channel, message: Message) -> None:
    """End the whole tree; the answer comes when it is over and lists everyone."""
    n = message.get("n")

    def done(report: dict[str, object]) -> None:
        sup.settle(channel, channel.send({"n": n, **report, "exit": sup.exit}))

    signum = int(message.get("signal") or signal.SIGTERM)
    if not 0 < signum < signal.NSIG:
        raise ValueError(f"no such signal: {signum}")
    grace = message.get("grace")
    sup.end_tree(str(message.get("cause") or "operator"), signum, None if grace is None else float(grace), done)


def _resize(sup: Supervisor, channel: Channel, message: Message) -> Message:
    if not sup.pump.fds.pty or not sup.pump.open:
        return {"error": "not_a_pty"}
    set_size(next(iter(sup.pump.fds.out)), int(message["cols"]), int(message["rows"]))
    return {"ok": True}


def _probe(sup: Supervisor, channel: Channel, message: Message) -> Message:
    """Count the tree, and say whether any of it sleeps in a read of the input that callers can write."""
    tree = sup.tree()
    waiting = None
    if sup.exit is None and sup.pump.takes_input and not sup.pump.input_waiting:
        waiting = any(_reads_ours(sup, pid) for pid in tree)
    return {"processes": len(tree), "waiting": waiting}


def _reads_ours(sup: Supervisor, pid: int) -> bool:
    try:
        theirs = os.stat(f"/proc/{pid}/fd/0")
        if sup.pump.fds.pty:
            ours = os.readlink(f"/proc/{pid}/fd/0").startswith("/dev/pts/")
        else:
            ours = theirs.st_ino == os.fstat(sup.pump.fds.stdin).st_ino
    except OSError:
        return False
    return ours and proc.reads_stdin(pid)


_OPS: dict[str, Callable[[Supervisor, Channel, Message], Message | None]] = {
    "hello": _hello,
    "watch": _watch,
    "write": _write,
    "signal": _signal,
    "kill": _kill,
    "resize": _resize,
    "probe": _probe,
}
