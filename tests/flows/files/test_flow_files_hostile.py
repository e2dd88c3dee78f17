"""Flow files from a stranger: bombs, depths, lengths and odd characters are refused, soon, and never executed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.files.flow_fakes import problems, read
from outlast.flows.files import yaml_tree
from outlast.flows.files.problems import PROBLEMS_MAX
from outlast.flows.files.reading import check_text

SOON = 20.0
"""Seconds of this process for anything within the size limit; most takes a thousandth of it."""


def soon(work: Callable[[], list[str]]) -> list[str]:
    """The result, if it did not take long; time of this process, so that a busy machine does not matter."""
    start = time.process_time()
    found = work()
    assert time.process_time() - start < SOON
    return found


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "an alias (*name) stands here"),
        ("steps: &s [*s]", "an alias (*name) stands here"),
        ("steps: &s [{id: a, run: x}]", "an anchor (&name) stands here"),
        ("steps: [{id: a, <<: {run: x}}]", "'<<' is no field of a step"),
        ("steps: !!python/object/apply:os.system ['touch /tmp/no']", "a tag (!name) stands here"),
        ("steps: [{id: a, run: !!str x}]", "a tag (!name) stands here"),
        ("steps: [{id: a, run: ! x}]", "a tag (!name) stands here"),
        ("[" * 100, "stand more than 32 levels deep"),
        ("[" * 1_000_000, "nest" if yaml_tree.IN_C else "stand more than 32 levels deep"),
        ("{a: " * 200_000, "stand more than 32 levels deep"),
        ("- " * 400_000, "stand more than 32 levels deep"),
        ("? " * 400_000, "stand more than 32 levels deep"),
        ("x: [" + "a," * 400_000 + "]", "more than 1,000 items in one list"),
        ("".join(f"k{n}: 1\n" for n in range(60_000)), "the file holds more than 100,000 values"),
        ("x: " + "a" * 1_100_000, "the file is larger than 1024 KiB"),
        ("name: " + "a" * 1_000_000 + "\nsteps: [{id: a, run: x}]", "a text has at most 100 characters here"),
        ("name: a\x00b", "the character '\\x00' cannot stand in a flow file"),
        ("name: a\x1b[2Jb", "the character '\\x1b' cannot stand in a flow file"),
        ('name: "a\\0b"\nsteps: [{id: a, run: x}]', "this text holds a NUL or half of a surrogate pair"),
        ("? [a, b]\n: c\nsteps: [{id: a, run: x}]", "a name must be a text, not a list or a mapping"),
        ('"' * 100_001, "this is not YAML"),
        ("&a " * 1000, "this is not YAML"),
        ("%YAML 9.9\n---\nsteps: []", "this is not YAML"),
    ],
    ids=lambda text: text[:30],
)
def test_yaml_that_wants_to_hurt_is_refused_soon(text: str, sentence: str) -> None:
    found = soon(lambda: problems(text))
    assert any(sentence in line for line in found), found
    assert len(found) <= PROBLEMS_MAX + 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "1:33: lists and mappings stand more than 32 levels deep"),
        ('{"a":' * 100_000, "stand more than 32 levels deep"),
        ("[" + "1," * 300_000 + "1]", "more than 1,000 items in one list"),
        ('{"steps": [], "steps": []}', "1:15: 'steps' is there twice"),
        ('{"name": "\\ud800", "steps": [{"id": "a", "run": "x"}]}', "1:10: this text holds a NUL or half"),
        ('{"steps": [{"id": "a", "run": "x"}],}', "1:37: this is not JSON: a name in double quotes is missing here"),
        ('{"steps": [{"id": "a" "run": "x"}]}', "1:23: this is not JSON: a comma or } is missing here"),
        ('{"a": NaN}', "1:7: this is not JSON: a value is missing here"),
        ('{"a": 01}', "1:8: this is not JSON"),
        ('{"a": "\n"}', "1:8: this is not JSON"),
        ('{"steps": []} x', "1:15: this is not JSON: nothing may follow"),
        ("", "1:1: the file is empty"),
    ],
    ids=lambda text: text[:30],
)
def test_json_that_wants_to_hurt_is_refused_soon(text: str, sentence: str) -> None:
    found = soon(lambda: problems(text, "x.json"))
    assert any(sentence in line for line in found), found


def test_ten_thousand_steps_are_refused_at_once() -> None:
    text = "steps:\n" + "".join(f"- id: s{n}\n  run: echo {n}\n" for n in range(10_000))
    took = []
    for _ in range(5):
        start = time.process_time()
        assert problems(text) == ["2:1: more than 1,000 items in one list: a flow has at most 1,000 steps"]
        took.append(time.process_time() - start)
    assert min(took) < 0.5  # once may have been when Python collected its garbage


def test_a_thousand_steps_are_fine_each_needing_all_before_it() -> None:
    steps = [{"id": f"s{n}", "run": "x", "needs": [f"s{m}" for m in range(max(0, n - 60), n)]} for n in range(1000)]
    soon(lambda: problems(json.dumps({"steps": steps}), "x.json"))
    assert len(read(json.dumps({"steps": steps}), "x.json").steps) == 1000


def test_a_circle_of_a_thousand_steps_is_found_soon() -> None:
    steps = [{"id": f"s{n}", "run": "x", "needs": [f"s{(n + 1) % 1000}"]} for n in range(1000)]
    found = soon(lambda: problems(json.dumps({"steps": steps}), "x.json"))
    assert len(found) == 1
    assert "in a circle: s0 needs s1 needs s2" in found[0]
    assert len(found[0]) < 300


def test_thousands_of_problems_are_counted_and_a_hundred_told() -> None:
    steps = [{"id": f"s{n}", "run": "x", "needs": [f"t{m}" for m in range(50)]} for n in range(1000)]
    found = soon(lambda: problems(json.dumps({"steps": steps}), "x.json"))
    assert len(found) == PROBLEMS_MAX + 1
    assert found[-1].endswith(f"and {50_000 - PROBLEMS_MAX} more problems")


def test_without_the_parser_in_c_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML without libyaml has a parser of its own; its events are the same."""
    import yaml

    monkeypatch.setattr(yaml_tree, "_LOADER", yaml.BaseLoader)
    assert "an alias" in problems(LAUGHS)[-1]
    assert problems("[" * 3000)[0].startswith("1:33: lists and mappings stand more than 32 levels")
    text = "steps: [{id: no, run: [a, 'b', \"c\", d]}]"
    assert [part.literal for part in read(text).steps[0].act.command] == ["a", "b", "c", "d"]
    assert "this is not YAML" in problems("a: 'x")[0]


def test_bytes_that_are_no_text_are_refused() -> None:
    assert problems(b"name: x\nsteps: \xff") == ["2:1: the file is not UTF-8"]
    assert problems("steps: []".encode("utf-16")) == ["1:1: the file is not UTF-8"]
    assert problems(b"\xef\xbb\xbfsteps: 3") == ["1:8: steps is a list of at least one step, not 3"]


def test_nothing_unprintable_gets_into_a_problem() -> None:
    """What is shown on a terminal must not speak to it, nor turn its text round."""
    text = 'steps: [{id: "\\e[31m\\u202e", run: x}, {id: a, run: x, "\\e]0;x\\a": 1}]\n\u202egnol: 1'
    found = problems(text)
    assert len(found) == 3
    assert all(line.isprintable() for line in found)


def test_odd_names_are_only_names() -> None:
    flow = read(
        "args: {__class__: {default: x}, constructor: , __proto__: }\n"
        "steps: [{id: __class__, run: [a, '${args.__class__}']}, "
        "{id: __init__, run: [a, '${steps.__class__.output}']}, "
        "{id: -, run: x}, {id: '1', run: x}]"
    )
    assert [step.id for step in flow.steps] == ["__class__", "__init__", "-", "1"]
    for source in (
        "steps.__class__.__class__",
        "args.__class__.__mro__[1]",
        "item.__globals__",
        "().__class__",
        "__import__('os')",
    ):
        found = problems(f'args: {{a: }}\nsteps: [{{id: a, run: x}}, {{id: b, run: x, when: "{source}"}}]')
        assert found, source


def test_wide_and_odd_unicode_is_kept() -> None:
    flow = read("steps: [{id: a, run: [echo, 'naïve 漢字 👩‍👩‍👧 \u00a0']}]")
    assert flow.steps[0].act.command[1].literal == "naïve 漢字 👩‍👩‍👧 \u00a0"
    assert problems("steps: [{id: ähm, run: x}]") == ["1:14: 'ähm' is not an id: it has the form [A-Za-z0-9_-]{1,64}"]
    assert problems("steps: [{id: '１', run: x}]")
    assert problems('steps: [{id: "a\\n", run: x}]')


@pytest.mark.parametrize(
    "number", ["9" * 5000, "1e999", "-1e999", ".inf", ".nan", "0x" + "f" * 99, "9223372036854775808"]
)
def test_huge_numbers_are_no_numbers(number: str) -> None:
    found = soon(lambda: problems(f"steps: [{{id: a, run: x, retry: {{attempts: {number}}}}}]"))
    assert len(found) == 1
    assert "a whole number from 1 to 1000 is needed here" in found[0]
    assert len(found[0]) < 200
    assert len(soon(lambda: problems(f"steps: [{{id: a, run: x, timeout: {number}}}]"))) == 1


# whatever comes


PIECES = st.sampled_from(
    [
        "steps:",
        "- ",
        "id: a",
        "run: x",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "&a ",
        "*a ",
        "!t ",
        "|",
        ">",
        "'",
        '"',
        "needs: [a]",
        "when: ",
        "${",
        "steps.a.output",
        "}",
        "#",
        "---",
        "...",
        "%",
        "?",
        "for_each:",
        "\t",
        "é",
        "a",
        "1",
        "command: x ${a}",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    for name in ("x.flow.yaml", "x.json", "x.lobster"):
        checked = check_text(text, name)
        assert (checked.definition is None) == bool(checked.problems)
        lines = text.count("\n") + 2
        assert all(
            1 <= problem.line <= lines and problem.column >= 1 and problem.sentence for problem in checked.problems
        )


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for name in ("x.flow.yaml", "x.json", "x.lobster"):
        checked = check_text(content, name)
        assert (checked.definition is None) == bool(checked.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "run",
                    "steps",
                    "needs",
                    "when",
                    "env",
                    "args",
                    "on_failure",
                    "retry",
                    "stdin",
                    "for_each",
                    "x",
                    "items",
                    "command",
                    "condition",
                    "approval",
                    "sleep",
                    "wait",
                    "flow",
                    "type",
                    "default",
                    "enum",
                    "outputs",
                    "concurrency",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from(["x.json", "x.lobster"]))
def test_any_json_is_read_or_refused(value: object, name: str) -> None:
    checked = check_text(json.dumps(value), name)
    assert (checked.definition is None) == bool(checked.problems)
