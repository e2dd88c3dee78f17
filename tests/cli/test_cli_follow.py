"""Following a session through everything that can interrupt it."""

import json
import os
import signal
import threading

import pytest
from cli_fakes import answer, chunked, frame

from outlast.core.errors import GatewayTrouble, NotFound
from outlast.surfaces.cli import follow as following
from outlast.surfaces.cli.context import Call
from outlast.surfaces.cli.feed import Feed
from outlast.surfaces.cli.follow import Follower
from outlast.surfaces.cli.signals import Left

ENDED = frame(0, {"event": "ended", "status": "succeeded", "exitCode": 0})


@pytest.fixture
def call(home):
    return Call({}, config=home)


@pytest.fixture
def shown():
    return []


@pytest.fixture
def follower(call, gateway, shown):
    return Follower(call, "id", 0, lambda kind, data: shown.append((kind, data)))


@pytest.fixture
def no_pauses(monkeypatch):
    """Reconnecting waits a little between tries; the tests need not."""
    monkeypatch.setattr(following.time, "sleep", lambda _seconds: None)


def cut(data):
    def send(conn):
        conn.sendall(data)
        return False

    return send


def signalling(number, then=b""):
    """Open the stream, raise a signal in this process, and go on with the stream."""

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.kill(os.getpid(), number)
        if then:
            conn.sendall(then)
        return True

    return send


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def paths(gateway):
    return [request.split(b" ")[1].decode() for request in gateway.seen]


def test_the_result_is_what_the_session_ended_with(follower, gateway, shown):
    gateway.will(chunked(frame(1, b"out"), frame(2, b"err"), frame(4, b""), ENDED))
    assert follower.run()["exitCode"] == 0
    assert shown == [(1, b"out"), (2, b"err")]


def test_a_broken_stream_goes_on_at_the_byte_after_the_last(follower, gateway, shown, no_pauses):
    gateway.will(
        cut(chunked(frame(1, b"abc"), frame(2, b"de")[:-1], end=False)),
        cut(chunked(frame(2, b"de"), end=True)),
        cut(b"HTTP/1.1 200 OK\r\n"),
        chunked(frame(1, b"f"), ENDED),
    )
    follower.run()
    assert b"".join(data for _, data in shown) == b"abcdef"
    opened = list(paths(gateway))
    assert opened == [f"/v1/sessions/id/stream?from={n}&frames=1" for n in (0, 3, 5, 5)]


def test_bytes_that_were_not_kept_are_passed_over(follower, gateway, shown, capsys, no_pauses):
    gateway.will(
        cut(chunked(frame(1, b"ab"), frame(3, {"start": 2, "end": 900}), end=False)),
        chunked(frame(1, b"z"), ENDED),
    )
    follower.run()
    assert paths(gateway)[1] == "/v1/sessions/id/stream?from=900&frames=1"
    assert "bytes 2 to 900" in capsys.readouterr().err


def test_a_gateway_that_only_breaks_off_is_given_up(follower, gateway, no_pauses):
    gateway.will(*[cut(b"HTTP/1.1 200 OK\r\n")] * 6)
    with pytest.raises(GatewayTrouble) as raised:
        follower.run()
    assert raised.value.hint == "the session goes on: outlast process log -f id"
    assert len(gateway.seen) == 6


def test_a_session_that_is_gone_is_not_asked_for_again(follower, gateway):
    gateway.will(answer({"error": {"code": "not_found", "message": "no session", "hint": None}}, 404))
    with pytest.raises(NotFound):
        follower.run()


def test_silence_is_taken_for_a_broken_stream(follower, gateway, shown, monkeypatch):
    """Only the first stream is given no time: a busy machine may take some over the second."""

    def show(kind, data):
        shown.append((kind, data))
        monkeypatch.setattr(following, "SILENCE_MS", 50)

    follower.show = show
    monkeypatch.setattr(following.time, "sleep", lambda _: monkeypatch.setattr(following, "SILENCE_MS", 45_000))
    gateway.will(chunked(frame(1, b"a"), end=False), chunked(frame(1, b"b"), ENDED))
    follower.run()
    assert b"".join(data for _, data in shown) == b"ab"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_ctrl_c_goes_to_the_command(follower, gateway, number):
    told = threading.Event()

    def take_signal(conn):
        conn.sendall(answer({"sent": 1}))
        told.set()

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.kill(os.getpid(), number)
        assert told.wait(60)
        conn.sendall(chunk(ENDED) + b"0\r\n\r\n")

    gateway.will(send, take_signal)
    follower.run()
    assert paths(gateway)[1] == "/v1/sessions/id/signal"
    assert json.loads(gateway.seen[1].partition(b"\r\n\r\n")[2]) == {"signal": number, "group": "foreground"}


def test_three_in_a_row_end_the_tree(follower, gateway, monkeypatch):
    monkeypatch.setattr(following, "KILL_WITHIN_SECONDS", 60.0)
    killed = threading.Event()
    signals = [threading.Event() for _ in range(2)]

    def kill(conn):
        conn.sendall(answer({"ended": []}))
        killed.set()

    def heard(event):
        def take(conn):
            conn.sendall(answer({"sent": 1}))
            event.set()

        return take

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        for event in (*signals, killed):
            os.kill(os.getpid(), signal.SIGINT)
            assert event.wait(60)
        conn.sendall(chunk(ENDED) + b"0\r\n\r\n")

    gateway.will(send, heard(signals[0]), heard(signals[1]), kill)
    follower.run()
    assert [path.rpartition("/")[2] for path in paths(gateway)[1:]] == ["signal", "signal", "kill"]


def test_interrupts_far_apart_never_kill(follower, gateway, monkeypatch):
    clock = iter([0.0, 1.5, 3.0, 4.5])
    monkeypatch.setattr(following.time, "monotonic", lambda: next(clock))
    acts = []
    follower.control = lambda action, body: acts.append(action)
    for _ in range(4):
        follower._interrupt(signal.SIGINT)
    assert acts == ["signal"] * 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143)])
def test_a_closed_terminal_only_leaves(follower, gateway, number, code):
    before = signal.getsignal(number)
    gateway.will(signalling(number))
    with pytest.raises(Left) as left:
        follower.run()
    assert left.value.code == code
    assert paths(gateway) == ["/v1/sessions/id/stream?from=0&frames=1"]
    assert signal.getsignal(number) == before


def test_signals_our_caller_ignores_stay_ignored(follower, gateway):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        gateway.will(signalling(signal.SIGHUP, chunk(ENDED) + b"0\r\n\r\n"))
        assert follower.run()["status"] == "succeeded"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_ends_only_the_following_of_a_log(follower, gateway):
    follower.interrupt_leaves = True
    gateway.will(signalling(signal.SIGINT))
    with pytest.raises(Left) as left:
        follower.run()
    assert left.value.code == 130


def test_a_changed_window_is_passed_on(follower, gateway):
    resized = threading.Event()
    follower.on_resize = resized.set

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.kill(os.getpid(), signal.SIGWINCH)
        assert resized.wait(60)
        conn.sendall(chunk(ENDED) + b"0\r\n\r\n")

    gateway.will(send)
    follower.run()


@pytest.mark.parametrize("kind", [1, 2])
def test_a_reader_that_went_away_leaves_the_session(call, gateway, monkeypatch, kind):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(following, "write_all", lambda fd, data: os.write(writer, data))
    gateway.will(chunked(frame(kind, b"x"), ENDED))
    with pytest.raises(Left) as left:
        Follower(call, "id", 0).run()
    os.close(writer)
    assert left.value.code == 141


class Input:
    """A pipe as standard input, and a gateway that takes what is written."""

    def __init__(self, follower, call, gateway):
        self.reader, self.writer = os.pipe()
        self.got = []
        follower.feed = Feed(call.new_client(), "id", self.reader)

    def close(self):
        for fd in (self.reader, self.writer):
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def typed(follower, call, gateway):
    typed = Input(follower, call, gateway)
    yield typed
    typed.close()


def test_input_is_forwarded_and_closed(follower, gateway, typed):
    closed = threading.Event()

    def accept(conn):
        body = json.loads(gateway.seen[-1].partition(b"\r\n\r\n")[2])
        conn.sendall(answer({"accepted": 1}))
        if body.get("eof"):
            closed.set()
        else:
            os.close(typed.writer)

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.write(typed.writer, b"\x00\xffy\n")
        assert closed.wait(60)
        conn.sendall(chunk(ENDED) + b"0\r\n\r\n")

    gateway.will(send, accept, accept)
    follower.run()
    bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in gateway.seen[1:]]
    assert bodies == [{"dataBase64": "AP95Cg=="}, {"eof": True}]


def test_a_session_that_reads_no_input_is_followed_all_the_same(follower, gateway, typed, capsys):
    refused = threading.Event()

    def refuse(conn):
        conn.sendall(answer({"error": {"code": "no_stdin", "message": "it reads none", "hint": None}}, 409))
        refused.set()

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.write(typed.writer, b"y\n")
        assert refused.wait(60)
        conn.sendall(chunk(ENDED) + b"0\r\n\r\n")

    gateway.will(send, refuse)
    assert follower.run()["exitCode"] == 0


def test_input_lost_with_the_gateway_is_said_and_not_sent_twice(follower, gateway, typed, capsys, no_pauses):
    first = threading.Event()

    def vanish(conn):
        first.set()
        return False

    def send(conn):
        conn.sendall(chunked(frame(1, b"x"), end=False))
        os.write(typed.writer, b"yes\n")
        assert first.wait(60)
        return False

    gateway.will(send, vanish, chunked(ENDED))
    follower.run()
    writes = [request for request in gateway.seen if b"/write" in request.split(b"\r\n")[0]]
    assert len(writes) == 1
