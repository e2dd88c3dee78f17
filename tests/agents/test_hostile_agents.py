"""What an agent says is data, however it is meant: traps in names, numbers that are none, and far too much."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from agent_running import HERE, Running, command, wait_for

from outlast.core.agent import AgentSpec, EventKind, Turn
from patient_runner import PATIENT

NASTY = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def hostile(habit: str, **fields) -> AgentSpec:
    argv = (sys.executable, "-S", str(HERE / "hostile_acp.py"), habit)
    return AgentSpec(**{"name": "hostile", "backend": "acp", "command": argv, **fields})


def sound(turn: Running) -> None:
    """Nothing in a journal would move a terminal, and every line of it is what every reader takes."""
    for line in turn.lines:
        assert not NASTY.search(json.dumps(json.loads(line), ensure_ascii=False)), line[:300]


def test_numbers_that_no_record_holds_are_left_out(start) -> None:
    turn = start(hostile("numbers"))
    end = turn.end()
    assert (end.error, end.stop, end.text) == (None, "end_turn", "counted")
    sound(turn)
    assert end.usage is None or end.usage.input_tokens is None
    for line in turn.lines:
        for number in re.findall(rb"[:,\[](-?[0-9]{16,})", line):
            assert abs(int(number)) < 2**63


def test_names_that_are_traps_do_no_harm(start, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    turn = start(hostile("names"), workdir=work)
    end = turn.end()
    assert end.error is None
    sound(turn)
    said = json.loads(end.text)
    assert said[0] == {}
    assert "{message} {{x}} $(id)" in said[1]["content"]
    assert all(isinstance(one, str) for one in said[4:])
    assert "refused: it is outside" in said[4]
    assert "not offered" in said[-1]
    assert len(said[-1]) < 300
    assert "two\nlines\x1b[31m{x} $(touch owned)" in os.listdir(work)
    assert set(os.listdir(tmp_path)) == {"work"}
    assert "owned" not in os.listdir(work)
    [tool] = [event for event in turn.of(EventKind.TOOL) if event.title]
    assert len(tool.title) <= 500
    assert len(tool.id) <= 200
    [plan] = turn.of(EventKind.PLAN)
    assert len(plan.data["entries"]) <= 100


def test_an_introduction_may_say_anything(start, tmp_path) -> None:
    """In a turn, and where somebody merely looks at the agent."""
    spec = hostile("introduction", command=(*hostile("introduction").command, "login"))
    turn = start(spec)
    end = turn.end()
    assert (end.stop, end.code) == ("login_wanted", "login_wanted")
    sound(turn)
    assert len(str(end.data["hint"])) < 20_000
    assert len(turn.of(EventKind.READY)[0].data["can"]) <= 100
    given = Turn(agent=spec, conversation="c", prompt="", workdir=str(tmp_path), env={})
    probe = [sys.executable, "-P", "-m", "outlast.agents.probe"]
    done = subprocess.run(probe, input=msgspec.json.encode(given) + b"\n", capture_output=True, timeout=60, check=False)
    found = json.loads(done.stdout)
    assert (found["ok"], found["code"], len(found["can"])) == (False, "login_wanted", 100)
    assert not NASTY.search(json.dumps(found, ensure_ascii=False))
    assert len(done.stdout) < 60_000


@pytest.mark.parametrize(("number", "given"), [(0, "0"), (1, "1"), (2, "2"), (3, "2"), (4, "4"), (5, "5")])
def test_an_answer_reaches_the_agent_whatever_its_options_are_called(start, number: int, given: str) -> None:
    """What is masked or cut on record is answered under another name: else nobody could say yes."""
    turn = start(hostile("options"))
    asked = turn.until(EventKind.PERMISSION)
    turn.tell(op="permission", id=asked.id, option=asked.data["options"][number]["id"])
    assert turn.end().text == given
    assert turn.of(EventKind.PERMITTED)[0].status == "allowed"
    sound(turn)
    assert b"abcdefgh12345" not in b"".join(turn.lines)


def bounded(lines: int = 50_000, size: int = 64 * 1024 * 1024) -> list[str]:
    """A runner whose journal has other bounds."""
    code = f"from outlast.agents import desk, runner; desk.LINES_MAX, desk.BYTES_MAX = {lines}, {size}; runner.main()"
    return [sys.executable, "-P", "-c", code]


@pytest.mark.parametrize("kind", ["text", "usage", "tool", "plan"])
def test_small_news_that_comes_closely_is_told_together(start, kind: str) -> None:
    """The newest of it counts: a thousand steps of one tool are a few lines."""
    turn = start(hostile("many"), f"{kind} 20000")
    end = turn.end()
    assert (end.error, end.text.endswith("that was all")) == (None, True)
    assert len(turn.lines) < 400
    if kind == "tool":
        assert turn.of(EventKind.TOOL)[-1].title == "step 19999"
    if kind == "plan":
        assert turn.of(EventKind.PLAN)[-1].data["entries"][0]["content"] == "step 19999"
    if kind == "usage":
        assert turn.of(EventKind.USAGE)[-1].data["used"] == 19_999
    if kind == "text":
        assert "".join(event.text for event in turn.of(EventKind.TEXT)).count("a ") == 20_000


@pytest.mark.parametrize("kind", ["tools", "messages"])
def test_a_journal_has_a_length_and_its_end_is_there_all_the_same(start, kind: str) -> None:
    turn = start(hostile("many"), f"{kind} 3000", argv=bounded(lines=500))
    end = turn.end()
    assert (end.error, end.stop, end.text) == (None, "end_turn", "that was all")
    assert len(turn.lines) < 510
    [note] = turn.of(EventKind.NOTE)
    left_out = int(re.search("kept: ([0-9]+) lines", note.text).group(1))
    assert left_out in range(2_400, 2_600)


def test_an_agent_that_asks_and_does_not_listen_costs_no_memory(start, tmp_path: Path) -> None:
    """Its answers wait where they are until it reads them: 300 MB of them, and none is missing in the end."""
    turn = start(hostile("greedy"))
    wait_for(tmp_path / "large")
    time.sleep(2)  # for whoever would keep them all: to have them by now
    (tmp_path / "read").touch()
    turn.until(EventKind.TEXT)
    status = Path(f"/proc/{turn.process.pid}/status").read_text()
    most = int(re.search("VmHWM:\\s+([0-9]+) kB", status).group(1))
    (tmp_path / "leave").touch()
    end = turn.end()
    assert (end.error, end.text) == (None, "all came")
    assert most < 200_000


def test_an_agent_that_closes_its_ears_is_not_waited_for(start) -> None:
    turn = start(hostile("unhearing"))
    end = turn.end()
    assert (end.stop, end.code) == ("error", "agent_exited")
    assert "closed its input" in end.error
    assert turn.alive() == []


def test_nobody_is_asked_more_than_people_answer(start) -> None:
    """Fifty questions wait; what is asked beyond that is answered no. A thousand at once is more than we take."""
    turn = start(hostile("curious"), "200 wait", argv=PATIENT)
    while len(turn.of(EventKind.PERMITTED)) < 150:
        turn.until(EventKind.PERMITTED)
    assert len(turn.of(EventKind.PERMISSION)) == 50
    assert {(event.status, event.data["by"]) for event in turn.of(EventKind.PERMITTED)} == {("rejected", "limit")}
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, json.loads(end.text)) == ("cancelled", {"cancelled": 50, "reject": 150})


def test_questions_that_a_policy_answers_fill_no_journal(start) -> None:
    turn = start(hostile("curious", permissions="allow"), "2000", argv=bounded(lines=500))
    end = turn.end()
    assert (end.stop, json.loads(end.text)) == ("end_turn", {"allow": 2000})
    assert len(turn.lines) < 510
    assert "lines were left out" in turn.of(EventKind.NOTE)[-1].text


def test_a_journal_has_a_size(start) -> None:
    turn = start(hostile("many"), "text 60000", argv=bounded(size=20_000))
    end = turn.end()
    assert (end.error, end.text.endswith("that was all")) == (None, True)
    assert sum(map(len, turn.lines)) < 150_000
    assert "lines were left out" in turn.of(EventKind.NOTE)[0].text


@pytest.mark.parametrize("output", ["text", "json", "claude-stream-json", "codex-jsonl"])
def test_what_a_program_prints_is_data_too(start, output: str) -> None:
    nasty = "\\x1b]0;owned\\x07\\x9b31m\\xff\\xfe\\x00{message} {{x}} \\xe2\\x80\\xae $(id)"
    line = f'\'{{"result": "done", "type": "result", "x": "\' + {"z" * 10!r} * 52000 + \'"}}\\n\''
    code = f"import sys; sys.stdout.buffer.write(b'{nasty}\\n' * 20); sys.stdout.write({line}); sys.stdout.flush()"
    turn = start(command(sys.executable, "-S", "-c", code.replace("{", "{{").replace("}", "}}"), output=output))
    end = turn.end()
    sound(turn)
    assert end.stop in ("end_turn", "error")
    assert max(map(len, turn.lines)) <= 256 * 1024


def test_a_document_is_found_though_everything_before_it_looks_like_one(start) -> None:
    """An agent that prints JSON lines where one document is expected: the last of them is it."""
    code = """for n in range(50000): print('{"n": %d, "result": "r%d"}' % (n, n) + " " * 100)"""
    turn = start(command(sys.executable, "-S", "-c", code.replace("{", "{{").replace("}", "}}"), output="json"))
    end = turn.end()
    assert (end.error, end.text) == (None, "r49999")


def test_a_fault_of_ours_is_told_without_the_secrets_in_it(start) -> None:
    code = (
        "from outlast.agents import acp, runner\n"
        "async def run(self):\n    raise ValueError('password=hunter2hunter2 was not expected')\n"
        "acp.AcpBackend.run = run\nrunner.main()\n"
    )
    turn = start(hostile("names"), argv=[sys.executable, "-P", "-c", code])
    end = turn.end()
    assert (end.code, end.error) == ("internal", "ValueError: password=*** was not expected")
    assert b"Traceback" in turn.errors
    assert b"hunter2hunter2" not in turn.errors
