"""From a target to the channel that serves it: the one place that knows them all, and loads only what is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from outlast.delivery.channels.addresses import Allowed
from outlast.delivery.channels.base import Channel, Message, SendFailed
from outlast.delivery.channels.program import Programs
from outlast.delivery.channels.targets import Target
from outlast.delivery.channels.template import parse_template
from outlast.delivery.channels.threads import Threads
from outlast.delivery.channels.urls import parse_url

if TYPE_CHECKING:
    from outlast.delivery.channels.command import Start
    from outlast.delivery.channels.smtp import SmtpSettings
    from outlast.process.clock import Clock


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What channels work with, made once for all of them.

    ``environ`` is the gateway's environment, of which helpers get the few names they need; ``allowed`` what may be
    reached beside the public Internet; ``start`` starts a recorded command; ``smtp`` is None where no mail server is
    set.
    """

    clock: Clock
    start: Start
    environ: Mapping[str, str]
    allowed: Allowed = ()
    smtp: SmtpSettings | None = None
    threads: Threads = field(default_factory=Threads)
    programs: Programs = field(default_factory=Programs)


def open_channel(target: Target, tools: Tools, *, secrets: Sequence[str] = ()) -> Channel:
    """Return the channel of a target. ``secrets`` sign a webhook and are not used elsewhere.

    Costs next to nothing and connects to nobody. Raises `BadInput` for a webhook without a usable secret.
    """
    match target.kind:
        case "webhook":
            from outlast.delivery.channels.signature import read_secrets
            from outlast.delivery.channels.webhook import Webhook

            keys = read_secrets(secrets)
            url = parse_url(target.address)
            return Webhook(url, keys, clock=tools.clock, threads=tools.threads, allowed=tools.allowed)
        case "command":
            from outlast.delivery.channels.command import Command

            return Command(parse_template(target.address), tools.start)
        case "desktop":
            from outlast.delivery.channels.desktop import Desktop

            return Desktop(tools.programs, tools.environ)
        case "smtp":
            return _smtp(target.address, tools)
        case "apprise":
            from outlast.delivery.channels.apprise import Apprise

            return Apprise(target.address, tools.programs, tools.environ, allowed=tools.allowed)
        case unknown:
            assert_never(unknown)


def _smtp(address: str, tools: Tools) -> Channel:
    if tools.smtp is None:
        return Unset("no mail server is set")
    from outlast.delivery.channels.smtp import Smtp

    return Smtp(address, tools.smtp, tools.threads)


class Unset:
    """Stands for a channel that lacks a setting: says so at every sending."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def send(self, message: Message) -> None:
        """Raise SendFailed."""
        raise SendFailed(self._reason, retryable=False)
