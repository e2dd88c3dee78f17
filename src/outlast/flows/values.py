"""Values of programs on record: JSON, and back to what they were.

What a program sees is always what is on record: a value is read back as it will be after a crash, so that a first run
and a replay cannot differ. Dataclasses, msgspec structs, datetimes and their kind come back as what they were where
the step's function says what it returns, else as JSON. Bytes are kept beside, by their SHA-256, as are large values.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import math
import os
import shutil
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from outlast.core.errors import GatewayTrouble
from outlast.flows.errors import NotStorable

SPILL_BYTES = 256 * 1024
"""A value whose JSON is longer is kept in a file of its own."""
VALUE_MAX = 1024 * 1024 * 1024
"""Bytes of the largest value."""
DEPTH_MAX = 200
_PLAIN = (bool, int, str, type(None))
_BYTES, _FILE = "$bytes", "$file"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class NoRoom(GatewayTrouble):
    """A value cannot be kept now: the disk is full, or cannot be written to. That may pass."""

    default_code = "store_full"


class Beside(Protocol):
    """Where what is too large for a row is kept."""

    def put(self, flow_id: str, data: bytes) -> str:
        """Keep bytes durably; return their name. Raises NotStorable, and NoRoom where it may work later."""

    def get(self, flow_id: str, name: str) -> bytes:
        """Return what was kept. Raises NotStorable when it is gone or not what it was."""


class InRow:
    """Keeps everything in the rows: where several nodes share a store, and no file system."""

    def put(self, flow_id: str, data: bytes) -> str:
        """Return the bytes themselves as text."""
        return "base64:" + base64.b64encode(data).decode()

    def get(self, flow_id: str, name: str) -> bytes:
        """Read them back."""
        return base64.b64decode(name.removeprefix("base64:"))


class InFiles(InRow):
    """Keeps large values in files of the home: one directory a flow, each file named by its SHA-256."""

    def __init__(self, root: str) -> None:
        self._root = root

    def put(self, flow_id: str, data: bytes) -> str:
        """Write the bytes to a file and see it to the disk; return its name. Raises NoRoom."""
        name = hashlib.sha256(data).hexdigest()
        place = os.path.join(self._root, flow_id)
        path = os.path.join(place, name)
        if os.path.exists(path):
            return name
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)
            _write(path, data)
            _sync(place)
            _sync(self._root)
        except OSError as error:
            raise NoRoom(f"{len(data)} bytes cannot be kept in {place}: {error.strerror}") from error
        return name

    def get(self, flow_id: str, name: str) -> bytes:
        """Read a file back, and check that it is what was written."""
        if name.startswith("base64:"):
            return super().get(flow_id, name)
        try:
            with open(os.path.join(self._root, flow_id, os.path.basename(name)), "rb") as file:
                data = file.read()
        except OSError as error:
            raise NotStorable(f"value {name[:12]} of flow {flow_id} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != name:
            raise NotStorable(f"value {name[:12]} of flow {flow_id} is not what was written")
        return data

    def copy(self, flow_id: str, new_id: str) -> None:
        """Give another flow the values of one, as a fork needs them."""
        source = os.path.join(self._root, flow_id)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(self._root, new_id), copy_function=_link, dirs_exist_ok=True)

    def forget(self, flow_id: str) -> None:
        """Remove the values of a flow."""
        shutil.rmtree(os.path.join(self._root, flow_id), ignore_errors=True)


def _link(source: str, target: str) -> None:
    if not os.path.exists(target):
        os.link(source, target)


def _write(path: str, data: bytes) -> None:
    part = f"{path}.{os.getpid()}.part"
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fdatasync(fd)
        os.rename(part, path)
    except OSError:
        os.unlink(part)
        raise
    finally:
        os.close(fd)


def _sync(place: str) -> None:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Values:
    """Turns values into the JSON text of rows, and back."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside

    def write(self, flow_id: str, value: object) -> str:
        """Return the JSON text of a value. Raises NotStorable, NoRoom."""
        if type(value) is float and not math.isfinite(value):
            raise NotStorable(f"{value} is not JSON")
        plain = value if type(value) in _PLAIN or type(value) is float else self._plain(flow_id, value)
        try:
            text = _encode(plain)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise NotStorable(f"{_kind(value)} is not JSON: {error}") from error
        if len(text) > VALUE_MAX:
            raise NotStorable(f"{len(text)} bytes of JSON are more than a value may have ({VALUE_MAX})")
        if len(text) > SPILL_BYTES and type(self._beside) is not InRow:
            return _encode({_FILE: self._beside.put(flow_id, text), "size": len(text)}).decode()
        return text.decode()

    def read(self, flow_id: str, text: str | None, kind: Any = None) -> Any:
        """Return the value of a JSON text; ``kind`` is what it is to be, where that is known. Raises NotStorable."""
        if text is None:
            return None
        value = _decode(text)
        if type(value) is dict and type(value.get(_FILE)) is str and value.keys() <= {_FILE, "size"}:
            value = _decode(self._beside.get(flow_id, value[_FILE]))
        if type(value) in (dict, list) and (_BYTES in text or _FILE in text):
            value = self._with_bytes(flow_id, value)
        if kind is None or kind is Any or kind is object:
            return value
        try:
            return msgspec.convert(value, kind, builtin_types=(bytes,))
        except (msgspec.ValidationError, TypeError) as error:
            raise NotStorable(f"what is on record is no {_name(kind)}: {error}") from error

    def round_trip(self, flow_id: str, value: object, kind: Any = None) -> tuple[str, Any]:
        """Return the JSON text of a value, and the value as it will be read back."""
        text = self.write(flow_id, value)
        if type(value) in _PLAIN:
            return text, value
        return text, self.read(flow_id, text, kind)

    def resolved(self, flow_id: str, given: Any) -> Any:
        """Return the arguments of a child with what its parent keeps beside the rows put in its place."""
        text = _encode(given)
        return self._with_bytes(flow_id, given) if _BYTES.encode() in text or _FILE.encode() in text else given

    def _plain(self, flow_id: str, value: object) -> object:
        try:
            built = msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview), str_keys=True)
            return self._checked(flow_id, built, 0)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotStorable(f"{_kind(value)} is not JSON: {error}") from error

    def _checked(self, flow_id: str, value: Any, depth: int) -> Any:
        """Return builtins with bytes kept beside. Raises ValueError for what JSON has no word for."""
        if depth > DEPTH_MAX:
            raise ValueError(f"it is nested deeper than {DEPTH_MAX}")
        if isinstance(value, Mapping):
            if _BYTES in value or _FILE in value:
                raise ValueError(f"the keys {_BYTES} and {_FILE} are ours")
            return {key: self._checked(flow_id, one, depth + 1) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._checked(flow_id, one, depth + 1) for one in value]
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
            return {_BYTES: self._beside.put(flow_id, data), "size": len(data)}
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no number of JSON")
        return value

    def _with_bytes(self, flow_id: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._with_bytes(flow_id, one) for one in value]
        if not isinstance(value, dict):
            return value
        if type(value.get(_BYTES)) is str and value.keys() <= {_BYTES, "size"}:
            return self._beside.get(flow_id, value[_BYTES])
        if type(value.get(_FILE)) is str and value.keys() <= {_FILE, "size"}:
            return self._with_bytes(flow_id, _decode(self._beside.get(flow_id, value[_FILE])))
        return {key: self._with_bytes(flow_id, one) for key, one in value.items()}


def _kind(value: object) -> str:
    if inspect.iscoroutine(value):
        return "a coroutine (is an `await` missing?)"
    return f"a value of type {type(value).__name__}"


def _name(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))
