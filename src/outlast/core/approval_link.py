"""Signed links by which one approval may be answered without the gateway's token.

A link's token says what it lets its holder decide and until when, and carries a MAC over that and the id of the
approval. The key has 256 bits of chance and so has the MAC: guessing needs no bound on its rate. A link is good for
one answer, because an approval takes only one.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Literal, NamedTuple

May = Literal["both", "approve", "reject"]
_LETTERS: dict[str, May] = {"b": "both", "a": "approve", "r": "reject"}
_PURPOSE = b"outlast approval link 1\0"
_TOKEN_MAX = 100
EXPIRES_MAX = 2**40


class Grant(NamedTuple):
    """What a link lets its holder do, until a moment in whole seconds since the epoch."""

    may: May
    expires_at: int

    def allows(self, decision: str) -> bool:
        """True for a decision (``approve`` or ``reject``) the link was made for."""
        return self.may in ("both", decision)


def make_token(secret: bytes, approval_id: str, grant: Grant) -> str:
    """Return the token of a link: letters, digits, ``-``, ``_`` and a dot."""
    head = f"{next(letter for letter, may in _LETTERS.items() if may == grant.may)}{grant.expires_at:x}"
    return f"{head}.{_mac(secret, approval_id, head)}"


def read_token(secret: bytes, approval_id: str, token: str, now: float) -> Grant | Literal["forged", "expired"]:
    """Return what a token grants for an approval, or why it grants nothing.

    That it has expired is said only to whoever holds a token that was good once.
    """
    head, dot, mac = token.partition(".")
    if not dot or len(token) > _TOKEN_MAX or not token.isascii():
        return "forged"
    if not hmac.compare_digest(mac, _mac(secret, approval_id, head)):
        return "forged"
    grant = Grant(_LETTERS[head[0]], int(head[1:], 16))  # we made it: nobody else can have signed it
    return grant if now < grant.expires_at else "expired"


def _mac(secret: bytes, approval_id: str, head: str) -> str:
    signed = _PURPOSE + approval_id.encode("utf-8", "surrogatepass") + b"\0" + head.encode()
    return urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=").decode()
