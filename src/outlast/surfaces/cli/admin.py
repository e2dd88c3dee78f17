"""``config``, ``completion`` and ``version``: about outlast itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from outlast.config import find_paths
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import print_json, safe, say, table


def config_show(call: Call) -> None:
    """Print every setting, its value and where the value comes from."""
    rows = [(key, _plain(value), source, about) for key, value, source, about in call.config.describe()]
    if call.json:
        names = ("key", "value", "source", "help")
        settings = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"file": call.config.paths.config_file, "settings": settings})
        return
    say(table(("KEY", "VALUE", "FROM", "MEANING"), [tuple(map(_shown, row)) for row in rows]))


def _plain(value: object) -> object:
    """A setting's value as JSON knows it: read-only tables and lists become ordinary ones."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    elif isinstance(value, dict):
        value = ", ".join(f"{name}: {setting}" for name, setting in value.items())
    return safe(value) or "-"


def config_path(call: Call) -> None:
    """Print the path of the config file, whether it exists or not."""
    path = find_paths(os.environ).config_file
    call.answer({"path": path}, lambda result: say(result["path"]))


def completion(call: Call) -> None:
    """Print the completion script of a shell."""
    from outlast.surfaces.cli.face import source

    script = source(call["shell"])
    call.answer({"shell": call["shell"], "script": script}, lambda result: say(result["script"]))


def version(call: Call) -> None:
    """Print the version."""
    from outlast._version import __version__

    facts = {"version": __version__, "python": sys.version.split(" ")[0], "platform": sys.platform}
    call.answer(facts, lambda result: say(f"outlast {result['version']}"))
