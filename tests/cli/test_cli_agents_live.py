"""Agents from the command line, with a real gateway and command-line agents that are ordinary programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_live import PATIENCE, Live, give, line_of

from outlast.client import Client
from outlast.config import load
from outlast.core.errors import BadInput

ECHO = ["--", sys.executable, "-c", "import sys; print('you said', sys.argv[1])", "{message}"]


def run(own: Live, *words: str, code: int = 0) -> str:
    done = own.run(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout.decode()


def add(own: Live, name: str, *command: str) -> None:
    run(own, "agents", "add", name, "--backend", "command", *command)


def test_an_agent_is_added_looked_at_and_given_turns_that_are_on_record(own: Live) -> None:
    add(own, "echo", *ECHO)
    [agent] = json.loads(run(own, "agents", "list", "--json"))["agents"]
    assert (agent["agent"], agent["backend"], agent["conversation"]) == ("echo", "command", "agent:echo:main")
    assert json.loads(run(own, "agents", "check", "echo", "--json"))["ok"]
    nasty = "$(touch pwned); {workdir} `id` \x1b[31m"
    assert run(own, "agent", "run", "echo", "hello") == "you said hello\n"
    said = run(own, "agent", "run", "echo", nasty)
    assert said.startswith("you said $(touch pwned); {workdir} `id` ") and "\x1b" not in said
    lines = run(own, "conversations", "transcript", "agent:echo:main", "--json").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert next(entry["text"] for entry in entries if entry["kind"] == "prompt") == "hello"
    assert {entry["kind"] for entry in entries} >= {"prompt", "text", "end"}


def test_a_spawned_agent_tells_the_conversation_that_spawned_it_with_its_answer(own: Live) -> None:
    add(own, "echo", *ECHO)
    task = run(own, "subagents", "spawn", "echo", "look for dead code", "--as", "agent:main:main").strip()
    turns = json.loads(run(own, "subagents", "wait", task, "--json"))["turns"]
    assert turns[0]["text"] == "you said look for dead code"
    assert turns[0]["parent"] == "agent:main:main"
    assert [one["taskId"] for one in json.loads(run(own, "subagents", "list", "--json"))["tasks"]] == [task]
    heard = ("conversations", "events", "agent:main:main", "--follow", "--limit", "1", "--json")
    events = [json.loads(line) for line in run(own, *heard).splitlines()]
    assert "look for dead code" in events[0]["text"]


def test_what_is_a_strangers_is_not_shown_and_an_agent_that_fails_says_why(own: Live) -> None:
    add(own, "echo", *ECHO)
    add(own, "bad", "--", sys.executable, "-c", "import sys; sys.exit('no such luck')", "{message}")
    task = run(own, "subagents", "spawn", "echo", "mine", "--as", "agent:a:main").strip()
    run(own, "subagents", "wait", task)
    run(own, "subagents", "show", task, "--as", "agent:b:main", code=3)
    shown = json.loads(run(own, "subagents", "show", task, "--as", "agent:a:main", "--json"))
    run(own, "conversations", "transcript", shown["task"]["conversation"], "--as", "agent:b:main", code=3)
    assert run(own, "conversations", "transcript", shown["task"]["conversation"], "--as", "agent:a:main")
    run(own, "agent", "run", "echo", "x", "--conversation", "agent:echo:main", "--as", "agent:b:main", code=5)
    done = own.run("agent", "run", "bad", "try")
    assert done.returncode == 1
    assert b"no such luck" in done.stderr
    run(own, "agent", "run", "nobody", "x", code=2)


def test_a_turn_is_steered_only_while_it_runs_and_cancelled_with_its_tree(own: Live) -> None:
    naptime = f"600.{os.getpid()}"  # like nobody else's on this machine
    add(own, "slow", "--", "sh", "-c", f"sleep {naptime}", "sh", "{message}")
    task = run(own, "subagents", "spawn", "slow", "wait", "--dedupe", "nap").strip()
    assert run(own, "subagents", "spawn", "slow", "wait", "--dedupe", "nap").strip() == task
    end = time.monotonic() + PATIENCE
    while json.loads(run(own, "tasks", "show", task, "--json"))["status"] != "running":
        assert time.monotonic() < end
    run(own, "subagents", "cancel", task)
    ended = json.loads(run(own, "subagents", "wait", task, "--json", code=1))["turns"][0]["task"]
    assert ended["status"] == "cancelled"
    run(own, "subagents", "steer", task, "more", code=4)
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True, check=False).stdout == b""


def replace(path: str, text: str) -> None:
    """Write a file that a running gateway may read at any moment."""
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def test_adding_leaves_the_file_as_it_is_and_refuses_a_second_of_the_name(own: Live) -> None:
    path = own.home + "/config.toml"
    before = "# mine\n[tasks]\nslots = 3"
    with open(path, "w") as file:
        file.write(before)
    add(own, "echo", *ECHO)
    with open(path) as file:
        assert file.read().startswith(before + "\n\n[agents.echo]\n")
    run(own, "agents", "add", "echo", "--backend", "command", "--", "true", code=4)
    run(own, "agents", "add", "two", "--backend", "acp", code=2)


def test_a_running_gateway_takes_up_what_comes_and_goes_and_many_may_come_at_once(own: Live) -> None:
    add(own, "echo", *ECHO)
    assert "backend" in run(own, "agents", "show", "echo")
    names = [f"n{number}" for number in range(6)]
    adding = [own.start("agents", "add", name, "--backend", "command", "--", "true") for name in names]
    assert [one.wait(PATIENCE) for one in adding] == [0] * 6
    listed = [one["agent"] for one in json.loads(run(own, "agents", "list", "--json"))["agents"]]
    assert sorted(listed) == ["echo", *names]
    for name in listed:
        run(own, "agents", "remove", name)
    run(own, "agents", "show", "echo", code=2)
    assert json.loads(run(own, "agents", "list", "--json")) == {"agents": [], "trouble": None}


def test_a_schedule_gives_an_agent_a_turn_and_its_answer_is_read_in_a_conversation_of_its_own(own: Live) -> None:
    add(own, "echo", *ECHO)
    when = ("--cron", "0 7 * * 1-5", "--announce", "--conversation", "me")
    added = run(own, "cron", "add", *when, "--agent", "echo", "--message", "what is new? {message} $(id)")
    assert "agent echo: what is new?" in added
    assert run(own, "cron", "run", "echo", "--wait") == "you said what is new? {message} $(id)\n"
    [fired] = json.loads(run(own, "cron", "runs", "echo", "--json"))["runs"]
    task = json.loads(run(own, "tasks", "show", fired["taskId"], "--json"))
    assert (task["status"], task["source"], task["label"]) == ("succeeded", "cron", "echo")
    said = run(own, "conversations", "transcript", task["conversation"])
    assert said.count("you said what is new? {message} $(id)") == 1
    assert " = done after " in said
    assert run(own, "tasks", "log", fired["taskId"]) == run(own, "tasks", "log", "-f", fired["taskId"]) == said
    assert '"ev":"end"' in run(own, "tasks", "log", fired["taskId"], "--raw")
    heard = run(own, "conversations", "events", "me", "--follow", "--limit", "1", "--json")
    assert "you said what is new?" in heard
    assert "give an agent a turn" in run(own, "cron", "show", "echo")
    run(own, "cron", "add", "--every", "1h", "--agent", "nobody", "--message", "x", code=2)
    run(own, "cron", "add", "--every", "1h", "--agent", "echo", code=2)


def test_a_turn_behind_another_says_so_and_both_can_be_found(own: Live) -> None:
    gate = own.home + "/gate"
    os.mkfifo(gate)
    add(own, "slow", "--", "sh", "-c", f"cat {gate}; echo said $1", "sh", "{message}")
    first = run(own, "agent", "run", "slow", "one", "--detach").strip()
    waiting = own.start("agent", "run", "slow", "two")
    said = [line_of(waiting.stderr).decode() for _ in range(2)]
    before = f"it waits for turn {first}, which is before it in its conversation: outlast subagents log -f {first}"
    assert said[1] == f"outlast: {before}\n"
    second = said[0].split()[2].rstrip(",")
    assert f"waits for turn {first}" in run(own, "explain", second)
    assert f"waits for     turn {first}" in run(own, "subagents", "show", second)
    listed = json.loads(run(own, "subagents", "list", "--all", "--json"))["tasks"]
    assert [one["taskId"] for one in listed] == [second, first]
    assert run(own, "subagents", "steer", first, "faster", code=4) == ""
    for _ in range(2):  # each waits at the gate until somebody opens it
        give(gate)
        run(own, "tasks", "wait", first)
    out, _ = waiting.communicate(timeout=PATIENCE)
    assert out == b"said two\n"
    assert "said two" in run(own, "conversations", "transcript", "slow")
    assert "agent:slow:main" in run(own, "conversations", "list", "--transcripts")
    assert "said two" not in run(own, "tasks", "log", first)
    run(own, "conversations", "transcript", first, code=3)
    run(own, "conversations", "transcript", "nobody", code=3)


def test_a_runner_that_is_killed_lets_its_caller_go_with_the_reason(own: Live) -> None:
    """It writes no last entry, which the caller would otherwise wait for."""
    add(own, "rude", "--", "sh", "-c", "echo half; kill -9 $PPID", "sh", "{message}")
    done = own.run("agent", "run", "rude", "x")
    assert done.returncode == 1
    assert b"failed: the agent's runner ended without a result (signal SIGKILL)" in done.stderr
    [task] = json.loads(run(own, "tasks", "list", "--json"))["tasks"]
    run(own, "subagents", "log", "-f", task["taskId"])


def test_an_agent_that_is_added_or_changed_is_there_for_the_next_turn(own: Live) -> None:
    """No restart: the same gateway sees to it, a heartbeat begins, and a turn under way stays what it was."""
    path = own.home + "/config.toml"
    run(own, "gateway", "start")
    gateway = own.gateway_pid()
    add(own, "echo", *ECHO)
    assert run(own, "agent", "run", "echo", "hello") == "you said hello\n"
    fifo = own.home + "/fifo"
    os.mkfifo(fifo)
    add(own, "slow", "--", "sh", "-c", f"cat {fifo}; echo old", "sh", "{message}")
    slow = run(own, "agent", "run", "slow", "--detach", "x").strip()
    with open(fifo, "w") as going:  # open when the turn is under way
        with open(path) as file:
            text = file.read()
        changed = text.replace("echo old", "echo new").replace("you said", "I hear") + 'heartbeat = {every = "1s"}\n'
        replace(path, changed)
        assert run(own, "agent", "run", "echo", "hello") == "I hear hello\n"
        end = time.monotonic() + PATIENCE
        while not (beats := json.loads(run(own, "heartbeat", "history", "--json"))["beats"]):
            assert time.monotonic() < end
        assert (beats[0]["agent"], beats[0]["outcome"]) == ("slow", "skipped")
        going.write("went on, ")
    run(own, "tasks", "wait", slow)
    assert json.loads(run(own, "subagents", "show", slow, "--json"))["text"] == "went on, old"
    assert own.gateway_pid() == gateway


def test_a_broken_file_keeps_the_agents_there_were_and_says_so(own: Live) -> None:
    add(own, "echo", *ECHO)
    run(own, "gateway", "start")
    client = Client(load(own.env))
    assert client.get("/v1/agents")["trouble"] is None
    with open(own.home + "/config.toml", "a") as file:
        file.write("[agents.half\n")
    found = client.get("/v1/agents")
    assert [one["agent"] for one in found["agents"]] == ["echo"]
    assert "is not TOML" in found["trouble"]
    turn = client.post("/v1/agents/run", {"agent": "echo", "message": "still here"})
    ended = client.post("/v1/tasks/wait", {"lookups": [turn["taskId"]]}, seconds=PATIENCE)["tasks"][0]
    assert (ended["status"], ended["summary"]) == ("succeeded", "you said still here")
    with pytest.raises(BadInput) as caught:
        client.post("/v1/agents/run", {"agent": "half", "message": "x"})
    assert "is not TOML" in str(caught.value.hint)
    assert b"is not TOML" in own.run("doctor").stdout
    with open(own.home + "/config.toml", "a") as file:
        file.write(']\nbackend = "command"\ncommand = ["true"]\n')
    with open(own.home + "/config.toml") as file:
        text = file.read()
    replace(own.home + "/config.toml", text.replace("[agents.half\n]", "[agents.half]"))
    assert [one["agent"] for one in client.get("/v1/agents")["agents"]] == ["echo", "half"]


def test_an_agent_that_wants_a_login_is_found_until_somebody_has_given_it_one(own: Live) -> None:
    """A real runner, a real protocol: what the agent told of its login is the mend; its key is put into the file."""
    program = str(Path(__file__).parent.parent / "agents" / "scripted_acp.py")
    run(own, "agents", "add", "coder", "--backend", "acp", "--", sys.executable, program, "login", "key")
    run(own, "agent", "run", "coder", "hello", code=1)
    found = json.loads(run(own, "tasks", "audit", "--json", code=1))
    [finding] = [one for one in found["findings"] if one["code"] == "login_wanted"]
    assert (finding["severity"], finding["subject"]) == ("error", "coder")
    assert finding["message"] == "agent coder wants a login: Scripted wants somebody to log in"
    assert finding["fix"].startswith("Log in with a browser: ")
    assert "scripted_acp.py login key login; or A key (set SCRIPTED_KEY in env of the agent)" in finding["fix"]
    assert finding["fix"].endswith(f"; or: outlast tasks dismiss {finding['taskId']}")
    with open(own.home + "/config.toml", "a") as file:
        file.write('env = { SCRIPTED_KEY = "k" }\n')
    assert run(own, "agent", "run", "coder", "hello") == "you said: hello\n"
    assert json.loads(run(own, "tasks", "audit", "--json"))["codes"].get("login_wanted") is None


def test_a_look_at_an_agent_has_the_environment_of_its_turns(own: Live, tmp_path: Path) -> None:
    """A program that only the agent's own PATH leads to is found by both."""
    program = tmp_path / "onlyhere"
    program.write_text('#!/bin/sh\necho "by $WHO"\n')
    program.chmod(0o755)
    with open(own.home + "/config.toml", "w") as file:
        file.write('[agents.own]\nbackend = "command"\ncommand = ["onlyhere", "{message}"]\n')
        file.write(f'env = {{ PATH = "{tmp_path}:/usr/bin:/bin", WHO = "me" }}\n')
    looked = json.loads(run(own, "agents", "check", "own", "--json"))
    assert (looked["ok"], looked["version"]) == (True, "by me"), looked
    assert run(own, "agent", "run", "own", "x") == "by me\n"
