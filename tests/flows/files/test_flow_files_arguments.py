"""The arguments of a run: read from texts and JSON, checked against what the file declares, all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from flows.files.flow_fakes import read
from outlast.core.errors import BadInput
from outlast.flows.files.arguments import concurrency_key, goal_of, parse_args

FLOW = read("""
name: example
goal: Ship ${args.version}
concurrency: {key: "ship-${args.stage}", max: 2}
args:
  version: {required: true}
  stage: {default: test, enum: [test, live]}
  count: {type: integer, default: 1, enum: [1, 2, 3]}
  ratio: {type: number}
  dry: {type: boolean, default: false}
  hosts: {type: json, default: [a]}
steps: [{id: a, run: x}]
""")
DEFAULTS = {"version": "1", "stage": "test", "count": 1, "ratio": None, "dry": False, "hosts": ["a"]}


def test_what_is_not_given_has_its_default_or_is_null() -> None:
    assert parse_args(FLOW, ["version=1"]) == DEFAULTS
    assert list(parse_args(FLOW, [], {"hosts": 1, "version": "1"})) == list(DEFAULTS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("version=", ""),
        ("version=a=b", "a=b"),
        ("version=true", "true"),
        ("version= 1", " 1"),
        ("count=2", 2),
        ("ratio=2", 2),
        ("ratio=-1.5e3", -1500.0),
        ("dry=true", True),
        ('hosts=[1, {"a": null}]', [1, {"a": None}]),
        ("hosts=null", None),
        ("stage=live", "live"),
    ],
)
def test_a_text_is_read_as_its_type_says(text: str, value: object) -> None:
    found = parse_args(FLOW, ["version=1", text])[text.partition("=")[0]]
    assert found == value
    assert type(found) is type(value)


def test_a_text_wins_over_a_json_value() -> None:
    assert parse_args(FLOW, ["version=2"], {"version": "1", "count": 3})["version"] == "2"


@pytest.mark.parametrize(
    ("texts", "given", "sentence"),
    [
        ([], {}, "version is missing"),
        (["version"], {}, "'version' is not NAME=VALUE"),
        (["versoin=1"], {}, "there is no argument 'versoin' (did you mean version?)"),
        (["version=1", "count=two"], {}, "count: 'two' is no integer"),
        (["version=1", "count=1.0"], {}, "count: '1.0' is no integer"),
        (["version=1", "count=4"], {}, "count: it is none of 1, 2, 3"),
        (["version=1", "count=" + "9" * 30], {}, "is no integer"),
        (["version=1", "ratio=abc"], {}, "ratio: 'abc' is no number"),
        (["version=1", "ratio=true"], {}, "ratio: true is no number"),
        (["version=1", "ratio=NaN"], {}, "ratio: 'NaN' is no number"),
        (["version=1", "dry=yes"], {}, "dry: 'yes' is no boolean"),
        (["version=1", "hosts=[1"], {}, "hosts: '[1' is no JSON"),
        (["version=1", "stage=prod"], {}, "stage: it is none of test, live"),
        ([], {"version": 1}, "version: a number is no string"),
        ([], {"version": None}, "version: null is no string"),
        ([], {"version": "1", "count": "1"}, "count: '1' is no integer"),
        ([], {"version": "1", "count": True}, "count: true is no integer"),
        ([], {"version": "1", "count": 1.0}, "count: a number is no integer"),
        ([], {"version": "1", "dry": 1}, "dry: a number is no boolean"),
        ([], {"version": "1", "ratio": 10**400}, "ratio: the number is too large"),
        ([], {"version": "a\0"}, "version: it holds a NUL"),
        ([], {"version": "1", "hosts": ["\ud800"]}, "hosts: it holds a NUL or half of a surrogate pair"),
        ([], {"version": "1", "__class__": 1}, "there is no argument '__class__'"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(texts: list[str], given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_args(FLOW, texts, given)
    assert caught.value.code == "bad_args"
    assert sentence in caught.value.message
    assert caught.value.hint == "the arguments of example are: version, stage, count, ratio, dry, hosts"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        parse_args(FLOW, ["count=x", "dri=true"], {"ratio": "x"})
    for part in (
        "ratio: 'x' is no number",
        "count: 'x' is no integer",
        "no argument 'dri' (did you mean dry?)",
        "version is missing",
    ):
        assert part in caught.value.message


def test_arguments_are_bounded_in_size_and_depth() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    for value in (deep, "x" * 1_100_000):
        with pytest.raises(BadInput) as caught:
            parse_args(FLOW, [], {"version": "1", "hosts": value})
        assert caught.value.code == "bad_args"
    with pytest.raises(BadInput):
        parse_args(FLOW, ["version=1", "hosts=" + "[" * 100_000])


def test_the_goal_and_the_key_of_a_run_come_from_its_arguments() -> None:
    args = parse_args(FLOW, ["version=1.2", "stage=live"])
    assert goal_of(FLOW, args) == "Ship 1.2"
    assert concurrency_key(FLOW, args) == "ship-live"
    plain = read("name: n\nsteps: [{id: a, run: x}]")
    assert goal_of(plain, {}) == "n"
    assert concurrency_key(plain, {}) is None
    empty = read("goal: g ${args.x}\nargs: {x: }\nsteps: [{id: a, run: x}]")
    with pytest.raises(BadInput, match="has no value"):
        goal_of(empty, parse_args(empty))
