"""Stay with a session to its end: its output as it comes, the terminal's signals and input on to it.

One loop over one ``poll``: the output stream, the signals, the input. A gateway that goes away in the
middle is found or started again, and the stream goes on at the byte after the last one shown; the command
never notices.
"""

from __future__ import annotations

import json
import select
import signal
import time

from outlast.client import EVENT, OMITTED, STDERR, STDOUT, StreamLost, ensure_gateway
from outlast.core.errors import GatewayTrouble, OutlastError
from outlast.surfaces.cli.context import session_path
from outlast.surfaces.cli.output import note, write_all
from outlast.surfaces.cli.signals import Left, Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from outlast.client import FrameStream
    from outlast.surfaces.cli.context import Call
    from outlast.surfaces.cli.feed import Feed

    Result = dict[str, Any]

SILENCE_MS = 45_000  # three keep-alives of 15 s missed
CONTROL_SECONDS = 10.0
TRY_AGAIN_AFTER = (0.0, 0.1, 0.3, 1.0, 3.0)  # seconds, while nothing comes in between
KILL_AFTER, KILL_WITHIN_SECONDS = 3, 2.0
READER_GONE, HUNG_UP = 141, 129


def to_standard_streams(kind: int, payload: bytes) -> None:
    """Show output where it belongs, byte for byte; raises Left when nobody reads there any more."""
    try:
        write_all(2 if kind == STDERR else 1, payload)
    except BrokenPipeError as error:
        raise Left(READER_GONE, "nobody reads the output") from error
    except OSError as error:
        raise Left(HUNG_UP, f"cannot write the output: {error.strerror}") from error


class Follower:
    """Follows one session from a byte offset; ``run`` returns the result the session ended with.

    ``show`` gets (kind, bytes) of output. Ctrl-C and Ctrl-\\ go to the command unless ``interrupt_leaves`` or
    ``quit_leaves`` say that they end only the following.
    """

    def __init__(
        self,
        call: Call,
        session: str,
        start: int,
        show: Callable[[int, bytes], None] = to_standard_streams,
    ) -> None:
        self.session = session
        self.offset = start
        self.show = show
        self.feed: Feed | None = None
        self.on_resize: Callable[[], None] | None = None
        self.interrupt_leaves = False
        self.quit_leaves = False
        self._place = call.place
        self._streams = call.new_client()
        self._control = call.new_client()
        self._killer = call.new_client()
        self._interrupts: list[float] = []

    def run(self, signals: Signals | None = None) -> Result:
        """Follow to the end; raises Left when the caller leaves, GatewayTrouble when there is no going on.

        ``signals`` are those a caller has begun to collect already.
        """
        if signals is None:
            with Signals() as own:
                return self.run(own)
        try:
            return self._persist(signals)
        finally:
            for client in (self._streams, self._control, self._killer):
                client.close()

    def _persist(self, signals: Signals) -> Result:
        """Open the stream again whenever it breaks off, as long as that leads anywhere."""
        failures = 0
        while True:
            before = self.offset
            try:
                return self._follow(signals)
            except GatewayTrouble as trouble:
                failures = failures + 1 if self.offset == before else 1
                if failures > len(TRY_AGAIN_AFTER):
                    trouble.hint = f"the session goes on: outlast process log -f {self.session}"
                    raise
            self._control.close()
            time.sleep(TRY_AGAIN_AFTER[failures - 1])
            if self._streams.local:
                ensure_gateway(self._place)

    def _follow(self, signals: Signals) -> Result:
        stream = self._streams.stream(self.session, self.offset)
        try:
            while True:
                for kind, payload in self._next(stream, signals):
                    ended = self._take(kind, payload)
                    if ended is not None:
                        return ended
        finally:
            stream.close()

    def _next(self, stream: FrameStream, signals: Signals) -> list[tuple[int, bytes]]:
        """Wait until something happens and deal with it; return the frames that came, if any."""
        feed = self.feed if self.feed is not None and not self.feed.done else None
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        poll.register(signals, select.POLLIN)
        if feed is not None:
            poll.register(feed, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(0 if stream.waiting else SILENCE_MS)}
        if not ready and not stream.waiting:
            raise StreamLost(f"nothing came from the gateway for {SILENCE_MS // 1000} s")
        if signals.fileno() in ready:
            for number in signals.take():
                self._on_signal(number)
        if feed is not None and feed.fileno() in ready:
            feed.turn()
        return stream.receive() if stream.waiting or stream.fileno() in ready else []

    def _take(self, kind: int, payload: bytes) -> Result | None:
        """Show one frame and remember how far we are; the session's result when it has ended."""
        if kind in (STDOUT, STDERR):
            self.show(kind, payload)
            self.offset += len(payload)
        elif kind == OMITTED:
            gap = json.loads(payload)
            note(f"bytes {gap['start']} to {gap['end']} of the output were not kept")
            self.offset = int(gap["end"])
        elif kind == EVENT:
            event: Result = json.loads(payload)
            if event.get("event") == "ended":
                return event
        return None

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            if self.on_resize is not None:
                self.on_resize()
        elif number == signal.SIGQUIT and self.quit_leaves:
            raise Left(0, "detached")
        elif self.interrupt_leaves:
            raise Left(128 + number, "interrupted")
        else:
            self._interrupt(number)

    def _interrupt(self, number: int) -> None:
        """Pass Ctrl-C on to the command; the third within two seconds ends its whole tree."""
        now = time.monotonic()
        self._interrupts = [at for at in self._interrupts if now - at < KILL_WITHIN_SECONDS]
        self._interrupts.append(now)
        if len(self._interrupts) >= KILL_AFTER:
            self._interrupts.clear()
            note("ending the command and everything it started")
            self._kill()
        else:
            self.control("signal", {"signal": number, "group": "foreground"})

    def _kill(self) -> None:
        """Ask for the kill without waiting for its grace: the stream tells when it is over."""
        try:
            self._killer.begin("POST", session_path(self.session, "kill"), {}, seconds=None)
        except OutlastError as error:
            note(error.message)

    def control(self, action: str, body: dict[str, object]) -> None:
        """Do something to the session beside the stream. A session that has just ended is no trouble."""
        path = session_path(self.session, action)
        try:
            try:
                self._control.post(path, body, seconds=CONTROL_SECONDS)
            except GatewayTrouble:
                self._control.close()
                self._control.post(path, body, seconds=CONTROL_SECONDS)
        except OutlastError as error:
            if error.code != "session_ended":
                note(f"{action}: {error.message}")
