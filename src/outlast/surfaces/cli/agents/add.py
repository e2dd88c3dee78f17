"""``agents add``: one more table at the end of the configuration; what is there stays as it is."""

from __future__ import annotations

import os

from outlast.core.errors import Conflict, OutlastError, Refused
from outlast.surfaces.cli.context import Call, given
from outlast.surfaces.cli.output import note, safe, say


def run(call: Call) -> None:
    """Append the table of an agent to the config file."""
    from outlast.core.agent_config import agent_table, read_agents

    name, config = call["agent"], call.config
    if name in config.agents:
        raise Conflict(f"there is an agent {name!r} already", code="name_taken", hint="outlast agents list")
    backend = call["backend"] or ("model" if call["model"] else "acp")
    table = given(
        backend=backend, command=call["command"] or None, output=call["output"], resume=call["resume"] or None,
        model=call["model"], permissions=call["permissions"], workdir=call["cwd"],
    )  # fmt: skip
    read_agents({name: table})  # says what is wrong before anything is written
    path = config.paths.config_file
    _append(path, agent_table(name, table))
    _tell_gateway(call)
    call.answer({"agent": name, "path": path, **table}, lambda _: say(f"agent {name} is in {path}"))


def _append(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "ab+") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            ends_well = True
            if size:
                file.seek(-1, os.SEEK_END)
                ends_well = file.read(1) == b"\n"
            file.write((("" if ends_well else "\n") + ("\n" if size else "") + text).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}", code="cannot_write") from error


def _tell_gateway(call: Call) -> None:
    """Have the gateway look at the file, where one runs, so that heartbeats begin; else the next question does."""
    try:
        trouble = call.new_client(autostart=False).get("/v1/agents").get("trouble")
    except OutlastError:
        return
    if trouble:
        note(f"the gateway goes on with the agents it had: {safe(trouble)}")
