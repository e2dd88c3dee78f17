"""Where a message goes, as text: ``webhook:URL``, ``command:[…]``, ``desktop:``, ``smtp:ADDRESS``, ``apprise:URL``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, assert_never, get_args

from outlast.core.conversation import names_channel
from outlast.core.errors import BadInput
from outlast.core.redact import redact_argv
from outlast.delivery.channels.template import check_template, parse_template, split_template, written
from outlast.delivery.channels.urls import parse_url

Kind = Literal["webhook", "command", "desktop", "smtp", "apprise"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TARGET_MAX = 40_000
"""Characters of a target."""
APPRISE_MAX = 4096
_APPRISE = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[\x21-\x7e]*", re.ASCII)


class Target(NamedTuple):
    """A target that was read: its channel, and the rest, which is right for that channel."""

    kind: Kind
    address: str

    @property
    def text(self) -> str:
        """The target as it is stored. May hold secrets: show `shown`."""
        return f"{self.kind}:{self.address}"

    @property
    def shown(self) -> str:
        """The target for people: of an address only what cannot be a secret, of a command all but its secrets."""
        match self.kind:
            case "webhook":
                return f"webhook:{parse_url(self.address).shown}"
            case "command":
                return f"command:{written(redact_argv(parse_template(self.address).argv))}"
            case "apprise":
                return f"apprise:{self.address.partition('://')[0]}://***"
            case "desktop" | "smtp":
                return self.text
            case unknown:
                assert_never(unknown)


is_target = names_channel
"""True when a text names a channel; anything else is the key of a conversation."""


def parse_target(text: str) -> Target:
    """Read a target. Raises `BadInput` with the code ``bad_target``, whose words hold nothing of the address."""
    kind, colon, address = text[: TARGET_MAX + 1].partition(":")
    if not colon or kind not in KINDS or len(text) > TARGET_MAX:
        raise BadInput(
            "the target names no channel",
            code="bad_target",
            hint='webhook:URL, command:["program", …], desktop:, smtp:ADDRESS or apprise:URL',
        )
    return Target(kind, _checked(kind, address))


def command_target(command: str | Sequence[str]) -> Target:
    """Return the target for a command: a line, split into words here and now and never again, or an argument list.

    Raises `BadInput` with the code ``bad_target``.
    """
    template = split_template(command) if isinstance(command, str) else check_template(command)
    return Target("command", written(template.argv))


def _checked(kind: Kind, address: str) -> str:
    match kind:
        case "webhook":
            parse_url(address)
        case "command":
            return written(parse_template(address).argv)
        case "desktop":
            if address:
                raise BadInput("desktop: takes no address", code="bad_target")
        case "smtp":
            from outlast.delivery.channels.smtp import check_address  # not loaded before there is mail to send

            check_address(address)
        case "apprise":
            if len(address) > APPRISE_MAX or not _APPRISE.fullmatch(address):
                raise BadInput(
                    "the Apprise address is refused: it is not scheme://… in plain ASCII",
                    code="bad_target",
                    hint="percent-encode what is not plain ASCII; one address to a target",
                )
        case unknown:
            assert_never(unknown)
    return address
