"""A command that is run for every message, such as one that resumes an outside agent.

It is started by whoever starts commands here, so it is a recorded session like any other. The message goes into the
gaps of its argument list, into its environment, and, where the list has no ``{text}``, to its standard input.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import msgspec

from outlast.core.errors import BadInput, OutlastError, Refused
from outlast.delivery.channels.base import Message, SendFailed, moment, readable, safe_id
from outlast.delivery.channels.template import Template, Unfit

TIMEOUT_SECONDS = 600.0
"""How long a command may take: a turn of an agent is minutes."""
ARGUMENT_MAX = 32_768
"""Bytes of one value in an argument or variable. Linux takes 131,072 in one, and some 2 MB in all."""
_CUT_NOTE = "\n[cut here: it has {} bytes]"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A command to be started. ``env`` is added to the usual environment; ``stdin`` None means none."""

    argv: tuple[str, ...]
    env: dict[str, str]
    stdin: str | None
    timeout_seconds: float
    message_id: str
    conversation: str | None
    title: str


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. ``code`` None: it was ended, by a signal or a limit. ``how`` says it in words for people.

    ``began`` False: it could not be started at all, and would not be next time.
    """

    code: int | None
    how: str = ""
    began: bool = True


Start = Callable[[Run], Awaitable[RunEnd]]
"""Starts a command and waits for its end, which its own time limit brings at the latest."""


class Command:
    """Runs a command for every message; delivered is what it ended with 0."""

    def __init__(self, template: Template, start: Start, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._template = template
        self._start = start
        self._timeout = timeout_seconds

    async def send(self, message: Message) -> None:
        """Run it. A command that ends badly or too late may be tried again. Raises SendFailed."""
        try:
            end = await self._start(run_of(self._template, message, self._timeout))
        except OutlastError as trouble:
            raise SendFailed(
                f"the command was not started: {trouble.message}",
                retryable=not isinstance(trouble, BadInput | Refused),
            ) from None
        if not end.began:
            raise SendFailed(f"the command could not be started: {end.how or 'unknown reason'}", retryable=False)
        if end.code != 0:
            how = end.how or (f"exit code {end.code}" if end.code is not None else "it was ended")
            raise SendFailed(f"the command did not succeed: {how}", retryable=True)


def run_of(template: Template, message: Message, timeout_seconds: float) -> Run:
    """Return what is to be started for a message. Raises SendFailed when a value cannot stand in its place."""
    shown = readable(message)
    names = {"id": safe_id(message), "kind": shown.kind, "at": moment(message.at)}
    conversation = shown.conversation or ""
    _check_conversation(template, message, conversation)
    text = bounded(shown.text)
    try:
        argv = template.fill({**names, "conversation": conversation, "title": shown.title, "text": text})
    except Unfit as trouble:
        raise SendFailed(str(trouble), retryable=False) from None
    env = {f"OUTLAST_NOTICE_{name.upper()}": value for name, value in names.items()}
    env |= {"OUTLAST_NOTICE_TITLE": shown.title, "OUTLAST_NOTICE_TEXT": text, "OUTLAST_CONVERSATION": conversation}
    if (data := _data(message)) is not None:
        env["OUTLAST_NOTICE_DATA"] = data
    return Run(
        argv=tuple(argv),
        env=env,
        stdin=None if "text" in template.gaps else shown.text + "\n",
        timeout_seconds=timeout_seconds,
        message_id=safe_id(message),
        conversation=shown.conversation,
        title=shown.title,
    )


def _check_conversation(template: Template, message: Message, shown: str) -> None:
    """Raise SendFailed rather than name another conversation, or none, to a command that asks for it."""
    if shown != (message.conversation or ""):
        raise SendFailed("the key of the conversation holds what no argument should", retryable=False)
    if not shown and "conversation" in template.gaps:
        raise SendFailed("the command asks for {conversation}, and this message belongs to none", retryable=False)


def bounded(text: str, limit: int = ARGUMENT_MAX) -> str:
    """Return a text of at most ``limit`` bytes as UTF-8; one that is cut says so at its end."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    note = _CUT_NOTE.format(len(data))
    return data[: limit - len(note)].decode("utf-8", "ignore") + note


def _data(message: Message) -> str | None:
    """The data as JSON in ASCII; None when it is no JSON or does not fit: what is cut in the middle helps nobody."""
    try:
        data = json.dumps(message.data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None
    return data if len(data) <= ARGUMENT_MAX else None
