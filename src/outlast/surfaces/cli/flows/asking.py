"""A question that waits in the gateway for news, asked again where the gateway went away over it.

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
    from collections.abc import Callable
    from typing import Any

    from outlast.client import Client
    from outlast.surfaces.cli.context import Call

    Result = dict[str, Any]

SLICE_SECONDS = 600.0
"""One question waits at most this long in the gateway."""
ANSWER_SECONDS = 60.0
EARLY_SECONDS = 1.0
TRY_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0, 3.0)  # seconds


class Asking:
    """Asks at one path, as often as it takes. ``is_news`` says whether an answer is more than the time being over."""

    def __init__(self, call: Call, path: str, is_news: Callable[[Result], bool]) -> None:
        self._path = path
        self._is_news = is_news
        self._client = call.new_client()
        self._patient = call.new_client(autostart=False)

    def ask(self, query: dict[str, object], seconds: float | None) -> Result | None:
        """Return the next answer that is news; None when there was none within ``seconds`` (None: however long)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = SLICE_SECONDS if deadline is None else min(SLICE_SECONDS, max(0.0, deadline - time.monotonic()))
            answer = self._persist(query, left)
            if answer is not None or (deadline is not None and time.monotonic() >= deadline):
                return answer

    def _persist(self, query: dict[str, object], seconds: float) -> Result | None:
        client = self._client
        trouble: GatewayTrouble | None = None
        for pause in TRY_AGAIN_AFTER:
            time.sleep(pause)
            began = time.monotonic()
            try:
                answer = self._ask(client, query, seconds)
            except NotRunning as error:
                trouble, client = error, self._patient
                continue
            except GatewayTrouble as error:  # it went away in the middle: a new one is started
                client.close()
                trouble, client = error, self._client
                continue
            if self._is_news(answer):
                return answer
            if time.monotonic() - began >= seconds - EARLY_SECONDS:
                return None
            client.close()  # neither news nor the time over: it is stopping and lets its callers go
            client = self._patient
        if trouble is None or isinstance(trouble, NotRunning):
            raise GatewayTrouble("the gateway was stopped", code="not_running", hint="outlast gateway start")
        raise trouble

    def _ask(self, client: Client, query: dict[str, object], seconds: float) -> Result:
        address = with_query(self._path, {**query, "timeoutMs": round(seconds * 1000)})
        fd = client.begin("GET", address, seconds=ANSWER_SECONDS)
        if not until_readable(fd, (seconds + ANSWER_SECONDS) * 1000):
            raise GatewayTrouble(f"nothing came from the gateway for {seconds + ANSWER_SECONDS:g} s", code="too_slow")
        return client.finish()
