"""What a store can do for flows and approvals. The same promises hold as in `outlast.store.base`.

A worker that runs a flow holds it by a claim. Every write of its run carries that claim and counts only while the
flow is *running* under it: whoever was frozen and comes back after another took over can write nothing any more.

What happens outside (a signal, a decision, the end of a child, a wish to cancel) *nudges* the flow in the same
transaction: ``nudges`` grows by one, and a waiting flow becomes ready at once. A holder hears of it by `Change.flows`,
looks (`look_at_flow`, which sets the nudges back to none), and cannot let the flow wait while there is a nudge it has
not looked at. So no news is ever missed, and nobody polls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from outlast.core.approval import Approval, ApprovalFilter, Verdict
from outlast.core.flow import Flow, FlowEvent, FlowFilter, FlowWorker, NewFlow, SignalRow, StepRow
from outlast.core.lifecycle import FlowTransition
from outlast.core.task import NewTask, Notice, Task


class FlowClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's wish for flows: at most one for each of its ``claim_ids``, of the handlers it serves.

    Higher priority goes first, then what has been ready longest. With ``spare``, what others hold stays theirs though
    their leases are over: the store was out of reach, and perhaps nobody could extend one.
    """

    worker: str
    claim_ids: Sequence[str]
    handlers: Sequence[str]
    now: float
    lease_until: float
    spare: bool = False


class HeldFlow(msgspec.Struct, frozen=True):
    """A flow a worker has got: the record as it stands, what it runs with, and what is on record of its steps."""

    flow: Flow
    input: dict[str, object]
    steps: list[StepRow]


class FlowCreated(msgspec.Struct, frozen=True):
    """The record of a new flow; ``existing`` when a live one with the same dedupe key stands in for it."""

    flow: Flow
    existing: bool


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """What a step begins besides its row: a task, another flow, or a question. Exactly one is given."""

    task: NewTask | None = None
    flow: NewFlow | None = None
    approval: Approval | None = None


class Asked(msgspec.Struct, frozen=True):
    """A question that was put on record, with the task it holds.

    ``existing``: a live task with the same dedupe key stands in for a second one. Nothing was recorded, and the
    approval is the one that task waits for, None where it waits for none.
    """

    approval: Approval | None
    task: Task | None
    existing: bool


class FlowPage(msgspec.Struct, frozen=True):
    """Some flows, newest first; ``next`` is the cursor of what follows, None at the end."""

    flows: list[Flow]
    next: str | None


class ApprovalPage(msgspec.Struct, frozen=True):
    """Some approvals, newest first; ``next`` is the cursor of what follows, None at the end."""

    approvals: list[Approval]
    next: str | None


class FlowActs(Protocol):
    """The acts on flows."""

    async def create_flow(self, new: NewFlow, start: FlowClaim | None = None) -> FlowCreated:
        """Put a flow on record, queued. Raises Conflict (``flow_exists``) when the id is taken.

        With ``start`` (one claim id) it is claimed in the same commit and comes back running, if it may start now. A
        managed or mirrored flow comes back running in any case (or ended, where the task it mirrors has). A full
        concurrency key leaves others queued with no ``ready_at``, and ``wait`` saying so, until one of its flows ends.
        With ``parent_id``, a parent that has ended or is to be cancelled refuses it: Conflict (``parent_ended``).
        """

    async def claim_flows(self, claim: FlowClaim) -> list[HeldFlow]:
        """Take flows that are ready: queued, waiting with the wait over or nudged, running with a lease run out.

        A takeover of a running flow counts one more of ``crashes`` where no step was recorded since the last one.
        """

    def checkpoint(
        self, flow_id: str, claim_id: str, rows: Sequence[StepRow], renew_until: float | None = None
    ) -> Awaitable[bool]:
        """Write rows of steps, new or over what stands there; False (and nothing written) when the claim is gone.

        A row that has ended is not overwritten by one that has not: that is left out, and the answer is True.
        With ``renew_until`` the lease is extended in the same commit.
        """

    async def start_child(self, flow_id: str, claim_id: str, row: StepRow, child: Child) -> bool:
        """Begin a step together with the work that does it, in one commit; False when the claim is gone.

        Asked again with the same ``ref`` on record it answers True and changes nothing. What is begun while there is a
        wish to cancel that the holder has not looked at is called off in the same commit; later it is left alone, for
        so a flow undoes things. An approval's notice goes to its conversation, else to its requester. Raises Conflict
        (``child_exists``) for a dedupe key that is taken.
        """

    async def take_signal(self, flow_id: str, claim_id: str, row: StepRow, name: str, now: float) -> StepRow | None:
        """Give the oldest signal of that name nobody has consumed to a step; None when the claim is gone.

        The row comes back as it was written: succeeded ``now`` with the payload as its result, or as it was given,
        where no signal waits. A step that has ended gets what is on record of it: it takes one signal.
        """

    async def look_at_flow(self, flow_id: str, claim_id: str) -> HeldFlow | None:
        """Return what is on record of a held flow, and note that its nudges were seen; None when the claim is gone.

        ``input`` is left empty.
        """

    async def move_flow(self, move: FlowTransition) -> Flow | None:
        """Write one move if it is still allowed.

        An end frees the concurrency key for the next flow of it, cancels pending approvals of the flow, tells the
        requester as the notify policy wants (*blocked* is told like a failure), and, for a child, writes the parent's
        step (status, result, error) and nudges the parent. Where a claim is given up, it is cleared. To queue a flow
        again lets crashes count from the start; ``requeue`` also forgets the steps that did not succeed, as
        `retry_flow` does.
        """

    async def renew_flow_leases(self, claim_ids: Sequence[str], until: float) -> set[str]:
        """Extend the leases of held flows; return the claims that still hold."""

    async def release_flows_of(self, worker: str, now: float, *, died: bool = True) -> int:
        """Make everything a worker held ready to be claimed at once; return how much that was.

        A worker that has not ``died`` lets go by itself: who takes over does not count that as a crash.
        """

    async def send_signal(
        self, flow_id: str, name: str, payload: str, at: float, by: str, key: str | None
    ) -> SignalRow | None:
        """Put a signal into a live flow's queue and nudge it; None for a flow that has ended or is unknown.

        The same ``key`` a second time returns the first signal and changes nothing.
        """

    async def ask_cancel_flow(self, flow_id: str, now: float, reason: str | None) -> Flow | None:
        """Write down the wish to cancel a live flow and nudge it; None when it has ended or the wish is known.

        A flow nobody has to run code for (managed, mirrored, or queued and never started) that has no live child is
        cancelled in the same commit, else when its last live child settles. Its live tasks are asked to end (queued
        ones end at once), its child flows too, its open questions are taken back. One that is blocked is queued, so
        that who runs it can undo what it did; one that waits, or waits to be tried again, is ready at once.
        """

    async def link_task(self, flow_id: str, task_id: str, now: float, revision: int | None) -> Flow | None:
        """Make a task a child of a managed flow; None when the flow has ended, moved on, or is to be cancelled.

        Raises NotFound for an unknown task, Conflict (``task_linked``) for one that belongs to another flow.
        """

    async def retry_flow(self, flow_id: str, from_key: str | None, now: float) -> Flow | None:
        """Queue a flow that failed, is blocked or lost again; None when it stands elsewhere, or has no such step.

        Steps that succeeded stay. The others are forgotten; with ``from_key`` that step and all that were begun after
        it too, and signals they had consumed count as not consumed. What forgotten steps had begun is called off.
        Raises Conflict (``flow_live``) where another flow with its dedupe key is live by now.
        """

    async def fork_flow(self, flow_id: str, new_id: str, from_key: str, now: float) -> Flow | None:
        """Make a new queued flow with the input of another and its steps up to one, that one left out.

        Only steps that succeeded are copied. None for an unknown flow or step.
        """

    async def flow_worker(self, worker: FlowWorker) -> None:
        """Say that a worker lives and what it serves, new or over what stood there."""

    async def remove_flow_worker(self, worker_id: str) -> None:
        """Forget a worker."""

    async def prune_flows(self, flow_ids: Sequence[str]) -> int:
        """Forget ended flows with all that hangs on them, except those with a notice still pending."""


class ApprovalActs(Protocol):
    """The acts on approvals."""

    async def ask_approval(self, approval: Approval, task: NewTask | None = None) -> Asked:
        """Put a question on record and tell its conversation (else its requester). Raises Conflict (ids taken).

        With ``task`` that work is put on record in the same commit, held: queued, and not to be claimed before the
        answer. `decide` lets it go (at ``detail["notBeforeAt"]`` where the approval has that, else at once) or cancels
        it (causes ``rejected``, ``expired``). Held work that ends in another way takes its question back.
        """

    async def decide(self, verdict: Verdict) -> Approval | None:
        """Answer a pending approval; None when it was answered before, its revision differs, or its time has passed.

        (``expired`` is an answer that needs its time to have passed.) The answer is told to its requester's
        conversation unless the flow or command that waits for it is nudged by it anyway.
        """

    async def tell_approval(self, approval_id: str, notice: Notice, now: float) -> bool:
        """Put one more notice of an approval on its way; False when there is one with its key already."""

    async def prune_approvals(self, before: float) -> int:
        """Forget approvals that were decided before that moment and belong to no flow that is on record."""


class FlowQuestions(Protocol):
    """The questions about flows and approvals: nothing here changes a row."""

    async def get_flow(self, flow_id: str) -> Flow | None:
        """Return one flow by its full id."""

    async def find_flows(self, lookup: str, limit: int = 10) -> list[Flow]:
        """Return what a name may mean: that id, else ids beginning so."""

    async def list_flows(self, narrow: FlowFilter, limit: int, cursor: str | None = None) -> FlowPage:
        """Return flows newest first. Raises BadInput (``bad_cursor``)."""

    async def steps_of(self, flow_id: str, after: int = -1, limit: int = 1000) -> list[StepRow]:
        """Return the steps of a flow in the order they were begun, after that ``seq``."""

    async def step_counts(self, flow_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return for each flow how many steps have succeeded, and how many were begun."""

    async def flow_input(self, flow_id: str) -> dict[str, object]:
        """Return what a flow runs with."""

    async def flow_events(self, flow_id: str, after: int = 0, limit: int = 1000) -> list[FlowEvent]:
        """Return a flow's history in order, after the line with that id."""

    async def signals_of(self, flow_id: str, limit: int = 1000) -> list[SignalRow]:
        """Return the signals of a flow, oldest first."""

    async def child_flows(self, flow_id: str, limit: int = 1000) -> list[Flow]:
        """Return the flows whose parent this is, oldest first."""

    async def live_tasks_of_flow(self, flow_id: str, limit: int = 1000) -> list[str]:
        """Return the ids of a flow's tasks that have not ended."""

    async def nudged_flows(self, worker: str) -> list[str]:
        """Return the ids of running flows of a worker that have been nudged."""

    async def next_flow_ready(self, handlers: Sequence[str], after: float = -1.0) -> float | None:
        """Return the earliest ``ready_at`` of flows of these handlers after that moment; of all where none is named."""

    async def ready_handlers(self, now: float) -> list[str]:
        """Return the handlers that have flows ready to be claimed."""

    async def flow_workers(self) -> list[FlowWorker]:
        """Return the workers on record, oldest first."""

    async def flow_counts(self) -> dict[str, int]:
        """Return how many flows are live in each status."""

    async def flows_waiting_since(self, before: float, limit: int) -> list[Flow]:
        """Return waiting flows that nothing will wake by itself and nothing has since that moment, longest first."""

    async def flows_blocked_since(self, before: float, limit: int) -> list[Flow]:
        """Return flows that have been blocked since that moment, longest first."""

    async def flows_cancelling_since(self, before: float, limit: int) -> list[Flow]:
        """Return live flows somebody wanted cancelled before that moment, longest ago first."""

    async def flows_missing_tasks(self, limit: int) -> list[StepRow]:
        """Return steps that wait for a task that is not on record."""

    async def flows_ready_since(self, before: float, limit: int) -> list[Flow]:
        """Return flows that have been ready to be claimed since that moment and were not, longest first."""

    async def flows_ended_before(self, before: float, limit: int) -> list[Flow]:
        """Return ended flows, longest ago first: what retention looks at."""

    async def get_approval(self, approval_id: str) -> Approval | None:
        """Return one approval by its full id."""

    async def find_approvals(self, lookup: str, limit: int = 10) -> list[Approval]:
        """Return what a name may mean: that id, else ids beginning so."""

    async def list_approvals(self, narrow: ApprovalFilter, limit: int, cursor: str | None = None) -> ApprovalPage:
        """Return approvals newest first. Raises BadInput (``bad_cursor``)."""

    async def due_approvals(self, now: float, limit: int) -> list[Approval]:
        """Return pending approvals whose time has passed, longest ago first."""

    async def next_approval_due(self, after: float = -1.0) -> float | None:
        """Return the earliest expiry of a pending approval later than ``after``."""
