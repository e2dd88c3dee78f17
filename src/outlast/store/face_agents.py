"""The acts and questions of agents as methods, the same for every store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from outlast.core.agent import AgentConversation, Beat, BeatState, Entry, NewEntry
from outlast.core.approval import Approval
from outlast.core.task import Notice, Task


class AgentFace(ABC):
    """What `AgentActs` and `AgentQuestions` promise. See there for what each method does."""

    @abstractmethod
    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        """Ask for an act; its result comes after the commit."""

    @abstractmethod
    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        """Run a question."""

    async def append_entries(self, conversation: str, entries: Sequence[NewEntry]) -> int:
        return cast(int, await self._act("append_entries", conversation, entries))

    async def hold_conversation(self, conversation: AgentConversation) -> AgentConversation:
        return cast(AgentConversation, await self._act("hold_conversation", conversation))

    async def note_agent_session(self, key: str, agent_session: str | None, now: float) -> None:
        await self._act("note_agent_session", key, agent_session, now)

    async def prune_transcripts(self, before: float, limit: int) -> int:
        return cast(int, await self._act("prune_transcripts", before, limit))

    async def set_beat(self, state: BeatState, expected_next: float | None) -> bool:
        return cast(bool, await self._act("set_beat", state, expected_next))

    async def add_beat(self, beat: Beat) -> int:
        return cast(int, await self._act("add_beat", beat))

    async def take_beat(self, state: BeatState, expected_next: float | None, beat: Beat) -> int | None:
        return cast(int | None, await self._act("take_beat", state, expected_next, beat))

    async def renew_beat(self, beat_id: int, until: float) -> bool:
        return cast(bool, await self._act("renew_beat", beat_id, until))

    async def end_beat(
        self, beat_id: int, outcome: str, reason: str, text: str | None, now: float, notice: Notice | None = None
    ) -> bool:
        return cast(bool, await self._act("end_beat", beat_id, outcome, reason, text, now, notice))

    async def prune_beats(self, before: float) -> None:
        await self._act("prune_beats", before)

    async def entries_of(self, conversation: str, after: int, limit: int) -> list[Entry]:
        return cast(list[Entry], await self._ask("entries_of", conversation, after, limit))

    async def entries_before(self, conversation: str, before: int | None, limit: int) -> list[Entry]:
        return cast(list[Entry], await self._ask("entries_before", conversation, before, limit))

    async def last_entry_of_task(self, task_id: str) -> Entry | None:
        return cast(Entry | None, await self._ask("last_entry_of_task", task_id))

    async def get_agent_conversation(self, key: str) -> AgentConversation | None:
        return cast(AgentConversation | None, await self._ask("get_agent_conversation", key))

    async def agent_conversations(self, agent: str | None, limit: int, after: str = "") -> list[AgentConversation]:
        return cast(list[AgentConversation], await self._ask("agent_conversations", agent, limit, after))

    async def child_conversations(self, parent: str, limit: int, after: str = "") -> list[AgentConversation]:
        return cast(list[AgentConversation], await self._ask("child_conversations", parent, limit, after))

    async def live_in_conversation(self, key: str, limit: int = 100) -> list[str]:
        return cast(list[str], await self._ask("live_in_conversation", key, limit))

    async def live_children(self, parent: str, limit: int = 100) -> list[str]:
        return cast(list[str], await self._ask("live_children", parent, limit))

    async def live_below(self, key: str, limit: int = 1000) -> list[str]:
        return cast(list[str], await self._ask("live_below", key, limit))

    async def live_turns(self, requester: str | None = None) -> dict[str, tuple[int, int]]:
        return cast(dict[str, tuple[int, int]], await self._ask("live_turns", requester))

    async def beat_states(self) -> list[BeatState]:
        return cast(list[BeatState], await self._ask("beat_states"))

    async def beats_of(self, agent: str | None, limit: int, before: int | None = None) -> list[Beat]:
        return cast(list[Beat], await self._ask("beats_of", agent, limit, before))

    async def open_beats(self, limit: int = 100) -> list[Beat]:
        return cast(list[Beat], await self._ask("open_beats", limit))

    async def beats_since(self, agent: str, since: float) -> int:
        return cast(int, await self._ask("beats_since", agent, since))

    async def beat_told(self, agent: str, text: str, since: float) -> bool:
        return cast(bool, await self._ask("beat_told", agent, text, since))

    async def login_wanted(self, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("login_wanted", limit))

    async def silent_agents(self, before: float, limit: int) -> list[Task]:
        return cast(list[Task], await self._ask("silent_agents", limit, before=before))

    async def parked_permissions(self, before: float, limit: int) -> list[Approval]:
        return cast(list[Approval], await self._ask("parked_permissions", limit, before=before))

    async def failing_beats(self, limit: int) -> list[Beat]:
        return cast(list[Beat], await self._ask("failing_beats", limit))
