"""The PostgreSQL store: a face over the writer, the readers and the listener."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import psycopg

from outlast.core.errors import BadInput
from outlast.store.acts import ENTRIES, STEPS, change_of
from outlast.store.base import Change, StoreInfo
from outlast.store.face import Face
from outlast.store.migrate import trouble
from outlast.store.postgres.connection import (
    CHANNEL,
    PACKAGE,
    Connection,
    connect,
    explain,
    migrate,
    place_of,
    spelled,
)  # fmt: skip
from outlast.store.postgres.reader import PostgresReader
from outlast.store.postgres.writer import Writer
from outlast.store.registry import ACTS, QUESTIONS
from outlast.store.statements import load

_READERS = 2


class PostgresStore(Face):
    """One database (encoding UTF8) on a server; any number of processes may use it at once."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.place = place_of(dsn)
        self._dsn = dsn
        self._texts = load(PACKAGE)
        self._sql = {name: spelled(text) for name, text in self._texts.items()}
        self._writer: Writer | None = None
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._threads: ThreadPoolExecutor | None = None
        self._listener: Connection | None = None
        self._listener_fd = -1

    async def open(self) -> None:
        """Connect, migrate, listen. Raises GatewayTrouble."""
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="outlast-read")
        try:
            await self._in_reader(lambda reader: migrate(reader.connection, self.place))
            self._writer = Writer(self._dsn, self.place, self._texts, asyncio.get_running_loop(), self._changed)
            await self._listen()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was asked for and hang up."""
        self._stop_listening()
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            await self._writer.close()
        if self._threads is not None:
            threads, self._threads = self._threads, None
            await loop.run_in_executor(None, threads.shutdown)
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    async def look_around(self) -> bool:
        """Listen again when the connection for that was lost, and then take it that something happened meanwhile."""
        if self._listener is not None and not self._listener.closed:
            return False
        await self._listen()
        self._changed(Change(foreign=True))
        return True

    async def _listen(self) -> None:
        self._listener = await self._in_thread(self._connect_listener)
        self._listener_fd = self._listener.fileno()
        asyncio.get_running_loop().add_reader(self._listener_fd, self._heard)

    def _connect_listener(self) -> Connection:
        try:
            connection = connect(self._dsn)
            connection.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            raise explain(error, self.place) from error
        return connection

    def _heard(self) -> None:
        """Pass on what other nodes committed; our own commits were told already."""
        assert self._listener is not None and self._writer is not None
        server = self._listener.pgconn
        brought = 0
        try:
            server.consume_input()
            while (notice := server.notifies()) is not None:
                if notice.be_pid != self._writer.pid():
                    brought |= int(notice.extra)
        except psycopg.Error:
            self._stop_listening()
            self._changed(Change(foreign=True))  # what others say now, nobody hears: look around
        if brought:
            self._changed(change_of(brought, foreign=bool(brought & ~(ENTRIES | STEPS))))

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener_fd)  # a lost connection has no number to ask for
            self._listener.close()
            self._listener = None

    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        if self._writer is None:
            raise trouble(f"{self.place} is not open", "store_closed", "open it", retryable=True)
        return self._writer.submit(ACTS[name], *args)

    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        return await self._in_reader(lambda reader: QUESTIONS[name](reader, *args, **params))

    async def _in_reader(self, question: Callable[[PostgresReader], Any]) -> Any:  # noqa: ANN401
        return await self._in_thread(lambda: self._read(question))

    async def _in_thread(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401
        if self._threads is None:
            raise trouble(f"{self.place} is closed", "store_closed", "open it again", retryable=True)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _read(self, question: Callable[[PostgresReader], Any]) -> Any:  # noqa: ANN401
        used = self._alive() is not None
        try:
            return question(self._reader())
        except psycopg.Error as error:
            if not used or self._alive() is not None:
                raise explain(error, self.place) from error
        return self._read(question)  # the connection had died while nobody used it

    def _alive(self) -> PostgresReader | None:
        reader: PostgresReader | None = getattr(self._local, "reader", None)
        return None if reader is None or reader.connection.closed else reader

    def _reader(self) -> PostgresReader:
        reader = self._alive()
        if reader is None:
            connection = connect(self._dsn)
            self._opened = [*(one for one in self._opened if not one.closed), connection]
            reader = self._local.reader = PostgresReader(connection, self._sql)
        return reader

    async def info(self) -> StoreInfo:
        """Say which store this is."""
        version, schema = await self._in_reader(_versions)
        return StoreInfo(kind="postgresql", place=self.place, version=version, schema_version=schema)

    async def check(self) -> list[str]:
        """Find history and notices without a task; the server looks after its own pages."""
        return cast(list[str], await self._in_reader(lambda reader: [row[0] for row in reader.rows("check")]))

    async def backup(self, path: str) -> None:
        """Refuse: the server has tools of its own. Raises BadInput (``not_a_file``)."""
        raise BadInput(f"{self.place} is not a file", code="not_a_file", hint="use pg_dump, or the server's backups")


def _versions(reader: PostgresReader) -> tuple[str, int]:
    [row] = reader.connection.execute(
        "SELECT current_setting('server_version'), max(number) FROM schema_version"
    ).fetchall()
    return row[0], row[1]
