"""Looks at agents: what they say of themselves, what they want, and that nothing is left running."""

from __future__ import annotations

import shlex
import subprocess
import sys
import uuid

import msgspec
import pytest
from agent_running import PATIENCE, acp, command, marked

from outlast.core.agent import AgentSpec, Turn
from outlast.core.agent_check import AgentCheck

PROBE = [sys.executable, "-P", "-m", "outlast.agents.probe"]


def look(agent: AgentSpec, tmp_path, code: str | None = None, **env: str) -> AgentCheck:
    """Run the probe; whatever it has started must be gone afterwards."""
    mark = uuid.uuid4().hex
    turn = Turn(agent=agent, conversation="c", prompt="", workdir=str(tmp_path), env={"OUTLAST_TEST_MARK": mark, **env})
    argv = PROBE if code is None else [sys.executable, "-P", "-c", code]
    line = msgspec.json.encode(turn) + b"\n"
    done = subprocess.run(argv, input=line, capture_output=True, timeout=PATIENCE, check=False)
    found = msgspec.json.decode(done.stdout, type=AgentCheck)
    assert done.returncode == (0 if found.ok else 1), done.stderr
    assert done.stderr == b""
    assert marked(f"OUTLAST_TEST_MARK={mark}") == []
    assert (found.agent, found.backend) == (agent.name, agent.backend)
    return found


def test_an_agent_introduces_itself(tmp_path) -> None:
    found = look(acp("load", "resume"), tmp_path)
    assert (found.ok, found.title, found.version, found.protocol) == (True, "Scripted", "1.0", 1)
    assert found.can == ["load", "resume"]
    assert found.ms > 0


def test_a_login_that_is_wanted_is_found_before_there_is_work(tmp_path) -> None:
    found = look(acp("login", "key"), tmp_path)
    assert (found.ok, found.code, found.title) == (False, "login_wanted", "Scripted")
    assert "set SCRIPTED_KEY in env of the agent" in found.hint
    assert look(acp("login", "key", env={"SCRIPTED_KEY": "k"}), tmp_path).ok


@pytest.mark.parametrize("habit", ["crash:initialize", "crash:new", "garbage-only", "version-2", "no-id"])
def test_what_goes_wrong_is_what_was_found(tmp_path, habit: str) -> None:
    found = look(acp(habit), tmp_path)
    assert (found.ok, found.code) == (False, "agent_exited" if "crash" in habit else "protocol")
    assert found.error


def test_a_look_takes_only_so_long(tmp_path) -> None:
    code = "import outlast.agents.probe as p; p.look.__kwdefaults__['seconds'] = 1.0; p.main()"
    found = look(acp("silent", "stays"), tmp_path, code)
    assert found.code == "no_answer"
    assert found.error.startswith("the agent did not introduce itself within 1 s")


def plainly(*argv: str) -> AgentSpec:
    """An ordinary program that is configured as an agent which speaks ACP."""
    return AgentSpec(name="plain", backend="acp", command=argv)


def test_a_program_that_is_no_acp_agent_is_quoted_and_another_backend_is_named(tmp_path) -> None:
    found = look(plainly("cat"), tmp_path)
    assert (found.code, found.error) == ("protocol", "the agent only repeats what it is told")
    assert "--backend command" in found.hint
    found = look(plainly("sh", "-c", "echo hello; echo no ACP here >&2"), tmp_path)
    assert found.code == "agent_exited"
    assert (
        found.error == "the agent ended with exit code 0 before it had answered: no ACP here; its output begins: hello"
    )
    assert "--backend command" in found.hint


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ("p.NOISE_SECONDS = 0.5", "protocol"),  # it has written something: that is not waited for to the end
        ("p.NOISE_SECONDS = 600; p.look.__kwdefaults__['seconds'] = 10.0", "no_answer"),
    ],
)
def test_a_program_that_stays_without_speaking_acp_is_quoted(tmp_path, limits: str, code: str) -> None:
    agent = plainly("sh", "-c", "echo no ACP here >&2; echo hello; exec sleep 600")
    found = look(agent, tmp_path, f"import outlast.agents.probe as p; {limits}; p.main()")
    assert found.code == code
    assert "hello" in found.error and "its standard error: no ACP here" in found.error
    assert "--backend command" in found.hint


def test_an_agent_may_make_noise_before_it_introduces_itself(tmp_path) -> None:
    script = "echo installing; exec " + shlex.join(acp("load").command)
    code = "import outlast.agents.probe as p; p.NOISE_SECONDS = 600; p.main()"
    assert look(plainly("sh", "-c", script), tmp_path, code).ok


def test_children_that_left_the_agents_group_are_ended_too(tmp_path) -> None:
    code = (
        "import os, subprocess, sys\n"
        "subprocess.Popen(['setsid', 'sleep', '600'], start_new_session=True)\n"
        f"os.execv(sys.executable, [sys.executable, '-S', *{list(acp('load').command[2:])!r}])"
    )
    found = look(AgentSpec(name="a", backend="acp", command=(sys.executable, "-c", code)), tmp_path)
    assert found.ok


def test_a_program_tells_its_version(tmp_path) -> None:
    found = look(command(sys.executable, "{message}", resume=("--resume", "{session}")), tmp_path)
    assert (found.ok, found.version, found.can) == (True, f"Python {sys.version.split()[0]}", ["resume"])
    found = look(command("cat"), tmp_path)
    assert found.notes == ["no resume: each turn begins anew"]
    found = look(command("no-such-agent"), tmp_path)
    assert (found.ok, found.code, found.error) == (False, "no_program", "there is no program 'no-such-agent'")


def test_a_program_that_does_not_know_the_word_version_is_fine(tmp_path) -> None:
    script = tmp_path / "agent"
    script.write_text(f"#!{sys.executable}\nimport subprocess\nsubprocess.Popen(['sleep', '600'])\n")
    script.chmod(0o755)
    found = look(command(str(script)), tmp_path)
    assert (found.ok, found.version) == (True, None)


def test_a_model_wants_its_library_and_its_key(tmp_path) -> None:
    model = AgentSpec(name="m", backend="model", model="openai:gpt", tools=("exec",))
    found = look(model, tmp_path, OPENAI_API_KEY="")
    assert (found.ok, found.code) == (False, "login_wanted")
    assert found.error == "the model openai:gpt wants a key: OPENAI_API_KEY is not set"
    assert found.hint == "set OPENAI_API_KEY in env of [agents.m]; outlast config path names the file"
    found = look(model, tmp_path, OPENAI_API_KEY="k")
    assert (found.ok, found.title, found.can) == (True, "openai:gpt", ["exec"])
    without = "import sys; sys.modules['pydantic_ai'] = None; import outlast.agents.probe as p; p.main()"
    found = look(model, tmp_path, without, OPENAI_API_KEY="k")
    assert (found.code, found.hint) == ("missing_extra", "pip install 'outlast[models]'")
    found = look(msgspec.structs.replace(model, model="groq:x"), tmp_path)
    assert (found.code, found.hint) == ("missing_extra", "pip install 'pydantic-ai-slim[groq]'")
    found = look(msgspec.structs.replace(model, model="nobody:gpt"), tmp_path)
    assert (found.code, "nobody:gpt" in found.error) == ("agent_error", True)


def test_what_is_no_turn_is_said_on_standard_error() -> None:
    done = subprocess.run(PROBE, input=b"{}\n", capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"not a turn" in done.stderr
