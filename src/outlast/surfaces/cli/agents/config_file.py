"""The config file, changed by one at a time and never seen half written."""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import contextmanager, suppress

from outlast.core.errors import BadInput, OutlastError, Refused
from outlast.surfaces.cli.output import note, safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outlast.surfaces.cli.context import Call

MODE = 0o600


def change(path: str, edit: Callable[[str], str]) -> None:
    """Put what ``edit`` makes of the file's text in its place; who comes meanwhile waits.

    Raises BadInput (``bad_config``) for a file that is not text, Refused (``cannot_write``), and what ``edit`` raises;
    the file is as it was then. A link stays one: what it leads to is changed.
    """
    path = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with _alone_in(os.path.dirname(path)):
            made = edit(_text(path))
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise Refused(f"cannot write {path}: it is read-only", code="cannot_write")  # which a rename overlooks
            _write(path, made.encode())
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror}", code="cannot_write") from error


@contextmanager
def _alone_in(directory: str) -> Iterator[None]:
    """Hold the lock of a directory: the file itself is another one after each change."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}", code="bad_config", hint="correct the line it names") from None


def _write(path: str, octets: bytes) -> None:
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        mode = MODE
    number, beside = tempfile.mkstemp(prefix=".config-", dir=os.path.dirname(path))
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def tell_gateway(call: Call) -> None:
    """Have the gateway look at the file, where one runs, so that heartbeats begin; else the next question does."""
    try:
        trouble = call.new_client(autostart=False).get("/v1/agents").get("trouble")
    except OutlastError:
        return
    if trouble:
        note(f"the gateway goes on with the agents it had: {safe(trouble)}")
