"""Who may talk to the gateway, and as whom.

On the Unix socket the kernel vouches for the peer: only this user, and root. Over TCP the caller brings the
token, and nothing a web page could send for its reader is let in: foreign Host names and cross-site requests
are refused before the token is even looked at.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from outlast.api.context import LOCAL, REMOTE, Caller
from outlast.core.errors import Refused

_CREDENTIALS = struct.Struct("3i")
_OWN_NAMES = ("localhost", "127.0.0.1", "::1")


def peer_uid(sock: socket.socket) -> int:
    """Return the user at the other end of a Unix socket, as the kernel saw it connect. Raises OSError."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(packed)
    return int(uid)


def peer_allowed(uid: int) -> bool:
    """True for our own user and for root, who can become our user anyway."""
    return uid in (os.getuid(), 0)


class TcpDoor:
    """The rules for callers over TCP. ``port`` is the one we listen on, ``names`` are ours beside those of loopback.

    ``public`` is the address by which people reach us from elsewhere: its host and its origin are ours, too.
    """

    def __init__(self, *, port: int, token: str, names: Iterable[str] = (), public: str = "") -> None:
        self._token = token.encode()
        outside = urlsplit(public)
        self._ports = {None, port, outside.port}
        self._names = {name.lower().strip("[]") for name in (*_OWN_NAMES, *names, outside.hostname or "localhost")}
        self._public_origin = f"{outside.scheme}://{outside.netloc}".lower() if public else None

    def admit(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise Refused unless the headers (names in lower case) come from a caller who may come in."""
        self._refuse_cross_site(headers, self._checked_host(headers))
        self._check_token(headers.get(b"authorization", b""))

    def admit_link(self, headers: Mapping[bytes, bytes], method: str) -> None:
        """Do the same for the page of a signed link, which brings no token of ours: its own is looked at later.

        Looking at it may begin on any site, where people find links; but not from within another page, and the answer
        comes from the page itself.
        """
        host = self._checked_host(headers)
        opened = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
        if method != "GET" or not opened:
            self._refuse_cross_site(headers, host)

    def _checked_host(self, headers: Mapping[bytes, bytes]) -> str:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            raise Refused(
                f"the host name {host!r} is not one of this gateway",
                code="bad_host",
                hint="use localhost or 127.0.0.1, or add the name to gateway.allow_hosts",
            )
        return host

    def _is_ours(self, host: str) -> bool:
        """True for ``NAME`` or ``NAME:PORT`` with a name and the port of this gateway."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.path or parts.query or parts.username is not None:
            return False
        return name in self._names and port in self._ports

    def _refuse_cross_site(self, headers: Mapping[bytes, bytes], host: str) -> None:
        site = headers.get(b"sec-fetch-site")
        origin = headers.get(b"origin")
        foreign = site is not None and site not in (b"same-origin", b"none")
        if origin is not None:
            ours = (f"http://{host}".lower(), self._public_origin)
            foreign = foreign or origin.decode("latin-1").lower() not in ours
        if foreign:
            raise Refused("requests from other web sites are refused", code="cross_site")

    def _check_token(self, authorization: bytes) -> None:
        scheme, _, given = authorization.partition(b" ")
        if not authorization:
            raise Refused("a token is needed", code="no_token", hint="send Authorization: Bearer TOKEN")
        good = hmac.compare_digest(given.strip(), self._token)
        if scheme.lower() != b"bearer" or not good:
            raise Refused("the token is wrong", code="bad_token", hint="the token is in the gateway's token file")


def caller_of(headers: Mapping[bytes, bytes], *, remote: bool) -> Caller:
    """Return who asks: the operator on the local socket unless a requester is named, over TCP never an operator.

    Raises BadInput for a requester that is no printable name.
    """
    named = headers.get(b"outlast-requester")
    caller = Caller(REMOTE if remote else LOCAL, operator=not remote, remote=remote)
    return caller.acting_for(None if named is None else named.decode("utf-8", "replace"))
