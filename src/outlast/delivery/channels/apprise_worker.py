"""The program that sends one message through Apprise: a job as JSON on standard input, the answer on standard output.

Every connection it makes goes through one gate, which knows addresses and not names, so it cannot be led to where
nobody allowed it to go, whatever the library does.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from outlast.delivery.channels.addresses import Allowed, literal, may_reach, parse_allowed

_WATCHED = ("socket.connect", "socket.sendto", "socket.sendmsg")


class Gate:
    """Stops connections to addresses that may not be reached, and remembers that it did."""

    def __init__(self, allowed: Allowed) -> None:
        self.allowed = allowed
        self.stopped: str | None = None

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at what is about to happen; made for `sys.addaudithook`. Raises PermissionError."""
        if event not in _WATCHED or not isinstance(arguments[1], tuple):
            return  # without a tuple it is a socket of this machine by its path, or one that is connected already
        address = literal(str(arguments[1][0]))
        if address is None or not may_reach(address, self.allowed):
            self.stopped = str(arguments[1][0])
            raise PermissionError(f"{self.stopped} is not a public address and not allowed")


def main() -> None:
    """Read the job, send it, print the answer."""
    job = json.load(sys.stdin)
    # The library's own words go to standard error: standard output is the answer's.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    gate = Gate(parse_allowed(job["allowed"]))
    sys.addaudithook(gate.watch)
    with open(answer_to, "w", encoding="utf-8") as out:
        json.dump(send(job, gate), out)
    os._exit(0)  # a service that was given up may still hold a thread


def send(job: dict[str, Any], gate: Gate) -> dict[str, object]:
    """Send one message and return how it went: ``status`` sent, or ``reason`` and ``retryable``."""
    try:
        import apprise
    except ImportError:
        return _failed("the library is not installed: pip install 'outlast[apprise]'", retryable=False)
    asset = apprise.AppriseAsset(
        async_mode=False, http_redirects=False, allow_templates=False, storage_mode=apprise.PersistentStoreMode.MEMORY
    )
    sender = apprise.Apprise(asset=asset)
    if not sender.add([job["url"]]):
        return _failed("it does not know this address, or the address is not complete", retryable=False)
    result = sender.notify(
        title=job["title"], body=job["body"], body_format=apprise.NotifyFormat.TEXT, timeout=job["seconds"]
    )
    # The status and nothing else: the result is an object, and not every version makes a failed one false.
    if result.status == apprise.AppriseResultStatus.SUCCESS:
        return {"status": "sent"}
    if gate.stopped is not None:
        return _failed(f"{gate.stopped} is not a public address and not allowed", retryable=False)
    words = [entry.message for entry in result.logs()]
    return _failed(f"{result.status.name.lower()}: {'; '.join(words)[:600]}", retryable=True)


def _failed(reason: str, *, retryable: bool) -> dict[str, object]:
    return {"status": "failed", "reason": reason, "retryable": retryable}


if __name__ == "__main__":
    main()
