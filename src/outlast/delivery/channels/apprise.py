"""Everything the Apprise library speaks to, in a program of its own: the gateway pays neither its memory nor its load.

The address goes to that program by its standard input: an argument would show in the list of processes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from outlast.core.notice_text import one_line
from outlast.delivery.channels.addresses import Allowed
from outlast.delivery.channels.base import Message, SendFailed, readable
from outlast.delivery.channels.program import Programs

TIMEOUT_SECONDS = 60.0
"""How long the service may take."""
GRACE_SECONDS = 10.0
"""What the program has beside that, to start (about a second) and to say how it went."""
TEXT_MAX = 4000
"""Characters of the text: most services take less than they say."""
WORKER = (sys.executable, "-P", "-m", "outlast.delivery.channels.apprise_worker")
_NEEDED = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR",
)  # fmt: skip


class Apprise:
    """Sends every message to one Apprise address.

    ``allowed`` is what may be reached beside the public Internet; the worker holds every connection to it.
    """

    def __init__(
        self,
        url: str,
        programs: Programs,
        environ: Mapping[str, str],
        *,
        allowed: Allowed = (),
        worker: Sequence[str] = WORKER,
        timeout_seconds: float = TIMEOUT_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._url = url
        self._programs = programs
        self._environ = {name: environ[name] for name in _NEEDED if name in environ}
        self._allowed = [str(network) for network in allowed]
        self._worker = worker
        self._timeout = timeout_seconds
        self._grace = grace_seconds

    async def send(self, message: Message) -> None:
        """Send it. Raises SendFailed: for good when the library is missing or does not know the address."""
        shown = readable(message)
        text = shown.text if len(shown.text) <= TEXT_MAX else shown.text[: TEXT_MAX - 1] + "…"
        job = {
            "url": self._url,
            "title": shown.title,
            "body": text or shown.title,
            "allowed": self._allowed,
            "seconds": self._timeout,
        }
        try:
            ran = await self._programs.run(
                self._worker,
                env=self._environ,
                stdin=json.dumps(job).encode(),
                timeout_seconds=self._timeout + self._grace,
            )
        except TimeoutError:
            raise SendFailed(f"Apprise did not end within {self._timeout:g} s", retryable=True) from None
        except OSError as trouble:
            raise SendFailed(f"Apprise could not be run: {trouble.strerror}", retryable=True) from None
        answer = _answer(ran.out)
        if answer is None:
            said = one_line(ran.err.decode("utf-8", "replace").rstrip().rpartition("\n")[2], 160)
            raise SendFailed(f"Apprise ended with {ran.code}" + (f": {said}" if said else ""), retryable=True)
        if answer.get("status") != "sent":
            reason = self._without_address(str(answer.get("reason") or "it was not sent"))
            raise SendFailed(f"Apprise: {reason}", retryable=bool(answer.get("retryable")))

    def _without_address(self, reason: str) -> str:
        secret = self._url.partition("://")[2]
        return reason.replace(secret, "***") if secret else reason


def _answer(out: bytes) -> dict[str, object] | None:
    try:
        answer = json.loads(out)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
