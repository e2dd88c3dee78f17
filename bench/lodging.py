"""A home of its own with a real gateway, started as a user starts it, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import machine

from outlast.config import load
from outlast.process.keeper import proc
from outlast.process.launcher import find

PATIENCE = 60.0
BASE = "/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()
"""On a real disk, unlike many a /tmp, and with few other programs deleting files in it."""
_ground: str | None = None


@contextmanager
def ground(base: str = BASE) -> Iterator[str]:
    """Put all homes of one run below one directory, which is removed at the very end.

    Not earlier: ext4 steps around inodes deleted in the last minutes, one by one, whenever a file is created. Removing
    the thousand sessions of one benchmark would make each start of the next one pay for it.
    """
    global _ground
    _ground = tempfile.mkdtemp(prefix="olb-", dir=base)
    try:
        yield _ground
    finally:
        shutil.rmtree(_ground, ignore_errors=True)
        _ground = None


class Lodging:
    """One home. ``settings`` are extra environment variables of its gateway."""

    def __init__(self, **settings: str) -> None:
        self._removed_later = _ground is not None
        self.home = tempfile.mkdtemp(prefix="olb-" if _ground is None else "", dir=_ground or BASE)
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.env = {**keep, "OUTLAST_HOME": self.home, "SHELL": "/bin/sh", **settings}
        self.paths = load(self.env).paths
        self.socket = self.paths.socket

    def __enter__(self) -> Lodging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def outlast(self) -> list[str]:
        """How this installation's command line is called: the script beside the interpreter, as a user has it."""
        script = os.path.join(os.path.dirname(sys.executable), "outlast")
        return [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "outlast"]

    def start(self) -> float:
        """Start the gateway with ``python -m outlast gateway start``; return the seconds that took."""
        began = time.perf_counter()
        self.cli("gateway", "start")
        return time.perf_counter() - began

    def cli(self, *words: str) -> str:
        """Run one command of the command line and return what it printed."""
        argv = [sys.executable, "-m", "outlast", *words]
        done = subprocess.run(
            argv, env=self.env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stderr.decode()}\n{self.log_tail()}")
        return done.stdout.decode()

    def log_tail(self) -> str:
        try:
            with open(self.paths.log, encoding="utf-8", errors="replace") as file:
                return file.read()[-2000:]
        except OSError:
            return ""

    @property
    def gateway_pid(self) -> int:
        with open(self.paths.lock, encoding="utf-8") as file:
            return int(json.load(file)["pid"])

    def kill_gateway(self) -> None:
        """kill -9, and return when it is gone."""
        pid = self.gateway_pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: machine.comm(pid) == "" or proc.state_of(pid) in "ZX", "the gateway to die")

    def stop(self) -> None:
        self.cli("gateway", "stop", "--kill-sessions")

    @property
    def keeper_pid(self) -> int:
        pid = find(self.paths.run).pid
        assert pid is not None, "no keeper runs"
        return pid

    def keeper(self) -> dict[str, list[int]]:
        """The keeper's processes by role: zygote, template, spares, supervisors, commands."""
        zygote = self.keeper_pid
        roles: dict[str, list[int]] = {"zygote": [zygote], "template": [], "spares": [], "supervisors": []}
        roles["commands"] = []
        for pid in proc.descendants(zygote):
            name = machine.comm(pid)
            if name == "outlast-session":
                roles["supervisors"].append(pid)
            elif name == "outlast-templat":  # the kernel keeps 15 characters
                roles["template" if machine.parent(pid) == zygote else "spares"].append(pid)
            else:
                roles["commands"].append(pid)
        return roles

    def close(self) -> None:
        """End whatever is left of this home, and remove it when that is gone: what dies may still make a file."""
        left = [(pid, proc.start_ticks(pid)) for pid in self._leftovers()]
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid, began in left:
            wait_for(lambda pid=pid, began=began: _is_gone(pid, began), f"process {pid} to die")
        if not self.paths.run.startswith(self.home):
            shutil.rmtree(self.paths.run, ignore_errors=True)
        if not self._removed_later:
            shutil.rmtree(self.home, ignore_errors=True)

    def _leftovers(self) -> list[int]:
        keeper = find(self.paths.run).pid
        pids = [] if keeper is None else [keeper, *proc.descendants(keeper)]
        try:
            gateway = self.gateway_pid
        except (OSError, ValueError, KeyError):
            return pids
        with_home = f"OUTLAST_HOME={self.home}".encode()
        try:
            with open(f"/proc/{gateway}/environ", "rb") as file:
                ours = with_home in file.read().split(b"\0")
        except OSError:
            ours = False
        return [gateway, *pids] if ours else pids


def _is_gone(pid: int, began: int | None) -> bool:
    return began is None or proc.start_ticks(pid) != began or proc.state_of(pid) in "ZX"


def wait_for(ready: Any, what: str, patience: float = PATIENCE) -> None:
    """Look every few milliseconds until ``ready()``; raises when it takes too long."""
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:g} s for {what}")
        time.sleep(0.005)
