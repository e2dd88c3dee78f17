"""The table of everything that can be asked: a word, the request that goes with it, and who answers.

Every surface goes through `perform`, so that the same word means the same and is refused the same everywhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from outlast.api import commands, exec, queries, screens, status, waits
from outlast.api import requests as r
from outlast.api.context import Api, Caller
from outlast.core.errors import BadInput


class Act(NamedTuple):
    """What can be asked. ``run(api, caller, request)`` answers; for ``of_session`` acts it takes the session third."""

    request: type[r.Request]
    run: Callable[..., Any]
    of_session: bool = True
    may_wait: bool = False


ACTS: dict[str, Act] = {
    "exec": Act(r.ExecRequest, exec.exec_command, of_session=False, may_wait=True),
    "status": Act(r.PlainRequest, status.status, of_session=False),
    "list": Act(r.ListRequest, queries.list_sessions, of_session=False),
    "show": Act(r.PlainRequest, queries.show_session),
    "poll": Act(r.PollRequest, waits.poll, may_wait=True),
    "log": Act(r.LogRequest, queries.log),
    "output": Act(r.OutputRequest, queries.output_range),
    "wait": Act(r.WaitRequest, waits.wait, of_session=False, may_wait=True),
    "write": Act(r.WriteRequest, commands.write, may_wait=True),
    "send-keys": Act(r.SendKeysRequest, commands.send_keys, may_wait=True),
    "submit": Act(r.SubmitRequest, commands.submit, may_wait=True),
    "paste": Act(r.PasteRequest, commands.paste, may_wait=True),
    "screen": Act(r.ScreenRequest, screens.screen),
    "resize": Act(r.ResizeRequest, commands.resize),
    "signal": Act(r.SignalRequest, commands.signal),
    "kill": Act(r.KillRequest, commands.kill, may_wait=True),
    "remove": Act(r.PlainRequest, commands.remove),
    "clear": Act(r.PlainRequest, commands.clear, of_session=False),
    "stop": Act(r.StopRequest, commands.stop, of_session=False, may_wait=True),
}


async def perform(api: Api, caller: Caller, act: Act, name: str | None, request: r.Request) -> object:
    """Answer one request about the session ``name`` (None for acts about none). Raises the errors of the act."""
    caller = caller.acting_for(request.requester)
    if not act.of_session:
        answer = act.run(api, caller, request)
    elif name is None:
        raise BadInput("sessionId: is required")
    else:
        answer = act.run(api, caller, await api.find(caller, name), request)
    return await answer if inspect.isawaitable(answer) else answer
