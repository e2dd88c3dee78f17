"""The commands of the ledger, from a line to an exit code, with a scripted gateway behind them."""

import json
import os

import pytest
from cli_fakes import answer, body, chunked, frame
from cli_ledger import (
    CLAIMED,
    CREATED,
    DONE,
    ENDED,
    FAILED,
    FIRST,
    HOSTILE,
    PROGRESS,
    QUEUED,
    TASK,
    history,
    news,
    path_of,
    row_of,
)

# run, and exec --detach


@pytest.mark.parametrize("words", [("run",), ("exec", "--detach"), ("exec", "-b", "--detach")])
def test_a_recorded_command_prints_its_id_alone(outlast, gateway, words):
    gateway.will(answer(QUEUED))
    code, out, err = outlast(*words, "--label", "nightly", "--", "./build.sh")
    assert (code, out) == (0, "01task\n")
    for act in ("show", "log -f", "wait", "cancel"):
        assert f"outlast tasks {act} 01task" in err
    sent = body(gateway)
    assert (sent["command"], sent["detach"], sent["labels"]) == ("./build.sh", True, ["nightly"])
    assert (sent["leftovers"], sent["workdir"]) == ("keep", os.getcwd())
    assert sent["callerEnv"]["PATH"] == os.environ["PATH"]
    assert {"background", "yieldMs", "follow"} & set(sent) == set()


def test_a_recorded_command_with_json_is_the_task(outlast, gateway):
    gateway.will(answer(QUEUED))
    code, out, err = outlast("run", "--json", "x")
    assert (code, json.loads(out), err) == (0, QUEUED, "")


def test_every_option_of_a_task_is_passed_on(outlast, gateway):
    line = "--queue q --priority -5 --retry 3 --retry-delay 1s --retry-delay-max 1m --deadline 2h --delay 5s"
    line += " --dedupe K --notify silent --parent 01p --conversation agent:a:main --node any x y"
    wanted = {
        "queue": "q",
        "priority": -5,
        "retries": 3,
        "retryDelaySeconds": 1,
        "retryDelayMaxSeconds": 60,
        "deadlineSeconds": 7200,
        "delaySeconds": 5,
        "dedupeKey": "K",
        "notify": "silent",
        "parentId": "01p",
        "conversation": "agent:a:main",
        "node": "any",
        "argv": ["x", "y"],
    }
    for words in (("run",), ("exec", "--detach")):
        gateway.will(answer(QUEUED))
        assert outlast(*words, *line.split())[0] == 0
        assert body(gateway).items() >= wanted.items()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exec --queue q ls", "--queue needs --detach"),
        ("exec --retry-delay 1s -b ls", "--retry-delay needs --detach"),
        ("exec --wait ls", "--wait needs --detach"),
        ("exec --detach --yield 1s ls", "--yield does not go with --detach"),
        ("exec --detach --ready-port 80 ls", "--ready-port does not go with --detach"),
        ("run", "missing argument"),
        ("run -i --stdin-text x cat", "exclude each other"),
        ("tasks report progress --task a", "neither a percentage nor a --message"),
        ("tasks report progress 5", "OUTLAST_TASK_ID is not set"),
        ("tasks report done", "OUTLAST_TASK_ID is not set"),
        ("tasks log a --tail 1 --bytes 0:1", "exclude each other"),
        ("tasks log a -f --limit 1", "--follow goes on to the end"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anybody_is_asked(outlast, gateway, line, words):
    code, out, err = outlast(*line.split())
    assert (code, out) == (2, "")
    assert words in err
    assert gateway.seen == []


def test_an_older_gateway_is_named(outlast, gateway):
    gateway.will(answer({"sessionId": "s1", "status": "running"}))
    code, _, err = outlast("run", "x")
    assert code == 6
    assert "outlast gateway restart" in err


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"status": "failed", "exitCode": 7}, 7),
        ({"status": "failed", "exitSignal": "SIGSEGV"}, 139),
        ({"status": "timed_out"}, 124),
        ({"status": "succeeded"}, 0),
        ({"status": "failed"}, 1),
        ({"status": "failed", "cause": "spawn_error"}, 127),
        ({"status": "cancelled"}, 125),
        ({"status": "cancelled", "cause": "deadline"}, 124),
        ({"status": "lost"}, 125),
    ],
)
def test_run_that_waits_ends_as_the_command_did(outlast, gateway, end, code):
    ended = {**TASK, "exitCode": None, "cause": None, **end}
    gateway.will(answer(QUEUED), answer({"met": True, "timedOut": False, "tasks": [ended]}))
    found, out, err = outlast("run", "--wait", "--json", "x")
    assert (found, json.loads(out), err) == (code, ended, "")
    assert body(gateway).items() >= {"lookups": ["01task"], "mode": "all"}.items()


def test_run_that_waits_prints_the_end_as_json(outlast, gateway):
    gateway.will(answer(QUEUED), answer({"met": True, "timedOut": False, "tasks": [DONE]}))
    code, out, _ = outlast("run", "--wait", "--json", "x")
    assert (code, json.loads(out)) == (0, DONE)


def test_an_existing_task_and_advice_are_told(outlast, gateway):
    gateway.will(answer({**TASK, "existing": True, "advice": ["use cron\x1b"]}))
    _, out, err = outlast("run", "x")
    assert out == "01task\n"
    assert "on record already" in err
    assert "use cron\\x1b" in err


# looking


def test_the_list_asks_for_what_the_filters_say(outlast, gateway):
    gateway.will(answer({"tasks": [], "next": None}))
    line = "--status failed,lost --status running --runtime cli --owner o --label l --conversation c --flow f"
    line += " --search s --dismissed"
    assert outlast("tasks", *line.split(), "--since", "2026-11-23T10:00:00Z", "--limit", "5", "--cursor", "c")[0] == 0
    assert path_of(gateway) == (
        "/v1/tasks?status=failed%2Clost%2Crunning&runtime=cli&owner=o&label=l&conversation=c&flow=f&search=s"
        "&since=2026-11-23T10%3A00%3A00.000Z&dismissed=true&limit=5&cursor=c"
    )


def test_a_span_is_counted_back_from_now(outlast, gateway, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_795_428_000.5)
    gateway.will(answer({"tasks": [], "next": None}))
    outlast("tasks", "list", "--since", "2d")
    assert path_of(gateway).endswith("since=2026-11-21T10%3A00%3A00.500Z")


def test_the_list_is_an_aligned_table(outlast, gateway, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_795_428_060.0)  # a minute after the task was recorded
    gateway.will(answer({"tasks": [TASK, {**FAILED, "label": None, "attempt": 2, "attemptsMax": 3}], "next": "c7"}))
    code, out, err = outlast("tasks")
    assert code == 0
    assert out.splitlines() == [
        "TASK     STATUS   AGE     TIME  DONE  EXIT  WHAT",
        "01task   running  1m 00s  12 s  40 %  -     nightly: ./build.sh\\n\\x1b[31m",
        "01other  failed   1m 00s  12 s  40 %  7     ./build.sh\\n\\x1b[31m (try 2 of 3)",
    ]
    assert "--cursor c7" in err


def test_all_pages_are_one_table(outlast, gateway):
    gateway.will(answer({"tasks": [TASK] * 2, "next": "c1"}), answer({"tasks": [FAILED], "next": None}))
    _, out, err = outlast("tasks", "--all")
    assert [line.split()[0] for line in out.splitlines()] == ["TASK", "01task", "01task", "01other"]
    assert err == ""
    assert path_of(gateway, 0) == "/v1/tasks?limit=500"
    assert path_of(gateway, 1) == "/v1/tasks?limit=500&cursor=c1"


def test_all_pages_are_one_document(outlast, gateway):
    gateway.will(answer({"tasks": [TASK] * 2, "next": "c1"}), answer({"tasks": [DONE], "next": None}))
    assert json.loads(outlast("tasks", "--all", "--json")[1]) == {"tasks": [TASK, TASK, DONE], "next": None}
    gateway.will(answer({"tasks": [], "next": None}))
    assert json.loads(outlast("tasks", "--all", "--json")[1]) == {"tasks": [], "next": None}


@pytest.mark.parametrize("line", ["tasks", "tasks show x", "tasks children x", "run y", "tasks cancel x", "explain x"])
def test_hostile_text_is_shown_safely_and_briefly(outlast, gateway, line):
    """A label with escapes and of a megabyte must neither reach the terminal nor fill it."""
    row = {**HOSTILE, "error": HOSTILE["label"], "summary": HOSTILE["command"], "lines": ["\x1b[2J", "b"]}
    gateway.will(answer({**row, "tasks": [row], "next": None}))
    code, out, err = outlast(*line.split())
    assert code == 0
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert len(out + err) < 30_000


def test_show_says_everything(outlast, gateway):
    row = {
        **FAILED,
        "usage": {"userSeconds": 1.5, "systemSeconds": 0.25, "maxRssBytes": 2**20},
        "summary": "line one\nline \x1btwo\n",
        "detail": {"lookedFor": "a session"},
        "attemptsMax": 3,
    }
    gateway.will(answer(row))
    code, out, _ = outlast("tasks", "show", "agent:a/b")
    assert code == 0
    assert path_of(gateway) == "/v1/tasks/agent%3Aa%2Fb"
    for words in (
        "status        failed: exit code 7 after 12 s",
        "command       ./build.sh\\n\\x1b[31m",
        "error         no\\nway",
        "try           1 of 3",
        "used          1.5 s user, 0.25 s system, 1 MiB at most",
        "lookedFor     a session",
        "  line one\n  line \\x1btwo\n",
    ):
        assert words in out


def test_explain_prints_its_five_lines(outlast, gateway):
    lines = ["one", "two", "three", "four", "five"]
    gateway.will(answer({"lines": lines}))
    assert outlast("explain", "01t")[:2] == (0, "one\ntwo\nthree\nfour\nfive\n")
    assert path_of(gateway) == "/v1/explain/01t"


def test_the_history_is_read_to_its_end(outlast, gateway):
    gateway.will(history(CREATED, CLAIMED, after=2), history(ENDED))
    code, out, _ = outlast("tasks", "events", "01t")
    assert code == 0
    lines = [line.split()[2:] for line in out.splitlines()]
    assert lines == [["create", "queued"], ["claim", "running", "worker:", "w\\x1b"], ["fail", "failed", "exit"]]
    assert path_of(gateway) == "/v1/tasks/01t/events?after=2&limit=500"
    gateway.will(history(CREATED, CLAIMED, after=2), history(ENDED))
    whole = json.loads(outlast("tasks", "events", "01t", "--json")[1])
    assert whole == {"taskId": "01task", "events": [CREATED, CLAIMED, ENDED], "next": None}


def test_a_limited_history_says_how_to_go_on(outlast, gateway):
    gateway.will(history(CLAIMED, after=2))
    _, out, err = outlast("tasks", "events", "01t", "--after", "1", "--limit", "1")
    assert len(out.splitlines()) == 1
    assert "--after 2" in err
    assert path_of(gateway) == "/v1/tasks/01t/events?after=1&limit=1"


def other(number, verb):
    return {**row_of(number, verb, "running"), "taskId": "01another"}


def test_a_history_is_followed_to_the_end_through_a_break(outlast, gateway):
    """Each event once: those before, those between reading and listening, those after the stream broke off."""

    def breaks(conn):
        conn.sendall(news(other(4, "claim"), PROGRESS, end=False))
        return False

    gateway.will(
        history(CREATED),
        breaks,
        history(CLAIMED, PROGRESS),  # listening has begun: what came meanwhile
        news(ENDED),
        history(),
    )
    code, out, _ = outlast("tasks", "events", "01t", "-f", "--json")
    assert code == 0
    assert [json.loads(line)["eventId"] for line in out.splitlines()] == [1, 2, 5, 7]
    streams = [request for request in gateway.seen if request.startswith(b"GET /v1/events?tasks=1 ")]
    assert b"Last-Event-ID: 1\r\n" in streams[0]
    assert b"Last-Event-ID: 5\r\n" in streams[1]


def test_the_history_of_an_ended_task_needs_no_stream(outlast, gateway):
    gateway.will(history(CREATED, CLAIMED, ENDED))
    assert outlast("tasks", "events", "01t", "-f")[0] == 0
    assert len(gateway.seen) == 1


# waiting


WAITS = [
    ([DONE, DONE], {"met": True, "timedOut": False}, 0),
    ([DONE, FAILED], {"met": True, "timedOut": False}, 1),
    ([DONE, TASK], {"met": False, "timedOut": True}, 124),
]


@pytest.mark.parametrize(("tasks", "result", "code"), WAITS)
def test_wait_ends_as_the_tasks_did(outlast, gateway, tasks, result, code):
    gateway.will(answer(TASK), answer({**TASK, "taskId": "01other"}), answer({**result, "tasks": tasks}))
    found, _, err = outlast("tasks", "wait", "a", "b", "--timeout", "0")
    assert found == code
    assert "01task" in err
    assert body(gateway) == {"lookups": ["01task", "01other"], "mode": "all", "timeoutMs": 0}


def test_wait_for_any_counts_those_that_ended(outlast, gateway):
    gateway.will(answer(TASK), answer(TASK), answer({"met": True, "timedOut": False, "tasks": [TASK, DONE]}))
    assert outlast("tasks", "wait", "--any", "a", "b")[0] == 0
    assert body(gateway)["mode"] == "any"
    assert body(gateway)["lookups"] == ["01task"]


def test_wait_for_what_has_ended_asks_nothing_more(outlast, gateway):
    gateway.will(answer(DONE), answer(FAILED))
    code, out, _ = outlast("tasks", "wait", "a", "b", "--json")
    assert (code, json.loads(out)) == (1, {"met": True, "timedOut": False, "tasks": [DONE, FAILED]})


def test_wait_goes_on_when_the_gateway_leaves(outlast, gateway):
    """It crashes once, stops in order once, and once its time slice is over: none of this is the caller's affair."""
    gateway.will(
        answer(TASK),
        None,
        answer({"met": False, "timedOut": False, "tasks": [TASK]}),
        answer({"met": False, "timedOut": True, "tasks": [TASK]}),
        answer({"met": True, "timedOut": False, "tasks": [DONE]}),
    )
    assert outlast("tasks", "wait", "a")[0] == 0
    assert len(gateway.seen) == 5
    assert body(gateway)["lookups"] == ["01task"]


def test_wait_gives_up_on_a_gateway_that_leaves_again_and_again(outlast, gateway):
    gateway.will(answer(TASK), *[None] * 9)
    assert outlast("tasks", "wait", "a")[0] == 6
    assert len(gateway.seen) == 7


# output


def test_the_log_of_a_task_is_printed(outlast, gateway):
    gateway.will(answer({**FIRST, "note": "the output is gone: this is the summary"}))
    code, out, err = outlast("tasks", "log", "01t", "--tail", "2", "--stream", "stderr")
    assert (code, out) == (0, "a\nb\n")
    assert "this is the summary" in err
    assert path_of(gateway) == "/v1/tasks/01t/log?tail=2&stream=stderr"


def test_raw_bytes_come_from_the_session(outlast, gateway):
    gateway.will(answer(TASK), b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x00\xff\x1b")
    code, out, _ = outlast("tasks", "log", "01t", "--bytes", "5:8", "--raw")
    assert (code, out.encode("utf-8", "surrogateescape")) == (0, b"\x00\xff\x1b")
    assert path_of(gateway) == "/v1/sessions/s1/output?start=5&end=8"


SESSION = {"sessionId": "s1"}


NOT_STARTED = answer({"error": {"code": "not_found", "message": "no session s1", "hint": None}}, 404)


def followed(text):
    return chunked(frame(1, text) + frame(0, {"event": "ended", "status": "failed"}))


def test_a_log_is_followed_from_try_to_try(outlast, gateway):
    """Queued, claimed, first try fails, second try: the output of both, although no session existed at first."""
    first = {**FIRST, "text": ""}
    second = {**TASK, "sessionId": "s2", "attempt": 2}
    gateway.will(
        answer({**QUEUED, "sessionId": "s1"}),
        NOT_STARTED,
        news(CLAIMED, PROGRESS),
        answer(TASK),
        NOT_STARTED,
        answer(TASK),
        answer(SESSION),
        answer(SESSION),
        answer(first),
        followed(b"one\n"),
        news(),
        answer(second),
        answer(SESSION),
        answer(SESSION),
        answer({**first, "sessionId": "s2"}),
        followed(b"two\n"),
        news(),
        answer({**FAILED, "sessionId": "s2"}),
    )
    code, out, err = outlast("tasks", "log", "-f", "01t")
    assert (code, out) == (0, "one\ntwo\n")
    assert "try 2: session s2" in err
    assert "failed: exit code 7" in err


def test_a_try_that_was_over_before_it_was_looked_at_is_shown(outlast, gateway):
    """Between two tries a task has no session: what the first one printed must not be lost."""
    gateway.will(
        answer({**QUEUED, "sessionId": "s1"}),
        NOT_STARTED,
        news(CLAIMED),
        answer({**QUEUED, "sessionId": None}),
        answer(SESSION),
        answer(SESSION),
        answer({**FIRST, "text": ""}),
        followed(b"one\n"),
        news(),
        answer({**FAILED, "sessionId": None}),
    )
    assert outlast("tasks", "log", "-f", "01t")[:2] == (0, "one\n")


def test_what_has_no_output_is_said(outlast, gateway):
    gateway.will(answer({**TASK, "runtime": "external"}))
    code, _, err = outlast("tasks", "log", "01t", "--bytes", "0:", "--raw")
    assert code == 3
    assert "has no session" in err


def test_following_what_has_ended_prints_what_is_kept(outlast, gateway):
    gateway.will(answer(DONE), answer(FIRST))
    code, out, err = outlast("tasks", "log", "01t", "-f")
    assert (code, out) == (0, "a\nb\n")
    assert "01task succeeded: exit code 0 after 12 s" in err
