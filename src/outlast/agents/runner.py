"""``python -m outlast.agents.runner``: one turn of one agent, from the line that says what to the line that says how.

It is started as a session, so it outlives the gateway; it reads the turn and later wishes from its standard input, and
writes its journal, one event a line, to its standard output. Nothing of outlast is asked for anything meanwhile.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from outlast.agents import controls
from outlast.agents.backend import AgentTrouble, Backend, Ended, Steer
from outlast.agents.controls import BadTurn, Lines
from outlast.agents.desk import Desk
from outlast.agents.output import Output
from outlast.agents.streaming import Masked
from outlast.agents.tidy import keep_secret, plain
from outlast.core.agent import AgentSpec, Turn
from outlast.core.durations import format_duration
from outlast.core.environment import REQUESTER
from outlast.core.errors import OutlastError

STUCK_SECONDS = 10.0
"""How long a backend may take to end a turn that was called off, before it is left behind."""
LAST_WORDS_SECONDS = 10.0
"""How long the last line is waited for when nobody empties the pipe."""


class Runner:
    """Has a backend do the turn, and carries to it what others want."""

    def __init__(self, turn: Turn, out: Output, err: Output) -> None:
        self.desk = Desk(turn.agent, out, time.time)
        self._turn = turn
        self._errors = Errors(err)
        self._cancelled = asyncio.Event()
        self._backend: Backend | None = None
        self._over = False

    async def run(self) -> int:
        """Do the turn and write its end; return the exit code."""
        ended, trouble = Ended("error"), None
        env = environment(self._turn, os.environ)
        keep_secret(env)
        try:
            self._backend = make_backend(self._turn, env, self.desk, self._errors.take)
            ended = await self._bounded(self._backend)
        except AgentTrouble as found:
            trouble = found
        except OutlastError as error:
            trouble = AgentTrouble(error.code, error.message, hint=error.hint)
        except Exception as error:  # a fault of ours, or of a library of the backend
            self._errors.take(traceback.format_exc().encode("utf-8", "replace"))  # masked, as all that is said there
            trouble = AgentTrouble("internal", f"{type(error).__name__}: {error}")
        ended, trouble = self._settle(ended, trouble)
        self._over = True
        if self._backend is not None:
            await self._backend.close()
        self._errors.flush()
        if trouble is None:
            self.desk.end(ended)
        else:
            self.desk.end(ended, error=trouble.message, code=trouble.code, hint=trouble.hint)
        return 0 if trouble is None else 1

    def cancel(self) -> None:
        """Call the turn off."""
        if not self._over:
            self._cancelled.set()
            if self._backend is not None:
                self._backend.cancel()

    def cut_off(self) -> None:
        """Nobody will ever read what this turn comes to: it is not gone on with."""
        self.cancel()

    def heard(self, wish: dict[str, Any] | None, line: bytes) -> None:
        """Do what a line of the standard input wants; what is not understood is noted."""
        op = None if wish is None else wish.get("op")
        if wish is not None and op == "cancel":
            self.cancel()
        elif wish is not None and op == "steer" and isinstance(wish.get("text"), str):
            self._steer(Steer(str(wish.get("id")), wish["text"], wish.get("interrupt") is True))
        elif wish is not None and op == "permission" and isinstance(wish.get("id"), str):
            option = wish.get("option")
            if not self.desk.questions.answer(wish["id"], option if isinstance(option, str) else None):
                self.desk.note(f"an answer to {wish['id']}, which is not waiting for it, was ignored")
        elif wish is not None and op is None and "agent" in wish and "prompt" in wish:
            pass  # the turn once more: a gateway that was restarted cannot know that we have it
        else:
            self.desk.note(f"a line of the standard input was not understood: {line.decode('utf-8', 'replace')}")

    def _steer(self, steer: Steer) -> None:
        if self._over or self._cancelled.is_set() or self._backend is None:
            self.desk.steered(steer, "dropped")
        else:
            self._backend.steer(steer)

    async def _bounded(self, backend: Backend) -> Ended:
        """Let the backend do the turn, in the time it has. Raises AgentTrouble (timeout)."""
        limit = self._turn.agent.timeout_seconds
        working = asyncio.create_task(backend.run())
        calling_off = asyncio.create_task(self._cancelled.wait())
        await asyncio.wait({working, calling_off}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        late = not working.done() and not self._cancelled.is_set()
        called_off = not working.done() and self._cancelled.is_set()
        if not working.done():
            backend.cancel()
            await asyncio.wait({working}, timeout=STUCK_SECONDS)
        calling_off.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working}, timeout=STUCK_SECONDS)
            self.desk.note("the turn had to be broken off")
        if late:
            assert limit is not None
            raise AgentTrouble(
                "timeout", f"the turn took longer than {format_duration(limit)}", ended=_what_there_is(working)
            )
        if working.cancelled():
            return Ended("cancelled")
        ended = working.result()
        # Some agents have no word for it and end as ever: the wish was there first, and what they said is kept.
        return ended._replace(stop="cancelled") if called_off else ended

    def _settle(self, ended: Ended, trouble: AgentTrouble | None) -> tuple[Ended, AgentTrouble | None]:
        """Whoever calls a turn off wants no error from it."""
        if trouble is None:
            return ended, None
        ended = trouble.ended or ended
        if self._cancelled.is_set():
            return ended._replace(stop="cancelled"), None
        return ended._replace(stop="login_wanted" if trouble.code == "login_wanted" else "error"), trouble


class Errors:
    """The standard error of agents on its way to ours: masked, and dropped when nobody takes it."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._masked = Masked()

    def take(self, data: bytes) -> None:
        """Pass on what is complete."""
        self._masked.take(plain(self._decoder.decode(data)))
        self._out.put(self._masked.ready().encode())

    def flush(self) -> None:
        """Pass on the rest."""
        self._out.put(self._masked.rest().encode())


def _what_there_is(working: asyncio.Task[Ended]) -> Ended | None:
    return working.result() if working.done() and not working.cancelled() and working.exception() is None else None


def make_backend(turn: Turn, env: Mapping[str, str], desk: Desk, pass_on: Any) -> Backend:  # noqa: ANN401
    """Return the backend of a turn; only that one is imported."""
    if turn.agent.backend == "acp":
        from outlast.agents.acp import AcpBackend

        return AcpBackend(turn, env, desk, pass_on)
    if turn.agent.backend == "command":
        from outlast.agents.command import CommandBackend

        return CommandBackend(turn, env, desk, pass_on)
    from outlast.agents.model import ModelBackend

    return ModelBackend(turn, env, desk)


def environment(turn: Turn, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an agent: ours, what is configured, what the turn adds, and for whom it acts."""
    return {**base, **turn.agent.env, **turn.env, REQUESTER: turn.conversation}


async def _main() -> int:
    lines = Lines(0)
    loop = asyncio.get_running_loop()
    err = Output(2)
    try:
        turn = controls.read_turn(lines)
    except BadTurn as bad:
        out = Output(1)
        Desk(AgentSpec(name="", backend="command"), out, time.time).end(Ended("error"), error=str(bad), code="bad_turn")
        await out.close(LAST_WORDS_SECONDS)
        return 1
    out = Output(1)
    runner = Runner(turn, out, err)
    out.when_broken(runner.cut_off)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, runner.cancel)
    controls.follow(lines, runner.heard)
    code = await runner.run()
    written = await out.close(LAST_WORDS_SECONDS)
    await err.close(1.0)
    return code if written else 1


def main() -> None:
    """Run a turn. Leaves at once: threads that wait for a pipe must not hold up the end."""
    code = asyncio.run(_main())
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
