"""Commands as a channel: what is started for a message, and what its end means."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from channel_servers import failure, message, run

from outlast.core.errors import BadInput, GatewayTrouble, OutlastError, Refused
from outlast.delivery.channels.command import ARGUMENT_MAX, Command, Run, RunEnd, bounded, run_of
from outlast.delivery.channels.template import check_template

RESUME = check_template(["claude", "-p", "--resume", "{conversation}", "{text}"])
SHOW = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ), sys.stdin.read()]))"


async def start_process(wanted: Run) -> tuple[RunEnd, list[Any]]:
    """Start what is wanted for real, as the gateway does through its sessions."""
    process = await asyncio.create_subprocess_exec(
        *wanted.argv,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **wanted.env},
        stdin=asyncio.subprocess.DEVNULL if wanted.stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(None if wanted.stdin is None else wanted.stdin.encode())
    return RunEnd(code=process.returncode), json.loads(out or b"[]")


def sent(argv: list[str], **fields: Any) -> list[Any]:
    """What a real program was given for a message."""
    seen: list[Any] = []

    async def start(wanted: Run) -> RunEnd:
        end, told = await start_process(wanted)
        seen.extend(told)
        return end

    run(Command(check_template([sys.executable, "-c", SHOW, *argv]), start).send(message(**fields)))
    return seen


def test_a_message_becomes_arguments_and_environment() -> None:
    argv, env, stdin = sent(["--resume", "{conversation}", "{text}", "{kind} {at} {id}"])
    assert argv == [
        "--resume",
        "agent:coder:main",
        "It failed.\n| last line",
        "task.ended 2026-11-18T11:06:40.125Z t-1:fail:3",
    ]
    ours = {name: value for name, value in env.items() if name.startswith("OUTLAST_")}
    assert ours == {
        "OUTLAST_NOTICE_ID": "t-1:fail:3",
        "OUTLAST_NOTICE_KIND": "task.ended",
        "OUTLAST_NOTICE_AT": "2026-11-18T11:06:40.125Z",
        "OUTLAST_NOTICE_TITLE": '"build" failed',
        "OUTLAST_NOTICE_TEXT": "It failed.\n| last line",
        "OUTLAST_NOTICE_DATA": '{"taskId":"t-1","status":"failed"}',
        "OUTLAST_CONVERSATION": "agent:coder:main",
    }
    assert stdin == ""


def test_a_template_without_the_text_gets_it_on_standard_input() -> None:
    """Not beside an argument: some programs add what they can read to what they were told."""
    argv, _, stdin = sent(["-s", "{title}"], text="line 1\nline 2")
    assert argv == ["-s", '"build" failed']
    assert stdin == "line 1\nline 2\n"


@pytest.mark.parametrize(
    "text",
    [
        "$(touch x) `id` ; rm -rf ~ | & > y",
        "{conversation} {{id}} {",
        "'\"\\\n\t",
        "ü 🙂",
        "\x1b[31mred\x1b[0m\x00\ud800",
    ],
)
def test_hostile_texts_are_arguments_and_nothing_else(text: str) -> None:
    argv, env, _ = sent(["={text}", "={title}"], text=text, title=text, data={"x": text})
    clean = text.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x00", "").replace("\ud800", "\ufffd")
    assert argv == ["=" + clean, "=" + " ".join(clean.split())]
    assert env["OUTLAST_NOTICE_TEXT"] == clean
    assert json.loads(env["OUTLAST_NOTICE_DATA"]) == {"x": text}


def test_a_megabyte_of_text_fits_into_an_argument_and_says_that_it_was_cut() -> None:
    """One argument of more than 128 KiB, and the program could not be started at all."""
    argv, env, _ = sent(["{text}"], text="ü" * 1_000_000, data={"big": "x" * 1_000_000})
    assert len(argv[0].encode()) <= ARGUMENT_MAX
    assert argv[0].endswith("bytes]")
    assert argv[0] == env["OUTLAST_NOTICE_TEXT"]
    assert "OUTLAST_NOTICE_DATA" not in env
    _, _, stdin = sent([], text="ü" * 1_000_000)
    assert len(stdin) > ARGUMENT_MAX


def test_a_cut_never_splits_a_character() -> None:
    for length in range(60, 70):
        cut = bounded("🙂" * 100, length)
        assert len(cut.encode()) <= length
        assert "\ufffd" not in cut
    assert bounded("short") == "short"


def test_what_is_started_is_named_after_the_message() -> None:
    wanted = run_of(RESUME, message(id="a\r\nb"), 5.0)
    assert wanted.timeout_seconds == 5.0
    assert wanted.message_id == wanted.env["OUTLAST_NOTICE_ID"]
    assert wanted.message_id.startswith("n_")
    assert (wanted.conversation, wanted.title) == ("agent:coder:main", '"build" failed')


@pytest.mark.parametrize(
    ("end", "retryable", "said"),
    [
        (RunEnd(code=1), True, "exit code 1"),
        (RunEnd(code=None, how="it ran into its time limit of 10 min"), True, "time limit"),
        (RunEnd(code=None), True, "was ended"),
        (RunEnd(code=None, began=False, how="no such program: claud"), False, "could not be started: no such program"),
        (RunEnd(code=1, how="token=hunter22hunter22\nx"), True, "token=*** x"),
        (GatewayTrouble("the keeper was lost"), True, "not started: the keeper was lost"),
        (Refused("policy says no"), False, "policy says no"),
        (BadInput("workdir: /x does not exist"), False, "does not exist"),
    ],
)
def test_only_an_end_with_0_is_delivered(end: RunEnd | OutlastError, retryable: bool, said: str) -> None:
    async def start(wanted: Run) -> RunEnd:
        if isinstance(end, OutlastError):
            raise end
        return end

    trouble = run(failure(Command(RESUME, start).send(message())))
    assert trouble.retryable is retryable
    assert said in trouble.reason


@pytest.mark.parametrize("conversation", [None, "", "agent:\x1b[31mx", "two\nlines", "-x", "a  b"])
def test_no_other_conversation_is_ever_resumed(conversation: str | None) -> None:
    """A key that had to be cleaned, or could be read as an option, would name another one."""
    started: list[Run] = []

    async def start(wanted: Run) -> RunEnd:
        started.append(wanted)
        return RunEnd(code=0)

    trouble = run(failure(Command(RESUME, start).send(message(conversation=conversation))))
    assert not trouble.retryable
    assert started == []


def test_a_command_that_asks_for_no_conversation_needs_none() -> None:
    argv, env, _ = sent(["{title}"], conversation=None)
    assert argv == ['"build" failed']
    assert env["OUTLAST_CONVERSATION"] == ""
