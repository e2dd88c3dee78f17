"""Running flow files: the order, what is left out, lists, failures, refusals, waits, and the way back after a crash."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.files.flow_fakes import (
    EXPIRED,
    NO,
    Answered,
    Ended,
    FakeContext,
    FlowCancelled,
    SignalTimeout,
    StepFailed,
    read,
    run,
)
from outlast.core.errors import GatewayTrouble
from outlast.flows.files.context import Failure
from outlast.flows.files.interpret import run_file

BAD = Ended("half", 2, "failed", tail="noise\nno such file\n")


def flow(*steps: str, more: str = "") -> str:
    return f"{more}\nsteps: [{', '.join(steps)}]"


# order


def test_steps_run_one_after_the_other_when_they_say_nothing() -> None:
    context = FakeContext()
    run(flow("{id: a, run: x}", "{id: b, run: x}", "{id: c, run: x}"), context)
    assert context.begun == ["a", "b", "c"]
    assert context.most_at_once == 1
    assert context.told == [(1, 3), (2, 3), (3, 3)]


def test_a_step_begins_as_soon_as_what_it_needs_has_ended() -> None:
    """While one branch stands still the other goes to its end."""
    definition = read(
        flow(
            "{id: a, run: x}",
            "{id: slow, run: x}",
            "{id: fast, run: x, needs: [a]}",
            "{id: faster, run: x}",
            "{id: last, run: x, needs: [slow, faster]}",
        )
    )
    context = FakeContext()

    async def main() -> None:
        context.gate("slow")
        job = asyncio.create_task(run_file(context, definition, {}, base_dir="/"))
        await context.has_begun("faster")
        assert context.begun == ["a", "slow", "fast", "faster"]
        assert "slow" not in context.ended
        context.gates["slow"].set()
        await job
        assert context.begun[-1] == "last"

    asyncio.run(main())


def test_everything_that_needs_nothing_begins_at_once() -> None:
    context = FakeContext()
    run(
        flow(*(f"{{id: s{n}, run: x, needs: []}}" for n in range(500)), "{id: end, run: x, needs: [s0, s499]}"), context
    )
    assert context.most_at_once >= 400
    assert context.begun[:500] == [f"s{n}" for n in range(500)]


def test_the_same_results_lead_to_the_same_names_in_the_same_order() -> None:
    steps = [
        f"{{id: s{n}, run: x, needs: [{', '.join(f's{m}' for m in range(n) if (n * m) % 3 == 1)}]}}" for n in range(30)
    ]
    steps.append("{id: each, run: [x, '${item}'], needs: [s3], for_each: {items: [1, 2, 3, 4], max_parallel: 2}}")
    begun = []
    for _ in range(3):
        context = FakeContext()
        run(flow(*steps), context)
        begun.append(context.begun)
    assert begun[0] == begun[1] == begun[2]
    assert len(begun[0]) == 34


# values


def test_values_pass_by_stdin_environment_and_arguments() -> None:
    context = FakeContext({"a": Ended('{"n": 1, "list": [1, "two"], "t": "x y"}\n')})
    text = """
args: {tag: {default: "f & g"}}
env: {STAGE: "s-${args.tag}"}
workdir: "w/${args.tag}"
steps:
  - {id: a, run: "make $STAGE"}
  - id: b
    run: [prog, "--n=${steps.a.output.n}", "${steps.a.output.t}", "${env.STAGE}"]
    stdin: ${steps.a.output.list}
    env: {STAGE: "own", N: "${steps.a.output.n}"}
    workdir: /abs
    timeout: 1m
    title: Second
  - {id: c, run: cat, stdin: {whole: "${steps.a.output}", n: "${steps.a.json.n}"}}
"""
    run(text, context, base_dir="/base")
    assert context.asked["a"]["env"] == {"STAGE": "s-f & g"}
    assert context.asked["a"]["workdir"] == "/base/w/f & g"
    assert context.asked["a"]["stdin"] is None
    b = context.asked["b"]
    assert b["command"] == ["prog", "--n=1", "x y", "s-f & g"]
    assert b["stdin"] == '[1,"two"]'
    assert b["env"] == {"STAGE": "own", "N": "1"}
    assert (b["workdir"], b["timeout"], b["title"], b["check"]) == ("/abs", 60.0, "Second", True)
    assert (
        context.asked["c"]["stdin"] == '{"whole":"{\\"n\\": 1, \\"list\\": [1, \\"two\\"], \\"t\\": \\"x y\\"}","n":1}'
    )


def test_retry_and_check_are_handed_on() -> None:
    context = FakeContext({"b": Ended("", 1, "failed")})
    run(flow("{id: a, run: x, retry: {attempts: 7, backoff: 2s..3s}}", "{id: b, run: x, check: false}"), context)
    rule = context.asked["a"]["retry"]
    assert (rule.attempts, rule.as_dict()) == (7, {"delaySeconds": 2.0, "delayMaxSeconds": 3.0})
    assert context.asked["b"]["retry"] is None
    assert context.asked["b"]["check"] is False


def test_the_result_is_the_outputs_or_the_output_of_the_last_step_that_ran() -> None:
    steps = ("{id: a, run: x}", "{id: b, run: x, when: 'steps.a.output == \"no\"'}")
    answers = {"a": Ended('{"v": "1.2"}\n')}
    assert run(flow(*steps), FakeContext(answers)) == {"v": "1.2"}
    assert run(flow(*steps), FakeContext({"a": Ended("text\n")})) == "text"
    outputs = (
        "outputs: {v: '${steps.a.output.v}', text: 'v${steps.a.output.v}', ran: '${steps.b.status}', "
        "none: '${steps.b.output.x}', n: 3, deep: {l: ['${len(steps.a.json)}']}}"
    )
    assert run(flow(*steps, more=outputs), FakeContext(answers)) == {
        "v": "1.2",
        "text": "v1.2",
        "ran": "skipped",
        "none": None,
        "n": 3,
        "deep": {"l": [1]},
    }
    assert run(flow("{id: a, run: x, when: false}"), FakeContext()) is None


def test_a_value_that_is_missing_fails_its_step_and_names_the_expression() -> None:
    context = FakeContext({"a": Ended('{"v": 1}')})
    with pytest.raises(Failure) as caught:
        run(flow("{id: a, run: x}", "{id: b, run: [x, '${steps.a.output.versoin}']}"), context)
    assert caught.value.step == "b"
    assert caught.value.message == "${steps.a.output.versoin}: steps.a.output is a mapping without .versoin"
    assert context.begun == ["a"]
    with pytest.raises(Failure, match=r"outputs\.v: \$\{steps\.a\.output\.w\}"):
        run(flow("{id: a, run: x}", more="outputs: {v: '${steps.a.output.w}'}"), FakeContext({"a": Ended("{}")}))


def test_output_that_was_cut_is_not_taken_for_the_whole() -> None:
    context = FakeContext({"a": Ended("[1, 2", truncated=True)})
    with pytest.raises(Failure, match="too long to be kept whole"):
        run(flow("{id: a, run: x}", "{id: b, run: cat, stdin: '${steps.a.stdout}'}"), context)


# conditions


def test_a_step_whose_condition_is_not_met_is_left_out_and_the_next_runs() -> None:
    context = FakeContext({"a": Ended("no\n")})
    run(flow("{id: a, run: x}", "{id: b, run: x, when: 'steps.a.output == \"yes\"'}", "{id: c, run: x}"), context)
    assert context.begun == ["a", "c"]
    assert context.told[-1] == (3, 3)


def test_a_condition_that_is_no_condition_fails_its_step() -> None:
    with pytest.raises(Failure, match=r"b: .*a condition is true or false"):
        run(flow("{id: a, run: x}", "{id: b, run: x, when: steps.a.output}"), FakeContext({"a": Ended("yes\n")}))


# failures


def test_a_failure_holds_back_what_comes_after_it_and_nothing_else() -> None:
    context = FakeContext({"b": BAD})
    with pytest.raises(Failure) as caught:
        run(
            flow(
                "{id: a, run: x}",
                "{id: b, run: x, needs: []}",
                "{id: c, run: x, needs: [b]}",
                "{id: d, run: x}",
                "{id: e, run: x, needs: [a]}",
                "{id: f, run: x}",
            ),
            context,
        )
    assert caught.value.step == "b"
    assert context.begun == ["a", "b", "e", "f"]


def test_a_failure_that_is_passed_over_holds_back_nothing() -> None:
    context = FakeContext({"a": BAD})
    result = run(
        flow(
            "{id: a, run: x, on_failure: continue}",
            "{id: b, run: [x, '${steps.a.status}', '${steps.a.exit_code}', '${steps.a.stdout}']}",
            more="outputs: {a: '${steps.a.status}'}",
        ),
        context,
    )
    assert context.asked["b"]["command"] == ["x", "failed", "2", "half"]
    assert result == {"a": "failed"}


def test_a_step_that_asks_how_another_ended_runs_after_its_failure_and_the_flow_still_fails() -> None:
    """It may tell somebody; what comes after it stays held back, since nobody has passed the failure over."""
    context = FakeContext({"a": BAD})
    steps = ("{id: a, run: x}", "{id: tell, run: x, when: steps.a.status == 'failed'}", "{id: deploy, run: x}")
    with pytest.raises(Failure, match="a: "):
        run(flow(*steps), context)
    assert context.begun == ["a", "tell"]
    context = FakeContext()
    run(flow(*steps), context)
    assert context.begun == ["a", "deploy"]


def test_check_false_makes_any_exit_code_a_success_but_not_every_end() -> None:
    steps = ("{id: a, run: x, check: false}", "{id: b, run: [x, '${steps.a.exit_code}', '${steps.a.status}']}")
    context = FakeContext({"a": BAD})
    run(flow(*steps), context)
    assert context.asked["b"]["command"] == ["x", "2", "succeeded"]
    for ended in (
        Ended("", None, "timed_out"),
        Ended("", None, "failed", tail="cannot be started"),
        Ended("", None, "lost"),
    ):
        context = FakeContext({"a": ended})
        with pytest.raises(Failure, match=f"a: the command {ended.status}"):
            run(flow(*steps), context)
        assert context.begun == ["a"]


def test_cleanup_in_place_runs_when_its_step_has_failed() -> None:
    steps = ("{id: a, run: x, on_failure: {run: [rm, '${steps.a.stdout}']}}", "{id: b, run: x}")
    context = FakeContext({"a": BAD})
    with pytest.raises(Failure, match="a: the command failed"):
        run(flow(*steps), context)
    assert context.begun == ["a", "a:cleanup"]
    assert context.asked["a:cleanup"]["command"] == ["rm", "half"]
    context = FakeContext()
    run(flow(*steps), context)
    assert context.begun == ["a", "b"]


def test_steps_for_a_failure_run_in_their_order_for_each_that_fails() -> None:
    steps = (
        "{id: a, run: x, on_failure: [m, n]}",
        "{id: b, run: x, needs: [], on_failure: n}",
        "{id: m, run: x}",
        "{id: n, run: x}",
    )
    context = FakeContext({"a": BAD, "b": BAD, "a:n": BAD})
    with pytest.raises(Failure) as caught:
        run(flow(*steps), context)
    assert set(context.begun) == {"a", "b", "a:m", "a:n", "b:n"}
    assert context.begun.index("a:m") < context.begun.index("a:n")
    assert caught.value.message == "the command failed; and a:n: the command failed"


def test_of_several_failures_the_first_of_the_file_is_the_flows() -> None:
    """Not the first in time, which another run could see otherwise."""
    definition = read(flow("{id: a, run: x}", "{id: b, run: x, needs: []}"))
    context = FakeContext({"a": BAD, "b": BAD})

    async def main() -> None:
        context.gate("a")
        job = asyncio.create_task(run_file(context, definition, {}, base_dir="/"))
        await context.has_begun("a", "b")
        while "b" not in context.ended:
            await asyncio.sleep(0)
        context.gates["a"].set()
        with pytest.raises(Failure) as caught:
            await job
        assert caught.value.step == "a"

    asyncio.run(main())


def test_trouble_of_outlast_itself_is_no_failure_of_a_step() -> None:
    for trouble in (GatewayTrouble("the store is away"), RuntimeError("a fault")):
        with pytest.raises(type(trouble)):
            run(flow("{id: a, run: x, on_failure: continue}"), FakeContext({"a": trouble}))


# approvals


def test_a_question_shows_what_it_is_about() -> None:
    context = FakeContext({"a": Ended("one\n" * 10_000)})
    run(
        flow(
            "{id: a, run: x}",
            "{id: ask, approval: 'Go ${steps.a.exit_code}?', preview: '${steps.a.output}', expires: 2d}",
        ),
        context,
    )
    assert context.asked["ask"]["prompt"] == "Go 0?"
    assert context.asked["ask"]["expires"] == 172_800.0
    assert context.asked["ask"]["preview"].endswith("… (cut off)")
    assert len(context.asked["ask"]["preview"]) < 21_000


@pytest.mark.parametrize("answer", [NO, EXPIRED], ids=["rejected", "expired"])
def test_a_refusal_holds_back_what_does_not_look_at_it(answer: Any) -> None:
    context = FakeContext({"ask": answer})
    result = run(
        flow(
            "{id: ask, approval: ok?}",
            "{id: ship, run: x}",
            "{id: told, run: x, when: not steps.ask.approved}",
            "{id: after, run: x}",
            "{id: apart, run: x, needs: []}",
            more="outputs: {url: '${steps.ship.output.url}', how: '${steps.ask.status}', "
            "note: '${steps.ask.output.note}'}",
        ),
        context,
    )
    assert context.begun == ["ask", "apart", "told"]
    assert result == {"url": None, "how": answer.status, "note": answer.note}


def test_an_approval_lets_everything_go_on() -> None:
    context = FakeContext()
    assert run(
        flow(
            "{id: ask, approval: ok?}",
            "{id: ship, run: x, when: steps.ask.approved}",
            more="outputs: {by: '${steps.ask.output.by}'}",
        ),
        context,
    ) == {"by": "ann"}
    assert context.begun == ["ask", "ship"]


def test_an_approval_that_was_called_off_is_a_failure() -> None:
    context = FakeContext({"ask": EXPIRED._replace(status="cancelled")})
    with pytest.raises(Failure, match="ask: the approval was cancelled"):
        run(flow("{id: ask, approval: ok?}", "{id: ship, run: x}"), context)


# waits


def test_waits_hand_on_what_came_and_fail_when_nothing_came() -> None:
    context = FakeContext({"go": {"who": ["ann"]}})
    run(flow("{id: w, wait: go, timeout: 1d}", "{id: b, run: [x, '${steps.w.output.who[0]}']}"), context)
    assert context.asked["go"]["timeout"] == 86_400.0
    assert context.asked["b"]["command"] == ["x", "ann"]
    context = FakeContext({"go": SignalTimeout("go")})
    with pytest.raises(Failure, match="w: nobody sent go"):
        run(flow("{id: w, wait: go}", "{id: b, run: x}"), context)
    context = FakeContext({"go": SignalTimeout("go")})
    run(flow("{id: w, wait: go, on_failure: continue}", "{id: b, run: [x, '${steps.w.status}']}"), context)
    assert context.asked["b"]["command"] == ["x", "timed_out"]


def test_sleeping_is_for_a_span_or_until_a_moment_that_may_be_filled_in() -> None:
    context = FakeContext()
    more = "args: {span: {default: 1h 30m}}"
    run(
        flow(
            "{id: a, sleep: 90}",
            "{id: b, sleep: '${args.span}'}",
            "{id: c, sleep: '2030-01-31T08:00:00+01:00'}",
            more=more,
        ),
        context,
    )
    assert context.asked["a"] == {"duration": 90.0}
    assert context.asked["b"] == {"duration": 5400.0}
    assert context.asked["c"] == {"moment": datetime(2030, 1, 31, 7, tzinfo=UTC)}
    with pytest.raises(Failure, match="b: 'soon' is not a span of time"):
        run(flow("{id: b, sleep: '${args.span}'}", more=more), FakeContext(), "span=soon")


def test_another_flow_gets_its_arguments_and_gives_its_result() -> None:
    context = FakeContext({"a": {"url": "u"}})
    run(
        flow(
            "{id: a, flow: other, args: {name: '${args.n}', target: [1, '${args.n}']}}",
            "{id: b, run: [x, '${steps.a.output.url}']}",
            "{id: c, flow: ./sub/other.flow.yaml}",
            more="args: {n: {type: integer, default: 3}}",
        ),
        context,
        base_dir="/base",
    )
    assert context.asked["a"] == {"target": "other", "args": {"name": 3, "target": [1, 3]}}
    assert context.asked["b"]["command"] == ["x", "u"]
    assert context.asked["c"]["target"] == "/base/sub/other.flow.yaml"


def test_an_agent_is_told_what_is_filled_in_and_its_answer_is_the_output() -> None:
    context = FakeContext({"a": Answered('{"url": "u"}'), "f": Answered("half", "failed")})
    run(
        flow(
            "{id: a, agent: coder, message: 'look at ${args.n}', workdir: sub, timeout: 1m, title: t}",
            "{id: b, run: [x, '${steps.a.output.url}'], stdin: '${steps.a.stdout}'}",
            "{id: f, agent: coder, message: m, conversation: 'agent:coder:${args.n}', on_failure: continue}",
            "{id: g, run: [x, '${steps.f.status}', '${steps.f.stdout}']}",
            more="args: {n: {type: integer, default: 3}}",
        ),
        context,
        base_dir="/base",
    )
    assert context.asked["a"] == {
        "agent": "coder", "message": "look at 3", "conversation": None, "workdir": "/base/sub", "timeout": 60.0,
        "title": "t",
    }  # fmt: skip
    assert (context.asked["b"]["command"], context.asked["b"]["stdin"]) == (["x", "u"], '{"url": "u"}')
    assert context.asked["f"]["conversation"] == "agent:coder:3"
    assert context.asked["g"]["command"] == ["x", "failed", "half"]


# lists


def test_a_list_is_gone_through_in_order_one_at_a_time() -> None:
    context = FakeContext(
        {"l": Ended('[{"n": "a"}, {"n": "b"}]'), "e[1]": Ended('{"done": 1}'), "e[0]": Ended("zero\n")}
    )
    result = run(
        flow(
            "{id: l, run: x}",
            "{id: e, for_each: steps.l.output, run: [x, '${index}', '${item.n}'], env: {I: '${item}'}}",
            more="outputs: {e: '${steps.e.output}', d: '${steps.e.output[1].done}'}",
        ),
        context,
    )
    assert context.begun == ["l", "e[0]", "e[1]"]
    assert context.most_at_once == 1
    assert context.asked["e[1]"]["command"] == ["x", "1", "b"]
    assert context.asked["e[0]"]["env"] == {"I": '{"n":"a"}'}
    assert result == {"e": ["zero", {"done": 1}], "d": 1}
    assert context.told[-1] == (4, 4)


def test_a_list_is_gone_through_so_many_at_a_time() -> None:
    context = FakeContext()
    run(flow("{id: e, for_each: {items: [1,2,3,4,5,6,7], max_parallel: 3}, run: x}"), context)
    assert context.most_at_once == 3
    assert sorted(context.begun) == [f"e[{n}]" for n in range(7)]


def test_what_an_item_printed_and_was_too_long_to_be_kept_is_null_among_the_outputs() -> None:
    context = FakeContext({"e[0]": Ended("[1, 2", truncated=True)})
    more = "outputs: {e: '${steps.e.output}'}"
    assert run(flow("{id: e, for_each: [1, 2], run: x}", more=more), context) == {"e": [None, ""]}
    assert run(flow("{id: a, run: x}"), FakeContext({"a": Ended("[1, 2", truncated=True)})) is None


def test_an_empty_list_is_done_at_once() -> None:
    context = FakeContext({"l": Ended("[]")})
    assert run(
        flow(
            "{id: l, run: x}",
            "{id: e, for_each: steps.l.json, run: x}",
            "{id: b, run: x}",
            more="outputs: {e: '${steps.e.output}', s: '${steps.e.status}'}",
        ),
        context,
    ) == {"e": [], "s": "succeeded"}
    assert context.begun == ["l", "b"]


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("text", "the output of l is not JSON"),
        ('{"a": 1}', "for_each needs a list, and this is a mapping"),
        ("[" + "1," * 1000 + "1]", "for_each takes at most 1000 items, and there are 1001"),
    ],
)
def test_what_is_no_list_or_too_long_a_one_fails_the_step(output: str, why: str) -> None:
    context = FakeContext({"l": Ended(output)})
    with pytest.raises(Failure) as caught:
        run(flow("{id: l, run: x}", "{id: e, for_each: steps.l.json, run: x}"), context)
    assert caught.value.step == "e"
    assert why in caught.value.message
    assert context.begun == ["l"]


def test_one_at_a_time_the_first_failure_ends_a_list() -> None:
    context = FakeContext({"e[1]": BAD})
    with pytest.raises(Failure, match="e: item 1: the command failed"):
        run(flow("{id: e, for_each: [1, 2, 3], run: x}", "{id: b, run: x}"), context)
    assert context.begun == ["e[0]", "e[1]"]


def test_several_at_a_time_or_passed_over_all_items_are_done() -> None:
    answers = {"e[0]": BAD, "e[1]": BAD}
    context = FakeContext(answers)
    with pytest.raises(Failure, match="e: item 0, and 1 more: the command failed"):
        run(flow("{id: e, for_each: {items: [1, 2, 3], max_parallel: 2}, run: x}", "{id: b, run: x}"), context)
    assert set(context.begun) == {"e[0]", "e[1]", "e[2]"}
    context = FakeContext({**answers, "e[2]": Ended("ok")})
    more = "outputs: {e: '${steps.e.output}', s: '${steps.e.status}'}"
    assert run(
        flow("{id: e, for_each: [1, 2, 3], run: x, on_failure: continue}", "{id: b, run: x}", more=more), context
    ) == {"e": [None, None, "ok"], "s": "failed"}
    assert context.begun == ["e[0]", "e[1]", "e[2]", "b"]


# interruptions


def test_what_calls_a_flow_off_comes_through_as_it_is_and_ends_all_branches() -> None:
    definition = read(
        flow(
            "{id: a, run: x}",
            "{id: b, run: x, needs: []}",
            "{id: e, needs: [], for_each: {items: [1, 2], max_parallel: 2}, run: x}",
        )
    )
    context = FakeContext({"b": FlowCancelled()})

    async def main() -> None:
        context.gate("a", "b", "e[0]", "e[1]")
        job = asyncio.create_task(run_file(context, definition, {}, base_dir="/"))
        await context.has_begun("a", "b", "e[0]", "e[1]")
        context.gates["b"].set()
        with pytest.raises(FlowCancelled):
            await job
        assert set(context.ended) == {"a", "b", "e[0]", "e[1]"}
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_run_that_is_let_go_leaves_nothing_behind() -> None:
    definition = read(flow("{id: a, run: x}", "{id: b, run: x, needs: []}"))
    context = FakeContext()

    async def main() -> None:
        context.gate("a", "b")
        job = asyncio.create_task(run_file(context, definition, {}, base_dir="/"))
        await context.has_begun("a", "b")
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert set(context.ended) == {"a", "b"}
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


GRAPH = flow(
    "{id: a, run: x}",
    "{id: b, run: x, needs: [], on_failure: continue}",
    "{id: l, run: x, needs: [a]}",
    "{id: e, for_each: {items: '${steps.l.json}', max_parallel: 2}, run: [x, '${item}']}",
    "{id: ask, approval: ok?, needs: [b]}",
    "{id: no, run: x, when: not steps.ask.approved}",
    "{id: w, wait: go, needs: [a, b]}",
    "{id: end, run: x, needs: [e, no, w]}",
    "{id: bad, run: x, needs: [a], on_failure: {run: y}}",
    more="outputs: {e: '${steps.e.output}'}",
)
ANSWERS: dict[str, Any] = {
    "b": BAD,
    "l": Ended("[1, 2, 3]"),
    "ask": NO,
    "go": {"n": 1},
    "bad": BAD,
    "e[1]": Ended('{"k": 2}'),
}


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whichever_ends_first_the_same_is_asked_for_and_the_same_comes_out(luck: random.Random) -> None:
    """A run that is taken up again gets recorded results at once: all of them in another order than the first time."""
    usual, other = FakeContext(ANSWERS), FakeContext(ANSWERS)
    other.turns = lambda name: luck.choice([0, 0, 1, 3, 20])
    ends = []
    for context in (usual, other):
        with pytest.raises(Failure) as caught:
            run(GRAPH, context)
        ends.append(str(caught.value))
    assert other.asked == usual.asked
    assert ends[0] == ends[1]
    assert {"e[2]", "no", "go", "bad:cleanup"} <= usual.asked.keys()


def test_an_operation_that_failed_carries_what_is_known_of_it() -> None:
    error = StepFailed("a", "no such flow")
    context = FakeContext({"a": error})
    run(flow("{id: a, flow: other, on_failure: continue}", "{id: b, run: [x, '${steps.a.status}']}"), context)
    assert context.asked["b"]["command"] == ["x", "failed"]
