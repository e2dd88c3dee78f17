"""Reading the journal of a turn: the whole lines of a runner's standard output, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from outlast.core.agent import AgentEvent, EventKind
from outlast.core.agent_journal import JournalLine, TurnState, read_line
from outlast.core.redact import redact
from outlast.process.output import Output
from outlast.process.plain import plain

READ_MAX = 512 * 1024
"""Bytes read in one go: several of the longest lines."""
STDOUT, STDERR = 1, 2
TAIL_BYTES = 8192


class Journal:
    """The journal in one session's output. ``at`` is the offset after the last line that was handed out."""

    def __init__(self, output: Output, at: int, now: Callable[[], float]) -> None:
        self.at = at
        self._output = output
        self._now = now
        self._skipping = False

    def read(self) -> list[JournalLine]:
        """Return the whole lines that follow; none where there is none yet.

        A line without an end that fills all that is read in one go is skipped, and one note stands for it.
        """
        while True:
            before = self.at
            lines = self._read()
            if lines or self.at == before:  # else there was nothing but blanks, or more of what is skipped
                return lines

    def missing(self) -> int:
        """Return how many bytes are missing of what comes after the last line that was handed out."""
        return sum(gap.end - gap.start for gap in self._output.omitted_in(self.at, self._output.produced))

    def _read(self) -> list[JournalLine]:
        pieces = self._pieces()
        lines: list[JournalLine] = []
        rest = b""
        upto = self.at
        for at, data in pieces:
            if at > upto and (missing := sum(gap.end - gap.start for gap in self._output.omitted_in(upto, at))):
                # What stands before the gap and what stands after it are no line together.
                self.at, rest, self._skipping = at, b"", False
                lines.append(JournalLine(at, self._note(f"{missing} bytes of the journal are missing")))
            upto, start = at + len(data), 0
            while (stop := data.find(b"\n", start)) >= 0:
                self.at = at + stop + 1
                line = rest + data[start:stop]
                rest, start = b"", stop + 1
                if self._skipping:
                    self._skipping = False
                elif line.strip():
                    lines.append(JournalLine(self.at, read_line(line, self._now())))
            rest += data[start:]
        if len(rest) >= READ_MAX:
            at, data = pieces[-1]
            self.at = at + len(data)
            if not self._skipping:
                lines.append(JournalLine(self.at, read_line(rest[:1024], self._now())))
            self._skipping = True
        return lines

    def _note(self, text: str) -> AgentEvent:
        return AgentEvent(ev=EventKind.NOTE, at=self._now(), text=text)

    def _pieces(self) -> list[tuple[int, bytes]]:
        produced = self._output.produced
        if self.at >= produced:
            return []
        pieces: list[tuple[int, bytes]] = []
        size = 0
        for at, data in self._output.blocks(self._output.spans(self.at, produced, STDOUT)):
            pieces.append((at, data[: READ_MAX - size]))
            size += len(pieces[-1][1])
            if size >= READ_MAX:
                break
        return pieces


def states_until(state: TurnState, output: Output, upto: int, now: Callable[[], float]) -> Iterator[None]:
    """Let a state learn what the lines of a journal up to an offset have said, a piece in each step."""
    journal = Journal(output, 0, now)
    while journal.at < upto and (lines := journal.read()):
        for line in lines:
            if line.end <= upto:
                state.take(line.event)
        yield


def state_of(output: Output, now: Callable[[], float]) -> TurnState:
    """Return what all lines of a journal have said."""
    state = TurnState()
    for _ in states_until(state, output, output.produced, now):
        pass
    return state


def last_words(output: Output) -> str:
    """Return the newest of a runner's standard error as harmless text, made of at most `TAIL_BYTES` bytes."""
    parts: list[bytes] = []
    size = 0
    for span in reversed(output.spans(0, output.produced, STDERR)):
        start = max(span.start, span.end - (TAIL_BYTES - size))
        parts.append(output.read(start, span.end))
        size += span.end - start
        if size >= TAIL_BYTES:
            break
    return redact(plain(b"".join(reversed(parts)))[0]).strip()
