"""Files for agents: those below their directory and no others, whatever the path looks like."""

from __future__ import annotations

import json
import os

import pytest
from agent_running import acp

from outlast.agents import workspace
from outlast.agents.workspace import OutOfBounds, Workspace
from outlast.core.agent import EventKind


@pytest.fixture
def root(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("outside")
    return tmp_path / "in"


def test_what_is_written_can_be_read(root) -> None:
    files = Workspace(str(root))
    files.write(f"{root}/new/deep/a.txt", "one\ntwo\r\nthree")
    assert files.read(f"{root}/new/deep/a.txt") == "one\ntwo\r\nthree"
    files.write(f"{root}/new/deep/a.txt", "short")
    assert files.read(f"{root}/new/../new/deep/a.txt") == "short"


def test_lines_of_a_file(root) -> None:
    (root / "a").write_text("1\n2\n3\n4")
    files = Workspace(str(root))
    assert files.read(f"{root}/a", line=2) == "2\n3\n4"
    assert files.read(f"{root}/a", line=2, limit=2) == "2\n3\n"
    assert files.read(f"{root}/a", limit=1) == "1\n"
    assert files.read(f"{root}/a", line=9) == ""
    assert files.read(f"{root}/a", limit=0) == ""


@pytest.mark.parametrize(
    "path",
    ["{root}/../secret", "/etc/passwd", "secret", "{root}", "{root}/link", "{root}/folder/secret", "{root}/a\0b",
     "{root}-other/x", "/proc/self/environ"],
)  # fmt: skip
def test_nothing_outside_is_touched(root, path: str) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "folder").symlink_to(root.parent)
    files, path = Workspace(str(root)), path.replace("{root}", str(root))
    with pytest.raises(OutOfBounds):
        files.read(path)
    with pytest.raises(OutOfBounds):
        files.write(path, "mine")
    assert (root.parent / "secret").read_text() == "outside"
    assert sorted(os.listdir(root.parent)) == ["in", "secret"]


@pytest.mark.parametrize("path", ["d/f", "d/new", "d/new/deep/file"])
def test_a_link_that_is_put_there_meanwhile_leads_nowhere(root, monkeypatch, path: str) -> None:
    """Between the look and the opening an agent may exchange a directory for a link: nothing is even made there."""
    (root / "d").mkdir()
    (root / "d" / "f").write_text("inside")
    (root.parent / "f").write_text("outside")
    files, inside = Workspace(str(root)), Workspace._inside

    def exchange(files, path):
        real = inside(files, path)
        os.rename(root / "d", root / "gone")
        (root / "d").symlink_to(root.parent)
        return real

    monkeypatch.setattr(Workspace, "_inside", exchange)
    with pytest.raises((OutOfBounds, NotADirectoryError)):
        files.write(f"{root}/{path}", "mine")
    assert (root.parent / "f").read_text() == "outside"
    assert sorted(os.listdir(root.parent)) == ["f", "in", "secret"]


def test_a_directory_is_this_one_or_below(root, monkeypatch) -> None:
    """What was looked at is what is opened, whatever is put in its place meanwhile."""
    (root / "d").mkdir()
    (root / "link").symlink_to(root.parent)
    (root / "inner").symlink_to(root / "d")
    files, opened = Workspace(str(root)), os.open
    for path, found in ((None, root), (str(root), root), (f"{root}/d/..", root), (f"{root}/inner", root / "d")):
        fd = files.directory(path)
        assert os.readlink(f"/proc/self/fd/{fd}") == str(found)
        os.close(fd)
    for path in (f"{root}/..", f"{root}/link", f"{root}/link/in/..", f"{root}-other", "/", "d", "", f"{root}/d\0"):
        with pytest.raises(OutOfBounds):
            files.directory(path)

    def exchange(path, *rest):
        os.rename(root / "d", root / "gone")
        (root / "d").symlink_to(root.parent)
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(OSError):
        files.directory(f"{root}/d")


def test_what_is_no_plain_file_is_refused_and_does_not_hang(root) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(OutOfBounds, match="plain file"):
        Workspace(str(root)).read(f"{root}/pipe")
    with pytest.raises(OSError):
        Workspace(str(root)).write(f"{root}/pipe", "x")


def test_files_have_a_size(root, monkeypatch) -> None:
    monkeypatch.setattr(workspace, "READ_MAX", 3)
    monkeypatch.setattr(workspace, "WRITE_MAX", 3)
    (root / "a").write_text("1234")
    with pytest.raises(OutOfBounds, match="larger"):
        Workspace(str(root)).read(f"{root}/a")
    with pytest.raises(OutOfBounds, match="larger"):
        Workspace(str(root)).write(f"{root}/a", "1234")


def test_an_agent_reads_and_writes_through_us(start, tmp_path) -> None:
    asked = [
        ["fs/write_text_file", {"path": f"{tmp_path}/a b\x1b[31m{{message}}.txt", "content": "new {x}\n"}],
        ["fs/read_text_file", {"path": f"{tmp_path}/a b\x1b[31m{{message}}.txt"}],
        ["fs/read_text_file", {"path": f"{tmp_path}/none"}],
        ["fs/read_text_file", {"path": "/etc/passwd"}],
        ["fs/write_text_file", {"path": "/tmp/outlast-never", "content": "x"}],
        ["fs/read_text_file", {}],
        ["fs/list", {"path": str(tmp_path)}],
    ]
    turn = start(acp("files"), json.dumps(asked))
    got = json.loads(turn.end().text)
    assert got[:2] == [{"result": {}}, {"result": {"content": "new {x}\n"}}]
    assert [one["error"]["code"] for one in got[2:]] == [-32002, -32602, -32602, -32602, -32601]
    assert "outside of" in got[3]["error"]["message"]
    assert not os.path.exists("/tmp/outlast-never")
    assert len([note for note in turn.of(EventKind.NOTE) if "refused to the agent" in note.text]) == 2
