"""Questions that wait in the gateway until there is news, one after the other: nobody polls.

A gateway that crashed is started again; one that was stopped in order is waited for a little, because it may be
restarting, and then missed.
"""

from __future__ import annotations

import time

from outlast.client import NotRunning, with_query
from outlast.core.errors import GatewayTrouble
from outlast.surfaces.cli.patience import until_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from outlast.client import Client
    from outlast.surfaces.cli.context import Call

    Result = dict[str, Any]
    Query = dict[str, object]

WAIT_SECONDS = 600.0
"""One question waits at most this long in the gateway; then the next one goes on."""
EARLY_SECONDS = 0.05
ANSWER_SECONDS = 60.0
TRY_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0, 3.0)  # seconds, while nothing comes in between


class Waiting:
    """Asks at a path for ``rows`` that are news; ``patience`` is how long in all nothing may come (None: for ever)."""

    def __init__(self, call: Call, path: str, rows: str, patience: float | None) -> None:
        self._path = path
        self._rows = rows
        self._patience = patience
        self._client = call.new_client()
        self._patient = call.new_client(autostart=False)

    def next(self, query: Query) -> list[Result]:
        """Wait for news and return them; nothing when the time is over. Raises GatewayTrouble without a gateway."""
        deadline = None if self._patience is None else time.monotonic() + self._patience
        while True:
            left = WAIT_SECONDS if deadline is None else min(WAIT_SECONDS, max(0.0, deadline - time.monotonic()))
            found = self._persist(query, left)
            if found or (deadline is not None and time.monotonic() >= deadline):
                return found

    def _persist(self, query: Query, seconds: float) -> list[Result]:
        """Ask until there is an answer: news, or that there were none all the time."""
        client = self._client
        trouble: GatewayTrouble | None = None
        for pause in TRY_AGAIN_AFTER:
            time.sleep(pause)
            began = time.monotonic()
            try:
                found = self._ask(client, query, seconds)
            except NotRunning as error:
                trouble = error
                client = self._patient
                continue
            except GatewayTrouble as error:  # it went away in the middle: a new one is started
                trouble = error
                client.close()
                client = self._client
                continue
            if found or time.monotonic() - began >= seconds - EARLY_SECONDS:
                return found
            # Neither news nor the time over: it is stopping and lets its callers go.
            client.close()
            client = self._patient
        if trouble is None or isinstance(trouble, NotRunning):
            raise GatewayTrouble("the gateway was stopped", code="not_running", hint="outlast gateway start")
        raise trouble

    def _ask(self, client: Client, query: Query, seconds: float) -> list[Result]:
        path = with_query(self._path, {**query, "timeoutMs": round(seconds * 1000)})
        fd = client.begin("GET", path, seconds=ANSWER_SECONDS)
        if not until_readable(fd, (seconds + ANSWER_SECONDS) * 1000):
            raise GatewayTrouble(f"nothing came from the gateway for {seconds + ANSWER_SECONDS:g} s", code="too_slow")
        found: list[Result] = client.finish()[self._rows]
        return found
