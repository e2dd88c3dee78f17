"""The installed command line with a home of its own and a real gateway, as a person or an agent has it."""

import errno
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

PATIENCE = 60.0


class Live:
    """Runs ``outlast`` in its own home."""

    def __init__(self, home):
        self.home = home
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.env = {**keep, "OUTLAST_HOME": home, "TERM": "xterm", "SHELL": "/bin/bash"}

    def argv(self, *words):
        return [sys.executable, "-m", "outlast", *words]

    def run(self, *words, stdin=subprocess.DEVNULL, env=None, cwd="/", **options):
        """Run a line to its end: CompletedProcess with bytes."""
        if isinstance(stdin, bytes):
            options["input"] = stdin
        else:
            options["stdin"] = stdin
        return subprocess.run(
            self.argv(*words),
            env={**self.env, **(env or {})},
            cwd=cwd,
            capture_output=True,
            timeout=2 * PATIENCE,
            check=False,
            **options,
        )

    def json(self, *words, code=0, **options):
        """Run a line that must end with a code and print JSON."""
        done = self.run(*words, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def start(self, *words, **options):
        """Run a line beside the test: Popen with pipes."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(self.argv(*words), env=self.env, cwd="/", **options)

    def background(self, *words):
        """Start a session and return its id."""
        return self.json("exec", "-b", "--json", *words)["sessionId"]

    def gateway_pid(self):
        return self.json("gateway", "status", "--json")["gateway"]["pid"]

    def kill_gateway(self):
        """End the gateway as a crash does, and return when it is gone."""
        pid = self.gateway_pid()
        fd = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            assert select.select([fd], [], [], PATIENCE)[0]
        finally:
            os.close(fd)
        return pid

    def close(self):
        """End everything this home has started, and clear its sockets away."""
        self.run("gateway", "start")
        status = self.json("status", "--json")
        self.run("gateway", "stop", "--kill-sessions")
        pid = status["keeper"].get("pid")
        if pid:
            try:
                fd = os.pidfd_open(pid)
                signal.pidfd_send_signal(fd, signal.SIGTERM)
                select.select([fd], [], [], PATIENCE)
                os.close(fd)
            except ProcessLookupError:
                pass
        shutil.rmtree(os.path.dirname(status["gateway"]["socket"]), ignore_errors=True)


def line_of(stream):
    """Read one line of a pipe, and nothing behind it; empty at the end."""
    seen, deadline = b"", time.monotonic() + PATIENCE
    while not seen.endswith(b"\n"):
        left = max(0.0, deadline - time.monotonic())
        assert select.select([stream], [], [], left)[0], f"no line came: {seen!r}"
        data = os.read(stream.fileno(), 1)
        if not data:
            break
        seen += data
    return seen


def lines_of(stream):
    """Yield the lines of a pipe to its end; fail where the next one does not come."""
    while line := line_of(stream):
        yield line


def give(fifo, data=b""):
    """Open a pipe that somebody reads, or comes to read; write something and close it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            assert time.monotonic() < deadline, f"nobody reads {fifo}"
            time.sleep(0.01)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def read_to_the_end(pid, master):
    """Return all that comes of a terminal until its process has ended, and the exit code."""
    seen, deadline = b"", time.monotonic() + PATIENCE
    try:
        while select.select([master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = os.read(master, 65536)
            if not data:
                break
            seen += data
    except OSError:
        pass
    return seen, exit_code_of(pid)


def exit_code_of(pid):
    """Wait for the end of a child; one that does not end is ended."""
    fd = os.pidfd_open(pid)
    try:
        in_time = select.select([fd], [], [], PATIENCE)[0]
        if not in_time:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert in_time, f"process {pid} did not end"
    finally:
        os.close(fd)
    return os.waitstatus_to_exitcode(status)


class Terminal:
    """A terminal with a command line in it: its own session, with the terminal as the controlling one."""

    def __init__(self, live, *words, cols=80, rows=24):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                termios.tcsetwinsize(0, (rows, cols))  # before anybody can ask
                os.chdir("/")
                os.execve(sys.executable, live.argv(*words), live.env)
            finally:
                os._exit(99)
        self.seen = b""

    def resize(self, cols, rows):
        termios.tcsetwinsize(self.master, (rows, cols))

    def type(self, data):
        os.write(self.master, data)

    def until(self, text):
        """Read until a text has appeared; return everything up to there and forget it."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear in {self.seen!r}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    assert text in self.seen, f"{text!r} did not appear before the end in {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def wait(self):
        """Read to the end and return the exit code."""
        seen, code = read_to_the_end(self.pid, self.master)
        self.seen += seen
        os.close(self.master)
        return code
