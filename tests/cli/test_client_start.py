"""Starting the gateway, with a stand-in for the interpreter that starts it."""

import os
import signal
import socket
import stat
import threading

import pytest

from outlast.client import start
from outlast.core.errors import GatewayTrouble, Refused

HEAD = """#!/usr/bin/env python3
import os, socket, sys, time
assert sys.argv[1:6] == ["-P", "-m", "outlast", "gateway", "run"], sys.argv
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
folder = os.path.dirname(os.path.abspath(__file__))
with open(folder + "/starts", "a") as log:
    print(os.getpid(), os.getsid(0), *sorted(os.listdir("/proc/self/fd"), key=int), *sys.argv[8:], file=log)
print("this is the log")
sys.stdout.flush()
"""
LISTEN = """
sock = socket.socket(socket.AF_UNIX)
try:
    os.unlink(folder + "/gateway.sock")
except FileNotFoundError:
    pass
sock.bind(folder + "/gateway.sock")
sock.listen()
os.write(fd, b"ready\\n")
os.close(fd)
while True:
    conn, _ = sock.accept()
    conn.close()
"""


@pytest.fixture
def interpreter(home, monkeypatch):
    """Make what would start a gateway run a script instead."""
    path = os.path.join(home.paths.run, "interpreter")

    def be(body):
        with open(path, "w") as file:
            file.write(HEAD + body)
        os.chmod(path, stat.S_IRWXU)
        monkeypatch.setattr("sys.executable", path)

    yield be
    for pid, *_ in starts(home):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                mine = path.encode() in file.read()  # its number may be somebody else's by now
            if mine:
                os.kill(int(pid), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass


def starts(home):
    try:
        with open(os.path.join(home.paths.run, "starts")) as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        return []


def test_it_is_started_once_however_many_ask(home, interpreter):
    interpreter(LISTEN)
    results = []
    threads = [threading.Thread(target=lambda: results.append(start.ensure(home))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [False] * 5 + [True]
    assert len(starts(home)) == 1


def test_it_has_a_session_of_its_own_and_nothing_of_ours(home, interpreter):
    interpreter(LISTEN)
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        assert start.ensure(home, ("--listen", "127.0.0.1:1"))
        [[pid, sid, *rest]] = starts(home)
        fds, words = rest[:-2], rest[-2:]
        assert pid == sid
        assert words == ["--listen", "127.0.0.1:1"]
        # 0 to 2, the ready pipe, the script's log file, and the listing of the directory itself.
        assert len(fds) == 6
        assert str(writer) not in fds or int(fds[3]) == writer
    finally:
        os.close(reader)
        os.close(writer)
    with open(home.paths.log) as file:
        assert file.read() == "this is the log\n"


def test_a_stale_socket_is_recovered(home, interpreter):
    interpreter(LISTEN)
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(home.paths.socket)
    assert start.ensure(home)
    assert start.listening(home)


def test_a_gateway_that_dies_shows_its_last_words(home, interpreter):
    interpreter("sys.exit('no room for me')")
    with pytest.raises(GatewayTrouble, match="exit code 1") as raised:
        start.ensure(home)
    assert raised.value.code == "start_failed"
    assert "no room for me" in raised.value.hint


def test_a_gateway_that_never_gets_ready_is_given_up(home, interpreter, monkeypatch):
    monkeypatch.setattr(start, "READY_SECONDS", 0.5)
    interpreter("time.sleep(3)")
    with pytest.raises(GatewayTrouble, match=r"not ready within 0\.5 s"):
        start.ensure(home)


def test_another_gateway_on_its_way_is_waited_for(home, interpreter):
    """The lock is held but nobody listens yet: it is somebody else's start, or a stop in its last moments."""
    interpreter("if len(open(folder + '/starts').readlines()) < 3: sys.exit(4)\n" + LISTEN)
    assert start.ensure(home)
    assert len(starts(home)) == 3


def test_a_home_that_cannot_be_written_is_said(home, interpreter):
    home.paths.home = os.path.join(home.paths.home, "file", "below")
    with open(os.path.dirname(home.paths.home), "w"):
        pass
    with pytest.raises(Refused, match="cannot write"):
        start.ensure(home)
