"""Where a webhook may post: by address and not by name, and only to who can show the right certificate."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time

import pytest
import trustme
from channel_servers import LIMIT, Receiver, Server, failure, hook, message, run, silence, verified

from outlast.delivery.channels.addresses import parse_allowed
from outlast.delivery.channels.threads import Threads


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "169.254.169.254", "10.0.0.1", "224.0.0.1",
     "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_before_anything_is_sent(host: str) -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            trouble = await failure(hook(f"http://{host}:{receiver.port}/", allowed=()).send(message()))
            assert not trouble.retryable
            assert "not a public address" in trouble.reason
            assert receiver.connections == 0

    run(act())


@pytest.mark.parametrize("name", ["localhost", "rebound.example", "LOCALHOST"])
def test_a_name_is_judged_by_the_address_it_leads_to(name: str) -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            lookup = {} if name.lower() == "localhost" else {"lookup": lambda host, port: ["127.0.0.1", "::1"]}
            channel = hook(f"http://{name}:{receiver.port}/", allowed=(), **lookup)
            assert not (await failure(channel.send(message()))).retryable
            assert receiver.connections == 0

    run(act())


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """DNS rebinding: a name that is harmless when it is checked and leads inside when it is connected to."""
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async def act() -> None:
        good, inner = Receiver(), Receiver(host="127.0.0.2")
        inner.port = good.port
        async with good, inner:
            await hook(f"http://rebind.example:{good.port}/", lookup=lookup).send(message())
            assert len(good.requests) == 1
            assert asked == ["rebind.example"]
            trouble = await failure(hook(f"http://rebind.example:{good.port}/", lookup=lookup).send(message()))
            assert not trouble.retryable
            assert inner.connections == 0

    run(act())


def test_of_several_addresses_only_those_allowed_are_tried() -> None:
    async def act() -> None:
        async with Receiver(host="127.0.0.2") as inner:
            lookup = lambda host, port: ["127.0.0.2", "127.0.0.1", "127.0.0.1"]  # noqa: E731
            trouble = await failure(hook(f"http://two.example:{inner.port}/", lookup=lookup).send(message()))
            assert trouble.retryable  # nobody listens at the one that may be reached
            assert inner.connections == 0

    run(act())


def test_the_next_address_is_tried_when_one_cannot_be_connected_to() -> None:
    async def act() -> None:
        async with Receiver() as receiver:
            channel = hook(
                f"http://two.example:{receiver.port}/",
                allowed=parse_allowed(["127.0.0.0/8", "::1"]),
                lookup=lambda host, port: ["127.0.0.2", "::1", "127.0.0.1"],
            )
            await channel.send(message())
        assert receiver.requests[0].headers["host"] == f"two.example:{receiver.port}"

    run(act())


def test_a_name_that_is_not_found_may_be_found_later() -> None:
    """A laptop without a network finds nothing at all."""

    async def act() -> None:
        trouble = await failure(hook("https://nothing.invalid/").send(message()))
        assert trouble.retryable
        nothing = await failure(hook("https://nothing.invalid/", lookup=lambda host, port: []).send(message()))
        assert nothing.retryable

    run(act())


def test_a_name_server_that_hangs_costs_no_more_than_the_time_limit() -> None:
    release = threading.Event()
    inside: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        inside.append(host)
        release.wait(LIMIT)
        return []

    async def act() -> None:
        threads = Threads(2)
        began = time.monotonic()
        channel = hook("https://slow.example/", lookup=lookup, threads=threads, timeout_seconds=0.2)
        troubles = await asyncio.gather(*(failure(channel.send(message())) for _ in range(20)))
        assert all(trouble.retryable for trouble in troubles)
        assert time.monotonic() - began < LIMIT / 2
        while len(inside) < 2:  # a thread may begin after nobody waits for it any more
            await asyncio.sleep(0.005)
        assert len(inside) == 2

    try:
        run(act())
    finally:
        release.set()


# TLS


class Trust:
    """A certificate authority of the tests, and contexts made by it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.client = ssl.create_default_context()
        self.ca.configure_trust(self.client)

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def trust() -> Trust:
    return Trust()


def local(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def test_tls_is_for_the_name_while_the_address_is_connected_to(trust: Trust) -> None:
    names: list[str | None] = []

    async def act() -> None:
        context = trust.server("hook.example")
        context.sni_callback = lambda sock, name, context: names.append(name)
        async with Receiver(tls=context) as receiver:
            await hook(f"https://hook.example:{receiver.port}/", tls=trust.client, lookup=local).send(message())
        verified(receiver.requests[0])

    run(act())
    assert names == ["hook.example"]


def test_a_certificate_for_an_address_is_good_too(trust: Trust) -> None:
    async def act() -> None:
        async with Receiver(tls=trust.server("127.0.0.1")) as receiver:
            await hook(f"https://127.0.0.1:{receiver.port}/", tls=trust.client).send(message())
        assert len(receiver.requests) == 1

    run(act())


@pytest.mark.parametrize(("certificate", "trusted"), [("other.example", True), ("hook.example", False)])
def test_a_certificate_that_is_not_right_gets_nothing(trust: Trust, certificate: str, trusted: bool) -> None:
    """Whoever sits in between would read every notice."""

    async def act() -> None:
        async with Receiver(tls=trust.server(certificate)) as receiver:
            tls = {"tls": trust.client} if trusted else {}
            channel = hook(f"https://hook.example:{receiver.port}/", lookup=local, **tls)
            trouble = await failure(channel.send(message()))
        assert "certificate that is not trusted" in trouble.reason
        assert trouble.retryable
        assert receiver.requests == []

    run(act())


def test_a_server_without_tls_is_no_https(trust: Trust) -> None:
    async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await silence(reader, writer)

    async def act() -> None:
        async with Server(greeting) as server:
            trouble = await failure(hook(f"https://127.0.0.1:{server.port}/", tls=trust.client).send(message()))
            assert trouble.retryable
        async with Server(silence) as server:
            channel = hook(f"https://127.0.0.1:{server.port}/", tls=trust.client, timeout_seconds=0.3)
            assert "within 0.3 s" in (await failure(channel.send(message()))).reason

    run(act())
