"""``process attach``: take part in a session from this terminal, and ``exec --pty``, which begins there."""

from __future__ import annotations

from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, session_path
from outlast.surfaces.cli.feed import Feed
from outlast.surfaces.cli.follow import Follower, to_standard_streams
from outlast.surfaces.cli.output import exit_code, how_it_ended, note, print_json, safe
from outlast.surfaces.cli.signals import Left, Signals
from outlast.surfaces.cli.terminal import (
    ENTER_ALTERNATE,
    STDIN,
    QuitKey,
    Raw,
    detach_octet,
    interactive,
    window,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Result = dict[str, Any]

LAST_BYTES = 8_192
LOOKS = 3


def run(call: Call) -> int:
    """Attach to a session until it ends or the detach key is pressed."""
    detach = detach_octet(call["detach_key"])
    if not interactive():
        raise BadInput(
            "attach needs a terminal on standard input and output",
            code="no_terminal",
            hint=f"outlast process log -f {call['session']}",
        )
    info = call.client.get(session_path(call["session"]))
    session = str(info["sessionId"])
    if not info["pty"]:
        return _finish(call, session, lambda signals: _beside(call, info, detach, signals))
    if info["status"] != "running":
        return _finish(call, session, lambda signals: Follower(call, session, _last(info)).run(signals))
    return _finish(call, session, lambda signals: in_terminal(call, session, detach, signals))


def _finish(call: Call, session: str, follow: Callable[[Signals], Result]) -> int:
    try:
        # From before the terminal is raw until after it is put back no signal may end us halfway.
        with Signals() as signals:
            result = follow(signals)
    except Left as left:
        note(f"{left}: session {session} goes on; back to it: outlast process attach {session}")
        return left.code
    if call.json:
        print_json(result)
    note(f"session {session} ended: {how_it_ended(result)}")
    if result.get("note"):
        note(safe(result["note"]))
    return exit_code(result)


def in_terminal(call: Call, session: str, detach: int, signals: Signals, start: int | None = None) -> Result:
    """Show a terminal session in this terminal, from its present screen or from the byte ``start``.

    Raises Left when the caller leaves; the terminal is put back in any case.
    """
    follower = Follower(call, session, start or 0)

    def fit() -> None:
        cols, rows = window()
        follower.control("resize", {"cols": cols, "rows": rows})

    with Raw(detach) as raw:
        try:
            if start is None:
                fit()
                follower.offset = _draw_screen(call, session, raw)
            follower.show = lambda _, data: raw.draw(data)
            follower.on_resize = fit
            follower.feed = Feed(call.new_client(), session, STDIN, raw.edit)
            return follower.run(signals)
        finally:
            signals.hush()


def _draw_screen(call: Call, session: str, raw: Raw) -> int:
    """Draw the present screen and return the offset in the output it corresponds to."""
    path = session_path(session)
    offset = int(call.client.get(path)["producedBytes"])
    for _ in range(LOOKS):
        screen = call.client.get(session_path(session, "screen"))
        before, offset = offset, int(call.client.get(path)["producedBytes"])
        if before == offset:  # else the program wrote meanwhile: look again
            break
    cursor = screen["cursor"]
    text = "\r\n".join(screen["lines"]).rstrip()
    place = f"\x1b[{cursor['row'] + 1};{cursor['col'] + 1}H\x1b[?25{'h' if cursor['visible'] else 'l'}"
    raw.draw((ENTER_ALTERNATE if screen["alternate"] else b"") + f"\x1b[2J\x1b[H{text}{place}".encode())
    return offset


def _beside(call: Call, info: Result, detach: int, signals: Signals) -> Result:
    """Follow a session that has no terminal: lines typed here are its input, Ctrl-C goes to the command."""
    follower = Follower(call, str(info["sessionId"]), _last(info), to_standard_streams)
    follower.quit_leaves = True
    if info["status"] == "running":
        follower.feed = Feed(call.new_client(), follower.session, STDIN)
    with QuitKey(detach):
        try:
            return follower.run(signals)
        finally:
            signals.hush()


def _last(info: Result) -> int:
    return max(0, int(info["producedBytes"]) - LAST_BYTES)
