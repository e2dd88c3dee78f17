"""``process``: the actions that are one question and one answer."""

from __future__ import annotations

import os
import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given, milliseconds, session_path
from outlast.surfaces.cli.output import (
    STATUS_COLOURS,
    how_it_ended,
    note,
    print_result,
    print_text,
    safe,
    say,
    span,
    table,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

HEADS = ("SESSION", "STATUS", "TIME", "EXIT", "COMMAND")
POLL_SECONDS_MAX = 600.0
WRITE_BYTES = 4 * 1024 * 1024
_ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "e": b"\x1b", "0": b"\0", "\\": b"\\"}


def list_sessions(call: Call) -> None:
    """Print a table of sessions."""
    query = given(status=call["status"], limit=call["limit"], before=call["before"])
    call.answer(call.client.get("/v1/sessions", **query), _print_list)


def _print_list(page: Result) -> None:
    rows = page["sessions"]
    if not rows:
        note("no sessions")
        return
    colours = [STATUS_COLOURS.get(row["status"], "") for row in rows]
    say(table(HEADS, [_row(row) for row in rows], colours))
    if page.get("next"):
        note(f"there are more: outlast process list --before {page['next']}")


def _row(row: Result) -> tuple[str, ...]:
    end = row.get("exitSignal") or row.get("exitCode")
    exit_word = "-" if end is None else str(end)
    time = span(row.get("durationMs"))
    return (row["sessionId"], row["status"], time, exit_word, safe(row.get("title") or row["command"]))


def poll(call: Call) -> None:
    """Print what is new, then how the session stands."""
    wait = call["timeout"]
    if wait is not None and wait > POLL_SECONDS_MAX:
        raise BadInput("--timeout: a poll waits at most 10m", hint="outlast process wait has no such limit")
    body = given(
        since=call["since"],
        reader=call["reader"],
        timeoutMs=milliseconds(wait),
        maxBytes=call["max_bytes"],
        raw=call["raw"] or None,
    )
    path = session_path(call["session"], "poll")
    call.answer(call.client.post(path, body, seconds=(wait or 0) + 60), _print_poll)


def _print_poll(result: Result) -> None:
    print_result(result)
    say_state(result)
    retry = result.get("retryInMs")
    if result["status"] == "running" and retry:
        note(f"ask again in {span(retry)}, or wait: outlast process wait {result['sessionId']}")


def say_state(result: Result) -> None:
    """Print one line on standard error about how a session stands."""
    session, spent = result["sessionId"], span(result.get("durationMs"))
    if result["status"] != "running":
        note(f"{session} {how_it_ended(result)} after {spent}")
        return
    quiet = f", quiet for {span(result['idleMs'])}" if result.get("idleMs") is not None else ""
    waiting = ", waiting for input" if result.get("waitingForInput") else ""
    note(f"{session} running for {spent}{quiet}{waiting}")


def write(call: Call) -> None:
    """Write a text, or standard input, to the input of a session."""
    path = session_path(call["session"], "write")
    if call["data"] == "-" or (call["data"] is None and not call["eof"]):
        answer = {"sessionId": call["session"], "accepted": _pour(call, path)}
        if call["eof"]:
            answer = {**call.client.post(path, {"eof": True}), "accepted": answer["accepted"]}
    elif call["data"] is None:
        answer = call.client.post(path, {"eof": True})
    else:
        data = os.fsencode(call["data"]) if call["literal"] else unescape(call["data"])
        answer = call.client.post(path, {"dataBase64": _base64(data), **given(eof=call["eof"] or None)})
    call.answer(answer, lambda result: None)


def _pour(call: Call, path: str) -> int:
    """Send standard input as it is, in pieces; return how many bytes were accepted."""
    accepted = 0
    while data := os.read(0, WRITE_BYTES):
        accepted += int(call.client.post(path, {"dataBase64": _base64(data)}, seconds=None)["accepted"])
    return accepted


def _base64(data: bytes) -> str:
    import binascii

    return binascii.b2a_base64(data, newline=False).decode()


def unescape(text: str) -> bytes:
    r"""Read ``\n \r \t \e \0 \\`` and ``\xNN`` in a text; other backslashes stay as they are."""
    out = bytearray()
    rest = text
    while rest:
        plain, slash, rest = rest.partition("\\")
        out += os.fsencode(plain)
        if not slash:
            break
        letter = rest[:1]
        octet = rest[1:3]
        if letter in _ESCAPES:
            out += _ESCAPES[letter]
            rest = rest[1:]
        elif letter == "x" and len(octet) == 2 and not octet.strip("0123456789abcdefABCDEF"):
            out.append(int(octet, 16))
            rest = rest[3:]
        else:
            out += b"\\"
    return bytes(out)


def send_keys(call: Call) -> None:
    """Press keys in a terminal session."""
    if not call["keys"]:
        raise BadInput("no key was given", code="usage", hint="outlast process send-keys SESSION C-c")
    body = {"keys": call["keys"], **given(literal=call["literal"] or None, hex=call["hex"] or None)}
    _silent(call, "send-keys", body)


def paste(call: Call) -> None:
    """Paste a text, or standard input."""
    if call["bracketed"] and call["plain"]:
        raise BadInput("--bracketed and --plain exclude each other", code="usage")
    bracketed = True if call["bracketed"] else False if call["plain"] else None
    _silent(call, "paste", {"text": _text(call), **given(bracketed=bracketed)})


def _text(call: Call) -> str:
    text = call["text"]
    if text in (None, "-"):
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    return str(text)


def submit(call: Call) -> None:
    """Type a text and press Enter."""
    _silent(call, "submit", given(text=call["text"]))


def resize(call: Call) -> None:
    """Change the size of a terminal session."""
    _silent(call, "resize", {"cols": call["cols"], "rows": call["rows"]})


def signal_session(call: Call) -> None:
    """Send a signal to a session."""
    if call["tree"] and call["foreground"]:
        raise BadInput("--tree and --foreground exclude each other", code="usage")
    group = "foreground" if call["foreground"] else None
    _silent(call, "signal", {"signal": call["signal"], **given(tree=call["tree"] or None, group=group)})


def _silent(call: Call, action: str, body: dict[str, object]) -> None:
    """Do something whose success needs no words."""
    call.answer(call.client.post(session_path(call["session"], action), body), lambda result: None)


def screen(call: Call) -> None:
    """Print the present screen of a terminal session."""
    query = given(cols=call["cols"], rows=call["rows"])
    result = call.client.get(session_path(call["session"], "screen"), **query)
    call.answer(result, lambda shown: print_text("\n".join(shown["lines"]).rstrip()))


def kill(call: Call) -> int:
    """End a session's whole tree and print what was ended; exit code 1 when something could not be."""
    body = given(signal=call["signal"], graceSeconds=call["grace"])
    # The answer comes when the tree is gone: no bound here that could be shorter than the grace.
    result = call.client.post(session_path(call["session"], "kill"), body, seconds=None)
    call.answer(result, _print_kill)
    return 1 if result.get("survivors") else 0


def _print_kill(result: Result) -> None:
    for row in result.get("ended") or ():
        say(f"{row['how']:<8} {row['pid']:>8} {safe(row['name'])}")
    for row in result.get("survivors") or ():
        note(f"still there: {row['pid']} {safe(row['name'])}: {row['why']}")
    say_state(result)


def clear(call: Call) -> None:
    """Forget every ended session."""
    call.answer(call.client.post("/v1/sessions/clear"), lambda result: say(f"{len(result['removed'])} removed"))


def remove(call: Call) -> None:
    """Forget one ended session."""
    call.answer(call.client.request("DELETE", session_path(call["session"])), lambda result: None)
