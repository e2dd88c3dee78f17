"""The SQLite store: a face over the writer and the readers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import apsw

from outlast.core.errors import BadInput
from outlast.store.acts import ENTRIES, STEPS, change_of
from outlast.store.base import Change, StoreInfo
from outlast.store.face import Face
from outlast.store.migrate import trouble
from outlast.store.registry import ACTS, QUESTIONS
from outlast.store.sqlite.bell import Bell
from outlast.store.sqlite.connection import PACKAGE, connect, explain, prepare
from outlast.store.sqlite.reader import SqliteReader
from outlast.store.sqlite.writer import Writer
from outlast.store.statements import load
from outlast.store.steps import Steps

_READERS = 2


class SqliteStore(Face):
    """One file; several processes may use it at once. ``read_only`` looks without making or changing anything."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        super().__init__()
        self.path = path
        self.read_only = read_only
        self._sql = load(PACKAGE)
        self._writer: Writer | None = None
        self._local = threading.local()
        self._opened: list[apsw.Connection] = []
        self._threads: ThreadPoolExecutor | None = None
        self._seen_version = 0
        self._bell: Bell | None = None

    async def open(self) -> None:
        """Make or check the file, migrate it, start the writer. Raises GatewayTrouble."""
        loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="outlast-read")
        try:
            await loop.run_in_executor(self._threads, lambda: prepare(self.path, read_only=self.read_only))
            if not self.read_only:
                self._bell = Bell(self.path, self._rung)
                self._writer = self._start_writer(loop)
                self._bell.hang(loop)
                self._seen_version = await self._writer.submit(_foreign_version)
        except BaseException:
            await self.close()
            raise

    def _start_writer(self, loop: asyncio.AbstractEventLoop) -> Writer:
        try:
            assert self._bell is not None
            return Writer(self.path, self._sql, loop, self._changed, self._bell.ring)
        except apsw.Error as error:
            raise explain(error, self.path) from error

    async def close(self) -> None:
        """Finish what was asked for and let go of the file."""
        loop = asyncio.get_running_loop()
        if self._writer is not None:
            await self._writer.close()
        if self._bell is not None:
            self._bell.take_down()
        if self._threads is not None:
            threads, self._threads = self._threads, None
            await loop.run_in_executor(None, threads.shutdown)
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    async def look_around(self) -> bool:
        """Find out whether another process committed since the last look."""
        version = await self._submit(_foreign_version)
        if version == self._seen_version:
            return False
        self._seen_version = version
        self._changed(Change(foreign=True))
        return True

    def _rung(self, brought: int) -> None:
        """Another process has committed: tell who waits, as if it had been us, and that it was somebody else."""
        self._changed(change_of(brought, foreign=bool(brought & ~(STEPS | ENTRIES))))

    def _act(self, name: str, *args: Any) -> Awaitable[Any]:  # noqa: ANN401
        return self._submit(ACTS[name], *args)

    def _submit(self, do: Callable[..., Steps[Any]], *args: Any) -> asyncio.Future[Any]:  # noqa: ANN401
        if self._writer is None:
            code = "store_read_only" if self.read_only else "store_closed"
            raise trouble(f"{self.path} is not open for writing", code, "open it for that", retryable=True)
        return self._writer.submit(do, *args)

    async def _ask(self, name: str, *args: Any, **params: Any) -> Any:  # noqa: ANN401
        return await self._in_reader(lambda reader: QUESTIONS[name](reader, *args, **params))

    async def _in_reader(self, question: Callable[[SqliteReader], Any]) -> Any:  # noqa: ANN401
        if self._threads is None:
            raise trouble(f"{self.path} is closed", "store_closed", "open it again", retryable=True)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, question)

    def _read(self, question: Callable[[SqliteReader], Any]) -> Any:  # noqa: ANN401
        try:
            return question(self._reader())
        except apsw.Error as error:
            raise explain(error, self.path) from error

    def _reader(self) -> SqliteReader:
        reader: SqliteReader | None = getattr(self._local, "reader", None)
        if reader is None:
            connection = connect(self.path, writer=False)
            self._opened.append(connection)
            reader = self._local.reader = SqliteReader(connection, self._sql)
        return reader

    async def info(self) -> StoreInfo:
        """Say which store this is."""
        version = await self._in_reader(lambda reader: reader.connection.pragma("user_version"))
        return StoreInfo(
            kind="sqlite", place=self.path, version=apsw.sqlite_lib_version(), schema_version=cast(int, version)
        )

    async def check(self) -> list[str]:
        """Check the whole file; return what is wrong."""
        return cast(list[str], await self._in_reader(lambda reader: reader.check()))

    async def backup(self, path: str) -> None:
        """Copy the live file. Raises BadInput (``backup_exists``) rather than write over anything."""
        if os.path.lexists(path):
            raise BadInput(f"{path} exists", code="backup_exists", hint="name a file that does not exist yet")
        await self._in_reader(lambda reader: reader.copy(path))


def _foreign_version() -> Steps[int]:
    """Return a number that is another one after somebody else's commit."""
    [rows] = yield [("foreign_version", {})]
    return cast(int, rows[0][0])
