"""The commands of flows, from a line to an exit code, with a scripted gateway behind them."""

import json
import os

import pytest
from cli_fakes import answer, body
from cli_flows import ASKED, BLOCKED, DONE, FAILED, FLOW, HOSTILE, SHOWN, STEP, page, seen
from cli_ledger import path_of

GOOD = "name: brief\nargs:\n  tag: {default: family}\nsteps:\n  - id: fetch\n    run: echo mail\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory of its own to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def conflict(code="not_now", message="flow f01flow is running: it cannot be retried"):
    return answer({"error": {"code": code, "message": message, "hint": "possible now: cancel"}}, 409)


# starting


def test_a_file_travels_as_its_text_with_arguments_as_words(outlast, gateway, here):
    (here / "brief.flow.yaml").write_text(GOOD)
    gateway.will(answer(FLOW))
    code, out, err = outlast(
        "flow", "run", "brief.flow.yaml", "tag=work", "--arg", "n=1", "--detach", "--label", "nightly",
        "--deadline", "2h", "--retry", "3", "--concurrency-key", "k", "--env", "A=b",
    )  # fmt: skip
    assert (code, out) == (0, "f01flow\n")
    assert "outlast flow watch f01flow" in err
    assert path_of(gateway) == "/v1/flows"
    sent = body(gateway)
    assert sent["file"] == {"name": "brief.flow.yaml", "text": GOOD}
    assert (sent["args"], sent["kwargs"], sent["text"]) == (["tag=work"], {"n": "1"}, True)
    assert (sent["label"], sent["deadlineSeconds"], sent["retries"], sent["concurrencyKey"]) == (
        "nightly",
        7200,
        3,
        "k",
    )
    assert (sent["env"], sent["workdir"], "PATH" in sent["callerEnv"]) == ({"A": "b"}, str(here), True)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("release.py:release", {"handler": "{here}/release.py:release"}),
        ("release.py", {"handler": "{here}/release.py"}),
        ("/abs/release.py:release", {"handler": "/abs/release.py:release"}),
        ("package.module:release", {"handler": "package.module:release"}),
        ("release", {"name": "release"}),
    ],
)
def test_what_a_target_means(outlast, gateway, here, target, expected):
    gateway.will(answer(FLOW))
    assert outlast("flow", "start", target)[0] == 0
    sent = body(gateway)
    given = {name: sent[name] for name in ("file", "handler", "name") if name in sent}
    assert given == {name: value.replace("{here}", str(here)) for name, value in expected.items()}


def test_a_file_without_an_ending_is_a_file_where_there_is_one(outlast, gateway, here):
    (here / "brief").write_text(GOOD)
    gateway.will(answer(FLOW))
    outlast("flow", "start", "brief")
    assert body(gateway)["file"]["text"] == GOOD


def test_arguments_may_be_json(outlast, gateway, here):
    gateway.will(answer(FLOW), answer(FLOW))
    outlast("flow", "start", "release", "--json-args", '{"n": 1}')
    assert (body(gateway)["kwargs"], "text" in body(gateway)) == ({"n": 1}, False)
    outlast("flow", "start", "release", "--json-args", "[1, null]")
    assert body(gateway)["args"] == [1, None]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["release", "--json-args", "{"], "--json-args: not JSON"),
        (["release", "--json-args", "7"], "object or list"),
        (["release", "x", "--json-args", "[]"], "does not go with other arguments"),
        (["release", "--arg", "a=1", "--arg", "a=2"], "--arg a is given twice"),
        (["release", "x\udcff"], "valid UTF-8"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_before_anybody_is_asked(outlast, gateway, here, words, named):
    code, out, err = outlast("flow", "run", *words)
    assert (code, out, gateway.seen) == (2, "", [])
    assert named in err


def test_a_file_that_cannot_be_read_is_said_so(outlast, gateway, here):
    assert outlast("flow", "run", "none.yaml")[0] == 3
    (here / "bad.yaml").write_bytes(b"name: x\n# \xff\n")
    code, _, err = outlast("flow", "run", "bad.yaml")
    assert (code, "bad.yaml:2:1: the file is not UTF-8" in err) == (2, True)
    (here / "long.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    assert outlast("flow", "run", "long.yaml")[0] == 2
    os.mkdir(here / "dir.yaml")
    assert outlast("flow", "run", "dir.yaml")[0] == 5


def test_every_problem_of_a_file_is_a_line(outlast, gateway, here):
    (here / "bad.yaml").write_text("steps: 1\n")
    message = "bad.yaml:1:8: steps is a list\nbad.yaml:2:1: \x1b[31mmore"
    gateway.will(answer({"error": {"code": "bad_flow_file", "message": message, "hint": "mend the file"}}, 400))
    code, _, err = outlast("flow", "run", "bad.yaml")
    assert code == 2
    assert err.splitlines()[:3] == [
        "outlast: bad.yaml:1:8: steps is a list", "  bad.yaml:2:1: \\x1b[31mmore", "  mend the file",
    ]  # fmt: skip


# staying


def test_a_run_stays_to_the_end_and_gives_the_result_alone(outlast, gateway, here):
    gateway.will(answer(FLOW), seen(FLOW, mark="a"), seen(FLOW, STEP, mark="b", after=0), seen(DONE, mark="c", after=0))
    code, out, err = outlast("flow", "run", "release")
    assert (code, out) == (0, "https://x\n")
    assert err == "outlast: flow f01flow\n"
    assert path_of(gateway, 1) == "/v1/flows/f01flow/watch?after=-1&timeoutMs=600000"
    assert path_of(gateway, 2) == "/v1/flows/f01flow/watch?mark=a&after=-1&timeoutMs=600000"
    assert path_of(gateway, 3) == "/v1/flows/f01flow/watch?mark=b&after=0&timeoutMs=600000"


@pytest.mark.parametrize(
    ("flow", "code"),
    [
        (DONE, 0), (FAILED, 1), ({**FAILED, "cause": "deadline"}, 124), ({**DONE, "status": "cancelled"}, 125),
        ({**DONE, "status": "lost"}, 125), (BLOCKED, 4),
    ],
)  # fmt: skip
def test_the_exit_code_says_how_it_ended(outlast, gateway, here, flow, code):
    gateway.will(answer(FLOW), seen(flow))
    ended, out, err = outlast("flow", "run", "release")
    assert (ended, bool(out)) == (code, code == 0)
    if code:
        assert f"f01flow {flow['status']}" in err
    if flow.get("followUp"):
        assert flow["followUp"] in err


@pytest.mark.parametrize(
    ("result", "shown"),
    [(None, ""), ("text", "text\n"), ("line\n", "line\n"), ({"a": [1]}, '{"a":[1]}\n'), (7, "7\n"), (False, "false\n")],
)
def test_text_is_printed_as_it_is_and_everything_else_as_json(outlast, gateway, here, result, shown):
    gateway.will(answer(FLOW), seen({**DONE, "result": result}))
    assert outlast("flow", "run", "release")[1] == shown


def test_a_question_is_shown_once_with_the_commands_that_answer_it(outlast, gateway, here):
    waiting = {**FLOW, "status": "waiting"}
    gateway.will(
        answer(FLOW), seen(waiting, mark="a", approvals=[ASKED]), seen(waiting, mark="b", approvals=[ASKED]),
        seen(DONE, mark="c"),
    )  # fmt: skip
    code, _, err = outlast("flow", "run", "release")
    assert code == 0
    assert err.count("waits for an answer: Ship\\x07 it?") == 1
    assert "outlast approvals approve a01   (or: outlast approvals reject a01)" in err


def test_what_keeps_a_flow_from_being_begun_is_said_once(outlast, gateway, here):
    queued = {**FLOW, "status": "queued"}
    why = {
        "step": None,
        "words": "its program cannot be served: no",
        "until": None,
        "command": "outlast process log s1",
    }
    gateway.will(answer(queued), seen(queued, mark="a", waits=[why]), seen(queued, mark="b", waits=[why]), seen(DONE))
    assert outlast("flow", "run", "release")[2].count("its program cannot be served: no") == 1


def test_a_run_as_json_is_its_end_and_a_watch_every_change(outlast, gateway, here):
    gateway.will(answer(FLOW), seen(FLOW, mark="a"), seen(DONE, mark="b"))
    code, out, err = outlast("flow", "run", "release", "--json")
    assert (code, json.loads(out)["status"], err) == (0, "succeeded", "")
    gateway.will(answer(SHOWN), seen(FLOW, mark="a"), seen(DONE, mark="b"))
    code, out, err = outlast("flow", "watch", "f01", "--json")
    assert (code, [json.loads(line)["flow"]["status"] for line in out.splitlines()]) == (0, ["running", "succeeded"])
    assert err == ""


def test_a_watch_leaves_when_its_time_is_over(outlast, gateway):
    gateway.will(answer(SHOWN), *[seen(FLOW, mark="a")] * 100)
    code, out, err = outlast("flow", "watch", "f01", "--timeout", "1ms")
    assert (code, out) == (124, "")
    assert "has not ended" in err


def test_a_watch_goes_on_where_a_gateway_was_restarted(outlast, gateway, here):
    gateway.will(answer(FLOW), seen(FLOW, mark="a"), None, seen(DONE, mark="b"))
    assert outlast("flow", "run", "release")[:2] == (0, "https://x\n")
    assert "mark=a" in path_of(gateway)


# looking


def test_flows_are_listed_page_by_page(outlast, gateway):
    gateway.will(page(FLOW, {**BLOCKED, "flowId": "f02"}, HOSTILE, after="c1"))
    code, out, err = outlast("flow", "--status", "running,blocked", "--mode", "program", "--name", "r", "--limit", "3")
    assert code == 0
    assert path_of(gateway) == "/v1/flows?status=running%2Cblocked&mode=program&name=r&limit=3"
    lines = out.splitlines()
    assert lines[0].split() == ["FLOW", "STATUS", "AGE", "TIME", "DONE", "WHAT"]
    assert "3/7" in lines[1] and "release [nightly]: ship\\x1b[31m 1.2" in lines[1]
    assert "(on record is step 'a', but the program now asks for 'b')" in lines[2]
    assert "\x1b" not in out and "\u202e" not in out and max(map(len, lines)) < 700
    assert "--cursor c1" in err
    gateway.will(page(FLOW, after="c1"), page(FLOW))
    assert outlast("flow", "list", "--all")[1].count("f01flow") == 2
    gateway.will(page(FLOW, after="c1"), page(FLOW))
    assert len(json.loads(outlast("flow", "list", "--all", "--json")[1])["flows"]) == 2
    gateway.will(page())
    assert outlast("flow", "list")[2] == "outlast: no flows\n"


def test_everything_about_a_flow_is_shown(outlast, gateway):
    gateway.will(answer(SHOWN))
    code, out, err = outlast("flow", "show", "f01")
    assert code == 0
    assert path_of(gateway) == "/v1/flows/f01"
    assert "waits         go waits for signal 'go'\n" in out
    assert "outlast flow signal f01flow go" in out
    assert "  build  run succeeded 2 s  t01task\n" in out
    assert '  plan  function succeeded 2 s  = { "a": 1 }\n' in out
    assert "progress      3/7 steps\n" in out
    assert "early" in out and "t02other  running  x" in out and "f02child" in out
    assert out.count("t01task") == 1
    assert "\x1b" not in out
    assert "--limit 1000" in err
    gateway.will(answer({**SHOWN, **BLOCKED}))
    assert "to go on      outlast flow retry f01flow --from a\n" in outlast("flow", "show", "f01")[1]


def test_a_flow_is_drawn(outlast, gateway):
    graph = {"flowId": "f01flow", "name": "r", "status": "running", "nodes": [], "edges": [], "text": "a\x1b\n└─ b\n"}
    gateway.will(answer(graph), answer(graph), answer(graph))
    assert outlast("flow", "show", "f01", "--graph")[1] == "a\\x1b\n└─ b\n"
    assert path_of(gateway) == "/v1/flows/f01/graph?format=text"
    outlast("flow", "show", "--graph=mermaid", "f01")
    assert path_of(gateway) == "/v1/flows/f01/graph?format=mermaid"
    assert json.loads(outlast("flow", "show", "f01", "--graph=json")[1]) == graph


def test_looking_needs_no_gateway(down):
    code, out, _, asked = down("flow", "list", answers=[{"flows": [FLOW], "next": None}])
    assert (code, asked[0][0]) == (0, "flow.list")
    assert "f01flow" in out
    code, _, _, asked = down("flow", "show", "f01", answers=[SHOWN])
    assert (code, asked[0][:2]) == (0, ("flow.show", "f01"))
    code, _, _, asked = down("flow", "log", "f01", answers=[{"flowId": "f", "events": [], "next": None, "ended": True}])
    assert (code, asked[0][:2]) == (0, ("flow.events", "f01"))


EVENT = {
    "eventId": 5,
    "flowId": "f01flow",
    "at": "2026-11-23T10:00:00.000Z",
    "verb": "wait",
    "status": "waiting",
    "step": "go",
    "data": {"claimId": "k1", "worker": "w\x1b"},
}


def lines(*events, after=None, ended=False):
    return answer({"flowId": "f01flow", "events": list(events), "next": after, "ended": ended})


def test_the_history_is_shown_and_followed_to_its_end(outlast, gateway):
    gateway.will(lines(EVENT, after=5), lines({**EVENT, "eventId": 6}))
    code, out, _ = outlast("flow", "log", "f01")
    assert (code, len(out.splitlines())) == (0, 2)
    assert out.splitlines()[0].endswith("wait         waiting    step go, worker: w\\x1b")
    gateway.will(lines(EVENT), lines({**EVENT, "eventId": 6}), lines({**EVENT, "eventId": 7}, ended=True))
    code, out, _ = outlast("flow", "log", "f01", "-f", "--json")
    assert (code, [json.loads(line)["eventId"] for line in out.splitlines()]) == (0, [5, 6, 7])
    assert path_of(gateway) == "/v1/flows/f01/events?after=6&limit=500&timeoutMs=600000"
    gateway.will(lines())
    assert outlast("flow", "log", "f01")[2] == "outlast: no events\n"


# acts


def test_a_signal_carries_json(outlast, gateway):
    sent = {"signalId": 1, "flowId": "f01flow", "name": "go", "existing": False}
    gateway.will(answer(sent), answer(sent), answer({**sent, "existing": True}))
    assert outlast("flow", "signal", "f01", "go")[:2] == (0, "f01flow signal go\n")
    assert body(gateway) == {"name": "go", "payload": None}
    outlast("flow", "signal", "f01", "go", '{"a": [1]}', "--key", "k")
    assert body(gateway) == {"name": "go", "payload": {"a": [1]}, "key": "k"}
    assert "was sent before" in outlast("flow", "signal", "f01", "go", "true")[2]
    code, _, err = outlast("flow", "signal", "f01", "go", "yes")
    assert (code, "'\"in quotes\"'" in err) == (2, True)


def test_flows_are_cancelled_also_after_one_that_could_not_be(outlast, gateway):
    ended = {**DONE, "status": "cancelled", "cause": "operator"}
    gateway.will(answer(ended))
    code, out, _ = outlast("flow", "cancel", "f01", "--reason", "no", "--force", "--timeout", "2s")
    assert (code, out) == (0, "f01flow cancelled: operator after 12 s, revision 2\n")
    assert body(gateway) == {"reason": "no", "force": True, "timeoutMs": 2000}
    gateway.will(conflict("flow_ended", "it has ended"), answer(ended))
    code, out, err = outlast("flow", "cancel", "f01", "f02")
    assert (code, "f01: it has ended" in err, "cancelled" in out) == (4, True, True)
    gateway.will(conflict("flow_ended", "it has ended"), answer(ended))
    found = json.loads(outlast("flow", "cancel", "f01", "f02", "--json")[1])
    assert (found["errors"][0]["code"], len(found["flows"])) == ("flow_ended", 1)
    assert outlast("flow", "cancel", "f01", "--timeout", "11m")[0] == 2


def test_flows_are_taken_up_again(outlast, gateway):
    queued = {**FLOW, "status": "queued"}
    gateway.will(answer(queued), answer(queued), answer({**queued, "flowId": "f02"}), conflict())
    assert outlast("flow", "retry", "f01", "--from", "build#2")[0] == 0
    assert (path_of(gateway), body(gateway)) == ("/v1/flows/f01/retry", {"fromStep": "build#2"})
    outlast("flow", "resume", "f01", "--revision", "3", "--state", '{"a": 1}', "--step", "x")
    assert body(gateway) == {"revision": 3, "state": {"a": 1}, "step": "x"}
    assert outlast("flow", "fork", "f01", "--from", "build")[1] == "f02\n"
    assert outlast("flow", "fork", "f01")[0] == 2
    code, _, err = outlast("flow", "retry", "f01")
    assert (code, "possible now: cancel" in err) == (4, True)


def test_a_controller_moves_its_flow(outlast, gateway):
    managed = {**FLOW, "mode": "managed"}
    gateway.will(*[answer(managed)] * 7)
    assert outlast("flow", "create", "deploy", "--goal", "g", "--state", '{"a": 1}')[1] == "f01flow\n"
    assert (path_of(gateway), body(gateway)) == (
        "/v1/flows/managed",
        {"name": "deploy", "goal": "g", "state": {"a": 1}},
    )
    for words, path, sent in (
        (["link", "f01", "t01"], "link", {"taskId": "t01"}),
        (["wait", "f01", "--for", "review", "--until", "2026-12-01T10:00Z"], "set-waiting",
         {"waitFor": "review", "until": "2026-12-01T10:00Z"}),
        (["wait", "f01", "--blocked", "no budget"], "set-waiting", {"blocked": "no budget"}),
        (["finish", "f01", "--result", "7", "--state", "{}"], "finish", {"result": 7, "state": {}}),
        (["fail", "f01", "--error", "no"], "fail", {"error": "no"}),
        (["request-cancel", "f01", "--reason", "r"], "request-cancel", {"reason": "r"}),
    ):  # fmt: skip
        assert outlast("flow", *words, "--revision", "3")[0] == 0
        assert (path_of(gateway), body(gateway)) == (f"/v1/flows/f01/{path}", {"revision": 3, **sent})
        code, _, err = outlast("flow", *words)
        assert (code, "at which revision?" in err) == (2, True)


def test_a_controller_is_asked_for_what_is_missing(outlast, gateway):
    for words, named in (
        (["wait", "f01", "--revision", "1"], "--for or --blocked"),
        (["wait", "f01", "--revision", "1", "--for", "x", "--blocked", "y"], "--for or --blocked"),
        (["fail", "f01", "--revision", "1"], "--error"),
        (["finish", "f01", "--revision", "1", "--result", "x"], "not JSON"),
        (["create", "x", "--state", "[]"], "--state: must be a JSON object"),
    ):
        code, _, err = outlast("flow", *words)
        assert (code, named in err) == (2, True), words
    assert gateway.seen == []


# files


def test_a_check_names_every_problem_with_its_place_and_asks_no_gateway(outlast, here):
    (here / "good.yaml").write_text(GOOD)
    (here / "bad.yaml").write_text(GOOD.replace("run:", "rum:"))
    assert outlast("flow", "check", "good.yaml") == (0, "", "outlast: nothing is wrong with it\n")
    code, out, _ = outlast("flow", "check", "good.yaml", "bad.yaml", "none.yaml")
    assert code == 2
    assert "bad.yaml:6:5: 'rum' is no field of a step (did you mean run?)" in out.splitlines()
    assert "none.yaml" in out.splitlines()[-1]
    code, out, _ = outlast("flow", "check", "bad.yaml", "--json")
    assert (code, json.loads(out)["files"][0]["problems"][0]["line"]) == (2, 5)


AGENTS = """
name: review
steps:
  - id: look
    agent: coder
    message: look at it
  - id: tidy
    agent: nobody
    message: tidy up
"""


def test_a_check_notes_agents_that_are_not_configured_here(outlast, gateway, home, here):
    """The file may be for another machine, so nothing is wrong with it."""
    home.agents = {"coder": None}
    (here / "good.yaml").write_text(AGENTS)
    code, out, err = outlast("flow", "check", "good.yaml")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "outlast: good.yaml: step tidy needs agent 'nobody', which is not configured here",
        "outlast: nothing is wrong with it",
    ]
    [checked] = json.loads(outlast("flow", "check", "good.yaml", "--json")[1])["files"]
    assert (checked["ok"], len(checked["notes"])) == (True, 1)


def test_the_schema_is_printed_for_editors(outlast):
    code, out, _ = outlast("flow", "schema")
    assert (code, json.loads(out)["type"], len(out.splitlines()) > 10) == (0, "object", True)
    assert len(outlast("flow", "schema", "--json")[1].splitlines()) == 1
