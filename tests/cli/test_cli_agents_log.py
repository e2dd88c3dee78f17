"""What was said in turns and conversations, and how turns ended, as the command line shows it."""

import json
import re

import pytest
from cli_agents import DONE, FAILED, HOSTILE, SHOWN, TURN, entry, harmless, page
from cli_fakes import answer
from cli_ledger import path_of

from outlast.surfaces.cli.flows import asking
from outlast.surfaces.cli.moments import local
from outlast.surfaces.cli.tasks.words import row, task_exit_code

SAID = [
    entry(1, "event", "the build is red"), entry(2, "prompt", f"look\nhere {HOSTILE}"), entry(3, "thought", "hm"),
    entry(4, "tool", "ls\x1b[31m", id="t1", status="pending"), entry(5, text="two "),
    entry(6, text=f"pieces\n{HOSTILE}\n"),
    entry(7, "plan", "[x] one"), entry(8, "permission", "all of it", id="p1", title="may I?", approvalId="a1"),
    entry(9, "steer", "faster", status="sent"), entry(10, "steer", "left", status="dropped"), entry(11, "note", "n"),
    entry(12, "tool", "", id="t1", status="in_progress"), entry(13, "tool", "", id="t1", status="completed"),
    entry(14, "permission", "", id="p1", status="allowed", by="answer"),
    entry(15, "end", "two pieces", stop="end_turn"),
    entry(16, "novelty", "unheard of"),
]  # fmt: skip
DAY, CLOCK = local("2026-11-23T10:00:13.000Z").split()


def plain(out):
    """A transcript without the empty lines, the day and the times."""
    return [line.removeprefix(CLOCK + " ").removeprefix(" " * 9) for line in out.splitlines() if line not in ("", DAY)]


def test_a_transcript_says_who_said_what_and_when(outlast, gateway):
    gateway.will(page(*SAID, before=1), page(), page(*SAID))
    code, out, err = outlast("conversations", "transcript", "agent:coder:main", "--limit", "20", "--before", "30")
    assert (code, path_of(gateway)) == (0, "/v1/conversations/agent%3Acoder%3Amain/transcript?limit=20&before=30")
    assert out.startswith(f"{DAY}\n{CLOCK} * the build is red\n{CLOCK} > look\n         > here ")
    lines = plain(out)
    assert lines[3:6] == ["~ hm", "$ ls\\x1b[31m", "two pieces"]
    assert lines[7:] == [
        "# [x] one", "? may I?", "? all of it", "> faster", "> (dropped, it never heard this) left", "! n",
        "$ ls\\x1b[31m: completed", "? may I?: allowed (outlast approvals show a1)", "= done after 0 ms",
        "  unheard of",
    ]  # fmt: skip
    assert "--before 1" in err
    assert harmless(out, err)
    code, out, err = outlast("conversations", "transcript", "agent:coder:main")
    assert (code, out, err) == (0, "", "outlast: nothing has been said in agent:coder:main\n")

    out = outlast("conversations", "transcript", "agent:coder:main", "--json")[1]
    assert [json.loads(line) for line in out.splitlines()] == SAID
    assert harmless(out)  # JSON on a terminal is read there too
    gateway.will(page())
    err = outlast("conversations", "transcript", "agent:coder:main", "--before", "1")[2]
    assert err == "outlast: nothing has been said in agent:coder:main before 1\n"


@pytest.mark.parametrize(
    ("entries", "lines"),
    [
        ([entry(1, text="Hello\nthere"), entry(2, "end", "Hello\nthere", stop="end_turn")],
         ["Hello", "there", "= done"]),
        ([entry(1, text="one "), entry(2, "end", "another", stop="end_turn")], ["one another", "= done"]),
        ([entry(1, "end", "not streamed", stop="cancelled")], ["not streamed", "= cancelled"]),
        ([entry(1, text="half"), entry(2, "end", "half", stop="cancelled")], ["half", "= cancelled"]),
        ([entry(1, "end", "", stop="error", error="no luck")], ["= failed: no luck"]),
        ([entry(1, "end", "", stop="error", code="timeout", error="longer than 1s")], ["= timed out: longer than 1s"]),
        ([entry(1, "end", "", stop="error", status="lost", error="its record is gone")],
         ["= lost: its record is gone"]),
        ([entry(1, "end", "", stop="refusal")], ["= failed: the agent refused"]),
        ([entry(1, "end", "", stop="max_tokens")], ["= failed: it came to its limit of tokens"]),
        ([entry(1, "permission", "", id="p1", title="rm", status="rejected", by="policy")],
         ["? rm: rejected (by its policy)"]),
        ([entry(1, "permission", "", id="p1", title="rm"),
          entry(2, "permission", "", id="p1", status="expired", by="expiry")],
         ["? rm", "? rm: expired (nobody answered in time)"]),
        ([entry(1, "tool", "ls", id="t"), entry(2, "tool", "ls", id="t", status="failed"),
          entry(3, "tool", "", id="t", status="failed"), entry(4, "tool", "ls -l", id="t", status="failed")],
         ["$ ls", "$ ls: failed", "$ ls -l: failed"]),
    ],
)  # fmt: skip
def test_what_a_transcript_says_once_and_how_turns_end(outlast, gateway, entries, lines):
    gateway.will(page(*entries))
    assert plain(outlast("conversations", "transcript", "k")[1]) == lines


def test_colours_are_for_terminals(outlast, gateway, monkeypatch):
    monkeypatch.setattr("outlast.surfaces.cli.output.sys.stdout.isatty", lambda: True, raising=False)
    gateway.will(page(*SAID), page(*SAID))
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = outlast("conversations", "transcript", "k")[1]
    assert f"\x1b[2m{CLOCK} * the build is red\x1b[0m" in out
    assert harmless(re.sub(r"\x1b\[(?:2|0)m", "", out))
    monkeypatch.setenv("NO_COLOR", "1")
    assert harmless(outlast("conversations", "transcript", "k")[1])


def test_the_log_of_a_turn_is_followed_to_its_end(outlast, gateway):
    gateway.will(
        answer({**SHOWN, "task": TURN}), page(entry(1, "prompt", "look")), page(entry(2, text="hello")),
        page(entry(3, "end", "hello", stop="end_turn"), ended=True),
    )  # fmt: skip
    code, out, err = outlast("subagents", "log", "-f", "01turn")
    assert (code, plain(out), err) == (0, ["> look", "hello", "= done after 0 ms"], "")
    assert b"after=2&limit=1000&task=01turn" in gateway.seen[3]


def test_a_log_without_a_last_word_says_how_the_turn_ended(outlast, gateway):
    gateway.will(answer({**SHOWN, "task": TURN}), page(entry(1, "prompt", "look")), page(ended=True, after=1),
                 answer(FAILED))  # fmt: skip
    code, out, err = outlast("subagents", "log", "-f", "01turn")
    assert (code, plain(out)) == (0, ["> look"])
    assert "task 01turn failed: no luck" in err
    gateway.will(answer({**SHOWN, "task": TURN}), page(entry(1, "end", "x", task="01other")), answer(TURN))
    code, out, err = outlast("subagents", "log", "01turn")
    assert (code, plain(out), err) == (0, ["x", "= ended"], "")  # it is still at work


def test_the_log_of_a_task_that_is_a_turn_is_what_was_said_in_it(outlast, gateway):
    """Also where a thousand things were said since; its journal is there for whoever asks for that."""
    began = {"at": "2026-11-23T10:00:00.500Z"}
    newer = page(entry(9, text="later", task="01other"), before=9)
    older = page({**entry(1, text="before", task="01other"), "at": "2026-11-23T09:59:59.000Z"},
                 {**entry(2, "prompt", "look"), **began}, entry(3, text="hello\nyou"),
                 entry(4, "end", "hello\nyou"), before=1)  # fmt: skip
    gateway.will(answer(DONE), newer, older)
    code, out, err = outlast("tasks", "log", "01turn")
    assert (code, plain(out)[1:], err) == (0, ["hello", "you", "= ended after 12.5 s"], "")
    assert "before=9" in path_of(gateway)
    gateway.will(answer(DONE), newer, older)
    assert outlast("tasks", "log", "01turn", "--tail", "2")[1].startswith("you\n")
    gateway.will(answer(TURN), page(entry(1, "prompt", "look")), page(entry(2, text="x", task="01other")),
                 page(entry(3, text="hi")),
                 page(ended=True, after=3), answer(FAILED))  # fmt: skip
    code, out, err = outlast("tasks", "log", "-f", "01turn")
    assert (code, plain(out)) == (0, ["> look", "hi"])
    assert "task 01turn failed: no luck" in err
    for words in (("--json",), ("--raw",), ("--stream", "stdout"), ("--offset", "0")):
        gateway.will(answer({"sessionId": "s1", "text": "journal", "truncated": None}))
        assert "journal" in outlast("tasks", "log", "01turn", *words)[1]


def test_following_outlives_a_restart_and_ctrl_c_is_130(outlast, gateway, monkeypatch):
    gateway.will(page(entry(1, text="a")), page(entry(2, text="b")), None, page(entry(3, text="c")), page(after=3))
    seen = []
    ask = asking.Asking.ask

    def counted(self, query, seconds):
        seen.append(query["after"])
        if len(seen) > 2:
            raise KeyboardInterrupt
        return ask(self, query, seconds)

    monkeypatch.setattr(asking.Asking, "ask", counted)
    code, out, _ = outlast("conversations", "transcript", "k", "-f")
    assert (code, out, seen) == (130, "abc\n", [1, 2, 3])


def test_a_schedule_that_is_run_by_hand_and_waited_for_gives_the_answer_of_its_agent(outlast, gateway):
    fired = {"name": "morning", "taskId": "01turn", "flowId": None, "how": "manual", "runtime": "acp"}
    gateway.will(
        answer(fired), answer(TURN), page(entry(1, "prompt", "look")),
        page(entry(2, text="hello"), entry(3, "end", "hello")),
        answer({"met": True, "timedOut": False, "tasks": [FAILED]}),
    )  # fmt: skip
    code, out, err = outlast("cron", "run", "morning", "--wait")
    assert (code, out) == (1, "hello\n")
    assert "task 01turn failed: no luck" in err
    gateway.will(answer(fired))
    code, out, err = outlast("cron", "run", "morning")
    assert (code, out, "subagents log -f 01turn" in err) == (0, "01turn\n", True)


def test_conversations_with_a_transcript_are_a_table(outlast, gateway):
    one = {"conversation": f"agent:{HOSTILE}", "waiting": 0, "oldestAt": None, "newestAt": None, "wakes": 0,
           "agent": "coder", "spokenAt": "2026-11-23T10:00:13.000Z"}  # fmt: skip
    gateway.will(answer({"conversations": [one], "next": "k"}), answer({"conversations": [], "next": None}))
    code, out, err = outlast("conversations", "list", "--transcripts")
    assert (code, path_of(gateway)) == (0, "/v1/conversations?transcripts=true")
    assert out.splitlines()[0].split() == ["CONVERSATION", "AGENT", "LAST"]
    assert "  coder  " in out and out.rstrip().endswith("ago")
    assert "--after k" in err
    assert harmless(out, err)
    assert outlast("conversations", "--transcripts") == (0, "", "outlast: no agent has spoken yet\n")


@pytest.mark.parametrize(
    ("fields", "said", "code"),
    [
        ({"status": "cancelled", "cause": "operator", "exitCode": 0}, "cancelled: operator after 2m 00s", 1),
        ({"status": "succeeded", "cause": "exit", "exitCode": 0}, "succeeded after 2m 00s", 0),
        ({"status": "failed", "cause": "error", "exitCode": 1, "error": "no luck"}, "failed after 2m 00s", 1),
        ({"status": "timed_out", "cause": "timeout", "exitCode": 1}, "timed_out: timeout after 2m 00s", 1),
        ({"status": "lost", "cause": "host_restart"}, "lost: host_restart after 2m 00s", 1),
    ],
)
def test_a_turn_has_no_exit_code_to_show(outlast, gateway, fields, said, code):
    """That of its runner is our own affair."""
    task = {**DONE, **fields}
    gateway.will(answer(task))
    found, _, err = outlast("tasks", "wait", "01turn")
    assert (found, err.splitlines()[0]) == (code, f"outlast: 01turn {said}")
    assert row(task)[5] == "-"
    assert task_exit_code(task) == (124 if task["status"] == "timed_out" else code)
