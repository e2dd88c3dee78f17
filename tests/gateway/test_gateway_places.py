"""The lock, the sockets and the token of a gateway."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest

from outlast.core.errors import BadInput, Conflict, GatewayTrouble, OutlastError, Refused
from outlast.gateway import places


def test_a_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first, second = places.Lock(path), places.Lock(path)
    first.take()
    with pytest.raises(Conflict, match=f"pid {os.getpid()}") as caught:
        second.take()
    assert caught.value.exit_code == 4
    first.write({"pid": os.getpid(), "socket": "s"})
    assert json.loads(Path(path).read_text())["socket"] == "s"
    first.release()
    assert Path(path).read_bytes() == b""
    second.take()
    second.release()
    second.release()


def test_a_lock_with_nonsense_in_it_still_locks(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = places.Lock(str(path)), places.Lock(str(path))
    path.write_text("[]")
    first.take()
    path.write_text("[]")
    with pytest.raises(Conflict, match=r"a gateway runs here already$"):
        second.take()
    first.release()


def test_a_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):
        places.Lock(str(tmp_path / "lock")).take()
    assert (tmp_path / "target").read_text() == "precious"


def test_a_socket_is_for_its_owner_alone_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with places.bind_local(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with places.bind_local(path):
        pass
    places.remove_socket(path)
    places.remove_socket(path)
    assert not os.path.exists(path)


def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    for act in (places.bind_local, places.remove_socket):
        with pytest.raises(Refused):
            act(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"


def test_a_socket_path_that_no_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="too long"):
        places.bind_local(str(tmp_path / ("x" * 100)))
    with pytest.raises(GatewayTrouble, match="cannot listen"):
        places.bind_local("/no/such/folder/s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9", ("::1", 9)),
        ("127.9.9.9:1", ("127.9.9.9", 1)),
    ],
)
def test_a_loopback_address_is_taken(text: str, expected: tuple[str, int]) -> None:
    assert places.parse_listen(text, allow_remote=False) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", BadInput),
        ("80", BadInput),
        (":80", BadInput),
        ("localhost", BadInput),
        ("localhost:", BadInput),
        ("localhost:x", BadInput),
        ("localhost:99999", BadInput),
        ("localhost:-1", BadInput),
        ("localhost:٨٠", BadInput),
        ("0.0.0.0:80", Refused),
        ("[::]:80", Refused),
        ("192.168.0.1:80", Refused),
        ("example.com:80", Refused),
        ("127.0.0.1.evil.example:80", Refused),
    ],
)
def test_any_other_address_is_refused(text: str, kind: type[OutlastError]) -> None:
    with pytest.raises(kind, match="listen"):
        places.parse_listen(text, allow_remote=False)


def test_a_flag_opens_other_addresses() -> None:
    assert places.parse_listen("0.0.0.0:80", allow_remote=True) == ("0.0.0.0", 80)


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(GatewayTrouble, match="cannot listen"):
            places.bind_tcp("127.0.0.1", taken.getsockname()[1])


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = places.token_at(str(path))
    assert len(token) >= 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert places.token_at(str(path)) == token
    path.chmod(0o640)
    with pytest.raises(Refused, match="open to other users"):
        places.token_at(str(path))
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(Refused, match="no token"):
        places.token_at(str(path))
