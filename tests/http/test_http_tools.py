"""The tool-call form: the same words and answers, another envelope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_fakes import World, asynchronous

from outlast.api.context import Caller
from outlast.core.errors import BadInput, NotFound
from outlast.surfaces import tools

CALLER = Caller()


@asynchronous
async def test_every_action_is_reached(tmp_path: Path) -> None:
    world = World(tmp_path)
    started: Any = await tools.call(
        world.api, CALLER, {"tool": "exec", "command": "x", "background": True, "pty": True}
    )
    name = started.session_id
    session = world.sessions.all[name]
    session.prints(b"ready\n")

    async def act(action: str, **fields: Any) -> Any:
        return await tools.call(world.api, CALLER, {"tool": "process", "action": action, "sessionId": name, **fields})

    assert (await act("poll")).tail == "ready\n"
    assert (await act("log")).text == "ready\n"
    assert (await act("show")).session_id == name
    assert (await act("wait", pattern="ready")).met
    assert (await act("write", data="a")).accepted == 1
    assert (await act("send-keys", keys=["Enter"])).accepted == 1
    assert (await act("send_keys", keys=["Enter"])).accepted == 1
    assert (await act("submit", text="b")).accepted == 2
    assert (await act("paste", text="c")).accepted == 1
    assert (await act("screen")).lines[0] == "ready"
    assert (await act("resize", cols=10, rows=5)).cols == 10
    assert (await act("signal", signal="HUP")).sent == 1
    assert (await act("kill")).status == "cancelled"
    assert session.input == b"a\r\rb\rc"
    listed: Any = await tools.call(world.api, CALLER, {"tool": "process", "action": "list"})
    assert [s.session_id for s in listed.sessions] == [name]
    assert (await act("remove")).removed == [name]
    cleared: Any = await tools.call(world.api, CALLER, {"tool": "process", "action": "clear"})
    assert cleared.removed == []


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ([], "JSON object"),
        ({}, "tool: is required"),
        ({"tool": "shell"}, "tool: must be one of exec, process"),
        ({"tool": 3}, "tool: must be"),
        ({"tool": "process"}, "action: is required"),
        ({"tool": "process", "action": "pol"}, "action: must be"),
        ({"tool": "process", "action": ["poll"]}, "action: must be"),
        ({"tool": "process", "action": "poll"}, "sessionId: is required"),
        ({"tool": "process", "action": "poll", "sessionId": 3}, "sessionId: must be text"),
        ({"tool": "process", "action": "poll", "sessionId": ""}, "sessionId: must not be empty"),
        ({"tool": "process", "action": "poll", "sessionId": "s1", "x": 1}, "x: unknown field"),
        ({"tool": "process", "action": "list", "sessionId": "s1"}, "sessionId: unknown field"),
        ({"tool": "process", "action": "wait"}, "sessionIds: is required"),
        ({"tool": "process", "action": "wait", "sessionId": "a", "sessionIds": ["a"]}, "sessionId: does not go"),
        ({"tool": "process", "action": "status"}, "action: must be"),
        ({"tool": "exec"}, "command: is required"),
        ({"tool": "exec", "action": "poll"}, "action: unknown field"),
    ],
)
def test_a_wrong_call_is_refused_by_name(tmp_path: Path, call: Any, named: str) -> None:
    @asynchronous
    async def test() -> None:
        with pytest.raises(BadInput, match=named):
            await tools.call(World(tmp_path).api, CALLER, call)

    test()


@asynchronous
async def test_a_near_miss_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        await tools.call(World(tmp_path).api, CALLER, {"tool": "process", "action": "sendkeys"})
    assert caught.value.hint == "did you mean send-keys?"


@asynchronous
async def test_an_unknown_session_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await tools.call(World(tmp_path).api, CALLER, {"tool": "process", "action": "poll", "sessionId": "s999"})
