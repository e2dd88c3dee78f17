"""Every wrong value of every field is refused at once, naming the field and what is allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from outlast.api import requests
from outlast.api.decode import from_json, from_query, from_value
from outlast.api.task_requests import TaskWaitRequest
from outlast.core.errors import BadInput

REQUESTS = [
    value
    for value in vars(requests).values()
    if isinstance(value, type) and issubclass(value, requests.Request) and value is not requests.Request
]
WRONG: dict[str, list[Any]] = {
    "requester": [3, "", "x" * 201],
    "command": [3, ["a"], True],
    "argv": ["ls", [], [1]],
    "workdir": [1, "x" * 5000],
    "env": [[], {"A": 1}, "A=1"],
    "yieldMs": [-1, 120_001, "1", 1.5, True],
    "background": ["true", 1],
    "timeoutSeconds": [0, -1, 31_536_001, "5m", True],
    "idleTimeoutSeconds": [0, -1, "1"],
    "graceSeconds": [-1, 3601, "1"],
    "pty": [1, "yes"],
    "cols": [0, 1001, "80", 1.5],
    "rows": [0, 1001, "24"],
    "stdin": [3, {"tex": "a"}, {"text": 3}, []],
    "detach": [0],
    "readyWhen": ["x", {"prt": 1}, {"port": "80"}, {"pattern": 3}],
    "leftovers": ["drop", 1],
    "title": [3, "x" * 201],
    "labels": ["a", [1], ["x" * 101], ["a"] * 17],
    "allowDuplicate": [1],
    "maxBytes": [0, 1_048_577, "1"],
    "raw": [1],
    "streams": ["both", 1],
    "callerEnv": [[], {"A": None}],
    "since": [-1, "end", 1.5, 2**60],
    "reader": [1, "", "x" * 201],
    "timeoutMs": [-1, 10**9, "1"],
    "offset": ["a", 1.5],
    "limit": [0, 10**9, "1"],
    "bytes": [3, [0, 1]],
    "tail": [0, -1, "1"],
    "stream": ["out", 1],
    "start": [-1, "0"],
    "end": [-1, "0"],
    "from": [3, "x" * 30],
    "frames": [1],
    "status": ["lost", 1],
    "before": [1],
    "sessionIds": ["a", [], [1], [""]],
    "for": ["end", 1],
    "pattern": [1],
    "port": [0, 65536, "80"],
    "quietSeconds": [0, -1, 86_401, "1"],
    "mode": ["one"],
    "data": [1, ["a"]],
    "dataBase64": [1],
    "eof": [1],
    "keys": ["Enter", [], [1]],
    "literal": [1],
    "hex": [1],
    "text": [1, ["a"]],
    "bracketed": [1],
    "signal": [[], 1.5, True],
    "tree": [1],
    "group": ["leader"],
    "killSessions": [1],
    "follow": [1],
    "queue": [1, "", "x" * 101],
    "priority": ["1", 1001, -1001, 1.5],
    "retries": [-1, 1000, "3"],
    "retryDelaySeconds": [-1, 86_401, "1s"],
    "retryDelayMaxSeconds": [-1, 86_401, "1s"],
    "deadlineSeconds": [0, -1, "2h"],
    "delaySeconds": [0, -1, "2h"],
    "dedupeKey": [1, "", "x" * 201],
    "notify": ["never", 1],
    "conversation": [1, "", "x" * 201],
    "parentId": [1, ""],
    "node": [1, "", "x" * 201],
    "ask": [1, "yes"],
    "approvalExpiresSeconds": [0, -1, 31_536_001, "2h"],
}
GOOD = {"sessionIds": ["abcd"], "keys": ["Enter"], "text": "x", "cols": 1, "rows": 1, "signal": "HUP"}


def fields(request: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(request)]


CASES = [
    pytest.param(request, name, wrong, id=f"{request.__name__}.{name}={str(wrong)[:20]}")
    for request in REQUESTS
    for name in fields(request)
    for wrong in WRONG[name]
]


@pytest.mark.parametrize(("request_type", "name", "wrong"), CASES)
def test_a_wrong_value_is_refused_by_name(request_type: type, name: str, wrong: Any) -> None:
    if request_type is requests.WaitRequest and name == "timeoutMs" and wrong == 10**9:
        wrong = 10**10
    good = {key: value for key, value in GOOD.items() if key in fields(request_type)}
    with pytest.raises(BadInput) as caught:
        from_value({**good, name: wrong}, request_type)
    assert caught.value.message.startswith(name), caught.value.message
    assert caught.value.code == "bad_input"
    assert "$" not in caught.value.message
    assert "`" not in caught.value.message


@pytest.mark.parametrize("request_type", REQUESTS)
def test_an_unknown_field_is_refused_with_the_known_ones(request_type: type) -> None:
    good = {key: value for key, value in GOOD.items() if key in fields(request_type)}
    with pytest.raises(BadInput, match="colour: unknown field") as caught:
        from_value({**good, "colour": 1}, request_type)
    assert "requester" in (caught.value.hint or "")


def test_a_near_miss_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        from_value({"yield_ms": 5}, requests.ExecRequest)
    assert caught.value.hint == "did you mean yieldMs?"


@pytest.mark.parametrize("request_type", REQUESTS)
def test_null_means_not_given(request_type: type) -> None:
    for name in fields(request_type):
        if name not in GOOD or request_type is requests.ScreenRequest:
            assert from_value(
                {**{k: v for k, v in GOOD.items() if k in fields(request_type)}, name: None}, request_type
            )


@pytest.mark.parametrize(
    ("request_type", "name"), [(requests.WaitRequest, "sessionIds"), (requests.PasteRequest, "text")]
)
def test_what_is_needed_is_asked_for(request_type: type, name: str) -> None:
    with pytest.raises(BadInput, match=f"{name}: is required"):
        from_value({}, request_type)


def test_what_is_allowed_is_said_in_words() -> None:
    said = {}
    for name, wrong in (
        ("yieldMs", "x"),
        ("streams", "x"),
        ("title", 1),
        ("env", []),
        ("timeoutSeconds", 0),
        ("labels", {}),
    ):
        with pytest.raises(BadInput) as caught:
            from_value({name: wrong}, requests.ExecRequest)
        said[name] = caught.value.message
    assert said == {
        "yieldMs": "yieldMs: must be a whole number from 0 up to 120000, not text",
        "streams": "streams: must be one of apart, merged",
        "title": "title: must be text of at most 200 characters, not a number",
        "env": "env: must be an object of texts, not a list",
        "timeoutSeconds": "timeoutSeconds: must be a number above 0 up to 31536000",
        "labels": "labels: must be a list with at most 16 items, not an object",
    }


@pytest.mark.parametrize(
    "body",
    [b"nope", b"[]", b'"x"', b"3", b'{"a":', b"\xff", b'{"command": NaN}', b"[" * 100_000, b'{"command": "a"} x'],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match="JSON"):
        from_json(body, requests.ExecRequest)


def test_an_empty_body_is_an_empty_request() -> None:
    assert from_json(b"", requests.PollRequest) == requests.PollRequest()


def test_file_names_that_are_no_text_arrive_as_they_were_sent() -> None:
    request = from_json(rb'{"command":"ls","callerEnv":{"A":"\udcff"}}', requests.ExecRequest)
    assert request.caller_env == {"A": "\udcff"}


def test_numbers_and_booleans_of_a_query_are_text() -> None:
    request = from_query([("offset", "-5"), ("raw", "true"), ("stream", "stderr")], requests.LogRequest)
    assert request == requests.LogRequest(offset=-5, raw=True, stream="stderr")


@pytest.mark.parametrize(
    "pairs",
    [[("offset", "x")], [("limit", "0")], [("raw", "maybe")], [("tail", "1"), ("tail", "2")], [("colour", "1")]],
)
def test_a_bad_query_is_refused_by_name(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadInput, match=pairs[0][0]):
        from_query(pairs, requests.LogRequest)


def test_half_a_character_where_no_text_is_wanted_is_refused() -> None:
    with pytest.raises(BadInput, match="no Unicode"):
        from_value({"lookups": "\ud800"}, TaskWaitRequest)
