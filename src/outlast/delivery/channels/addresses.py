"""Where a message may be sent: addresses of the public Internet, and others only where somebody allowed them.

A request made for somebody else must not reach what only this machine can reach: its own services, its neighbours, the
metadata service of its cloud. What counts is the address that is connected to, never the name it came from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from outlast.core.errors import BadInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Allowed = tuple[Network, ...]


def _networks(*texts: str) -> Allowed:
    return tuple(ipaddress.ip_network(text) for text in texts)


PRIVATE: Allowed = _networks(
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"
)
"""What the word ``private`` allows: this machine and its own networks. Not link-local, where clouds tell secrets."""

# The registries of special addresses (RFC 6890 and what was added since), ours rather than the standard library's:
# that one changed between minor versions. The last is the agent of a cloud's hosts, which has a public number.
_NOT_PUBLIC: Allowed = PRIVATE + _networks(
    "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
    "192.88.99.0/24", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "240.0.0.0/4", "168.63.129.16/32",
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)  # fmt: skip
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# Nothing is ever served here: "any address" means this machine to a kernel, the others mean everybody.
_NEVER: Allowed = _networks("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def literal(host: str) -> Address | None:
    """Return the address a host is in its one plain spelling; None for a name and for every other spelling."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else address


def parse_allowed(items: Iterable[str]) -> Allowed:
    """Read what is allowed beside the public Internet: ``private``, an address, or a network such as ``10.1.0.0/16``.

    Raises `BadInput` for anything else.
    """
    allowed: list[Network] = []
    for item in items:
        if item == "private":
            allowed += PRIVATE
            continue
        try:
            allowed.append(ipaddress.ip_network(item))
        except ValueError:
            raise BadInput(
                f"{item[:60]!r} is neither an address nor a network",
                hint="write private, 10.1.2.3, 10.1.0.0/16 or fd00::/8",
            ) from None
    return tuple(allowed)


def may_reach(address: Address, allowed: Allowed) -> bool:
    """True where a message may be sent: the public Internet, and what ``allowed`` holds.

    An IPv4 address inside an IPv6 one (mapped, or through NAT64) is judged as what it leads to; other ways to wrap one
    are not public.
    """
    address = _led_to(address)
    if _within(address, _NEVER):
        return False
    if _within(address, allowed):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
        return False
    return not _within(address, _NOT_PUBLIC)


def _led_to(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and (address in _MAPPED or address in _NAT64):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address


def _within(address: Address, networks: Allowed) -> bool:
    return any(address.version == network.version and address in network for network in networks)
