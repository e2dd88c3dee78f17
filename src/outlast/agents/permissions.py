"""What an agent asks leave for, until somebody answers, the policy does, or the time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from outlast.agents import tidy
from outlast.core.agent import AgentEvent, EventKind, Permissions

Emit = Callable[..., AgentEvent]
OPTIONS_MAX = 20
OPEN_MAX = 50
"""Questions of one turn that wait for an answer: nobody answers more. What is asked beyond that is answered no."""
LEAVE_MAX = 64 * 1024
"""Characters of a command that is remembered as allowed; for a longer one somebody is asked again."""
_ALLOW = ("allow_once", "allow_always")
_REJECT = ("reject_once", "reject_always")


class Choice(NamedTuple):
    """One answer an agent takes. ``kind`` is ``allow_once``, ``allow_always``, ``reject_once`` or ``reject_always``."""

    id: str
    name: str
    kind: str


class Answer(NamedTuple):
    """What became of a question: the option to tell the agent, None where it offers none that fits."""

    status: Literal["allowed", "rejected", "cancelled", "expired"]
    option: str | None


class Leave(NamedTuple):
    """A command that was allowed as part of a tool call: what was said of it; for one time, or for the whole turn."""

    given: dict[str, object]
    once: bool


def leave_of(given: object, *, once: bool) -> list[Leave]:
    """Return the leave that an allowed tool call with that input is; none where it says nothing of a command."""
    if not isinstance(given, dict) or not given.get("command"):
        return []
    said = {name: given[name] for name in ("command", "args", "cwd", "workdir", "env") if given.get(name)}
    return [Leave(said, once)] if len(str(said)) <= LEAVE_MAX else []


class _Open(NamedTuple):
    choices: dict[str, Choice]
    """By the name under which each is on record."""
    answered: asyncio.Future[Answer]
    timer: asyncio.TimerHandle


class Questions:
    """The questions of one turn. They are numbered p1, p2 …"""

    def __init__(self, policy: Permissions, seconds: float, emit: Emit, now: Callable[[], float]) -> None:
        """``emit`` writes an event to the journal; ``seconds`` is how long a question waits."""
        self._policy = policy
        self._seconds = seconds
        self._emit = emit
        self._now = now
        self._count = 0
        self._open: dict[str, _Open] = {}

    async def ask(
        self, title: str, text: str, choices: tuple[Choice, ...], about: dict[str, object], call: str | None = None
    ) -> Answer:
        """Ask, and wait for the answer, which the policy may give at once."""
        self._count += 1
        number = f"p{self._count}"
        named = _named(choices[:OPTIONS_MAX])
        choices = tuple(named.values())
        options = [{**choice._asdict(), "id": name} for name, choice in named.items()]
        data = {**about, "options": options, "toolId": call}
        policy, by = (self._policy, "policy") if len(self._open) < OPEN_MAX else ("deny", "limit")
        if policy != "ask":
            answer = _by_policy(policy, choices)
            self._told(number, answer, by, {**data, "title": title})
            return answer
        data["expiresAt"] = self._now() + self._seconds
        self._emit(
            EventKind.PERMISSION, id=number, title=tidy.title(title), text=tidy.clean(text), data=tidy.table(data)
        )
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._seconds, self._settle, number, None, "expiry")
        opened = self._open[number] = _Open(named, loop.create_future(), timer)
        try:
            return await opened.answered
        finally:  # also where the agent has gone meanwhile
            self._settle(number, None, "cancel")

    def answer(self, number: str, option: str | None) -> bool:
        """Take an answer; False when nobody waits for one to that question, or it is none of its options."""
        asked = self._open.get(number)
        if asked is None or (option is not None and option not in asked.choices):
            return False
        self._settle(number, None if option is None else asked.choices[option].id, "answer")
        return True

    def cancel(self) -> None:
        """Answer all that is open: the turn is called off."""
        for number in list(self._open):
            self._settle(number, None, "cancel")

    def _settle(self, number: str, option: str | None, by: str) -> None:
        asked = self._open.pop(number, None)
        if asked is None:
            return
        asked.timer.cancel()
        answer = _answered(tuple(asked.choices.values()), option, by)
        if not asked.answered.done():
            asked.answered.set_result(answer)
        self._told(number, answer, by)

    def _told(self, number: str, answer: Answer, by: str, asked: dict[str, object] | None = None) -> None:
        """Say what became of a question; one that the policy answers was not on record before."""
        heading = tidy.title(str((asked or {}).pop("title", ""))) or None
        data = tidy.table({**(asked or {}), "option": answer.option, "by": by})
        self._emit(EventKind.PERMITTED, id=number, title=heading, status=answer.status, data=data)


def _named(choices: tuple[Choice, ...]) -> dict[str, Choice]:
    """Return choices by a name that stays what it is on record: their id, where that is one."""
    named: dict[str, Choice] = {}
    for number, choice in enumerate(choices, 1):
        name = choice.id if tidy.value(choice.id) == choice.id else f"option {number}"
        while name in named:
            name += f" {number}"
        named[name] = choice
    return named


def _by_policy(policy: Permissions, choices: tuple[Choice, ...]) -> Answer:
    if policy == "allow" and (option := _first(choices, _ALLOW)) is not None:
        return Answer("allowed", option)
    return Answer("rejected", _first(choices, _REJECT))


def _answered(choices: tuple[Choice, ...], option: str | None, by: str) -> Answer:
    if by == "cancel":
        return Answer("cancelled", None)
    if option is None:
        return Answer("expired" if by == "expiry" else "rejected", _first(choices, _REJECT))
    kind = next(choice.kind for choice in choices if choice.id == option)
    return Answer("rejected" if kind in _REJECT else "allowed", option)


def _first(choices: tuple[Choice, ...], kinds: tuple[str, ...]) -> str | None:
    """The first option of the first kind there is: once before always."""
    return next((choice.id for kind in kinds for choice in choices if choice.kind == kind), None)
