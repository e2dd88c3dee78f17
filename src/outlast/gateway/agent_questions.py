"""What agents ask leave for: one approval for each question, and its answer back to the runner.

An approval's id is made of the session and the question, so whoever reads the journal a second time finds it asked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

from outlast.core import approval_text
from outlast.core.agent import AgentEvent
from outlast.core.agent_journal import TurnRef, approval_id_of
from outlast.core.agent_prompt import chosen
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.errors import Conflict, GatewayTrouble
from outlast.core.visible import visible_line
from outlast.delivery.loop import Loop
from outlast.gateway.hands import insist
from outlast.ledger import approvals
from outlast.ledger.tasks import Ledger
from outlast.process.keeper.crash import point
from outlast.runtimes.agent import Answer
from outlast.store.base import Change

log = logging.getLogger("outlast.agents")

TITLE_MAX = 300
_SETTLED = {
    "allowed": ApprovalStatus.APPROVED, "rejected": ApprovalStatus.REJECTED, "expired": ApprovalStatus.EXPIRED,
}  # fmt: skip
T = TypeVar("T")


class _Open(NamedTuple):
    question: AgentEvent
    answer: Answer


class Questions:
    """The questions of the turns this gateway stays with."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open: dict[str, _Open] = {}
        self._loop = Loop("permissions", self._round, ledger.clock)

    def start(self) -> None:
        """Begin to pass on answers."""
        self._ledger.store.on_change(self._changed)
        self._loop.start()

    async def stop(self) -> None:
        """End; what is answered meanwhile is passed on by the next gateway."""
        await self._loop.stop()

    def _changed(self, change: Change) -> None:
        if self._open and (change.flows or change.foreign):
            self._loop.nudge()

    async def ask(self, turn: TurnRef, question: AgentEvent, answer: Answer) -> None:
        """Put a question on record unless it is there, and pass its answer on when it comes."""
        approval = approval_of(turn, question, self._ledger.clock.now())
        point("agents:before_ask")
        try:
            await self._insist(partial(self._ledger.store.ask_approval, approval))
        except Conflict:
            pass  # an earlier gateway came as far as this
        point("agents:after_ask")
        self._open[approval.id] = _Open(question, answer)
        self._loop.nudge()

    async def settled(self, turn: TurnRef, answered: AgentEvent) -> None:
        """A question is settled: what is still open about it on record is closed the same way."""
        status = _SETTLED.get(answered.status or "", ApprovalStatus.CANCELLED)
        opened = [key for key, one in self._open.items() if key == self._id_of(turn, answered, one.question)]
        for approval_id in opened:
            del self._open[approval_id]
            await self._close(approval_id, status)

    async def void(self, turn: TurnRef, question: AgentEvent) -> None:
        """Nobody waits for an answer any more."""
        approval_id = approval_id_of(turn, question)
        self._open.pop(approval_id, None)
        await self._close(approval_id, ApprovalStatus.CANCELLED)

    def _id_of(self, turn: TurnRef, answered: AgentEvent, question: AgentEvent) -> str | None:
        return approval_id_of(turn, question) if question.id == answered.id else None

    async def _close(self, approval_id: str, status: ApprovalStatus) -> None:
        verdict = Verdict(
            approval_id=approval_id, status=status, at=self._ledger.clock.now(), by=approvals.NOBODY,
            how=approvals.NOBODY,
        )  # fmt: skip
        decided = await self._insist(partial(approvals.decide, self._ledger, verdict))
        if decided is None and status is ApprovalStatus.EXPIRED:  # by our clock its time has not quite passed
            await self._close(approval_id, ApprovalStatus.CANCELLED)

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        return await insist(act, self._ledger.clock, "a question of an agent waits to be recorded")

    async def _round(self) -> float | None:
        """Pass on what was answered."""
        for approval_id, opened in list(self._open.items()):
            approval = await self._ledger.store.get_approval(approval_id)
            if approval is not None and not approval.status.final:
                continue
            said = None if approval is None else approval
            self._open.pop(approval_id, None)
            await self._pass_on(said, opened)
        return None

    async def _pass_on(self, approval: Approval | None, opened: _Open) -> None:
        allow = approval is not None and approval.status is ApprovalStatus.APPROVED
        option = chosen(opened.question.data.get("options"), allow=allow)
        point("agents:before_answer")
        try:
            await opened.answer(option)
        except GatewayTrouble as trouble:
            log.warning("an answer to an agent cannot be passed on yet: %s", trouble.message)
            if approval is not None:
                self._open.setdefault(approval.id, opened)
            raise


def approval_of(turn: TurnRef, question: AgentEvent, now: float) -> Approval:
    """Return the approval that stands for a question."""
    expires = question.data.get("expiresAt")
    asked = visible_line(question.title or question.text or "leave to go on", TITLE_MAX)
    detail: dict[str, object] = {
        "permission": question.id, "agent": turn.agent, "conversation": turn.conversation,
        "sessionId": turn.session_id, "options": question.data.get("options"), "toolId": question.data.get("toolId"),
        "toolKind": question.data.get("kind"),
    }  # fmt: skip
    return Approval(
        approval_id_of(turn, question), ApprovalKind.ACP, turn.requester, ApprovalStatus.PENDING,
        approval_text.question(f"Agent {turn.agent} asks for leave: {asked}"), now,
        preview=approval_text.preview(_shown(question)), task_id=turn.task_id,
        detail={name: fact for name, fact in detail.items() if fact is not None},
        expires_at=float(expires) if isinstance(expires, int | float) else None,
    )  # fmt: skip


def _shown(question: AgentEvent) -> str | None:
    """Return what is shown with a question: its text, and what the tool is given."""
    import json

    given = question.data.get("input")
    parts = [question.text or "", json.dumps(given, indent=2, ensure_ascii=False) if given else ""]
    return "\n".join(part for part in parts if part) or None
