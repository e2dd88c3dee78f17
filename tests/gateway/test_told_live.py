"""Real gateways that tell: wakes that hang, fail and flood, gateways that die over one, three that share a store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import standardwebhooks
from crashing import Node, until

A, B = "agent:a:main", "agent:b:main"


@pytest.fixture
def home() -> Iterator[Node]:
    made = Node()
    yield made
    made.close()


@pytest.fixture
def three(pg_database: str) -> Iterator[list[Node]]:
    made = [Node(pg_database) for _ in range(3)]
    yield made
    for node in made:
        node.close()


def wake(node: Node, conversation: str, script: str) -> str:
    """Register a command; ``$1`` is what it is told."""
    argv = ["/bin/sh", str(_script(node, script)), "{text}"]
    reply = node.ask("POST", "/v1/wakes", {"conversation": conversation, "argv": argv})
    assert reply.status == 200, reply
    return str(reply.json["wakeId"])


def _script(node: Node, text: str) -> Path:
    path = node.path(f"wake-{len(os.listdir(node.home))}.sh")
    path.write_text(f"cd {node.home}\n{text}\n")
    return path


def say(node: Node, text: str, conversation: str) -> None:
    assert node.ask("POST", "/v1/system/event", {"text": text, "to": conversation}).status == 200


def lines(node: Node, name: str) -> list[str]:
    path = node.path(name)
    return path.read_text().splitlines() if path.exists() else []


def waiting(node: Node, conversation: str) -> list[str]:
    reply = node.ask("GET", f"/v1/conversations/{conversation}/events")
    return [event["text"] for event in reply.json["events"]]


def wakes(node: Node) -> list[dict[str, Any]]:
    return list(node.ask("GET", "/v1/wakes").json["wakes"])


def test_an_end_wakes_who_asked_and_a_wake_that_hangs_keeps_nobody_else_waiting(home: Node) -> None:
    """One agent's turn hangs; another still hears of its own ends, and the gateway still stops at once."""
    assert home.begin()
    wake(home, A, "echo hung >> hung; exec sleep 1000")
    wake(home, B, 'echo "$1" | head -1 >> told')
    say(home, "hello", A)
    until(lambda: lines(home, "hung"))
    for number in (1, 2):
        task = home.submit(f"exit {number}", requester=B, allowDuplicate=True)
        assert task is not None
        until(lambda number=number: len(lines(home, "told")) == number)
        assert f"failed with exit code {number}" in lines(home, "told")[-1]
    assert waiting(home, B) == []
    assert home.stop() == 0


def test_a_wake_that_fails_is_on_record_and_tried_again(home: Node) -> None:
    """The first try fails, the second is told the same and works; both can be looked at."""
    assert home.begin()
    wake(home, A, 'echo "$OUTLAST_NOTICE_ID $1" >> tries; [ $(wc -l < tries) -ge 2 ]')
    say(home, "hello", A)
    until(lambda: len(lines(home, "tries")) == 2)
    until(lambda: waiting(home, A) == [])
    assert len(set(lines(home, "tries"))) == 1
    until(lambda: wakes(home)[0]["status"] == "ready")
    tasks = home.ask("GET", "/v1/tasks?label=wake").json["tasks"]
    assert sorted(task["exitCode"] for task in tasks) == [0, 1]


def test_a_wake_that_floods_is_told_and_drowns_nobody(home: Node) -> None:
    """Twenty megabytes of output are the session's to hold, not the gateway's."""
    assert home.begin()
    wake(home, A, "head -c 20000000 /dev/zero | tr '\\0' x; echo done >> flooded")
    say(home, "hello", A)
    until(lambda: waiting(home, A) == [])
    assert lines(home, "flooded") == ["done"]
    assert home.process is not None
    with open(f"/proc/{home.process.pid}/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 200_000


@pytest.mark.parametrize("ends_meanwhile", [False, True])
def test_a_gateway_that_dies_over_a_wake_does_not_start_it_again(home: Node, ends_meanwhile: bool) -> None:
    """kill -9 in the middle of an agent's turn: the turn goes on, the next gateway stays with it, told is told once."""
    assert home.begin()
    wake(home, A, f'echo "$1" >> told; {home.gate}; echo end >> ended')
    say(home, "hello", A)
    until(lambda: lines(home, "told"))
    home.kill()
    if ends_meanwhile:
        home.open_gate()
        until(lambda: lines(home, "ended"))
    assert home.begin(), home.log()
    if not ends_meanwhile:
        assert waiting(home, A) == ["hello"]
        home.open_gate()
    until(lambda: waiting(home, A) == [])
    assert lines(home, "told") == ["hello"]


def test_three_gateways_on_one_store_wake_once(three: list[Node]) -> None:
    """Whoever is first; whoever has reported the end: one command for each nudge."""
    first = three[0]
    for node in three:
        assert node.begin(), node.log()
    wake(first, A, f'echo "$OUTLAST_NOTICE_ID" >> {first.path("told")}')
    for number, node in enumerate(three, 1):
        assert node.submit("true", requester=A, allowDuplicate=True) is not None
        until(lambda: waiting(first, A) == [] and wakes(first)[0]["dueAt"] is None and lines(first, "told"))
        until(
            lambda number=number: (
                len(first.ask("GET", f"/v1/conversations/{A}/events?all=true").json["events"]) == number
            )
        )
    until(lambda: waiting(first, A) == [])
    ids = lines(first, "told")
    assert len(ids) == len(set(ids)) <= 3


class Hook(BaseHTTPRequestHandler):
    """Takes webhooks, the first one badly."""

    taken: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(500 if len(self.taken) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_webhook_of_a_real_gateway_is_signed_and_comes_again_as_itself(home: Node) -> None:
    """The secret that was shown once verifies both tries, by the public library."""
    Hook.taken = []
    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        home.env["OUTLAST_DELIVERY_ALLOW_PRIVATE"] = "127.0.0.1"
        assert home.begin(), home.log()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        made = home.ask("POST", "/v1/wakes", {"conversation": A, "webhook": url})
        assert made.status == 200, made
        say(home, "hello", A)
        until(lambda: waiting(home, A) == [])
        bodies = [standardwebhooks.Webhook(made.json["secret"]).verify(body, head) for head, body in Hook.taken]
        assert [body["data"]["text"] for body in bodies] == ["hello", "hello"]
        assert len({head["webhook-id"] for head, _ in Hook.taken}) == 1
    finally:
        server.shutdown()
        server.server_close()
