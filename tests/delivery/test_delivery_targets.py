"""Targets as text: read strictly, shown without secrets, opened as the channel they name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from channel_servers import SECRET, failure, message, run
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.errors import BadInput
from outlast.delivery.channels.apprise import Apprise
from outlast.delivery.channels.base import Message, SendFailed, moment, readable, safe_id
from outlast.delivery.channels.command import Command, Run, RunEnd
from outlast.delivery.channels.desktop import Desktop
from outlast.delivery.channels.opening import Tools, open_channel
from outlast.delivery.channels.smtp import Smtp, SmtpSettings
from outlast.delivery.channels.targets import KINDS, command_target, is_target, parse_target
from outlast.delivery.channels.webhook import Webhook
from outlast.process.clock import SystemClock

GOOD = {
    "webhook:https://me:hunter22@hooks.example.org:8443/services/S3CR3T?key=S3CR3T": (
        "webhook:https://hooks.example.org:8443/***"
    ),
    "webhook:https://example.org": "webhook:https://example.org",
    "webhook:https://example.org/?S3CR3T": "webhook:https://example.org/***",
    'command:["claude","-p","--api-key","S3CR3T-0123456789","{text}"]': (
        'command:["claude","-p","--api-key","***","{text}"]'
    ),
    'command:["p","{{}}"]': 'command:["p","{{}}"]',
    "desktop:": "desktop:",
    "smtp:me@example.org": "smtp:me@example.org",
    "apprise:slack://S3CR3T/S3CR3T": "apprise:slack://***",
    "apprise:mailto://me:hunter22@example.org": "apprise:mailto://***",
}
BAD = [
    "", ":", "agent:coder:main", "webhook", "Webhook:https://example.org", " webhook:https://example.org",
    "webhook:", "webhook:ftp://S3CR3T", "webhook:https://example.org/S3CR3T ", "webhook:http://127.1/S3CR3T",
    "command:", "command:claude S3CR3T", 'command:["{text}"]', 'command:["p",', "desktop:S3CR3T",
    "smtp:", "smtp:S3CR3T", "smtp:a@b.org,c@d.org", "apprise:", "apprise:S3CR3T", "apprise:slack://S3CR3T x",
    "apprise:slack://ü", "apprise:slack://" + "x" * 5000, "webhook:https://example.org/" + "x" * 50_000,
    "telegram:S3CR3T",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_target_is_read_written_and_shown_without_its_secrets(text: str) -> None:
    """Listings, logs and reasons show targets."""
    target = parse_target(text)
    assert target.text == text
    assert parse_target(target.text) == target
    assert target.shown == GOOD[text]
    assert "S3CR3T" not in target.shown
    assert "hunter22" not in target.shown


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_target(text)
    assert caught.value.code == "bad_target"
    assert "S3CR3T" not in str(caught.value.as_dict()) or text.startswith("smtp:")


@given(st.text() | st.sampled_from(KINDS).flatmap(lambda kind: st.text().map(lambda rest: f"{kind}:{rest}")))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        target = parse_target(text)
    except BadInput:
        return
    assert parse_target(target.text) == target
    assert is_target(text)
    assert target.shown


def test_a_key_of_a_conversation_is_no_target() -> None:
    assert [text for text in ("agent:coder:main", "local", "", "cron:nightly", "desktop") if is_target(text)] == []
    assert all(is_target(text) for text in GOOD)


def test_a_command_may_be_given_as_a_line_or_as_a_list() -> None:
    line = command_target("claude -p --resume {conversation} 'say: {text}'")
    assert line == command_target(["claude", "-p", "--resume", "{conversation}", "say: {text}"])
    assert line.text == 'command:["claude","-p","--resume","{conversation}","say: {text}"]'
    assert parse_target(line.text) == line
    with pytest.raises(BadInput):
        command_target("claude {nothing}")


# opening


async def nothing(wanted: Run) -> RunEnd:
    return RunEnd(code=0)


def tools(**options: Any) -> Tools:
    return Tools(clock=SystemClock(), start=nothing, environ={}, **options)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("webhook:https://example.org/", Webhook),
        ('command:["true"]', Command),
        ("desktop:", Desktop),
        ("smtp:me@example.org", Smtp),
        ("apprise:json://example.org", Apprise),
    ],
)
def test_a_target_opens_its_channel(text: str, kind: type) -> None:
    settings = SmtpSettings(host="mail.example", sender="outlast@example.org")
    channel = open_channel(parse_target(text), tools(smtp=settings), secrets=[SECRET])
    assert type(channel) is kind


def test_an_opened_command_is_run() -> None:
    run(open_channel(parse_target('command:["true","{text}"]'), tools()).send(message()))


def test_mail_without_a_server_says_so_at_every_sending() -> None:
    trouble = run(failure(open_channel(parse_target("smtp:me@example.org"), tools()).send(message())))
    assert not trouble.retryable
    assert "no mail server" in trouble.reason


@pytest.mark.parametrize("secrets", [[], ["whsec_short"]])
def test_a_webhook_without_a_usable_secret_is_not_opened(secrets: list[str]) -> None:
    with pytest.raises(BadInput):
        open_channel(parse_target("webhook:https://example.org/"), tools(), secrets=secrets)


def test_what_is_not_used_is_not_loaded() -> None:
    """A gateway that mails nobody must not pay for mail."""
    script = (
        "import sys; from outlast.delivery.channels.opening import open_channel, Tools\n"
        "from outlast.delivery.channels.targets import parse_target, command_target\n"
        "parse_target('webhook:https://example.org/'); command_target('true'); parse_target('desktop:')\n"
        "heavy = ['smtplib', 'email', 'ssl', 'httptools', 'apprise', 'requests', 'urllib.request', 'http.client']\n"
        "print([name for name in heavy if name in sys.modules and name not in known])"
    )
    known = "import asyncio, sys; known = set(sys.modules)\n"
    ran = subprocess.run([sys.executable, "-c", known + script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# messages and failures


def test_a_reason_is_one_harmless_line_without_secrets() -> None:
    trouble = SendFailed("a\nb\x1b[31m token=hunter22hunter22 " + "x" * 1_000_000, retryable=True)
    assert trouble.reason.startswith("a b token=*** x")
    assert len(trouble.reason) == 300
    assert str(trouble) == trouble.reason


def test_a_message_is_made_readable() -> None:
    shown = readable(message(kind="a\nb", title="\x1b[31mt\x00", text="1\r\n2\x1b]0;x\x07\ud800", conversation="a\nb"))
    assert (shown.kind, shown.title, shown.text, shown.conversation) == ("a b", "t", "1\n2\ufffd", "a b")
    assert readable(message()) == message()


def test_an_id_is_itself_or_a_digest() -> None:
    """A header, a file name or an argument made of it must hold nothing else."""
    assert safe_id(message(id="t-1:fail:3")) == "t-1:fail:3"
    odd = [message(id=text) for text in ("", "a b", "a\n", "-x", "a.b", "ü", "\ud800", "x" * 129)]
    digests = [safe_id(one) for one in odd]
    assert len(set(digests)) == len(odd)
    assert all(len(digest) == 42 and digest.startswith("n_") for digest in digests)
    assert digests == [safe_id(one) for one in odd]


def test_a_moment_is_shown_in_utc() -> None:
    assert moment(0.0) == "1970-01-01T00:00:00.000Z"
    assert moment(float("nan")) == moment(1e300) == moment(0.0)
    assert isinstance(message(), Message)
