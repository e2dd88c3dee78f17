"""The commands of agents, from a line to an exit code, with a scripted gateway behind them."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from cli_agents import AGENT, DONE, FAILED, HOSTILE, MODEL, SHOWN, TURN, entry, harmless, page
from cli_fakes import answer, body
from cli_ledger import path_of

from outlast.core.agent_config import TOOLS
from outlast.surfaces.cli.verbs import VERBS

# ---- which there are


def test_agents_are_a_table_with_what_each_is_at(outlast, gateway):
    gateway.will(answer({"agents": [AGENT, MODEL]}), answer({"agents": []}), answer({"agents": [MODEL]}))
    code, out, err = outlast("agents")
    assert (code, path_of(gateway), err) == (0, "/v1/agents", "")
    heads, first, second = out.splitlines()
    assert heads.split() == ["AGENT", "BACKEND", "STATE", "HEARTBEAT", "WHAT"]
    assert first.split()[:4] == ["coder", "acp", "idle", "-"]
    assert "claude-agent-acp '--x y'" in first, "as one would type it"
    assert "1 running, 2 queued" in second
    assert "30m" in second
    assert harmless(out)
    code, out, err = outlast("agents", "list")
    assert (code, out) == (0, "")
    assert "outlast agents add NAME" in err
    assert json.loads(outlast("agents", "list", "--json")[1])["agents"][0]["model"] == HOSTILE


def test_a_look_at_an_agent_says_what_it_can_or_what_is_wrong(outlast, gateway):
    good = {"ok": True, "agent": "coder", "backend": "acp", "title": f"Coder{HOSTILE}", "version": "1.0",
            "can": ["load", HOSTILE], "notes": [HOSTILE]}  # fmt: skip
    bad = {"ok": False, "agent": "coder", "backend": "acp", "error": f"log in {HOSTILE}", "code": "login_wanted",
           "hint": "coder login", "can": [], "notes": []}  # fmt: skip
    gateway.will(answer(good), answer(bad), answer({**bad, "error": None}), answer(bad))
    code, out, err = outlast("agents", "check", "coder")
    assert (code, path_of(gateway)) == (0, "/v1/agents/coder/check")
    assert out.startswith("Coder")
    assert "1.0 answers (acp)" in out
    assert "  can load\n" in out
    assert harmless(out, err)
    code, out, err = outlast("agents", "check", "coder")
    assert (code, "cannot be used: log in" in out, "coder login" in err) == (1, True, True)
    assert harmless(out, err)
    assert "cannot be used: login_wanted" in outlast("agents", "check", "coder")[1]
    code, out, _ = outlast("agents", "check", "coder", "--json")
    assert (code, json.loads(out)["code"]) == (1, "login_wanted")


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("command", "sh is there (command); no turn was tried\n"),
        ("model", "sh has what it needs (model); it was not asked\n"),
    ],
)
def test_a_look_does_not_say_that_an_agent_answers_which_was_not_asked(outlast, gateway, backend, said):
    gateway.will(answer({"ok": True, "agent": "a", "backend": backend, "title": "sh", "can": [], "notes": []}))
    assert outlast("agents", "check", "a")[1] == said


def test_an_unknown_agent_is_said_with_those_there_are(outlast, gateway):
    wrong = {"error": {"code": "no_such_agent", "message": "no agent 'nobody'", "hint": "there is: coder"}}
    gateway.will(*[answer(wrong, 400)] * 3)
    for line in (("agents", "check", "nobody"), ("agent", "run", "nobody", "x"), ("subagents", "spawn", "nobody", "x")):
        code, out, err = outlast(*line)
        assert (code, out) == (2, "")
        assert "no agent 'nobody'" in err
        assert "there is: coder" in err


@pytest.fixture
def configured(home):
    home.agents = {"coder": SimpleNamespace(backend="acp", model="", command=("coder", HOSTILE))}
    return home


# ---- turns


def test_a_turn_that_is_left_alone_is_an_id_and_what_to_type_next(outlast, gateway):
    gateway.will(answer(TURN), answer(TURN), answer(TURN))
    words = ("--title", "t", "--label", "l", "--timeout", "90s", "--notify", "silent", "--env", "A=b=c")
    code, out, err = outlast("agent", "run", "coder", "say {message}", "--detach", "--conversation", "c", *words)
    assert (code, out, path_of(gateway)) == (0, "01turn\n", "/v1/agents/run")
    asked = body(gateway)
    assert asked.pop("callerEnv")["PATH"]
    assert asked == {
        "agent": "coder", "message": "say {message}", "conversation": "c", "timeoutSeconds": 90, "title": "t",
        "label": "l", "notify": "silent", "env": {"A": "b=c"},
    }  # fmt: skip
    for line in ("subagents log -f 01turn", "subagents show 01turn", "subagents steer 01turn", "subagents cancel"):
        assert line in err
    code, out, _ = outlast("subagents", "spawn", "coder", "look", "--as", "agent:a:main")
    assert (code, out, path_of(gateway)) == (0, "01turn\n", "/v1/subagents")
    assert (body(gateway)["agent"], body(gateway)["task"]) == ("coder", "look")
    assert b"agent:a:main" in gateway.seen[-1].partition(b"\r\n\r\n")[0]
    assert json.loads(outlast("agent", "run", "coder", "x", "--detach", "--json")[1])["taskId"] == "01turn"
    assert outlast("agent", "run", "coder", "x", "--detach", "--wait")[0] == 2
    assert outlast("agent", "run", "coder")[0] == 2
    assert outlast("agent", "run", "coder", "x", "--timeout", "soon")[0] == 2


def test_a_message_may_come_from_standard_input(outlast, gateway, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from\nafar \xff")))
    gateway.will(answer(TURN))
    assert outlast("agent", "run", "coder", "-", "--detach")[0] == 0
    assert body(gateway)["message"] == "from\nafar \ufffd"


def test_a_closed_standard_input_is_an_empty_message(outlast, gateway, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    gateway.will(answer(TURN))
    assert outlast("agent", "run", "coder", "-", "--detach")[0] == 0
    assert body(gateway)["message"] == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_a_note_at_a_terminal_stands_on_a_line_of_its_own(outlast, gateway, monkeypatch, terminal):
    monkeypatch.setattr("outlast.surfaces.cli.output.sys.stdout.isatty", lambda: terminal, raising=False)
    gateway.will(
        answer(TURN), page(entry(1, "prompt", "look")), page(entry(2, text="I will"), entry(3, "permission", "rm")),
        page(entry(4, text=" now"), entry(5, "end", "I will now")),
        answer({"met": True, "timedOut": False, "tasks": [DONE]}),
    )  # fmt: skip
    out, err = outlast("agent", "run", "coder", "look")[1:]
    assert out == ("I will\n now\n" if terminal else "I will now\n")
    assert "it waits for leave: rm" in err


def test_the_answer_alone_is_on_standard_output(outlast, gateway):
    gateway.will(
        answer(TURN),
        page(entry(1, "prompt", "look"), entry(2, "text", "of another turn", task="01other")),
        page(entry(2, "text", "of another turn", task="01other"), entry(3, text=f"Hel{HOSTILE}")),
        page(entry(4, "tool", "ls"), entry(5, text="lo\nthere"), entry(6, "end", "Hello\nthere")),
        answer({"met": True, "timedOut": False, "tasks": [DONE]}),
    )
    code, out, err = outlast("agent", "run", "coder", "look")
    assert code == 0, err
    assert out.startswith("Hel\\x1b]0;owned")
    assert out.endswith("lo\nthere\n")
    assert "another" not in out
    assert "task 01turn, conversation agent:coder:main" in err
    assert "ls" not in err  # what it does is for a terminal
    assert harmless(out, err)
    assert b"task=01turn" in gateway.seen[2]


def test_whoever_waits_is_told_for_what(outlast, gateway):
    gateway.will(
        answer({**TURN, "advice": ["it waits for turn 01first: outlast subagents log -f 01first"], "existing": True}),
        page(entry(1, "prompt", "look")),
        page(entry(2, "permission", f"rm -rf build\n{HOSTILE}", id="p1", title=f"rm {HOSTILE}", approvalId="a1")),
        page(entry(3, "permission", "", id="p1", status="allowed", by="answer"), entry(4, text="x"),
             entry(5, "end", "x")),
        answer({"met": True, "timedOut": False, "tasks": [DONE]}),
    )  # fmt: skip
    code, out, err = outlast("agent", "run", "coder", "look")
    assert (code, out) == (0, "x\n")
    assert "it waits for turn 01first: outlast subagents log -f 01first" in err
    assert "is on record already" in err
    assert err.count("it waits for leave: ") == 1
    assert ": outlast approvals show a1\n" in err
    assert harmless(err)
    gateway.will(answer({**SHOWN, "waitsFor": {"words": "waits for leave: approval a1", "command": "outlast x"}}))
    assert "waits for     leave: approval a1: outlast x\n" in outlast("subagents", "show", "01turn")[1]


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        ({"status": "failed", "cause": "error", "error": f"no luck {HOSTILE}"}, 1, "task 01turn failed: no luck"),
        (
            {"status": "failed", "cause": "error", "error": "x", "detail": {"hint": f"log in{HOSTILE}"}},
            1,
            "outlast: log in",
        ),
        ({"status": "timed_out", "cause": "timeout", "error": None}, 124, "task 01turn timed_out: timeout"),
        ({"status": "lost", "cause": None, "error": "its session is gone"}, 1, "lost: its session is gone"),
        ({"status": "cancelled", "cause": "operator", "error": None}, 1, "cancelled: operator"),
    ],
)
def test_a_turn_that_leaves_no_last_word_lets_its_caller_go(outlast, gateway, ended, code, said):
    """The runner died: no entry says so, but the turn has ended."""
    gateway.will(
        answer(TURN), page(entry(1, "prompt", "look")), page(entry(2, text="half")), page(ended=True, after=2),
        answer({"met": True, "timedOut": False, "tasks": [{**TURN, **ended}]}),
    )  # fmt: skip
    found, out, err = outlast("agent", "run", "coder", "look")
    assert (found, out) == (code, "half\n")
    assert said in err
    assert harmless(err)


def test_json_is_the_turn_as_show_has_it(outlast, gateway):
    gateway.will(answer(DONE), answer(SHOWN))
    code, out, err = outlast("agent", "run", "coder", "look", "--json")
    assert (code, json.loads(out), err) == (0, SHOWN, "")
    gateway.will(answer(FAILED), answer({**SHOWN, "task": FAILED}))
    assert outlast("subagents", "spawn", "coder", "look", "--wait", "--json")[0] == 1


# ---- spawned agents


def test_spawned_agents_are_a_table(outlast, gateway):
    gateway.will(answer({"tasks": [TURN, FAILED], "next": "c"}), answer({"tasks": [], "next": None}))
    code, out, err = outlast("subagents", "--status", "running", "--limit", "2", "--cursor", "z")
    assert (code, path_of(gateway)) == (0, "/v1/subagents?status=running&limit=2&cursor=z")
    heads, first, second = out.splitlines()
    assert heads.split() == ["TASK", "STATUS", "TIME", "FOR", "WHAT"]
    assert first.split()[:3] == ["01turn", "running", "2m"]
    assert second.split()[:2] == ["01bad", "failed"]
    assert "--cursor c" in err
    assert harmless(out, err)
    assert outlast("subagents", "list") == (
        0, "", "outlast: no agent has been spawned; turns that were asked for: --all\n",
    )  # fmt: skip
    gateway.will(answer({"tasks": [], "next": None}))
    assert outlast("subagents", "list", "--all") == (0, "", "outlast: no agent has had a turn\n")
    assert path_of(gateway) == "/v1/subagents?all=true"
    assert outlast("subagents", "list", "--limit", "0")[0] == 2


def test_a_turn_among_the_tasks_is_told_by_its_label_and_its_title(outlast, gateway):
    gateway.will(answer({"tasks": [TURN, {**TURN, "label": None}], "next": None}))
    _, out, _ = outlast("tasks")
    assert "nightly: coder: \\x1b]0;owned" in out.splitlines()[1]
    assert "  coder: \\x1b]0;owned" in out.splitlines()[2]
    assert not out.splitlines()[2].endswith(": turn")
    assert harmless(out)


def test_a_turn_is_shown_with_its_answer_in_full(outlast, gateway):
    gateway.will(answer(SHOWN), answer({**SHOWN, "task": FAILED, "text": None, "costUsd": None, "durationMs": None}))
    code, out, err = outlast("subagents", "show", "01turn")
    assert (code, path_of(gateway), err) == (0, "/v1/subagents/01turn", "")
    assert "time          2m 00s\n" in out
    assert "tokens        1200 in, 0 out\n" in out
    assert "cost          0.2500 USD\n" in out
    assert out.endswith("\ndone.\n")
    assert harmless(out)
    code, out, _ = outlast("subagents", "show", "01bad")
    assert "status        failed (error)\nerror         no luck\\n" in out
    assert "hint          log in" in out
    assert "cost" not in out
    assert harmless(out)


def test_who_is_unknown_is_said_with_what_to_do(outlast, gateway):
    wrong = {"error": {"code": "not_found", "message": "no task 'x'", "hint": "outlast tasks list"}}
    for line in ("show x", "log x", "steer x y", "wait x", "cancel x"):
        gateway.will(answer(wrong, 404))
        code, out, err = outlast("subagents", *line.split())
        assert (code, out) == (3, ""), line
        assert "no task 'x'" in err
        assert "outlast tasks list" in err


def test_a_turn_is_steered(outlast, gateway):
    gateway.will(*[answer({"taskId": "01turn", "steerId": "m1", "heard": "now"})] * 2)
    code, out, err = outlast("subagents", "steer", "01turn", "faster; $(id)", "--interrupt")
    told = "outlast: it leaves what it is at and hears it; what became of that: outlast subagents log 01turn\n"
    assert (code, out, err) == (0, "", told)
    assert (path_of(gateway), body(gateway)) == (
        "/v1/subagents/01turn/steer", {"text": "faster; $(id)", "interrupt": True},
    )  # fmt: skip
    assert json.loads(outlast("subagents", "steer", "01turn", "x", "--json")[1])["steerId"] == "m1"
    assert body(gateway)["interrupt"] is False
    gateway.will(answer({"taskId": "01turn", "steerId": "m1", "heard": "next"}))
    assert "outlast: it hears it next; " in outlast("subagents", "steer", "01turn", "x")[2]
    wrong = {"error": {"code": "not_running", "message": "task 01turn is lost: nobody would hear it"}}
    gateway.will(answer(wrong, 409))
    assert outlast("subagents", "steer", "01turn", "x")[0] == 4


def test_several_turns_are_waited_for_in_one_call(outlast, gateway):
    bad = {**SHOWN, "task": FAILED, "text": None}
    gateway.will(
        answer({**SHOWN, "task": TURN}), answer(bad), answer({"met": True, "timedOut": False, "tasks": [DONE, FAILED]}),
        answer(SHOWN), answer(bad),
    )  # fmt: skip
    code, out, err = outlast("subagents", "wait", "01turn", "01bad", "--timeout", "1h")
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert (lines[0], lines[1], lines[3]) == ("01turn succeeded", "All", "done.")
    assert lines[4].startswith("01bad failed: no luck\\n")
    assert harmless(out)
    assert b'"lookups":["01turn","01bad"]' in gateway.seen[2]
    gateway.will(answer({**SHOWN, "task": TURN}), answer({"met": False, "timedOut": True, "tasks": [TURN]}),
                 answer({**SHOWN, "task": TURN, "text": None}))  # fmt: skip
    code, out, _ = outlast("subagents", "wait", "01turn", "--timeout", "0s", "--json")
    assert (code, json.loads(out)["met"]) == (124, False)


def test_turns_are_called_off(outlast, gateway):
    gateway.will(answer({**DONE, "status": "cancelled"}), answer({**FAILED, "status": "cancelled"}))
    code, out, _ = outlast("subagents", "cancel", "01turn", "01bad")
    assert (code, out) == (0, "01turn cancelled\n01bad cancelled\n")
    gateway.will(answer({**DONE, "status": "cancelled"}))
    assert json.loads(outlast("subagents", "cancel", "01turn", "--json")[1])["tasks"][0]["status"] == "cancelled"
    gateway.will(answer(TURN))
    assert outlast("subagents", "cancel", "01turn")[1] == "01turn asked to end; still running\n"
    assert outlast("subagents", "cancel")[0] == 2


# ---- help and completion


def test_every_command_of_agents_has_help_speaks_json_and_completes(outlast):
    verbs = [verb for verb in VERBS if verb.words[0] in ("agents", "agent", "subagents")]
    assert len(verbs) == 13
    for verb in verbs:
        code, out, err = outlast(*verb.words, "--help")
        assert (code, err) == (0, "")
        assert verb.help.split()[0] in out
        assert "--json" in out
    offered = {verb.words[-1]: argument.complete for verb in verbs for argument in verb.arguments if argument.complete}
    assert offered == {
        "show": "turn", "remove": "agent", "check": "agent", "run": "agent", "spawn": "agent", "log": "turn",
        "steer": "running-turn", "wait": "turn", "cancel": "live-turn",
    }  # fmt: skip


def test_names_of_agents_turns_and_conversations_are_completed(outlast, configured, gateway, monkeypatch):
    def offered(line):
        monkeypatch.setenv("_OUTLAST_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        return [row.partition(",")[2] for row in outlast()[1].split()]

    for line in ("agents check ", "agents show co", "agents remove ", "agent run co", "subagents spawn c",
                 "cron add --agent ", "cron edit x --agent c"):  # fmt: skip
        assert offered(f"outlast {line}") == ["coder"]
    assert offered("outlast agents check x") == []
    assert offered("outlast agents add c") == []
    for line, query in (("show", ""), ("steer", "status=running&"), ("cancel", "status=queued%2Crunning&")):
        gateway.will(answer({"tasks": [], "next": None}), answer({"tasks": [TURN, FAILED], "next": None}))
        assert offered(f"outlast subagents {line} 01t") == ["01turn"]
        asked = [path_of(gateway, at) for at in (-2, -1)]
        assert [f"runtime={runtime}&{query}limit=200" in path for runtime, path in
                zip(("subagent", "acp"), asked, strict=True)] == [True, True], asked  # fmt: skip
    for line in ("conversations transcript agent", "agent run coder x --conversation agent", "cron add --to agent"):
        talks = [{"conversation": key, "waiting": 0} for key in ("agent:a:main", "agent:b:main")]
        gateway.will(
            answer({"tasks": [{**TURN, "conversation": "agent:b:main"}], "next": None}),
            answer({"tasks": [], "next": None}),
            answer({"conversations": talks, "next": None}),
        )
        assert offered(f"outlast {line}") == ["agent:coder:main", "agent:b:main", "agent:a:main"]
    assert "--interrupt" in offered("outlast subagents steer --in")
    assert offered("outlast agents add x --backend co") == ["command"]
    assert offered("outlast agents add x --tool ta") == ["tasks"]
    assert offered("outlast subagents list --status queued,ru") == ["queued,running"]


def test_tools_that_can_be_given_are_those_there_are():
    [option] = [option for verb in VERBS for option in verb.options if option.flags == ("--tool",)]
    assert option.kind.choices == TOOLS


def test_an_answer_that_was_not_said_in_pieces_is_printed_all_the_same(outlast, gateway):
    gateway.will(
        answer(TURN), page(entry(1, "prompt", "look")), page(entry(2, "end", f"all\nat once {HOSTILE}")),
        answer({"met": True, "timedOut": False, "tasks": [DONE]}),
    )  # fmt: skip
    code, out, _ = outlast("agent", "run", "coder", "look")
    assert (code, out.startswith("all\nat once ")) == (0, True)
    assert harmless(out)
