"""The shared store: PostgreSQL through psycopg (the extra ``postgres``); any number of gateways may use it."""

from outlast.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
