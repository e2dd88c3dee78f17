"""Agents that others have made, installed once and kept, for tests with the real thing.

They live below ``$OUTLAST_AGENTS_CACHE`` (default: ``~/.cache/outlast-agents``), outside of the repository. Only making
them needs the network.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

FAST_AGENT = ("fast-agent-mcp==0.10.48",)
FAST_AGENT_PYTHON = (3, 12)
NPM = (
    "node@22.23.3", "@agentclientprotocol/claude-agent-acp@0.49.0", "@anthropic-ai/claude-code@2.1.197",
    "@zed-industries/codex-acp@0.16.0", "@openai/codex@0.171.0", "opencode-ai@1.18.33",
)  # fmt: skip
INSTALL_SECONDS = 1200
INSTALLED_FIRST = pytest.mark.timeout(INSTALL_SECONDS + 300)
"""For tests of which the first may have to install its agent, or to wait until another has."""


def fast_agent() -> str:
    """The path of the program fast-agent, installed now if need be."""
    place = _kept("fast-agent", "\n".join(FAST_AGENT), _make_fast_agent)
    return os.path.join(place, "bin", "fast-agent")


def npm_agents() -> str:
    """The folder with the programs of the agents from npm, and a node that they like."""
    return os.path.join(_kept("npm", "\n".join(NPM), _make_npm), "node_modules", ".bin")


def _make_fast_agent(place: str) -> None:
    _run([_python(FAST_AGENT_PYTHON), "-m", "venv", place])
    _run(
        [
            os.path.join(place, "bin", "python"),
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            *FAST_AGENT,
        ]
    )


def _make_npm(place: str) -> None:
    if shutil.which("npm") is None:
        _missing("there is no npm on this machine")
    os.makedirs(place)
    _run(["npm", "install", "--prefix", place, "--no-audit", "--no-fund", "--silent", *NPM])


def _kept(name: str, made_of: str, make: Callable[[str], None]) -> str:
    folder = os.environ.get("OUTLAST_AGENTS_CACHE") or os.path.expanduser("~/.cache/outlast-agents")
    place = os.path.join(folder, name)
    stamp = os.path.join(place, "made-of")
    os.makedirs(folder, exist_ok=True)
    with _alone(f"{place}.lock"):
        if _read(stamp) != made_of:
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            with open(stamp, "w", encoding="utf-8") as file:
                file.write(made_of)
    return place


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


def _python(least: tuple[int, int]) -> str:
    """A Python of at least that version: ours, else the newest there is."""
    if sys.version_info >= least:
        return sys.executable
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for minor in range(15, least[1] - 1, -1):
        name = f"python3.{minor}"
        for path in (shutil.which(name), *sorted(glob.glob(f"{root}/versions/3.{minor}.*/bin/{name}"))):
            if path and subprocess.run([path, "-c", "import ensurepip, venv"], check=False).returncode == 0:
                return path
    pytest.skip(f"this agent needs Python {least[0]}.{least[1]}, and there is none on this machine")


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode != 0:
        _missing(f"cannot be installed: {done.stderr.strip()[-500:]}")


def _missing(why: str) -> None:
    """Where a machine checks a change the real thing must be there; a developer without a network goes without."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
