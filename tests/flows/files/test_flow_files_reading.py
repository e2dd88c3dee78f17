"""What a flow file may say, and that everything that is wrong with one is said at once, with line and column."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.files.flow_fakes import problems, read
from outlast.core.errors import BadInput
from outlast.flows.files.definition import Command, Definition, Retry, Sleep, decode_definition
from outlast.flows.files.reading import check_file, check_text

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples" / "flows").iterdir())

WHOLE = """
name: whole
goal: Do ${args.what}
description: Everything at once.
args:
  what: {default: it, enum: [it, that], description: which}
  count: {type: integer, required: true}
  bare:
env: {STAGE: "${args.what}", PORT: 8080}
workdir: sub
timeout: 2h30m
retry: {attempts: 2}
concurrency: {key: "k-${args.what}", max: 3}
steps:
  - id: first
    run: [make, "N=${args.count}", 1.10, true]
    title: Make it
    timeout: 90
    retry: {attempts: 3, backoff: 5s..1m}
    check: false
  - id: second
    needs: []
    run: cat
    stdin: {list: [1, "${args.count}"], none: null}
    env: {A: "${env.STAGE}"}
    workdir: /tmp
    on_failure: {run: [rm, -f, x], timeout: 5}
  - id: ask
    needs: [first, second]
    approval: Go ${steps.first.exit_code}?
    preview: ${steps.second.stdout}
    expires: 1d
  - {id: nap, sleep: 1h 30m}
  - {id: later, sleep: "2030-01-31T08:00:00+01:00", when: steps.ask.approved}
  - {id: go, wait: go.now, timeout: 1d, on_failure: continue}
  - {id: told, agent: coder, message: "Look at ${args.what}", conversation: "c-${args.what}", workdir: sub}
  - {id: child, flow: other, args: {deep: {n: ["${steps.go.output.n}"]}}, for_each: [1, two, "${args.what}"]}
outputs:
  first: ${steps.first.output}
  both: ["${steps.child.output[0]}", {at: "x${args.count}y"}, 3]
"""


def test_every_field_is_read() -> None:
    flow = read(WHOLE)
    first, second, *_, child = flow.steps
    assert isinstance(first.act, Command)
    assert isinstance(second.act, Command)
    assert [part.literal for part in first.act.command[2:]] == ["1.10", "true"]
    assert (first.act.timeout, first.act.check, first.act.retry) == (
        90.0,
        False,
        Retry(attempts=3, first=5.0, longest=60.0),
    )
    assert (second.act.retry, second.needs) == (Retry(attempts=2), ())
    assert second.act.workdir != first.act.workdir
    assert [step.id for step in second.cleanup] == ["cleanup"]
    assert flow.steps[2].needs == ("first", "second")
    assert flow.steps[3].act == Sleep(until=flow.steps[3].act.until)
    assert (child.for_each.max_items, child.for_each.max_parallel) == (1000, 1)
    assert (flow.timeout, flow.concurrency.max, flow.name) == (9000.0, 3, "whole")
    assert [argument.name for argument in flow.args] == ["what", "count", "bare"]


def test_what_was_read_can_be_kept_as_json_and_is_the_same_again() -> None:
    flow = read(WHOLE)
    assert decode_definition(flow.encoded()) == flow


def test_yaml_and_json_say_the_same() -> None:
    yaml = read("steps: [{id: a, run: [x, '${args.n}']}]\nargs: {n: {type: integer, default: 3}}", "f.flow.yaml")
    text = '{"steps": [{"id": "a", "run": ["x", "${args.n}"]}], "args": {"n": {"type": "integer", "default": 3}}}'
    assert read(text, "f.json") == yaml
    assert read(text, "f.flow.yaml") == yaml


def test_a_file_without_a_name_is_called_like_the_file() -> None:
    for file in ("/a/b/deploy.flow.yaml", "deploy.yml", "deploy.json"):
        assert check_text('{"steps": [{"id": "a", "run": "x"}]}', file).required().name == "deploy"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_as_it_should_be(path: Path) -> None:
    checked = check_file(str(path))
    assert checked.lines == []
    assert isinstance(checked.definition, Definition)


def test_the_examples_show_what_there_is() -> None:
    texts = {path.name: path.read_text() for path in EXAMPLES}
    assert len(texts) >= 5
    for sign in ("approval:", "for_each:", "needs: [", "command:", '"steps"', "on_failure:", "wait:", "sleep:"):
        assert any(sign in text for text in texts.values()), sign


def test_a_step_that_says_nothing_of_needs_waits_for_the_one_before_it() -> None:
    flow = read(
        "steps: [{id: a, run: x}, {id: b, run: x}, {id: c, run: x, needs: []}, {id: d, run: x}, "
        "{id: e, run: x, needs: [a, c, a]}]"
    )
    assert [step.needs for step in flow.steps] == [(), ("a",), (), ("c",), ("a", "c")]


def test_steps_for_failures_stand_outside_the_order() -> None:
    flow = read("steps: [{id: a, run: x, on_failure: [mend]}, {id: mend, run: y}, {id: b, run: x, on_failure: mend}]")
    assert [(step.id, step.needs) for step in flow.steps] == [("a", ()), ("b", ("a",))]
    assert [step.id for step in flow.steps[0].cleanup] == ["mend"]


# problems


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """name: x
argz: {}
steps:
  - id: a b
    run: x
  - id: two
    run: x
    sleep: 1s
  - id: three
    runn: x
  - id: four
    sleep: 5M
    stdin: x
"""
    assert problems(text) == [
        "2:1: 'argz' is no field of a flow (did you mean args?)",
        "4:9: 'a b' is not an id: it has the form [A-Za-z0-9_-]{1,64}",
        "6:5: a step has exactly one of run, agent, approval, wait, sleep, flow, not run and sleep",
        "9:5: a step has exactly one of run, agent, approval, wait, sleep, flow, and it has none",
        "10:5: 'runn' is no field of a step (did you mean run?)",
        "12:12: '5M' is not a span of time: write seconds (90), units from large to small (2h30m, 500ms; "
        "known are w d h m s ms) or PT20M; at most 100 years",
        "13:5: stdin goes with run, not with sleep",
    ]


def said(step: str, before: str = "{id: a, run: x}, ", more: str = "") -> str:
    """What is said of the second step of a flow, without its place."""
    found = problems(f"{more}\nsteps: [{before}{step}]")
    assert len(found) == 1, found
    return found[0].split(": ", 1)[1]


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("{id: b, run: x, needs: [aa]}", "there is no step 'aa' (did you mean a?)"),
        ("{id: a, run: x}", "the id 'a' is there twice: first in line 2"),
        ("{id: b, run: x, needs: [b]}", "steps wait for each other in a circle: b needs b"),
        ("{id: b, run: []}", "a command has from 1 to 1000 items"),
        ("{id: b, run: ['${args.x}']}", "the first item is the program: it must be named here, without ${…}"),
        ("{id: b, run: x, check: no}", "write true or false here, not the text 'no'"),
        ("{id: b, run: x, check: 1}", "write true or false here, not 1"),
        ("{id: b, run: x, timeout: yes}", "'yes' is not a span of time"),
        ("{id: b, run: x, timeout: true}", "a span of time is needed here (90, 2h30m), not true"),
        ("{id: b, run: x, retry: 3}", "retry is a mapping of fields, not 3"),
        ("{id: b, run: x, retry: {attempts: 0}}", "a whole number from 1 to 1000 is needed here, not 0"),
        ("{id: b, run: x, retry: {attempts: '3'}}", "a whole number from 1 to 1000 is needed here, not the text '3'"),
        ("{id: b, run: x, retry: {backoff: 1m..1s}}", "'1m..1s' is no pause"),
        ("{id: b, run: x, on_failure: []}", "this list is empty"),
        (
            "{id: b, run: x, on_failure: contineu}",
            "there is no step 'contineu' to be run on a failure (did you mean continue?)",
        ),
        ("{id: b, run: x, on_failure: [b]}", "a step cannot be run when it fails itself"),
        ("{id: b, run: x, env: {A-B: x}}", "'A-B' cannot be a name here"),
        ("{id: b, run: x, env: [A=x]}", "this is a list: variables are names with values"),
        ("{id: b, run: x, env: {LD_PRELOAD: '${steps.a.output}'}}", "LD_PRELOAD decides which code programs run"),
        ("{id: b, run: x, depends_on: [a]}", "'depends_on' is no field of a step (here it is needs)"),
        ("{id: b, sleep: 2030-01-31T08:00:00}", "'2030-01-31T08:00:00' is not a moment"),
        ("{id: b, wait: a}", "the signal a is called like another step"),
        ("{id: b, wait: 'x y'}", "'x y' is not the name of a signal"),
        ("{id: b, sleep: 1s, timeout: 5}", "timeout goes with agent or run or wait, not with sleep"),
        ("{id: b, sleep: 1s, for_each: [1]}", "for_each goes with agent or flow or run, not with sleep"),
        ("{id: b, agent: coder}", "an agent has to be told something: it has no message"),
        ("{id: b, agent: 'no one', message: hi}", "'no one' is not the name of an agent"),
        ("{id: b, agent: coder, message: hi, prompt: hi}", "'prompt' is no field of a step (here it is message)"),
        ("{id: b, run: x, message: hi}", "message goes with agent, not with run"),
        ("{id: b, agent: coder, message: hi, retry: {attempts: 2}}", "retry goes with run, not with agent"),
        ("{id: b, run: x, when: 'steps.a'}", "say which part of a: output, json, stdout, status, exit_code, approved"),
        ("{id: b, run: x, when: 3}", "a condition is true or false, not 3"),
        ("{id: b, run: x, when: steps.a.approved}", "a asks nobody: only an approval has approved"),
        (
            "{id: b, run: x, when: 'steps.a.status == \"suceeded\"'}",
            "'suceeded' is no status (did you mean succeeded?)",
        ),
        ("{id: b, run: x, when: 'args.tga == 1'}", "there is no argument 'tga' (did you mean tag?)"),
        ("{id: b, run: x, when: 'env.STAGE == \"x\"'}", "there is no variable in the flow's env 'STAGE'"),
        ("{id: b, run: [x, '${item}']}", "item is only known inside a step with for_each"),
        ("{id: b, run: x, for_each: [1], when: item}", "item is only known inside a step with for_each"),
        ("{id: b, run: x, for_each: 7}", "for_each needs a list, or an expression that is one, not 7"),
        (
            "{id: b, run: x, needs: [], stdin: '${steps.a.output}'}",
            "a may not have ended when b begins: put it into needs",
        ),
        ("{id: b, run: [x, '${steps.a.output']}", "${ is not closed with }"),
        ("{id: b, run: [x, '${HOME}']}", "'HOME' is not known here"),
        ("{id: b, approval: 'ok?', args: {}}", "args goes with flow, not with approval"),
        (
            "{id: b, run: 'echo ${args.tag}'}",
            "${args…} would be pasted into a line for the shell, and could run as code",
        ),
        ("{id: b, run: [bash, -c, 'echo ${args.tag}']}", "an interpreter would run this item as code"),
        ("{id: b}", "a step has exactly one of run, agent, approval, wait, sleep, flow, and it has none"),
        ("text", "a step is a mapping of fields, not the text 'text'"),
    ],
)
def test_what_is_wrong_is_said_in_words(step: str, sentence: str) -> None:
    assert said(step, more="args: {tag: , x: }").startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: []", "1:8: steps is a list of at least one step, not a list"),
        ("name: x", "1:1: a flow has no steps"),
        ("- a", "1:1: a flow file is a mapping of fields, not a list"),
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("steps: [{id: a, run: x}]\nsteps: [{id: a, run: x}]", "2:1: 'steps' is there twice: first in line 1"),
        ("steps: [{id: a, run: x}]\n---\nsteps: []", "2:1: a second document begins here: a file holds one flow"),
        ("steps: [{id: a, run: x}]\nargs: {a: {type: int}}", "2:18: 'int' is no type (did you mean integer?)"),
        (
            "steps: [{id: a, run: x}]\nargs: {a: {default: 3}}",
            "2:21: 3 is no string: put it in quotes, or say its type",
        ),
        ("steps: [{id: a, run: x}]\nargs: {a: {default: x, enum: [y, z]}}", "2:21: the default is none of y, z"),
        (
            "steps: [{id: a, run: x}]\nargs: {a: {default: x, required: true}}",
            "2:21: an argument with a default is never",
        ),
        ("steps: [{id: a, run: x}]\nenv: {A: '${steps.a.output}'}", "2:10: steps is not known here: this is filled in"),
        (
            "steps: [{id: a, run: x, on_failure: [m]}, {id: m, run: x}]\noutputs: {a: '${steps.m.output}'}",
            "2:14: m is only run",
        ),
        (
            "steps: [{id: a, run: x, on_failure: m}, {id: m, run: x, needs: a}]",
            "1:57: m is run when a fails, so it has no needs",
        ),
        (
            "steps: [{id: a, run: x, on_failure: m}, {id: m, run: x}, {id: b, run: x, needs: m}]",
            "1:81: m is only run when a fails",
        ),
        (
            "steps: [{id: a, wait: go}, {id: b, wait: go}]",
            "1:42: a waits for go already: give each wait a signal of its own",
        ),
        ("steps:\n\t- id: a", "2:1: this is not YAML"),
        ("steps: [{id: a, run: 'x}]", "1:26: this is not YAML"),
    ],
)
def test_what_is_wrong_with_the_whole_is_said_in_words(text: str, sentence: str) -> None:
    found = problems(text)
    assert any(line.startswith(sentence) for line in found), found


def test_the_usual_reason_why_it_is_no_yaml_is_said() -> None:
    (found,) = problems("args: {v: }\nsteps:\n  - id: a\n    run: [x, ${args.v}]\n")
    assert found.startswith("4:15: this is not YAML")
    assert found.endswith("in brackets a text with ${…} needs quotes")


def test_a_circle_is_told_once_with_those_who_are_on_it() -> None:
    text = """steps:
- {id: a, run: x}
- {id: b, run: x, needs: [d]}
- {id: c, run: x, needs: [b]}
- {id: d, run: x, needs: [a, c]}
- {id: e, run: x, needs: [d]}
"""
    assert problems(text) == ["3:27: steps wait for each other in a circle: b needs d needs c needs b"]


def test_a_step_that_cannot_be_read_is_no_further_problem_where_it_is_named() -> None:
    text = "steps: [{id: a}, {id: b, run: [x, '${steps.a.output}'], needs: [a]}]"
    assert len(problems(text)) == 1


def test_cleanup_may_look_at_the_step_that_failed() -> None:
    read("steps: [{id: a, run: x, on_failure: {run: cat, stdin: '${steps.a.stdout}'}}]")
    read("steps: [{id: a, run: x, on_failure: [m]}, {id: m, run: [x, '${steps.a.status}']}]")
    one, two = "{id: a, run: x, on_failure: m}", "{id: b, run: x, on_failure: m}"
    both = f"steps: [{one}, {two}, {{id: m, run: [x, '${{steps.b.status}}']}}]"
    assert problems(both) == ["1:90: b may not have ended when m begins: put it into needs"]


def test_words_of_other_tools_are_texts_here() -> None:
    """YAML 1.1 takes no, on, off and y for booleans, 1:30 for a number in base 60 and 2030-01-01 for a date."""
    flow = read(
        "steps: [{id: no, run: [echo, no, on, off, y, 1:30, 2030-01-01, 0777, 1_000, .5, null_, ~x]}]\nname: on"
    )
    assert flow.name == "on"
    assert flow.steps[0].id == "no"
    assert [part.literal for part in flow.steps[0].act.command] == [
        "echo",
        "no",
        "on",
        "off",
        "y",
        "1:30",
        "2030-01-01",
        "0777",
        "1_000",
        ".5",
        "null_",
        "~x",
    ]
    assert problems("on: {push: x}\nsteps: [{id: a, run: x}]") == ["1:1: 'on' is no field of a flow"]


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "bad.flow.yaml"
    path.write_text("steps: 3\n")
    assert check_file(str(path)).lines == [f"{path}:1:8: steps is a list of at least one step, not 3"]
    with pytest.raises(BadInput) as caught:
        check_file(str(path)).required()
    assert caught.value.code == "bad_flow_file"
    assert str(path) in caught.value.message
    assert "flow check" in (caught.value.hint or "")


def test_only_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", Path("/dev/zero"), "a\0b"):
        with pytest.raises(BadInput) as caught:
            check_file(str(path))
        assert caught.value.code == "bad_flow_file"
