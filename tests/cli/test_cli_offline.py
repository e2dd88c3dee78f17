"""The ledger while no gateway runs: the store itself answers, in the same words, and none is started."""

import json
import os

import pytest
from cli_fakes import answer
from cli_flows import FLOW
from cli_ledger import DONE, FAILED, FIRST, HOSTILE, TASK, audit, upkeep
from cli_told import EVENT, NOTICE, RUNS, SCHEDULE, UNDERSTOOD, WAKE, events

# without a gateway


PAGE = {"tasks": [TASK], "next": None}
TALK = {"conversation": "k", "waiting": 0, "oldestAt": None, "newestAt": None, "wakes": 0}
OFFLINE = [
    ("tasks --status lost --as me", PAGE, ("tasks.list", None, {"status": "lost"}, "me")),
    ("tasks show 01t", TASK, ("tasks.show", "01t", {})),
    ("tasks events 01t", {"taskId": "01t", "events": [], "next": None}, ("tasks.events", "01t", {"limit": 500})),
    ("tasks children 01t", PAGE, ("tasks.children", "01t", {})),
    ("tasks log 01t -n 5", [TASK, FIRST], ("tasks.show", "01t", {})),
    ("tasks log 01t --offset 5", FIRST, ("tasks.log", "01t", {"offset": 5})),
    ("tasks log -f 01t", [DONE, FIRST], ("tasks.show", "01t", {})),
    ("tasks wait 01t", DONE, ("tasks.show", "01t", {})),
    ("tasks audit", audit(), ("tasks.audit", None, {})),
    ("tasks queues", {"queues": []}, ("tasks.queues", None, {})),
    ("tasks maintenance", None, ("tasks.maintenance", None, {})),
    ("tasks export --dismissed", PAGE, ("tasks.list", None, {"dismissed": True, "limit": 500})),
    ("explain 01t", {"lines": ["a"]}, ("explain", "01t", {})),
    ("backup /x", {"path": "/x", "bytes": 1}, ("backup", None, {"path": "/x"})),
    ("cron --as me", {"schedules": [SCHEDULE], "next": None}, ("cron.list", None, {}, "me")),
    ("cron show backup", SCHEDULE, ("cron.show", "backup", {})),
    ("cron next backup -n 2", UNDERSTOOD, ("cron.next", "backup", {"count": 2})),
    ("cron runs backup", {"runs": RUNS, "next": None}, ("cron.runs", "backup", {})),
    ("cron export", {"text": ""}, ("cron.export", None, {})),
    ("conversations", {"conversations": [], "next": None}, ("conversations.list", None, {})),
    ("conversations show k", [{**TALK, "wakes": 1}, {"wakes": [WAKE]}], ("conversations.show", "k", {})),
    ("conversations events k", events(EVENT), ("conversations.events", "k", {"limit": 100})),
    ("wake list k", {"wakes": []}, ("wake.list", None, {"conversation": "k"})),
    ("notifications", {"notices": [NOTICE], "next": None}, ("notifications.list", None, {})),
]


@pytest.mark.parametrize(("line", "found", "question"), OFFLINE)
def test_looking_starts_no_gateway(down, line, found, question):
    """With none running the ledger itself answers, with the same words."""
    if found is None:
        found = json.loads(upkeep(applied=False).partition(b"\r\n\r\n")[2])
    code, _, err, asked = down(*line.split(), answers=found if isinstance(found, list) else [found])
    assert code == 0, err
    assert asked[0] == (*question, None)[:4]


def test_another_gateway_is_never_answered_for(outlast, home):
    def store(*_):
        raise AssertionError

    for line in ("tasks", "tasks maintenance", "backup /x", "tasks show a"):
        code, _, err = outlast(*line.split(), "--gateway", f"unix:{home.paths.socket}", store=store)
        assert code == 6
        assert "no gateway listens" in err


@pytest.fixture
def offered(outlast, monkeypatch):
    def offer(line, store=None):
        monkeypatch.setenv("_OUTLAST_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
        return [row.partition(",")[2] for row in outlast(store=store)[1].split()]

    return offer


def test_names_of_schedules_conversations_and_wakes_are_completed(offered, gateway):
    gateway.will(
        answer({"schedules": [SCHEDULE, {**SCHEDULE, "name": "sync"}], "next": None}),
        answer({"conversations": [TALK], "next": None}),
        answer({"wakes": [WAKE]}),
        answer({"wakes": [WAKE]}),
    )
    assert offered("outlast cron edit ba") == ["backup"]
    assert offered("outlast conversations events ") == ["k"]
    assert offered("outlast wake test w") == ["w1"]
    assert offered("outlast wake remove x") == []
    assert offered("outlast cron add --overlap sk") == ["skip"]


def test_flow_ids_are_completed(offered, home, gateway):
    other = {**FLOW, "flowId": "f02other", "label": None, "name": "x\x1b"}
    gateway.will(*[answer({"flows": [FLOW, other], "next": None})] * 4)
    assert offered("outlast flow show ") == ["f01flow", "f02other"]
    assert offered("outlast flow cancel f02") == ["f02other"]
    assert offered("outlast flow list --parent f01") == ["f01flow"]
    assert offered("outlast flow signal f0") == ["f01flow", "f02other"]
    gateway.close()
    os.unlink(home.paths.socket)
    assert offered("outlast flow watch f", lambda *_: {"flows": [FLOW], "next": None}) == ["f01flow"]


def test_task_ids_are_completed(offered, home, gateway):
    gateway.will(*[answer({"tasks": [HOSTILE, FAILED], "next": None})] * 3)
    assert offered("outlast tasks show ") == ["01task", "01other"]
    assert offered("outlast tasks cancel 01o") == ["01other"]
    assert offered("outlast tasks report done --task 01t") == ["01task"]
    gateway.close()
    os.unlink(home.paths.socket)
    assert offered("outlast explain 01t", lambda *_: PAGE) == ["01task"]
    assert offered("outlast explain 01t") == []
