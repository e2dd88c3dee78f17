"""The engine: claims flows whose programs it serves, runs them, lets them wait, and takes over what others left.

It is nudged by commits (`Change.flows`) and by one timer for the next flow that is ready; it never polls. It may be
killed at any point: what it held is ready again when its lease runs out, or at once where somebody knows it is dead.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from outlast.core.errors import GatewayTrouble, NotFound
from outlast.core.flow import FILE_HANDLER, Flow, NewFlow, StepRow
from outlast.core.ids import timed_id
from outlast.core.lifecycle import FlowVerb, flow_transition
from outlast.core.task import NewTask
from outlast.flows.ending import run_to_end
from outlast.flows.run import Run
from outlast.flows.values import Beside, Values
from outlast.flows.waits import AgentAsk, CommandAsk
from outlast.process.clock import Clock
from outlast.process.keeper import crash
from outlast.store.base import Change, Store
from outlast.store.base_flows import FlowClaim, FlowCreated, HeldFlow

log = logging.getLogger("outlast.flows")

LEASE_SECONDS = 30.0
"""How long a flow stays with a worker that is not heard of."""
LINGER_SECONDS = 1.0
"""How long a flow that only waits is kept in memory before it is parked."""
HELD_MAX = 500
"""Flows one engine runs at once."""
CLAIM_MAX = 64
"""Flows taken in one claim: bounds how long others wait for the store."""
STOP_SECONDS = 5.0
"""What steps get to end when the engine stops; a step may ignore that it is cancelled."""
LATE_SECONDS = 0.2
"""After the end of a lease, until somebody else takes what it was for."""
NET_SECONDS = 60.0
"""The longest a change goes unnoticed that nobody told us of: who wrote it may have died over it."""
SUSPECT_AT = 2
"""Workers that died in a row over a flow, from which on it is not run beside another such flow."""
SUSPECT_SECONDS, TURN_SECONDS = 600.0, 5.0
"""How long such a flow keeps others from running beside it, and how long one waits until it asks for its turn again."""
STALE = 2 / 3
"""The part of a lease after which leases that were not renewed in time are renewed before anything is claimed."""
TROUBLE_FIRST, TROUBLE_MAX = 0.2, 5.0
"""Seconds between two tries while the store is in trouble."""


class Program(Protocol):
    """What runs a flow: a Python program, or the one for flow files."""

    async def run(self, context: Any, given: Mapping[str, Any]) -> Any:
        """Run with what is on record of the start; return the flow's result."""


Compose = Callable[[Flow, dict[str, Any], CommandAsk | AgentAsk], NewTask]
Admit = Callable[[Flow, AgentAsk], Awaitable[None]]


class Engine:
    """Runs the flows of some handlers in this process, at most ``held_max`` at once. ``worker`` is unique to it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        worker: str,
        programs: Mapping[str, Program],
        compose: Compose,
        beside: Beside,
        lease_seconds: float = LEASE_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
        held_max: int = HELD_MAX,
    ) -> None:
        self.store = store
        self.clock = clock
        self.worker = worker
        self.programs = programs
        self.values = Values(beside)
        self.lease_seconds = lease_seconds
        self.linger_seconds = linger_seconds
        self.pid = os.getpid()
        self.compose = compose
        self.admit: Admit = _anybody
        """Raises Refused for an agent step that its flow's requester may not have."""
        self.idle: Callable[[], None] = lambda: None
        """Called when the last flow this engine holds has ended or waits."""
        self.ended: Callable[[Flow], None] = lambda flow: None
        """Called with a flow that this engine has just seen to its end, or found blocked."""
        self.net_seconds = NET_SECONDS
        """The longest until the next look; more, where somebody else looks around in the same store."""
        self._held_max = held_max
        self._claims = timed_id("k", clock.now(), secrets.randbits(60), 6) + "-"
        self._numbers = itertools.count(1)
        self._runs: dict[str, Run] = {}
        self.holding = asyncio.Event()
        """Set while a flow is in memory: an idle engine has no lease to renew, and wakes for nothing."""
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._coming = 0
        self._began = False
        self._news = asyncio.Event()
        self._unheard = False
        self._renewed_at = self._spares_until = 0.0
        self.at_work = threading.Event()
        """Set while this engine holds flows, for other threads."""
        self._later: asyncio.Task[None] | None = None
        self._loops: list[asyncio.Task[None]] = []
        self.open = False

    # ---- life

    def start(self) -> None:
        """Begin to take flows."""
        self.open = True
        self.store.on_change(self._changed)
        self._news.set()
        self._loops = [
            asyncio.create_task(self._go(), name="flows"),
            asyncio.create_task(self._renew_on(), name="flow leases"),
        ]

    async def stop(self) -> None:
        """Let go of everything; another worker may go on with it at once."""
        self.open = False
        jobs = [*self._loops, *self._jobs.values(), *([self._later] if self._later is not None else [])]
        for job in jobs:
            job.cancel()
        if jobs:
            _, stubborn = await asyncio.wait(jobs, timeout=STOP_SECONDS)
            if stubborn:
                log.warning("%d steps do not heed that they are cancelled: they are left behind", len(stubborn))
        try:
            await self.store.release_flows_of(self.worker, self.clock.now(), died=False)
        except GatewayTrouble as trouble:
            log.warning("flows stay ours until their leases run out: %s", trouble.message)

    @property
    def held(self) -> int:
        """How many flows are in memory."""
        return len(self._runs) + self._coming

    def holds(self, flow_id: str) -> bool:
        """True while a flow is in memory here."""
        return flow_id in self._runs

    @property
    def claims(self) -> list[str]:
        """The claims this engine holds."""
        return [run.claim_id for run in tuple(self._runs.values())]

    def reached(self, at: str, row: StepRow | None) -> None:
        """Pass a named point of a step's way to its record."""
        if crash.is_armed():
            crash.point(f"flow:{at}")
            if row is not None:
                crash.point(f"flow:{at}:{row.kind}")
                crash.point(f"flow:{at}:{row.kind}:{row.key}")
                crash.point(f"flow:{at}:{row.kind}:{row.key}:{row.status}")

    def new_id(self, letter: str) -> str:
        """Return a fresh id."""
        return timed_id(letter, self.clock.now(), random.getrandbits(40), 4)

    async def handler_named(self, name: str) -> str:
        """Return the handler of a sub-flow that is called by name: one that is served here, else by any worker.

        Raises NotFound, also where the name could mean several.
        """
        if name in self.programs or ":" in name:
            return name
        now = self.clock.now()
        elsewhere = [
            one for worker in await self.store.flow_workers() if worker.lease_until > now for one in worker.handlers
        ]
        for handlers in (tuple(self.programs), elsewhere):
            fitting = {handler for handler in handlers if handler.rpartition(":")[2] == name}
            if len(fitting) == 1:
                return fitting.pop()
        known = sorted({*self.programs, *elsewhere} - {FILE_HANDLER})
        raise NotFound(f"no flow {name!r} is served, or several are", hint="known: " + (", ".join(known) or "none"))

    # ---- taking flows

    async def submit(self, new: NewFlow) -> FlowCreated:
        """Put a flow on record and, with room here, run it in the same commit."""
        start = None
        if self.open and new.handler in self.programs and self.held < self._held_max:
            start = self._claim(1)
            self._coming += 1
        try:
            created = await self.store.create_flow(new, start)
            crash.point("flow:after_create")
        finally:
            if start is not None:
                self._coming -= 1
                self._rest()
        if start is not None and not created.existing and created.flow.claim_id == start.claim_ids[0] and self.open:
            self._begin(HeldFlow(created.flow, new.input or {}, []))
        return created

    def _claim(self, count: int) -> FlowClaim:
        now = self.clock.now()
        return FlowClaim(
            worker=self.worker, claim_ids=[f"{self._claims}{next(self._numbers):x}" for _ in range(count)],
            handlers=list(self.programs), now=now, lease_until=now + self.lease_seconds,
            spare=now < self._spares_until,
        )  # fmt: skip

    def _changed(self, change: Change) -> None:
        if change.flows or change.foreign:
            self._unheard |= not change.flows  # a connection on which others tell may have been lost
            self._news.set()
        elif change.steps and self._later is None and self.open:
            self._later = asyncio.create_task(self._look_later())

    async def _look_later(self) -> None:
        """Look once more when a lease is over: another worker may have taken a flow, and it may die with it."""
        await self.clock.sleep(self.lease_seconds + LATE_SECONDS)
        self._later = None
        self._news.set()

    def nudge(self) -> None:
        """Look now."""
        self._news.set()

    async def _go(self) -> None:
        pause = TROUBLE_FIRST
        while True:
            self._news.clear()
            try:
                if self._unheard:
                    await self.store.look_around()
                    self._unheard = False
                wait = await self.round()
                pause = TROUBLE_FIRST
            except GatewayTrouble as trouble:
                log.warning("no flow can be taken: %s", trouble.message)
                self._spare()
                wait, pause = pause, min(pause * 2, TROUBLE_MAX)
            except Exception:  # a bad row must not end the loop
                log.exception("a round over flows failed")
                wait = TROUBLE_MAX
            await self._until_news(wait)

    async def _until_news(self, seconds: float) -> None:
        news = asyncio.ensure_future(self._news.wait())
        clock = asyncio.ensure_future(self.clock.sleep(seconds))
        try:
            await asyncio.wait((news, clock), return_when=asyncio.FIRST_COMPLETED)
            self._unheard |= seconds >= self.net_seconds and not news.done()
        finally:
            news.cancel()
            clock.cancel()

    async def round(self) -> float:
        """See to what has news and take what is ready; return the seconds until something is ready by itself."""
        if self._runs:
            for flow_id in await self.store.nudged_flows(self.worker):
                if (run := self._runs.get(flow_id)) is not None:
                    await run.look()
        before = self.clock.now()
        if self._runs and before >= self._renewed_at + self.lease_seconds * STALE:
            await self.renew()  # we were held up: what is ours must not look like what nobody cares for
        while (room := min(self._held_max - self.held, CLAIM_MAX)) > 0:
            self._coming += room
            try:
                taken = await self.store.claim_flows(self._claim(room))
            finally:
                self._coming -= room
                self._rest()
            if taken:
                crash.point("flow:after_claim")
            for held in taken:
                if not await self._put_off(held):
                    self._begin(held)
            if len(taken) < room:
                break
        else:
            return self.net_seconds  # a flow that ends makes room, and says so
        if not self.programs:
            return self.net_seconds
        # What was ready before is taken, or cannot be: asking for it again at once would turn for ever.
        due = await self.store.next_flow_ready(list(self.programs), before)
        now = self.clock.now()
        moments = [moment for moment in (due, self._spares_until if self._spares_until > now else None) if moment]
        return min([self.net_seconds, *(max(0.0, moment - now) for moment in moments)])

    # ---- running them

    async def _put_off(self, held: HeldFlow) -> bool:
        """Let a flow wait over which workers have died, while another such flow runs: one of them is to blame."""
        if held.flow.crashes < SUSPECT_AT:
            return False
        now, suspected = self.clock.now(), [run for run in self._runs.values() if run.flow.crashes >= SUSPECT_AT]
        if all(run.since < now - SUSPECT_SECONDS or run.id == held.flow.id for run in suspected):
            return False
        move = flow_transition(
            held.flow.id, FlowVerb.WAIT, now, claim_id=held.flow.claim_id, ready_at=now + TURN_SECONDS,
            wait={"for": "turn", "until": now + TURN_SECONDS},
        )  # fmt: skip
        return await self.store.move_flow(move) is not None

    def _begin(self, held: HeldFlow) -> None:
        flow = held.flow
        older = self._jobs.get(flow.id)
        if older is not None:
            older.cancel()  # a run of ours that has lost its claim, and has not noticed
        run = Run(self, held)
        if not self._runs:
            self._renewed_at = run.since
        self._runs[flow.id] = run
        self._began = True
        self.holding.set()
        self.at_work.set()
        job = asyncio.create_task(self._see_through(run), name=f"flow {flow.id}")
        self._jobs[flow.id] = job

    async def _see_through(self, run: Run) -> None:
        job = asyncio.current_task()
        assert job is not None
        run.runs_in(job)
        try:
            await run_to_end(run, self.programs.get(run.flow.handler or ""))
        except asyncio.CancelledError:
            raise
        except BaseException:  # a fault of ours: the lease runs out, and somebody tries again
            log.exception("flow %s: its run failed", run.id)
        finally:
            run.close()
            if self._runs.get(run.id) is run:
                del self._runs[run.id]
                del self._jobs[run.id]
            if self._full_before():
                self._news.set()
            if not self._runs:
                self.holding.clear()
                self.at_work.clear()
                self._rest()

    def _rest(self) -> None:
        """Say that nothing is held any more; also where the last flow ended while a look for more was under way."""
        if self._began and not self.held:
            self._began = False
            self.idle()

    def _full_before(self) -> bool:
        return self.held == self._held_max - 1

    # ---- leases

    async def _renew_on(self) -> None:
        """Extend the leases of what is held, well before they run out."""
        pause = self.lease_seconds / 3
        while True:
            await self.holding.wait()
            await self.clock.sleep(pause)
            pause = self.lease_seconds / 3
            try:
                await self.renew()
            except GatewayTrouble as trouble:
                log.warning("leases cannot be renewed: %s", trouble.message)
                self._spare()
                pause = min(pause, TROUBLE_MAX)
            except Exception:
                log.exception("leases cannot be renewed")

    def _spare(self) -> None:
        """Give others a whole lease to come back: the store is out of reach, maybe not for us alone."""
        self._spares_until = self.clock.now() + self.lease_seconds

    async def renew(self) -> None:
        """Extend the leases of what is held; what is held no more is let go."""
        held, now = {run.claim_id: run for run in self._runs.values()}, self.clock.now()
        if held:
            for claim_id in held.keys() - await self.store.renew_flow_leases(list(held), now + self.lease_seconds):
                held[claim_id].lose_claim()
        self._renewed_at = now


async def _anybody(flow: Flow, ask: AgentAsk) -> None:
    """Nobody has said who may not."""
