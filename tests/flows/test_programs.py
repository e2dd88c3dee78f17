"""Programs by replay, with the real engine and an SQLite file; only time is skipped."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import os
import sys
import threading
from datetime import UTC, datetime

import msgspec
import pytest

import outlast
from outlast import Retry, flow, step
from outlast.core.flow import FlowStatus
from outlast.core.session import Cause, Status
from outlast.flows.errors import FlowCancelled, NonRetryable, SignalTimeout, StepFailed, StepTimedOut
from outlast.testing import FlowFailed, Harness, Stuck


@pytest.fixture(params=["sqlite", "postgresql"])
def flows(request):
    with Harness(store="" if request.param == "sqlite" else request.getfixturevalue("pg_database")) as harness:
        yield harness


CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _calls():
    CALLS.clear()


@step
async def note(word: str) -> str:
    CALLS.append(word)
    return word.upper()


@step
def plain(number: int) -> int:
    CALLS.append(f"plain {number}")
    return number * 2


@flow
async def release(ctx: outlast.FlowContext, version: str) -> str:
    await ctx.run("build", ["make", "wheel"], timeout="30m")
    unit, _ = await ctx.gather(ctx.run("unit", "pytest -q"), ctx.run("lint", "ruff check"))
    if not (await ctx.approve("ship", f"Ship {version}?", preview=unit.tail, expires="2d")).approved:
        return "not shipped"
    await ctx.sleep("soak", "1h")
    url = await note(f"https://example/{version}")
    ctx.on_cancel("unpublish", note, "unpublish")
    await ctx.signal("confirmed", timeout="1d")
    return url


def made_up(flows: Harness) -> None:
    for name in ("build", "unit", "lint"):
        flows.command(name, stdout=f"{name} done")


def test_the_flow_of_the_readme_ends_with_its_result(flows):
    made_up(flows)
    run = flows.start(release, "1.2")
    assert flows.flow(run).status is FlowStatus.WAITING
    assert flows.questions(run)[0].prompt == "Ship 1.2?"
    assert flows.questions(run)[0].preview == "unit done"
    flows.approve(run, "go")
    flows.advance("1h")
    flows.signal(run, "confirmed")
    assert flows.result(run) == "HTTPS://EXAMPLE/1.2"
    assert CALLS == ["https://example/1.2"]
    assert [row.kind.value for row in flows.steps(run).values()] == [
        "run", "run", "run", "approval", "sleep", "function", "signal",
    ]  # fmt: skip


@flow
async def month(ctx: outlast.FlowContext) -> float:
    begun = await ctx.now()
    for day in range(30):
        await ctx.sleep("day", "1d")
        await note(f"day {day}")
    return ((await ctx.now()) - begun).total_seconds()


def test_thirty_days_pass_in_no_time(flows):
    assert flows.run(month) == 30 * 86_400.0
    assert [f"day {day}" for day in range(30)] == CALLS


@pytest.mark.parametrize("when", ["before", "unrecorded", "recorded"])
@pytest.mark.parametrize("key", ["note", "note#2", "note#3"])
def test_a_worker_that_dies_at_any_step_costs_at_most_that_one_step_twice(flows, key, when):
    @flow
    async def three(ctx):
        return [await note("a"), await note("b"), await note("c")]

    flows.crash_at(key, when)
    assert flows.run(three) == ["A", "B", "C"]
    assert flows.crashes == 1
    twice = {"note": "a", "note#2": "b", "note#3": "c"}[key] if when == "unrecorded" else None
    assert [CALLS.count(one) for one in "abc"] == [2 if one == twice else 1 for one in "abc"]


@pytest.mark.parametrize(
    "point", ["before_child", "after_child", "before_park", "after_park", "before_end", "after_end"]
)
def test_a_worker_that_dies_between_steps_changes_nothing(flows, point):
    made_up(flows)
    flows.crash_at_point(point)
    run = flows.start(release, "2")
    flows.signal(run, "confirmed")
    for _ in range(200):
        if flows.questions(run):
            break
        assert flows._skip()
        flows.settle()
    flows.approve(run)
    assert flows.result(run) == "HTTPS://EXAMPLE/2"
    assert CALLS.count("https://example/2") == 1


def test_a_plain_function_runs_in_a_thread_and_once(flows):
    @flow
    async def doubled(ctx):
        return await ctx.gather(*(ctx.step(f"p{n}", plain, n) for n in range(5)))

    assert flows.run(doubled) == [0, 2, 4, 6, 8]
    assert sorted(CALLS) == [f"plain {n}" for n in range(5)]


def test_outside_of_flows_steps_are_the_functions_they_were():
    assert plain(4) == 8
    assert asyncio.run(note("x")) == "X"
    with pytest.raises(RuntimeError, match="is a flow"):
        release("1")


# ---- values


@dataclasses.dataclass
class Point:
    x: int
    at: datetime


class Shape(msgspec.Struct):
    points: list[Point]
    raw: bytes


@step
async def shape(n: int) -> Shape:
    return Shape([Point(n, datetime(2026, 1, n, tzinfo=UTC))], b"\x00\xff" * n)


def test_dataclasses_structs_datetimes_and_bytes_come_back_as_they_were_also_after_a_crash(flows):
    seen = []

    @flow
    async def shapes(ctx):
        first = await shape(3)
        seen.append(first)
        await ctx.sleep("nap", "1d")
        return first.points[0].x

    assert flows.run(shapes) == 3
    assert seen == [Shape([Point(3, datetime(2026, 1, 3, tzinfo=UTC))], b"\x00\xff" * 3)] * 2


@pytest.mark.parametrize("flows", ["sqlite"], indirect=True)
def test_fifty_megabytes_are_kept_beside_the_row_and_read_back(flows):
    sizes = []

    @step
    async def large() -> str:
        CALLS.append("large")
        return "x" * 50_000_000

    @flow
    async def heavy(ctx):
        text = await large()
        sizes.append(len(text))
        await ctx.sleep("nap", "1h")
        return len(text)

    run = flows.start(heavy)
    assert flows.result(run) == 50_000_000
    assert CALLS == ["large"]
    assert sizes == [50_000_000, 50_000_000]
    assert len(flows.steps(run)["large"].result) < 200


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": float("inf")}, {1, object()}, "\ud800"])
def test_what_is_not_json_fails_its_step_with_a_clear_sentence(flows, value):
    @flow
    async def odd(ctx):
        return await ctx.step("odd", lambda: value, retry=Retry(5))

    with pytest.raises(FlowFailed) as failed:
        flows.run(odd)
    assert "not JSON" in failed.value.flow.error or "no number of JSON" in failed.value.flow.error
    assert "step 'odd'" in failed.value.flow.error


# ---- failures


def test_a_step_is_tried_again_with_growing_pauses_and_each_attempt_is_counted(flows):
    moments = []

    @step(retry=Retry(4, "10s..1m"))
    async def flaky():
        moments.append(flows.clock.now())
        if len(moments) < 4:
            raise OSError("down")
        return "up"

    @flow
    async def patient(ctx):
        return await flaky()

    run = flows.start(patient)
    assert flows.result(run) == "up"
    assert flows.steps(run)["flaky"].attempt == 4
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert 7.5 <= pauses[0] <= 10 and 15 <= pauses[1] <= 20 and 30 <= pauses[2] <= 40


@pytest.mark.parametrize("error", [NonRetryable("no"), KeyError("k")])
def test_what_is_final_is_not_tried_again(flows, error):
    @step(retry=Retry(5, unless=(KeyError,)))
    async def hopeless():
        CALLS.append("tried")
        raise error

    @flow
    async def once(ctx):
        try:
            await hopeless()
        except StepFailed as failed:
            return failed.type

    assert flows.run(once) == type(error).__name__
    assert CALLS == ["tried"]


@pytest.mark.parametrize(
    ("leave", "name"),
    [
        (lambda: sys.exit(3), "SystemExit"),
        (lambda: (_ for _ in ()).throw(KeyboardInterrupt), "KeyboardInterrupt"),
        (lambda: (_ for _ in ()).throw(GeneratorExit), "GeneratorExit"),
        (lambda: (_ for _ in ()).throw(asyncio.CancelledError), "CancelledError"),
    ],
)
@pytest.mark.parametrize("threaded", [False, True])
def test_whatever_a_step_raises_ends_the_step_and_not_the_worker(flows, leave, name, threaded):
    async def coroutine():
        leave()

    @flow
    async def rude(ctx):
        await ctx.step("rude", leave if threaded else coroutine)

    with pytest.raises(FlowFailed) as failed:
        flows.run(rude)
    assert name in failed.value.flow.error
    assert flows.run(month) == 30 * 86_400.0


@pytest.mark.parametrize("threaded", [False, True])
def test_a_step_that_forks_leaves_no_second_worker_behind(flows, threaded):
    def fork():
        pid = os.fork()
        if pid:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return -1

    async def forks():
        return fork()

    @flow
    async def forking(ctx):
        return await ctx.step("fork", fork if threaded else forks)

    assert flows.run(forking) == 70


def test_a_step_that_takes_too_long_is_timed_out(flows):
    @step(timeout=0.05)
    async def slow():
        await asyncio.sleep(120)

    release = threading.Event()

    @step(timeout=0.05)
    def stuck():
        release.wait(120)

    @flow
    async def hurried(ctx):
        found = []
        for one in (slow, stuck):
            try:
                await one()
            except StepTimedOut as late:
                found.append(late.step)
        return found

    try:
        run = flows.start(hurried)
        assert flows.result(run) == ["slow", "stuck"]
    finally:
        release.set()
    assert flows.steps(run)["slow"].status is Status.TIMED_OUT


def test_a_failed_flow_undoes_in_reverse_and_says_which_step_it_was(flows):
    @flow
    async def doomed(ctx):
        ctx.on_failure("first", note, "undo first")
        await note("work")
        ctx.on_failure("second", note, "undo second")
        ctx.on_cancel("never", note, "never")
        await ctx.step("break", lambda: 1 / 0)

    flows.crash_at("compensate:second", "recorded")
    with pytest.raises(FlowFailed, match="ZeroDivisionError") as failed:
        flows.run(doomed)
    assert failed.value.flow.step == "break"
    assert failed.value.flow.cause is Cause.ERROR
    assert CALLS == ["work", "undo second", "undo first"]


def test_a_flow_with_a_retry_rule_runs_again_and_finished_steps_do_not(flows):
    @flow(retry=Retry(3, "1m"))
    async def stubborn(ctx):
        await note("first")
        if len(CALLS) < 3:
            await note("fails")
            await ctx.step("break", lambda: 1 / 0)
        return "done"

    run = flows.start(stubborn)
    with pytest.raises(FlowFailed):
        flows.result(run)
    assert flows.flow(run).attempt == 3
    assert CALLS == ["first", "fails"]


# ---- signals and approvals


@flow
async def listens(ctx):
    first = await ctx.signal("go")
    second = await ctx.signal("go", timeout="1h")
    return [first, second]


def test_signals_sent_before_anybody_waits_are_given_in_order(flows):
    @flow
    async def late(ctx):
        await ctx.sleep("nap", "1h")
        return await listens()

    run = flows.start(late)
    flows.serve(listens)
    with pytest.raises(Stuck):
        flows.result(run)
    assert flows.flow(run).status is FlowStatus.WAITING

    other = flows.start(listens)
    flows.signal(other, "go", {"n": 1})
    flows.signal(other, "go", 2)
    assert flows.result(other) == [{"n": 1}, 2]


def test_a_signal_nobody_sends_times_out(flows):
    run = flows.start(listens)
    flows.signal(run, "go", 1)
    with pytest.raises(FlowFailed, match="in time"):
        flows.result(run)


def test_a_question_nobody_answers_expires(flows):
    @flow
    async def asks(ctx):
        answer = await ctx.approve("ok", "Sure?", expires="2d")
        return [answer.approved, answer.status]

    begun = flows.clock.now()
    assert flows.run(asks) == [False, "expired"]
    assert flows.clock.now() == begun + 2 * 86_400


def test_a_rejected_question_says_who_and_why(flows):
    @flow
    async def asks(ctx):
        answer = await ctx.approve("ok", "Sure?")
        return [answer.approved, answer.note, answer.by]

    run = flows.start(asks)
    flows.reject(run, "not today")
    assert flows.result(run) == [False, "not today", "test"]


# ---- cancelling


def test_cancel_reaches_a_running_step_and_undoes_in_reverse(flows):
    reached = []

    @step
    async def endless():
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.create_task, flows.store.ask_cancel_flow(reached[0], flows.clock.now(), "enough"))
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            CALLS.append("cancelled")
            raise

    @flow
    async def long(ctx):
        reached.append(ctx.flow_id)
        ctx.on_cancel("a", note, "undo a")
        ctx.on_cancel("b", note, "undo b")
        await endless()

    run = flows.start(long)
    ended = flows.finish(run)
    assert ended.status is FlowStatus.CANCELLED
    assert ended.error == "enough"
    assert CALLS == ["cancelled", "undo b", "undo a"]
    assert flows.steps(run)["endless"].status is Status.CANCELLED


def test_cancel_of_a_waiting_flow_wakes_it_and_ends_its_children(flows):
    @flow
    async def parent(ctx):
        ctx.on_cancel("undo", note, "undo")
        await ctx.gather(ctx.sleep("nap", "1d"), listens())

    flows.serve(listens)
    run = flows.start(parent)
    child = flows.steps(run)["listens"].ref
    flows.cancel(run, "stop")
    assert flows.finish(run).status is FlowStatus.CANCELLED
    assert flows.flow(child).status is FlowStatus.CANCELLED
    assert CALLS == ["undo"]


def test_a_program_cannot_swallow_its_cancellation_by_catching_exceptions(flows):
    @flow
    async def stubborn(ctx):
        while True:
            try:
                await ctx.signal("never")
            except Exception:
                CALLS.append("swallowed")

    run = flows.start(stubborn)
    flows.cancel(run)
    assert flows.finish(run).status is FlowStatus.CANCELLED
    assert CALLS == []


def test_a_flow_past_its_deadline_fails_and_says_so(flows):
    @flow(deadline="1h")
    async def late(ctx):
        ctx.on_failure("undo", note, "undo")
        await ctx.sleep("nap", "2h")

    with pytest.raises(FlowFailed, match="deadline") as failed:
        flows.run(late)
    assert failed.value.flow.cause is Cause.DEADLINE
    assert CALLS == ["undo"]
    assert flows.clock.now() - failed.value.flow.created_at == 3600


# ---- code that changes


def test_changed_code_blocks_at_the_first_step_that_no_longer_fits_with_both_names(flows):
    new = False

    @flow
    async def changing(ctx):
        await ctx.step("compile" if new else "build", lambda: 1)
        await ctx.sleep("nap", "1d")
        return "done"

    run = flows.start(changing)
    new = True
    blocked = flows.finish(run)
    assert blocked.status is FlowStatus.BLOCKED
    assert blocked.blocker["expected"] == "build"
    assert blocked.blocker["found"] == "compile"
    assert "retry" in blocked.blocker["next"]


def test_a_step_of_another_kind_under_the_same_name_is_a_change(flows):
    new = False

    @flow
    async def changing(ctx):
        await (ctx.sleep("x", 0) if new else ctx.step("x", lambda: 1))
        await ctx.sleep("nap", "1d")

    run = flows.start(changing)
    new = True
    assert flows.finish(run).blocker["expected"] == "x (function)"


def test_steps_that_were_taken_out_are_a_change_too(flows):
    new = False

    @flow
    async def changing(ctx):
        if not new:
            await ctx.sleep("nap", "1d")
        return "end"

    run = flows.start(changing)
    new = True
    assert flows.finish(run).blocker["found"] == "the end"


@pytest.mark.parametrize("then", ["signal", "slow"])
def test_a_new_way_is_kept_to_whatever_the_first_step_on_it_is(flows, then):
    @flow
    async def patched(ctx):
        ways = [ctx.patched("faster")]
        if then == "signal":
            await ctx.signal("go")
        else:
            await ctx.step("slow", asyncio.sleep, 0.4)  # long enough to be shown as running
        return [*ways, ctx.patched("faster")]

    if then == "slow":
        flows.crash_at("slow", "unrecorded")
    run = flows.start(patched)
    flows.signal(run, "go")
    assert flows.result(run) == [True, True]
    assert flows.crashes == (then == "slow")


def test_patched_keeps_old_flows_on_the_old_way_and_new_ones_on_the_new(flows):
    new = False

    @flow
    async def patched(ctx):
        if new and ctx.patched("faster"):
            await note("new way")
        else:
            await note("old way")
        await ctx.sleep("nap", "1d")
        return [bool(new and ctx.patched("faster"))]

    old = flows.start(patched)
    new = True
    fresh = flows.start(patched)
    assert flows.result(old) == [False]
    assert flows.result(fresh) == [True]
    assert CALLS == ["old way", "new way"]


def test_parallel_branches_replay_whatever_order_they_ended_in(flows):
    @flow
    async def braided(ctx):
        async def branch(name, naps):
            said = []
            for nap in naps:
                await ctx.sleep("nap", nap)
                said.append(await note(f"{name} {nap}"))
            return said

        return await ctx.gather(
            branch("a", ["3h", "61m"]), branch("b", ["1h", "62m", "63m", "4h"]), branch("c", ["2h", "30m"])
        )

    for key in ("nap#1.0", "nap#1.1#2", "note#1.1#3", "note#1.2"):
        flows.crash_at(key, "recorded")
    assert flows.run(braided) == [["A 3H", "A 61M"], ["B 1H", "B 62M", "B 63M", "B 4H"], ["C 2H", "C 30M"]]
    assert flows.crashes == 4
    assert len(CALLS) == len(set(CALLS)) == 8


def test_a_name_used_twice_in_tasks_of_the_programs_own_is_refused_with_the_way_out(flows):
    @flow
    async def own_tasks(ctx):
        async def branch(word):
            return await note(word)

        return await asyncio.gather(branch("a"), branch("b"))

    with pytest.raises(FlowFailed, match=r"ctx\.gather"):
        flows.run(own_tasks)


# ---- children


@flow
async def child(ctx, n: int) -> int:
    await ctx.sleep("nap", "1h")
    return await plain(n) if n >= 0 else 1 // 0


def test_sub_flows_give_their_result_or_their_failure_to_the_parent(flows):
    @flow
    async def parent(ctx):
        good = await ctx.gather(child(1), child(2))
        try:
            await child(-1)
        except StepFailed as failed:
            return [*good, failed.step, "ZeroDivisionError" in failed.message]

    flows.serve(child)
    run = flows.start(parent)
    result = flows.result(run)
    assert result[2:] == ["child#3", True]


def test_commands_really_run_and_their_output_comes_back(flows):
    @flow
    async def shell(ctx):
        found = await ctx.run("hello", "echo hello; echo oops >&2")
        bad = await ctx.run("bad", ["sh", "-c", "exit 3"], check=False)
        fed = await ctx.run("fed", ["cat"], stdin="$(rm -rf /) `x`")
        return [found.stdout, found.exit_code, bad.exit_code, bad.status, fed.stdout]

    assert flows.run(shell) == ["hello\n", 0, 3, "failed", "$(rm -rf /) `x`"]


def test_a_command_that_fails_raises_with_its_result(flows):
    flows.command("bad", stdout="why", exit_code=7)

    @flow
    async def shell(ctx):
        try:
            await ctx.run("bad", "x")
        except StepFailed as failed:
            return [failed.type, failed.result.exit_code, failed.result.stdout]

    assert flows.run(shell) == ["failed", 7, "why"]


def test_an_agent_is_told_something_and_its_answer_comes_back(flows):
    """In a conversation of the step's own unless one is named; what a test makes up needs no configuration."""
    flows.agent("look", text='{"found": 3}')
    flows.agent("tell", error="the agent refused")

    @flow
    async def review(ctx):
        found = await ctx.agent("look", "coder", "look around", timeout="5m")
        told = await ctx.agent("tell", "coder", "tell me", conversation="agent:coder:main", check=False)
        try:
            await ctx.agent("nobody", "coder", "hello")
        except StepFailed as failed:
            return [found.json(), found.conversation, told.status, told.error, told.conversation, str(failed)]

    found, own, *told, failed = flows.run(review)
    assert found == {"found": 3} and own.startswith("agent:coder:flow:f") and own.endswith(":look")
    assert told == ["failed", "the agent refused", "agent:coder:main"]
    assert "makes up no answer for step nobody" in failed


def test_an_answer_of_an_agent_outlives_the_worker(flows):
    """The turn is not taken a second time: its task is on record, whoever waits for it."""
    flows.agent("look", text="seen")
    flows.crash_at_point("after_child", "look")

    @flow
    async def review(ctx):
        return (await ctx.agent("look", "coder", "look around")).text

    assert flows.run(review) == "seen" and flows.crashes == 1


# ---- starts


@pytest.mark.parametrize("args", [(), ("1", "2"), (3,)])
def test_arguments_that_do_not_fit_fail_with_a_sentence(flows, args):
    with pytest.raises(FlowFailed) as failed:
        flows.run(release, *args)
    assert "version" in failed.value.flow.error or "argument" in failed.value.flow.error


def test_flows_of_one_key_take_turns(flows):
    running = []

    @flow(concurrency_key=lambda name: f"deploy {name}")
    async def deploy(ctx, name):
        running.append(ctx.flow_id)
        await ctx.sleep("nap", "1h")
        return flows.clock.now()

    first, second, other = (flows.start(deploy, name) for name in ("a", "a", "b"))
    assert set(running) == {first, other}
    assert flows.result(second) - flows.result(first) == 3600


def test_higher_priority_goes_first_whatever_waits(flows):
    order = []

    @flow
    async def ordinary(ctx):
        order.append(0)

    @flow(priority=5)
    async def urgent(ctx):
        order.append(5)

    flows.engine.open = False
    held, flows.engine._held_max = flows.engine._held_max, 0
    for _ in range(20):
        flows.start(ordinary)
    flows.start(urgent)
    flows.engine._held_max = 1
    flows.settle()
    flows.engine._held_max = held
    assert order[0] == 5
    assert len(order) == 21


def test_workers_that_die_at_the_same_step_again_and_again_block_the_flow(flows):
    @flow
    async def deadly(ctx):
        await note("fine")
        await ctx.step("deadly", lambda: 1)

    flows.crash_at("deadly", "before", times=10)
    blocked = flows.finish(flows.start(deadly))
    assert blocked.status is FlowStatus.BLOCKED
    assert blocked.blocker["kind"] == "crashed"
    assert blocked.blocker["step"] == "note"
    assert CALLS == ["fine"]


def test_the_errors_are_importable_from_the_top():
    assert issubclass(SignalTimeout, Exception)
    assert not issubclass(FlowCancelled, Exception)


def test_a_flow_file_runs_as_a_child_and_bytes_reach_a_child(flows, tmp_path):
    (tmp_path / "hello.flow.yaml").write_text(
        "name: hello\nargs: {who: {type: string}}\nsteps:\n  - id: say\n    run: [echo, '${args.who}']\n"
        "outputs: {said: '${steps.say.output}'}\n"
    )

    @flow
    async def size(ctx, data: bytes):
        await ctx.sleep("nap", "1h")
        return len(data)

    @flow
    async def parent(ctx):
        said = await ctx.flow("file", str(tmp_path / "hello.flow.yaml"), who="x; rm -rf $HOME")
        return [said, await size(b"\xff" * 1000)]

    flows.serve_files()
    flows.serve(size)
    assert flows.run(parent) == [{"said": "x; rm -rf $HOME"}, 1000]


def test_a_flow_whose_deadline_passed_before_it_could_start_runs_no_step(flows):
    @flow(deadline="1h", concurrency_key="one")
    async def late(ctx):
        await note("too late")

    @flow(concurrency_key="one")
    async def first(ctx):
        await ctx.sleep("nap", "2h")

    one = flows.start(first)
    run = flows.start(late)
    flows.result(one)
    assert flows.finish(run).cause is Cause.DEADLINE
    assert CALLS == []
