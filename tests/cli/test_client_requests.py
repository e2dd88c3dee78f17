"""The client against a gateway that misbehaves in every way a connection can."""

import json
import os
import socket
import threading

import pytest
from cli_fakes import answer, chunked, frame

from outlast.client import Client, NotRunning, StreamLost
from outlast.client.connection import Address
from outlast.core.errors import BadInput, Conflict, GatewayTrouble


@pytest.fixture
def client(home, gateway):
    client = Client(home, autostart=False)
    yield client
    client.close()


def test_requests_share_one_connection(client, gateway):
    gateway.will(answer({"a": 1}), answer({"b": 2}))
    assert client.post("/v1/x", {"k": "ü"}) == {"a": 1}
    assert client.get("/v1/y", n=1, none=None, yes=True, no=False, text="a b&c") == {"b": 2}
    assert gateway.connections == 1
    assert gateway.seen[0].startswith(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\n")
    assert json.loads(gateway.seen[0].partition(b"\r\n\r\n")[2]) == {"k": "ü"}
    assert gateway.seen[1].startswith(b"GET /v1/y?n=1&yes=true&text=a%20b%26c HTTP/1.1\r\n")


def test_a_connection_that_was_closed_meanwhile_is_replaced(client, gateway):
    closed = threading.Event()

    def answer_and_close(conn):
        conn.sendall(answer({"a": 1}))
        conn.shutdown(socket.SHUT_RDWR)
        closed.set()
        return False

    gateway.will(answer_and_close, answer({"b": 2}))
    assert client.get("/1") == {"a": 1}
    assert closed.wait(30)
    assert client.get("/2") == {"b": 2}
    assert gateway.connections == 2


def test_connection_close_is_obeyed(client, gateway):
    gateway.will(answer({"a": 1}, extra="Connection: close\r\n"), answer({"b": 2}))
    assert (client.get("/1"), client.get("/2")) == ({"a": 1}, {"b": 2})
    assert gateway.connections == 2


def test_the_requester_travels_in_a_header(home, gateway):
    gateway.will(answer({}))
    Client(home, requester="agent:main", autostart=False).get("/")
    assert b"\r\nOutlast-Requester: agent:main\r\n" in gateway.seen[0]


@pytest.mark.parametrize("requester", ["", "a\nb", "ü", "x" * 201])
def test_a_requester_that_cannot_travel_is_refused(home, requester):
    with pytest.raises(BadInput, match="requester"):
        Client(home, requester=requester)


def test_the_error_of_the_gateway_is_raised(client, gateway):
    gateway.will(answer({"error": {"code": "session_ended", "message": "it has ended", "hint": None}}, 409))
    with pytest.raises(Conflict, match="it has ended") as raised:
        client.post("/v1/sessions/x/write")
    assert raised.value.code == "session_ended"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (None, "before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "in the middle of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "in the middle of its answer"),
        (chunked(b'{"a":', end=False), "in the middle of its answer"),
        (b"\x16\x03\x01 what is this\r\n\r\n", "makes no sense"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not an object"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "makes no sense"),
    ],
)
def test_an_answer_cut_off_or_garbled_is_gateway_trouble(client, gateway, item, words):
    def send(conn):
        conn.sendall(item)
        return False

    gateway.will(send if item else None)
    with pytest.raises(GatewayTrouble, match=words):
        client.get("/")


def test_an_answer_that_does_not_come_is_given_up(client, gateway):
    release = threading.Event()
    gateway.will(lambda conn: release.wait(30) and False)
    with pytest.raises(GatewayTrouble, match=r"within 0\.05 s"):
        client.request("GET", "/", seconds=0.05)
    release.set()


def test_a_slow_answer_is_waited_for(client, gateway):
    def slowly(conn):
        for octet in chunked(b'{"a"', b":1}"):
            conn.sendall(bytes([octet]))

    gateway.will(slowly)
    assert client.get("/") == {"a": 1}


def test_an_interim_answer_is_passed_over(client, gateway):
    gateway.will(b"HTTP/1.1 100 Continue\r\n\r\n" + answer({"a": 1}))
    assert client.get("/") == {"a": 1}


def test_nobody_listening_is_told_apart(home):
    with pytest.raises(NotRunning, match="no gateway listens"):
        Client(home, autostart=False).get("/")


def test_a_stale_socket_counts_as_nobody(home):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(home.paths.socket)
    with pytest.raises(NotRunning):
        Client(home, autostart=False).get("/")


def test_frames_are_read_to_the_end(client, gateway):
    data = frame(1, b"out") + frame(4, b"") + frame(2, b"err") + frame(0, {"event": "ended"})
    gateway.will(chunked(data[:7], data[7:20], data[20:]))
    assert list(client.stream_frames("id", 3)) == [
        (1, b"out"),
        (4, b""),
        (2, b"err"),
        (0, b'{"event": "ended"}'),
    ]
    assert gateway.seen[0].startswith(b"GET /v1/sessions/id/stream?from=3&frames=1 ")


@pytest.mark.parametrize("end", [True, False])
def test_a_stream_that_ends_without_an_end_is_lost(client, gateway, end):
    def send(conn):
        conn.sendall(chunked(frame(1, b"out"), frame(1, b"more")[:-2], end=end))
        return False

    gateway.will(send)
    frames = client.stream_frames("id")
    assert next(frames) == (1, b"out")
    with pytest.raises(StreamLost):
        next(frames)


def test_a_stream_that_is_refused_raises_the_error(client, gateway):
    gateway.will(answer({"error": {"code": "not_found", "message": "no session", "hint": None}}, 404))
    with pytest.raises(Exception, match="no session"):
        client.stream("id")


def test_events_resume_after_the_last_one(client, gateway):
    gateway.will(chunked(b"id: 5\nevent: output\nda", b'ta: {"text":"a"}\n\n'))
    assert list(client.events("/v1/sessions/id/events", "3")) == [("output", '{"text":"a"}', "5")]
    assert b"\r\nLast-Event-ID: 3\r\n" in gateway.seen[0]


def test_octets_are_downloaded_as_they_are(client, gateway):
    gateway.will(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nOutlast-Start: 8\r\n\r\n\x00\xff\r\n")
    headers, parts = client.download("/v1/sessions/id/output", start=8)
    assert (headers["outlast-start"], b"".join(parts)) == ("8", b"\x00\xff\r\n")


def test_over_tcp_the_token_is_sent_and_nothing_started(home):
    with open(home.paths.token, "w") as file:
        file.write("secret\n")
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listen:
        port = listen.getsockname()[1]

        def serve():
            conn, _ = listen.accept()
            with conn:
                seen.append(conn.recv(65536))
                conn.sendall(answer({"a": 1}))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert Client(home, gateway=f"http://127.0.0.1:{port}/").get("/") == {"a": 1}
        thread.join(60)
    assert b"\r\nAuthorization: Bearer secret\r\n" in seen[0]
    assert f"\r\nHost: 127.0.0.1:{port}\r\n".encode() in seen[0]
    with pytest.raises(NotRunning):
        Client(home, gateway=f"127.0.0.1:{port}").get("/")
    assert not os.path.exists(home.paths.log)


@pytest.mark.parametrize("text", ["https://h:1", "h", "http://h", "http://:80", "http://h:0", "http://h:x", "h:99999"])
def test_an_address_that_is_none_is_refused(text):
    with pytest.raises(BadInput):
        Address.parse(text)


def test_addresses():
    assert str(Address.parse("http://[::1]:80")) == "http://[::1]:80"
    assert Address.parse("http://[::1]:80").host == "::1"
    assert Address.parse("unix:/a/b").path == "/a/b"
