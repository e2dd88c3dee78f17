"""Numbered migrations: applied once, in order, each known by a checksum of its text.

A migration that was applied is history and is never edited; ``schema.sql`` shows where they lead, and a test
proves the two equal.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import NamedTuple

from outlast.core.errors import GatewayTrouble


class Migration(NamedTuple):
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return what the database remembers the text by."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(package: str) -> list[Migration]:
    """Read the migrations of a store's package, in order."""
    found = []
    for file in (resources.files(package) / "sql" / "migrations").iterdir():
        name, dot, suffix = file.name.rpartition(".")
        if dot and suffix == "sql":
            found.append(Migration(int(name[:4]), name[5:], file.read_text(encoding="utf-8")))
    return sorted(found)


def schema_text(package: str) -> str:
    """Return the whole schema as one script."""
    return (resources.files(package) / "sql" / "schema.sql").read_text(encoding="utf-8")


def pending(known: list[Migration], applied: dict[int, str], place: str) -> list[Migration]:
    """Return what is still to be applied, given the checksums of what was.

    Raises GatewayTrouble: ``store_newer`` when a later outlast wrote here, ``store_damaged`` when a step that was
    applied is not the one we know.
    """
    newest = known[-1].number
    if applied and max(applied) > newest:
        raise newer(place, max(applied), newest)
    for step in known:
        if applied.get(step.number, step.checksum) != step.checksum:
            raise trouble(
                f"{place}: step {step.number} of the schema is not the one this outlast knows",
                "store_damaged",
                "restore a backup, or use the version of outlast that made this store",
                retryable=False,
            )
    return [step for step in known if step.number not in applied]


def newer(place: str, theirs: int, ours: int) -> GatewayTrouble:
    """Return the trouble of a store that a later version has touched."""
    return trouble(
        f"{place} has schema {theirs}; this outlast knows {ours} at most",
        "store_newer",
        "upgrade outlast; nothing was changed",
        retryable=False,
    )


def trouble(message: str, code: str, hint: str, *, retryable: bool) -> GatewayTrouble:
    """Return a `GatewayTrouble` that says whether waiting helps."""
    found = GatewayTrouble(message, code=code, hint=hint)
    found.retryable = retryable
    return found
