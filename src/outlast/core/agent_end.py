"""How a turn came out: from the last line of its journal and the end of its runner, never from a guess."""

from __future__ import annotations

import msgspec

from outlast.core.agent import AgentEvent, EntryKind, NewEntry, Usage
from outlast.core.agent_journal import TurnRef, TurnState, usage_facts
from outlast.core.outcome import SUMMARY_MAX, Outcome, detail_of, outcome_of
from outlast.core.session import Cause, Exit, Status, status_of

TEXT_MAX = 60_000
"""Characters of an answer that go to whoever waits for it; the transcript has the whole."""
TAIL_MAX = 600
"""Characters of the last words on the standard error that an error quotes."""
_UNFINISHED = {
    "refusal": "the agent refused",
    "max_tokens": "the agent came to its limit of tokens before it was done",
    "max_turns": "the agent came to its limit of turns before it was done",
}


class TurnEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a turn. ``text`` is the agent's last answer, also where it got no further than half of it."""

    status: Status
    cause: Cause
    at: float | None
    text: str = ""
    stop: str | None = None
    code: str | None = None
    error: str | None = None
    hint: str | None = None
    usage: Usage | None = None
    agent_session: str | None = None
    duration_ms: int | None = None
    exit: dict[str, object] = {}

    @property
    def detail(self) -> dict[str, object]:
        """What goes on record of it beside status and cause."""
        facts: dict[str, object] = {
            "stop": self.stop, "code": self.code, "hint": self.hint, "durationMs": self.duration_ms,
            "usage": None if self.usage is None else usage_facts(self.usage), "agentSession": self.agent_session,
        }  # fmt: skip
        return {**self.exit, **{name: fact for name, fact in facts.items() if fact is not None}}

    def outcome(self, output: str | None = None) -> Outcome:
        """Return it as the outcome of a task; ``output`` is for the step of a flow."""
        return Outcome(
            status=self.status, cause=self.cause, at=self.at, detail=self.detail,
            summary=self.text[:SUMMARY_MAX].strip() or None, error=self.error, output=output,
        )  # fmt: skip


def turn_end(
    state: TurnState,
    end: Exit,
    *,
    began_at: float | None = None,
    called_off: Cause | None = None,
    deadline_at: float | None = None,
    tail: str = "",
    missing: int = 0,
) -> TurnEnd:
    """Return how a turn ended whose runner has ended.

    ``called_off`` is why we asked for its end, ``tail`` the last words on its standard error, ``missing`` how many
    bytes the disk did not keep of what would be its last line.
    """
    said, base = state.end, outcome_of(end, deadline_at=deadline_at)
    duration = None if began_at is None or end.at is None else max(0, round((end.at - began_at) * 1000))
    known = TurnEnd(
        status=base.status, cause=base.cause, at=end.at, usage=state.usage, agent_session=state.agent_session,
        duration_ms=duration, exit=detail_of(end),
    )  # fmt: skip
    if said is None:
        return _silent(known, base, called_off, tail, missing)
    hint = said.data.get("hint")
    known = msgspec.structs.replace(
        known, text=(said.text or "")[:TEXT_MAX], stop=said.stop, code=said.code,
        hint=hint if isinstance(hint, str) else None,
    )  # fmt: skip
    return _as_said(known, said, end, called_off, deadline_at)


def unsaid(turn: TurnRef, outcome: Outcome, now: float) -> NewEntry:
    """Return the entry of the end of a turn whose journal does not say it: its runner was killed, or is gone.

    It has no place in the journal: a line that turns up later is kept all the same.
    """
    code = "timeout" if outcome.status is Status.TIMED_OUT else outcome.detail.get("code")
    facts: dict[str, object] = {
        "stop": "cancelled" if outcome.status is Status.CANCELLED else "error", "code": code, "error": outcome.error,
        "status": outcome.status.value, "cause": outcome.cause.value,
    }  # fmt: skip
    return NewEntry(
        at=now if outcome.at is None else outcome.at, kind=EntryKind.END, text="",
        data={name: fact for name, fact in facts.items() if fact is not None}, task_id=turn.task_id,
        source_key=f"{turn.session_id}:unsaid",
    )  # fmt: skip


def _silent(known: TurnEnd, base: Outcome, called_off: Cause | None, tail: str, missing: int) -> TurnEnd:
    """The runner ended without a last word: what is known is how its process ended."""
    if called_off is not None and base.status is not Status.LOST:
        status = status_of(Exit(cause=called_off, at=known.at))
        return msgspec.structs.replace(known, status=status, cause=called_off)
    if base.status is Status.CANCELLED:
        return known
    if base.status is Status.LOST:
        return msgspec.structs.replace(known, error=base.error)
    how = base.error or ("ran into its time limit" if base.status is Status.TIMED_OUT else "exit code 0")
    error = f"the agent's runner ended without a result ({how})"
    if missing:
        error = f"the end of what the agent said was not kept: {missing} bytes of the journal are missing ({how})"
    if tail:
        error += f": {tail[-TAIL_MAX:]}"
    failed = base.status if base.status is not Status.SUCCEEDED else Status.FAILED
    return msgspec.structs.replace(known, status=failed, code="no_end", error=error)


def _as_said(
    known: TurnEnd, said: AgentEvent, end: Exit, called_off: Cause | None, deadline_at: float | None
) -> TurnEnd:
    """The last line says how it was, whatever became of the runner afterwards."""
    if said.stop == "cancelled":
        cause = called_off or (end.cause if status_of(end) is Status.CANCELLED else Cause.OPERATOR)
        status = status_of(Exit(cause=cause, at=known.at))
        return msgspec.structs.replace(known, status=status, cause=cause)
    if said.code == "timeout":
        late = deadline_at is not None and said.at >= deadline_at - 1.0
        cause = Cause.DEADLINE if late else Cause.TIMEOUT
        return msgspec.structs.replace(known, status=Status.TIMED_OUT, cause=cause, error=said.error)
    error = said.error or _UNFINISHED.get(said.stop or "")
    if error is not None or said.stop == "error":
        error = error or "the agent failed"
        return msgspec.structs.replace(known, status=Status.FAILED, cause=Cause.ERROR, error=error)
    return msgspec.structs.replace(known, status=Status.SUCCEEDED, cause=Cause.EXIT)
