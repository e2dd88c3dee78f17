"""Web addresses, read by one strict pattern: what two readers could understand differently is refused."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from outlast.core.errors import BadInput
from outlast.delivery.channels.addresses import literal

URL_MAX = 2048
"""Characters of an address."""

_URL = re.compile(
    r"(?P<scheme>(?i:https?))://(?:(?P<user>[A-Za-z0-9._~!$&'()*+,;=:%-]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?\[\]-]*)?",
    re.ASCII,
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)


class Url(NamedTuple):
    """An address taken apart. ``host`` is lower case and without brackets; ``target`` is path and query.

    ``login`` is the value of an Authorization header for the name and password in the address, if there are any.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: str | None

    @property
    def authority(self) -> str:
        """Host and port as they stand in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _port_of(self.scheme) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address without what may be secret in it: name, password, path and query."""
        return f"{self.scheme}://{self.authority}" + ("/***" if self.target != "/" or self.login else "")


def parse_url(text: str) -> Url:
    """Read an ``http`` or ``https`` address. Raises `BadInput` with the code ``bad_target``; never shows the address.

    A host is a name in ASCII, four decimal numbers, or an IPv6 address in brackets. Refused are fragments, backslashes,
    other spellings of numbers (``127.1``, ``0x7f000001``, ``0177.0.0.1``), zones, and names that end in a dot.
    """
    found = _URL.fullmatch(text) if len(text) <= URL_MAX else None
    if found is None:
        raise _bad("it is not a complete http:// or https:// address", "percent-encode what is not plain ASCII")
    host = found["host"].lower().strip("[]")
    if not _possible_host(host, bracketed=found["host"].startswith("[")):
        raise _bad("its host is not a name or an address", "write 192.0.2.7, [2001:db8::7] or a name in ASCII (xn--…)")
    scheme = found["scheme"].lower()
    port = int(found["port"] or _port_of(scheme))
    if not 0 < port < 65_536:
        raise _bad("its port is not one", "a port is 1 to 65535")
    target = (found["path"] or "/") + (found["query"] or "")
    return Url(scheme, host, port, target, _login(found["user"]))


def _possible_host(host: str, *, bracketed: bool) -> bool:
    if bracketed or _NUMBER.fullmatch(host.rpartition(".")[2]):
        address = literal(host)
        return address is not None and (address.version == 6) == bracketed
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split("."))


def _login(user: str | None) -> str | None:
    if not user:
        return None
    name, _, password = user.partition(":")
    return "Basic " + base64.b64encode(unquote_to_bytes(name) + b":" + unquote_to_bytes(password)).decode("ascii")


def _port_of(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _bad(what: str, hint: str) -> BadInput:
    return BadInput(f"the web address is refused: {what}", code="bad_target", hint=hint)
