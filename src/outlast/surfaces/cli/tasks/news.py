"""The gateway's news of tasks: one stream of events, opened again where it broke off.

A gateway that crashed is started again; one that was stopped in order is waited for a little, because it may be
restarting, and then missed: who stops a gateway does not want a board on another screen to start it again.
"""

from __future__ import annotations

import json
import time

from outlast.client import NotRunning, StreamLost, ensure_gateway
from outlast.core.errors import GatewayTrouble
from outlast.surfaces.cli.patience import until_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from outlast.client import EventStream
    from outlast.surfaces.cli.context import Call

    Result = dict[str, Any]

PATH = "/v1/events?tasks=1"
SILENCE_MS = 45_000  # three keep-alives of 15 s missed
TRY_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0, 3.0)  # seconds


class News:
    """Poll on ``fileno`` (look at ``waiting`` first), then ``take``. ``opened`` counts how often it was opened."""

    def __init__(self, call: Call, last_id: str | None = None) -> None:
        self._place = call.place
        self._client = call.new_client()
        self._patient = call.new_client(autostart=False)
        self._stream: EventStream | None = None
        self._heard = False
        self.last_id = last_id
        self.opened = 0

    def __enter__(self) -> News:
        self._open(start=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def fileno(self) -> int:
        """The descriptor to poll."""
        assert self._stream is not None
        return self._stream.fileno()

    @property
    def waiting(self) -> bool:
        """True when a poll would wait in vain."""
        return self._stream is not None and self._stream.waiting

    def take(self) -> list[Result]:
        """Return the task events that have come, each with its ``task``; opens the stream again when it is gone."""
        assert self._stream is not None
        try:
            events = self._stream.receive()
        except StreamLost:
            self.reopen(start=not self._stream.told)
            return []
        if not self._heard:  # the first bytes: from here on nothing is missed
            self._heard = True
            self.opened += 1
        news = []
        for event, data, id_ in events:
            self.last_id = id_ or self.last_id
            if event == "task":
                news.append(_object(data))
        return news

    def reopen(self, *, start: bool) -> None:
        """Open the stream again where it broke off; raises GatewayTrouble when that leads nowhere."""
        assert self._stream is not None
        self._stream.close()
        trouble: GatewayTrouble | None = None
        for pause in TRY_AGAIN_AFTER:
            time.sleep(pause)
            try:
                self._open(start)
            except GatewayTrouble as error:
                trouble = error
            else:
                return
        if trouble is None or isinstance(trouble, NotRunning):
            raise GatewayTrouble("the gateway was stopped", code="not_running", hint="outlast gateway start")
        raise trouble

    def _open(self, start: bool) -> None:
        client = self._client if start else self._patient
        if start and client.local:
            ensure_gateway(self._place)
        self._heard = False
        self._stream = client.event_stream(PATH, self.last_id)

    def wait(self) -> list[Result]:
        """Wait for the next bytes and return the events in them, if any. Raises BrokenPipeError without a reader."""
        assert self._stream is not None
        if not self.waiting and not until_readable(self._stream, SILENCE_MS):
            self.reopen(start=True)
            return []
        return self.take()

    def each(self, task_id: str) -> Iterator[Result | None]:
        """Yield the events of one task for ever, and None whenever the stream has (again) begun to listen."""
        seen = 0
        while True:
            news = self.wait()
            if self.opened != seen:
                seen = self.opened
                yield None
            for event in news:
                if event.get("taskId") == task_id:
                    yield event


def steady(call: Call, path: str) -> Result:
    """Ask for something; a gateway that goes away over it is started again and asked again."""
    for pause in TRY_AGAIN_AFTER[1:]:
        try:
            return call.client.get(path)
        except GatewayTrouble:
            if not call.client.local:
                raise
            call.client.close()
            time.sleep(pause)
    return call.client.get(path)


def _object(data: str) -> Result:
    from outlast.client.wire import bad_answer

    try:
        value = json.loads(data)
    except ValueError as error:
        raise bad_answer("an event that is not JSON") from error
    if not isinstance(value, dict):
        raise bad_answer("an event that is no object")
    return value
