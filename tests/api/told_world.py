"""A ledger world that tells and fires: real outbox, wakes and scheduler over pretended sessions."""

from __future__ import annotations

from functools import partial
from typing import Any

from api_ledger import LedgerWorld, ledger_world

from outlast.api import cron_firing
from outlast.api.context import Api, Caller
from outlast.gateway.telling import Telling

ALICE, BOB = Caller("agent:alice:main", operator=False), Caller("agent:bob:main", operator=False)
REMOTE = Caller(remote=True)
HOSTILE = "$(touch /tmp/x) `id`; \x1b[31mred\x1b]0;title\x07 {text} {{}} %s '\"\\ \u202edrow \u0000 <script>"
"""Shell metacharacters, colours, a window title, template gaps, quotes, turned letters, NUL, markup."""


class TellingWorld(LedgerWorld):
    """Use `telling_world`."""

    def make_api(self) -> Api:
        api = super().make_api()
        telling = Telling(self.config, self.clock, dict(api.environ))
        telling.serve(api)
        self.books.tell_by(telling, partial(cron_firing.firing_of, api))
        return api

    async def go(self, seconds: float = 0.05) -> None:
        """Let time pass."""
        await self.settle()
        await self.clock.advance(seconds)

    async def rule(self, name: str = "job", *, caller: Caller | None = None, **fields: Any) -> Any:
        """Add a rule; by default it runs ``make`` every minute."""
        does = {} if {"argv", "event", "flow", "flowFile", "agent"} & set(fields) else {"command": "make"}
        given = {"name_": name, **does, **fields}
        if not {"cron", "every", "at", "in"} & set(given):
            given["every"] = "1m"
        return await self.ask("cron.add", caller=caller, **given)


telling_world = partial(ledger_world, made=TellingWorld)
