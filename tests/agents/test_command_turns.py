"""Command-line agents: how they are started, what is read from them, and what counts as a result."""

from __future__ import annotations

import json
import sys
import time

import pytest
from agent_running import PATIENCE, command, python

from outlast.core.agent import EventKind, Usage
from patient_runner import PATIENT

ECHO = "import sys; print(sys.argv[1:])"
HOSTILE = [
    "--help", "-rf /", "$(touch x) `id` ; rm -rf /", "{session} {{message}} {0}", "a\nb\tc", "\x1b]0;title\x07\x1b[31m",
    "", " leading", "'\"\\", "%s %d", "* ?", "ä€😀", "\u202egnp.exe",
]  # fmt: skip


@pytest.mark.parametrize("message", HOSTILE)
def test_a_message_stays_one_item_whatever_is_in_it(start, message: str) -> None:
    """It is no option, no code, no further gap; only a leading dash gets a space before it."""
    turn = start(
        python("import sys, json; print(json.dumps(sys.argv[1:]))", "run", "{message}", "end", output="text"), message
    )
    end = turn.end()
    got = json.loads(end.text)
    assert got == ["run", f" {message}" if message.startswith("-") else message, "end"]


def test_gaps_are_filled_item_by_item(start, tmp_path) -> None:
    agent = python(ECHO, "--dir={workdir}", "{conversation}", "--", "{message}", system="S")
    turn = start(agent, "-x")
    assert turn.end().text == str([f"--dir={tmp_path}", "agent:scripted:main", "--", "S\n\n-x"])
    named = python(ECHO, "--system", "{system}", "{message}", system="S")
    assert start(named, "m").end().text == str(["--system", "S", "m"])


def test_without_its_gap_the_message_goes_to_the_standard_input(start) -> None:
    big = "long {message} " * 100_000
    turn = start(python("import sys; text = sys.stdin.read(); print(len(text), text[:14])"), big)
    assert turn.end().text == f"{len(big)} long {{message}}"


def test_a_message_too_long_for_an_argument_is_refused_with_the_way_out(start) -> None:
    end = start(python(ECHO, "{message}"), "x" * 200_000).end()
    assert (end.code, end.stop) == ("bad_turn", "error")
    assert "leave {message} out of command" in end.data["hint"]


def test_text_comes_as_it_is_printed(start) -> None:
    turn = start(python("import time; print('first', flush=True); input()"), "")
    # it reads its input, which ends, and fails: what it said before is there all the same
    end = turn.end()
    assert turn.of(EventKind.TEXT)[0].text == "first\n"
    assert end.text == "first"
    assert (end.code, end.stop) == ("agent_exited", "error")
    assert "exit code 1: " in end.error
    assert "EOFError" in end.error


@pytest.mark.parametrize(
    ("code", "output", "said"),
    [
        ("pass", "text", "without a result"),
        ("print('  ')", "text", "without a result"),
        ("import sys; sys.stderr.write('quota is used up')", "text", "without a result: quota is used up"),
        ("print('no json')", "json", "without a result"),
        ('print(\'{"type": "system", "session_id": "x"}\')', "claude-stream-json", "without a result"),
        ('print(\'{"type": "thread.started", "thread_id": "x"}\')', "codex-jsonl", "without a result"),
    ],
)
def test_exit_code_0_without_a_result_is_a_failure(start, code: str, output: str, said: str) -> None:
    end = start(python(code, output=output)).end()
    assert (end.stop, end.code) == ("error", "no_result")
    assert said in end.error
    assert end.data["hint"]


def test_an_exit_code_is_a_failure_whatever_was_printed(start) -> None:
    end = start(python("print('looks fine'); raise SystemExit(3)")).end()
    assert (end.code, end.text) == ("agent_exited", "looks fine")
    assert "exit code 3" in end.error


def test_a_signal_is_named(start) -> None:
    end = start(python("import os; os.kill(os.getpid(), 11)")).end()
    assert end.error == "the agent ended with signal SIGSEGV"


def test_a_document_of_json(start) -> None:
    document = {"result": "four\x1b[1m", "session_id": "s1", "total_cost_usd": 0.25, "is_error": False,
                "usage": {"input_tokens": 3, "output_tokens": 4}}  # fmt: skip
    code = f"print('loading…'); print({json.dumps(json.dumps(document, indent=1))})"
    end = start(python(code, output="json")).end()
    assert (end.text, end.agent_session) == ("four", "s1")
    assert end.usage == Usage(input_tokens=3, output_tokens=4, total_tokens=7, cost_usd=0.25)
    failed = json.dumps({"result": "the model is overloaded", "is_error": True, "session_id": "s1"})
    end = start(python(f"print({json.dumps(failed)})", output="json")).end()
    assert (end.code, end.error) == ("agent_error", "the agent failed: the model is overloaded")
    assert end.agent_session == "s1"


CLAUDE = [
    {"type": "system", "subtype": "init", "session_id": "c1", "model": "m"},
    {"type": "assistant", "message": {"id": "1", "content": [{"type": "thinking", "thinking": "hm"}]}},
    {"type": "assistant", "message": {"id": "1", "content": [
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}},
    {"type": "user", "message": {"content": [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a\nb"}]}]}},
    {"type": "assistant", "message": {"id": "2", "content": [{"type": "text", "text": "Two files."}]}},
    {"type": "result", "subtype": "success", "is_error": False, "result": "Two files.", "session_id": "c1",
     "total_cost_usd": 0.5, "usage": {"input_tokens": 1, "output_tokens": 2}},
]  # fmt: skip
LS = {"id": "i1", "type": "command_execution", "command": "ls", "status": "in_progress"}
TODO = {"id": "i2", "type": "todo_list", "items": [{"text": "look", "completed": True}]}
CODEX = [
    {"type": "thread.started", "thread_id": "x1"},
    {"type": "turn.started"},
    {"type": "item.started", "item": LS},
    {"type": "item.completed", "item": LS | {"exit_code": 0, "aggregated_output": "a\nb\n", "status": "completed"}},
    {"type": "item.completed", "item": TODO},
    {"type": "item.completed", "item": {"id": "i3", "type": "agent_message", "text": "Two files."}},
    {"type": "turn.completed", "usage": {"input_tokens": 1, "cached_input_tokens": 0, "output_tokens": 2}},
]  # fmt: skip


def printing(lines: list[dict]) -> str:
    return f"for line in {[json.dumps(line) for line in lines]!r}: print(line, flush=True)"


def test_the_stream_of_claude(start) -> None:
    turn = start(python(printing(CLAUDE), output="claude-stream-json"))
    end = turn.end()
    assert (end.stop, end.text, end.agent_session) == ("end_turn", "Two files.", "c1")
    assert end.usage == Usage(input_tokens=1, output_tokens=2, total_tokens=3, cost_usd=0.5)
    assert [event.text for event in turn.of(EventKind.THOUGHT)] == ["hm"]
    call, brought = turn.of(EventKind.TOOL)
    assert (call.id, call.title, call.status, call.data["input"]) == (
        "t1",
        "Bash: ls",
        "in_progress",
        {"command": "ls"},
    )
    assert (brought.id, brought.status, brought.data["output"]) == ("t1", "completed", "a\nb")
    assert [event.text for event in turn.of(EventKind.TEXT)] == ["Two files."]


def test_messages_of_claude_that_came_in_pieces_are_not_told_twice(start) -> None:
    def piece(text: str) -> dict:
        return {"type": "stream_event", "event": {"type": "content_block_delta", "index": 0, "delta": {"text": text}}}

    start_block, stop_block = (
        {"type": "stream_event", "event": {"type": f"content_block_{word}"}} for word in ("start", "stop")
    )
    lines = [*CLAUDE[:4], start_block, piece("Two "), piece("files."), stop_block, *CLAUDE[4:]]
    turn = start(python(printing(lines), output="claude-stream-json"))
    turn.end()
    assert "".join(event.text for event in turn.of(EventKind.TEXT)) == "Two files."


@pytest.mark.parametrize(
    ("result", "stop", "error"),
    [
        ({"subtype": "error_max_turns", "is_error": True}, "max_turns", None),
        (
            {"subtype": "error_during_execution", "is_error": True, "errors": ["boom"]},
            "error",
            "the agent failed: boom",
        ),
        (
            {"subtype": "success", "is_error": True, "result": "Invalid API key"},
            "error",
            "the agent failed: Invalid API key",
        ),
        ({"is_error": True}, "error", "the agent failed: an error without a message"),
    ],
)
def test_results_of_claude_that_are_none(start, result: dict, stop: str, error: str | None) -> None:
    code = printing([*CLAUDE[:4], {"type": "result", "session_id": "c1", **result}]) + "\nraise SystemExit(1)"
    end = start(python(code, output="claude-stream-json")).end()
    assert (end.stop, end.error, end.agent_session) == (stop, error, "c1")


def test_a_result_of_claude_without_a_last_word_leaves_what_was_said(start) -> None:
    said = {"type": "assistant", "message": {"id": "m1", "content": [{"type": "text", "text": "so far"}]}}
    result = {"type": "result", "subtype": "error_max_turns", "is_error": True}
    end = start(python(printing([said, result]), output="claude-stream-json")).end()
    assert (end.stop, end.error, end.text) == ("max_turns", None, "so far")


def test_the_lines_of_codex(start) -> None:
    turn = start(python(printing(CODEX), output="codex-jsonl"))
    end = turn.end()
    assert (end.stop, end.text, end.agent_session) == ("end_turn", "Two files.", "x1")
    assert end.usage == Usage(input_tokens=1, output_tokens=2, total_tokens=3)
    first, second = turn.of(EventKind.TOOL)
    assert (first.id, first.title, first.status) == ("i1", "ls", "in_progress")
    assert (second.status, second.data["output"]) == ("completed", "a\nb\n")
    assert turn.of(EventKind.PLAN)[0].data == {"entries": [{"content": "look", "status": "completed"}]}
    failed = [
        *CODEX[:2],
        {"type": "error", "message": "retrying"},
        {"type": "turn.failed", "error": {"message": "no quota"}},
    ]
    end = start(python(printing(failed) + "\nraise SystemExit(1)", output="codex-jsonl")).end()
    assert (end.code, end.error) == ("agent_error", "the agent failed: no quota")


@pytest.mark.parametrize("output", ["json", "claude-stream-json", "codex-jsonl"])
def test_lines_that_are_of_another_shape_do_no_harm(start, tmp_path, output: str) -> None:
    odd = [
        "null", "7", '"text"', "[]", "[[]]", "{}", '{"type": 3}', '{"type": "assistant"}',
        '{"type": "assistant", "message": []}', '{"type": "stream_event"}', '{"type": "item.completed", "item": 1}',
        '{"type": "assistant", "message": {"content": [1, {"type": "text"}, {"type": "tool_use"}]}}',
        '{"type": "user", "message": {"content": [{"type": "tool_result"}]}}', '{"type": "item.completed", "item": {}}',
        '{"type": "turn.failed"}', '{"type": "result"}', '{"session_id": {"a": 1}}', "\\ud800", "\x00",
        '{"type": "item.started", "item": {"type": "todo_list", "items": 3}}', "{" * 5000, "[" * 100_000,
    ]  # fmt: skip
    (tmp_path / "lines").write_text("\n".join(odd))
    assert start(command("cat", "lines", output=output)).end().code != "internal"


RESUMING = {"output": "json", "resume": ("--resume", "{session}")}
TALK = 'import sys, json; print(json.dumps({"result": " ".join(sys.argv[1:]), "session_id": "s2"}))'


def test_a_session_is_gone_on_with(start) -> None:
    """The id comes from the output; the items are added where the template wants them."""
    assert start(python(TALK, "{message}", **RESUMING), "m").end().text == "m"
    assert start(python(TALK, "{message}", **RESUMING), "m", agent_session="s1").end().text == "m --resume s1"
    placed = python(TALK, "-q", "{resume}", "{message}", **RESUMING)
    assert start(placed, "m").end().text == "-q m"
    turn = start(placed, "m", agent_session="s1")
    end = turn.end()
    assert (end.text, end.agent_session) == ("-q --resume s1 m", "s2")
    assert turn.of(EventKind.BEGUN)[0].data == {"resumed": True}


def test_a_session_that_looks_like_an_option_is_refused(start) -> None:
    """It came from the agent's output, and would become an option of the next run."""
    end = start(python(TALK, "{message}", output="json", resume=("{session}",)), "m", agent_session="--danger").end()
    assert (end.code, end.stop) == ("session_gone", "error")


LOST = """
import sys, json
if "--resume" in sys.argv:
    print(json.dumps(SAYS)) if SAYS else None
    sys.exit("no conversation with that id")
print(json.dumps({"type": "result", "result": "new", "session_id": "s3"}))
"""


@pytest.mark.parametrize(
    ("output", "says", "code"),
    [
        ("json", None, "session_gone"),
        ("claude-stream-json", None, "session_gone"),
        ("claude-stream-json", {"type": "result", "subtype": "error_during_execution", "is_error": True,
                                "session_id": "another", "errors": ["no conversation"]}, "session_gone"),
        ("claude-stream-json", {"type": "system", "subtype": "init", "session_id": "s1"}, "agent_exited"),
        ("claude-stream-json", {"type": "assistant", "message": {"content": [{"type": "text", "text": "Well,"}]}},
         "agent_exited"),
        ("codex-jsonl", None, "session_gone"),
        ("codex-jsonl", {"type": "thread.started", "thread_id": "s1"}, "agent_exited"),
    ],
)  # fmt: skip
def test_a_session_that_is_gone_is_told_from_a_run_that_fails(start, output: str, says: object, code: str) -> None:
    """Nothing was said, and the session not named: what is tried again with it would fail again."""
    agent = python(LOST.replace("SAYS", repr(says)), output=output, resume=("--resume", "{session}"))
    end = start(agent, "m", agent_session="s1").end()
    assert (end.code, end.stop) == (code, "error")
    if code == "session_gone":
        assert "session s1" in end.error and "new session" in end.data["hint"]


def test_steering_is_a_run_of_its_own_in_the_same_session(start, tmp_path) -> None:
    code = (
        'import sys, json, os, time\nopen("began", "a").close()\n'
        'while not os.path.exists("go"): time.sleep(0.01)\n' + TALK
    )
    turn = start(python(code, "{message}", **RESUMING), "first")
    turn.until(EventKind.BEGUN)
    turn.tell(op="steer", id="w1", text="second")
    turn.tell(op="nonsense")
    turn.until(EventKind.NOTE)  # so the first wish was heard
    (tmp_path / "go").touch()
    assert turn.end().text == "second --resume s2"
    assert [(event.id, event.status) for event in turn.of(EventKind.STEERED)] == [("w1", "sent")]


def test_an_agent_without_resume_cannot_be_steered(start) -> None:
    turn = start(python("import time; time.sleep(600)"))
    turn.until(EventKind.BEGUN)
    turn.tell(op="steer", id="w1", text="x")
    assert turn.until(EventKind.STEERED).status == "dropped"
    turn.tell(op="cancel")
    assert turn.end().stop == "cancelled"


def test_cancel_ends_the_program_and_its_group(start) -> None:
    code = (
        "import subprocess, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '600'])\nprint('up', flush=True)\ntime.sleep(600)"
    )
    turn = start(python(code))
    turn.until(EventKind.TEXT)
    turn.tell(op="cancel")
    end = turn.end()
    assert (end.stop, end.error, end.text) == ("cancelled", None, "up")
    assert turn.alive() == []


def test_a_run_that_takes_too_long_is_ended(start) -> None:
    turn = start(python("import time; print('up', flush=True); time.sleep(600)", timeout_seconds=12.0))
    end = turn.end()
    assert (end.code, end.stop, end.text) == ("timeout", "error", "up")
    assert turn.alive() == []


def test_a_grandchild_that_holds_the_pipes_delays_nothing(start) -> None:
    turn = start(python("import subprocess; subprocess.Popen(['sleep', '600']); print('done')"))
    assert turn.end().text == "done"
    assert time.monotonic() - turn.began < 2 * PATIENCE
    assert turn.alive() == []


def test_floods_are_survived_in_bounded_memory(start) -> None:
    """5 MB of standard error, 20 MB without a line end, and lines of any length."""
    code = "import sys; sys.stderr.write('noise ' * 900_000); print('x' * 6_000_000); print('end')"
    turn = start(python(code))
    end = turn.end()
    assert end.stop == "end_turn"
    assert end.text.endswith("x\nend")
    assert len(turn.errors) < 400_000
    assert sum(len(event.text) for event in turn.of(EventKind.TEXT)) == 6_000_005


def test_secrets_are_masked_also_across_pieces(start) -> None:
    code = (
        "import sys, time\n"
        "for piece in ('export API_KEY=', 'hunt', 'er22 and ghp', '_', 'abcdefghij0123456789', ' end\\n'):\n"
        "    print(piece, end='', flush=True); time.sleep(0.02)\n"
        "sys.stderr.write('password: hunter2\\n'); sys.stderr.flush()"
    )
    turn = start(python(code), argv=PATIENT)
    end = turn.end()
    assert end.text == "export API_KEY=*** and ghp_*** end"
    everything = b"".join(turn.lines) + turn.errors
    assert b"hunt" not in everything
    assert b"0123456789" not in everything


def test_values_that_are_known_to_be_secret_are_masked_wherever_they_come(start) -> None:
    """They look like nothing; but their names say what they are."""
    env = {"MY_API_KEY": "plum-pudding-9", "COLOUR": "aubergine-blue", "PASSWORD": "short"}
    code = "import os; print('it is', os.environ['MY_API_KEY'][:6], end='', flush=True); import time; time.sleep(0.3)\n"
    code += "print(os.environ['MY_API_KEY'][6:], os.environ['COLOUR'], os.environ['PASSWORD'])"
    turn = start(python(code, env=env), argv=PATIENT)
    assert turn.end().text == "it is *** aubergine-blue short"
    assert b"pudding" not in b"".join(turn.lines)


def test_a_steer_that_interrupts_ends_the_run_when_its_session_is_known(start) -> None:
    begin = {"type": "system", "subtype": "init", "session_id": "c1"}
    code = (
        "import sys, time, json\nif '--resume' in sys.argv:\n"
        "    print(json.dumps({'type': 'result', 'result': ' '.join(sys.argv[1:]), 'session_id': 'c1'}))\nelse:\n"
        f"    print({json.dumps(json.dumps(begin))}, flush=True)\n    print('a note', flush=True)\n    time.sleep(600)"
    )
    turn = start(python(code, "{message}", output="claude-stream-json", resume=("--resume", "{session}")), "first")
    turn.until(EventKind.NOTE)
    turn.tell(op="steer", id="w1", text="second", interrupt=True)
    end = turn.end()
    assert (end.stop, end.text) == ("end_turn", "second --resume c1")
    assert [event.status for event in turn.of(EventKind.STEERED)] == ["sent"]


def test_a_program_that_is_not_there(start) -> None:
    end = start(command("no-such-agent", "{message}")).end()
    assert (end.code, end.error) == ("no_program", "there is no program 'no-such-agent'")
    assert sys.executable not in end.error
