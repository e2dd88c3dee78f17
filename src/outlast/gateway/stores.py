"""Which database: the only place that knows the concrete stores."""

from __future__ import annotations

import os

from outlast.config import Config
from outlast.core.errors import BadInput
from outlast.store.base import Store

FILE_NAME = "ledger.db"
_POSTGRES = ("postgresql://", "postgres://")
_SQLITE = "sqlite:///"


def make_store(config: Config, *, read_only: bool = False) -> Store:
    """Return the store the settings name, not opened yet. Raises BadInput for an address of no kind we know.

    Empty: the file ``ledger.db`` of this home. ``sqlite:///PATH`` is another file, ``postgresql://…`` a server.
    """
    url = config.store_url
    if url.startswith(_POSTGRES):
        return _postgres(url)
    if url and not url.startswith(_SQLITE):
        raise BadInput("store.url: must be sqlite:///PATH or postgresql://…", code="bad_config")
    from outlast.store.sqlite import SqliteStore

    path = url.removeprefix(_SQLITE)
    return SqliteStore(
        f"/{path.lstrip('/')}" if path else os.path.join(config.paths.home, FILE_NAME), read_only=read_only
    )


def _postgres(url: str) -> Store:
    try:
        from outlast.store.postgres import PostgresStore
    except ImportError:
        raise BadInput(
            "the store is PostgreSQL, but psycopg is not installed", code="bad_config",
            hint="pip install 'outlast[postgres]'",
        ) from None  # fmt: skip
    return PostgresStore(url)
