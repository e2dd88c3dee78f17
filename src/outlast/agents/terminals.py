"""The terminals an agent asks its client for: commands that are started for it, once somebody allows them.

Only what the agent asks *us* to run goes through here. What it runs by itself, it runs with the rights of its user;
and so does a command in a terminal, once it runs: its directory is in the workspace, its reach is not.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

from outlast.agents import terminal_command
from outlast.agents.desk import Desk
from outlast.agents.permissions import Choice, Leave
from outlast.agents.rpc import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from outlast.agents.terminal import Exit, Terminal
from outlast.agents.terminal_command import Command
from outlast.agents.workspace import OutOfBounds, Workspace

TERMINALS_MAX = 16
"""Terminals of one turn that are not released, those included that wait for leave."""
NOT_FOUND = -32002
_CHOICES = (Choice("run", "Run it", "allow_once"), Choice("no", "Do not run it", "reject_once"))
_WHY = {
    "rejected": "it was not allowed", "expired": "nobody answered in time", "cancelled": "the turn was called off",
}  # fmt: skip


class Terminals:
    """The terminals of one turn. They are numbered t1, t2 …, and no number comes twice."""

    def __init__(self, files: Workspace, env: Mapping[str, str], desk: Desk, leaves: deque[Leave]) -> None:
        """``leaves`` are the tool calls that were allowed; those for one time are taken out as they are used."""
        self._files = files
        self._env = env
        self._desk = desk
        self._leaves = leaves
        self._open: dict[str, tuple[Terminal, Command]] = {}
        self._asking = 0
        self._count = 0
        self._over = False

    async def handle(self, method: str, params: dict[str, Any]) -> object:
        """Do what the agent asks. Raises RpcError."""
        if method == "terminal/create":
            return {"terminalId": await self._create(params)}
        acts = {"output": self._output, "wait_for_exit": self._wait, "kill": self._kill, "release": self._release}
        act = acts.get(method.removeprefix("terminal/"))
        if act is None:
            raise RpcError(METHOD_NOT_FOUND, f"{method[:80]} is not offered")
        number = params.get("terminalId")
        if not isinstance(number, str) or number not in self._open:
            raise RpcError(NOT_FOUND, f"there is no terminal {str(number)[:40]!r}, or no more")
        return await act(number)

    def stop(self, *, over: bool) -> None:
        """End what runs, since the prompt is called off; ``over``: the turn is, and nothing may be started any more."""
        self._over = self._over or over
        for terminal, _ in self._open.values():
            terminal.let_go()

    async def close(self) -> None:
        """Leave nothing running. Nothing is started any more."""
        self._over = True
        await asyncio.gather(*map(self._end, list(self._open)))

    async def _create(self, params: dict[str, Any]) -> str:
        command = terminal_command.read(params, self._env, self._files)
        if len(self._open) + self._asking >= TERMINALS_MAX:
            raise RpcError(INVALID_PARAMS, f"refused: {TERMINALS_MAX} terminals are open, release one first")
        self._asking += 1
        try:
            os.close(self._directory(command))  # nobody is asked about what will not be
            await self._ask(command)
        finally:
            self._asking -= 1
        number, terminal = self._start(command)
        try:
            await terminal.started()
        except OSError as error:
            await self._end(number)
            raise _no_start(command, error) from None
        return number

    async def _ask(self, command: Command) -> None:
        if self._over:
            raise RpcError(INVALID_PARAMS, f"refused: {_WHY['cancelled']}")
        if terminal_command.covered(command, self._leaves, self._files.root):
            return
        about: dict[str, object] = {"kind": "execute", "input": command.shown()}
        answer = await self._desk.questions.ask(f"run: {command.line}", "", _CHOICES, about)
        if answer.status != "allowed":
            raise RpcError(INVALID_PARAMS, f"refused: {_WHY[answer.status]}")

    def _start(self, command: Command) -> tuple[str, Terminal]:
        """Start it and have it in the list at once: whatever comes now, it is ended with the turn."""
        if self._over:
            raise RpcError(INVALID_PARAMS, f"refused: {_WHY['cancelled']}")
        self._count += 1
        number = f"t{self._count}"
        place = self._directory(command)
        try:
            terminal = Terminal(
                command.argv, place, {**self._env, **command.env}, command.limit, lambda: self._told(number)
            )
        except (OSError, ValueError) as error:
            raise _no_start(command, error) from None
        finally:
            os.close(place)
        self._open[number] = terminal, command
        return number, terminal

    def _directory(self, command: Command) -> int:
        try:
            return self._files.directory(command.cwd)
        except OutOfBounds as refusal:
            self._desk.note(f"a terminal was refused to the agent: {refusal}")
            raise RpcError(INVALID_PARAMS, f"refused: cwd: {refusal}") from None
        except OSError as error:
            raise RpcError(INVALID_PARAMS, f"cwd: {error.strerror}") from None

    async def _output(self, number: str) -> object:
        terminal = self._open[number][0]
        text, truncated = terminal.text()
        ended = None if terminal.exit is None else _status(terminal.exit)
        return {"output": text, "truncated": truncated} | ({} if ended is None else {"exitStatus": ended})

    async def _wait(self, number: str) -> object:
        return _status(await self._open[number][0].ended())

    async def _kill(self, number: str) -> object:
        if not await self._open[number][0].kill():
            self._desk.note(f"something of the terminal {number} withstands its end")
        return {}

    async def _release(self, number: str) -> object:
        await self._end(number)
        return {}

    async def _end(self, number: str) -> None:
        if number not in self._open:
            return  # the agent released it, and the turn ended in the same moment
        if not await self._open[number][0].end():
            self._desk.note(f"something of the terminal {number} withstands its end")
        self._open.pop(number, None)

    def _told(self, number: str) -> None:
        """The command has started, or ended: that goes on record, with the end of its output."""
        terminal, command = self._open[number]
        if terminal.exit is None:
            self._say(number, command, "in_progress")
            return
        text = terminal.text()[0]
        output = "\n".join(filter(None, (text.strip("\n"), f"[{terminal.exit}]")))
        self._say(number, command, "completed" if terminal.exit.code == 0 else "failed", output)

    def _say(self, number: str, command: Command, status: str, output: str | None = None) -> None:
        given = None if output is not None else command.shown()
        self._desk.tool(
            f"terminal {number}", title=f"$ {command.line}", status=status, kind="execute", given=given, output=output
        )


def _status(how: Exit) -> dict[str, object]:
    return {"exitCode": how.code, "signal": how.signal}


def _no_start(command: Command, error: Exception) -> RpcError:
    if isinstance(error, FileNotFoundError):
        return RpcError(INVALID_PARAMS, f"there is no program {command.argv[0][:200]!r}")
    return RpcError(INTERNAL_ERROR, f"{command.argv[0][:200]!r} cannot be started: {error}")
