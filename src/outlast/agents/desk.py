"""Where a backend says what happens: it makes journal lines of it, coalesced, masked and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import msgspec

from outlast.agents import tidy
from outlast.agents.backend import Ended, Steer
from outlast.agents.output import Output
from outlast.agents.permissions import Questions
from outlast.agents.streaming import Message
from outlast.core.agent import AgentEvent, AgentSpec, EventKind, Usage

LINE_MAX = 256 * 1024
"""Bytes of a line of the journal."""
ANSWER_MAX = 60_000
"""Characters of the answer in the last line; the messages before it have the whole."""
FLUSH_SECONDS = 0.15
"""How long a piece of text waits for more to go with it."""
QUIET_SECONDS = 1.0
"""How long a word waits for its end: it may be the beginning of a secret."""
_BESIDE = frozenset((EventKind.USAGE, EventKind.NOTE))
NOTES_MAX = 200
"""Notes of one turn: an agent that gives reason for more has said it."""
LINES_MAX, BYTES_MAX = 50_000, 64 * 1024 * 1024
"""Of the journal of one turn. What an agent says beyond that is left out, but for its answer and its questions."""
USAGE_SECONDS = 1.0
"""Between two lines of what was used so far."""
_ALWAYS = frozenset((EventKind.END, EventKind.PERMISSION, EventKind.PERMITTED))
"""Kept however much was said; but for questions nobody was asked, of which there is no end."""


class Desk:
    """The journal of a turn, as backends see it."""

    def __init__(self, agent: AgentSpec, out: Output, now: Callable[[], float]) -> None:
        self._out = out
        self._now = now
        self._messages = 0
        self._notes = 0
        self._lines = 0
        self._bytes = 0
        self._left_out = 0
        self._open: tuple[EventKind, str | None, Message] | None = None
        self._held: AgentEvent | None = None
        self._used: AgentEvent | None = None
        self._used_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = False
        self._answer: list[str] = []
        self._answer_size = 0
        self.spoken = False
        """True once the agent has said, thought or done something."""
        self.questions = Questions(agent.permissions, agent.permission_seconds, self._event, now)

    def ready(self, title: str, *, version: str | None = None, protocol: object = None, can: list[str]) -> None:
        """The agent has started and said what it is."""
        self._event(
            EventKind.READY,
            title=tidy.title(title),
            data=tidy.table({"version": version, "protocol": protocol, "can": can}),
        )

    def begun(self, agent_session: str | None, *, resumed: bool, model: str | None = None) -> None:
        """The prompt is with the agent."""
        self._event(EventKind.BEGUN, agent_session=agent_session, data=tidy.table({"resumed": resumed, "model": model}))

    def text(self, piece: str, message: str | None = None) -> None:
        """A piece of the agent's answer. Another ``message`` than before is another answer."""
        self._piece(EventKind.TEXT, piece, message)

    def thought(self, piece: str, message: str | None = None) -> None:
        """A piece of what the agent thinks."""
        self._piece(EventKind.THOUGHT, piece, message)

    def tool(
        self,
        call: str,
        *,
        title: str | None = None,
        status: str | None = None,
        kind: str | None = None,
        given: object = None,
        output: object = None,
        locations: object = None,
    ) -> None:
        """The agent uses a tool, or what is known of that use has changed."""
        data = tidy.table({"kind": kind, "input": given, "output": output, "locations": locations})
        if not (title or status or data):
            return
        self.spoken = True
        self._hold(
            EventKind.TOOL, id=tidy.title(call)[:200], title=title and tidy.title(title), status=status, data=data
        )

    def plan(self, entries: list[dict[str, object]]) -> None:
        """The agent's plan, as a whole."""
        self._hold(EventKind.PLAN, data=tidy.table({"entries": entries}))

    def usage(self, usage: Usage | None = None, *, used: object = None, size: object = None) -> None:
        """What was used so far; ``used`` of ``size`` tokens of the context are taken."""
        now, data = self._now(), tidy.table({"used": used, "size": size})
        self._used = AgentEvent(ev=EventKind.USAGE, at=now, usage=usage, data=data)
        if now - self._used_at >= USAGE_SECONDS:
            self._tell_usage()

    def _tell_usage(self) -> None:
        self._let_go()
        if self._used is not None:
            self._used_at = self._used.at
            self._write(self._used)
            self._used = None

    def note(self, text: str) -> None:
        """Something a person should know."""
        self._notes += 1
        if self._notes <= NOTES_MAX:
            self._event(EventKind.NOTE, text=tidy.clean(text, tidy.VALUE_TEXT_MAX))

    def steered(self, steer: Steer, status: Literal["sent", "dropped"]) -> None:
        """The agent has heard what somebody wanted it to hear, or never will."""
        self._event(EventKind.STEERED, id=steer.id, text=tidy.clean(steer.text), status=status)

    def end(self, ended: Ended, *, error: str | None = None, code: str | None = None, hint: str | None = None) -> None:
        """The last line. ``data.dropped`` counts lines that nobody took in time."""
        self.close_message()
        self._tell_usage()
        if self._left_out:
            self._notes = 0
            self.note(f"the agent said more than is kept: {self._left_out} lines were left out")
        answer = ended.answer if ended.answer is not None else self.answer()
        self._event(
            EventKind.END,
            text=tidy.clean(answer.strip(), ANSWER_MAX),
            stop=ended.stop,
            error=error and tidy.clean(error, tidy.VALUE_TEXT_MAX),
            code=code,
            data=tidy.table({"hint": hint, "dropped": self._out.dropped or None}),
            usage=ended.usage,
            agent_session=ended.agent_session,
        )

    def answer(self) -> str:
        """Return the last message of the agent, of a very long one its end."""
        self.close_message()
        return "".join(self._answer)

    async def room(self) -> None:
        """Wait while the journal's reader is far behind."""
        await self._out.room()

    def close_message(self) -> None:
        """Write what waits for more to go with it: here it ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open is not None:
            message = self._open[2]
            self._open = None
            message.flush(whole=True)
        self._let_go()

    def _let_go(self) -> None:
        """Write the line that was held back, so that it stays before what comes now."""
        if self._held is not None:
            held, self._held = self._held, None
            self._write(held)

    def _hold(self, ev: EventKind, **fields: object) -> None:
        """Write a line a little later: the next one may say the same thing newer."""
        event = AgentEvent(ev=ev, at=self._now(), **fields)  # type: ignore[arg-type]
        held = self._held
        if held is not None and (held.ev, held.id, held.status) == (event.ev, event.id, event.status):
            data = {**held.data, **event.data}
            self._held = msgspec.structs.replace(event, at=held.at, title=event.title or held.title, data=data)
            return
        self.close_message()
        self._held = event
        self._flush_in(FLUSH_SECONDS, quiet=False)

    def _piece(self, kind: EventKind, piece: str, message: str | None) -> None:
        if self._open is None or self._open[:2] != (kind, message):
            self.close_message()
            if not piece:
                return
            self.spoken = True
            self._messages += 1
            self._open = kind, message, Message(self._messages, lambda id, text: self._write_piece(kind, id, text))
            if kind is EventKind.TEXT:
                self._answer, self._answer_size = [], 0
        self._open[2].take(piece)
        if self._timer is None or self._quiet:
            self._flush_in(FLUSH_SECONDS, quiet=False)

    def _flush_in(self, seconds: float, *, quiet: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._quiet = quiet
        self._timer = asyncio.get_running_loop().call_later(seconds, self._flush_late)

    def _flush_late(self) -> None:
        self._timer = None
        if self._open is None:
            self.close_message()
            return
        message = self._open[2]
        message.flush(whole=self._quiet)
        if message.waiting:
            self._flush_in(QUIET_SECONDS, quiet=True)

    def _write_piece(self, kind: EventKind, message: str, text: str) -> None:
        if kind is EventKind.TEXT:
            self._remember(text)
        self._write(AgentEvent(ev=kind, at=self._now(), id=message, text=text))

    def _remember(self, text: str) -> None:
        """Keep the answer for the last line: of a very long one its end."""
        self._answer.append(text)
        self._answer_size += len(text)
        while self._answer_size - len(self._answer[0]) > ANSWER_MAX:
            self._answer_size -= len(self._answer.pop(0))

    def _event(self, ev: EventKind, **fields: object) -> AgentEvent:
        """Write a line. Some leave the open message open: they may come in the middle of it."""
        if ev not in _BESIDE:
            self.close_message()
        self._let_go()
        event = AgentEvent(ev=ev, at=self._now(), **fields)  # type: ignore[arg-type]
        self._write(event)
        return event

    def _write(self, event: AgentEvent) -> None:
        must = event.ev in _ALWAYS and event.data.get("by") not in ("policy", "limit")
        if not must and event.ev is not EventKind.NOTE and (self._lines >= LINES_MAX or self._bytes >= BYTES_MAX):
            self._left_out += 1
            return
        line = msgspec.json.encode(event)
        if len(line) >= LINE_MAX:
            text = None if event.text is None else tidy.cut(event.text, LINE_MAX // 16)
            error = None if event.error is None else tidy.cut(event.error, LINE_MAX // 32)
            line = msgspec.json.encode(msgspec.structs.replace(event, data={"tooLong": True}, text=text, error=error))
        self._lines += 1
        self._bytes += len(line)
        self._out.put(line + b"\n", must=must)
