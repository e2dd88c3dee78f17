"""Command-line agents: one run of a program is one turn, what it prints says what became of it.

The argument list is a template, filled item by item (`outlast.core.argv_template`). A word in mid-turn becomes a run
of its own afterwards, where the agent can take up its session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from outlast.agents import formats, tidy
from outlast.agents.backend import CANCEL_GRACE, SESSION_GONE_HINT, AgentTrouble, Ended, Steer
from outlast.agents.child import DRAIN_SECONDS, READ_SIZE, Child
from outlast.agents.desk import Desk
from outlast.agents.rpc import LINE_MAX, exited, lines
from outlast.core.agent import Turn
from outlast.core.agent_command import check_command
from outlast.core.agent_journal import SESSION_GONE
from outlast.core.argv_template import Unfit
from outlast.core.text import sound

ARGUMENT_MAX = 120_000
"""Bytes of a message that is an argument: Linux takes 131,072 in one."""


class CommandBackend:
    """One turn of a command-line agent."""

    def __init__(self, turn: Turn, env: Mapping[str, str], desk: Desk, pass_on: Any) -> None:  # noqa: ANN401
        self._turn = turn
        self._env = env
        self._desk = desk
        self._pass_on = pass_on
        self._session = turn.agent_session
        self._steers: deque[Steer] = deque()
        self._child: Child | None = None
        self._reader: formats.Format | None = None
        self._stopping: str | None = None

    async def run(self) -> Ended:
        """Run the program, and again for whatever somebody wants it to hear. Raises AgentTrouble."""
        program = self._turn.agent.command[0]
        self._desk.ready(program.rpartition("/")[2], can=["resume"] if self._turn.agent.resume else [])
        message: str | None = self._first_message()
        ended = Ended("cancelled", agent_session=self._session)
        while message is not None:
            ended = await self._once(message)
            message = self._next_message(ended)
        return ended

    def steer(self, steer: Steer) -> None:
        """Say it in a run of its own after this one; ``interrupt`` ends this one first, where its session is known."""
        if not self._turn.agent.steerable:
            self._desk.note("this agent cannot be steered: it has no resume")
            self._desk.steered(steer, "dropped")
            return
        self._steers.append(steer)
        if steer.interrupt and self._reader is not None and (self._reader.session or self._session):
            self._stop("interrupt")

    def cancel(self) -> None:
        """End the program: SIGTERM first, as a terminal would."""
        self._stop("cancel")

    async def close(self) -> None:
        """End the program and its group."""
        for steer in self._steers:
            self._desk.steered(steer, "dropped")
        self._steers.clear()
        if self._child is not None:
            await self._child.end(polite=True)

    def _stop(self, why: str) -> None:
        if self._stopping != "cancel":
            self._stopping = why
        if self._child is not None:
            self._child.terminate(CANCEL_GRACE)

    def _first_message(self) -> str:
        agent = self._turn.agent
        fresh = agent.system and self._session is None and "system" not in self._template_gaps()
        return f"{agent.system}\n\n{self._turn.prompt}" if fresh else self._turn.prompt

    def _template_gaps(self) -> frozenset[str]:
        return check_command(self._turn.agent.command).gaps

    async def _once(self, message: str) -> Ended:
        argv, stdin = self._argv(message)
        resumed = self._session is not None and bool(self._turn.agent.resume)
        if self._stopping == "cancel":
            return Ended("cancelled", agent_session=self._session)
        child = self._child = await Child.start(
            argv, cwd=self._turn.workdir, env=self._env, stdin=stdin is not None, pass_on=self._pass_on
        )
        self._desk.begun(self._session if resumed else None, resumed=resumed)
        if child.stdin is not None and stdin is not None:
            child.stdin.write(stdin.encode("utf-8", "replace"))
            child.close_input()
        reader = self._reader = formats.reader(self._turn.agent.output, self._desk)
        await self._read(child, reader)
        code = await child.gone()
        await child.drained()
        ended = self._judge(child, code, reader.result(), resumed=resumed)
        await child.end()
        self._child = None
        return ended

    def _argv(self, message: str) -> tuple[list[str], str | None]:
        """Return the argument list, and what goes to the standard input. Raises AgentTrouble."""
        agent = self._turn.agent
        resume = agent.resume if self._session is not None else ()
        template = check_command(agent.command, resume)
        message = sound(message)
        if "message" in template.gaps and len(message.encode("utf-8", "replace")) > ARGUMENT_MAX:
            raise AgentTrouble(
                "bad_turn", f"the message is longer than an argument may be ({ARGUMENT_MAX} bytes)",
                hint="leave {message} out of command: the message then goes to the standard input",
            )  # fmt: skip
        values = {
            "message": message,
            "system": sound(agent.system),
            "conversation": self._turn.conversation,
            "session": self._session or "",
            "workdir": self._turn.workdir,
        }
        try:
            argv = template.fill(values)
        except Unfit as trouble:
            ours = not resume or not values["session"].startswith("-")
            code, hint = ("bad_turn", None) if ours else (SESSION_GONE, SESSION_GONE_HINT)
            raise AgentTrouble(code, f"the command cannot be filled: {trouble}", hint=hint) from None
        return argv, None if "message" in template.gaps else message

    async def _read(self, child: Child, reader: formats.Format) -> None:
        """Take what is printed; after the end of the program only what is there already."""

        async def take() -> None:
            if not reader.by_line:
                while data := await child.stdout.read(READ_SIZE):
                    reader.feed(data)
                    await self._desk.room()
                return
            async for line, whole in lines(child.stdout, LINE_MAX):
                reader.feed(line + b"\n" if whole else line)
                if not whole:
                    self._desk.note(f"a line of more than {LINE_MAX // 1024 // 1024} MiB was cut")
                await self._desk.room()

        taking, leaving = asyncio.create_task(take()), asyncio.create_task(child.gone())
        try:
            await asyncio.wait({taking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                await asyncio.wait({taking}, timeout=DRAIN_SECONDS)
            if taking.done():
                taking.result()
        finally:
            taking.cancel()
            leaving.cancel()

    def _judge(self, child: Child, code: int, result: formats.Result, *, resumed: bool) -> Ended:
        """Say how the run ended. Raises AgentTrouble; exit code 0 is not enough, there must be a result."""
        before, self._session = self._session, tidy.session(result.session) or self._session
        if self._stopping is not None:
            return Ended("cancelled", result.answer, result.usage, self._session)
        lost = resumed and not self._desk.spoken and tidy.session(result.session) != before
        if lost and (result.error is not None or (code > 0 and result.stop == "end_turn")):
            how = exited(child).message if result.error is None else f"the agent failed: {result.error}"
            raise AgentTrouble(
                SESSION_GONE, f"{how}; it was to go on with its session {before}", hint=SESSION_GONE_HINT
            )
        if result.error is not None:
            raise AgentTrouble("agent_error", f"the agent failed: {result.error}", ended=Ended(
                "error", result.answer, result.usage, self._session))  # fmt: skip
        if code != 0 and result.stop == "end_turn":
            raise exited(child)
        if result.answer is None:
            words = child.last_words()
            raise AgentTrouble(
                "no_result", "the agent ended with exit code 0 and without a result" + (f": {words}" if words else ""),
                hint=f"is its output really {self._turn.agent.output}? see output of the agent",
            )  # fmt: skip
        return Ended(result.stop, result.answer, result.usage, self._session)

    def _next_message(self, ended: Ended) -> str | None:
        if self._stopping == "cancel" or not self._steers:
            return None
        self._stopping = None
        if self._session is None:
            self._desk.note("the agent named no session, so it hears no more")
            return None
        steer = self._steers.popleft()
        self._desk.steered(steer, "sent")
        return steer.text
