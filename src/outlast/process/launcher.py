"""Starting the keeper, finding the one that runs, and retiring one of another version."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple

from outlast.core.errors import GatewayTrouble
from outlast.process.keeper import proc

START_SECONDS = 20.0
"""How long a keeper may take to say that it is ready. Usually a quarter of a second."""
TAKEN_SECONDS = 0.05
"""Between two tries while a keeper that is leaving still holds the lock."""
_BOOT = (
    "import sys; sys.path.append({root!r}); "
    "from outlast.process.keeper.zygote import main; sys.exit(main(sys.argv[1:]))"
)

_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
"""All that the keeper inherits. The fixed seed gives every keeper the same memory layout (some 5 % less a session); the
only text it parses is its own gateway's."""


class KeeperStatus(NamedTuple):
    """The keeper that serves starts now, as its card says; ``pid`` None when there is none."""

    pid: int | None
    version: str | None
    protocol: int | None
    started_at: float | None


NO_KEEPER = KeeperStatus(None, None, None, None)


def find(run: str) -> KeeperStatus:
    """Read the card a keeper left and check that this very process is alive."""
    try:
        with open(f"{run}/keeper.json", "rb") as file:
            card: dict[str, Any] = json.load(file)
        if proc.is_same(card["pid"], card["ticks"], card["boot"]):
            return KeeperStatus(card["pid"], card["version"], card["protocol"], card["startedAt"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return NO_KEEPER


class Launcher:
    """Starts keepers of one home and version."""

    def __init__(self, home: str, run: str, version: str, crash_at: tuple[str, str] | None = None) -> None:
        self._home, self._run, self._version = home, run, version
        self._crash_at = crash_at
        self._children: list[subprocess.Popen[bytes]] = []

    def ensure(self) -> None:
        """Make sure a keeper of this version serves starts; one of another version is retired first.

        Blocks up to START_SECONDS. Raises GatewayTrouble.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._children = [child for child in self._children if child.poll() is None]
            status = find(self._run)
            if status.pid is not None and status.version != self._version:
                _send_home(status.pid)  # it keeps its sessions and leaves with the last of them
            elif status.pid is not None and os.path.exists(f"{self._run}/keeper.sock"):
                return
            if self._start() or time.monotonic() > deadline:
                return
            time.sleep(TAKEN_SECONDS)

    def retire(self) -> None:
        """Send the keeper home: at once if it has no sessions, else with the last of them."""
        status = find(self._run)
        if status.pid is not None:
            _send_home(status.pid)

    def _start(self) -> bool:
        """Start a keeper. False when another of this home holds the lock: it may serve, or be about to leave."""
        ready, theirs = os.pipe()
        log = os.open(f"{self._home}/keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        words = [self._home, self._run, self._version, str(theirs), *(self._crash_at or ())]
        try:
            child = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-c", _BOOT.format(root=root), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=[theirs],
                start_new_session=True,
            )
        except OSError as error:
            raise GatewayTrouble(f"cannot start the keeper: {error}", hint="outlast doctor") from error
        finally:
            os.close(theirs)
            os.close(log)
        self._children.append(child)
        try:
            return self._await_ready(ready)
        finally:
            os.close(ready)

    def _await_ready(self, ready: int) -> bool:
        poll = select.poll()  # select itself ends at descriptor 1023, and a gateway may hold more
        poll.register(ready, select.POLLIN)
        word = os.read(ready, 64) if poll.poll(START_SECONDS * 1000) else b""
        if word not in (b"ready\n", b"taken\n"):
            raise GatewayTrouble(
                "the keeper did not start",
                code="keeper_failed",
                hint=f"see {self._home}/keeper.log, or run: outlast doctor",
            )
        return word == b"ready\n"


def _send_home(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
