"""How long other gateways believe that a beat is in somebody's hands: on a shared store only, as with tasks."""

from __future__ import annotations

from outlast.core.agent import Beat
from outlast.ledger.tasks import LEASE_SECONDS
from outlast.store.base import Store

RENEWED_AFTER = 1 / 3
"""The part of a lease after which it is renewed."""


class BeatLeases:
    """The leases of the beats of one gateway. ``begun`` is what its node writes on the beats that it begins."""

    def __init__(self, store: Store, begun: str, *, shared: bool) -> None:
        self._store = store
        self._begun = begun
        self.shared = shared

    def until(self, now: float) -> float | None:
        """Return how long a beat is held that is begun or renewed now; None where nobody else may take it up."""
        return now + LEASE_SECONDS if self.shared else None

    def elsewhere(self, beat: Beat) -> bool:
        """True for a beat of another node: there is nothing here to be seen of it."""
        return self.shared and beat.reason != self._begun

    def held_elsewhere(self, beat: Beat, now: float) -> bool:
        """True for a beat of another node that has been heard of lately."""
        return self.elsewhere(beat) and beat.lease_until is not None and beat.lease_until > now

    async def renewed(self, beat: Beat, now: float) -> float | None:
        """Extend the lease of a beat of ours when that is due; return when it is due next, None for never.

        Raises GatewayTrouble.
        """
        until = self.until(now)
        if until is None:
            return None
        due_at = now if beat.lease_until is None else beat.lease_until - LEASE_SECONDS * (1 - RENEWED_AFTER)
        if due_at > now:
            return due_at
        await self._store.renew_beat(beat.id, until)
        return now + LEASE_SECONDS * RENEWED_AFTER
