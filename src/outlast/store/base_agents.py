"""What a store can do for agents: transcripts, who holds which conversation, heartbeats. See `outlast.store.base`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from outlast.core.agent import AgentConversation, Beat, BeatState, Entry, NewEntry
from outlast.core.approval import Approval
from outlast.core.task import Notice, Task


class AgentActs(Protocol):
    """The acts on transcripts, agents' conversations and beats."""

    async def append_entries(self, conversation: str, entries: Sequence[NewEntry]) -> int:
        """Add entries in order; those whose ``source_key`` is there already are left out. Returns the newest ``seq``.

        A key stands for the same thing in every conversation. Numbers have no gaps, whoever else appends meanwhile.
        Hold the conversation first: only those are ever forgotten. Brings ``Change.entries``.
        """

    async def hold_conversation(self, conversation: AgentConversation) -> AgentConversation:
        """Put an agent's conversation on record; one that is there comes back as it stands, ``updated_at`` brought up.

        So it is not forgotten between this and the first entry.
        """

    async def note_agent_session(self, key: str, agent_session: str | None, now: float) -> None:
        """Note the agent's own session of a conversation, for its next turn (None: it has none), and count a turn."""

    async def prune_transcripts(self, before: float, limit: int) -> int:
        """Forget conversations of agents without an entry or turn since that moment, but those with live tasks.

        At most ``limit`` rows are forgotten, of the longest quiet conversation first and its oldest entries first, so
        that no act holds up the others. Returns how many were: fewer than ``limit`` when nothing is left to forget.
        """

    async def set_beat(self, state: BeatState, expected_next: float | None) -> bool:
        """Write where a heartbeat stands, if ``next_at`` is what was read (new: None); False: somebody was first.

        Nothing but ``next_at`` is compared: whoever pauses a heartbeat sets that to None. Brings ``Change.wakes``.
        """

    async def add_beat(self, beat: Beat) -> int:
        """Write a line of a heartbeat's history (``id`` is given by the store); return its id."""

    async def take_beat(self, state: BeatState, expected_next: float | None, beat: Beat) -> int | None:
        """Do `set_beat` and `add_beat` in one; None, and neither, where somebody was first.

        A beat that begins (no ``ended_at``) takes the agent's main conversation: somebody is first there while a turn
        runs in it or another beat has not ended; and no turn of it is claimed before the beat has ended.
        """

    async def renew_beat(self, beat_id: int, until: float) -> bool:
        """Extend the lease of a beat; False when it has ended."""

    async def end_beat(
        self, beat_id: int, outcome: str, reason: str, text: str | None, now: float, notice: Notice | None = None
    ) -> bool:
        """Note what became of a beat that was added without ``ended_at``; False, and no notice, when that is known.

        The notice that passes its answer on is written in the same commit.
        """

    async def prune_beats(self, before: float) -> None:
        """Forget beats before that moment, with their notices."""


class AgentQuestions(Protocol):
    """The questions about agents: nothing here changes a row."""

    async def entries_of(self, conversation: str, after: int, limit: int) -> list[Entry]:
        """Return entries of a transcript in order, after that ``seq``."""

    async def entries_before(self, conversation: str, before: int | None, limit: int) -> list[Entry]:
        """Return the newest entries before that ``seq`` (None: the newest of all), in order."""

    async def last_entry_of_task(self, task_id: str) -> Entry | None:
        """Return the entry of a task with the greatest ``journal_at``: where the reading of its journal goes on."""

    async def get_agent_conversation(self, key: str) -> AgentConversation | None:
        """Return what is known of an agent's conversation."""

    async def agent_conversations(self, agent: str | None, limit: int, after: str = "") -> list[AgentConversation]:
        """Return conversations of one agent or of all, by key, after that key."""

    async def child_conversations(self, parent: str, limit: int, after: str = "") -> list[AgentConversation]:
        """Return the conversations that a conversation has spawned, by key, after that key."""

    async def live_in_conversation(self, key: str, limit: int = 100) -> list[str]:
        """Return the ids of tasks of a conversation that are queued or running: it is busy while there are any."""

    async def live_children(self, parent: str, limit: int = 100) -> list[str]:
        """Return the ids of live tasks of conversations that a conversation has spawned."""

    async def live_below(self, key: str, limit: int = 1000) -> list[str]:
        """Return the ids of live tasks of all that a conversation has spawned, and those in turn, nearest first.

        Also where a conversation between has no live task itself: this is what goes with the cancel of a tree.
        """

    async def live_turns(self, requester: str | None = None) -> dict[str, tuple[int, int]]:
        """Return how many turns of each agent run and how many wait, for one requester or for all.

        Agents without any are left out.
        """

    async def beat_states(self) -> list[BeatState]:
        """Return where all heartbeats stand, by agent."""

    async def beats_of(self, agent: str | None, limit: int, before: int | None = None) -> list[Beat]:
        """Return beats, newest first, before that id."""

    async def open_beats(self, limit: int = 100) -> list[Beat]:
        """Return the beats that have not ended, oldest first: what a restart has to settle."""

    async def beats_since(self, agent: str, since: float) -> int:
        """Return how many beats of an agent have run since that moment: all but the skipped."""

    async def beat_told(self, agent: str, text: str, since: float) -> bool:
        """Return whether an agent's beat since that moment has told this very text."""

    async def login_wanted(self, limit: int) -> list[Task]:
        """Return the newest turn of each agent that succeeded or wanted a login, where it wanted one; oldest first.

        Not where that was dismissed, or a beat of the agent that began since has gone well.
        """

    async def silent_agents(self, before: float, limit: int) -> list[Task]:
        """Return running turns without a sign of life since that moment, quietest first.

        Not those that wait for leave.
        """

    async def parked_permissions(self, before: float, limit: int) -> list[Approval]:
        """Return what agents have waited for leave for since before that moment, longest first."""

    async def failing_beats(self, limit: int) -> list[Beat]:
        """Return the newest ended beat of each agent whose last three that ran have failed, oldest first.

        Not of those whose heartbeat is paused.
        """
