"""Webhooks: a signed POST of JSON, by the rules of Standard Webhooks."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime

from outlast._version import __version__
from outlast.core.notice_text import one_line
from outlast.delivery.channels import signature
from outlast.delivery.channels.addresses import Address, Allowed, literal, may_reach
from outlast.delivery.channels.base import Message, SendFailed, moment, readable, safe_id
from outlast.delivery.channels.http import Answer, NoAnswer, post
from outlast.delivery.channels.threads import Threads
from outlast.delivery.channels.urls import Url
from outlast.process.clock import Clock

TIMEOUT_SECONDS = 10.0
"""From the first question for an address to the answer's status."""
DETAIL_MAX = 64 * 1024
"""Bytes of ``detail`` as JSON; larger ones are left out, and the body says so."""
RETRY_AFTER_MAX = 86_400.0
"""Seconds a receiver can make us wait."""
_RETRYABLE = (408, 425, 429)
_TIMED = (429, 503)

Lookup = Callable[[str, int], Sequence[str]]
"""Turns a host name and port into addresses as text. May block; raises OSError."""


def lookup(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a name."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Webhook:
    """Posts every message to one address.

    ``keys`` sign it. ``allowed`` is what may be reached beside the public Internet. ``tls`` makes the trust to be used
    for https; by default that of the system.
    """

    def __init__(
        self,
        url: Url,
        keys: Sequence[bytes],
        *,
        clock: Clock,
        threads: Threads,
        allowed: Allowed = (),
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = lookup,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        if not keys:
            raise ValueError("a webhook is always signed")
        self._url = url
        self._keys = tuple(keys)
        self._clock = clock
        self._threads = threads
        self._allowed = allowed
        self._tls = tls
        self._lookup = lookup
        self._timeout = timeout_seconds

    async def send(self, message: Message) -> None:
        """Post it; 2xx is delivered. Raises SendFailed."""
        body = body_of(message)
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            answer = await self._post(safe_id(message), body, deadline)
        except TimeoutError:
            raise self._failed(f"did not answer within {self._timeout:g} s") from None
        except NoAnswer as trouble:
            raise self._failed(f"gave no answer: {trouble}") from None
        except ssl.SSLCertVerificationError as trouble:
            raise self._failed(f"shows a certificate that is not trusted: {trouble.verify_message}") from None
        except socket.gaierror as trouble:
            raise self._failed(f"has no address: {trouble.strerror}") from None
        except OSError as trouble:
            raise self._failed(f"cannot be reached: {trouble.strerror or trouble}") from None
        if failure := judge(self._url, answer, self._clock.now()):
            raise failure

    async def _post(self, message_id: str, body: bytes, deadline: float) -> Answer:
        async with asyncio.timeout_at(deadline):
            addresses = self._checked(await self._addresses())
            tls = await self._context()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"outlast/{__version__}",
            **signature.sign(self._keys, message_id, int(self._clock.now()), body),
        }
        if self._url.login is not None:
            headers["Authorization"] = self._url.login
        return await post(self._url, addresses, headers, body, tls=tls, deadline=deadline)

    async def _addresses(self) -> list[Address]:
        address = literal(self._url.host)
        if address is not None:
            return [address]
        found = await self._threads.run(functools.partial(self._lookup, self._url.host, self._url.port))
        return [ipaddress.ip_address(text) for text in dict.fromkeys(found)]

    def _checked(self, addresses: list[Address]) -> list[Address]:
        """Return those that may be reached. Raises SendFailed when none may: the setting has to change first."""
        fine = [address for address in addresses if may_reach(address, self._allowed)]
        if addresses and not fine:
            raise SendFailed(
                f"{self._url.authority} is {addresses[0]}, which is not a public address and not allowed",
                retryable=False,
            )
        return fine

    async def _context(self) -> ssl.SSLContext | None:
        if self._url.scheme != "https":
            return None
        if self._tls is None:
            self._tls = await self._threads.run(system_trust)
        return self._tls

    def _failed(self, what: str) -> SendFailed:
        return SendFailed(f"{self._url.authority} {what}", retryable=True)


@functools.cache
def system_trust() -> ssl.SSLContext:
    """Return the system's trust for TLS, read once: that takes 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def body_of(message: Message) -> bytes:
    """Return the JSON that is posted: ``type``, ``timestamp`` and ``data`` with the texts and ``detail``."""
    shown = readable(message)
    body = {
        "type": shown.kind,
        "timestamp": moment(message.at),
        "data": {
            "id": safe_id(message),
            "conversation": shown.conversation,
            "title": shown.title,
            "text": shown.text,
            "detail": _detail(message.data),
        },
    }
    return _json(body)


def _detail(data: dict[str, object]) -> dict[str, object]:
    try:
        size = len(_json(data))
    except (TypeError, ValueError, RecursionError):
        return {"omitted": "it is not JSON"}
    return data if size <= DETAIL_MAX else {"omitted": f"it has {size} bytes"}


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # half of a surrogate pair becomes a question mark


def judge(url: Url, answer: Answer, now: float) -> SendFailed | None:
    """Return what an answer means: None for delivered. ``now`` is in seconds since the epoch."""
    status = answer.status
    if 200 <= status < 300:
        return None
    said = one_line(answer.body.decode("utf-8", "replace"), 120)
    what = f"{url.authority} answered {status}" + (f": {said}" if said else "")
    if status == 410:
        return SendFailed(f"{what} (gone: it wants no more of these)", retryable=False, gone=True)
    if 300 <= status < 400:
        return SendFailed(f"{url.authority} answered {status}; redirects are not followed", retryable=False)
    if status in _RETRYABLE or status >= 500:
        after = retry_after(answer.headers.get("retry-after", ""), now) if status in _TIMED else None
        return SendFailed(what, retryable=True, retry_after=after)
    return SendFailed(what, retryable=False)


def retry_after(value: str, now: float) -> float | None:
    """Return the seconds a Retry-After header asks for, 0 to `RETRY_AFTER_MAX`; None when it makes no sense."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:12]), RETRY_AFTER_MAX)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)
