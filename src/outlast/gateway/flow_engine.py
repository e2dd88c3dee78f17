"""An engine for flows, put together the same way wherever it runs: in a gateway, in a worker, in a user's process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from outlast.api.flow_values import in_files
from outlast.api.flow_work import admit_agent, compose_agent, compose_command
from outlast.config import Config
from outlast.core.flow import Flow
from outlast.core.ids import timed_id
from outlast.core.task import NewTask
from outlast.flows.engine import LINGER_SECONDS, Engine, Program
from outlast.flows.values import Beside, InRow
from outlast.flows.waits import AgentAsk, CommandAsk
from outlast.process.clock import Clock
from outlast.process.sessions import new_session_id
from outlast.store.base import Store


class Maker(NamedTuple):
    """What commands of steps are made with: settings, time, and the environment they inherit."""

    config: Config
    clock: Clock
    environ: Mapping[str, str]

    def new_session_id(self) -> str:
        """Return a fresh session id."""
        return new_session_id(self.clock.now())


def beside_of(config: Config) -> Beside:
    """Return where large values are kept: files of the home, or the rows where several nodes share the store."""
    return in_files(config) or InRow()


def make_engine(
    maker: Maker,
    store: Store,
    programs: Mapping[str, Program],
    *,
    worker: str,
    lease_seconds: float | None = None,
    linger_seconds: float | None = None,
    held_max: int | None = None,
    kind: type[Engine] = Engine,
) -> Engine:
    """Return an engine, not started yet. ``worker`` has to be unique to this process."""

    def compose(flow: Flow, given: dict[str, Any], ask: CommandAsk | AgentAsk) -> NewTask:
        now = maker.clock.now()
        task_id = timed_id("t", now, int.from_bytes(os.urandom(5), "big"), 4)
        if isinstance(ask, AgentAsk):
            return compose_agent(maker, task_id, flow, given, ask)
        return compose_command(maker, task_id, flow, given, ask)

    config = maker.config
    made = kind(
        store, maker.clock, worker=worker, programs=programs, compose=compose, beside=beside_of(config),
        lease_seconds=lease_seconds or config.flows_lease_seconds,
        linger_seconds=LINGER_SECONDS if linger_seconds is None else linger_seconds,
        held_max=held_max or config.flows_slots,
    )  # fmt: skip
    made.admit = partial(admit_agent, maker, store)
    return made
