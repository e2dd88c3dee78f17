"""Carry a descriptor's bytes to the input of a session, one write at a time, never blocking the loop."""

from __future__ import annotations

import binascii
import os

from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.surfaces.cli.context import session_path
from outlast.surfaces.cli.output import note
from outlast.surfaces.cli.signals import Left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from outlast.client import Client

READ_SIZE = 65_536
HUNG_UP = 129


class Feed:
    """Input on its way: poll on ``fileno``, then call ``turn``; ``done`` when nothing more will go.

    ``edit`` sees the bytes first; it may raise Left.
    """

    def __init__(self, client: Client, session: str, fd: int, edit: Callable[[bytes], bytes] | None = None) -> None:
        self._client = client
        self._path = session_path(session, "write")
        self._fd = fd
        self._edit = edit
        self._answer_fd = -1
        self._on_the_way = 0
        self._ended = False
        self.done = False

    def fileno(self) -> int:
        """What to wait for: the answer to the last write while there is one to come, else more input."""
        return self._answer_fd if self._answer_fd >= 0 else self._fd

    def turn(self) -> None:
        """Do what ``fileno`` being readable allows: take the answer, or read and send."""
        try:
            if self._answer_fd >= 0:
                self._client.finish()
                self._answer_fd = -1
                self.done = self._ended
            else:
                self._send(self._read())
        except GatewayTrouble:
            self.lost()
        except OutlastError as error:
            # The session has ended or reads no input: its output is still worth following.
            self.done = True
            if error.code != "session_ended":
                note(f"input is not forwarded: {error.message}")

    def lost(self) -> None:
        """Note that the gateway went away. A write it had not answered may or may not have arrived."""
        self._client.close()
        if self._answer_fd >= 0:
            # Sending it again could type it twice, which is worse than saying so.
            note(f"the gateway went away with {self._on_the_way} bytes of input on their way")
        self._answer_fd = -1
        self.done = self._ended

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Left(HUNG_UP, "the terminal was closed") from error

    def _send(self, data: bytes) -> None:
        body: dict[str, object] = {"eof": True}
        if data:
            if self._edit is not None:
                data = self._edit(data)
            if not data:
                return
            body = {"dataBase64": binascii.b2a_base64(data, newline=False).decode()}
        self._ended = not data
        self._on_the_way = len(data)
        self._answer_fd = self._client.begin("POST", self._path, body, seconds=None)
