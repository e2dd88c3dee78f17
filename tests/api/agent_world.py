"""A world that tells and fires, with agents: their turns come on record, and nobody works on them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from told_world import TellingWorld, telling_world

from outlast import config as config_module
from outlast.gateway.agent_room import AgentRoom
from outlast.gateway.agent_turns import AgentTurns
from outlast.gateway.books import Books
from outlast.gateway.flow_engine import Maker
from outlast.ledger.tasks import Ledger

TABLES = '[agents.coder]\nbackend = "acp"\ncommand = ["coder"]\n[agents.quick]\nbackend = "command"\ncommand = ["q"]\n'


class AgentWorld(TellingWorld):
    """Use `agent_world`."""

    def staff(self, books: Books, ledger: Ledger) -> None:
        self.configure()
        maker = Maker(self.config, self.clock, {"HOME": str(self.home)})
        room = AgentRoom(ledger, maker)
        books.agents_by(AgentTurns(books, room, None, maker))  # type: ignore[arg-type]

    def configure(self, more: str = "", agents: str = TABLES) -> None:
        """Have agents, and what else a config file says, from now on."""
        file = self.home / "config.toml"
        file.write_text(f"{agents}{more}")
        file.chmod(0o600)
        environ = {"OUTLAST_HOME": str(self.home), "OUTLAST_CONFIG": str(file), "HOME": str(self.home)}
        self.config = config_module.load(environ)
        if hasattr(self, "api"):
            self.api.config = self.config


def agent_world(home: Path, **options: Any) -> Any:
    """An `AgentWorld` for as long as the block lasts."""
    return partial(telling_world, made=AgentWorld)(home, **{"slots": 0, **options})
