"""The desktop's own notifications, through ``notify-send``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from outlast.core.notice_text import one_line
from outlast.delivery.channels.base import Message, SendFailed, readable
from outlast.delivery.channels.program import Programs

PROGRAM = "notify-send"
TIMEOUT_SECONDS = 10.0
BODY_MAX = 1000
"""Characters of the text: a bubble is not a page."""
_NEEDED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")
_NEEDED_PREFIXES = ("DBUS_", "XDG_")


class Desktop:
    """Shows every message on the desktop of the user the gateway runs as.

    ``environ`` is where the program is looked for (``PATH``) and how it finds the session (``DBUS_…``, ``XDG_…``);
    nothing else of it is passed on.
    """

    def __init__(
        self, programs: Programs, environ: Mapping[str, str], *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._programs = programs
        self._environ = {
            name: value for name, value in environ.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)
        }
        self._timeout = timeout_seconds

    async def send(self, message: Message) -> None:
        """Show it. Raises SendFailed: for good when the program is not there, else it may work later."""
        program = shutil.which(PROGRAM, path=self._environ.get("PATH", os.defpath))
        if program is None:
            raise SendFailed(
                f"{PROGRAM} is not installed (Debian: apt-get install libnotify-bin), or not in the gateway's PATH",
                retryable=False,
            )
        try:
            ran = await self._programs.run(
                [program, *arguments(message)], env=self._environ, timeout_seconds=self._timeout
            )
        except TimeoutError:
            raise SendFailed(f"{PROGRAM} did not end within {self._timeout:g} s", retryable=True) from None
        except OSError as trouble:
            raise SendFailed(f"{PROGRAM} could not be run: {trouble.strerror}", retryable=True) from None
        if ran.code != 0:
            said = one_line(ran.err.decode("utf-8", "replace"), 200)
            raise SendFailed(f"{PROGRAM} ended with {ran.code}" + (f": {said}" if said else ""), retryable=True)


def arguments(message: Message) -> list[str]:
    """Return the arguments for a message.

    Its reader takes the text for markup and looks for escapes in it: neither is meant. No options: what there is to set
    is not known by every version in use.
    """
    shown = readable(message)
    text = shown.text if len(shown.text) <= BODY_MAX else shown.text[: BODY_MAX - 1] + "…"
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\")):
        text = text.replace(sign, written)
    return ["--", shown.title or shown.kind or "outlast", text]
