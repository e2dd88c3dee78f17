"""Contexts to run flow files over: one that answers as it is told, one that really runs commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from outlast.flows.files.arguments import parse_args
from outlast.flows.files.definition import Definition
from outlast.flows.files.interpret import run_file
from outlast.flows.files.reading import check_text


class Ended(NamedTuple):
    """How a command ended."""

    stdout: str = ""
    exit_code: int | None = 0
    status: str = "succeeded"
    tail: str = ""
    truncated: bool = False


class Answered(NamedTuple):
    """How a turn of an agent ended."""

    text: str = ""
    status: str = "succeeded"


class Decided(NamedTuple):
    """What a person decided."""

    approved: bool
    status: str
    note: str | None = None
    by: str | None = None


YES = Decided(True, "approved", by="ann")
NO = Decided(False, "rejected", note="not today", by="ann")
EXPIRED = Decided(False, "expired")


class StepFailed(Exception):
    """As the engine raises it when a command failed."""

    def __init__(self, step: str, message: str = "it failed", result: object = None) -> None:
        super().__init__(message)
        self.step = step
        self.message = message
        self.result = result
        self.type = getattr(result, "status", "failed")


class SignalTimeout(Exception):
    """As the engine raises it when nobody sent a signal."""

    def __init__(self, step: str) -> None:
        super().__init__(f"nobody sent {step}")
        self.step = step


class FlowCancelled(BaseException):
    """As the engine raises it when a flow is called off."""


class FakeContext:
    """Answers every operation from a table by its name, else with an empty success, and remembers what was asked.

    ``answers[name]`` is a result, an exception to be raised, or a function of what was asked. An operation in ``gates``
    waits until its event is set, and each takes so many ``turns`` of the loop.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: dict[str, dict[str, Any]] = {}
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.turns: Callable[[str], int] = lambda name: 1
        self.told: list[tuple[int, int]] = []
        self.at_once = self.most_at_once = 0
        self.news = asyncio.Condition()

    def gate(self, *names: str) -> None:
        for name in names:
            self.gates[name] = asyncio.Event()

    async def has_begun(self, *names: str) -> None:
        async with self.news:
            await self.news.wait_for(lambda: set(names) <= set(self.begun))

    async def _do(self, name: str, default: Any, **asked: Any) -> Any:
        assert name not in self.asked, f"{name} was asked for twice"
        self.asked[name] = asked
        self.begun.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self.news:
            self.news.notify_all()
        try:
            if name in self.gates:
                await self.gates[name].wait()
            for _ in range(self.turns(name)):
                await asyncio.sleep(0)
            answer = self.answers.get(name, default)
            answer = answer(asked) if isinstance(answer, Callable) and not isinstance(answer, type) else answer
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.at_once -= 1
            self.ended.append(name)

    async def run(self, name: str, command: str | Sequence[str], **asked: Any) -> Any:
        answer = await self._do(name, Ended(), command=command, **asked)
        if asked["check"] and answer.status != "succeeded":
            raise StepFailed(name, f"the command {answer.status}", answer)
        return answer

    async def agent(self, name: str, agent: str, message: str, **asked: Any) -> Any:
        answer = await self._do(name, Answered(), agent=agent, message=message, **asked)
        if answer.status != "succeeded":
            raise StepFailed(name, "the agent refused", answer)
        return answer

    async def approve(self, name: str, prompt: str, *, preview: str | None = None, expires: float | None = None) -> Any:
        return await self._do(name, YES, prompt=prompt, preview=preview, expires=expires)

    async def sleep(self, name: str, duration: float) -> None:
        await self._do(name, None, duration=duration)

    async def sleep_until(self, name: str, moment: datetime) -> None:
        await self._do(name, None, moment=moment)

    async def signal(self, name: str, *, timeout: float | None = None) -> Any:
        return await self._do(name, None, timeout=timeout)

    async def flow(self, name: str, target: str, /, *args: object, **kwargs: object) -> Any:
        assert not args
        return await self._do(name, None, target=target, args=kwargs)

    def progress(self, done: int, known: int) -> None:
        assert 0 <= done <= known
        self.told.append((done, known))


class LocalContext(FakeContext):
    """Really runs the commands, each with nothing in its environment but what it is given and PATH."""

    def __init__(self) -> None:
        super().__init__()
        self.printed: dict[str, str] = {}

    async def run(self, name: str, command: str | Sequence[str], **asked: Any) -> Any:
        await self._do(name, None, command=command, **asked)
        given = asked["stdin"]
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={"PATH": "/usr/bin:/bin", **(asked["env"] or {})},
            cwd=asked["workdir"],
            stdin=asyncio.subprocess.PIPE if given is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate(None if given is None else given.encode())
        code = process.returncode or 0
        ended = Ended(out.decode("utf-8", "replace"), code, "succeeded" if code == 0 else "failed")
        self.printed[name] = ended.stdout
        if asked["check"] and code:
            raise StepFailed(name, f"exit code {code}", ended)
        return ended


def read(text: str, name: str = "x.flow.yaml") -> Definition:
    """The definition of a file that is as it should be."""
    checked = check_text(text, name)
    assert checked.lines == []
    assert checked.definition is not None
    return checked.definition


def problems(text: str | bytes, name: str = "x.flow.yaml") -> list[str]:
    """Every problem of a file, ``line:column: sentence``."""
    return [line.removeprefix(f"{name}:") for line in check_text(text, name).lines]


def run(text: str | Definition, context: FakeContext, *texts: str, base_dir: str | Path = "/", **given: Any) -> Any:
    """Run a file to its end and return its result."""
    definition = read(text) if isinstance(text, str) else text
    args = parse_args(definition, texts, given)

    async def main() -> object:
        context.news = asyncio.Condition()
        return await run_file(context, definition, args, base_dir=str(base_dir))

    return asyncio.run(main())
