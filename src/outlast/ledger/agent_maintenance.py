"""Forgetting conversations of agents in which nothing was said for long. Each pass is bounded."""

from __future__ import annotations

import asyncio

from outlast.store.base import Store

BATCH = 1000
"""Entries forgotten in one commit: what writes meanwhile waits no longer than for these."""


async def prune_transcripts(store: Store, before: float, *, limit: int) -> int:
    """Forget conversations without an entry since that moment, the longest quiet first.

    Returns how many rows (entries and conversations) were forgotten: ``limit`` at most, and fewer when nothing is left
    to forget. A transcript that is longer than what is left of the limit loses its oldest entries, and the rest in the
    next pass.
    """
    gone = 0
    while gone < limit:
        wanted = min(BATCH, limit - gone)
        done = await store.prune_transcripts(before, wanted)
        gone += done
        if done < wanted:
            break
        await asyncio.sleep(0)
    return gone
