"""The language of expressions: what it says, what it refuses, and that nothing but data can be said in it."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlast.flows.files.evaluate import TEXT_MAX, End, Scope, Unknown, holds, value_of
from outlast.flows.files.expressions import DEPTH_MAX, SOURCE_MAX, BadExpression, parse_expression
from outlast.flows.files.templates import Template, fill, fill_text, parse_template

ENDS = {
    "build": End(
        status="succeeded",
        stdout='{"version": "1.2", "files": [{"name": "a b"}], "n": 3, "ok": true, "nil": null}\n',
        exit_code=0,
    ),
    "text": End(status="succeeded", stdout="plain\n\n", exit_code=0),
    "list": End(status="succeeded", stdout='["a", "b"]', exit_code=0),
    "bad": End(status="failed", stdout="oh", exit_code=3, error="exit code 3"),
    "late": End(status="timed_out", error="too late"),
    "left-out": End(status="skipped"),
    "ask": End(status="succeeded", approved=True, value={"approved": True, "note": None, "by": "ann"}),
    "no": End(status="rejected", value={"approved": False}),
    "cut": End(status="succeeded", stdout="[1, 2", truncated=True, exit_code=0),
    "each": End(status="succeeded", value=["x", {"y": 1}]),
}
SCOPE = Scope(
    {"tag": "family", "count": 3, "hosts": ["a", "b"], "none": None}, {"STAGE": "test"}, ENDS, {"name": "i"}, 4
)


def worth(source: str) -> Any:
    return value_of(parse_expression(source), SCOPE)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("steps.build.output.version", "1.2"),
        ("steps.build.json.files[0].name", "a b"),
        ('steps["build"].output["files"][0]["name"]', "a b"),
        ("steps.build.stdout == steps.build.stdout", True),
        ("steps.text.output", "plain"),
        ("steps.text.stdout", "plain\n\n"),
        ("steps.list.output", '["a", "b"]'),
        ("steps.list.json", ["a", "b"]),
        ("steps.list.output[1]", "b"),
        ("steps.bad.status", "failed"),
        ("steps.bad.exit_code", 3),
        ("steps.late.exit_code", None),
        ("steps.left-out.status", "skipped"),
        ("steps.left-out.output.any.thing[3]", None),
        ("steps.left-out.approved", False),
        ("steps.ask.approved and not steps.no.approved", True),
        ("steps.ask.output.by", "ann"),
        ("steps.each.output[1].y", 1),
        ("args.tag + '-' + env.STAGE", "family-test"),
        ("args.hosts[1]", "b"),
        ("args.none == null", True),
        ("item.name", "i"),
        ("index + 1", 5),
        ("1 + 2.5", 3.5),
        ("-3 < -2.5", True),
        ("1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3", True),
        ("'a' < 'b'", True),
        ("1 == 1.0", True),
        ("true == 1", False),
        ("false == 0 or null == false", False),
        ("'1' == 1", False),
        ("steps.build.output.files == steps.build.json.files", True),
        ("'b' in args.hosts", True),
        ("'c' not in args.hosts", True),
        ("'am' in args.tag", True),
        ("'name' in item", True),
        ("1 in args.hosts", False),
        ("len(args.hosts) + len(args.tag) + len(item)", 9),
        ("not true or true", True),
        ("not (true or true)", False),
        ("!true || true && false", False),
        ("!steps.ask.approved == false", True),
        ("true or args.nothing_at_all", True),
        ("false and steps.build.output.no", False),
        ("null and true", False),
        (r"'it\'s' + " r'"\"\n"', "it's\"\n"),
        ("1e3", 1000.0),
        ("  ( ( 1 ) )  ", 1),
    ],
)
def test_an_expression_is_worth_what_it_says(source: str, value: object) -> None:
    found = worth(source)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("steps.build.output.versoin", "steps.build.output is a mapping without .versoin"),
        ("steps.build.output.files[1]", "steps.build.output.files is a list without [1]"),
        ("steps.build.output.n.x", "steps.build.output.n is a number without .x"),
        ("steps.build.output.nil.x", "steps.build.output.nil is null without .x"),
        ("steps.text.output.x", "the output of text is not JSON"),
        ("steps.text.json", "the output of text is not JSON"),
        ("steps.cut.output", "the output of cut was too long to be kept whole"),
        ("args.nothing", "there is no args.nothing"),
        ("1 + 'a'", "a number and a text cannot be added up"),
        ("true + 1", "true and a number cannot be added up"),
        ("1 < 'a'", "a number and a text have no order"),
        ("true < 2", "true and a number have no order"),
        ("len(3)", "a number has no length"),
        ("1 in 'a'", "a number cannot be in a text"),
        ("'a' and true", "'and', 'or' and 'not' take true and false, not a text"),
        ("not 0", "'and', 'or' and 'not' take true and false, not a number"),
        ("len(args.tag + 1)", "a text and a number cannot be added up"),
    ],
)
def test_a_value_that_is_missing_or_unfit_is_an_error_that_names_the_expression(source: str, why: str) -> None:
    with pytest.raises(Unknown) as caught:
        worth(source)
    assert str(caught.value).startswith(f"${{{source}}}: {why}")


def test_a_condition_is_true_or_false() -> None:
    assert holds(parse_expression("steps.left-out.output.ok"), SCOPE) is False
    assert holds(parse_expression("steps.build.output.ok"), SCOPE) is True
    for source in ("steps.text.output", "args.count", "args.hosts"):
        with pytest.raises(Unknown, match="a condition is true or false"):
            holds(parse_expression(source), SCOPE)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "   ",
        "(",
        "1 +",
        "a",
        "__import__('os')",
        "().__class__",
        "steps",
        "steps.",
        "steps.a",
        "steps.a.pid",
        "args",
        "args.",
        "args[0]",
        "env.A.b",
        "index.real",
        "steps.a.stdout.b",
        "steps.a.status[0]",
        "1 2",
        "1 == 1 == 1",
        "1 < 2 < 3",
        "'open",
        '"open',
        "a = 1",
        "1 - 1",
        "2 * 2",
        "2 ** 9",
        "[1, 2]",
        "{1}",
        "{'a': 1}",
        "lambda: 1",
        "f'{args.a}'",
        "x if y else z",
        "len",
        "len()",
        "len(1, 2)",
        "print(1)",
        "item()",
        "item.__class__()",
        "args.a.b()",
        "not",
        "and",
        "1 and",
        "or 1",
        "!",
        "in",
        "1;2",
        "1 # c",
        "`ls`",
        "$a.stdout",
        "${args.a}",
        "true false",
        "item[1:2]",
        "item[-1]",
        "item[1.5]",
        "item[a]",
        "1.2.3",
        "1_000",
        "0x10",
        "9" * 30,
        "1e400",
        "args.a\x00",
        "args.ä",
        "１",
        "steps.a.output..b",
        "@",
        "args.a := 1",
        "a.b.c",
        "True",
        "None",
    ],
)
def test_nothing_else_can_be_said(source: str) -> None:
    with pytest.raises(BadExpression):
        parse_expression(source)


def test_an_expression_is_bounded_in_length_and_depth() -> None:
    assert worth(" or ".join(["false"] * 100)) is False
    assert worth(" + ".join(["1"] * 200)) == 200
    assert worth("(" * DEPTH_MAX + "1" + ")" * DEPTH_MAX) == 1
    for source in (
        "(" * (DEPTH_MAX + 1) + "1" + ")" * (DEPTH_MAX + 1),
        "not " * 31 + "true",
        "!" * 31 + "true",
        "len(" * 31,
        "'" + "a" * SOURCE_MAX + "'",
    ):
        with pytest.raises(BadExpression):
            parse_expression(source)
    took = []
    for _ in range(5):
        start = time.process_time()
        for text in ("(" * 1_000_000, "'" * 999, '"\\' * 499, "a." * 499, "1 " * 499):
            with pytest.raises(BadExpression):
                parse_expression(text)
        took.append(time.process_time() - start)
    assert min(took) < 0.5  # once may have been when Python collected its garbage


def test_a_text_that_is_put_together_is_bounded() -> None:
    scope = Scope({"a": "x" * (TEXT_MAX // 2 + 1)}, {}, {})
    for expression in ("args.a + args.a", "len(args.a + args.a)"):
        with pytest.raises(Unknown, match="more than 1,048,576 characters"):
            value_of(parse_expression(expression), scope)
    with pytest.raises(Unknown, match="more than 1,048,576 characters"):
        fill_text(parse_template("${args.a}${args.a}"), scope)


def test_numbers_stay_numbers_that_json_has() -> None:
    huge = Scope({"a": 1.7e308, "b": 10**400}, {}, {})
    for source in ("args.a + args.a", "args.b + args.b"):
        with pytest.raises(Unknown, match="the sum is too large"):
            value_of(parse_expression(source), huge)
    assert math.isfinite(value_of(parse_expression("args.a + 1"), huge))


def test_output_that_is_too_deep_is_text() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    scope = Scope({}, {}, {"a": End(status="succeeded", stdout=deep)})
    assert value_of(parse_expression("steps.a.output"), scope) == deep
    with pytest.raises(Unknown, match="is not JSON"):
        value_of(parse_expression("steps.a.json"), scope)


def test_values_that_are_deep_or_odd_never_break_the_comparison() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    scope = Scope({"a": deep}, {}, {})
    with pytest.raises(Unknown, match="too deep"):
        value_of(parse_expression("args.a == args.a"), scope)
    with pytest.raises(Unknown, match="too deep"):
        fill_text(parse_template("x${args.a}"), scope)


# templates


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${args.tag}", "family"),
        ("<${args.tag}>", "<family>"),
        ("${args.count}", 3),
        ("n=${args.count} ok=${steps.build.output.ok}", "n=3 ok=true"),
        ("${args.hosts}", ["a", "b"]),
        ("h=${args.hosts}", 'h=["a","b"]'),
        ("$${args.tag}", "${args.tag}"),
        ("$$${args.tag}", "$${args.tag}"),
        ("$ {a} $a $(ls) `ls` \\${args.tag}", "$ {a} $a $(ls) `ls` \\family"),
        ("${\"}\"}${'${x}'}", "}${x}"),
        ("${steps.left-out.output}", None),
    ],
)
def test_a_template_is_filled_once(text: str, filled: object) -> None:
    assert fill(parse_template(text), SCOPE) == filled


@pytest.mark.parametrize(
    "text", ["${", "a ${ b", "${}", "${args.a", "${args.a}${", "${'}", "${{args.a}}", "${args.a b}"]
)
def test_a_template_that_is_no_template_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        parse_template(text)


def test_null_is_no_text() -> None:
    with pytest.raises(Unknown, match="has no value"):
        fill_text(parse_template("rm ${args.none}/x"), SCOPE)


TEXTS = st.text(alphabet=st.sampled_from("ab'\"$`\\{}()[]. \n;|&<>-é"), max_size=30)


@given(TEXTS)
def test_a_value_is_never_looked_at_again(value: str) -> None:
    scope = Scope({"a": value, "b": "SECRET"}, {}, {})
    assert fill_text(parse_template("<${args.a}>"), scope) == f"<{value}>"


@given(TEXTS)
def test_a_text_is_read_as_itself_or_refused(text: str) -> None:
    try:
        template = parse_template(text)
    except BadExpression:
        return
    if isinstance(template.literal, str):
        assert template.literal == text.replace("$${", "${")


SOURCES = st.lists(
    st.sampled_from(
        [
            "steps.",
            "args.",
            "a",
            "b.",
            "output",
            ".x",
            "[0]",
            "(",
            ")",
            " and ",
            " or ",
            "not ",
            "!",
            "==",
            "<",
            " in ",
            "+",
            "1",
            "'t'",
            "len(",
            "item",
            "true",
            "null",
            " ",
        ]
    ),
    max_size=15,
).map("".join)


@settings(max_examples=400)
@given(SOURCES)
def test_any_text_is_an_expression_or_is_refused_and_has_a_value_or_none(source: str) -> None:
    """Whatever is written, only BadExpression and Unknown come out: never an accident of Python's."""
    try:
        expression = parse_expression(source)
    except BadExpression:
        return
    scope = Scope({"a": {"x": [1]}, "b": "t"}, {}, {"a": ENDS["build"], "b": ENDS["left-out"]}, [1], 0)
    if all(reference.root != "steps" or reference.name in scope.ends for reference in expression.references):
        try:
            value_of(expression, scope)
        except Unknown as unknown:
            assert str(unknown).startswith("${")


def test_a_template_can_be_kept_as_json() -> None:
    import msgspec

    template = parse_template("a${steps.b.output['x y'][0] == -1.5 and not len(item) in args.c}$${")
    assert msgspec.json.decode(msgspec.json.encode(template), type=Template) == template
