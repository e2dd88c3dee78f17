"""What a look at an agent came to, before anybody gives it work."""

from __future__ import annotations

import msgspec

from outlast.core.agent import Backend


class AgentCheck(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An agent as it introduced itself, or why it could not.

    ``can`` are its abilities in the words of its protocol. ``code`` is ``login_wanted``, ``no_program``,
    ``no_answer``, … where ``ok`` is False; ``hint`` is then the next act. ``ms`` is how long the look took.
    """

    ok: bool
    agent: str
    backend: Backend
    title: str | None = None
    version: str | None = None
    protocol: int | None = None
    can: list[str] = []
    code: str | None = None
    error: str | None = None
    hint: str | None = None
    notes: list[str] = []
    ms: int = 0
