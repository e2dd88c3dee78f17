"""Lobster files run unchanged, and no value becomes part of a line for the shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.files.flow_fakes import EXPIRED, NO, Ended, FakeContext, LocalContext, problems, read, run
from outlast.flows.files.context import Failure
from outlast.flows.files.definition import Approval, Command, Retry
from outlast.flows.files.shell_line import BadLine, rewrite

DOCUMENTED = """
name: triage
args:
  label:
    default: "family"
    description: what to look at
steps:
  - id: collect
    command: mail list --json
  - id: sort
    command: mail sort --json
    stdin: $collect.stdout
  - id: look
    command: mail apply --dry-run
    stdin: $sort.stdout
    approval: required
  - id: apply
    command: mail apply
    stdin: $sort.stdout
    condition: $look.approved
"""


def test_a_file_of_the_documented_shape_runs_to_its_end() -> None:
    context = FakeContext(
        {
            "collect": Ended("[1]\n"),
            "sort": Ended('{"a": 1}\n'),
            "look": Ended("would move 3\n"),
            "apply": Ended("done\n"),
        }
    )
    assert run(read(DOCUMENTED), context) == "done"
    assert context.begun == ["collect", "sort", "look", "look:approval", "apply"]
    assert context.asked["sort"]["stdin"] == "[1]\n"
    assert context.asked["look:approval"] == {"prompt": "Approve look?", "preview": "would move 3", "expires": None}
    assert context.asked["apply"]["stdin"] == '{"a": 1}\n'
    assert context.asked["apply"]["env"] == {"LOBSTER_ARG_LABEL": "family", "LOBSTER_ARGS_JSON": '{"label":"family"}'}


@pytest.mark.parametrize("answer", [NO, EXPIRED])
def test_without_approval_nothing_after_it_is_done(answer: Any) -> None:
    context = FakeContext({"look:approval": answer})
    run(read(DOCUMENTED.replace("    condition: $look.approved\n", "")), context)
    assert context.begun[-1] == "look:approval"
    context = FakeContext({"look:approval": answer})
    run(read(DOCUMENTED + "  - id: more\n    command: x\n"), context)
    assert context.begun[-1] == "look:approval"


def test_a_command_that_fails_is_not_asked_about() -> None:
    context = FakeContext({"look": Ended("", 1, "failed")})
    with pytest.raises(Failure, match="look: "):
        run(read(DOCUMENTED), context)
    assert context.begun[-1] == "look"


def lobster(*steps: str, more: str = "") -> str:
    return f"{more}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


@pytest.mark.parametrize(
    ("condition", "runs"),
    [
        ("$ask.approved", True),
        ("!$ask.approved", False),
        ("$no.skipped", True),
        ("$ask.skipped", False),
        ("$no.approved", False),
        ("$ask.approved && $made.json.count == 3", True),
        ("$ask.approved && !$made.json.ok", False),
        ("$made.json.kind == urgent", True),
        ('$made.json.kind == "urgent" || $no.approved', True),
        ("$made.json.kind != other", True),
        ("$made.json.list.1 == b", True),
        ("$made.json.nothing.at.all", False),
        ("$made.json.nothing == x", False),
        ("$made.stdout", True),
        ("$made.json.zero", False),
        ("$made.json.count > 2", True),
        ("$made.json.ok == true", True),
        ("($ask.approved || $no.approved) && $made.error == false", True),
        ("true", True),
        ("false", False),
    ],
)
@pytest.mark.parametrize("word", ["condition", "when"])
def test_conditions_mean_what_they_mean_there(condition: str, runs: bool, word: str) -> None:
    context = FakeContext(
        {"made": Ended('{"count": 3, "ok": true, "kind": "urgent", "list": ["a", "b"], "zero": 0}\n')}
    )
    text = lobster(
        "{id: made, command: x}",
        "{id: ask, approval: Sure?}",
        "{id: no, command: x, when: false}",
        f"{{id: last, command: x, {word}: '{condition}'}}",
    )
    run(read(text), context)
    assert ("last" in context.begun) == runs


def test_parts_of_steps_reach_input_and_environment() -> None:
    context = FakeContext({"a": Ended('{"n": {"m": [1, 2]}, "t": "x y"}\n')})
    text = lobster(
        "{id: a, command: x, timeout_ms: 1500, cwd: '/srv/${tag}', on_error: continue}",
        "{id: b, command: x, stdin: $a.json, "
        "env: {T: 'is $a.json.t!', M: $a.json.n, NONE: '<$a.json.no>', HERE: '$HOME/x.y ${HOME} $5.00'}}",
        "{id: c, command: x, stdin: $a.json.n.m, "
        "retry: {max: 3, delay_ms: 500, backoff: exponential, max_delay_ms: 4000, jitter: true}}",
        "{id: d, command: x, stdin: '${tag}: $a.stdout'}",
        "{id: e, command: x, stdin: {k: [1]}}",
        "{id: f, command: x, stdin: $a.json.no}",
        "{id: g, approval: {prompt: 'Take ${tag}?', preview: 'see $a.json.t'}}",
        "{id: h, run: x, stdin: $a.stdout, approval: true}",
        "{id: i, approval: 'Well?', stdin: $a.json}",
        more="args: {tag: {default: a b}}\ncwd: /all\nenv: {LABEL: 'l-${tag}', T: flow}",
    )
    definition = read(text)
    run(definition, context)
    asked = context.asked
    assert (asked["a"]["workdir"], asked["a"]["timeout"], asked["b"]["workdir"]) == ("/srv/a b", 1.5, "/all")
    assert asked["b"]["stdin"] == '{"n":{"m":[1,2]},"t":"x y"}'
    env = {name: value for name, value in asked["b"]["env"].items() if not name.startswith("LOBSTER")}
    assert env == {
        "LABEL": "l-a b",
        "T": "is x y!",
        "M": '{"m":[1,2]}',
        "NONE": "<>",
        "HERE": "$HOME/x.y ${HOME} $5.00",
    }
    assert asked["c"]["stdin"] == "[1,2]"
    assert asked["c"]["retry"] == Retry(attempts=3, first=0.5, longest=4.0)
    assert asked["d"]["stdin"].startswith('a b: {"n"')
    assert asked["e"]["stdin"] == '{"k":[1]}'
    assert asked["f"]["stdin"] is None
    assert (asked["g"]["prompt"], asked["g"]["preview"]) == ("Take a b?", "see x y")
    assert asked["h:approval"]["prompt"] == "Approve h?"
    assert (asked["i"]["prompt"], asked["i"]["preview"]) == ("Well?", asked["b"]["stdin"])
    assert isinstance(definition.steps[6].act, Approval)
    assert definition.steps[0].on_failure == "continue"


def test_arguments_may_be_anything_and_are_known_by_their_variables() -> None:
    context = LocalContext()
    text = lobster(
        "{id: a, command: '"
        'printf "%s|" ${user-id} "${n}" ${list} "$LOBSTER_ARG_USER_ID" ${none} ${HOME:-x} ${unknown}'
        "'}",
        more="args: {user-id: {default: 7}, n: {default: 1.50}, list: {default: [1, {a: b}]}, none: }",
    )
    run(read(text), context)
    assert context.printed["a"] == '7|1.5|[1,{"a":"b"}]|7||x|'
    context = LocalContext()
    run(read(text), context, "user-id=a b", list={"x": 1})
    assert context.printed["a"] == 'a b|1.5|{"x":1}|a b||x|'


def test_what_it_prints_last_is_the_result() -> None:
    text = lobster("{id: a, command: x}", "{id: b, command: x, when: false}")
    assert run(read(text, "x.lobster"), FakeContext({"a": Ended('[{"n": 1}]')})) == [{"n": 1}]


# which files are meant


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        (lobster("{id: a, run: x}"), "a.lobster", True),
        (lobster("{id: a, run: x}"), "a.yaml", False),
        (lobster("{id: a, command: x}"), "a.yaml", True),
        (lobster("{id: a, run: x}", "{id: b, run: x, stdin: $a.stdout}"), "a.yaml", True),
        (lobster("{id: a, run: x}", "{id: b, run: x, when: '!$a.skipped'}"), "a.yml", True),
        (lobster("{id: a, run: x, approval: required}"), "a.yaml", True),
        (lobster("{id: a, run: x, stdin: '$5.00'}"), "a.yaml", True),
        (lobster("{id: a, command: x, needs: []}"), "a.yaml", False),
        (lobster("{id: a, command: x}", more="outputs: {}"), "a.yaml", False),
        ('{"steps": [{"id": "a", "command": "x"}]}', "a.json", True),
    ],
)
def test_a_lobster_file_is_known_by_its_name_or_shape(text: str, name: str, meant: bool) -> None:
    found = problems(text, name)
    if meant:
        assert found == []
        assert "LOBSTER_ARGS_JSON" in read(text, name).env
    else:
        assert not any("obster" in line for line in found)


# what is refused


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("{id: b, command: x, pipeline: llm.invoke}", "'pipeline' of a Lobster step is not supported by outlast"),
        ("{id: b, workflow: other.lobster}", "'workflow' of a Lobster step is not supported"),
        (
            "{id: b, command: x, comand: y}",
            "'comand' of a Lobster step is not supported by outlast (did you mean command?)",
        ),
        ("{id: b, command: x, run: y}", "not run and command"),
        ("{id: b}", "a step has a command, or an approval, or both"),
        ("{command: x}", "a step has no id"),
        ("{id: a, command: x}", "the id 'a' is there twice"),
        ("{id: b, command: x, approval: {prompt: y, required_approver: ann}}", "'required_approver' of an approval"),
        ("{id: b, command: x, on_error: skip_rest}", "outlast knows stop and continue here"),
        ("{id: b, command: x, timeout_ms: -1}", "a whole number from 1"),
        ("{id: b, command: x, retry: {max: 3, backoff: wild}}", "there are fixed and exponential"),
        ("{id: b, command: x, when: $later.approved}", "there is no step 'later'"),
        ("{id: b, command: x, when: '$a.pid == 1'}", "$a.pid: there are stdout, json"),
        ("{id: b, command: x, when: 'steps.a.status'}", "'steps' is not known here"),
        ("{id: b, command: x, when: '$a.stdout + 1 +'}", "the expression breaks off"),
        ("{id: b, command: 'x $a.pid'}", "$a.pid: there are stdout, json"),
        ("{id: b, command: x, env: {LD_PRELOAD: '${tag}'}}", "LD_PRELOAD decides which code programs run"),
        ("text", "a step is a mapping of fields"),
    ],
)
def test_what_is_not_supported_is_said_and_never_passed_over(step: str, sentence: str) -> None:
    found = problems(lobster("{id: a, command: x}", step, more="args: {tag: {default: x}}"), "x.lobster")
    assert any(sentence in line for line in found), found


def test_arguments_that_would_be_the_same_variable_are_refused() -> None:
    found = problems(lobster("{id: a, command: x}", more="args: {a-b: , a_b: , A.b: }"), "x.lobster")
    assert any("a_b and a-b would be the same variable LOBSTER_ARG_A_B" in line for line in found)


# the line


def lookup(name: str, path: str | None) -> str | None:
    known = {("x", None): "X", ("y-z", None): "Y_Z", ("a", "stdout"): "R1", ("a", "json.b"): "R2"}
    return known.get((name, path))


@pytest.mark.parametrize(
    ("line", "rewritten"),
    [
        ("echo ${x}", 'echo "${X}"'),
        ("echo a${x}b", 'echo a"${X}"b'),
        ('echo "a ${x} b"', 'echo "a ${X} b"'),
        ("echo 'a ${x} b'", "echo 'a '\"${X}\"' b'"),
        ('echo "it\'s ${x}" \'"${x}"\'', 'echo "it\'s ${X}" \'"\'"${X}"\'"\''),
        ("echo $a.stdout ${a.json.b}", 'echo "${R1}" "${R2}"'),
        ("echo ${y-z}", 'echo "${Y_Z}"'),
        ("echo $(cat ${x})", 'echo $(cat "${X}")'),
        ('echo "$(cat ${x})"', 'echo "$(cat "${X}")"'),
        ('echo "$(cat "${x}" | wc) ${x}"', 'echo "$(cat "${X}" | wc) ${X}"'),
        ("a && b ${x} > ${x} 2>&1 | c; d", 'a && b "${X}" > "${X}" 2>&1 | c; d'),
        ("> ${x} echo a", '> "${X}" echo a'),
        ("echo a &> ${x}", 'echo a &> "${X}"'),
        ("A=${x} make", 'A="${X}" make'),
        ("if test -n ${x}; then echo ${x}; fi", 'if test -n "${X}"; then echo "${X}"; fi'),
        ("(cd ${x} && ls)", '(cd "${X}" && ls)'),
        ("cat <<< ${x}", 'cat <<< "${X}"'),
        ("cat <(echo ${x})", 'cat <(echo "${X}")'),
        ("cat ${x} <<EOF\nplain\nEOF\n", 'cat "${X}" <<EOF\nplain\nEOF\n'),
        ('echo \\${x} \\"${x}\\"', 'echo \\${x} \\""${X}"\\"'),
        ("echo a # ${x} it's\necho ${x}", 'echo a # ${x} it\'s\necho "${X}"'),
        ("echo ${HOME} ${z} $b.stdout $a.other.part ${a} $1 ${x:-y} $((1+2)) `ls`", None),
        ("echo 'unclosed ${x}", "echo 'unclosed '\"${X}\"'"),
        ('echo "unclosed ${x}', 'echo "unclosed ${X}'),
        ("", ""),
    ],
)
def test_a_placeholder_becomes_a_reference_in_the_quotes_that_fit(line: str, rewritten: str | None) -> None:
    assert rewrite(line, lookup) == (line if rewritten is None else rewritten)


@pytest.mark.parametrize(
    "line",
    [
        "${x}",
        "${x} --help",
        "a; ${x}",
        "a | '${x}' b",
        'a && "${x}"/bin/b',
        "$(${x})",
        "A=1 ${x}",
        "! ${x}",
        "if ${x}; then b; fi",
        "exec ${x}",
        "time ${x}",
        "{ ${x}; }",
        "$(echo ${x}) a",
        "> out ${x}",
        "sh -c 'echo ${x}'",
        'bash -lc "echo ${x}"',
        "env A=1 sh -c ${x}",
        "python3 -c 'print(\"${x}\")'",
        "node -e '${x}'",
        "ssh host ls ${x}",
        "eval echo ${x}",
        "echo a | xargs sh -c 'b ${x}'",
        "a; sudo su -c ${x}",
        "find . -exec sh -c '${x}' \\;",
        "echo $((${x} + 1))",
        "((${x} > 1)) && a",
        "echo $[${x}]",
        "[[ ${x} -eq 1 ]]",
        "let a=${x}",
        "declare -i a=${x}",
        "unset ${x}",
        "test -v ${x}",
        "[ -v ${x} ]",
        "printf -v ${x} a",
        "trap ${x} EXIT",
        "source ${x}",
        ". ${x}",
        "alias a=${x}",
        "read ${x}",
        "echo `ls ${x}`",
        'echo "`ls ${x}`"',
        "echo ${y:-${x}}",
        'echo "${y:-${x}}"',
        "echo $'${x}'",
        "cat <<EOF\n${x}\nEOF\n",
        "cat <<'EOF'\n${x}\nEOF\n",
        "cat <<-EOF | a ${x}\nb\nEOF\n",
        "$(" * 30 + "${x}",
    ],
)
def test_a_placeholder_that_would_be_code_is_refused(line: str) -> None:
    with pytest.raises(BadLine):
        rewrite(line, lookup)
    found = (
        problems(lobster(f"{{id: a, command: {line!r}}}", more="args: {x: {default: y}}"), "x.lobster")
        if "'" not in line
        else ["$LOBSTER_ARG_NAME"]
    )
    assert "$LOBSTER_ARG_NAME" in found[0] or "\n" in line or "\\" in line


def test_long_lines_are_rewritten_soon() -> None:
    import time

    start = time.process_time()
    for line in (
        "echo " + "'${x}' " * 10_000,
        "$(" * 40_000,
        "'" * 90_001,
        "`" * 90_001,
        "${" * 40_000,
        "echo " + "<<" * 40_000,
    ):
        try:
            rewrite(line, lookup)
        except BadLine:
            pass
    assert time.process_time() - start < 20.0


PIECES = [
    "${x}",
    "'",
    '"',
    "$(",
    ")",
    "`",
    "((",
    "))",
    "$((",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    ";",
    "&&",
    "|",
    "\n",
    " ",
    " ",
    " ",
    "\\",
    "#",
    "$",
    "echo",
    "printf %s",
    "cat",
    "<<E",
    "\nE\n",
    "<",
    ">",
    "a",
    "A=",
    "if",
    "then",
    "fi",
    "case",
    "in",
    "esac",
    "!",
    "-c",
    "true",
    "$'",
    "${",
    ":-",
    "test",
]


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=14),
    st.sampled_from(["$(>pwned)", ";>pwned;", "'\">pwned\n", "a[$(>pwned)]", "`>pwned`", "\n>pwned\n"]),
)
def test_whatever_the_line_looks_like_a_value_runs_no_command(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], value: str
) -> None:
    """Random lines through a real shell: those that are not refused never run what a value holds."""
    try:
        line = rewrite("".join(pieces), lookup)
    except BadLine:
        return
    if "X}" not in line:
        return
    place = tmp_path_factory.mktemp("line")
    subprocess.run(
        ["/bin/bash", "-c", line],
        env={"PATH": "/nowhere", "X": value},
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=90,
        check=False,
    )
    assert "pwned" not in os.listdir(place)


def test_the_example_in_the_documentation_runs(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "examples" / "flows" / "inbox.lobster").read_text()
    context = FakeContext({"collect": Ended("[1]\n"), "sort": Ended('{"count": 2}\n')})
    definition = read(text, "inbox.lobster")
    run(definition, context)
    assert context.asked["apply"]["env"]["COUNT"] == "2"
    assert context.asked["collect"]["env"]["INBOX_LABEL"] == "family"
    assert context.begun[-1] == "apply"
    context = FakeContext({"sort": Ended('{"count": 0}\n')})
    run(definition, context)
    assert context.begun[-1] == "look:approval"
    assert isinstance(definition.steps[0].act, Command)
