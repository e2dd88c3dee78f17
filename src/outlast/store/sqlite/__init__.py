"""The embedded store: one file in WAL mode, one writer thread with group commit, readers apart."""

from outlast.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
