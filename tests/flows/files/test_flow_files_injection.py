"""No value becomes code: every way a value can take, with every value that would like to, through real shells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.files.flow_fakes import Ended, FakeContext, LocalContext, problems, read, run
from outlast.core.errors import BadInput
from outlast.flows.files.context import Failure

EVIL = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "| touch pwned",
    "&& touch pwned",
    "\n touch pwned\n",
    "' ; touch pwned ; '",
    '" ; touch pwned ; "',
    "'\"'\"'; touch pwned #",
    "${IFS}$(touch${IFS}pwned)",
    "a[$(touch pwned)]",
    "$((a[$(touch pwned)]))",
    "\\$(touch pwned)\\",
    "${args.secret}",
    "${steps.first.output}",
    "$${args.secret}",
    "$first.stdout",
    "$LOBSTER_ARG_SECRET",
    "%s%n%x",
    "*",
    "~root",
    "naïve 漢字 \u202e",
    "x" * 100_000,
    " ",
    "",
]

NATIVE = """
args: {value: {default: none}, secret: {default: SECRET}}
env: {FLOW: "${args.value}"}
steps:
  - {id: first, run: cat, stdin: "${args.value}"}
  - {id: second, run: 'printf "%s" "$GIVEN"', env: {GIVEN: "${steps.first.stdout}"}}
  - {id: third, run: [printf, "%s", "${steps.second.stdout}"]}
  - {id: fourth, run: [printf, "%s", "<${steps.third.stdout}>"]}
  - {id: fifth, run: 'printf "%s" "$FLOW"'}
  - {id: sixth, run: cat, stdin: {v: "${steps.fifth.stdout}", "k": ["${env.FLOW}"]}}
  - id: each
    for_each: ["${args.value}", "${steps.sixth.json.v}"]
    run: ["printf", "%s", "${item}"]
    env: {I: "${item}"}
  - id: all
    run:
      - python3
      - -c
      - import json, sys; print(json.dumps(sys.argv[1:]))
      - ${steps.each.output[0]}
      - ${steps.sixth.output.k[0]}
  - {id: ask, approval: "Take ${args.value}?", preview: "${steps.first.stdout}"}
  - {id: child, flow: other, args: {v: "${args.value}"}}
outputs:
  third: ${steps.third.stdout}
  fourth: ${steps.fourth.stdout}
  sixth: ${steps.sixth.json}
  all: ${steps.all.json}
"""


@pytest.mark.parametrize("value", EVIL, ids=lambda value: repr(value[:24]))
def test_a_value_comes_through_every_way_as_it_is(value: str, tmp_path: Path) -> None:
    context = LocalContext()
    result = run(NATIVE, context, base_dir=tmp_path, value=value)
    assert result["third"] == value
    assert result["fourth"] == f"<{value}>"
    assert result["sixth"] == {"v": value, "k": [value]}
    assert result["all"] == [value.rstrip("\r\n"), value]
    assert context.asked["ask"]["prompt"] == f"Take {value}?"
    assert context.asked["child"]["args"] == {"v": value}
    assert list(tmp_path.iterdir()) == []


LOBSTER = """
args:
  value: {default: none}
  secret: {default: SECRET}
env:
  FLOW: ${value}
steps:
  - id: first
    command: cat
    stdin: ${value}
  - id: made
    command: python3 -c 'import json, os; print(json.dumps({"v":[os.environ["LOBSTER_ARG_VALUE"]]}))'
  - id: bare
    command: printf "%s" ${value}
  - id: double
    command: printf "%s" "<${value}>"
  - id: single
    command: printf '%s' '<${value}>'
  - id: step
    command: printf "%s" "$first.stdout"$first.stdout
  - id: json
    command: printf "%s" $made.json.v.0 '|' ${made.json}
  - id: nested
    command: printf "%s" "$(printf "%s" ${value})"
  - id: piped
    command: printf "%s" "${value}" | cat > out && cat out; rm out
  - id: env
    command: printf "%s" "$OWN$FLOW"
    env: {OWN: "$LOBSTER_ARG_VALUE"}
  - id: named
    command: printf "%s" "$LOBSTER_ARG_VALUE"
  - id: all
    command: printf "%s" "$LOBSTER_ARGS_JSON"
"""


@pytest.mark.parametrize("value", EVIL, ids=lambda value: repr(value[:24]))
def test_a_value_in_a_line_of_a_lobster_file_stays_a_value(value: str, tmp_path: Path) -> None:
    context = LocalContext()
    run(read(LOBSTER, "x.lobster"), context, base_dir=tmp_path, value=value)
    printed = context.printed
    assert printed["bare"] == printed["named"] == printed["piped"] == value
    assert printed["double"] == printed["single"] == f"<{value}>"
    assert printed["step"] == value + value
    assert printed["json"] == f"{value}|{json.dumps({'v': [value]}, ensure_ascii=False, separators=(',', ':'))}"
    assert printed["nested"] == value.rstrip("\n")
    assert printed["env"] == value + value
    assert json.loads(printed["all"]) == {"value": value, "secret": "SECRET"}
    assert list(tmp_path.iterdir()) == []


# options


OPTIONS = "args: {v: }\nsteps: [{id: a, run: [%s]}]"


@pytest.mark.parametrize(
    ("argv", "value", "passed"),
    [
        ("ls, '${args.v}'", "-la", False),
        ("ls, '${args.v}'", "--all", False),
        ("ls, '${args.v}${args.v}'", "-", False),
        ("ls, --, '${args.v}'", "-la", True),
        ("ls, '--dir=${args.v}'", "-la", True),
        ("ls, '-n${args.v}'", "-1", True),
        ("ls, '${args.v}'", "la", True),
        ("ls, '${args.v}', --, x", "-la", False),
    ],
)
def test_a_value_becomes_no_option_unless_its_author_wrote_one(argv: str, value: str, passed: bool) -> None:
    context = FakeContext()
    if passed:
        run(OPTIONS % argv, context, v=value)
        assert any(value in item for item in context.asked["a"]["command"])
    else:
        with pytest.raises(Failure, match="would be taken for an option: put -- before it"):
            run(OPTIONS % argv, context, v=value)
        assert context.begun == []


def test_a_value_for_an_end_of_options_is_not_one() -> None:
    """Only a -- that the author wrote makes what follows arguments."""
    with pytest.raises(Failure, match="would be taken for an option"):
        run("args: {v: , w: }\nsteps: [{id: a, run: [ls, 'x${args.v}', '${args.w}']}]", FakeContext(), v="--", w="-la")
    with pytest.raises(Failure, match="would be taken for an option"):
        run("args: {v: , w: }\nsteps: [{id: a, run: [ls, '${args.v}', '${args.w}']}]", FakeContext(), v="--", w="-la")


# what can be nowhere


def test_nul_and_halves_of_characters_reach_no_command() -> None:
    for step in ("run: [x, 'a${args.v}']", "run: x, env: {A: '${args.v}'}", "run: x, workdir: '${args.v}'"):
        given = step.replace("args.v", "steps.a.output.v")
        text = f"steps: [{{id: a, run: x}}, {{id: b, {given}}}]"
        context = FakeContext({"a": Ended('{"v": "a\\u0000b"}')})
        with pytest.raises(Failure, match="holds a NUL"):
            run(text, context)
        assert context.begun == ["a"]
    with pytest.raises(BadInput, match="NUL"):
        run("args: {v: }\nsteps: [{id: a, run: x}]", FakeContext(), v="a\0b")


def test_what_is_too_large_for_a_command_is_said_before_it_is_tried() -> None:
    for step in ("run: [x, '${args.v}']", "run: x, env: {A: '${args.v}'}"):
        context = FakeContext()
        with pytest.raises(Failure, match="too large for an argument or a variable"):
            run(f"args: {{v: }}\nsteps: [{{id: a, {step}}}]", context, v="x" * 131_072)
        assert context.begun == []
    context = FakeContext()
    run("args: {v: }\nsteps: [{id: a, run: cat, stdin: '${args.v}'}]", context, v="x" * 1_000_000)
    assert len(context.asked["a"]["stdin"]) == 1_000_000


# what the reader refuses


@pytest.mark.parametrize(
    "run_line",
    [
        "echo ${args.v}",
        'echo "${args.v}"',
        "echo ${ args.v }",
        "echo '${steps.first.output}'",
        "echo ${item}",
        "echo ${env.A}",
        "echo ${{ args.v }}",
    ],
)
def test_no_value_is_pasted_into_a_line_for_the_shell(run_line: str) -> None:
    found = problems(f"args: {{v: }}\nsteps: [{{id: a, run: {json.dumps(run_line)}}}]")
    assert len(found) == 1
    assert "would be pasted into a line for the shell" in found[0]
    assert "env" in found[0]
    assert "stdin" in found[0]


@pytest.mark.parametrize(
    "run_line", ["echo ${HOME} ${X:-y} $((1 + 1)) $(ls)", "for item in a; do echo $item; done", "echo '${argsfile}'"]
)
def test_what_is_the_shells_own_stays(run_line: str) -> None:
    assert read(f"steps: [{{id: a, run: {json.dumps(run_line)}}}]").steps[0].act.command == run_line


@pytest.mark.parametrize(
    "argv",
    [
        "sh, -c, '${args.v}'",
        "/bin/bash, -lc, 'echo ${args.v}'",
        "python3, -c, 'print(${args.v})'",
        "env, A=1, node, -e, '${args.v}'",
        "ssh, host, '${args.v}'",
        "sudo, su, -c, '${args.v}'",
    ],
)
def test_no_value_becomes_the_code_of_an_interpreter(argv: str) -> None:
    found = problems(f"args: {{v: }}\nsteps: [{{id: a, run: [{argv}]}}]")
    assert ["would run this item as code" in line or "interpreter" in line for line in found] == [True]
    read(f"args: {{v: }}\nsteps: [{{id: a, run: [{argv.replace('${args.v}', 'x')}]}}]")


def test_a_value_after_the_code_of_an_interpreter_is_an_argument_of_it() -> None:
    read("args: {v: }\nsteps: [{id: a, run: [bash, -c, 'echo \"$1\"', _, '${args.v}']}]")
