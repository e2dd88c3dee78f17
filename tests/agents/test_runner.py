"""The runner itself: what it does when its pipes are closed, full, or full of nonsense, and how light it is."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from agent_running import PATIENCE, RUNNER, acp, python

from outlast.core.agent import AgentEvent, EventKind, Turn


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "ended before there was a turn"),
        (b"not json\n", "not a turn"),
        (b'{"agent": {}}\n', "not a turn"),
        (b'{"agent": {"name": "a", "backend": "cloud"}, "conversation": "c"}\n', "not a turn"),
        (b"[" * 100_000 + b"\n", "not a turn"),
        (b"\xff\xfe\n", "not a turn"),
    ],
)
def test_what_is_no_turn_is_said_in_the_journal(start, raw: bytes, said: str) -> None:
    turn = start(acp(), raw=raw)
    turn.process.stdin.close()
    end = turn.end()
    assert (end.stop, end.code) == ("error", "bad_turn")
    assert said in end.error


def test_a_turn_without_a_line_end_is_a_turn(start) -> None:
    turn = start(acp(), raw=b"")
    turn.write(msgspec.json.encode(turn.turn))
    turn.process.stdin.close()
    assert turn.end().text == "you said: hello"


def test_the_end_of_standard_input_does_not_end_the_turn(start) -> None:
    """The gateway has died; the agent works on, and its end is there to be read."""
    turn = start(python("import time, os\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('done')"))
    turn.until(EventKind.BEGUN)
    turn.process.stdin.close()
    with open(os.path.join(turn.turn.workdir, "go"), "w"):
        pass
    assert turn.end().text == "done"


def test_lines_that_are_not_understood_are_noted(start) -> None:
    turn = start(acp("forever"))
    turn.until(EventKind.TEXT)
    for line in (b"what?\n", b"[]\n", b"\n", b'{"op": "dance"}\n', b'{"op": "steer"}\n', b'{"op": "permission"}\n',
                 b"\xff\n", b"x" * 5_000_000 + b"\n"):  # fmt: skip
        turn.write(line)
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"
    notes = [event.text for event in turn.of(EventKind.NOTE)]
    assert len(notes) == 7
    assert all("was not understood" in note and len(note) < 400 for note in notes)


def test_the_turn_said_twice_is_done_once(start) -> None:
    """A gateway that was restarted cannot know whether the runner has it."""
    turn = start(acp("permission"), "1")
    turn.write(msgspec.json.encode(turn.turn) + b"\n")
    turn.until(EventKind.PERMISSION)
    turn.tell(op="permission", id="p1", option="yes")
    turn.end()
    assert turn.of(EventKind.NOTE) == []
    assert len(turn.of(EventKind.BEGUN)) == 1


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts runners whose output is the test's own; none is left afterwards."""
    started: list[subprocess.Popen] = []

    def begin(agent, stdout, prompt: str = "hello", workdir: str = "/tmp") -> subprocess.Popen:
        process = subprocess.Popen(RUNNER, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL)
        started.append(process)
        turn = Turn(agent=agent, conversation="c", prompt=prompt, workdir=workdir, env={})
        process.stdin.write(msgspec.json.encode(turn) + b"\n")
        process.stdin.flush()
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait(PATIENCE)


def some(fd: int) -> bytes:
    """Return what has come of a pipe, as soon as something has."""
    assert select.select([fd], [], [], PATIENCE)[0], "nothing came"
    return os.read(fd, 65536)


def test_a_closed_output_ends_the_turn_instead_of_hanging_it(run) -> None:
    """Nobody will ever read what it comes to."""
    reading, writing = os.pipe()
    process = run(acp("forever"), writing)
    os.close(writing)
    some(reading)
    os.close(reading)
    process.stdin.write(b'{"op": "dance"}\n')  # the next thing that is written finds the pipe closed
    process.stdin.flush()
    assert process.wait(PATIENCE) == 1


def test_a_turn_that_only_waits_ends_too_when_nobody_is_left_to_hear_of_it(run) -> None:
    """Keeper and supervisor were killed while it waits for leave: no answer can come any more."""
    reading, writing = os.pipe()
    process = run(acp("permission"), writing, "1")
    os.close(writing)
    seen = b""
    while b'"permission"' not in seen:
        data = some(reading)
        assert data, seen
        seen += data
    os.close(reading)
    assert process.wait(PATIENCE) == 1


def test_an_output_that_nobody_reads_does_not_hang_the_runner(tmp_path) -> None:
    """The agent waits a while, then what it says is dropped; the runner still ends."""
    reading, writing = os.pipe()
    code = "import outlast.agents.output as o; o.STALL_SECONDS = 0.5\n"
    code += "import outlast.agents.runner as r; r.LAST_WORDS_SECONDS = 0.5; r.main()"
    flood = python("for _ in range(60_000): print('words ' * 16)")
    turn = Turn(agent=flood, conversation="c", prompt="hello", workdir=str(tmp_path), env={})
    process = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=writing)
    os.close(writing)
    process.stdin.write(msgspec.json.encode(turn) + b"\n")
    process.stdin.flush()
    try:
        assert process.wait(PATIENCE) == 1  # the last line could not be written
    finally:
        process.kill()
        os.close(reading)


def test_a_reader_that_comes_late_gets_the_end_and_what_was_not_dropped(run, tmp_path) -> None:
    reading, writing = os.pipe()
    process = run(python("for _ in range(50_000): print('words ' * 16)"), writing, workdir=str(tmp_path))
    os.close(writing)
    time.sleep(0.5)  # nothing is waited for here: the reader is late, that is all
    with os.fdopen(reading, "rb") as pipe:
        events = [msgspec.json.decode(line, type=AgentEvent) for line in pipe]
    assert process.wait(PATIENCE) == 0
    assert events[-1].ev is EventKind.END
    assert sum(len(event.text or "") for event in events[:-1]) == 50_000 * 97


def test_a_journal_can_be_a_file(run, tmp_path) -> None:
    with open(tmp_path / "journal", "wb") as file:
        assert run(acp(), file).wait(PATIENCE) == 0
    assert b'"ev":"end"' in (tmp_path / "journal").read_bytes().splitlines()[-1]


def test_an_agent_that_is_killed_is_noticed(start) -> None:
    turn = start(acp("forever"))
    turn.until(EventKind.TEXT)
    (victim,) = set(turn.alive()) - {turn.process.pid}
    os.kill(victim, signal.SIGKILL)
    end = turn.end()
    assert end.error == "the agent ended with signal SIGKILL before it had answered"


def test_what_is_started_is_loaded_and_nothing_else() -> None:
    """No turn loads a model library or the protocol's own, and only one with terminals loads what they need."""
    code = "import sys, outlast.agents.runner, outlast.agents.acp, outlast.agents.command; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {"pydantic", "acp", "pydantic_ai", "starlette", "click", "httpx2", "yaml", "re2", "apsw"}
    assert loaded & heavy == set()
    assert not {name for name in loaded if name.startswith("outlast.agents.terminal") or name.endswith("warden")}
    assert not {name for name in loaded if name.startswith(("outlast.gateway", "outlast.store", "outlast.api"))}


def test_a_runner_is_small(start) -> None:
    """60 MB a live run is promised, the keeper's part included; this is the runner alone."""
    turn = start(acp("permission"), "1")
    turn.until(EventKind.PERMISSION)
    with open(f"/proc/{turn.process.pid}/status", encoding="ascii") as file:
        kib = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    turn.tell(op="cancel")
    turn.end()
    assert kib < 40 * 1024
