"""Models spoken to directly: a made-up endpoint on one side, a real gateway on the other."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import pytest
from agent_running import PATIENCE
from fake_model import Call, Endpoint, Fail, Hang, Say, in_turn

from outlast.agents import model_tools
from outlast.agents.model import WRONG_CALLS_MAX
from outlast.core.agent import AgentSpec, EventKind
from outlast.core.agent_config import TOOLS
from outlast.surfaces import tools
from rude_endpoint import RudeEndpoint


@pytest.fixture
def endpoint():
    """Makes endpoints; they are closed in the end."""
    made: list[Endpoint] = []

    def make(*answers) -> Endpoint:
        made.append(Endpoint(in_turn(*answers)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def model(endpoint: Endpoint, home, kind: str = "openai", **fields) -> AgentSpec:
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{endpoint.url}/v1", "ANTHROPIC_API_KEY": "k",
           "ANTHROPIC_BASE_URL": endpoint.url, "OUTLAST_HOME": str(home)}  # fmt: skip
    return AgentSpec(name="m", backend="model", model=f"{kind}:made-up", env=env, **fields)


@pytest.fixture
def gateway(house):
    """A real gateway for a home; returns its environment."""
    env = {**os.environ, "OUTLAST_HOME": house.home}
    outlast = [sys.executable, "-m", "outlast"]
    subprocess.run([*outlast, "gateway", "start"], env=env, check=True, capture_output=True, timeout=PATIENCE)
    yield house.home
    subprocess.run([*outlast, "gateway", "stop"], env=env, check=True, capture_output=True, timeout=PATIENCE)


@pytest.mark.parametrize("kind", ["openai", "openai-responses", "anthropic"])
def test_a_turn_with_each_kind_of_endpoint(start, endpoint, tmp_path, kind: str) -> None:
    it = endpoint(Say("Hello there."))
    turn = start(model(it, tmp_path / "home", kind, system="Be brief."), "hi {you}")
    end = turn.end()
    assert (end.error, end.stop, end.text) == (None, "end_turn", "Hello there.")
    assert (end.usage.output_tokens > 0, end.usage.total_tokens > 5) == (True, True)
    assert turn.of(EventKind.READY)[0].title == f"{kind}:made-up"
    said = json.dumps(it.asked[0].body)
    assert "hi {you}" in said
    assert "Be brief." in said


def test_tools_are_those_of_the_gateway_on_behalf_of_the_conversation(start, endpoint, gateway) -> None:
    it = endpoint(
        Call("exec", {"command": "echo $OUTLAST_SESSION_ID; echo done", "workdir": "/tmp"}),
        Call("cron", {"action": "add", "name": "later", "in": "1h", "command": "true"}),
        Call("cron", {"action": "show", "name": "later"}),
        Call("cron", {"action": "dance", "name": "later"}),
        Call("process", {"action": "list"}),
        Call("process", {"tool": "exec", "requester": "agent:boss:main", "action": "list", "command": "true"}),
        Say("All done."),
    )
    turn = start(model(it, gateway, tools=("exec", "cron", "process")), socket=None)
    end = turn.end()
    assert (end.error, end.text) == (None, "All done.")
    calls = turn.of(EventKind.TOOL)
    assert [(call.status, call.title) for call in calls[:4]] == [
        ("in_progress", "exec echo $OUTLAST_SESSION_ID; echo done"), ("completed", None),
        ("in_progress", "cron add later"), ("completed", None),
    ]  # fmt: skip
    answers = [json.loads(call.data["output"]) for call in calls if call.status == "completed"]
    assert answers[0]["status"] == "succeeded"
    assert answers[0]["output"].endswith("done\n")
    assert answers[2]["name"] == "later"
    assert answers[2]["requester"] == "agent:scripted:main"
    assert answers[3]["error"]["message"].startswith("action: must be one of add, list")
    assert answers[4]["sessions"][0]["requester"] == "agent:scripted:main"
    assert answers[5]["error"]["message"].startswith("command:"), "it is given no other tool by another name"
    assert {name for _, name in it.asked[0].tools} == {"exec", "cron", "process"}


def test_every_tool_that_can_be_given_is_one_of_the_tool_form_with_its_actions() -> None:
    actions = {"process": tools.ACTIONS, "tasks": tools.TASK_ACTIONS, "flow": tools.FLOW_ACTIONS,
               "cron": tools.CRON_ACTIONS, "approvals": tools.APPROVAL_ACTIONS, "agents": tools.AGENT_ACTIONS,
               "subagents": tools.SUBAGENT_ACTIONS}  # fmt: skip
    assert set(model_tools._TOOLS) == set(TOOLS) == {"exec", *actions}
    for name, words in actions.items():
        assert set(model_tools._TOOLS[name][1]["action"]["enum"]) <= set(words), name


def test_a_gateway_that_is_away_is_an_answer_and_no_end(start, endpoint, tmp_path) -> None:
    it = endpoint(Call("exec", {"command": "true"}), Say("Nobody home."))
    turn = start(model(it, tmp_path / "home", tools=("exec",)), socket=str(tmp_path / "no.sock"))
    assert turn.end().text == "Nobody home."
    (answer,) = [call.data["output"] for call in turn.of(EventKind.TOOL) if call.status == "completed"]
    assert json.loads(answer)["error"]["code"] == "not_running"


def test_a_conversation_is_gone_on_with_and_its_secrets_are_masked_at_rest(start, endpoint, tmp_path) -> None:
    home = tmp_path / "home"
    first = start(model(endpoint(Say("I remember.")), home), "my password: hunter2 and the word is plum").end()
    (name,) = os.listdir(home / "models")
    assert name == f"{first.agent_session}.json"
    assert b"hunter2" not in (home / "models" / name).read_bytes()
    assert stat.S_IMODE((home / "models" / name).stat().st_mode) == 0o600
    it = endpoint(Say("plum"))
    turn = start(model(it, home), "which word?", agent_session=first.agent_session)
    end = turn.end()
    assert (end.text, end.agent_session) == ("plum", first.agent_session)
    assert turn.of(EventKind.BEGUN)[0].data["resumed"] is True
    said = json.dumps(it.asked[0].body)
    assert "the word is plum" in said
    assert "I remember." in said


def test_what_cannot_be_kept_costs_the_next_turn_its_memory_and_this_one_nothing(start, endpoint, tmp_path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "models").write_text("in the way")
    turn = start(model(endpoint(Say("done")), home))
    end = turn.end()
    assert (end.error, end.stop, end.text) == (None, "end_turn", "done")
    assert "cannot be kept" in turn.of(EventKind.NOTE)[-1].text
    (home / "models").unlink()
    turn = start(model(endpoint(Say("hi")), home), agent_session=end.agent_session)
    assert turn.end().text == "hi"
    assert "is gone" in turn.of(EventKind.NOTE)[0].text


def test_a_file_of_another_turn_that_has_just_gone_is_nobodys_trouble(start, endpoint, tmp_path) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(mode=0o700, parents=True)
    home.chmod(0o700)
    (home / "models" / "0123456789abcdef.json.new").symlink_to("gone")  # listed, and not there when it is looked at
    turn = start(model(endpoint(Say("done")), home))
    assert (turn.end().error, turn.of(EventKind.NOTE)) == (None, [])


@pytest.mark.parametrize("session", ["0123456789abcdef", "../../etc/passwd", ""])
def test_a_conversation_that_is_gone_begins_anew_with_a_note(start, endpoint, tmp_path, session: str) -> None:
    turn = start(model(endpoint(Say("hi")), tmp_path / "home"), agent_session=session)
    end = turn.end()
    assert (end.text, turn.of(EventKind.BEGUN)[0].data["resumed"]) == ("hi", False)
    assert end.agent_session != session
    assert "is gone" in turn.of(EventKind.NOTE)[0].text


@pytest.mark.parametrize(
    ("answer", "stop", "code"),
    [(Fail(401, "bad key"), "login_wanted", "login_wanted"), (Fail(400, "no such model"), "error", "agent_error")],
)
def test_an_endpoint_that_refuses_is_told_apart(start, endpoint, tmp_path, answer: Fail, stop: str, code: str) -> None:
    end = start(model(endpoint(answer), tmp_path / "home")).end()
    assert (end.stop, end.code) == (stop, code)
    assert ("set OPENAI_API_KEY in env of [agents.m]" in end.data.get("hint", "")) == (stop == "login_wanted")
    assert answer.message in end.error


def test_arguments_that_are_no_object_are_the_models_to_mend(start, endpoint, tmp_path) -> None:
    it = endpoint(Call("exec", [1, 2]), Say("as you like"))
    turn = start(model(it, tmp_path / "home", tools=("exec",)), socket="/nowhere")
    end = turn.end()
    assert (end.error, end.text) == (None, "as you like")
    assert "should be an object" in json.dumps(it.asked[-1].body)


def test_a_model_that_only_calls_what_is_not_there_is_given_up(start, endpoint, tmp_path) -> None:
    it = endpoint(Call("no_such_tool", {}))
    end = start(model(it, tmp_path / "home", tools=("exec",)), socket="/nowhere").end()
    assert (end.code, len(it.asked)) == ("agent_error", 1 + WRONG_CALLS_MAX)
    assert "no_such_tool" in end.error
    assert "docs" not in end.error


def test_what_nobody_has_counted_is_not_nothing(start, endpoint, tmp_path) -> None:
    assert start(model(endpoint(Fail(400, "no such model")), tmp_path / "home")).end().usage is None


def test_an_endpoint_that_sends_without_an_end_does_not_take_the_machine(start, tmp_path) -> None:
    endpoint = RudeEndpoint()
    code = "import outlast.agents.model as m; m.MEMORY_MAX = 300 << 20; from outlast.agents.runner import main; main()"
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{endpoint.url}/endless/v1", "OUTLAST_HOME": str(tmp_path / "h")}
    agent = AgentSpec(name="m", backend="model", model="openai:made-up", env=env)
    try:
        end = start(agent, argv=[sys.executable, "-P", "-c", code]).end()
    finally:
        endpoint.close()
    assert (end.stop, end.code) == ("error", "agent_error")
    assert "more than 300 MiB of memory" in end.error


def test_limits_of_a_turn(start, endpoint, tmp_path) -> None:
    again = Call("exec", {"command": "true"})
    turn = start(model(endpoint(again), tmp_path / "home", tools=("exec",), requests_max=2), socket="/nowhere")
    end = turn.end()
    assert (end.stop, end.error) == ("max_turns", None)
    assert len(turn.of(EventKind.TOOL)) == 4
    assert "limit" in turn.of(EventKind.NOTE)[-1].text
    end = start(model(endpoint(again), tmp_path / "home", tools=("exec",), tokens_max=20), socket="/nowhere").end()
    assert end.stop == "max_tokens"
    # what was said until then can be gone on with
    it = endpoint(Say("on we go"))
    assert start(model(it, tmp_path / "home"), agent_session=end.agent_session).end().text == "on we go"


def test_steering_goes_with_the_next_request(start, endpoint, tmp_path) -> None:
    it = endpoint(Call("exec", {"command": "true"}), Say("done"))
    turn = start(model(it, tmp_path / "home", tools=("exec",)), socket="/nowhere")
    turn.tell(op="steer", id="w1", text="and be quick")
    turn.end()
    assert [(event.id, event.status) for event in turn.of(EventKind.STEERED)] == [("w1", "sent")]
    assert "and be quick" in json.dumps(it.asked[-1].body)


def test_cancel_breaks_off_a_request(start, endpoint, tmp_path) -> None:
    it = endpoint(Hang())
    turn = start(model(it, tmp_path / "home"))
    turn.until(EventKind.BEGUN)
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error) == ("cancelled", None)
    assert turn.alive() == []


def test_a_request_without_an_answer_is_given_up_in_time(start, endpoint, tmp_path) -> None:
    end = start(model(endpoint(Hang()), tmp_path / "home", timeout_seconds=8.0)).end()
    assert (end.stop, end.code) == ("error", "timeout")
