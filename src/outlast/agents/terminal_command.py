"""What a terminal is to run, read from what an agent sends, and whether somebody has allowed just that before."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast.agents.permissions import Leave
from outlast.agents.rpc import INVALID_PARAMS, RpcError
from outlast.agents.workspace import Workspace

OUTPUT_MAX = 1024 * 1024
"""Bytes of output that are kept of a terminal, whatever the agent wants; and so many where it does not say."""
_LINE = re.compile(r"[\s|&;<>()$`\\\"'*?~#\[\]{}=!]")
_SHELL = re.compile(r"(?:(?:/usr)?/bin/)?(?:sh|bash|dash|zsh|ksh)")


class Command(NamedTuple):
    """What to run, where, and with which variables beside those of the agent. ``cwd`` is where it was asked to be."""

    argv: list[str]
    line: str
    cwd: str
    env: dict[str, str]
    limit: int

    def shown(self) -> dict[str, object]:
        """What a person sees of it."""
        return {"command": self.line, "cwd": self.cwd, **({"env": self.env} if self.env else {})}


def read(params: Mapping[str, Any], env: Mapping[str, str], files: Workspace) -> Command:
    """Return the command of a request. Raises RpcError for one that cannot be run."""
    command, args, cwd = params.get("command"), params.get("args") or [], params.get("cwd")
    if not isinstance(command, str) or not command.strip() or "\0" in command:
        raise RpcError(INVALID_PARAMS, "command: must be text, not empty and without NUL")
    if not isinstance(args, list) or not all(isinstance(item, str) and "\0" not in item for item in args):
        raise RpcError(INVALID_PARAMS, "args: must be a list of texts without NUL")
    if cwd is not None and not isinstance(cwd, str):
        raise RpcError(INVALID_PARAMS, "cwd: must be text")
    added = _variables(params.get("env"))
    limit = params.get("outputByteLimit")
    argv = [command, *args]
    if not args and _is_line(command, {**env, **added}, files.root if cwd is None else cwd):
        argv = ["/bin/sh", "-c", command]
    return Command(
        argv, command if argv[0] != command else shlex.join(argv), files.root if cwd is None else cwd, added,
        min(limit, OUTPUT_MAX) if type(limit) is int and limit >= 0 else OUTPUT_MAX,
    )  # fmt: skip


def covered(command: Command, leaves: deque[Leave], root: str) -> bool:
    """True when just this was allowed before; a leave for one time is then used up."""
    for leave in leaves:
        if _same(leave.given, command, root):
            if leave.once:
                leaves.remove(leave)
            return True
    return False


def _is_line(command: str, env: Mapping[str, str], cwd: str) -> bool:
    """True for what is no program but looks like a line for a shell: many agents send one, as editors take it."""
    if _LINE.search(command) is None or shutil.which(command, path=env.get("PATH")) is not None:
        return False
    return not (os.sep in command and os.access(os.path.join(cwd, command), os.X_OK))


def _variables(given: object) -> dict[str, str]:
    pairs = given or []
    if isinstance(pairs, dict):
        pairs = [{"name": name, "value": value} for name, value in pairs.items()]
    if not isinstance(pairs, list):
        raise RpcError(INVALID_PARAMS, "env: must be a list of names and values")
    found: dict[str, str] = {}
    for pair in pairs:
        name, value = (pair.get("name"), pair.get("value")) if isinstance(pair, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise RpcError(INVALID_PARAMS, "env: must be a list of names and values")
        found[name] = value
    return found


def _same(given: dict[str, Any], command: Command, root: str) -> bool:
    try:
        place = given.get("cwd") or given.get("workdir") or root
        return (
            _same_place(str(place), command.cwd)
            and _variables(given.get("env")) == command.env
            and _any_way(given["command"], given.get("args") or [], command.argv)
        )
    except (RpcError, ValueError, TypeError, OSError):
        return False


def _same_place(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _any_way(command: object, args: object, argv: list[str]) -> bool:
    """True when those arguments do what a person has read: as they are, as words of a line, or by a shell."""
    if not isinstance(command, str) or not isinstance(args, list):
        return command == argv
    if args:
        return [command, *args] == argv
    line = command.strip()
    by_shell = len(argv) == 3 and _SHELL.fullmatch(argv[0]) is not None and argv[1] in ("-c", "-lc")
    return argv == [line] or (by_shell and argv[2].strip() == line) or _words(line) == argv


def _words(line: str) -> list[str] | None:
    try:
        return shlex.split(line)
    except ValueError:
        return None
