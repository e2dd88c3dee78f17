"""The same answers with a gateway and without, from the same ledger."""

from __future__ import annotations

import json
import os
import re
import select
import time
from collections.abc import Callable
from typing import Any

import pytest
from running import PATIENCE, Gateway

from outlast import config as config_module
from outlast.core.errors import OutlastError
from outlast.gateway.offline import answer

MOVING = {"durationMs", "ageSeconds", "checkedAt", "uptimeSeconds"}
"""What is another number at every look, for work that runs."""
Question = tuple[str, str, str | None, dict[str, Any]]


def still(value: Any) -> Any:
    """Return an answer without what moves by itself."""
    if isinstance(value, dict):
        moving = MOVING if value.get("status", "running") == "running" else MOVING - {"durationMs"}
        return {name: still(item) for name, item in value.items() if name not in moving}
    if isinstance(value, str):
        return re.sub(r" is running, for [^,]+", " is running, for some time", value)
    return [still(item) for item in value] if isinstance(value, list) else value


def online(gateway: Gateway, question: Question, requester: str | None) -> Any:
    method, _, name, query = question
    path = {
        "tasks.list": "/v1/tasks", "tasks.show": f"/v1/tasks/{name}", "tasks.events": f"/v1/tasks/{name}/events",
        "tasks.children": f"/v1/tasks/{name}/children", "tasks.log": f"/v1/tasks/{name}/log",
        "tasks.audit": "/v1/tasks/audit", "tasks.stats": "/v1/tasks/stats", "tasks.queues": "/v1/tasks/queues",
        "explain": f"/v1/explain/{name}", "store": "/v1/store", "tasks.maintenance": "/v1/tasks/maintenance",
    }[question[1]]  # fmt: skip
    headers = {"Outlast-Requester": requester} if requester else {}
    if method == "POST":
        return gateway.ask("POST", path, query, headers).json
    words = "&".join(f"{key}={value}" for key, value in query.items())
    return gateway.ask("GET", f"{path}?{words}", None, headers).json


def offline(gateway: Gateway, question: Question, requester: str | None) -> Any:
    _, act, name, query = question
    try:
        return json.loads(json.dumps(answer(config_module.load(gateway.env), act, name, query, requester)))
    except OutlastError as error:
        return error.as_dict()


def questions(names: dict[str, str]) -> list[Question]:
    """Everything that can be asked without a gateway, about everything there is."""
    asked: list[Question] = [
        ("GET", "tasks.list", None, query)
        for query in (
            {}, {"limit": 2}, {"status": "running"}, {"status": "succeeded,failed"}, {"status": "queued"},
            {"status": "lost"}, {"label": "nightly"}, {"search": "sleep"}, {"owner": "ann"}, {"runtime": "external"},
        )
    ]  # fmt: skip
    for name in [*names.values(), "nothing", "t"]:
        asked += [
            ("GET", act, name, {})
            for act in ("tasks.show", "tasks.events", "tasks.children", "tasks.log", "explain")
        ]  # fmt: skip
    asked += [("GET", "tasks.events", names["done"], {"limit": 2}), ("GET", "tasks.log", names["done"], {"tail": 1})]
    asked += [("GET", act, None, {}) for act in ("tasks.audit", "tasks.stats", "tasks.queues", "store")]
    asked += [("POST", "tasks.maintenance", None, {}), ("GET", "tasks.audit", None, {"severity": "warn"})]
    return asked


def variety(gateway: Gateway) -> dict[str, str]:
    """Work of every kind; return its names."""
    made = {
        "done": gateway.exec("echo one; echo two", detach=True, labels=["nightly"]),
        "failed": gateway.exec("echo no >&2; exit 3", detach=True, title="Build", requester="ann"),
        "runs": gateway.exec("sleep 1000", detach=True, priority=3),
        "ends": gateway.exec("exec cat", detach=True, stdin="pipe", notify="state_changes"),
        "outlived": gateway.exec("sleep 1001", background=True),
    }
    gateway.ask("POST", "/v1/tasks/queues", {"name": "paused", "limit": 0})
    made["queued"] = gateway.exec("echo later", detach=True, queue="paused", parentId=made["runs"]["taskId"])
    names = {name: one.get("taskId") or "t" + one["sessionId"][1:] for name, one in made.items()}
    report = gateway.ask("POST", "/v1/tasks/report", {"label": "ci", "runId": "ci-7"}).json
    names["outside"] = report["taskId"]
    ended = gateway.ask("POST", "/v1/tasks/wait", {"lookups": [names["done"], names["failed"]]}).json
    assert ended["met"]
    for name in ("runs", "ends"):
        history = f"/v1/tasks/{names[name]}/events"
        soon(lambda history=history: "began" in str(gateway.ask("GET", history).json))
    soon(lambda: gateway.ask("GET", f"/v1/tasks/{names['outlived']}").status == 200)
    soon(lambda: gateway.ask("GET", "/v1/tasks/stats").json["outbox"]["pending"] == 0)
    return names


def soon(look: Callable[[], bool]) -> None:
    """Return when what happens just after an answer has happened."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("requester", [None, "ann"])
def test_every_question_has_the_same_answer(gateway: Gateway, requester: str | None) -> None:
    gateway.start()
    names = variety(gateway)
    asked = questions(names)
    with_gateway = [still(online(gateway, question, requester)) for question in asked]
    shown = gateway.ask("GET", "/v1/status", None, {"Outlast-Requester": requester} if requester else {}).json["tasks"]
    gateway.stop()
    for question, expected in zip(asked, with_gateway, strict=True):
        found = still(offline(gateway, question, requester))
        if question[1] in ("tasks.stats", "store"):
            strip_size(found), strip_size(expected)
        assert found == expected, question
    assert offline(gateway, ("GET", "status", None, {}), requester)["tasks"] == shown


def strip_size(value: Any) -> None:
    """Closing the file moves what is in its log into it."""
    value.pop("bytes", None)
    value.get("store", {}).pop("bytes", None)


def test_what_ended_while_no_gateway_ran_is_answered_as_the_next_one_does(gateway: Gateway) -> None:
    gateway.start()
    names = variety(gateway)
    pid = gateway.ask("GET", f"/v1/tasks/{names['ends']}").json
    pid = gateway.ask("GET", f"/v1/sessions/{pid['sessionId']}").json["pid"]
    gateway.stop()
    fd = os.pidfd_open(pid)
    os.kill(pid, 9)
    assert select.select([fd], [], [], 30)[0]
    os.close(fd)
    question: Question = ("GET", "tasks.show", names["ends"], {})
    soon(lambda: offline(gateway, question, None)["status"] != "running")  # its supervisor writes down the end
    asked = [one for one in questions(names) if one[1] != "tasks.events" and one[1] != "store"]
    without = [still(offline(gateway, question, None)) for question in asked]
    gateway.start()
    gateway.ask("POST", "/v1/tasks/wait", {"lookups": [names["ends"]]})
    for question, found in zip(asked, without, strict=True):
        expected = still(online(gateway, question, None))
        for value in (found, expected):
            if question[1] == "tasks.stats":
                strip_size(value)
                value.pop("outbox")
            settle_revisions(value)
        assert told(found) == told(expected), question
    shown = gateway.ask("GET", f"/v1/tasks/{names['ends']}").json
    assert (shown["status"], shown["exitSignal"]) == ("failed", "SIGKILL")


def told(value: Any) -> Any:
    """Return an answer in which a notice that is still to be delivered, and one that has been, look the same."""
    return json.loads(re.sub(r'("delivery": "|delivery: )delivered', r"\1pending", json.dumps(value)))


def settle_revisions(value: Any) -> None:
    """A new gateway takes over what runs: that counts as a change of its record, and of nothing else."""
    for task in value.get("tasks", [value]) if isinstance(value, dict) else ():
        if task.get("status") == "running":
            task.pop("revision", None)


def test_an_empty_home_has_an_empty_ledger(gateway: Gateway) -> None:
    config = config_module.load(gateway.env)
    assert answer(config, "tasks.list", None, {}) == {"tasks": [], "next": None}
    assert answer(config, "tasks.audit", None, {})["findings"] == []
    assert answer(config, "tasks.stats", None, {})["total"] == 0
    assert os.listdir(gateway.home) == []


@pytest.mark.parametrize(
    ("act", "query", "code"),
    [
        ("tasks.cancel", {}, "not_running"),
        ("tasks.wait", {}, "not_running"),
        ("tasks.maintenance", {"apply": True}, "not_running"),
        ("tasks.list", {"status": "done"}, "bad_input"),
        ("tasks.show", {}, "not_found"),
        ("explain", {}, "not_found"),
    ],
)
def test_what_needs_a_gateway_or_is_wrong_says_so(gateway: Gateway, act: str, query: dict[str, Any], code: str) -> None:
    with pytest.raises(OutlastError) as caught:
        answer(config_module.load(gateway.env), act, "t1" if act != "tasks.list" else None, query)
    assert caught.value.code == code
