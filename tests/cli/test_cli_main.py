"""The way from a line to an exit code, with a scripted gateway behind it."""

import json
import os
import subprocess
import sys

import pytest
from cli_fakes import answer, body, chunked, frame

from outlast.core.errors import BadInput, Conflict, GatewayTrouble, NotFound, Refused
from outlast.surfaces.cli import main as cli

SESSION = {
    "status": "running",
    "sessionId": "01abc",
    "exitCode": None,
    "exitSignal": None,
    "cause": None,
    "note": None,
    "durationMs": 1200,
    "pid": 7,
    "cwd": "/",
    "command": "make\n\x1b[31m",
    "title": None,
    "labels": [],
    "pty": False,
    "advice": [],
    "producedBytes": 0,
}
ENDED = {**SESSION, "status": "failed", "exitCode": 7, "cause": "exit", "output": "hello"}


@pytest.mark.parametrize(
    ("status", "family"),
    [(400, BadInput), (404, NotFound), (409, Conflict), (403, Refused), (503, GatewayTrouble)],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_errors_have_words_a_hint_and_an_exit_code(outlast, gateway, status, family, as_json):
    error = {"error": {"code": "word", "message": "a sentence", "hint": "an act"}}
    gateway.will(answer(error, status))
    code, out, err = outlast("process", "list", *(["--json"] if as_json else []))
    assert code == family.exit_code
    if as_json:
        assert (json.loads(out), err) == (error, "")
    else:
        assert (out, err) == ("", "outlast: a sentence\n  an act\n")


def test_a_wrong_line_speaks_json_when_asked(outlast):
    code, out, _ = outlast("process", "pol", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "usage"


def test_the_commands_own_json_flag_is_not_ours(outlast, gateway):
    gateway.will(answer({"error": {"code": "x", "message": "no", "hint": None}}, 403))
    code, out, err = outlast("exec", "npm", "ls", "--json")
    assert (code, out, err) == (5, "", "outlast: no\n")


def test_tool_errors_are_always_json(outlast, gateway):
    code, out, _ = outlast("tool", "{nonsense")
    assert (code, json.loads(out)["error"]["code"]) == (2, "bad_json")


def test_the_list_shows_control_characters_as_escapes(outlast, gateway):
    gateway.will(answer({"sessions": [SESSION], "next": "01abc"}))
    code, out, err = outlast("process", "list")
    assert code == 0
    assert "make\\n\\x1b[31m" in out
    assert "\x1b" not in out
    assert "--before 01abc" in err


def test_exec_stays_and_ends_with_the_commands_code(outlast, gateway):
    data = frame(1, b"out\x00\xff\n") + frame(2, b"err\n") + frame(0, {"event": "ended", **ENDED})
    gateway.will(answer(SESSION), chunked(data))
    code, out, err = outlast("exec", "make", "all")
    assert code == 7
    assert out.encode("utf-8", "surrogateescape") == b"out\x00\xff\n"
    assert err == "err\n"
    sent = body(gateway, 0)
    assert (sent["argv"], sent["background"], sent["leftovers"]) == (["make", "all"], True, "kill")
    assert sent["follow"] is True
    assert sent["workdir"] == os.getcwd()
    assert sent["callerEnv"]["PATH"] == os.environ["PATH"]
    assert "OUTLAST_TOKEN" not in sent["callerEnv"]


def test_exec_takes_one_word_for_a_line_of_shell(outlast, gateway):
    gateway.will(answer(ENDED))
    outlast("exec", "--yield", "1s", "make -j2 all")
    assert (body(gateway)["command"], body(gateway)["yieldMs"]) == ("make -j2 all", 1000)
    assert "argv" not in body(gateway)
    assert body(gateway)["leftovers"] == "keep"


def test_exec_passes_every_option_on(outlast, gateway):
    gateway.will(answer(SESSION))
    line = "-b --timeout 2m --idle-timeout 30s -t --cols 100 --rows 40 -i -C sub -e A=1 -e B=2=3 --title T"
    line += " --label l --label m --allow-duplicate --as me --grace 1s --streams merged --leftovers kill x y"
    outlast("exec", *line.split())
    sent = body(gateway)
    assert sent.pop("callerEnv")
    assert sent == {
        "argv": ["x", "y"],
        "background": True,
        "timeoutSeconds": 120,
        "idleTimeoutSeconds": 30,
        "pty": True,
        "cols": 100,
        "rows": 40,
        "stdin": "pipe",
        "workdir": os.path.join(os.getcwd(), "sub"),
        "env": {"A": "1", "B": "2=3"},
        "title": "T",
        "labels": ["l", "m"],
        "allowDuplicate": True,
        "graceSeconds": 1,
        "streams": "merged",
        "leftovers": "kill",
    }
    assert b"Outlast-Requester: me" in gateway.seen[-1]


def test_exec_in_the_background_prints_the_id_alone(outlast, gateway):
    gateway.will(answer(SESSION))
    code, out, err = outlast("exec", "-b", "make")
    assert (code, out) == (0, "01abc\n")
    assert "outlast process wait 01abc" in err


def test_exec_that_yields_says_what_to_type_next(outlast, gateway):
    gateway.will(answer({**SESSION, "tail": "so far"}))
    code, out, _ = outlast("exec", "--yield", "1s", "make")
    assert code == 0
    assert out.startswith("so far\nstill running after 1.2 s: session 01abc, pid 7\n")
    for act in ("poll", "log -f", "wait", "kill"):
        assert f"outlast process {act} 01abc" in out


def test_exec_that_yields_and_ended_has_the_commands_code(outlast, gateway):
    gateway.will(answer(ENDED))
    assert outlast("exec", "--yield", "1s", "make")[:2] == (7, "hello\n")


def test_exec_names_options_that_came_too_late(outlast, gateway):
    failed = {**ENDED, "exitCode": None, "cause": "spawn_error", "note": "No such file", "output": ""}
    gateway.will(answer(failed))
    code, _, err = outlast("exec", "-b", "sleep 1; ls", "--yield", "1s")
    assert code == 127
    assert "the options of exec go before the command" in err


def test_exec_with_json_has_the_whole_result(outlast, gateway):
    gateway.will(answer(SESSION), chunked(frame(1, b"x") + frame(0, {"event": "ended", **ENDED})), answer(ENDED))
    code, out, err = outlast("exec", "--json", "make")
    assert (code, json.loads(out), err) == (7, ENDED, "")
    assert body(gateway) == {"since": 0}


def test_exec_tells_of_limits_notes_and_advice(outlast, gateway):
    timed_out = {
        **ENDED,
        "status": "timed_out",
        "exitCode": None,
        "exitSignal": "SIGTERM",
        "cause": "timeout",
    }
    gateway.will(
        answer({**SESSION, "existing": True, "advice": ["use cron"]}),
        chunked(frame(0, {"event": "ended", **timed_out, "note": "2 processes left behind"})),
    )
    code, _, err = outlast("exec", "make")
    assert code == 124
    for words in (
        "runs already as 01abc",
        "use cron",
        "timed_out: signal SIGTERM, timeout",
        "2 processes left",
    ):
        assert words in err


WRONG = [
    "exec",
    "exec -i --stdin-text x cat",
    "process wait",
    "process send-keys id",
    "process log id --tail 1 --bytes 0:1",
    "process log id -f --bytes 0:1",
    "process poll id --timeout 11m",
    "process wait id --timeout 25h",
    "process attach id",
    "process attach id --detach-key Up",
    "process signal id HUP --tree --foreground",
    "process paste id x --bracketed --plain",
    "tool []",
]


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_be_right_is_refused_before_anybody_is_asked(outlast, gateway, line):
    code, out, err = outlast(*line.split())
    assert code == 2
    assert err.startswith("outlast: ") or json.loads(out)["error"]
    assert gateway.seen == []


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"y\n", b"y\n"),
        (r"a\tb\\n\e[A\x00\xFF\0", b"a\tb\\n\x1b[A\x00\xff\0"),
        (r"C:\dir \q \x1 \x", b"C:\\dir \\q \\x1 \\x"),
        ("ü\\", b"\xc3\xbc\\"),
    ],
)
def test_backslashes_in_what_is_written(outlast, gateway, text, data):
    import base64

    gateway.will(answer({"accepted": 1}), answer({"accepted": 1}))
    assert outlast("process", "write", "id", text)[0] == 0
    assert base64.b64decode(body(gateway)["dataBase64"]) == data
    assert outlast("process", "write", "id", "-l", text)[0] == 0
    assert base64.b64decode(body(gateway)["dataBase64"]) == text.encode()


ACTIONS = [
    ("send-keys id C-c Enter -l", "send-keys", {"keys": ["C-c", "Enter"], "literal": True}),
    ("paste id text --plain", "paste", {"text": "text", "bracketed": False}),
    ("submit id text", "submit", {"text": "text"}),
    ("submit id", "submit", {}),
    ("resize id 100 30", "resize", {"cols": 100, "rows": 30}),
    ("signal id HUP --foreground", "signal", {"signal": "HUP", "group": "foreground"}),
    ("signal id 1 --tree", "signal", {"signal": "1", "tree": True}),
    ("kill id --signal INT --grace 0", "kill", {"signal": "INT", "graceSeconds": 0}),
    ("poll id --since 5 --reader me --timeout 3s --max-bytes 9 --raw", "poll", None),
]


@pytest.mark.parametrize(("line", "action", "sent"), ACTIONS)
def test_actions_send_what_was_asked(outlast, gateway, line, action, sent):
    gateway.will(answer(ENDED))
    assert outlast("process", *line.split())[0] == 0
    assert gateway.seen[-1].startswith(f"POST /v1/sessions/id/{action} ".encode())
    if action == "poll":
        sent = {"since": 5, "reader": "me", "timeoutMs": 3000, "maxBytes": 9, "raw": True}
    assert body(gateway) == sent


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"met": True, "timedOut": False}, 0),
        ({"met": False, "timedOut": True}, 124),
        ({"met": False, "timedOut": False}, 1),
    ],
)
def test_wait_ends_as_the_wait_did(outlast, gateway, result, code):
    gateway.will(answer({**result, "results": [ENDED]}))
    assert outlast("process", "wait", "a", "b", "--pattern", "re", "--all")[0] == code
    sent = body(gateway)
    assert (sent["for"], sent["mode"], sent["sessionIds"]) == ("pattern", "all", ["a", "b"])


def test_wait_goes_on_when_the_gateway_leaves(outlast, gateway):
    gateway.will(
        answer({"met": False, "timedOut": False, "results": [SESSION]}),
        None,
        answer({"met": True, "timedOut": False, "results": [ENDED]}),
    )
    assert outlast("process", "wait", "id")[0] == 0
    assert len(gateway.seen) == 3


def test_several_conditions_wait_for_any(outlast, gateway):
    gateway.will(answer({"met": True, "timedOut": False, "results": [ENDED]}))
    outlast("process", "wait", "id", "--port", "80", "--quiet", "5s", "--timeout", "1m")
    sent = body(gateway)
    assert (sent["for"], sent["port"], sent["quietSeconds"]) == ("any", 80, 5)
    assert 55_000 < sent["timeoutMs"] <= 60_000


def test_log_is_printed_as_text(outlast, gateway):
    gateway.will(answer({"text": "a\nb", "truncated": None, "bytes": {"start": 0, "end": 3}}))
    assert outlast("process", "log", "id", "--tail", "2", "--stream", "stderr")[:2] == (0, "a\nb\n")
    assert gateway.seen[0].startswith(b"GET /v1/sessions/id/log?tail=2&stream=stderr ")


def test_raw_bytes_are_printed_as_they_are(outlast, gateway):
    gateway.will(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x00\xff\x1b")
    code, out, _ = outlast("process", "log", "id", "--bytes", "5:8", "--raw")
    assert (code, out.encode("utf-8", "surrogateescape")) == (0, b"\x00\xff\x1b")
    assert gateway.seen[0].startswith(b"GET /v1/sessions/id/output?start=5&end=8 ")


FIRST = {"sessionId": "01abc", "text": "", "truncated": None, "bytes": {"start": 4, "end": 9}}


def test_log_follows_from_the_first_line_shown(outlast, gateway):
    data = frame(1, b"a\x1b[3") + frame(2, b"1mb\n") + frame(0, {"event": "ended", **ENDED})
    gateway.will(answer(FIRST), chunked(data))
    assert outlast("process", "log", "01a", "-f", "-n", "5")[:2] == (0, "ab\n")
    assert gateway.seen[1].startswith(b"GET /v1/sessions/01abc/stream?from=4&frames=1 ")


def test_log_follows_as_json_lines(outlast, gateway):
    gateway.will(answer(FIRST), chunked(frame(2, b"ab") + frame(0, {"event": "ended", **ENDED})))
    rows = [json.loads(line) for line in outlast("process", "log", "01a", "-f", "--json")[1].splitlines()]
    assert rows[0] == {"event": "output", "stream": "stderr", "start": 4, "end": 6, "text": "ab"}
    assert rows[1]["exitCode"] == 7


def test_a_tool_call_gets_our_place_and_environment(outlast, gateway):
    gateway.will(answer(ENDED), answer(ENDED), answer(ENDED))
    assert outlast("tool", '{"tool":"exec","command":"x","workdir":"sub"}')[0] == 0
    assert body(gateway)["workdir"] == os.path.join(os.getcwd(), "sub")
    assert body(gateway)["callerEnv"]
    outlast("tool", '{"tool":"flow","action":"start","name":"x"}')
    assert body(gateway)["workdir"] == os.getcwd()
    assert body(gateway)["callerEnv"]
    outlast("tool", '{"tool":"process","action":"list"}')
    assert body(gateway) == {"tool": "process", "action": "list"}


def test_kill_lists_what_it_ended(outlast, gateway):
    ended = [{"pid": 9, "name": "sleep\n", "how": "SIGKILL"}]
    survivors = [{"pid": 10, "name": "sudo", "why": "not permitted"}]
    gateway.will(answer({**ENDED, "ended": ended, "survivors": survivors}))
    _, out, err = outlast("process", "kill", "id")
    assert out == "SIGKILL         9 sleep\\n\n"
    assert "still there: 10 sudo: not permitted" in err


def test_status_says_that_the_gateway_is_down(outlast, gateway, home):
    gateway.close()
    os.unlink(home.paths.socket)
    code, out, _ = outlast("status", "--json")
    assert (code, json.loads(out)["running"]) == (0, False)
    assert outlast("gateway", "status")[0] == 3
    assert outlast("gateway", "stop")[1] == "no gateway is running\n"
    assert not os.path.exists(home.paths.log)


def test_a_closed_pipe_is_no_traceback(tmp_path):
    line = f"{sys.executable} -m outlast process --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("words", ["process --help", "config path", "config show --json"])
def test_output_that_finds_no_room_is_one_line_and_no_traceback(words):
    line = f"{sys.executable} -m outlast {words} > /dev/full; echo $?"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == f"{Refused.exit_code}\n"
    said = "" if "--json" in words else "outlast: cannot write the output: No space left on device\n"
    assert done.stderr == said


def test_interrupted_is_130(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupt)
    assert cli.run(["version"]) == 130
    assert capsys.readouterr().err == ""
