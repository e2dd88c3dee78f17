"""Apprise in its own program: real library, real program, a receiver on loopback."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from channel_servers import HERE, LIMIT, Receiver, Server, failure, message, run, silence

from outlast.delivery.channels.addresses import Allowed, parse_allowed
from outlast.delivery.channels.apprise import TEXT_MAX, Apprise
from outlast.delivery.channels.apprise_worker import Gate, send
from outlast.delivery.channels.base import SendFailed
from outlast.delivery.channels.program import Programs

SENT = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def channel(url: str, *, allowed: Allowed = HERE, **options: Any) -> Apprise:
    return Apprise(url, Programs(), os.environ, allowed=allowed, **options)


def refused(sender: Apprise, **fields: Any) -> SendFailed:
    return run(failure(sender.send(message(**fields))))


def test_a_message_is_sent_by_the_library() -> None:
    async def act() -> None:
        async with Receiver(SENT) as receiver:
            await channel(f"json://127.0.0.1:{receiver.port}/hook").send(message())
        (request,) = receiver.requests
        body = json.loads(request.body)
        assert body["title"] == '"build" failed'
        assert body["message"] == "It failed.\n| last line"

    run(act())


def test_hostile_texts_are_sent_as_they_are_and_bounded() -> None:
    texts = ["$(x) {{ a }} ${HOME} \\n :smile: <b>&", "\ud800\x00\x1b[31m", "x" * 1_000_000]

    async def act() -> None:
        async with Receiver(SENT) as receiver:
            for text in texts:
                await channel(f"json://127.0.0.1:{receiver.port}/").send(message(title=text, text=text))
        bodies = [json.loads(request.body) for request in receiver.requests]
        assert bodies[0]["message"] == texts[0]
        assert bodies[1]["message"] == "\ufffd"
        assert len(bodies[2]["message"]) <= TEXT_MAX

    run(act())


@pytest.mark.parametrize("allowed", [(), parse_allowed(["10.0.0.0/8"])])
def test_no_service_reaches_what_is_not_allowed(allowed: Allowed) -> None:
    """Else json://127.0.0.1 would be the webhook that is refused elsewhere."""

    async def act() -> None:
        async with Receiver(SENT) as receiver:
            for host in ("127.0.0.1", "localhost"):
                sender = channel(f"json://{host}:{receiver.port}/", allowed=allowed)
                trouble = await failure(sender.send(message()))
                assert not trouble.retryable
                assert "not a public address" in trouble.reason
        assert receiver.connections == 0

    run(act())


def test_redirects_are_not_followed() -> None:
    async def act() -> None:
        async with Receiver(SENT) as other:
            away = f"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
            async with Receiver(away.encode()) as receiver:
                await failure(channel(f"json://127.0.0.1:{receiver.port}/").send(message()))
                assert len(receiver.requests) == 1
            assert other.connections == 0

    run(act())


def test_a_service_that_refuses_may_take_it_later_and_its_address_is_not_shown() -> None:
    async def act() -> None:
        async with Receiver(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n") as receiver:
            trouble = await failure(channel(f"json://me:hunter22@127.0.0.1:{receiver.port}/S3CR3T").send(message()))
        assert trouble.retryable
        assert "failure" in trouble.reason
        assert "hunter22" not in trouble.reason
        assert "S3CR3T" not in trouble.reason

    run(act())


@pytest.mark.parametrize("url", ["nosuch://token", "slack://", "mailto://"])
def test_an_address_the_library_does_not_know_is_final(url: str) -> None:
    trouble = refused(channel(url))
    assert not trouble.retryable
    assert "does not know this address" in trouble.reason


def test_one_target_is_one_address() -> None:
    """The library would take a comma for the start of another address, which nobody has checked."""

    async def act() -> None:
        async with Receiver(SENT) as first, Receiver(SENT) as second:
            url = f"json://127.0.0.1:{first.port}/,json://127.0.0.1:{second.port}/"
            try:
                await channel(url).send(message())
            except SendFailed:
                pass
            assert second.connections == 0

    run(act())


def test_a_missing_library_is_named_with_what_to_install() -> None:
    script = (
        "import sys; sys.modules['apprise'] = None\nfrom outlast.delivery.channels.apprise_worker import main; main()"
    )
    trouble = refused(channel("json://127.0.0.1:9/", worker=(sys.executable, "-c", script)))
    assert not trouble.retryable
    assert "pip install 'outlast[apprise]'" in trouble.reason


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('Traceback\\nboom')", "ended with 1: boom"),
        ("print('not json')", "ended with 0"),
        ("print('[]')", "ended with 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with -11"),
        ("print('{}')", "it was not sent"),
    ],
)
def test_a_program_that_breaks_may_work_later(script: str, said: str) -> None:
    trouble = refused(channel("json://x", worker=(sys.executable, "-c", script)))
    assert trouble.retryable is (script != "print('{}')")
    assert said in trouble.reason


def test_a_program_that_hangs_is_ended() -> None:
    worker = (sys.executable, "-c", "import time; time.sleep(60)")
    sender = Apprise("json://x", Programs(), os.environ, worker=worker, timeout_seconds=0.1, grace_seconds=0.2)
    trouble = refused(sender)
    assert trouble.retryable
    assert "did not end" in trouble.reason


def test_a_service_that_hangs_is_given_up_in_time() -> None:
    async def act() -> None:
        async with Server(silence) as server:
            trouble = await failure(
                channel(f"json://127.0.0.1:{server.port}/", timeout_seconds=2.0, grace_seconds=LIMIT).send(message())
            )
        assert trouble.retryable
        assert "timeout" in trouble.reason

    run(act())


def test_the_address_is_in_no_list_of_processes(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = (
        "import json, os, sys\n"
        f"json.dump([sys.argv, dict(os.environ), json.load(sys.stdin)], open({str(seen)!r}, 'w'))\n"
        'print(\'{"status": "sent"}\')'
    )
    environ = {"PATH": "/usr/bin:/bin", "OUTLAST_TOKEN": "secret", "http_proxy": "http://127.0.0.1:9"}
    sender = Apprise("slack://T0K3N", Programs(), environ, worker=(sys.executable, "-c", script))
    run(sender.send(message()))
    argv, env, job = json.loads(seen.read_text())
    assert job["url"] == "slack://T0K3N"
    assert "T0K3N" not in json.dumps([argv, env])
    assert set(env) <= {"PATH", "LC_CTYPE"}


# the worker's parts


def fake_library(status: str) -> types.ModuleType:
    """A library whose result is true whatever happened."""
    library = types.ModuleType("apprise")
    states = types.SimpleNamespace(SUCCESS="SUCCESS", FAILURE="FAILURE")
    outcome = types.SimpleNamespace(status=types.SimpleNamespace(name=status), logs=list)
    if status == "SUCCESS":
        outcome.status = states.SUCCESS

    class Sender:
        def __init__(self, asset: object) -> None:
            pass

        def add(self, urls: list[str]) -> bool:
            return True

        def notify(self, **options: object) -> object:
            assert outcome
            return outcome

    parts = {
        "AppriseAsset": lambda **options: None,
        "PersistentStoreMode": types.SimpleNamespace(MEMORY="memory"),
        "NotifyFormat": types.SimpleNamespace(TEXT="text"),
        "AppriseResultStatus": states,
        "Apprise": Sender,
    }
    for name, part in parts.items():
        setattr(library, name, part)
    return library


@pytest.mark.parametrize(("status", "told"), [("SUCCESS", "sent"), ("FAILURE", "failed"), ("TIMEOUT", "failed")])
def test_the_status_of_the_result_counts_and_not_its_truth(
    monkeypatch: pytest.MonkeyPatch, status: str, told: str
) -> None:
    """In the 2.x releases ``notify`` returns an object: ``if result`` is not the question."""
    monkeypatch.setitem(sys.modules, "apprise", fake_library(status))
    job = {"url": "json://x", "title": "t", "body": "b", "seconds": 1}
    assert send(job, Gate(()))["status"] == told


@pytest.mark.parametrize(
    ("event", "arguments", "stopped"),
    [
        ("socket.connect", (None, ("127.0.0.1", 80)), True),
        ("socket.connect", (None, ("localhost", 80)), True),
        ("socket.connect", (None, ("127.1", 80)), True),
        ("socket.connect", (None, ("::1", 80, 0, 0)), True),
        ("socket.connect", (None, ("::ffff:10.0.0.1", 80, 0, 0)), True),
        ("socket.sendto", (None, ("169.254.169.254", 53)), True),
        ("socket.sendmsg", (None, ("224.0.0.1", 53)), True),
        ("socket.connect", (None, ("8.8.8.8", 443)), False),
        ("socket.sendto", (None, ("8.8.8.8", 53)), False),
        ("socket.sendmsg", (None, None), False),
        ("socket.connect", (None, b"/run/user/1000/bus"), False),
        ("open", ("/etc/hosts", "r", 0), False),
    ],
)
def test_the_gate(event: str, arguments: tuple[Any, ...], stopped: bool) -> None:
    gate = Gate(())
    if stopped:
        with pytest.raises(PermissionError):
            gate.watch(event, arguments)
    else:
        gate.watch(event, arguments)
    assert (gate.stopped is not None) is stopped
