"""ACP agents that misbehave: every case ends in the right way, says why, and leaves nothing running."""

from __future__ import annotations

import json
import signal
import time
import uuid

import pytest
from agent_running import PATIENCE, RUNNER, acp, marked, sleeping_in

from houses import House, spec
from outlast.core.agent import AgentSpec, EventKind
from patient_runner import PATIENT


@pytest.mark.parametrize(
    ("habit", "said"),
    [
        ("crash:initialize", "exit code 7 before it had answered: Traceback: the agent fell over in initialize"),
        ("crash:new", "exit code 7 before it had answered: Traceback: the agent fell over in new"),
        ("crash:prompt", "exit code 7 before it had answered: Traceback: the agent fell over in prompt"),
        ("crash:mid", "exit code 7 before it had answered: Traceback: the agent fell over in mid"),
        ("exit0:prompt", "exit code 0 before it had answered"),
        ("exit0:mid", "exit code 0 before it had answered"),
        ("bad-json", "exit code 0 before it had answered"),
        ("orphan-crash", "exit code 3 before it had answered"),
    ],
)
def test_an_agent_that_ends_before_its_answer_has_failed(start, habit: str, said: str) -> None:
    """Exit code 0 is no result, and a child that holds the pipes is not waited for."""
    turn = start(acp(habit))
    end = turn.end()
    assert (end.stop, end.code) == ("error", "agent_exited")
    assert said in end.error
    assert end.text == ("half of it" if "mid" in habit else "")
    assert turn.alive() == []
    assert time.monotonic() - turn.began < 2 * PATIENCE


@pytest.mark.parametrize(
    ("habit", "code", "said"),
    [
        ("garbage-only", "protocol", "does not speak the protocol; it writes, for one: log line 199"),
        ("version-2", "protocol", "the agent speaks version 2 of the protocol, we speak 1"),
        ("version-text", "protocol", "without a version"),
        ("no-id", "protocol", "a session without an id"),
        ("wrong-id", "protocol", "the id 'prompt-1', which was not asked under"),
        ("no-result", "protocol", "neither a result nor an error"),
        ("odd-stop", "protocol", "a reason that is not known: 'tired'"),
        ("giant-answer", "protocol", "a message of more than 16 MiB"),
        ("failing", "agent_error", "the agent failed: Internal error: model overloaded"),
        ("closes-output", "agent_exited", "closed its output in the middle of the turn"),
    ],
)
def test_an_agent_that_breaks_the_protocol_is_told_by_what(start, habit: str, code: str, said: str) -> None:
    turn = start(acp(habit))
    end = turn.end()
    assert (end.stop, end.code) == ("error", code)
    assert said in end.error
    assert turn.alive() == []


def test_noise_on_the_wire_is_noted_and_survived(start) -> None:
    turn = start(acp("noise"))
    end = turn.end()
    assert end.stop == "end_turn"
    assert end.text == "a\ufffdb \ufffd red {{x}} {y}"
    notes = " / ".join(event.text for event in turn.of(EventKind.NOTE))
    assert "not a message: npm warn something" in notes
    assert "half a mess" in notes
    assert all("not for you" not in line.decode() for line in turn.lines)


def test_a_giant_update_is_skipped_and_noted(start) -> None:
    turn = start(acp("giant-update"))
    assert turn.end().text == "after the giant"
    assert "more than 16 MiB, which was skipped" in turn.of(EventKind.NOTE)[0].text


def test_a_flood_of_standard_error_is_drained(start) -> None:
    """It hangs neither the agent nor the runner; what is passed on is its beginning and its end."""
    turn = start(acp("flood"))
    assert turn.end().text == "done flooding"
    assert len(turn.errors) < 400_000
    assert b"bytes of standard error left out]" in turn.errors
    assert turn.errors.rstrip().endswith(b"the last line")


def test_an_agent_that_never_answers_is_given_up_in_time(start) -> None:
    turn = start(acp("silent", timeout_seconds=1.0))
    end = turn.end()
    assert (end.stop, end.code, end.error) == ("error", "timeout", "the turn took longer than 1 s")
    assert turn.alive() == []


def test_a_turn_that_never_ends_is_stopped_in_time_and_keeps_what_it_said(start) -> None:
    turn = start(acp("forever", timeout_seconds=15.0), argv=PATIENT)
    end = turn.end()
    assert (end.code, end.text) == ("timeout", "working…\nstopped")
    assert turn.alive() == []


def test_cancel_asks_the_agent_first(start, tmp_path) -> None:
    memory = tmp_path / "memory"
    turn = start(acp("forever", env={"SCRIPTED_MEMORY": str(memory)}), argv=PATIENT)
    turn.until(EventKind.TEXT)
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error, end.text) == ("cancelled", None, "working…\nstopped")
    assert memory.read_text() == "cancel\n"
    assert turn.alive() == []


def test_an_agent_that_calls_its_end_an_end_like_any_other_was_called_off_all_the_same(start) -> None:
    turn = start(acp("unmoved"), argv=PATIENT)
    turn.until(EventKind.TEXT)
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error, end.text) == ("cancelled", None, "working…\nstopped")
    assert end.usage.total_tokens == 12


def test_an_agent_that_does_not_listen_is_ended(start) -> None:
    turn = start(acp("deaf", "stays"))
    turn.until(EventKind.TEXT)
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error) == ("cancelled", None)
    assert "did not stop when it was asked to" in turn.of(EventKind.NOTE)[-1].text
    assert turn.alive() == []


def test_sigterm_is_cancel(start) -> None:
    turn = start(acp("forever"))
    turn.until(EventKind.TEXT)
    turn.process.send_signal(signal.SIGTERM)
    assert turn.end().stop == "cancelled"


def test_a_turn_can_be_called_off_before_it_has_begun(start) -> None:
    turn = start(acp("silent"))
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error) == ("cancelled", None)
    assert turn.alive() == []


def test_an_agent_that_stays_after_its_work_is_ended(start) -> None:
    turn = start(acp("stays"))
    assert turn.end().text == "you said: hello"
    assert turn.alive() == []


def test_children_in_the_group_end_with_the_agent(start) -> None:
    """Those that left it are the session's: see the test below."""
    turn = start(acp("children"))
    here, there = map(int, turn.end().text.split())
    assert turn.alive() == [there]
    assert here != there


def test_what_an_agent_has_started_may_write_down_its_history_after_it(start, tmp_path) -> None:
    """Some leave that to a child, which has the conversation of the next turn: without it that begins from nothing."""
    turn = start(acp("historian"), workdir=tmp_path, argv=PATIENT)
    assert turn.end().error is None
    assert (tmp_path / "history").read_text() == "kept\n"
    assert turn.alive() == []


def test_a_session_of_the_keeper_leaves_nothing_of_a_turn(house: House, tmp_path) -> None:
    """Children that left the group, and even the session, end with it."""
    turn = {"agent": {"name": "a", "backend": "acp", "command": list(acp("children").command)}, "conversation": "c",
            "prompt": "hello", "workdir": str(tmp_path), "env": {}}  # fmt: skip

    async def act(table):
        env = {"OUTLAST_TEST_MARK": uuid.uuid4().hex}
        mark = f"OUTLAST_TEST_MARK={env['OUTLAST_TEST_MARK']}"
        session = await table.start(spec(table, RUNNER, stdin="pipe", leftovers="kill", env=env))
        await table.write(session, json.dumps(turn).encode() + b"\n")
        await table.until_drained(session)
        return session, session.output.read(0, session.produced), marked(mark)

    session, output, left = house.run(act)
    assert b'"ev":"end"' in output.splitlines()[-1]
    assert session.end.code == 0
    assert left == []


def test_a_session_of_the_keeper_leaves_nothing_of_a_terminal(house: House, tmp_path) -> None:
    """Not even of a command that has ended its own warden, left its session and cleared its environment."""
    script = "kill -9 $PPID; env -i setsid sh -c 'touch up; sleep 600' & until [ -e up ]; do sleep 0.02; done"
    steps = [
        ["terminal/create", {"command": "sh", "args": ["-c", script]}],
        ["terminal/create", {"command": "sh", "args": ["-c", "until [ -e up ]; do sleep 0.02; done"]}],
        ["terminal/wait_for_exit", {"terminalId": "t2"}],
    ]
    agent = {"name": "a", "backend": "acp", "command": list(acp("terminals").command), "permissions": "allow"}
    turn = {"agent": agent, "conversation": "c", "prompt": json.dumps(steps), "workdir": str(tmp_path), "env": {}}

    async def act(table):
        session = await table.start(spec(table, RUNNER, stdin="pipe", leftovers="kill"))
        await table.write(session, json.dumps(turn).encode() + b"\n")
        await table.until_drained(session)
        return session, sleeping_in(tmp_path)

    session, left = house.run(act)
    assert session.end.code == 0
    assert (tmp_path / "up").exists()
    assert left == []


def test_a_kill_of_the_session_still_gets_its_last_line(house: House, tmp_path) -> None:
    """Runner and agent get the signal at once; the journal says that the turn was called off."""
    turn = {"agent": {"name": "a", "backend": "acp", "command": list(acp("forever").command)}, "conversation": "c",
            "prompt": "hello", "workdir": str(tmp_path), "env": {}}  # fmt: skip

    async def act(table):
        session = await table.start(spec(table, RUNNER, stdin="pipe", leftovers="kill", grace_seconds=PATIENCE))
        await table.write(session, json.dumps(turn).encode() + b"\n")
        seen = 0
        while b"working" not in session.output.read(0, session.produced):
            await table.until_output(session, seen)
            seen = session.produced
        await table.kill(session)
        await table.until_drained(session)
        return session.output.read(0, session.produced)

    last = house.run(act).splitlines()[-1]
    assert b'"ev":"end"' in last
    assert b'"stop":"cancelled"' in last


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"command": ("no-such-agent",)}, "no_program", "there is no program 'no-such-agent'"),
        ({"command": ("/etc/passwd",)}, "no_program", "'/etc/passwd'"),
    ],
)
def test_an_agent_that_cannot_be_started_says_why(start, fields, code: str, said: str) -> None:
    end = start(AgentSpec(name="a", backend="acp", **fields)).end()
    assert (end.stop, end.code) == ("error", code)
    assert said in end.error


def test_a_directory_that_is_gone_is_named(start) -> None:
    end = start(acp(), workdir="/nowhere/at/all").end()
    assert (end.code, end.error) == ("bad_workdir", "the directory /nowhere/at/all is not there")


def test_twenty_at_once(start) -> None:
    turns = [start(acp("whole")) for _ in range(20)]
    assert {turn.end().text for turn in turns} == {"Hello, world\nand more"}
    assert [pid for turn in turns for pid in turn.alive()] == []
