"""The wire against the protocol's own library: what we send is what its schema allows."""

from __future__ import annotations

import sys

import msgspec
import pytest
from acp import schema
from acp.meta import AGENT_METHODS, CLIENT_METHODS, PROTOCOL_VERSION
from agent_running import HERE

from outlast.agents import acp
from outlast.core.agent import AgentSpec, EventKind

LIBRARY = AgentSpec(
    name="lib", backend="acp", command=(sys.executable, str(HERE / "library_acp.py")), permissions="allow"
)


def test_a_turn_of_an_agent_that_checks_every_message(start) -> None:
    turn = start(LIBRARY, "dig {deep}")
    end = turn.end()
    assert (end.error, end.text, end.agent_session) == (
        None,
        "dig {deep} selected run it 3 None False  None SIGTERM False",
        "lib-1",
    )
    assert turn.of(EventKind.READY)[0].title == "for outlast"
    assert turn.of(EventKind.NOTE) == []


@pytest.mark.parametrize("word", ["stable", "unstable"])
def test_a_session_is_taken_up_in_words_it_knows(start, word: str) -> None:
    """An agent may say that it can resume and not know the word for it: then it can load."""
    agent = msgspec.structs.replace(LIBRARY, command=(*LIBRARY.command, word))
    turn = start(agent, agent_session="lib-0")
    assert turn.end().agent_session == "lib-0"
    assert turn.of(EventKind.BEGUN)[0].data == {"resumed": True}
    assert turn.of(EventKind.NOTE) == []


def test_we_speak_the_version_the_library_speaks() -> None:
    assert acp.PROTOCOL == PROTOCOL_VERSION
    assert set(acp.STOPS) == set(schema.StopReason.__args__)
    assert {"session/resume", "session/load", "session/cancel", "authenticate"} <= set(AGENT_METHODS.values())
    assert {"fs/read_text_file", "fs/write_text_file", "session/request_permission"} <= set(CLIENT_METHODS.values())
    terminals = {method for method in CLIENT_METHODS.values() if method.startswith("terminal/")}
    assert terminals == {f"terminal/{act}" for act in ("create", "output", "wait_for_exit", "kill", "release")}
