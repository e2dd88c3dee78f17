"""Webhooks against real servers: what is posted, what an answer means, and where nothing is ever posted."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from channel_servers import (
    OK,
    SECRET,
    Receiver,
    Server,
    failure,
    hook,
    message,
    read_request,
    run,
    silence,
    verified,
)

from outlast.core.errors import BadInput
from outlast.delivery.channels.base import Message
from outlast.delivery.channels.signature import new_secret, read_secret
from outlast.delivery.channels.webhook import DETAIL_MAX, RETRY_AFTER_MAX, retry_after


def answer(status: int, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


# what is posted


def test_a_message_arrives_signed_by_the_rules_of_standard_webhooks() -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            await hook(f"http://127.0.0.1:{receiver.port}/hook?x=1").send(message())
        (request,) = receiver.requests
        assert request.line == "POST /hook?x=1 HTTP/1.1"
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["webhook-id"] == "t-1:fail:3"
        assert verified(request) == {
            "type": "task.ended",
            "timestamp": "2026-11-18T11:06:40.125Z",
            "data": {
                "id": "t-1:fail:3",
                "conversation": "agent:coder:main",
                "title": '"build" failed',
                "text": "It failed.\n| last line",
                "detail": {"taskId": "t-1", "status": "failed"},
            },
        }
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            verified(request, new_secret())

    run(act())


def test_a_second_sending_carries_the_same_id() -> None:
    """It is how a receiver knows that it has this one already."""

    async def act() -> None:
        async with Receiver(answer(500), OK) as receiver:
            channel = hook(f"http://127.0.0.1:{receiver.port}/")
            assert (await failure(channel.send(message()))).retryable
            await channel.send(message())
        first, second = receiver.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert verified(first) == verified(second)

    run(act())


def test_two_secrets_give_two_signatures() -> None:
    """A receiver can change its secret without missing a message."""
    other = new_secret()

    async def act() -> None:
        async with Receiver() as receiver:
            await hook(f"http://127.0.0.1:{receiver.port}/", secrets=(SECRET, other)).send(message())
        assert verified(receiver.requests[0], SECRET) == verified(receiver.requests[0], other)

    run(act())


def test_a_name_and_password_in_the_address_are_sent_as_such_and_shown_to_nobody() -> None:
    async def act() -> None:
        async with Receiver(answer(403)) as receiver:
            trouble = await failure(hook(f"http://me:hunter22@127.0.0.1:{receiver.port}/S3CR3T").send(message()))
        assert receiver.requests[0].headers["authorization"] == "Basic bWU6aHVudGVyMjI="
        assert "hunter22" not in trouble.reason
        assert "S3CR3T" not in trouble.reason

    run(act())


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to wherever it likes, and read what is sent."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def act() -> None:
        async with Receiver() as receiver:
            await hook(f"http://127.0.0.1:{receiver.port}/").send(message())
        assert len(receiver.requests) == 1

    run(act())


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "a\r\nX-Evil: 1"},
        {"id": "ü" * 4000},
        {"id": "\ud800"},
        {"id": ""},
        {"kind": "a\r\nX-Evil: 1", "title": "\x1b[31m\0", "text": "\ud800\0\x1b]0;x\x07", "conversation": "\r\n\r\n"},
        {"title": "x" * 1_000_000, "text": "ü" * 1_000_000},
        {"data": {"label": "\ud800 {text} $(reboot) \0", "n": 2**200}},
        {"data": {"big": "x" * 1_000_000}},
        {"data": {"nan": float("nan")}},
        {"data": {"no": {1, 2}}},
        {"at": float("inf")},
    ],
    ids=range(11),
)
def test_hostile_messages_arrive_as_harmless_json(fields: dict[str, Any]) -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            await hook(f"http://127.0.0.1:{receiver.port}/").send(message(**fields))
        (request,) = receiver.requests
        assert "x-evil" not in request.headers
        assert request.headers["webhook-id"]
        assert len(request.body) < 400_000
        body = verified(request)
        told = json.dumps([body["type"], body["data"]["title"], body["data"]["text"]])
        assert "\\u0000" not in told
        assert "\\u001b" not in told
        assert "\\ud800" not in told

    run(act())


def test_data_that_is_too_large_or_no_json_is_left_out_and_the_body_says_so() -> None:
    async def act() -> None:
        deep: dict[str, object] = {}
        for _ in range(100_000):
            deep = {"a": deep}
        async with Receiver() as receiver:
            channel = hook(f"http://127.0.0.1:{receiver.port}/")
            await channel.send(message(data={"a": "x" * DETAIL_MAX}))
            await channel.send(message(data={"a": float("inf")}))
            await channel.send(message(data=deep))
        details = [verified(request)["data"]["detail"] for request in receiver.requests]
        assert details == [
            {"omitted": "it has 65544 bytes"},
            {"omitted": "it is not JSON"},
            {"omitted": "it is not JSON"},
        ]

    run(act())


# what an answer means


@pytest.mark.parametrize(
    ("answered", "retryable", "after", "gone"),
    [
        (answer(400, body="no such\nhook"), False, None, False),
        (answer(401), False, None, False),
        (answer(404), False, None, False),
        (answer(408), True, None, False),
        (answer(410), False, None, True),
        (answer(413), False, None, False),
        (answer(425), True, None, False),
        (answer(429, "Retry-After: 120"), True, 120.0, False),
        (answer(429, "Retry-After: soon"), True, None, False),
        (answer(500), True, None, False),
        (answer(500, "Retry-After: 120"), True, None, False),
        (answer(502), True, None, False),
        (answer(503, "retry-after:  7"), True, 7.0, False),
        (answer(503, "Retry-After: 99999999999999999999"), True, RETRY_AFTER_MAX, False),
        (answer(504), True, None, False),
        (answer(301, "Location: https://example.org/"), False, None, False),
        (answer(307, "Location: http://127.0.0.1:9/"), False, None, False),
        (answer(304), False, None, False),
        (answer(101, "Upgrade: x", "Connection: upgrade"), False, None, False),
        (answer(599), True, None, False),
        (b"HTTP/1.0 500 old\r\n\r\nwith a body", True, None, False),
        (b"HTTP/1.1 400 B\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False, None, False),
        (b"HTTP/1.1 400 B\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", False, None, False),
        (b"HTTP/1.1 400 B\r\nContent-Length: 9999\r\n\r\nonly this", False, None, False),
    ],
)
def test_an_answer_means(answered: bytes, retryable: bool, after: float | None, gone: bool) -> None:
    async def act() -> None:
        async with Receiver(answered) as receiver:
            trouble = await failure(hook(f"http://127.0.0.1:{receiver.port}/hook").send(message()))
        assert (trouble.retryable, trouble.retry_after, trouble.gone) == (retryable, after, gone)
        assert answered.split()[1].decode() in trouble.reason
        assert receiver.connections == 1

    run(act())


@pytest.mark.parametrize(
    "answered",
    [
        answer(200, body="ok"),
        answer(201),
        answer(202),
        OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(200, body="ok"),
        b"HTTP/1.0 200 ok\r\n\r\n",
        b"HTTP/1.1 200 ok\r\nContent-Length: 1000\r\n\r\ncut",
        b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
    ],
)
def test_any_2xx_is_delivered_whatever_its_body(answered: bytes) -> None:
    async def act() -> None:
        async with Receiver(answered) as receiver:
            await hook(f"http://127.0.0.1:{receiver.port}/").send(message())
        assert len(receiver.requests) == 1

    run(act())


NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 30 ", 30.0),
        ("Fri, 27 Nov 2026 12:01:00 GMT", 60.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX),
        ("9" * 5000, RETRY_AFTER_MAX),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("never", None),
        ("\x00" * 100, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_a_redirect_is_not_followed() -> None:
    """It could lead to where nobody may post."""

    async def act() -> None:
        async with Receiver() as other:
            to = f"Location: http://127.0.0.1:{other.port}/"
            async with Receiver(answer(302, to), answer(308, to)) as receiver:
                for _ in range(2):
                    trouble = await failure(hook(f"http://127.0.0.1:{receiver.port}/").send(message()))
                    assert not trouble.retryable
            assert other.connections == 0

    run(act())


# servers that misbehave


async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def close_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")


async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await silence(reader, writer)


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Filler: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


async def endless_interim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (slam, "127.0.0.1"),
        (close_early, "closed the connection without an answer"),
        (half_a_head, "closed the connection without an answer"),
        (gibberish, "not HTTP"),
        (endless_head, "gave no answer"),
        (endless_interim, "head of its answer does not end"),
    ],
)
def test_no_answer_may_be_tried_again(handler: Any, said: str) -> None:
    async def act() -> None:
        async with Server(handler) as server:
            trouble = await failure(hook(f"http://127.0.0.1:{server.port}/").send(message()))
        assert trouble.retryable
        assert said in trouble.reason

    run(act())


@pytest.mark.parametrize("handler", [silence, drip])
def test_the_time_limit_is_for_all_of_it(handler: Any) -> None:
    """A server that sends a byte now and then must not hold a sender for ever."""

    async def act() -> None:
        async with Server(handler) as server:
            trouble = await failure(hook(f"http://127.0.0.1:{server.port}/", timeout_seconds=0.3).send(message()))
            assert trouble.retryable
            if server.connections:  # a machine that stood still may not have come so far
                await server.hung_up.wait()

    run(act())


def test_a_body_that_does_not_end_does_not_hide_the_status() -> None:
    async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 410 Gone\r\n\r\n")
        while True:
            writer.write(b"x" * 8000)
            await writer.drain()

    async def silent_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n\r\n")
        await silence(reader, writer)

    async def act() -> None:
        for handler in (endless_body, silent_body):
            async with Server(handler) as server:
                assert (await failure(hook(f"http://127.0.0.1:{server.port}/").send(message()))).gone

    run(act())


def test_an_answer_before_the_request_was_read_counts() -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(401))
        await writer.drain()
        await silence(reader, writer)

    async def act() -> None:
        async with Server(hasty) as server:
            trouble = await failure(hook(f"http://127.0.0.1:{server.port}/").send(message(text="x" * 60_000)))
            assert not trouble.retryable

    run(act())


def test_a_cancelled_sending_hangs_up() -> None:
    async def act() -> None:
        async with Server(silence) as server:
            sending = asyncio.create_task(hook(f"http://127.0.0.1:{server.port}/").send(message()))
            await server.arrived.wait()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await server.hung_up.wait()

    run(act())


def test_a_receiver_that_comes_back_gets_everything() -> None:
    """Down, then broken, then well: the ids that arrived are those that were sent, each once."""

    async def act() -> None:
        receiver = Receiver(answer(500), OK)
        channel = hook(f"http://127.0.0.1:{receiver.port}/")
        down = await failure(channel.send(message(id="n-1")))
        assert down.retryable
        async with receiver:
            assert (await failure(channel.send(message(id="n-1")))).retryable
            for number in range(1, 6):
                await channel.send(message(id=f"n-{number}"))
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        assert ids == ["n-1", "n-1", "n-2", "n-3", "n-4", "n-5"]

    run(act())


# secrets


def test_a_secret_is_random_and_long_enough() -> None:
    assert len({new_secret() for _ in range(50)}) == 50
    assert len(read_secret(new_secret())) == 32
    assert read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == read_secret(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=="
    )


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "hunter22hunter22", "whsec_!!!" + "A" * 40, "A" * 44,
                                  "whsec_" + "A" * 200, "whsec_ü" + "A" * 43])  # fmt: skip
def test_a_weak_or_broken_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_secret(text)
    assert text == "" or text not in str(caught.value.as_dict()) or text == "whsec_"


def test_no_webhook_without_a_signature() -> None:
    with pytest.raises(ValueError, match="signed"):
        hook("https://example.org/", secrets=())


def test_many_at_once() -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            channel = hook(f"http://127.0.0.1:{receiver.port}/")
            messages: list[Message] = [message(id=f"n-{number}") for number in range(100)]
            await asyncio.gather(*(channel.send(one) for one in messages))
        assert {request.headers["webhook-id"] for request in receiver.requests} == {one.id for one in messages}

    run(act())
