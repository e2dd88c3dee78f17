"""One claim of one flow: what is on record of it, what it waits for, and what interrupts it.

The program runs in one `asyncio.Task`. Its operations ask here for what is on record, write what they came to, and
wait. Nothing is kept in memory that a crash may not take: while all that is left to do is to wait, the flow is
*parked* (its row says what for and until when) and the coroutine is let go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from outlast.core.errors import GatewayTrouble
from outlast.core.flow import COMPENSATE, Flow, StepKind, StepRow
from outlast.core.lifecycle import FlowVerb, flow_transition
from outlast.core.session import Cause, Status
from outlast.flows.branches import Branch, branches
from outlast.flows.errors import ClaimLost, CodeChanged, Crashed, DeadlinePassed, FlowCancelled, Parked
from outlast.flows.host import Host
from outlast.flows.values import NoRoom
from outlast.store.base_flows import Child, HeldFlow

log = logging.getLogger("outlast.flows")

T = TypeVar("T")
SETTLE_TURNS = 100
"""Turns of the loop that other branches get to ask for what is on record of them."""
SETTLE_SECONDS = 0.5
"""And the time, where they wait for something that is none of ours."""
WAITS_SHOWN = 20
"""Steps named where a flow waits for several."""
PARK_TURNS = 10
"""Turns of the loop a flow gets to go on before it is parked."""
TRY_AGAIN_FIRST, TRY_AGAIN_MAX = 0.2, 5.0
"""Seconds between two tries while the store is in trouble."""


class Waiter(NamedTuple):
    """A step that waits: for news of its row, until a moment. ``every``: for any news at all."""

    future: asyncio.Future[StepRow | None]
    due_at: float | None
    every: bool


class Run:
    """The run of one claim. Used from one event loop."""

    def __init__(self, host: Host, held: HeldFlow) -> None:
        assert held.flow.claim_id is not None
        self.host = host
        self.store = host.store
        self.clock = host.clock
        self.values = host.values
        self.flow = held.flow
        self.id = held.flow.id
        self.claim_id: str = held.flow.claim_id
        self.given = held.input
        self.values_id = str(held.input.get("values") or held.flow.id)
        self.rows = {row.key: row for row in held.steps}
        self.steps_done: int | None = held.flow.steps_done
        self.steps_known: int | None = held.flow.steps_known
        self.compensating = False
        self._unmet = {row.key: row for row in held.steps if _is_of_program(row)}
        self._seq = max((row.seq for row in held.steps), default=-1)
        self.root = Branch("", None)
        self._patches: dict[str, bool] = {}
        self._beside: list[StepRow] = []
        self._waiters: dict[str, Waiter] = {}
        self._busy = self._looks = 0
        self.since = host.clock.now()
        self._renew_at = self.since + host.lease_seconds / 6
        self._watch: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._interrupt: type[BaseException] | None = None
        if held.flow.cancel_asked_at is not None:
            self._interrupt = self._why_cancelled(held.flow)

    # ---- what is on record

    def key(self, name: str) -> str:
        """Return the key of the next step of that name, of the branch that asks.

        It is called when an operation is, not when it is awaited: so the order of the program's own words decides, and
        not which branch happened to be first.
        """
        return self.branch().key(name)

    def branch(self) -> Branch:
        """Return the branch that asks, to make others beneath it."""
        return branches.get() or self.root

    def recorded(self, key: str, kind: StepKind) -> StepRow | None:
        """Return what is on record of a step. Raises CodeChanged, and whatever interrupts the run at once."""
        if self._interrupt in _AT_ONCE:
            assert self._interrupt is not None
            raise self._interrupt
        row = self.rows.get(key)
        if row is not None:
            if row.kind is not kind:
                raise CodeChanged(f"{key} ({row.kind})", f"{key} ({kind})")
            self._unmet.pop(key, None)
        return row

    async def may_begin(self, key: str) -> int:
        """Return the ``seq`` of a step that is not on record. Raises CodeChanged and whatever interrupts the run."""
        if self.unsettled:
            await self._settle(key)
        return self.next_seq()

    @property
    def unsettled(self) -> bool:
        """True while steps are on record that the program has not asked for: a new one has to wait for that."""
        return bool(self._unmet) and not self.compensating

    def next_seq(self) -> int:
        """Return the ``seq`` of a step where nothing is unsettled. Raises whatever interrupts the run."""
        if self._interrupt is not None and not self.compensating:
            raise self._interrupt
        self._seq += 1
        return self._seq

    async def _settle(self, key: str) -> None:
        """Let other branches ask for what is on record of them; what nobody asks for, the program has forgotten."""
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)
            if not self._unmet:
                return
        await asyncio.sleep(SETTLE_SECONDS)
        if self._unmet:
            raise CodeChanged(next(iter(self._unmet)), key)

    @property
    def forgotten(self) -> str | None:
        """The first step on record the program has not asked for, None when it has asked for all."""
        return next(iter(self._unmet), None)

    def patched(self, name: str) -> bool:
        """Return whether the program may take the new way: it is at no step that was recorded by the old."""
        if name not in self._patches:
            key = f"patch:{name}"
            new = key in self.rows or not self._unmet
            if new and key not in self.rows:
                now = self.clock.now()
                self._seq += 1
                self._beside.append(StepRow(self.id, key, self._seq, StepKind.PATCH, Status.SUCCEEDED, 1, now, now))
            self._patches[name] = new
        return self._patches[name]

    async def record(self, row: StepRow, now: float | None = None) -> None:
        """Put a step on record; ``now`` where the caller knows it. Raises ClaimLost."""
        renew = self._renewal(now)
        rows: tuple[StepRow, ...] = (row,)
        if self._beside:
            rows, self._beside = (*self._beside, row), []
        self.host.reached("before_checkpoint", row)
        try:
            held = await self.store.checkpoint(self.id, self.claim_id, rows, renew)
        except GatewayTrouble:
            held = await self.insist(lambda: self.store.checkpoint(self.id, self.claim_id, rows, self._renewal()))
        if not held:
            raise self.lose_claim()
        self.host.reached("after_checkpoint", row)

    def _renewal(self, now: float | None = None) -> float | None:
        """Return until when the lease is to hold, where it is time to extend it with what is written."""
        now = self.clock.now() if now is None else now
        if now < self._renew_at:
            return None
        self._renew_at = now + self.host.lease_seconds / 6
        return now + self.host.lease_seconds

    async def flush(self) -> None:
        """Put on record what only waited to go with a step. Raises ClaimLost."""
        if self._beside:
            last = self._beside.pop()
            await self.record(last)

    def show(self, row: StepRow) -> Coroutine[Any, Any, None]:
        """Return what puts a step that is under way on record for those who look: nothing depends on it."""

        async def shown() -> None:
            try:
                await self.store.checkpoint(self.id, self.claim_id, (*self._beside, row))
            except GatewayTrouble as trouble:
                log.warning("flow %s: %s", self.id, trouble.message)

        return shown()

    async def begin_child(self, row: StepRow, child: Child) -> None:
        """Begin a step with the work that does it, in one commit. Raises ClaimLost."""
        await self.flush()
        self.host.reached("before_child", row)
        if not await self.insist(lambda: self.store.start_child(self.id, self.claim_id, row, child)):
            raise self.lose_claim()
        self.host.reached("after_child", row)
        self.rows.setdefault(row.key, row)

    async def insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do what must be done, again and again while the store is in trouble. Ids and guards make that safe.

        Trouble passes in real time, also where the flow's time stands still until a test moves it.
        """
        pause = TRY_AGAIN_FIRST
        while True:
            try:
                return await act()
            except GatewayTrouble as trouble:
                log.warning("flow %s waits for the store: %s", self.id, trouble.message)
                if not trouble.retryable:
                    pause = TRY_AGAIN_MAX
            await asyncio.sleep(pause)
            pause = min(pause * 2, TRY_AGAIN_MAX)

    async def keep(self, write: Callable[..., T], *args: Any) -> T:
        """Write a value of this flow, and wait for room where a large one has none. Raises NotStorable."""
        try:
            return write(self.values_id, *args)
        except NoRoom:

            async def again() -> T:
                return write(self.values_id, *args)

            return await self.insist(again)

    # ---- waiting

    def working(self) -> None:
        """Say that an operation is at work: the flow is not parked before it has ended, or waits."""
        self._busy += 1

    def rested(self) -> None:
        """Say that it has ended."""
        self._busy -= 1
        if self._waiters and self._busy == 0:
            self._set_watch()

    async def wait(self, key: str, due_at: float | None, *, every: bool = False) -> StepRow | None:
        """Wait until a step has ended on record, and return its row; None when its time has come first.

        With ``every`` any news of the flow is worth a look, too (None). Raises whatever interrupts the run.
        """
        row = self.rows.get(key)
        if row is not None and row.status.final:
            return row
        self.check()
        future: asyncio.Future[StepRow | None] = asyncio.get_running_loop().create_future()
        self._waiters[key] = Waiter(future, due_at, every)
        self._busy -= 1
        self._set_watch()
        try:
            return await future
        except asyncio.CancelledError:
            raise self.interruption() from None
        finally:
            self._busy += 1
            del self._waiters[key]
            self._set_watch()

    def _set_watch(self) -> None:
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        self._watch = None
        if self._waiters and self._interrupt is not Parked:
            self._watch = asyncio.create_task(self._watch_time())

    async def _watch_time(self) -> None:
        """Wake who has waited long enough; park the flow when there has been nothing but waiting for a while."""
        parks_at = self.clock.now() + self.host.linger_seconds if self._busy == 0 else None
        due = min((one.due_at for one in self._waiters.values() if one.due_at is not None), default=None)
        moments = [moment for moment in (due, parks_at) if moment is not None]
        if not moments:
            return
        wait = min(moments) - self.clock.now()
        if wait > 0:
            await self.clock.sleep(wait)
        now = self.clock.now()
        if due is not None and due <= now:
            self._ring(now)
            return
        for _ in range(PARK_TURNS):
            await asyncio.sleep(0)  # a branch whose children have just ended may be about to go on
        try:
            # What a look has seen does not stop a wait from being written down, and we have not heard of it yet.
            if self._busy == 0 and not self._looks and not await self._park(due):
                self._set_watch()
        except Crashed:
            pass  # the program's own task hears of it

    def _ring(self, now: float) -> None:
        for one in tuple(self._waiters.values()):
            if one.due_at is not None and one.due_at <= now and not one.future.done():
                one.future.set_result(None)

    async def _park(self, due: float | None) -> bool:
        """Let the flow wait on record. False when news has come that is to be looked at first."""
        if self.flow.deadline_at is not None:
            due = self.flow.deadline_at if due is None else min(due, self.flow.deadline_at)
        on, step = self._waits_for()
        move = flow_transition(
            self.id, FlowVerb.WAIT, self.clock.now(), claim_id=self.claim_id, unless_nudged=True, ready_at=due,
            wait=on, step=step, steps_done=self.steps_done, steps_known=self.steps_known,
        )  # fmt: skip
        row = None if step is None else self.rows.get(step)
        self.host.reached("before_park", row)
        moved = await self.insist(lambda: self.store.move_flow(move))
        self.host.reached("after_park", row)
        if moved is None:
            await self.look()
            return self._interrupt is not None
        self.flow = moved
        self._stop(Parked)
        return True

    def _waits_for(self) -> tuple[dict[str, object], str | None]:
        """Return what the flow waits for, for those who look, and the first step that does."""
        waits = [self._wait_of(key, one) for key, one in self._waiters.items()]
        first = next(iter(self._waiters), None)
        if len(waits) == 1:
            return waits[0], first or None
        return {"for": "several", "count": len(waits), "steps": waits[:WAITS_SHOWN]}, first

    def _wait_of(self, key: str, one: Waiter) -> dict[str, object]:
        row = self.rows.get(key)
        if row is None:
            return {"for": "children"}
        kind = _WAITS.get(row.kind, "retry")
        shown: dict[str, object] = {"for": kind, "step": key, "ref": row.ref, "until": one.due_at}
        if kind == "signal":
            shown["name"] = key.partition("#")[0]
        return {name: value for name, value in shown.items() if value is not None}

    # ---- news

    async def look(self) -> None:
        """See what has come from outside since the last look."""
        self._looks += 1
        try:
            held = await self.insist(lambda: self.store.look_at_flow(self.id, self.claim_id))
        finally:
            self._looks -= 1
        if self._busy == 0 and not self._looks:
            self._set_watch()
        if held is None:
            self._stop(ClaimLost)
            return
        for row in held.steps:
            if row.status.final or row.key not in self.rows:
                self.rows[row.key] = row
        for key, one in tuple(self._waiters.items()):
            found = self.rows.get(key)
            if not one.future.done() and found is not None and found.status.final:
                one.future.set_result(found)
            elif not one.future.done() and one.every:
                one.future.set_result(None)
        if held.flow.cancel_asked_at is not None and self.flow.cancel_asked_at is None:
            self.flow = held.flow
            self._stop(self._why_cancelled(held.flow))

    def _why_cancelled(self, flow: Flow) -> type[BaseException]:
        late = flow.deadline_at is not None and flow.deadline_at <= self.clock.now()
        return DeadlinePassed if late and flow.cancel_reason == Cause.DEADLINE else FlowCancelled

    # ---- interruptions

    def runs_in(self, task: asyncio.Task[None]) -> None:
        """Say which task runs the program."""
        self._task = self.root.task = task

    def lose_claim(self) -> BaseException:
        """Note that the flow is somebody else's; return what to raise."""
        self._stop(ClaimLost)
        return ClaimLost()

    def crash(self) -> BaseException:
        """Let go at once, as if the process had died here; return what to raise."""
        self._stop(Crashed)
        return Crashed()

    def pass_deadline(self) -> None:
        """End the program because the flow's time is up."""
        self._stop(DeadlinePassed)

    def _stop(self, why: type[BaseException]) -> None:
        """Interrupt the program, unless compensations run: those are left to end."""
        if self._interrupt in _AT_ONCE or (self.compensating and why not in _AT_ONCE):
            return
        self._interrupt = why
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def check(self) -> None:
        """Raise whatever interrupts the run, if anything does."""
        why = self._interrupt
        if why is not None and not (self.compensating and why not in _AT_ONCE):
            raise why

    @property
    def interrupt(self) -> type[BaseException] | None:
        """What interrupts the run, None while nothing does."""
        return self._interrupt

    def interruption(self) -> BaseException:
        """Return what a cancelled wait of the program is to raise."""
        why = self._interrupt
        if why is None or (self.compensating and why not in _AT_ONCE):
            return asyncio.CancelledError()
        return why()

    def close(self) -> None:
        """Let go of what waits: also of operations the program did not stay with."""
        for one in self._waiters.values():
            one.future.cancel()
        if self._watch is not None and self._watch is not asyncio.current_task():
            self._watch.cancel()
        self._watch = None


_WAITS = {
    StepKind.SLEEP: "sleep", StepKind.SIGNAL: "signal", StepKind.APPROVAL: "approval", StepKind.RUN: "task",
    StepKind.AGENT: "task", StepKind.FLOW: "flow",
}  # fmt: skip
_AT_ONCE = (Parked, ClaimLost, Crashed)


def _is_of_program(row: StepRow) -> bool:
    """True for steps a program has to ask for when it is run again."""
    return row.kind is not StepKind.PATCH and not row.key.startswith(COMPENSATE)
