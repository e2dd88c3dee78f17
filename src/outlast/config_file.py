"""Reading the config file: whatever is in its place, the answer comes at once and names it."""

from __future__ import annotations

import os
import stat

from outlast.core.errors import BadInput

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE_MAX = 1024 * 1024
"""Bytes of a config file: all who ask a gateway wait while it is read again."""


def read_tables(path: str, *, required: bool) -> dict[str, Any]:
    """Return a config file as TOML has it; nothing where it is empty, or neither there nor ``required``.

    Raises BadInput (``bad_config``) naming the file.
    """
    try:
        octets = _octets(path)
    except FileNotFoundError:
        if not required:
            return {}
        raise BadInput(f"{path} is not there", code="bad_config", hint="correct or unset OUTLAST_CONFIG") from None
    except OSError as error:
        raise BadInput(
            f"cannot read {path}: {error.strerror}", code="bad_config", hint="it must be a file you can read"
        ) from None
    if not octets.strip():
        return {}
    import tomllib

    try:
        return tomllib.loads(octets.decode())
    except ValueError as error:  # the reader's own, no text, or a number of thousands of digits
        raise BadInput(f"{path} is not TOML: {error}", code="bad_config", hint="correct the line it names") from None
    except RecursionError:
        raise BadInput(f"{path} is nested too deeply", code="bad_config", hint="no setting needs that") from None


def _octets(path: str) -> bytes:
    """Return what a file holds, without waiting for it: a gateway reads it between two requests. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise BadInput(
                f"cannot read {path}: it is a pipe", code="bad_config", hint="it must be a file you can read"
            )
        octets = file.read(FILE_MAX + 1)
    if len(octets) > FILE_MAX:
        raise BadInput(
            f"cannot read {path}: it is larger than {FILE_MAX // 1024} KiB", code="bad_config",
            hint="it must hold settings alone",
        )  # fmt: skip
    return octets
