"""The config file from the command line: agents that are added, shown and taken out."""

import fcntl
import json
import os
import re
import threading
import tomllib
from types import SimpleNamespace

import pytest
from cli_fakes import answer
from cli_ledger import path_of

from outlast.core.errors import BadInput, Refused
from outlast.surfaces.cli.agents import config_file

HOSTILE = "\x1b]0;owned\x07\x1b[31m{message} $(id) `id` \u202edrow\u2028\x9b2J\x7f"
AGENT = {"agent": "coder", "conversation": "agent:coder:main", "running": 0, "queued": 0}


def harmless(*texts):
    """True when nothing in a text does more than to be read."""
    return not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e]", "".join(texts))


# ---- adding


@pytest.fixture
def configured(home):
    home.agents = {"coder": SimpleNamespace(backend="acp", model="", command=("coder", HOSTILE))}
    return home


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (["--", "coder", "--acp"], {"backend": "acp", "command": ["coder", "--acp"]}),
        (["--backend", "command", "--output", "codex-jsonl", "--", "codex", "exec", "{message}"],
         {"backend": "command", "output": "codex-jsonl", "command": ["codex", "exec", "{message}"]}),
        (["--model", "openai:x", "--cwd", "/w"],
         {"backend": "model", "model": "openai:x", "workdir": "/w"}),
        (["--model", "openai:x", "--system", "Be {brief}.", "--tool", "exec", "--tool", "cron", "--timeout", "90m",
          "--env", "A=b=c", "--env", "B=", "--heartbeat", "30m"],
         {"backend": "model", "model": "openai:x", "system": "Be {brief}.", "tools": ["exec", "cron"], "timeout": "90m",
          "env": {"A": "b=c", "B": ""}, "heartbeat": {"every": "30m"}}),
        (["--timeout", "0", "--heartbeat", "0", "--", "x"],
         {"backend": "acp", "command": ["x"], "timeout": "0", "heartbeat": {"every": "0"}}),
        (["--backend", "command", "--resume", "--session", "--resume", "{session}", "--", "q", "{message}"],
         {"backend": "command", "resume": ["--session", "{session}"], "command": ["q", "{message}"]}),
        (["--", "sh", "-c", "echo \"a'b\\c\"\n\x1b[31m\u202e$(id)\x7f", "\U0001f600"],
         {"backend": "acp", "command": ["sh", "-c", "echo \"a'b\\c\"\n\x1b[31m\u202e$(id)\x7f", "\U0001f600"]}),
    ],
)  # fmt: skip
def test_what_is_added_is_what_the_file_says(outlast, configured, words, table):
    path = configured.paths.config_file
    with open(path, "wb") as file:
        file.write(b"# mine\r\n[tasks]\nslots = 3")
    code, out, err = outlast("agents", "add", "new", *words)
    assert (code, out) == (0, f"agent new is in {path}\n"), err
    with open(path, "rb") as file:
        data = file.read()
    assert data.startswith(b"# mine\r\n[tasks]\nslots = 3\n\n[agents.new]\n")
    assert tomllib.loads(data.decode().replace("\r\n", "\n"))["agents"]["new"] == table


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["coder", "--", "x"], 4, "there is an agent 'coder' already"),
        (["two words", "--", "x"], 2, "two words"),
        (["\x1b[31m", "--", "x"], 2, ""),
        (["a" * 65, "--", "x"], 2, ""),
        (["../x", "--", "x"], 2, ""),
        (["new"], 2, "command"),
        (["new", "--backend", "model", "--model", "nonsense"], 2, "model"),
        (["new", "--backend", "telepathy", "--", "x"], 2, "telepathy"),
        (["new", "--output", "text", "--", "x"], 2, "output"),
        (["new", "--tool", "exec", "--", "x"], 2, "tools"),
        (["new", "--model", "openai:x", "--tool", "dance"], 2, "dance"),
        (["new", "--timeout", "soon", "--", "x"], 2, "timeout"),
        (["new", "--heartbeat", "soon", "--", "x"], 2, "heartbeat.every"),
        (["new", "--env", "1x=y", "--", "x"], 2, "env"),
        (["new", "--backend", "command", "--", "x", "{nonsense}"], 2, "nonsense"),
        ([], 2, "AGENT"),
    ],
)
def test_what_is_no_agent_leaves_the_file_alone(outlast, configured, words, code, said):
    found, out, err = outlast("agents", "add", *words)
    assert (found, out) == (code, ""), err
    assert said in err
    assert harmless(err)
    assert not os.path.exists(configured.paths.config_file)


def test_a_file_that_cannot_be_written_is_said(outlast, configured):
    os.mkdir(configured.paths.config_file)
    code, _, err = outlast("agents", "add", "new", "--", "x")
    assert code == 5
    assert "cannot write" in err


def test_what_is_not_there_yet_is_named_and_no_hindrance(outlast, configured, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = outlast("agents", "add", "new", "--cwd", "not/there", "--", "no-such-program", "x")
    assert (code, out) == (0, f"agent new is in {configured.paths.config_file}\n")
    assert f"there is no directory {tmp_path}/not/there" in err
    assert "there is no program no-such-program" in err
    (tmp_path / "own").write_text("#!/bin/sh\n")
    (tmp_path / "own").chmod(0o700)
    for name, words in (("a", ["--cwd", ".", "--", "./own"]), ("b", ["--env", f"PATH={tmp_path}", "--", "own"]),
                        ("c", ["--", "below/its/own/directory"]), ("d", ["--model", "openai:x"])):  # fmt: skip
        assert outlast("agents", "add", name, *words)[2] == ""
    code, out, err = outlast("agents", "add", "e", "--env", "TOKEN=swordfish99", "--json", "--", "no-such-program")
    assert (json.loads(out)["notes"], err) == (["there is no program no-such-program"], "")
    assert "swordfish99" not in out


def test_the_file_keeps_its_mode_and_stays_a_link_and_nothing_is_left_beside_it(outlast, configured, tmp_path):
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("# mine\n")
    kept.chmod(0o640)
    os.symlink(kept, configured.paths.config_file)
    assert outlast("agents", "add", "new", "--", "x")[0] == 0
    assert os.path.islink(configured.paths.config_file)
    assert tomllib.loads(kept.read_text())["agents"]["new"]["command"] == ["x"]
    assert kept.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["dotfiles.toml"]
    kept.unlink()
    assert outlast("agents", "add", "other", "--", "x")[0] == 0
    assert kept.stat().st_mode & 0o777 == 0o600, "it may hold secrets"


def test_two_who_change_the_file_at_once_do_it_one_after_the_other(outlast, configured, monkeypatch):
    path, second, real = configured.paths.config_file, [], fcntl.flock
    comes = threading.Event()

    def edit(text):
        def flock(held, how):
            comes.set()
            real(held, how)

        monkeypatch.setattr(fcntl, "flock", flock)
        second.append(threading.Thread(target=config_file.change, args=(path, lambda seen: f"{seen}# second\n")))
        second[0].start()
        assert comes.wait(60), "whoever comes second asks for the lock"
        return f"{text}# first\n"

    config_file.change(path, edit)
    second[0].join(60)
    with open(path) as file:
        assert file.read() == "# first\n# second\n"


def test_a_change_that_fails_leaves_the_file_as_it_was(configured, monkeypatch):
    path = configured.paths.config_file
    with open(path, "w") as file:
        file.write("# mine\n")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Refused, match="No space left on device"):
        config_file.change(path, lambda text: f"{text}# more\n")
    with open(path) as file:
        assert file.read() == "# mine\n"
    assert os.listdir(os.path.dirname(path)) == ["config.toml"]
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(Refused, match="it is read-only"):
        config_file.change(path, lambda text: f"{text}# more\n")
    with open(path, "wb") as file:
        file.write(b"\xff\xfe")
    with pytest.raises(BadInput, match="is not TOML"):
        config_file.change(path, lambda text: text)


# ---- showing and taking out


def test_an_agent_is_shown_with_what_holds_for_it(outlast, gateway):
    settings = {"backend": "command", "command": ["q", "{message} x", HOSTILE], "system": "", "env": {"TOKEN": "***"},
                "timeout": 3600.0, "resume": [], "permissions": None,
                "heartbeat": {"every": 1800.0, "tz": "", "file": "H.md"}}  # fmt: skip
    shown = {"agent": {**AGENT, "running": 2}, "settings": settings, "file": "/f.toml", "trouble": f"bad {HOSTILE}"}
    gateway.will(*[answer(shown)] * 2)
    code, out, err = outlast("agents", "show", "coder")
    assert (code, path_of(gateway)) == (0, "/v1/agents/coder")
    facts = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert (facts["state"], facts["timeout"], facts["file"]) == ("2 running, 0 queued", "1h 00m", "/f.toml")
    assert (facts["env"], facts["system"], facts["permissions"]) == ("TOKEN ***", "-", "-")
    assert facts["heartbeat"] == "every 30m 00s, file H.md"
    assert facts["command"].startswith("q '{message} x'")
    assert "it is as before: bad" in err
    assert harmless(out, err)
    assert json.loads(outlast("agents", "show", "coder", "--json")[1]) == shown


def test_an_agent_is_taken_out_and_what_is_under_way_is_said(outlast, home, gateway):
    path, before = home.paths.config_file, "# mine\n[agents.new]\nbackend = 'acp'\ncommand = ['x']\n# end\n"
    busy = {"agents": [{**AGENT, "agent": "new", "running": 1, "queued": 2}], "trouble": None}
    for more, said in ((["--json"], ""), ([], "1 of its turns go on")):
        gateway.will(answer(busy), answer({"agents": [], "trouble": None}))
        with open(path, "w") as file:
            file.write(before)
        code, out, err = outlast("agents", "remove", "new", *more)
        assert (code, said in err) == (0, True)
        with open(path) as file:
            assert file.read() == "# mine\n# end\n[agents]\n"
    assert out == f"agent new is no longer in {path}\n"
    assert "2 of its turns wait" in err
    gateway.will(answer(busy))
    code, _, err = outlast("agents", "remove", "nobody")
    assert (code, f"no agent 'nobody' in {path}" in err) == (3, True)
