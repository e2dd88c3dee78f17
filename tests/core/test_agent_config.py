"""The tables of agents: what is taken, what is refused and in which words, and how a table is written."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.agent import AgentSpec, HeartbeatSpec
from outlast.core.agent_config import KEYS, agent_table, check_name, read_agents
from outlast.core.errors import BadInput

ACP = {"backend": "acp", "command": ["agent"]}
COMMAND = {"backend": "command", "command": ["agent", "{message}"]}
MODEL = {"backend": "model", "model": "openai:gpt"}


def read(**table):
    return read_agents({"a": table})["a"]


def test_the_least_of_each_backend() -> None:
    assert read(**ACP) == AgentSpec(name="a", backend="acp", command=("agent",))
    assert read(**COMMAND) == AgentSpec(name="a", backend="command", command=("agent", "{message}"))
    assert read(**MODEL) == AgentSpec(name="a", backend="model", model="openai:gpt")


def test_every_key_is_read() -> None:
    beat = {"every": "1h", "activeHours": "22:00-06:30", "tz": "Europe/Berlin", "file": "notes/BEAT.md",
            "ackMaxChars": 0, "maxTurnsPerHour": 2}  # fmt: skip
    assert read(
        backend="command", command=["codex", "exec", "{resume}", "{message}"], output="codex-jsonl",
        resume=["resume", "{session}"], system="Be brief.", workdir="/srv", env={"CI": "1"}, timeout="90s",
        heartbeat=beat,
    ) == AgentSpec(
        name="a", backend="command", command=("codex", "exec", "{resume}", "{message}"), output="codex-jsonl",
        resume=("resume", "{session}"), system="Be brief.", workdir="/srv", env={"CI": "1"}, timeout_seconds=90.0,
        heartbeat=HeartbeatSpec(every_seconds=3600.0, active_from="22:00", active_until="06:30", tz="Europe/Berlin",
                                file="notes/BEAT.md", ack_max=0, turns_max_per_hour=2),
    )  # fmt: skip
    acp = read(**ACP, permissions="deny", permission_timeout=5)
    assert (acp.permissions, acp.permission_seconds) == ("deny", 5.0)
    model = read(**MODEL, tools=["exec", "cron"])
    assert model.tools == ("exec", "cron")


def test_no_limit_is_zero() -> None:
    assert read(**ACP, timeout=0).timeout_seconds is None
    assert read(**ACP, timeout="0").timeout_seconds is None
    assert read(**ACP, heartbeat={"every": "0"}).heartbeat.every_seconds == 0.0


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (1, "agents.a must be a table"),
        ({}, "agents.a.backend is missing"),
        ({"backend": "acp"}, "agents.a.command is missing"),
        ({"backend": "model"}, "agents.a.model is missing"),
        ({"backend": "cloud"}, "agents.a.backend cannot be 'cloud'"),
        ({"backend": ["acp"]}, "agents.a.backend cannot be ['acp']"),
        (ACP | {"comand": []}, "agents.a.comand is not a key of it"),
        (ACP | {"command": []}, "agents.a.command cannot be []"),
        (ACP | {"command": "agent"}, "agents.a.command cannot be 'agent'"),
        (ACP | {"command": ["a", 1]}, "agents.a.command cannot be"),
        (ACP | {"command": [" "]}, "agents.a.command cannot be"),
        (ACP | {"command": ["a\0b"]}, "agents.a.command cannot be"),
        (ACP | {"output": "text"}, "agents.a.output makes no sense with backend acp"),
        (COMMAND | {"permissions": "ask"}, "agents.a.permissions makes no sense with backend command"),
        (COMMAND | {"output": "xml"}, "agents.a.output cannot be 'xml'"),
        (COMMAND | {"command": ["agent", "{massage}"]}, "agents.a: the command is refused: {massage}"),
        (COMMAND | {"command": ["sh", "-c", "run {message}"]}, "must not become code"),
        (COMMAND | {"command": ["{message}"]}, "must not choose the program"),
        (COMMAND | {"command": ["agent", "{session}"]}, "agents.a.command: {session} is known from the second turn"),
        (COMMAND | {"resume": ["{x}"]}, "{x} is not a placeholder"),
        (MODEL | {"model": "gpt"}, "agents.a.model cannot be 'gpt'"),
        (MODEL | {"tools": ["exec", "rm"]}, "agents.a.tools cannot be"),
        (MODEL | {"tools": [["exec"]]}, "agents.a.tools cannot be"),
        (ACP | {"workdir": "here"}, "agents.a.workdir cannot be 'here'"),
        (ACP | {"env": {"A B": "1"}}, "agents.a.env cannot be"),
        (ACP | {"env": {"A": 1}}, "agents.a.env cannot be"),
        (ACP | {"timeout": "5M"}, "agents.a.timeout cannot be '5M'"),
        (ACP | {"timeout": -1}, "agents.a.timeout cannot be -1"),
        (ACP | {"timeout": True}, "agents.a.timeout cannot be True"),
        (ACP | {"timeout": float("nan")}, "agents.a.timeout cannot be nan"),
        (ACP | {"permission_timeout": 0}, "agents.a.permission_timeout cannot be 0"),
        (ACP | {"heartbeat": "30m"}, "agents.a.heartbeat cannot be '30m'"),
        (ACP | {"heartbeat": {"often": 1}}, "agents.a.heartbeat.often is not a key"),
        (ACP | {"heartbeat": {"activeHours": "8-23"}}, "agents.a.heartbeat.activeHours cannot be '8-23'"),
        (ACP | {"heartbeat": {"activeHours": "08:00-08:00"}}, "agents.a.heartbeat.activeHours"),
        (ACP | {"heartbeat": {"file": "../../etc/passwd"}}, "agents.a.heartbeat.file cannot be"),
        (ACP | {"heartbeat": {"tz": "Berlin/../.."}}, "agents.a.heartbeat.tz cannot be"),
        (ACP | {"heartbeat": {"maxTurnsPerHour": 0}}, "agents.a.heartbeat.maxTurnsPerHour cannot be 0"),
    ],
)
def test_what_is_wrong_is_named(table, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_agents({"a": table}, "config.toml: ")
    assert caught.value.message.startswith("config.toml: ")
    assert said in caught.value.message
    assert caught.value.code == "bad_config"
    assert caught.value.hint


def test_a_wrong_value_that_is_a_secret_is_not_told() -> None:
    with pytest.raises(BadInput) as caught:
        read(**ACP, env={"API_KEY": ["sk-proj-1234567890abcdefghij"]})
    assert "1234567890" not in caught.value.message


@pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, "a.b", "a/b"])
def test_names_are_plain(name: str) -> None:
    with pytest.raises(BadInput):
        check_name(name)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
tables = st.fixed_dictionaries(
    {"command": st.lists(texts).map(lambda items: ["p", *items])},
    optional={
        "system": texts,
        "env": st.dictionaries(st.from_regex(r"\A[A-Z]{1,8}\Z"), texts),
        "timeout": st.integers(0, 10_000) | st.sampled_from(["1h", "90s"]),
        "heartbeat": st.fixed_dictionaries({"every": st.just("5m"), "ackMaxChars": st.integers(0, 9)}),
    },
)


@given(tables)
def test_a_table_that_is_written_reads_back(table) -> None:
    """What `agents add` writes is what the next start reads, whatever is in the texts."""
    table = {"backend": "acp", **table}
    text = agent_table("a-1_B", table)
    assert tomllib.loads(text) == {"agents": {"a-1_B": table}}
    read_agents(tomllib.loads(text)["agents"])


def test_every_key_has_its_words() -> None:
    assert {key.name for key in KEYS} >= {"backend", "command", "heartbeat"}
    assert all(key.help.endswith(".") and key.allowed for key in KEYS)


def test_what_variables_hold_is_not_told_with_what_is_wrong_about_them() -> None:
    with pytest.raises(BadInput) as wrong:
        read(**COMMAND, env={"A B": "swordfish99"})
    assert "swordfish99" not in str(wrong.value)
    assert "'A B'" in wrong.value.message
