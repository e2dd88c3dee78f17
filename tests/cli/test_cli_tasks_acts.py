"""What is done to tasks, what is reported of them, and the care of the ledger; a scripted gateway behind it."""

import json
import os
import tracemalloc

import pytest
from cli_fakes import answer, body
from cli_ledger import CREATED, DONE, FAILED, QUEUED, TASK, audit, history, path_of, refusal, upkeep

from outlast.core.errors import BadInput

# acting


def test_acts_send_what_was_asked(outlast, gateway):
    acts = [
        ("cancel 01t --reason late --grace 2s", "cancel", {"reason": "late", "graceSeconds": 2}),
        ("dismiss 01t", "dismiss", {}),
        ("notify 01t silent", "notify", {"policy": "silent"}),
    ]
    for line, action, sent in acts:
        gateway.will(answer(FAILED))
        code, out, _ = outlast("tasks", *line.split())
        assert (code, path_of(gateway), body(gateway)) == (0, f"/v1/tasks/01t/{action}", sent)
        assert out.startswith("01other ")
        gateway.will(answer(FAILED))
        assert json.loads(outlast("tasks", *line.split(), "--json")[1]) == FAILED


def test_retry_prints_the_new_id_and_sends_our_environment(outlast, gateway):
    gateway.will(answer({**QUEUED, "taskId": "01new"}))
    code, out, err = outlast("tasks", "retry", "01t")
    assert (code, out) == (0, "01new\n")
    assert "outlast tasks wait 01new" in err
    assert body(gateway)["callerEnv"]["PATH"] == os.environ["PATH"]


def test_one_that_cannot_be_dealt_with_does_not_hold_up_the_others(outlast, gateway):
    gateway.will(answer(DONE), refusal("b\x1b"), answer(FAILED))
    code, out, err = outlast("tasks", "dismiss", "a", "b", "c")
    assert (code, out) == (4, "01task dismissed\n01other dismissed\n")
    assert err == "outlast: b: b\\x1b\n"
    gateway.will(answer(DONE), refusal())
    code, out, _ = outlast("tasks", "cancel", "a", "b", "--json")
    error = {"lookup": "b", "code": "not_ended", "message": "not ended", "hint": None}
    assert (code, json.loads(out)) == (4, {"tasks": [DONE], "errors": [error]})


def test_candidates_are_listed_one_a_line_and_safely(outlast, gateway):
    hint = "01a (queued x\x1b)\n01b (failed y)"
    gateway.will(answer({"error": {"code": "ambiguous", "message": "several begin with 01", "hint": hint}}, 400))
    code, _, err = outlast("tasks", "show", "01")
    assert (code, err) == (2, "outlast: several begin with 01\n  01a (queued x\\x1b)\n  01b (failed y)\n")


# reports


def test_outside_work_reports_in(outlast, gateway, monkeypatch):
    line = "--label ci --title T --kind job --dedupe K --notify silent --parent 01p --conversation c --deadline 1h"
    gateway.will(answer({**TASK, "taskId": "01ext"}))
    assert outlast("tasks", "report", "start", *line.split(), "--run-id", "r", "the build")[:2] == (0, "01ext\n")
    assert path_of(gateway) == "/v1/tasks/report"
    assert body(gateway) == {
        "label": "ci",
        "title": "T",
        "kind": "job",
        "dedupeKey": "K",
        "notify": "silent",
        "parentId": "01p",
        "conversation": "c",
        "deadlineSeconds": 3600,
        "runId": "r",
        "command": "the build",
    }
    monkeypatch.setenv("OUTLAST_TASK_ID", "01ext")
    gateway.will(answer(TASK), answer(TASK))
    assert outlast("tasks", "report", "progress", "40", "--message", "half") == (0, "", "")
    assert (path_of(gateway), body(gateway)) == ("/v1/tasks/01ext/report", {"progress": 40, "message": "half"})
    outlast("tasks", "report", "progress", "100%", "--task", "01x")
    assert (path_of(gateway), body(gateway)) == ("/v1/tasks/01x/report", {"progress": 100})


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("", {}),
        ("--exit-code 0", {"exitCode": 0}),
        ("--exit-code 3", {"exitCode": 3}),
        ("--error no", {"error": "no"}),
        ("--status cancelled --summary s", {"status": "cancelled", "summary": "s"}),
    ],
)
def test_the_end_is_reported(outlast, gateway, line, sent):
    gateway.will(answer(DONE))
    assert outlast("tasks", "report", "done", "--task", "01t", *line.split()) == (0, "", "")
    assert body(gateway) == {"done": True, **sent}


def test_a_report_that_came_too_late_is_said_to_be(outlast, gateway):
    gateway.will(answer({**DONE, "late": True}))
    code, _, err = outlast("tasks", "report", "done", "--task", "01t")
    assert code == 0
    assert "had succeeded already" in err


# care


def finding(severity="error", **more):
    found = {"code": "lost", "severity": severity, "ageSeconds": 90, "at": None, "taskId": "01t", "subject": "task"}
    return {**found, "message": "gone\x1b", "fix": "outlast tasks retry 01t", **more}


def test_an_audit_names_the_mend_and_fails_on_errors_only(outlast, gateway):
    gateway.will(answer(audit(finding(), error=1)), answer(audit(finding("warn"), warn=1)), answer(audit()))
    code, out, err = outlast("tasks", "audit", "--severity", "error", "--code", "lost", "--limit", "5")
    assert code == 1
    assert path_of(gateway) == "/v1/tasks/audit?severity=error&code=lost&limit=5"
    assert "01t" in out
    assert "gone\\x1b (1m 30s)\n" in out
    assert "outlast tasks retry 01t" in out
    assert "1 error" in err
    assert outlast("tasks", "audit")[0] == 0
    assert outlast("tasks", "audit")[2] == "outlast: nothing to mend\n"


MOVE = {"taskId": "01t", "act": "lose", "why": "nothing found"}


def test_maintenance_only_says_what_it_would_do(outlast, gateway):
    gateway.will(upkeep(applied=False, moves=[MOVE], prunable=3))
    code, out, err = outlast("tasks", "maintenance")
    assert (code, out) == (0, "01t  lose: nothing found\n1 to mend, 0 to clean, 3 to forget\n")
    assert "--apply does it" in err
    assert body(gateway) == {}


def test_maintenance_goes_on_until_nothing_is_left(outlast, gateway):
    archive = os.path.join(os.getcwd(), "old.jsonl")
    gateway.will(
        upkeep(True, pruned=100, archived=100, archive=archive, moves=[MOVE]),
        upkeep(False, pruned=20, archived=20, archive=archive),
    )
    code, out, err = outlast("tasks", "maintenance", "--apply", "--archive", "old.jsonl")
    assert code == 0
    assert out.endswith("1 mended, 0 cleaned, 120 forgotten\n")
    assert f"120 written to {archive} first" in err
    assert body(gateway) == {"apply": True, "archive": archive}
    assert len(gateway.seen) == 2


def test_maintenance_that_gets_nowhere_ends(outlast, gateway):
    gateway.will(*[upkeep(True)] * 3)
    assert outlast("tasks", "maintenance", "--apply")[0] == 0
    assert len(gateway.seen) == 1


QUEUE = {"name": "q", "limit": 2, "queued": 5, "running": 2}


def test_stats_and_queues(outlast, gateway):
    stats = {"total": 9, "byStatus": {"queued": 5, "lost": 0, "running": 4}, "queues": [QUEUE]}
    stats |= {"outbox": {"pending": 1, "parked": 0}, "store": {"kind": "sqlite", "place": "/h/ledger", "bytes": 2048}}
    gateway.will(answer(stats))
    out = outlast("tasks", "stats")[1]
    assert "tasks     9: 5 queued, 4 running\n" in out
    assert "store     sqlite, /h/ledger, 2 KiB\n" in out
    gateway.will(answer({"queues": []}), answer({"queues": [QUEUE]}))
    out = outlast("tasks", "queues", "--set", "a=none", "--set", "q=2")[1]
    assert [body(gateway, i) for i in (-2, -1)] == [{"name": "a", "limit": None}, {"name": "q", "limit": 2}]
    assert out.splitlines()[1].split() == ["q", "2", "5", "2"]


def test_a_backup_goes_where_we_are(outlast, gateway):
    gateway.will(answer({"path": "/x/copy", "bytes": 4096}))
    assert outlast("backup", "../copy")[:2] == (0, "/x/copy, 4 KiB\n")
    assert body(gateway) == {"path": os.path.normpath(os.path.join(os.getcwd(), "../copy"))}


def test_an_export_has_every_task_on_a_line(outlast, gateway):
    """Page by page, and the dismissed after the others."""
    gateway.will(
        answer({"tasks": [TASK, DONE], "next": "c"}),
        answer({"tasks": [FAILED], "next": None}),
        answer({"tasks": [QUEUED], "next": None}),
    )
    out = outlast("tasks", "export", "--runtime", "cli")[1]
    assert [json.loads(line) for line in out.splitlines()] == [TASK, DONE, FAILED, QUEUED]
    assert [path_of(gateway, i) for i in range(3)] == [
        "/v1/tasks?runtime=cli&limit=500",
        "/v1/tasks?runtime=cli&limit=500&cursor=c",
        "/v1/tasks?runtime=cli&limit=500&dismissed=true",
    ]


def test_the_memory_of_an_export_does_not_grow_with_the_ledger(outlast, gateway, tmp_path):
    page = {"tasks": [{**TASK, "summary": "s" * 1000}] * 500, "next": "more"}
    pages = 40
    gateway.will(*[answer(page)] * pages, answer({**page, "next": None}), answer({"tasks": [], "next": None}))
    tracemalloc.start()
    try:
        assert outlast("tasks", "export", "-o", str(tmp_path / "all"))[0] == 0
        assert tracemalloc.get_traced_memory()[1] < 10 * len(json.dumps(page))
    finally:
        tracemalloc.stop()
    with open(tmp_path / "all") as file:
        assert sum(1 for _ in file) == 500 * (pages + 1)


def test_an_export_into_a_file_appears_when_it_is_complete(outlast, gateway, tmp_path):
    target = tmp_path / "tasks.jsonl"
    target.write_text("before")
    gateway.will(answer({"tasks": [TASK], "next": "c"}), refusal())
    assert outlast("tasks", "export", "-o", str(target))[0] == 4
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["tasks.jsonl"]
    gateway.will(answer({"tasks": [TASK], "next": None}), history(CREATED), answer({"tasks": [], "next": None}))
    code, out, err = outlast("tasks", "export", "--events", "-o", str(target))
    assert (code, out) == (0, "")
    assert f"1 task in {target}" in err
    assert json.loads(target.read_text()) == {**TASK, "events": [CREATED]}
    assert os.stat(target).st_mode & 0o077 == 0
    assert outlast("tasks", "export", "-o", str(tmp_path / "no" / "file"))[0] == 5


# status, doctor


@pytest.mark.parametrize(
    ("tasks", "line"),
    [
        ({"queued": 3, "running": 2, "findings": {"error": 0, "warn": 1}}, "Tasks: 3 queued · 2 running · 1 finding"),
        ({"queued": 0, "running": 1, "findings": {"error": 1, "warn": 1, "info": 5}}, "Tasks: 1 running · 2 findings"),
        ({"queued": 0, "running": 0, "findings": None}, "Tasks: none"),
    ],
)
def test_status_has_a_line_of_tasks(outlast, gateway, down, home, tasks, line):
    facts = {"pid": 1, "version": "0", "uptimeSeconds": 1, "socket": "s", "store": {"kind": "sqlite", "path": "p"}}
    gateway.will(
        answer({"gateway": facts, "keeper": None, "sessions": {"live": 0, "ended": 0, "adopted": None}, "tasks": tasks})
    )
    assert line in outlast("status")[1].splitlines()
    gateway.close()
    os.unlink(home.paths.socket)
    code, out, _, asked = down("status", answers=[{"tasks": tasks, "store": None}])
    assert (code, asked) == (0, [("status", None, {}, None)])
    assert line in out.splitlines()


def test_the_doctor_looks_at_the_store(down):
    sound = {"ok": True, "kind": "sqlite", "place": "/h/l", "bytes": 1024, "problems": []}
    bad = {**sound, "ok": False, "problems": ["page 7 is torn"], "fix": "do this"}
    for answers, state in (([sound], "ok"), ([bad], "fail"), ([BadInput("it is newer", hint="upgrade")], "fail")):
        _, out, _, asked = down("doctor", "--json", answers=answers)
        [check] = [check for check in json.loads(out)["checks"] if check["name"] == "store"]
        assert (check["state"], asked) == (state, [("store", None, {}, None)])
    assert (check["detail"], check["fix"]) == ("it is newer", "upgrade")
