"""A telling world with short ways to ask for approvals and to answer them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from api_ledger import ledger_world
from told_world import TellingWorld

from outlast.api.context import Caller
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus

ALICE = Caller("agent:alice:main", operator=False)
BOB = Caller("agent:bob:main", operator=False)
LEAD = Caller("agent:lead:1", operator=False, remote=True)
DAY = 86_400.0


class ApprovalWorld(TellingWorld):
    """Use `approval_world`."""

    async def ask_to_run(self, command: str = "make deploy", *, caller: Caller = ALICE, **fields: Any) -> Any:
        """Ask to run a command; return the answer to the call."""
        fields = {"workdir": str(self.home), **({} if "argv" in fields else {"command": command}), **fields}
        result = await self.ask("exec", caller=caller, ask=True, **fields)
        await self.settle()
        return result

    async def approve(self, approval_id: str, *, caller: Caller | None = None, **fields: Any) -> Any:
        """Say yes and let what waited begin."""
        result = await self.ask("approvals.approve", approval_id, caller=caller, **fields)
        await self.settle()
        return result

    async def reject(self, approval_id: str, *, caller: Caller | None = None, **fields: Any) -> Any:
        """Say no."""
        result = await self.ask("approvals.reject", approval_id, caller=caller, **fields)
        await self.settle()
        return result

    async def approval(self, approval_id: str) -> Approval:
        """Return an approval as it stands on record."""
        await self.settle()
        found = await self.store.get_approval(approval_id)
        assert found is not None
        return found

    async def question(self, approval_id: str, **fields: Any) -> Approval:
        """Put a question on record as a flow asks it."""
        given = {
            "kind": ApprovalKind.FLOW, "requester": "local", "status": ApprovalStatus.PENDING, "prompt": "Ship it?",
            "created_at": self.clock.now(),
        }  # fmt: skip
        asked = await self.store.ask_approval(Approval(id=approval_id, **{**given, **fields}))
        await self.settle()
        return asked.approval

    def ran(self) -> list[str]:
        """Return the commands that were started, in order."""
        return [session.spec.command for session in self.sessions.all.values()]

    async def told(self, key: str) -> list[str]:
        """Return the texts a conversation has been told."""
        for _ in range(4):  # the rounds of the outbox, and of those who decide
            await self.go(0.1)
        return [event.text for event in await self.store.system_events(key, 0, 100, waiting=False)]


approval_world = partial(ledger_world, made=ApprovalWorld)


def settings(home: Path, text: str) -> dict[str, str]:
    """Write a configuration file and return the variable that names it."""
    path = home / "settings.toml"
    path.write_text(text)
    return {"OUTLAST_CONFIG": str(path)}
