"""The published schema and the reader agree: what outlast takes, an editor does not underline."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.files.flow_fakes import Ended, FakeContext, read
from flows.files.test_flow_files_reading import EXAMPLES, WHOLE
from outlast.flows.files import definition as records
from outlast.flows.files.fields import TABLES
from outlast.flows.files.problems import Problems
from outlast.flows.files.program import FILE_HANDLER, FileProgram, given_of
from outlast.flows.files.reading import check_text
from outlast.flows.files.schema import flow_schema, schema_text
from outlast.flows.files.tree import to_plain
from outlast.flows.files.yaml_tree import parse_yaml

SCHEMA = flow_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def plain(text: str) -> Any:
    return to_plain(parse_yaml(text, Problems()))


def misfits(value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:100]}" for error in VALIDATOR.iter_errors(value)]


def taken(value: Any) -> bool:
    return check_text(json.dumps(value), "x.json").definition is not None


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(schema_text()) == SCHEMA
    assert "](" not in schema_text()


def test_the_published_schema_is_what_the_code_says() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "flow-file.schema.json"
    assert page.read_text("utf-8") == schema_text()


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.suffix != ".lobster"], ids=lambda path: path.name)
def test_every_example_fits_the_schema(path: Path) -> None:
    assert misfits(plain(path.read_text())) == []


def test_a_file_with_every_field_fits_the_schema() -> None:
    value = plain(WHOLE)
    assert misfits(value) == []
    used = set(value) | {name for step in value["steps"] for name in step}
    known = {field.name for name in ("flow", "step") for field in TABLES[name]}
    assert known - used == set()


@pytest.mark.parametrize(
    "text",
    [
        "steps: []",
        "{}",
        "[]",
        "steps: [{id: a}]",
        "steps: [{run: x}]",
        "steps: [{id: a, run: x, sleep: 1s}]",
        "steps: [{id: a, run: x, stdinn: y}]",
        "steps: [{id: a b, run: x}]",
        "steps: [{id: a, run: []}]",
        "steps: [{id: a, run: [null]}]",
        "steps: [{id: a, run: ''}]",
        "steps: [{id: a, sleep: 1s, stdin: x}]",
        "steps: [{id: a, agent: x}]",
        "steps: [{id: a, run: x, check: 'no'}]",
        "steps: [{id: a, run: x, retry: {attempts: 0}}]",
        "steps: [{id: a, run: x, retry: 3}]",
        "steps: [{id: a, run: x, when: 3}]",
        "steps: [{id: a, run: x, on_failure: []}]",
        "steps: [{id: a, run: x, on_failure: {stdin: x}}]",
        "steps: [{id: a, run: x, on_failure: {run: x, needs: []}}]",
        "steps: [{id: a, run: x, env: {A B: x}}]",
        "steps: [{id: a, run: x, env: {A: [x]}}]",
        "steps: [{id: a, run: x, for_each: {max_items: 3}}]",
        "steps: [{id: a, run: x, for_each: {items: [], max_items: 0}}]",
        "steps: [{id: a, run: x}]\nargs: {a: {type: int}}",
        "steps: [{id: a, run: x}]\nargs: {1a: }",
        "steps: [{id: a, run: x}]\nconcurrency: {max: 3}",
        "steps: [{id: a, run: x}]\nname: ''",
        "steps: [{id: a, wait: a b}]",
        "steps: [{id: a, approval: x, args: {}}]",
        "steps: [{id: a, run: x, timeout: true}]",
    ],
)
def test_what_is_wrong_in_form_is_refused_by_both(text: str) -> None:
    value = plain(text)
    assert misfits(value)
    assert not taken(value)


ODD = [
    None,
    True,
    False,
    0,
    1,
    -1,
    3.5,
    10**9,
    "",
    "x",
    "a b",
    "${args.what}",
    "1h",
    "fail",
    [],
    [1],
    ["a"],
    {},
    {"run": "x"},
    {"a": 1},
    {"items": [1]},
    {"key": "k"},
]
NAMES = sorted({field.name for table in TABLES.values() for field in table})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


@settings(max_examples=250, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_whatever_outlast_takes_the_schema_takes(luck: random.Random, count: int) -> None:
    """Random changes of a file with every field: taken by the reader and refused by the schema is a contradiction."""
    value = copy.deepcopy(WHOLE_VALUE)
    for _ in range(count):
        path = luck.choice(places(value)[1:] or [("steps",)])
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        change = luck.choice(["set", "drop", "add"])
        if change == "set":
            holder[path[-1]] = copy.deepcopy(luck.choice(ODD))
        elif change == "drop":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            holder[luck.choice(NAMES)] = copy.deepcopy(luck.choice(ODD))
        else:
            holder.append(copy.deepcopy(luck.choice(ODD)))
    if taken(value):
        assert misfits(value) == []


WHOLE_VALUE = plain(WHOLE)


# the tables, the records, the page


def test_every_field_has_a_place_in_the_records_and_every_record_a_field() -> None:
    """What a table names is read into a record of that name, or into one of another name that is told here."""
    acts = [records.Command, records.Agent, records.Approval, records.Wait, records.Sleep, records.SubFlow]
    held = {name for record in (records.Step, *acts) for name in record.__struct_fields__}
    told = {"run": "command", "approval": "prompt", "wait": "signal", "sleep": "until"}
    assert {told.get(field.name, field.name) for field in TABLES["step"]} - held == set()
    assert held - {told.get(field.name, field.name) for field in TABLES["step"]} == {"act", "cleanup", "ask"}
    assert {field.name for field in TABLES["flow"]} ^ set(records.Definition.__struct_fields__) == {"workdir", "retry"}
    assert {field.name for field in TABLES["argument"]} | {"name"} == set(records.Argument.__struct_fields__)
    assert {field.name for field in TABLES["for_each"]} == set(records.ForEach.__struct_fields__)
    assert {field.name for field in TABLES["concurrency"]} == set(records.Concurrency.__struct_fields__)


DOCS = Path(__file__).parents[3] / "docs"


def shown() -> list[str]:
    """Every piece of a flow file in the pages about them."""
    pages = (DOCS / "how-to" / "write-a-flow-file.md", DOCS / "reference" / "flow-files.md")
    return [
        body for page in pages for body in re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)
    ]


@pytest.mark.parametrize("body", shown(), ids=lambda body: body[:20])
def test_what_the_pages_show_is_as_it_should_be(body: str) -> None:
    """But for what a part of a file cannot know: steps and arguments that stand elsewhere."""
    if body.lstrip().startswith("- id"):
        body = f"steps:\n{body}"
    elif "steps:" not in body:
        body = f"{body}\nsteps: [{{id: only, run: x}}]"
    elsewhere = re.compile(r"there is no (step|argument) ")
    assert [line for line in check_text(body, "x.flow.yaml").lines if not elsewhere.search(line)] == []


def test_pieces_of_flow_files_are_found() -> None:
    assert len(shown()) >= 10


def test_the_page_has_a_row_for_every_field() -> None:
    page = (DOCS / "reference" / "flow-files.md").read_text("utf-8")
    for table in TABLES.values():
        for field in table:
            assert re.search(rf"^\| `{field.name}` \|", page, re.M), field.name


# what a flow is started with


def test_a_flow_runs_from_what_it_was_started_with_alone(tmp_path: Path) -> None:
    flow = read(
        "args: {n: {type: integer, default: 2}}\n"
        "steps: [{id: a, run: [x, '${args.n}']}, {id: b, for_each: [1, '${args.n}'], run: [y, '${item}']}]\n"
        "outputs: {a: '${steps.a.json}'}"
    )
    given = json.loads(json.dumps(given_of(flow, {"n": 2}, str(tmp_path))))
    assert msgspec.convert(given["definition"], records.Definition) == flow
    context = FakeContext({"a": Ended("[7]")})

    async def main() -> object:
        context.news = asyncio.Condition()
        return await FileProgram().run(context, given)

    assert asyncio.run(main()) == {"a": [7]}
    assert context.asked["b[1]"]["command"] == ["y", "2"]
    assert context.asked["a"]["workdir"] == str(tmp_path)
    assert FILE_HANDLER == "outlast:file"
