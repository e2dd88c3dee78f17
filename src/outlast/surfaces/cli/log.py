"""``process log``: output by lines or bytes, once or followed."""

from __future__ import annotations

import json

from outlast.client import STDERR, STDOUT
from outlast.core.errors import BadInput
from outlast.surfaces.cli.context import Call, given, session_path
from outlast.surfaces.cli.output import note, print_json, print_text, safe, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]


def run(call: Call) -> int:
    """Print a part of the output, and with --follow what comes after it."""
    check(call)
    session = call["session"]
    if call["follow"]:
        return follow(call, session)
    if wants_octets(call):
        return octets(call, session)
    call.answer(_read(call, session), show)
    return 0


def check(call: Call) -> None:
    """Refuse options that exclude each other."""
    if sum(call[name] is not None for name in ("bytes", "tail", "offset")) > 1:
        raise BadInput("--bytes, --tail and --offset exclude each other", code="usage")
    if call["bytes"] is not None and call["limit"] is not None:
        raise BadInput("--limit counts lines; --bytes has its own end", code="usage")
    if call["follow"] and (call["bytes"] is not None or call["limit"] is not None):
        raise BadInput("--follow goes on to the end: use --tail or --offset with it", code="usage")


def query(call: Call) -> dict[str, object]:
    """What the options say of the part that is wanted."""
    return given(
        offset=call["offset"],
        limit=call["limit"],
        bytes=call["bytes"],
        tail=call["tail"],
        stream=call["stream"],
        raw=call["raw"] or None,
    )


def _read(call: Call, session: str) -> Result:
    return call.client.get(session_path(session, "log"), **query(call))


def show(result: Result) -> None:
    """Print the text of a part, and what is not in it."""
    print_text(result["text"])
    cut = result.get("truncated")
    if cut:
        note(f"{cut['omittedBytes']} bytes are left out; to read them: {cut['how']}")
    if result.get("note"):
        note(safe(result["note"]))


def wants_octets(call: Call) -> bool:
    """True when the bytes are wanted exactly as the command wrote them."""
    return call["raw"] and call["bytes"] is not None and call["stream"] is None and not call.json


def octets(call: Call, session: str) -> int:
    """Print a range of bytes exactly as the command wrote them."""
    start, _, end = call["bytes"].partition(":")
    path = session_path(session, "output")
    _, parts = call.client.download(path, **given(start=start or None, end=end or None))
    for part in parts:
        write_all(1, part)
    return 0


def follow(call: Call, session: str) -> int:
    """Print a part of the output and what comes after it, to the session's end."""
    from outlast.surfaces.cli.follow import Follower
    from outlast.surfaces.cli.signals import Left

    first = _read(call, session)
    show = _Show(call, int(first["bytes"]["start"]))
    follower = Follower(call, first["sessionId"], show.offset, show)
    follower.interrupt_leaves = True
    try:
        result = follower.run()
    except Left as left:
        return left.code
    show.finish()
    if call.json:
        print_json(result)
    return 0


class _Show:
    """Prints followed output on standard output: as text, as it is with --raw, or as JSON lines."""

    def __init__(self, call: Call, offset: int) -> None:
        from outlast.process.plain import PlainText

        self.offset = offset
        self._only = {"stdout": STDOUT, "stderr": STDERR}.get(call["stream"])
        self._raw = call["raw"]
        self._json = call.json
        self._text = PlainText()

    def __call__(self, kind: int, data: bytes) -> None:
        start, self.offset = self.offset, self.offset + len(data)
        if self._only not in (None, kind):
            return
        if self._json:
            text = data.decode("utf-8", "replace") if self._raw else self._text.feed(data)
            stream = "stderr" if kind == STDERR else "stdout"
            event = {"event": "output", "stream": stream, "start": start, "end": self.offset, "text": text}
            self._write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
        else:
            self._write(data if self._raw else self._text.feed(data).encode())

    def finish(self) -> None:
        """Print what was held back in case the rest of it came."""
        if not self._raw and not self._json:
            self._write(self._text.feed(b"", final=True).encode())

    def _write(self, data: bytes) -> None:
        from outlast.surfaces.cli.follow import to_standard_streams

        to_standard_streams(STDOUT, data)
