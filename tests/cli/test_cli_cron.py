"""The commands of work to come, from a line to an exit code, with a scripted gateway behind them."""

import json
import os

import pytest
from cli_fakes import answer, body
from cli_ledger import DONE, QUEUED, path_of
from cli_told import DISABLED, FIRINGS, RUNS, SCHEDULE, TELLING, UNDERSTOOD

CONFLICT = answer({"error": {"code": "name_taken", "message": "there is one", "hint": None}}, 409)


@pytest.fixture(autouse=True)
def no_zone(monkeypatch):
    monkeypatch.delenv("TZ", raising=False)


# add and edit


def test_what_was_understood_of_a_rule_is_said(outlast, gateway):
    """In words, with its zone, the next firings with their offset, and what changes of the clocks do."""
    gateway.will(answer(SCHEDULE))
    code, out, err = outlast("cron", "add", "--name", "backup", "--cron", "30 2 * * *", "--", "./backup.sh")
    assert code == 0
    for words in (
        "schedule      backup\n",
        "when          At 02:30 every day\n",
        "zone          Europe/Berlin\n",
        "does          ./backup.sh\\x1b[31m\n",
        "next          Thu 2999-03-28 03:00:00  +02:00 CEST  in ",
        ", 02:30 does not exist\n",
        "              Fri 2999-03-29 02:30:00  +02:00 CEST  in ",
        ", fires 2m 10s later\n",
        "note          02:30 happens twice on 2999-10-31: runs once, the first time\n",
    ):
        assert words in out
    assert "outlast cron run backup --wait" in err
    assert body(gateway) == {
        "name": "backup",
        "cron": "30 2 * * *",
        "command": "./backup.sh",
        "workdir": os.getcwd(),
    }


def test_every_option_of_a_rule_is_passed_on(outlast, gateway):
    line = "--at tomorrow --tz Asia/Tokyo --misfire all:3 --overlap queue --jitter 5m --retry 3 --timeout 1h"
    line += " --delete-after-run --webhook https://x/y --env A=b -C sub --conversation c --comment why make -j2"
    gateway.will(answer(SCHEDULE))
    assert outlast("cron", "add", "--name", "x", *line.split())[0] == 0
    assert body(gateway) == {
        "name": "x",
        "at": "tomorrow",
        "tz": "Asia/Tokyo",
        "misfire": "all:3",
        "overlap": "queue",
        "jitterSeconds": 300,
        "retries": 3,
        "timeoutSeconds": 3600,
        "deleteAfterRun": True,
        "deliver": "webhook",
        "webhook": "https://x/y",
        "env": {"A": "b"},
        "workdir": os.path.join(os.getcwd(), "sub"),
        "conversation": "c",
        "comment": "why",
        "argv": ["make", "-j2"],
    }


def test_an_event_is_scheduled_without_a_place(outlast, gateway):
    gateway.will(answer(TELLING))
    assert outlast("cron", "add", "--name", "x", "--in", "20m", "--event", "look", "--to", "k", "--announce")[0] == 0
    sent = {"name": "x", "in": "20m", "event": "look", "to": "k", "deliver": "announce"}
    assert body(gateway) == sent


def test_the_zone_of_the_caller_counts_not_that_of_the_gateway(outlast, gateway, monkeypatch):
    gateway.will(answer(SCHEDULE), answer(SCHEDULE))
    monkeypatch.setenv("TZ", ":Australia/Lord_Howe")
    outlast("cron", "add", "--name", "x", "--every", "1m", "ls")
    assert body(gateway)["tz"] == "Australia/Lord_Howe"
    monkeypatch.setenv("TZ", "<+03>-3")
    outlast("cron", "add", "--name", "x", "--every", "1m", "ls")
    assert "tz" not in body(gateway)


def test_a_schedule_without_a_name_is_called_after_its_command(outlast, gateway):
    gateway.will(CONFLICT, CONFLICT, answer(SCHEDULE))
    assert outlast("cron", "add", "--every", "1m", "/usr/bin/back-up.sh --now")[0] == 0
    names = [body(gateway, index)["name"] for index in range(3)]
    assert names == ["back-up", "back-up-2", "back-up-3"]
    gateway.will(CONFLICT)
    assert outlast("cron", "add", "--name", "x", "--every", "1m", "ls")[0] == 4


WRONG = [
    ("add --name x -- ls", "when?"),
    ("add --name x --every 1m", "what?"),
    ("add --name x --every 1m --cron @daily -- ls", "--cron and --every exclude"),
    ("add --name x --every 1m --event a -- ls", "a COMMAND and --event exclude"),
    ("add --name x --every 1m --announce --no-deliver -- ls", "--announce and --no-deliver exclude"),
    ("edit x", "nothing is to be changed"),
    ("edit x --revision 3", "nothing is to be changed"),
    ("edit x --at a --in b", "--at and --in exclude"),
    ("edit x --delete-after-run --no-delete-after-run", "exclude each other"),
    ("runs x --before soon", "is not a number of seconds"),
    ("next x -n 0", "not in the range"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_what_cannot_be_right_is_refused_before_anybody_is_asked(outlast, gateway, line, words):
    code, out, err = outlast("cron", *line.split())
    assert (code, out) == (2, "")
    assert words in err
    assert gateway.seen == []


def test_an_edit_names_only_what_changes(outlast, gateway):
    gateway.will(answer(SCHEDULE), answer(SCHEDULE))
    code, out, _ = outlast("cron", "edit", "a/b", "--cron", "@daily", "--revision", "2", "--no-delete-after-run")
    assert code == 0
    assert "next          Thu 2999-03-28" in out
    assert path_of(gateway) == "/v1/cron/a%2Fb/edit"
    assert body(gateway) == {"cron": "@daily", "revision": 2, "deleteAfterRun": False}
    outlast("cron", "edit", "x", "--rename", "y", "--no-deliver", "-C", "/tmp", "--", "make", "-j2")
    sent = {"rename": "y", "deliver": "none", "workdir": "/tmp", "argv": ["make", "-j2"]}
    assert body(gateway) == sent


# looking


def test_the_list_is_a_table_of_safe_cells(outlast, gateway):
    gateway.will(answer({"schedules": [SCHEDULE, TELLING, DISABLED], "next": "old"}))
    code, out, err = outlast("cron", "--limit", "3", "--after", "a", "--owner", "me")
    assert code == 0
    assert path_of(gateway) == "/v1/cron?limit=3&after=a&owner=me"
    heads, first, second, third = out.splitlines()
    assert heads.split() == ["NAME", "STATUS", "NEXT", "LAST", "WHEN", "WHAT"]
    assert first.endswith("30 2 * * * Europe/Berlin  ./backup.sh\\x1b[31m")
    assert "tell agent:\\x1b[0m: e\\x07" in second
    assert len(second) < 1000
    assert third.split()[:3] == ["old", "disabled", "-"]
    assert "\x1b" not in out
    assert "--after old" in err


def test_every_page_is_listed_as_one(outlast, gateway):
    pages = [{"schedules": [SCHEDULE], "next": "backup"}, {"schedules": [DISABLED], "next": None}]
    gateway.will(*map(answer, pages), *map(answer, pages), answer({"schedules": [], "next": None}))
    assert len(outlast("cron", "list", "--all")[1].splitlines()) == 3
    found = json.loads(outlast("cron", "list", "--all", "--json")[1])
    assert found == {"schedules": [SCHEDULE, DISABLED], "next": None}
    assert outlast("cron")[2] == "outlast: no schedules\n"


def test_show_says_everything(outlast, gateway):
    gateway.will(answer({**SCHEDULE, "deliver": "webhook", "webhook": "webhook:https://x/***", "failures": 2}))
    code, out, _ = outlast("cron", "show", "backup")
    assert code == 0
    for words in (
        "status        active\n",
        "cron          30 2 * * *\n",
        "command       ./backup.sh\\x1b[31m\n",
        "in            /work\n",
        "misfire       once\n",
        "overlap       skip\n",
        "jitter        up to 5m 00s\n",
        "retries       3\n",
        "timeout       1h 00m\n",
        "deliver       webhook webhook:https://x/***\n",
        "revision      2\n",
        "failures      2 in a row\n",
        "next          Thu 2999-03-28",
        "comment:\n  a remark\n  of two \\x1blines\n",
    ):
        assert words in out
    gateway.will(answer({**DISABLED, "understood": {**UNDERSTOOD, "next": []}}), answer(TELLING))
    assert "status        disabled: 10 failures in a row\n" in outlast("cron", "show", "old")[1]
    assert "event:\n  e\\x07" in outlast("cron", "show", "x")[1]


def test_next_is_a_line_for_each_firing(outlast, gateway):
    gateway.will(answer(UNDERSTOOD), answer({**UNDERSTOOD, "next": []}))
    code, out, err = outlast("cron", "next", "backup", "-n", "2")
    assert code == 0
    assert path_of(gateway) == "/v1/cron/backup/next?count=2"
    assert [line.split()[0] for line in out.splitlines()] == ["Thu", "Fri"]
    assert "At 02:30 every day (Europe/Berlin)" in err
    assert "happens twice" in err
    assert "does not fire" in outlast("cron", "next", "backup")[2]
    assert FIRINGS[0]["note"] in out


def test_runs_say_what_became_of_each_instant(outlast, gateway):
    gateway.will(answer({"name": "backup", "runs": RUNS, "next": 1796000000.25}))
    code, out, err = outlast("cron", "runs", "backup", "--limit", "2", "--before", "1796000001.5")
    assert code == 0
    assert path_of(gateway) == "/v1/cron/backup/runs?limit=2&before=1796000001.5"
    fired, missed = out.splitlines()[1:]
    assert fired.split()[2:] == ["fired", "20", "ms", "01task", "succeeded"]
    assert missed.endswith("missed  -      -       -          3 passed\\x1b unfired")
    assert "--before 1796000000.25" in err
    gateway.will(answer({"name": "backup", "runs": [], "next": None}))
    assert "come due" in outlast("cron", "runs", "backup")[2]


# acting


@pytest.mark.parametrize(
    ("line", "method", "path", "out"),
    [
        ("pause backup", "POST", "/v1/cron/backup/pause", "backup paused\n"),
        ("resume backup", "POST", "/v1/cron/backup/resume", "backup paused\n"),
        ("remove backup", "DELETE", "/v1/cron/backup", "backup removed\n"),
    ],
)
def test_acts_say_how_it_stands(outlast, gateway, line, method, path, out):
    gateway.will(answer({**SCHEDULE, "status": "paused", "nextFireAt": None, "removed": ["backup"]}))
    assert outlast("cron", *line.split())[:2] == (0, out)
    assert gateway.seen[0].startswith(f"{method} {path} ".encode())


def test_a_rule_whose_only_moment_has_passed_is_resumed_in_vain(outlast, gateway):
    gateway.will(answer({**SCHEDULE, "status": "done", "nextFireAt": None}))
    code, out, err = outlast("cron", "resume", "backup")
    assert (code, out) == (0, "backup done\n")
    assert "its time has passed; to do it now: outlast cron run backup" in err


def test_run_prints_the_task_alone(outlast, gateway):
    fired = {"name": "backup", "taskId": "01task", "how": "manual"}
    gateway.will(answer(fired), answer(fired), answer({**fired, "taskId": None}))
    assert outlast("cron", "run", "backup")[:2] == (0, "01task\n")
    assert json.loads(outlast("cron", "run", "backup", "--json")[1]) == fired
    code, out, err = outlast("cron", "run", "backup", "--wait")
    assert (code, out) == (0, "")
    assert "it makes no task" in err


def test_run_that_waits_ends_as_the_command_did(outlast, gateway):
    ended = {**DONE, "status": "failed", "exitCode": 7}
    gateway.will(
        answer({"name": "backup", "taskId": "01task", "how": "manual"}),
        answer(QUEUED),
        answer({"met": True, "timedOut": False, "tasks": [ended]}),
    )
    code, out, _ = outlast("cron", "run", "backup", "--wait", "--json")
    assert (code, json.loads(out)) == (7, ended)


# a crontab


LINES = [
    {
        "line": 2,
        "name": "web-backup",
        "text": "30 2 * * * ./b\x1b",
        "tz": "Asia/Tokyo",
        "comment": "nightly\nbackup",
        "refused": None,
        "note": "MAILTO=me: mail is not sent",
    },
    {
        "line": 3,
        "name": None,
        "text": "'61 * * * *'",
        "tz": None,
        "comment": None,
        "refused": "no minute",
        "note": None,
    },
]


def test_an_import_tells_of_every_line(outlast, gateway, tmp_path):
    """What was added with its zone and comments, what was not and why; a refused line is an exit code."""
    table = tmp_path / "crontab"
    table.write_bytes(b"# nightly\n30 2 * * * ./b\n61 * * * *\xff\n")
    found = {"applied": True, "added": ["web-backup"], "lines": LINES, "notes": ["line 1: MAILFROM is not taken over"]}
    gateway.will(answer(found))
    code, out, err = outlast("cron", "import", str(table), "--prefix", "web-")
    assert code == 1
    assert body(gateway) == {"text": "# nightly\n30 2 * * * ./b\n61 * * * *\ufffd\n", "apply": True, "prefix": "web-"}
    assert "line 2: web-backup  30 2 * * * ./b\\x1b  (Asia/Tokyo)\n  nightly\n  backup\n  MAILTO=me" in out
    assert "line 3: not taken: no minute\n" in out
    assert "MAILFROM" in err
    assert "1 added, 1 not taken" in err


def test_a_dry_import_changes_nothing(outlast, gateway, tmp_path):
    table = tmp_path / "crontab"
    table.write_text("")
    gateway.will(answer({"applied": False, "added": ["a"], "lines": LINES[:1], "notes": []}))
    code, _, err = outlast("cron", "import", str(table), "--dry-run")
    assert code == 0
    assert body(gateway) == {"text": ""}
    assert "nothing was changed" in err


@pytest.mark.parametrize(("size", "code"), [(None, 3), (1_000_001, 2)])
def test_a_table_that_cannot_be_read_is_named(outlast, gateway, tmp_path, size, code):
    table = tmp_path / "crontab"
    if size is not None:
        table.write_bytes(b"#" * size)
    assert outlast("cron", "import", str(table))[0] == code
    assert outlast("cron", "import", str(tmp_path))[0] == 5
    assert gateway.seen == []


def test_an_export_is_the_table_as_it_is(outlast, gateway):
    gateway.will(answer({"text": "# a\n@daily ls"}))
    assert outlast("cron", "export")[:2] == (0, "# a\n@daily ls\n")
