"""``agents add`` and ``agents remove``: one table of the configuration more or less; the rest stays as it is."""

from __future__ import annotations

import os
import shutil

from outlast.core.errors import Conflict, OutlastError
from outlast.surfaces.cli.agents.config_file import change, tell_gateway
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import note, safe, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Table = dict[str, Any]


def run(call: Call) -> None:
    """Put the table of an agent at the end of the config file."""
    from outlast.core.agent_config import read_agents, shown_table
    from outlast.core.agent_file import with_agent

    name, config = call["agent"], call.config
    path = config.paths.config_file
    if name in config.agents:
        raise Conflict(
            f"there is an agent {name!r} already, in {path}", code="name_taken", hint=f"outlast agents show {name}"
        )
    table = _table(call)
    read_agents({name: table})  # says what is wrong before anything is written
    change(path, lambda text: with_agent(text, name, table, path))
    tell_gateway(call)
    missing = list(_missing(table))
    call.answer(
        {"agent": name, "path": path, **shown_table(table), "notes": missing},
        lambda _: say(f"agent {name} is in {path}"),
    )
    if not call.json:
        for line in missing:
            note(safe(line))


def _table(call: Call) -> Table:
    from outlast.surfaces.cli.exec import workdir

    beat = call["heartbeat"]
    return given(
        backend=call["backend"] or ("model" if call["model"] else "acp"), command=call["command"] or None,
        output=call["output"], resume=call["resume"] or None, model=call["model"], system=call["system"],
        tools=call["tool"] or None, permissions=call["permissions"], timeout=call["timeout"],
        workdir=None if call["cwd"] is None else os.path.expanduser(workdir(call["cwd"])),
        env=dict(call["env"]) or None, heartbeat=None if beat is None else {"every": beat},
    )  # fmt: skip


def _missing(table: Table) -> list[str]:
    """Say what an agent needs and is not there now; the gateway may know another PATH, and both may come yet."""
    found = []
    workdir = table.get("workdir", "")
    if workdir and not os.path.isdir(workdir):
        found.append(f"there is no directory {workdir}")
    program = (table.get("command") or [""])[0]
    inside = "/" in program and not program.startswith("/")
    if program and not (inside and not workdir):  # below a directory that is made with its first turn
        path = table.get("env", {}).get("PATH") or os.environ.get("PATH")
        if shutil.which(os.path.join(workdir, program) if inside else program, path=path) is None:
            found.append(f"there is no program {program}")
    return found


def remove(call: Call) -> None:
    """Take the tables of an agent out of the config file."""
    from outlast.core.agent_file import without_agent

    name, path = call["agent"], call.config.paths.config_file
    live = _live(call, name)
    change(path, lambda text: without_agent(text, name, path))
    tell_gateway(call)
    call.answer({"agent": name, "path": path, **live}, lambda _: say(f"agent {name} is no longer in {path}"))
    if live["running"] and not call.json:
        note(f"{live['running']} of its turns go on; outlast subagents cancel calls one off")
    if live["queued"] and not call.json:
        note(f"{live['queued']} of its turns wait, and will fail")


def _live(call: Call, name: str) -> dict[str, int]:
    """Return how many turns of an agent run and wait, as far as a gateway runs that knows."""
    try:
        agents = call.new_client(autostart=False).get("/v1/agents")["agents"]
    except OutlastError:
        agents = []
    found = next((one for one in agents if one["agent"] == name), {"running": 0, "queued": 0})
    return {"running": found["running"], "queued": found["queued"]}
