"""Why nobody takes a flow that is ready: its program cannot be loaded, say. The worker that tried has said so."""

from __future__ import annotations

from outlast.api.context import Api
from outlast.api.flow_results import WaitingFor
from outlast.core.flow import Flow, FlowMode, FlowStatus
from outlast.flows.loading import split_target
from outlast.process.sessions import Session
from outlast.runtimes.cli import summary_of

WORKER_LABEL = "outlast:flow-worker"
"""The label of sessions in which the gateway runs programs; the second label is their source."""
LOOKED_THROUGH = 64
"""Ended sessions, the newest, among which the last worker of a source is looked for."""
SAID_MAX = 300
READY_SECONDS = 0.5
"""How long a flow may be ready before it is worth asking why nobody takes it."""


def is_worker(session: Session) -> bool:
    """True for the session of a worker."""
    return WORKER_LABEL in session.info.labels


def trouble_of(api: Api, flow: Flow) -> WaitingFor | None:
    """Return what keeps a program from being served, by the last worker that tried; None where nothing is known."""
    if flow.status is not FlowStatus.QUEUED or flow.mode is not FlowMode.PROGRAM or flow.handler is None:
        return None
    if flow.ready_at is None or flow.ready_at > api.clock.now() - READY_SECONDS:
        return None
    session = _last_worker(api, split_target(flow.handler)[0])
    if session is None or session.end is None or session.end.code in (0, None):
        return None
    said = (summary_of(session) or "").strip().splitlines()
    why = said[0].removeprefix("outlast: ")[:SAID_MAX] if said else f"its worker ended with {session.end.code}"
    return WaitingFor(
        step=None, words=f"its program cannot be served: {why}", until=None,
        command=f"outlast process log {session.id}",
    )  # fmt: skip


def _last_worker(api: Api, source: str) -> Session | None:
    running = [session for session in api.sessions.live() if is_worker(session)]
    ended = [session for session in api.sessions.ended(limit=LOOKED_THROUGH) if is_worker(session)]
    fitting = [session for session in (*running, *ended) if source in session.info.labels]
    return max(fitting, key=lambda session: session.id, default=None)
