"""Which addresses a message may reach, and which web addresses are read at all."""

from __future__ import annotations

import ipaddress

import pytest

from outlast.core.errors import BadInput
from outlast.delivery.channels.addresses import PRIVATE, may_reach, parse_allowed
from outlast.delivery.channels.urls import parse_url

NOT_PUBLIC = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
:: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1
fc00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 2620:4f:8000::1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 169.253.1.1 172.15.0.1
172.32.0.1 192.167.0.1 193.0.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808
"""


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_what_is_not_public_is_not_reached(address: str) -> None:
    """One gap here lets a notice talk to a service that trusts this machine."""
    assert not may_reach(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", PUBLIC.split())
def test_what_is_public_is_reached(address: str) -> None:
    assert may_reach(ipaddress.ip_address(address), ())


def test_our_table_refuses_at_least_what_the_standard_library_calls_not_global() -> None:
    for address in map(ipaddress.ip_address, (NOT_PUBLIC + PUBLIC).split()):
        if not address.is_global and getattr(address, "ipv4_mapped", None) is None:
            assert not may_reach(address, ()), address


@pytest.mark.parametrize(
    ("allowed", "reached", "refused"),
    [
        (["127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1", "8.8.8.8"], ["127.0.0.2", "10.0.0.1", "::1"]),
        (["10.1.0.0/16", "fd00::/8"], ["10.1.2.3", "fd12::1"], ["10.2.0.1", "fc00::1"]),
        (["private"], ["127.0.0.1", "::1", "10.1.1.1", "192.168.1.1", "fd00::1"], ["169.254.169.254", "fe80::1"]),
        (["0.0.0.0/0", "::/0"], ["169.254.169.254", "10.0.0.1"], ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::"]),
    ],
)
def test_what_is_allowed_is_reached_and_nothing_else(
    allowed: list[str], reached: list[str], refused: list[str]
) -> None:
    networks = parse_allowed(allowed)
    assert [text for text in reached if not may_reach(ipaddress.ip_address(text), networks)] == []
    assert [text for text in refused if may_reach(ipaddress.ip_address(text), networks)] == []


def test_what_may_be_allowed_is_read_strictly() -> None:
    assert parse_allowed(["private"]) == PRIVATE
    for item in ("localhost", "10.0.0.1/8", "10.1", "", "*", "0177.0.0.1"):
        with pytest.raises(BadInput):
            parse_allowed([item])


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "authority"),
    [
        ("https://example.org", "example.org", 443, "/", "example.org"),
        ("HTTPS://Example.ORG:443/A?b=c", "example.org", 443, "/A?b=c", "example.org"),
        ("http://example.org:8080/a%20b/", "example.org", 8080, "/a%20b/", "example.org:8080"),
        ("http://[2001:DB8::1]:81/", "2001:db8::1", 81, "/", "[2001:db8::1]:81"),
        ("http://192.0.2.7?x=1", "192.0.2.7", 80, "/?x=1", "192.0.2.7"),
        ("https://a_b.xn--bcher-kva.example/", "a_b.xn--bcher-kva.example", 443, "/", "a_b.xn--bcher-kva.example"),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int, target: str, authority: str) -> None:
    url = parse_url(text)
    assert (url.host, url.port, url.target, url.authority) == (host, port, target, authority)


REFUSED = [
    "", "example.org", "//example.org", "ftp://example.org", "https:/example.org", "https://", "https:///path",
    # spellings of 127.0.0.1 that some readers take for it and some do not
    "http://127.1", "http://2130706433", "http://0177.0.0.1", "http://0x7f000001", "http://0x7f.0.0.1", "http://127.0.1",
    "http://017700000001", "http://0x7f.1", "http://127.0.0.1.", "http://127.0.0.01", "http://①②⑦.0.0.1",
    "http://[::ffff:127.0.0.1%25lo]", "http://[fe80::1%25eth0]", "http://[::1", "http://::1", "http://[127.0.0.1]",
    # what two readers split differently
    "http://a@b@example.org", "http://example.org\\@evil.example", "http://example.org#@evil.example",
    "http://example.org:80:80", "http://exa mple.org", "http://example.org/a b", "http://example.org/\r\nX: 1",
    "http://example.org\n", "\thttp://example.org", "http://example.org/\0", "http://example.org/ü",
    "http://bücher.example", "http://-a.example", "http://a..example", "http://.example", "http://example.org.",
    "http://example.org:0", "http://example.org:65536", "http://example.org:-1", "http://example.org:", "http://%6c/",
    "http://localhost%00.example.org/", "https://example.org/" + "a" * 3000, "http://" + "a" * 64 + ".example",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_url(text)
    assert caught.value.code == "bad_target"


def test_an_error_does_not_show_the_address() -> None:
    """The address of a webhook is often its password."""
    with pytest.raises(BadInput) as caught:
        parse_url("https://example.org/T0K3N/ü")
    assert "T0K3N" not in str(caught.value.as_dict())


def test_a_login_becomes_a_header_and_is_not_shown() -> None:
    url = parse_url("https://me:p%40ss%0d%0aX@example.org/hook")
    assert url.login == "Basic bWU6cEBzcw0KWA=="
    assert url.shown == "https://example.org/***"
    assert parse_url("https://:@example.org/").login is not None
    assert parse_url("https://example.org/").login is None
