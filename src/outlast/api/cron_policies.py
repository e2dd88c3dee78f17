"""What a rule's policies come to for the task of an instant, the same whatever the task does."""

from __future__ import annotations

from outlast.core.retry import DELAY_DEFAULT, DELAY_MAX_DEFAULT
from outlast.core.schedule import Overlap, Schedule

SOURCE = "cron"
"""The source of tasks that schedules have made."""

RETRY_DELAY, RETRY_DELAY_MAX = DELAY_DEFAULT * 5, DELAY_MAX_DEFAULT * 5
"""Seconds from a try that failed to the next, at first and at most: nobody sits and waits for a scheduled run."""


def retry_of(schedule: Schedule) -> dict[str, object] | None:
    """Return the pauses between the tries of a run; None where there is one try only."""
    return {"delaySeconds": RETRY_DELAY, "delayMaxSeconds": RETRY_DELAY_MAX} if schedule.retries else None


def queue_of(schedule: Schedule) -> str:
    """Return the queue of a rule's tasks: one of its own where its instants are to wait for each other."""
    return f"cron:{schedule.id}" if schedule.overlap is Overlap.QUEUE else "default"
