"""What was said with a model, kept in the home between turns: one file a conversation, secrets masked."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from outlast.agents.tidy import redacted
from outlast.config import find_paths, private_directory

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

FOLDER = "models"
SIZE_MAX = 8 * 1024 * 1024
"""Bytes of a file: older messages are left out of a longer one."""
KEEP_DAYS = 30.0
"""How long a conversation that nobody goes on with is kept."""
_NAME = re.compile(r"[0-9a-f]{16}")


class History:
    """The files below the home of an environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._folder = os.path.join(find_paths(env).home, FOLDER)

    def load(self, name: str | None) -> list[ModelMessage] | None:
        """Return what was said, None when there is nothing that can be read."""
        from pydantic_ai.messages import ModelMessagesTypeAdapter

        if name is None or not _NAME.fullmatch(name):
            return None
        try:
            with open(self._path(name), "rb") as file:
                return ModelMessagesTypeAdapter.validate_json(file.read())
        except (OSError, ValueError):
            return None

    def save(self, name: str | None, messages: list[ModelMessage]) -> None:
        """Keep what was said, and forget what nobody has gone on with for long. Raises OSError, Refused."""
        from pydantic_ai.messages import ModelMessagesTypeAdapter

        if name is None or not _NAME.fullmatch(name):
            return
        private_directory(os.path.dirname(self._folder))
        private_directory(self._folder)
        rows = _complete(ModelMessagesTypeAdapter.dump_python(messages, mode="json"))
        while len(data := json.dumps(_masked(rows)).encode()) > SIZE_MAX and len(rows) > 1:
            rows = _from_prompt(rows, len(rows) // 2)
        path = self._path(name)
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(f"{path}.new", path)
        self._forget()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, f"{name}.json")

    def _forget(self) -> None:
        before = time.time() - KEEP_DAYS * 86_400
        for name in os.listdir(self._folder):
            path = os.path.join(self._folder, name)
            with suppress(OSError):  # other turns keep and forget here, too
                if os.stat(path).st_mtime < before:
                    os.unlink(path)


def _complete(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the last answer when it asks for tools that were not called any more: nothing could follow it."""
    asked = any("tool-call" in str(part.get("part_kind")) for part in rows[-1]["parts"]) if rows else False
    return rows[:-1] if asked and rows[-1].get("kind") == "response" else rows


def _from_prompt(rows: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    """Return the messages from the next prompt of a person on: what a tool has brought needs the call before it."""
    for index in range(at, len(rows)):
        if any(part.get("part_kind") == "user-prompt" for part in rows[index].get("parts", [])):
            return rows[index:]
    return rows[-1:]


def _masked(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value
