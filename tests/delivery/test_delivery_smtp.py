"""E-mail through a real server on loopback: what arrives, what is never sent, and what a refusal means."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from channel_servers import LIMIT, Server, failure, message, run, silence
from mail_server import Mail, MailServer

from outlast.core.errors import BadInput
from outlast.delivery.channels.base import SendFailed
from outlast.delivery.channels.smtp import Smtp, SmtpSettings, check_address
from outlast.delivery.channels.threads import Threads


def mailer(server: Server, *, tls: ssl.SSLContext | None = None, timeout_seconds: float = LIMIT, **fields: Any) -> Smtp:
    plain = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "outlast@example.org"}
    settings = SmtpSettings(**plain | fields)
    return Smtp("me@example.org", settings, Threads(2), tls=tls, timeout_seconds=timeout_seconds)


def delivered(*, server: dict[str, Any] | None = None, channel: dict[str, Any] | None = None, **fields: Any) -> Mail:
    async def act() -> Mail:
        async with MailServer(**server or {}) as sink:
            await mailer(sink, **channel or {}).send(message(**fields))
            (mail,) = sink.mails
            return mail

    return run(act())


def parsed(mail: Mail) -> EmailMessage:
    read = email.message_from_bytes(mail.data, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def refused(server: MailServer, **channel: Any) -> SendFailed:
    async def act() -> SendFailed:
        async with server:
            return await failure(mailer(server, **channel).send(message()))

    return run(act())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def certificate(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_message_becomes_a_mail() -> None:
    mail = delivered(text="It failed.\n.\n.. a line with dots\nüñ 🙂")
    assert (mail.sender, mail.recipients) == ("outlast@example.org", ["me@example.org"])
    read = parsed(mail)
    assert read["From"] == "outlast@example.org"
    assert read["To"] == "me@example.org"
    assert read["Subject"] == '"build" failed'
    assert read["Date"] == "Wed, 18 Nov 2026 11:06:40 +0000"
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["X-Outlast-Id"] == "t-1:fail:3"
    assert read.get_content_type() == "text/plain"
    assert read.get_content().replace("\r\n", "\n").rstrip("\n") == "It failed.\n.\n.. a line with dots\nüñ 🙂"


def test_a_second_sending_has_the_same_message_id() -> None:
    """It is how a mailbox drops what comes twice."""
    first, second, other = (parsed(delivered(id=key))["Message-ID"] for key in ("n-1", "n-1", "n-2"))
    assert first == second != other
    assert first.endswith("@example.org>")


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nBcc: evil@example.org\r\n\r\nbody",
        "a\nTo: evil@example.org",
        "\r\n.\r\nMAIL FROM:<x@example.org>",
        "\x00\x1b[31m\ud800",
        "ü" * 100_000,
        "x" * 1_000_000,
        "=?utf-8?q?=0D=0ABcc:_evil@example.org?=",
        "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5vcmcNCg0K?= x",
    ],
    ids=range(8),
)
def test_nothing_in_a_message_becomes_a_header_or_a_command(value: str) -> None:
    mail = delivered(id=value, kind=value, title=value, text=value, conversation=value)
    assert mail.recipients == ["me@example.org"]
    read = parsed(mail)
    assert read["Bcc"] is None
    assert read.get_all("To") == ["me@example.org"]
    assert max(map(len, mail.data.splitlines())) < 1000
    head = mail.data.partition(b"\r\n\r\n")[0]
    assert {line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"} == {
        b"content-type", b"mime-version", b"content-transfer-encoding", b"from", b"to", b"subject", b"date",
        b"message-id", b"auto-submitted", b"x-outlast-id",
    }  # fmt: skip
    assert b"\0" not in mail.data


@pytest.mark.parametrize(
    "title", ["plain", "=?utf-8?q?=0D=0ABcc:_x?=", "ü" * 150, "word " * 35, "a" * 199, "x:\ty", "="]
)
def test_a_title_is_read_as_it_was_written(title: str) -> None:
    assert parsed(delivered(title=title))["Subject"] == " ".join(title.split())


def test_starttls_and_a_login(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    mail = delivered(
        server={"starttls": certificate(authority, "127.0.0.1")},
        channel={"tls": trust, "security": "starttls", "username": "me", "password": "hunter22"},
    )
    assert mail.encrypted
    assert mail.login == "\0me\0hunter22"


def test_tls_from_the_first_byte(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    mail = delivered(
        server={"tls": certificate(authority, "127.0.0.1")},
        channel={"tls": trust, "security": "tls", "username": "me", "password": "hunter22"},
    )
    assert mail.encrypted


def test_a_server_without_starttls_gets_neither_mail_nor_password() -> None:
    """Whoever sits in between can take the offer out of the conversation."""
    server = MailServer()
    trouble = refused(server, security="starttls", username="me", password="hunter22")
    assert not trouble.retryable
    assert "STARTTLS" in trouble.reason
    assert {command.split()[0].upper() for command in server.commands} <= {"EHLO"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_that_is_not_right_gets_nothing(
    authority: trustme.CA, trust: ssl.SSLContext, security: str, trusted: bool
) -> None:
    context = certificate(authority, "other.example" if trusted else "127.0.0.1")
    server = MailServer(**{"starttls" if security == "starttls" else "tls": context})
    trouble = refused(server, security=security, tls=trust if trusted else None, username="me", password="hunter22")
    assert "certificate that is not trusted" in trouble.reason
    assert trouble.retryable
    assert not any(command.startswith(("AUTH", "MAIL")) for command in server.commands)


@pytest.mark.parametrize(
    ("replies", "retryable", "said"),
    [
        ({"": "554 go away"}, False, "554 go away"),
        ({"": "421 busy"}, True, "421 busy"),
        ({"MAIL": "452 full"}, True, "452 full"),
        ({"MAIL": "550 not you"}, False, "550 not you"),
        ({"RCPT": "550 no such user\nx"}, False, "refused the recipient: 550 no such user"),
        ({"RCPT": "450 greylisted"}, True, "refused the recipient: 450 greylisted"),
        ({"DATA": "554 no"}, False, "554 no"),
        ({".": "452 full"}, True, "452 full"),
        ({".": "554 spam\x1b[31m"}, False, "554 spam"),
        ({"": ""}, True, "closed the connection"),
        ({"RCPT": ""}, True, "closed the connection"),
        ({".": ""}, True, "closed the connection"),
        ({"": "HTTP/1.1 400 Bad Request"}, True, "mail server"),
        ({"EHLO": "x" * 20_000}, False, "Line too long"),
    ],
)
def test_a_refusal_means(replies: dict[str, str | None], retryable: bool, said: str) -> None:
    trouble = refused(MailServer(replies))
    assert trouble.retryable is retryable
    assert said in trouble.reason


def test_a_wrong_password_is_final_and_not_shown() -> None:
    trouble = refused(MailServer({"AUTH": "535 wrong"}), username="me", password="hunter22")
    assert not trouble.retryable
    assert "535 wrong" in trouble.reason
    assert "hunter22" not in trouble.reason


def test_a_mail_that_was_taken_is_delivered_whatever_comes_after() -> None:
    """Else it would be sent again."""
    for reply in ("", "500 what?", None):
        assert delivered(server={"replies": {"QUIT": reply}})


def test_nobody_listens() -> None:
    async def act() -> None:
        trouble = await failure(mailer(MailServer()).send(message()))
        assert trouble.retryable
        assert "cannot be reached" in trouble.reason

    run(act())


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"2")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("handler", [silence, drip])
@pytest.mark.parametrize("security", ["none", "tls"])
def test_the_time_limit_is_for_all_of_it_and_the_thread_ends_with_it(handler: Any, security: str) -> None:
    """The limit of a socket starts anew with every byte."""

    others = set(threading.enumerate())

    async def act() -> None:
        async with Server(handler) as server:
            channel = mailer(server, security=security, timeout_seconds=0.3)
            assert (await failure(channel.send(message()))).retryable
            if server.connections:  # a machine that stood still may not have come so far
                await server.hung_up.wait()
        while any(thread.name == "outlast-delivery" for thread in set(threading.enumerate()) - others):
            await asyncio.sleep(0.01)

    run(act())


@pytest.mark.parametrize("text", ["me@example.org", "a.b+c_d@sub.example.org", "root@localhost", "x'y@a-b.example"])
def test_an_address_is_taken(text: str) -> None:
    assert check_address(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "me", "@example.org", "me@", "a@b@c", "me@example.org,you@example.org", "me@example.org\r\nDATA", "<me@a.org>",
     "Me <me@a.org>", '"a b"@c.org', "a b@c.org", "me@-a.org", "me@a..org", ".me@a.org", "mü@a.org", "me@a.org ",
     "me@[127.0.0.1]", "a" * 300 + "@b.org", "me@a.org>", "me@a.org\0"],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        check_address(text)


@pytest.mark.parametrize(
    "fields",
    [{"host": ""}, {"host": "a b"}, {"host": "a\r\n"}, {"port": 0}, {"sender": "x"}, {"username": "me"}],
    ids=range(6),
)
def test_settings_that_cannot_work_or_give_the_password_away_are_refused(fields: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"host": "mail.example", "sender": "a@b.org", "security": "none"}
    SmtpSettings(**plain)
    with pytest.raises(BadInput):
        SmtpSettings(**plain | fields)
