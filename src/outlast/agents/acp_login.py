"""How an ACP agent is logged in: with what the environment holds, else by a person, who is told how."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any


def silent_method(methods: object, env: Mapping[str, str]) -> str | None:
    """Return the id of a login that needs nobody, because its variables are set; None when there is none."""
    for method in _tables(methods):
        name = method.get("id")
        if isinstance(name, str) and _has_all(method, name, env):
            return name
    return None


def _has_all(method: dict[str, Any], name: str, env: Mapping[str, str]) -> bool:
    wanted = [str(variable.get("name")) for variable in _tables(method.get("vars")) if not variable.get("optional")]
    if not wanted and method.get("type") in (None, "agent"):
        wanted = [name.upper().replace("-", "_")]  # as in "openai-api-key"
        return wanted[0].endswith("_API_KEY") and bool(env.get(wanted[0]))
    return bool(wanted) and all(env.get(variable) for variable in wanted)


def login_hint(methods: object, command: Sequence[str]) -> str:
    """Return how a person logs an agent in, as far as it says."""
    ways = [way for way in (_way(method, command) for method in _tables(methods)) if way]
    return "; or ".join(ways[:4]) or f"log in with the program itself: {shlex.join(command[:1])}"


def _way(method: dict[str, Any], command: Sequence[str]) -> str:
    name = method.get("name") if isinstance(method.get("name"), str) else str(method.get("id"))
    meta = method.get("_meta")
    terminal = meta.get("terminal-auth") if isinstance(meta, dict) else None
    if isinstance(terminal, dict) and isinstance(terminal.get("command"), str):
        return f"{name}: {shlex.join([terminal['command'], *_texts(terminal.get('args'))])}"
    if method.get("type") == "terminal":
        return f"{name}: {shlex.join([*command, *_texts(method.get('args'))])}"
    variables = [str(variable.get("name")) for variable in _tables(method.get("vars"))]
    if variables:
        return f"{name} (set {' and '.join(variables)} in env of the agent)"
    described = method.get("description")
    return f"{name}: {described}" if isinstance(described, str) and described else str(name)


def _tables(given: object) -> list[dict[str, Any]]:
    return [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []


def _texts(given: object) -> list[str]:
    return [item for item in given if isinstance(item, str)] if isinstance(given, list) else []
