"""Signatures by the rules of Standard Webhooks: id, moment and body under HMAC-SHA256, one for each secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from outlast.core.errors import BadInput

PREFIX = "whsec_"
KEY_MIN, KEY_MAX = 24, 64
"""Bytes of a key."""


def new_secret() -> str:
    """Return a fresh secret: ``whsec_`` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def read_secret(text: str) -> bytes:
    """Return the key in a secret. Raises `BadInput`, which does not show it, for what is none."""
    encoded = text.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not KEY_MIN <= len(key) <= KEY_MAX:
        raise BadInput(
            "the webhook secret is not one",
            hint=f"a secret is {PREFIX} followed by {KEY_MIN} to {KEY_MAX} bytes in base64",
        )
    return key


def read_secrets(texts: Iterable[str]) -> list[bytes]:
    """Return the keys of several secrets, at least one. Raises `BadInput`."""
    keys = [read_secret(text) for text in texts]
    if not keys:
        raise BadInput("the webhook has no secret", hint="a webhook is always signed")
    return keys


def sign(keys: Iterable[bytes], message_id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the three headers; ``at`` is the moment of sending in whole seconds since the epoch.

    With several keys there are several signatures, so that a receiver can change its secret without missing a message.
    """
    signed = f"{message_id}.{at}.".encode("ascii") + body
    marks = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii") for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }
