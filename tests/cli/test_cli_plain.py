"""What a newcomer reads: plain words, no noise, nothing said twice."""

import os

import pytest
from cli_fakes import answer
from cli_ledger import DONE, FAILED, TASK, history, row_of

STATUS = {
    "gateway": {"pid": 1, "version": "0", "uptimeSeconds": 1, "socket": "s", "store": {"kind": "sqlite", "path": "p"}},
    "keeper": None,
    "sessions": {"live": 0, "ended": 0, "adopted": None},
    "tasks": {"queued": 0, "running": 0, "findings": None},
}


def shown(outlast, gateway, row):
    gateway.will(answer(row))
    return outlast("tasks", "show", "01t")[1].splitlines()


def test_seconds_have_no_noise(outlast, gateway):
    usage = {"userSeconds": 0.0035919999999999997, "systemSeconds": 0.0, "maxRssBytes": 0}
    assert "used          0.003592 s user, 0 s system" in shown(outlast, gateway, {**DONE, "usage": usage})


def test_details_are_named_as_people_name_them(outlast, gateway):
    lines = shown(outlast, gateway, {**DONE, "detail": {"producedBytes": 10, "leftovers": 1, "other": "x"}})
    for line in ("output        10 B", "left behind   1 process", "other         x"):
        assert line in lines
    gateway.will(
        history(row_of(3, "fail", "failed", exitCode=7, userSeconds=0.1 + 0.2, claimId="c1", maxRssBytes=2**20))
    )
    out = outlast("tasks", "events", "01t")[1]
    assert out.rstrip().endswith("failed     exit code: 7, user: 0.3 s, memory: 1 MiB")


def test_what_the_status_says_is_not_said_again(outlast, gateway):
    assert not [line for line in shown(outlast, gateway, {**FAILED, "error": "exit code 7"}) if "error" in line]
    assert "error         no\\nway" in shown(outlast, gateway, FAILED)


def test_keys_of_our_own_are_not_shown(outlast, gateway):
    assert "dedupe        mine" in shown(outlast, gateway, {**DONE, "dedupeKey": "mine"})
    assert not [line for line in shown(outlast, gateway, {**DONE, "dedupeKey": "start:53c5"}) if "dedupe" in line]


@pytest.mark.parametrize(("row", "cell"), [(DONE, "-"), (FAILED, "40 %"), (TASK, "40 %")])
def test_what_has_succeeded_is_not_partly_done(outlast, gateway, row, cell):
    gateway.will(answer({"tasks": [row], "next": None}))
    assert f"  {cell} " in outlast("tasks")[1].splitlines()[1]
    assert ("progress      40 % half\\x07way" in shown(outlast, gateway, row)) == (cell != "-")


def test_the_note_under_a_limit_that_was_asked_for_is_short(outlast, gateway):
    gateway.will(answer({"tasks": [TASK], "next": "c7"}))
    assert outlast("tasks", "--limit", "1")[2] == "outlast: more: --cursor c7\n"


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({"nextFiringAt": None, "noticesPending": 0, "noticesParked": 0}, ["Schedules: none"]),
        (
            {"nextFiringAt": "2026-11-23T10:01:40.000Z", "noticesPending": 2, "noticesParked": 1},
            ["Schedules: next in 40 s", "Notices: 2 waiting · 1 given up"],
        ),
        (
            {"nextFiringAt": "2026-11-23T10:00:59.000Z", "noticesPending": 0, "noticesParked": 1},
            ["Schedules: next now", "Notices: 1 given up"],
        ),
        (None, []),
    ],
)
def test_status_tells_of_schedules_and_notices(outlast, gateway, down, home, monkeypatch, told, lines):
    monkeypatch.setattr("time.time", lambda: 1_795_428_060.0)
    gateway.will(answer({**STATUS, "told": told}))
    found = outlast("status")[1].splitlines()
    assert found[found.index("Tasks: none") + 1 :] == lines
    gateway.close()
    os.unlink(home.paths.socket)
    found = down("status", answers=[{"tasks": STATUS["tasks"], "told": told, "store": None}])[1].splitlines()
    assert found[found.index("Tasks: none") + 1 :] == lines
