"""Terminals for agents: started in the workspace once they are allowed, bounded, and ended with all they started."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import pytest
from agent_running import RUNNER, acp, wait_for

from outlast.core.agent import EventKind
from patient_runner import PATIENT


def shell(script: str, **more):
    """A step: run a script."""
    return ["terminal/create", {"command": "/bin/sh", "args": ["-c", script], **more}]


def python(code: str, **more):
    return ["terminal/create", {"command": sys.executable, "args": ["-S", "-c", code], **more}]


def of(method: str, number: str = "t1"):
    return [f"terminal/{method}", {"terminalId": number}]


def run(start, *steps, habits=(), argv=RUNNER, **fields):
    """A whole turn of an agent that takes those steps; returns what came of each, and the turn."""
    turn = start(acp("terminals", *habits, **{"permissions": "allow", **fields}), json.dumps(steps), argv=argv)
    end = turn.end()
    assert end.error is None, end
    assert turn.alive() == []
    return json.loads("".join(event.text for event in turn.of(EventKind.TEXT))), turn


def test_a_command_is_run_and_told(start, tmp_path) -> None:
    (tmp_path / "here").mkdir()
    got, turn = run(
        start,
        shell("pwd; echo $ADDED; echo bad >&2; read x; exit 3", cwd=f"{tmp_path}/here",
              env=[{"name": "ADDED", "value": "{x}"}]),
        of("wait_for_exit"), of("output"), of("wait_for_exit"), of("kill"), of("release"), of("output"),
    )  # fmt: skip
    ended = {"exitCode": 3, "signal": None}
    assert got[0] == {"terminalId": "t1"}
    assert got[1] == got[3] == ended
    assert got[2] == {"output": f"{tmp_path}/here\n{{x}}\nbad\n", "truncated": False, "exitStatus": ended}
    assert got[4:6] == [{}, {}]
    assert got[6]["code"] == -32002
    began, over = turn.of(EventKind.TOOL)
    assert (began.id, began.status, began.data["kind"]) == ("terminal t1", "in_progress", "execute")
    assert began.data["input"]["cwd"] == f"{tmp_path}/here"
    assert (over.id, over.status) == ("terminal t1", "failed")
    assert over.data["output"].endswith("bad\n[exit code 3]")
    assert over.title.startswith("$ /bin/sh -c 'pwd;")


def test_the_environment_is_that_of_the_agent(start) -> None:
    got, _ = run(
        start, python("import os; print(os.environ['OF_AGENT'], os.environ['OUTLAST_REQUESTER'])"),
        of("wait_for_exit"), of("output"), env={"OF_AGENT": "1"},
    )  # fmt: skip
    assert got[2]["output"] == "1 agent:scripted:main\n"


def test_a_line_for_a_shell_is_taken_as_one(start) -> None:
    """Many agents send a whole line as the command; a program with such a name goes first."""
    got, turn = run(
        start, ["terminal/create", {"command": "echo a | tr a b; exit 4"}], of("wait_for_exit"), of("output")
    )
    assert (got[1]["exitCode"], got[2]["output"]) == (4, "b\n")
    assert turn.of(EventKind.TOOL)[0].title == "$ echo a | tr a b; exit 4"


def test_a_program_with_an_odd_name_is_no_line(start, tmp_path) -> None:
    (tmp_path / "a b").write_text("#!/bin/sh\necho me\n")
    (tmp_path / "a b").chmod(0o755)
    got, _ = run(start, ["terminal/create", {"command": f"{tmp_path}/a b"}], of("wait_for_exit"), of("output"))
    assert got[2]["output"] == "me\n"


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"command": "true", "cwd": "{root}/../.."}, "outside of"),
        ({"command": "true", "cwd": "../.."}, "absolute"),
        ({"command": "true", "cwd": "/"}, "outside of"),
        ({"command": "true", "cwd": "{root}/out"}, "outside of"),
        ({"command": "true", "cwd": "{root}-other"}, "outside of"),
        ({"command": "true", "cwd": "{root}/none"}, "No such file"),
        ({"command": "true", "cwd": "{root}/file"}, "Not a directory"),
        ({"command": "true", "cwd": "/\0"}, ""),
        ({"command": "true", "cwd": 5}, "cwd: must be text"),
        ({"command": "no-such-program", "args": ["x"]}, "there is no program 'no-such-program'"),
        ({"command": "no-such-program"}, "there is no program 'no-such-program'"),
        ({"command": "{root}/file", "args": ["x"]}, "Permission denied"),
        ({"command": "true", "args": "x"}, "args: must be"),
        ({"command": "true", "args": [1]}, "args: must be"),
        ({"command": "true", "args": ["x" * 200_000]}, "too long"),
        ({"command": ""}, "command: must be"),
        ({}, "command: must be"),
        ({"command": "true", "env": [{"name": "A=B", "value": ""}]}, "env: must be"),
        ({"command": "true", "env": [{"name": "A"}]}, "env: must be"),
        ({"command": "true", "env": 5}, "env: must be"),
    ],
)
def test_what_cannot_be_run_is_refused_and_says_why(start, tmp_path, params, said: str) -> None:
    """Whatever the policy; and the turn goes on."""
    root = tmp_path / "in"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "file").write_text("no program")
    params = {name: x.replace("{root}", str(root)) if isinstance(x, str) else x for name, x in params.items()}
    got, turn = run(
        lambda *args, **given: start(*args, workdir=root, **given),
        ["terminal/create", params],
        shell("pwd"),
        of("wait_for_exit", "t9"),
    )
    assert said in got[0]["message"]
    assert "terminalId" in got[1]
    assert got[2]["code"] == -32002
    if said == "outside of":
        assert "a terminal was refused to the agent" in turn.of(EventKind.NOTE)[0].text


def test_nul_is_never_part_of_a_command(start) -> None:
    """What comes over the wire has none (it is read as U+FFFD); a reader that lets it through is no reason to fail."""
    got, _ = run(start, ["terminal/create", {"command": "echo", "args": ["a\0b"]}], of("wait_for_exit"), of("output"))
    assert got[2]["output"] == "a\ufffdb\n"


def test_ids_that_are_none(start) -> None:
    bad = [of(method, "t7") for method in ("output", "wait_for_exit", "kill", "release")]
    got, _ = run(
        start, *bad, shell("true"), of("release"), of("release"), of("wait_for_exit"), of("kill"),
        ["terminal/output", {}], ["terminal/output", {"terminalId": ["t1"]}], ["terminal/resize", {"terminalId": "t1"}],
    )  # fmt: skip
    assert [one["code"] for one in got[:4]] == [-32002] * 4
    assert got[4:6] == [{"terminalId": "t1"}, {}]
    assert [one["code"] for one in got[6:]] == [-32002] * 5 + [-32601]
    assert got[6]["message"] == "there is no terminal 't1', or no more"


def test_kill_ends_the_whole_tree_and_keeps_the_output(start, tmp_path) -> None:
    """Also what left the session, lost its parents and cleared its environment, so that only its place tells."""
    tree = "echo before; (env -i setsid sh -c '(sleep 600; :) & sleep 600 & touch away; wait' &) ; "
    tree += "trap '' TERM; until [ -e away ]; do sleep 0.02; done; touch ready; while :; do sleep 600; done"
    wait = python("import os, time\nwhile not os.path.exists('ready'): time.sleep(0.02)")
    got, _ = run(
        start, shell(tree), wait, of("wait_for_exit", "t2"), python(COUNT_SLEEPS), of("wait_for_exit", "t3"),
        of("kill"), of("output"), of("wait_for_exit"), python(COUNT_SLEEPS), of("wait_for_exit", "t4"),
    )  # fmt: skip
    assert got[4]["exitCode"] >= 3
    assert got[5] == {}
    assert got[6] == {"output": "before\n", "truncated": False, "exitStatus": {"exitCode": None, "signal": "SIGKILL"}}
    assert got[7] == {"exitCode": None, "signal": "SIGKILL"}
    assert got[9]["exitCode"] == 0


COUNT_SLEEPS = """
import os, sys
here, found = os.getcwd(), 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        comm = open(f"/proc/{pid}/comm").read().strip()
        found += comm == "sleep" and os.readlink(f"/proc/{pid}/cwd") == here
    except OSError:
        pass
sys.exit(found)
"""


def test_release_ends_what_a_command_left_behind(start, tmp_path) -> None:
    """A command that has ended is told as ended, though its children hold its output; they go with the terminal."""
    got, _ = run(
        start, shell("env -i setsid sleep 600 & echo said"), of("wait_for_exit"), of("output"), of("release"),
        python(COUNT_SLEEPS), of("wait_for_exit", "t2"),
    )  # fmt: skip
    assert got[1]["exitCode"] == 0
    assert got[2]["output"] == "said\n"
    assert got[5]["exitCode"] == 0


def test_a_signal_is_told_by_its_name(start) -> None:
    got, turn = run(start, shell("kill -USR1 $$"), of("wait_for_exit"))
    assert got[1] == {"exitCode": None, "signal": "SIGUSR1"}
    assert turn.of(EventKind.TOOL)[-1].data["output"] == "[ended by SIGUSR1]"


def test_many_may_wait_for_the_same_end(start) -> None:
    got, _ = run(start, shell("sleep 600"), [*[of("wait_for_exit")] * 5, of("kill")], argv=PATIENT)
    assert got[1] == [{"exitCode": None, "signal": "SIGTERM"}] * 5 + [{}]


def test_release_answers_those_who_wait(start) -> None:
    got, _ = run(start, shell("sleep 600"), [of("wait_for_exit"), of("release")], argv=PATIENT)
    assert got[1] in ([{"exitCode": None, "signal": "SIGTERM"}, {}], [{**got[1][0], "code": -32002}, {}])


def test_a_command_that_ends_its_warden_is_still_told(start) -> None:
    """Its end is not known then; what is left of it is ended with the session of the keeper."""
    steps = [shell("kill -9 $PPID"), of("wait_for_exit")]
    turn = start(acp("terminals", permissions="allow"), json.dumps(steps))
    assert json.loads(turn.end().text)[1] == {"exitCode": None, "signal": None}
    assert turn.of(EventKind.TOOL)[-1].data["output"] == "[its end was not seen]"


def test_a_signal_to_all_is_no_end_of_a_warden(start) -> None:
    """A whole session gets SIGTERM when it is killed, and its commands may need their time."""
    got, _ = run(start, shell("kill $PPID; kill -INT $PPID; kill -HUP $PPID; exit 3"), of("wait_for_exit"))
    assert got[1]["exitCode"] == 3


def test_terminals_have_a_number(start) -> None:
    got, _ = run(start, *[shell("true")] * 16, shell("true"), of("release", "t3"), shell("true"))
    assert [one.get("terminalId") for one in got[:16]] == [f"t{count}" for count in range(1, 17)]
    assert "16 terminals are open" in got[16]["message"]
    assert got[18] == {"terminalId": "t17"}


def test_a_thousand_at_once_are_refused_but_for_some(start) -> None:
    got, turn = run(start, [shell("true")] * 1000)
    assert sum("terminalId" in one for one in got[0]) == 16
    assert len(turn.of(EventKind.TOOL)) == 32


@pytest.mark.parametrize("permissions", ["ask", "deny"])
def test_who_may_run_nothing_runs_nothing(start, tmp_path, permissions: str) -> None:
    turn = start(acp("terminals", permissions=permissions), json.dumps([shell("touch made; echo password=hunter2")]))
    if permissions == "ask":
        asked = turn.until(EventKind.PERMISSION)
        assert asked.title == "run: /bin/sh -c 'touch made; echo password=***'"
        assert asked.data["input"] == {"command": "/bin/sh -c 'touch made; echo password=***'", "cwd": str(tmp_path)}
        assert [option["kind"] for option in asked.data["options"]] == ["allow_once", "reject_once"]
        assert not (tmp_path / "made").exists()
        turn.tell(op="permission", id="p1", option="no")
    (got,) = json.loads(turn.end().text)
    assert got == {"code": -32602, "message": "refused: it was not allowed"}
    assert turn.of(EventKind.PERMITTED)[0].status == "rejected"
    assert not (tmp_path / "made").exists()


def test_one_yes_is_for_one_command(start) -> None:
    turn = start(acp("terminals"), json.dumps([shell("true"), shell("true")]))
    for number in ("p1", "p2"):
        assert turn.until(EventKind.PERMISSION).id == number
        turn.tell(op="permission", id=number, option="run")
    assert "t2" in turn.end().text


def test_nobody_answers(start) -> None:
    turn = start(acp("terminals", permission_seconds=0.1), json.dumps([shell("true")]))
    assert "nobody answered in time" in turn.end().text


def leave(given, kind: str = "allow_once"):
    return [
        "session/request_permission",
        {"toolCall": {"toolCallId": "c1", "title": "a tool", "rawInput": given},
         "options": [{"optionId": "y", "name": "Yes", "kind": kind}]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "step"),
    [
        ({"command": "echo a"}, ["terminal/create", {"command": "echo", "args": ["a"]}]),
        ({"command": " echo a"}, ["terminal/create", {"command": "echo a"}]),
        ({"command": "echo", "args": ["a"]}, ["terminal/create", {"command": "echo", "args": ["a"]}]),
        ({"command": "echo a; b"}, ["terminal/create", {"command": "/bin/bash", "args": ["-lc", "echo a; b"]}]),
        ({"command": ["echo", "a"]}, ["terminal/create", {"command": "echo", "args": ["a"]}]),
        ({"command": "a", "env": {"A": "1"}, "workdir": "{root}/in"},
         ["terminal/create", {"command": "a", "env": [{"name": "A", "value": "1"}], "cwd": "{root}/in"}]),
    ],
)  # fmt: skip
def test_what_was_allowed_as_a_tool_call_is_not_asked_about_again(start, tmp_path, given, step) -> None:
    """But once: the second time it is another call."""
    (tmp_path / "in").mkdir()
    steps = json.dumps([leave(given), step, step]).replace("{root}", str(tmp_path))
    turn = start(acp("terminals"), steps)
    assert turn.until(EventKind.PERMISSION).title == "a tool"
    turn.tell(op="permission", id="p1", option="y")
    assert turn.until(EventKind.PERMISSION).title.startswith("run: ")
    turn.tell(op="permission", id="p2", option="no")
    got = json.loads(turn.end().text)
    assert "not allowed" not in got[1].get("message", "")
    assert "not allowed" in got[2]["message"]


@pytest.mark.parametrize(
    "more",
    [
        {"command": "echo", "args": ["b"]},
        {"command": "echo", "args": ["a", "b"]},
        {"command": "./sh", "args": ["-c", "echo a"]},
        {"command": "echo", "args": ["a"], "cwd": "{root}/in"},
        {"command": "echo", "args": ["a"], "env": [{"name": "LD_PRELOAD", "value": "x"}]},
    ],
)
def test_what_differs_from_what_was_seen_is_a_question_of_its_own(start, tmp_path, more) -> None:
    (tmp_path / "in").mkdir()
    steps = [leave({"command": "echo a"}, "allow_always"), ["terminal/create", {"command": "echo", "args": ["a"]}]]
    steps = json.dumps([*steps, ["terminal/create", more]]).replace("{root}", str(tmp_path))
    turn = start(acp("terminals"), steps)
    turn.until(EventKind.PERMISSION)
    turn.tell(op="permission", id="p1", option="y")
    assert turn.until(EventKind.PERMISSION).title.startswith("run: ")
    turn.tell(op="permission", id="p2", option=None)
    got = json.loads(turn.end().text)
    assert got[1] == {"terminalId": "t1"}
    assert "refused" in got[2]["message"]


def test_what_was_refused_as_a_tool_call_is_asked_about(start) -> None:
    steps = [leave({"command": "echo a"}), ["terminal/create", {"command": "echo a"}]]
    turn = start(acp("terminals"), json.dumps(steps))
    turn.until(EventKind.PERMISSION)
    turn.tell(op="permission", id="p1", option=None)
    turn.until(EventKind.PERMISSION)
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"


def test_nothing_is_left_at_the_end_of_a_turn(start, tmp_path) -> None:
    got, _ = run(
        start,
        shell("env -i setsid sh -c 'touch up; sleep 600' & wait"),
        wait_until_there("up"),
        of("wait_for_exit", "t2"),
    )
    assert got[2]["exitCode"] == 0


def wait_until_there(name: str):
    return python(f"import os, time\nwhile not os.path.exists({name!r}): time.sleep(0.02)")


@pytest.mark.parametrize("how", ["cancel", "crash", "interrupt"])
def test_a_command_ends_with_its_turn(start, tmp_path, how: str) -> None:
    """Called off, or its agent gone: the command ends, and all it started, before the last line is written."""
    steps = [
        shell("trap ': > asked' TERM; setsid sleep 600 & touch up; wait; wait"),
        [of("wait_for_exit")],
        shell("true"),
    ]
    turn = start(acp("terminals", permissions="allow"), json.dumps(steps), argv=PATIENT)
    turn.until(EventKind.TOOL)
    wait_for(tmp_path / "up")
    if how == "cancel":
        turn.tell(op="cancel")
    elif how == "interrupt":
        turn.tell(op="steer", id="w1", text="[]", interrupt=True)
    else:
        (agent,) = [pid for pid in turn.alive() if "scripted_acp" in cmdline(pid) and "runner" not in cmdline(pid)]
        os.kill(agent, signal.SIGKILL)
    end = turn.end()
    assert end.stop == {"cancel": "cancelled", "interrupt": "end_turn", "crash": "error"}[how]
    assert turn.alive() == []
    assert (tmp_path / "asked").exists()
    if how == "cancel":
        assert "refused: the turn was called off" in end.text


def cmdline(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:  # it has ended since it was listed
        return ""


def test_the_runner_dies_and_its_terminals_with_it(start, tmp_path) -> None:
    """Nobody holds the leash of the warden any more."""
    turn = start(acp("terminals", permissions="allow"), json.dumps([shell("touch up; sleep 600"), of("wait_for_exit")]))
    wait_for(tmp_path / "up")
    turn.process.kill()
    gone(turn)


def gone(turn) -> None:
    until = time.monotonic() + 60
    while any("sleep" in cmdline(pid) for pid in turn.alive()):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("printed", "limit", "output", "truncated"),
    [
        (b"hello", 5, "hello", False),
        (b"hello", 4, "ello", True),
        (b"hello", 0, "", True),
        (b"", 0, "", False),
        ("aäöü".encode(), 6, "äöü", True),
        ("aäöü".encode(), 5, "öü", True),
        ("a\U0001f600b".encode(), 4, "b", True),
        ("a\U0001f600b".encode(), 5, "\U0001f600b", True),
        (b"a\xffb\xc3", 100, "a\ufffdb\ufffd", False),
        (b"\xff\xff\xff", 6, "\ufffd\ufffd", True),
        (b"\x80\x80\x80\x80\x80", 4, "\ufffd", True),
        (b"a\0b", 3, "b", True),
        (b"\x1b[31mred\x1b[0m\r\n\x07", 100, "\x1b[31mred\x1b[0m\r\n\x07", False),
    ],
)
def test_output_is_text_of_at_most_so_many_bytes(
    start, printed: bytes, limit: int, output: str, truncated: bool
) -> None:
    """Cut at the beginning, between two characters."""
    code = f"import os; os.write(1, {printed!r})"
    got, turn = run(start, python(code, outputByteLimit=limit), of("wait_for_exit"), of("output"))
    assert (got[2]["output"], got[2]["truncated"]) == (output, truncated)
    assert len(output.encode()) <= limit
    assert all("\x1b" not in str(event.data.get("output")) for event in turn.of(EventKind.TOOL))


def test_half_a_character_is_not_shown_while_there_may_be_more(start, tmp_path) -> None:
    half = "import os, time; os.write(1, b'a\\xc3'); open('half', 'w').close()"
    more = "while not os.path.exists('more'): time.sleep(0.02)"
    got, _ = run(
        start, python(f"{half}\n{more}\nos.write(1, b'\\xa4')"), wait_until_there("half"), of("wait_for_exit", "t2"),
        of("output"), shell("touch more"), of("wait_for_exit"), of("output"),
    )  # fmt: skip
    assert (got[3]["output"], got[6]["output"]) == ("a", "aä")


@pytest.mark.parametrize("limit", [None, 10**12, 2000])
def test_a_gigabyte_costs_no_memory(start, limit) -> None:
    """Whatever the agent wants kept."""
    more = {} if limit is None else {"outputByteLimit": limit}
    steps = [shell("yes | head -c 1000000000; echo end", **more), of("wait_for_exit"), of("output"), "!", None]
    turn = start(acp("terminals", permissions="allow"), json.dumps(steps))
    turn.until(lambda event: event.text == "!")
    with open(f"/proc/{turn.process.pid}/status", encoding="ascii") as file:
        (peak,) = [int(line.split()[1]) for line in file if line.startswith("VmHWM")]
    assert peak < 60_000  # kB
    turn.tell(op="cancel")
    turn.end()
    got = json.loads(turn.of(EventKind.TEXT)[-1].text.removeprefix("!")) if limit == 2000 else None
    if got is not None:
        assert got[2]["output"] == "y\n" * 998 + "end\n"
