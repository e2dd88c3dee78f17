"""Flow files over the real engine and an SQLite file: they survive a death of the worker at any point of any step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.files.flow_fakes import read
from outlast.core.flow import FILE_HANDLER, FlowMode, FlowStatus, NewFlow
from outlast.flows.files.arguments import parse_args
from outlast.flows.files.program import given_of
from outlast.testing import FlowFailed, Harness, Stuck


@pytest.fixture
def flows() -> Iterator[Harness]:
    with Harness() as harness:
        harness.serve_files()
        yield harness


def start(flows: Harness, text: str, workdir: Path, **args: Any) -> str:
    """Put a run of a file on record; return its id."""
    definition = read(text)
    given = given_of(definition, parse_args(definition, (), args), str(workdir))
    new = NewFlow(
        id=flows.engine.new_id("f"), mode=FlowMode.FILE, name=definition.name, handler=FILE_HANDLER, requester="local",
        created_at=flows.clock.now(), input=given,
    )  # fmt: skip
    return flows.submit(new)


GRAPH = """
name: whole
args: {hosts: {type: json}}
env: {STAGE: test}
steps:
  - {id: build, run: 'echo build >> log; echo "{\\"version\\": \\"1.2\\"}"'}
  - {id: unit, needs: build, run: "echo unit >> log; exit 3", on_failure: continue}
  - {id: lint, needs: build, run: "echo lint-$STAGE >> log"}
  - id: each
    needs: lint
    for_each: {items: args.hosts, max_parallel: 2}
    run: [sh, -c, 'echo "each-$1" >> log; echo "$1"', _, "${item}"]
  - {id: ask, needs: [unit, each], approval: "Ship ${steps.build.output.version}?", preview: "${steps.unit.status}"}
  - {id: soak, sleep: 30d}
  - {id: confirmed, wait: confirmed}
  - {id: other, needs: [], run: "echo other >> log"}
  - {id: ship, needs: [confirmed, other], run: "cat > shipped; echo ship >> log", stdin: "${steps.confirmed.output}"}
  - {id: never, run: "echo never >> log", when: not steps.ask.approved}
outputs:
  version: ${steps.build.output.version}
  each: ${steps.each.output}
  unit: ${steps.unit.exit_code}
  by: ${steps.ask.output.by}
  never: ${steps.never.status}
"""
EACH_ONCE = Counter(["build", "unit", "lint-test", "each-a b", "each-$(x)", "each-c", "other", "ship"])
RESULT = {"version": "1.2", "each": ["a b", "$(x)", "c"], "unit": 3, "by": "test", "never": "skipped"}
KEYS = ["build", "unit", "lint", "each[0]", "each[2]", "ask", "soak", "confirmed", "other", "ship"]


def finish(flows: Harness, run: str) -> Any:
    """Answer and signal, and let the flow come to its end."""
    for _ in range(20):
        try:
            return flows.result(run)
        except Stuck:
            if flows.questions(run):
                flows.approve(run)
            else:
                flows.signal(run, "confirmed", {"who": "ann"})
    raise AssertionError("it does not come to its end")


def test_a_file_runs_on_the_real_engine(flows: Harness, tmp_path: Path) -> None:
    flows.serve_files()
    run = start(flows, GRAPH, tmp_path, hosts=["a b", "$(x)", "c"])
    (question,) = flows.questions(run)
    assert question.prompt == "Ship 1.2?"
    assert flows.flow(run).status is FlowStatus.WAITING
    flows.signal(run, "confirmed", {"who": "ann"})  # before anybody waits for it
    assert finish(flows, run) == RESULT
    assert Counter((tmp_path / "log").read_text().splitlines()) == EACH_ONCE
    assert (tmp_path / "shipped").read_text() == '{"who":"ann"}'
    flow = flows.flow(run)
    assert (flow.steps_done, flow.steps_known) == (13, 13)
    assert set(flows.steps(run)) == {*KEYS, "each[1]"}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "point", ["before_step", "before_checkpoint", "after_checkpoint", "before_child", "after_child"]
)
def test_a_worker_that_dies_anywhere_makes_nothing_run_twice(
    flows: Harness, tmp_path: Path, key: str, point: str
) -> None:
    flows.crash_at_point(point, key)
    run = start(flows, GRAPH, tmp_path, hosts=["a b", "$(x)", "c"])
    assert finish(flows, run) == RESULT
    assert Counter((tmp_path / "log").read_text().splitlines()) == EACH_ONCE


def test_workers_that_die_again_and_again_make_nothing_run_twice(flows: Harness, tmp_path: Path) -> None:
    for key in KEYS:
        for point in ("after_child", "after_checkpoint", "before_park"):
            flows.crash_at_point(point, key)
    run = start(flows, GRAPH, tmp_path, hosts=["a b", "$(x)", "c"])
    assert finish(flows, run) == RESULT
    assert flows.crashes >= 5
    assert Counter((tmp_path / "log").read_text().splitlines()) == EACH_ONCE


def test_what_a_file_says_of_failures_holds_on_the_real_engine(flows: Harness, tmp_path: Path) -> None:
    text = """
steps:
  - id: a
    run: echo half; echo why >&2; exit 2
    retry: {attempts: 2, backoff: 1h}
    on_failure: {run: "cat > mended", stdin: "${steps.a.stdout}"}
  - {id: told, run: "echo told >> log", when: steps.a.status == "failed"}
  - {id: after, run: "echo after >> log"}
"""
    with pytest.raises(FlowFailed) as caught:
        flows.result(start(flows, text, tmp_path))
    assert "a: " in str(caught.value)
    assert (tmp_path / "mended").read_text() == "half\n"
    assert (tmp_path / "log").read_text() == "told\n"


def test_what_is_not_answered_or_sent_in_time_is_known_to_a_file(flows: Harness, tmp_path: Path) -> None:
    text = """
steps:
  - {id: w, wait: go, timeout: 1d, on_failure: continue}
  - {id: ask, approval: "ok?", expires: 2d}
  - {id: ship, run: "echo ship >> log"}
  - {id: tell, run: [echo, "${steps.w.status}", "${steps.ask.status}"], when: not steps.ask.approved}
"""
    assert flows.result(start(flows, text, tmp_path)) == "timed_out expired"
    assert not (tmp_path / "log").exists()


def test_a_lobster_file_runs_on_the_real_engine(flows: Harness, tmp_path: Path) -> None:
    text = """
args: {tag: {default: family}}
steps:
  - id: collect
    command: printf '[{"tag":"%s"}]' ${tag}
  - id: look
    command: cat; echo seen >> log
    stdin: $collect.json
    approval: required
  - id: apply
    command: printf '%s' "$collect.json.0.tag" > applied
    condition: $look.approved
"""
    run = start(flows, text, tmp_path, tag="$(touch pwned)")
    (question,) = flows.questions(run)
    assert question.prompt == "Approve look?"
    assert question.preview == '[{"tag":"$(touch pwned)"}]'
    flows.crash_at_point("after_checkpoint", "look:approval")
    flows.approve(run)
    flows.result(run)
    assert (tmp_path / "applied").read_text() == "$(touch pwned)"
    assert (tmp_path / "log").read_text() == "seen\n"
    assert not (tmp_path / "pwned").exists()


def test_a_file_that_is_another_files_step_gives_it_its_result(flows: Harness, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "child.flow.yaml").write_text(
        "args: {name: , target: {type: integer}}\nsteps: [{id: a, run: [echo, '${args.name}', '${args.target}']}]\n"
    )
    text = """
steps:
  - {id: a, flow: sub/child.flow.yaml, args: {name: "x y", target: 3}}
  - {id: b, flow: sub/none.flow.yaml, on_failure: continue}
  - {id: c, flow: sub/child.flow.yaml, args: {nome: 1}, on_failure: continue}
outputs: {a: "${steps.a.output}", b: "${steps.b.status}", c: "${steps.c.status}"}
"""
    assert flows.result(start(flows, text, tmp_path)) == {"a": "x y 3", "b": "failed", "c": "failed"}
