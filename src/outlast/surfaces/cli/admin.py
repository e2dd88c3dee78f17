"""``config``, ``completion`` and ``version``: about outlast itself."""

from __future__ import annotations

import sys

from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.output import print_json, safe, say, table


def config_show(call: Call) -> None:
    """Print every setting, its value and where the value comes from."""
    rows = [(key, value, source, help_text) for key, value, source, help_text in call.config.describe()]
    if call.json:
        names = ("key", "value", "source", "help")
        print_json(
            {
                "file": call.config.paths.config_file,
                "settings": [dict(zip(names, row, strict=True)) for row in rows],
            }
        )
        return
    say(table(("KEY", "VALUE", "FROM", "MEANING"), [tuple(map(_shown, row)) for row in rows]))


def _shown(value: object) -> str:
    if value in ("", [], {}, None):
        return "-"
    return safe(value if isinstance(value, str) else str(value))


def config_path(call: Call) -> None:
    """Print the path of the config file, whether it exists or not."""
    path = call.config.paths.config_file
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
