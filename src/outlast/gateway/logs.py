"""The gateway's own log: lines with a UTC time, on stderr or in ``gateway.log``."""

from __future__ import annotations

import logging
import os
import sys
import time

LOG_MAX = 5 * 1024 * 1024
"""Bytes after which the log of earlier runs is set aside as ``gateway.log.1`` at the next start."""


def open_log(path: str, *, foreground: bool) -> None:
    """Send log lines to stderr in the foreground, else to the end of ``path`` with all that is printed."""
    logging.raiseExceptions = False  # a full disk must not make logging an error
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    if not foreground:
        _redirect(path)


def _redirect(path: str) -> None:
    try:
        if os.stat(path).st_size > LOG_MAX:
            os.replace(path, f"{path}.1")
    except OSError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
