"""The addresses of links to approvals, and the secret that signs them."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from secrets import token_hex
from urllib.parse import quote

from outlast.api.context import Api
from outlast.core.approval_link import Grant, make_token
from outlast.core.errors import Conflict, Refused

SECRET_BYTES = 32
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 — compared with, not bound to


def secret_at(path: str) -> bytes:
    """Return what signs the links of this home; made at the first need, readable by its user alone.

    Raises Refused when others could have read it, or it is no secret.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        _make(path)
        return secret_at(path)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(file.fileno())
        text = file.read(4096)
    if info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077:
        raise Refused(f"{path} is open to other users", hint="remove it: links made so far are void, a new one is made")
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise Refused(f"{path} holds no secret", hint="remove it: links made so far are void, a new one is made")
    return secret


def _make(path: str) -> None:
    own = f"{path}.{os.getpid()}-{threading.get_ident()}"
    fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, token_hex(SECRET_BYTES).encode() + b"\n")
    finally:
        os.close(fd)
    with suppress(FileExistsError):  # whoever was first has made it: there is one, and it is whole
        os.link(own, path)
    os.unlink(own)


def base_url(api: Api) -> str | None:
    """Return the address under which people reach this gateway; None when there is none that could be told."""
    if api.config.gateway_public_url:
        return api.config.gateway_public_url
    listen = api.gateway.facts.listen
    if listen is None:
        return None
    host, _, port = listen.rpartition(":")
    if host.strip("[]") in _WILDCARDS:
        names = api.config.gateway_allow_hosts
        return f"http://{names[0]}:{port}" if names else None
    return f"http://{listen}"


def link_for(api: Api, approval_id: str, grant: Grant) -> str:
    """Return a link. Raises Conflict (``no_address``) where nobody could follow it."""
    base = base_url(api)
    if base is None:
        raise Conflict(
            "this gateway has no address a link could lead to", code="no_address",
            hint="set gateway.public_url, or let it listen on TCP (gateway.listen), and restart it",
        )  # fmt: skip
    token = make_token(secret_at(api.config.paths.approval_secret), approval_id, grant)
    return f"{base}/approvals/{quote(approval_id, safe='')}?t={token}"
