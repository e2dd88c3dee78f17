"""What the doctor finds, one check at a time."""

import os
import socket
import sys

import pytest
from cli_fakes import answer

from outlast._version import __version__
from outlast.surfaces.cli import doctor
from outlast.surfaces.cli.context import Call


@pytest.fixture
def call(home):
    return Call({}, config=home)


def test_this_python_and_kernel_will_do():
    assert doctor.check_python().state == "ok"
    assert [finding.state for finding in doctor.check_kernel()] == ["ok", "ok"]


def test_an_old_python_or_another_platform_is_named(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert doctor.check_python().state == "warn"
    monkeypatch.setattr(doctor, "PYTHON_MIN", (9, 0))
    assert doctor.check_python().state == "fail"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_open_to_others_is_named_with_its_mend(home, mode):
    os.chmod(home.paths.home, mode)
    finding = doctor.check_directory("home", home.paths.home)
    assert (finding.state, finding.mend) == ("fail", f"chmod 700 {home.paths.home}")
    os.chmod(home.paths.home, 0o700)
    assert doctor.check_directory("home", home.paths.home).state == "ok"


def test_a_directory_that_is_none_or_a_strangers_is_named(home, tmp_path):
    link = os.path.join(home.paths.run, "link")
    os.symlink(home.paths.home, link)
    assert doctor.check_directory("home", link).state == "fail"
    assert doctor.check_directory("home", os.path.join(home.paths.run, "none")).state == "ok"
    if os.getuid() == 0:
        os.chown(home.paths.home, 12345, -1)
        assert doctor.check_directory("home", home.paths.home).mend == f"chown 0 {home.paths.home}"


@pytest.mark.parametrize(("free", "state"), [(10 * 1024**3, "ok"), (500 * 1024**2, "warn"), (5 * 1024**2, "fail")])
def test_a_full_disk_is_named(home, monkeypatch, free, state):
    class Disk:
        f_bavail = free
        f_frsize = 1

    monkeypatch.setattr(os, "statvfs", lambda _path: Disk)
    assert doctor.check_disk(os.path.join(home.paths.home, "not", "made", "yet")).state == state


def test_a_gateway_that_is_down_is_no_fault_and_is_not_started(call, home):
    status, finding = doctor.check_gateway(call)
    assert (status, finding.state) == (None, "ok")
    assert not os.path.exists(home.paths.log)


@pytest.mark.parametrize(("version", "state"), [(__version__, "ok"), ("0.0.0", "warn")])
def test_a_gateway_of_another_version_is_named(call, gateway, version, state):
    gateway.will(answer({"gateway": {"pid": 1, "version": version}}))
    assert doctor.check_gateway(call)[1].state == state


def test_a_gateway_that_makes_no_sense_is_a_fault(call, gateway):
    gateway.will(b"nonsense nonsense\r\n\r\n")
    assert doctor.check_gateway(call)[1].state == "fail"


def test_a_keeper_that_is_gone_is_a_fault(home):
    gone = 2**22 + 1  # above every pid there can be
    assert doctor.check_keeper(home, {"keeper": {"pid": gone}}).state == "fail"
    assert doctor.check_keeper(home, {"keeper": {"pid": os.getpid()}}).state == "ok"
    assert doctor.check_keeper(home, {"keeper": {"pid": None}}).state == "ok"


def test_stale_sockets_are_told_from_open_ones(home):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(os.path.join(home.paths.run, "old.ctl"))
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(os.path.join(home.paths.run, "new.ctl"))
        held.listen()
        finding = doctor.check_sockets(home, doctor.listening_sockets())
    assert finding.state == "warn"
    assert "old.ctl" in finding.detail
    assert "new.ctl" not in finding.detail


def test_processes_without_a_record_are_found(home, monkeypatch):
    import subprocess

    monkeypatch.setenv("OUTLAST_HOME", home.paths.home)
    env = {**os.environ, "OUTLAST_SESSION_ID": "01gone"}
    with subprocess.Popen(["cat"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"running\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"running\n"
        finding = doctor.check_strays(home)
        assert (finding.state, finding.mend) == ("warn", f"look, then: kill {process.pid}")
        os.makedirs(os.path.join(home.paths.sessions, "01gone"))
        assert doctor.check_strays(home).state == "ok"
        process.stdin.close()


def test_few_open_files_are_named(monkeypatch):
    import resource

    monkeypatch.setattr(resource, "prlimit", lambda *_: (256, 256))
    assert doctor.check_files(None).state == "warn"
    monkeypatch.setattr(resource, "prlimit", lambda *_: (256, resource.RLIM_INFINITY))
    assert doctor.check_files(None).detail == "no limit"
