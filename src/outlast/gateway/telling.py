"""How a gateway tells: which channel a target names, what it is opened with, and the commands that wake."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from outlast.api import approvals
from outlast.api import exec as exec_
from outlast.api.context import Api, Caller
from outlast.api.links import base_url, link_for
from outlast.api.requests import ExecRequest, StdinText
from outlast.config import Config
from outlast.core.approval import Approval
from outlast.core.conversation import Wake, check_key
from outlast.core.outcome import outcome_of
from outlast.core.session import Cause
from outlast.delivery.channels.addresses import parse_allowed
from outlast.delivery.channels.base import Channel
from outlast.delivery.channels.command import Run, RunEnd
from outlast.delivery.channels.opening import Tools, open_channel
from outlast.delivery.channels.signature import new_secret
from outlast.delivery.channels.smtp import SmtpSettings
from outlast.delivery.channels.targets import is_target, parse_target
from outlast.gateway.approvals import Deciders
from outlast.process.clock import Clock
from outlast.process.sessions import Session

LABEL = "wake"
NOTICE = "notice:"
"""Before the id of a message in the label of the session that tells it."""
LEFT_MAX = 256
"""Ended sessions that are looked through, once, for commands an earlier gateway has started."""


class Telling:
    """Opens channels. Commands are started through the API, so that they are sessions on record like any other."""

    def __init__(self, config: Config, clock: Clock, environ: Mapping[str, str]) -> None:
        self.deciders = Deciders(_checked_targets(config.approvals_notify), self._link)
        self._secret_path = config.paths.webhook_secret
        self._tools = Tools(
            clock=clock,
            start=self._start,
            environ=environ,
            allowed=parse_allowed(config.delivery_allow_private),
            smtp=_smtp(config),
        )
        self._api: Api | None = None
        self._left: dict[str, Session] | None = None

    def serve(self, api: Api) -> None:
        """Say through whom commands are started."""
        self._api = api

    def open_target(self, target: str) -> Channel | None:
        """Return the channel of a notice's target; None for the key of a conversation. Raises BadInput."""
        if not is_target(target):
            return None
        read = parse_target(target)
        return open_channel(read, self._tools, secrets=[self.secret()] if read.kind == "webhook" else [])

    def open_wake(self, wake: Wake) -> Channel:
        """Return the channel of a wake. Raises BadInput."""
        read = parse_target(wake.channel)
        given = wake.secret if wake.secret is not None or read.kind != "webhook" else self.secret()
        return open_channel(read, self._tools, secrets=[] if given is None else [given])

    def _link(self, approval: Approval) -> str | None:
        """Return a link by which a question may be answered; None where this gateway has no address."""
        api = self._api
        if api is None or base_url(api) is None:
            return None
        return link_for(api, approval.id, approvals.grant_for(api, approval))

    def secret(self) -> str:
        """Return what signs the webhooks of this home; made at the first need, readable by its user alone."""
        try:
            with open(self._secret_path, encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            pass
        own = f"{self._secret_path}.{os.getpid()}-{threading.get_ident()}"
        fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, new_secret().encode() + b"\n")
        finally:
            os.close(fd)
        with suppress(FileExistsError):  # whoever was first has made it: there is one, and it is whole
            os.link(own, self._secret_path)
        os.unlink(own)
        return self.secret()

    async def _start(self, run: Run) -> RunEnd:
        """Run a command of a wake and wait for its end.

        One that an earlier gateway has started for the same message is stayed with, not started again.
        """
        api = self._api
        assert api is not None
        session = await self._taken_up(api, run.message_id) or await self._begun(api, run)
        await api.sessions.until_end(session)
        assert session.end is not None
        end = outcome_of(session.end)
        if session.end.cause is Cause.SPAWN_ERROR:
            return RunEnd(code=None, how=session.end.note or "it could not be started", began=False)
        how = end.error or f"{end.status}, {end.cause}"
        return RunEnd(code=session.end.code, how=f"{how} (outlast process log {session.id})")

    async def _begun(self, api: Api, run: Run) -> Session:
        request = ExecRequest(
            argv=list(run.argv),
            env=run.env,
            stdin=None if run.stdin is None else StdinText(text=run.stdin),
            timeout_seconds=run.timeout_seconds,
            title=run.title[:200] or None,
            labels=[LABEL, f"{NOTICE}{run.message_id}"],
            background=True,
            allow_duplicate=True,
            leftovers="kill",
        )
        # The operator has registered it: that is its approval, where commands need one.
        plan = exec_.make_plan(api, Caller(), request, scheduled=True, may_ask=True)
        session = await api.sessions.start(plan.spec, umask=api.umask)
        api.books.outlived(session)
        return session

    async def _taken_up(self, api: Api, message_id: str) -> Session | None:
        """Return the session that tells this message already, or did so with success while no gateway was there."""
        if self._left is None:
            self._left = _told_by(api.sessions.live()) | _told_by(api.sessions.ended(limit=LEFT_MAX))
        sender, _, _ = message_id.rpartition(":")
        for earlier in [one for one in self._left if one.rpartition(":")[0] == sender]:
            session = self._left.pop(earlier)
            if earlier == message_id and (session.end is None or session.end.code == 0):
                return session
            # It tells what came before. A second turn beside it would be worse than a late one.
            await api.sessions.until_end(session)
        return None


def _checked_targets(targets: Sequence[str]) -> Sequence[str]:
    """Raise BadInput for a target that names nobody, when the gateway starts rather than when it is needed."""
    for target in targets:
        if is_target(target):
            parse_target(target)
        else:
            check_key(target, "approvals.notify")
    return targets


def _told_by(sessions: Sequence[Session]) -> dict[str, Session]:
    """Return sessions by the message they tell."""
    return {
        label.removeprefix(NOTICE): session
        for session in sessions
        for label in session.info.labels
        if label.startswith(NOTICE)
    }


def _smtp(config: Config) -> SmtpSettings | None:
    if not config.delivery_smtp_host:
        return None
    return SmtpSettings(
        host=config.delivery_smtp_host,
        sender=config.delivery_smtp_sender,
        port=config.delivery_smtp_port,
        security=config.delivery_smtp_security,
        username=config.delivery_smtp_username,
        password=config.delivery_smtp_password,
    )
