"""Where a gateway lives: the lock that makes a second one impossible, its sockets, its token.

Everything here is made for one user alone and is checked before it is trusted.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import secrets
import socket
import stat
from typing import Any

from outlast.config import SOCKET_PATH_MAX
from outlast.core.errors import BadInput, Conflict, GatewayTrouble, Refused


class Lock:
    """The lock of one home, held for as long as its gateway lives. The kernel frees it however the gateway ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def take(self) -> None:
        """Take the lock. Raises Conflict naming the gateway that has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(fd)
            os.close(fd)
            raise Conflict(
                f"a gateway runs here already (pid {holder})" if holder else "a gateway runs here already",
                code="already_running",
                hint="outlast gateway status",
            ) from None
        self._fd = fd
        self.write({"pid": os.getpid()})

    def write(self, content: dict[str, Any]) -> None:
        """Say who holds the lock. A full disk is no reason not to run."""
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, json.dumps(content).encode() + b"\n", 0)
        except OSError:
            pass

    def release(self) -> None:
        """Empty the lock and let go of it. The file stays, else two gateways could lock two files."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1


def _holder(fd: int) -> int | None:
    try:
        pid = json.loads(os.pread(fd, 4096, 0)).get("pid")
    except (OSError, ValueError, AttributeError):
        return None
    return pid if isinstance(pid, int) else None


def bind_local(path: str) -> socket.socket:
    """Bind the Unix socket, 0600; what a dead gateway left there is removed. The caller holds the lock."""
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise BadInput(f"the socket path is too long: {path}", hint="set OUTLAST_HOME to a shorter one")
    remove_socket(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        os.chmod(path, 0o600)
    except OSError as error:
        sock.close()
        raise GatewayTrouble(f"cannot listen on {path}: {error.strerror}") from None
    return sock


def remove_socket(path: str) -> None:
    """Remove a socket, and nothing that is none. Raises Refused for anything else at that path."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise Refused(f"{path} is not a socket", hint="move it away")
        os.unlink(path)
    except FileNotFoundError:
        pass


def parse_listen(text: str, *, allow_remote: bool) -> tuple[str, int]:
    """Read ``HOST:PORT`` (``[::1]:PORT`` for IPv6). Raises BadInput, and Refused for an address others can reach."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise BadInput(f"listen: {text!r} is not HOST:PORT", hint="for example 127.0.0.1:7878")
    if not allow_remote and not _is_loopback(host):
        raise Refused(
            f"listen: {host} can be reached from other machines",
            code="not_loopback",
            hint="use 127.0.0.1 and forward the port (ssh -L), or pass --allow-remote",
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind_tcp(host: str, port: int) -> socket.socket:
    """Bind a TCP socket. Raises GatewayTrouble with the reason."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise GatewayTrouble(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            code="cannot_listen",
            hint="choose another port",
        ) from None
    return sock


def node_at(path: str) -> str:
    """Return the name of this home among the gateways that share a store; chosen at the first call, kept for good."""
    try:
        with open(path, encoding="ascii") as file:
            name = file.read().strip()
            if name:
                return name
    except FileNotFoundError:
        pass
    host = "".join(char if char.isalnum() or char in "-." else "-" for char in socket.gethostname()) or "node"
    name = f"{host[:40].encode('ascii', 'replace').decode()}-{secrets.token_hex(3)}"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, name.encode() + b"\n")
    finally:
        os.close(fd)
    return name


def token_at(path: str) -> str:
    """Return the bearer token, made at the first call. Raises Refused when others could have read it."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read_token(path)
    token = secrets.token_urlsafe(32)
    with os.fdopen(fd, "w") as file:
        file.write(f"{token}\n")
    return token


def _read_token(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(fd) as file:
        info = os.fstat(file.fileno())
        if info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise Refused(f"{path} is open to other users", hint="remove it: a new token is made at the next start")
        token = file.read(4096).strip()
    if len(token) < 16:
        raise Refused(f"{path} holds no token", hint="remove it: a new token is made at the next start")
    return token
