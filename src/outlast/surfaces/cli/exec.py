"""``exec``: start a command; stay with it, or return with its id."""

from __future__ import annotations

import os
import sys

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given, milliseconds, session_path
from outlast.surfaces.cli.output import (
    exit_code,
    how_it_ended,
    note,
    print_json,
    print_notes,
    print_result,
    safe,
    say,
    span,
)
from outlast.surfaces.cli.verbs_exec import TASK_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from outlast.surfaces.cli.signals import Signals

    Result = dict[str, Any]

READY_SECONDS = 120.0
STDIN = 0
SILENT_ENDS = ("succeeded", "failed")


def run(call: Call) -> int:
    """Run a command as the options say and return the exit code that fits."""
    if call["detach"] or call["ask"]:
        from outlast.surfaces.cli import detached

        word = "--detach, which returns at once" if call["detach"] else "--ask, which waits for the answer"
        _refuse(call, ("yield", "ready_pattern", "ready_port"), f"does not go with {word}")
        return detached.run(call, stays=not (call["detach"] or call["background"]))
    check(call)
    _refuse(call, ("expires",), "goes with --ask")
    _refuse(
        call, tuple(option.name for option in TASK_OPTIONS), "needs --detach or --ask: only what is on record has it"
    )
    if _stays(call):
        return _foreground(call)
    return _background(call)


def _refuse(call: Call, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if call[name] not in (None, False):
            raise BadInput(f"--{name.replace('_', '-')} {why}", code="usage", hint="outlast run --help")


def _stays(call: Call) -> bool:
    returning = ("background", "yield", "ready_pattern", "ready_port")
    return all(call[name] in (None, False) for name in returning)


def check(call: Call) -> None:
    """Refuse what cannot be right before anybody is asked."""
    if not call["command"]:
        raise BadInput("no command was given", code="usage", hint="outlast exec -- npm run build")
    if call["stdin"] and call["stdin_text"] is not None:
        raise BadInput("--stdin and --stdin-text exclude each other", code="usage")
    words = [*call["command"], *call["label"], call["title"] or "", call["stdin_text"] or ""]
    words += [word for pair in call["env"] for word in pair]
    check_text(words)


def check_text(words: Iterable[object]) -> None:
    """Refuse words that cannot travel as JSON: arguments that are no UTF-8."""
    if not all(_is_text(word) for word in words if isinstance(word, str)):
        raise BadInput("the command and what goes with it must be valid UTF-8", code="bad_input")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def request(call: Call, **more: object) -> dict[str, object]:
    """The body of an exec request that the options ask for, and ``more``."""
    words = call["command"]
    stdin: object = {"text": call["stdin_text"]} if call["stdin_text"] is not None else None
    body = given(
        command=words[0] if len(words) == 1 else None,
        argv=words if len(words) > 1 else None,
        timeoutSeconds=call["timeout"],
        idleTimeoutSeconds=call["idle_timeout"],
        graceSeconds=call["grace"],
        pty=call["pty"] or None,
        cols=call["cols"],
        rows=call["rows"],
        stdin="pipe" if call["stdin"] else stdin,
        env=dict(call["env"]) or None,
        leftovers=call["leftovers"],
        title=call["title"],
        labels=call["label"] or None,
        allowDuplicate=call["allow_duplicate"] or None,
        streams=call["streams"],
        **_place(call),
    )
    return {**body, **more}


def _place(call: Call) -> dict[str, object]:
    """Where and in what environment the command runs: this call's own, unless the gateway is elsewhere."""
    if call.gateway is not None:
        return given(workdir=call["workdir"])
    return {"workdir": workdir(call["workdir"]), "callerEnv": caller_env()}


def workdir(wanted: str | None) -> str:
    """The absolute directory for a command: as wanted, from here; raises BadInput when here is gone."""
    if wanted is not None and wanted.startswith(("/", "~")):
        return wanted
    try:
        here = os.getcwd()
    except OSError as error:
        raise BadInput("the current directory does not exist any more", hint="cd to one that does") from error
    return os.path.join(here, wanted) if wanted else here


def caller_env() -> dict[str, str]:
    """This process's environment, without the gateway's token and what is not text."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "OUTLAST_TOKEN" and _is_text(name) and _is_text(value)
    }


def _background(call: Call) -> int:
    """Start it and return: at once, after the yield window, or when it is ready."""
    ready = given(pattern=call["ready_pattern"], port=call["ready_port"])
    at_once = call["background"]
    body = request(
        call,
        **given(
            leftovers=call["leftovers"] or "keep",
            readyWhen=ready or None,
            background=True if at_once and not ready else None,
            yieldMs=milliseconds(call["yield"] if call["yield"] is not None or not ready else READY_SECONDS),
        ),
    )
    result = call.client.post("/v1/exec", body, seconds=_patience(READY_SECONDS if ready else call["yield"]))
    if "taskId" in result:  # it has to be approved first
        from outlast.surfaces.cli import detached

        call.answer(result, detached.announce)
        return 0
    if call.json:
        print_json(result)
    elif result["status"] != "running":
        print_result(result)
        _explain(call, result)
    elif at_once:
        _print_started(result)
    else:
        _print_running(result)
    return 0 if result["status"] == "running" else exit_code(result)


def _patience(window: float | None) -> float:
    return (window or 10.0) + 60.0


def _print_started(result: Result) -> None:
    say(result["sessionId"])
    print_notes(result)
    sys.stdout.flush()
    sys.stderr.write(_next_steps(result["sessionId"]) + "\n")


def _print_running(result: Result) -> None:
    print_result(result)
    spent = span(result.get("durationMs"))
    ready = "still running" if result.get("ready") is None else "ready" if result["ready"] else "not ready yet"
    say(f"{ready} after {spent}: session {result['sessionId']}, pid {result.get('pid')}")
    say(_next_steps(result["sessionId"]))


def _next_steps(session: str) -> str:
    return steps(
        (f"outlast process poll {session}", "what is new"),
        (f"outlast process log -f {session}", "follow its output"),
        (f"outlast process wait {session}", "wait for its end"),
        (f"outlast process kill {session}", "end it"),
    )


def steps(*lines: tuple[str, str]) -> str:
    """Commands that may come next, each with what it does, aligned."""
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"  {line.ljust(width)}  # {about}" for line, about in lines)


def _foreground(call: Call) -> int:
    """Start it and stay: output byte for byte as it comes, the exit code the command's own."""
    from outlast.surfaces.cli.signals import Left, Signals

    detach, more = _terminal(call) if call["pty"] and not call.json else (None, {})
    # What is followed is not on record, unless we leave before its end.
    more |= given(background=True, follow=True, leftovers=call["leftovers"] or "kill", maxBytes=1)
    session = None
    try:
        # A Ctrl-C that comes while the command is being started is for the command.
        with Signals() as signals:
            started = call.client.post("/v1/exec", request(call, **more))
            session = None if "taskId" in started else started["sessionId"]
            if session is not None:
                result = _watch(call, started, detach, signals)
    except Left as left:
        goes_on = f": session {session} goes on; back to it: outlast process attach {session}" if session else ""
        note(f"{left}{goes_on}")
        return left.code
    if session is None:  # it has to be approved first
        from outlast.surfaces.cli import detached

        return detached.stay(call, started)
    _report(call, session, result)
    return exit_code(result)


def _watch(call: Call, started: Result, detach: int | None, signals: Signals) -> Result:
    """Follow a session that was started to its end, in this terminal where that is wanted."""
    session = started["sessionId"]
    if not call.json:
        print_notes({**started, "truncated": None, "note": None})
    if detach is None:
        return _follow(call, session, signals)
    from outlast.surfaces.cli.attach import in_terminal

    return in_terminal(call, session, detach, signals, 0)


def _terminal(call: Call) -> tuple[int | None, dict[str, object]]:
    """The detach key and the size for showing a terminal session in this terminal; no key when there is none."""
    from outlast.surfaces.cli import terminal

    if not terminal.interactive():
        return None, {}
    cols, rows = terminal.window()
    return terminal.detach_octet(call["detach_key"]), {"cols": call["cols"] or cols, "rows": call["rows"] or rows}


def _follow(call: Call, session: str, signals: Signals) -> Result:
    from outlast.surfaces.cli.feed import Feed
    from outlast.surfaces.cli.follow import Follower, to_standard_streams

    show = (lambda _kind, _data: None) if call.json else to_standard_streams
    follower = Follower(call, session, 0, show)
    if call["stdin"]:
        follower.feed = Feed(call.new_client(), session, STDIN)
    return follower.run(signals)


def _report(call: Call, session: str, result: Result) -> None:
    """After the end: the whole result as JSON, or what the output alone does not say."""
    if call.json:
        print_json(call.client.post(session_path(session, "poll"), {"since": 0}))
        return
    if result["status"] not in SILENT_ENDS or result.get("exitSignal") not in (None, "SIGINT", "SIGPIPE"):
        note(how_it_ended(result))
    if result.get("note"):
        note(safe(result["note"]))
    _explain(call, result)


def _explain(call: Call, result: Result) -> None:
    """Name the likely mistake behind a line of shell that was taken for the name of a program."""
    words = call["command"]
    if result.get("cause") == "spawn_error" and len(words) > 1 and " " in words[0] and words[1].startswith("-"):
        note("the options of exec go before the command")
