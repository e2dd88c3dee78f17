"""Which program a target names: looked at without running any of it."""

from __future__ import annotations

import ast
import asyncio
import os
import re
from typing import NamedTuple

from outlast.api.context import Api
from outlast.core.errors import BadInput, NotFound
from outlast.core.flow import FILE_HANDLER
from outlast.core.text import is_sound
from outlast.flows.loading import is_file, split_target

SERVED_SHOWN = 20
SOURCE_MAX = 4 * 1024 * 1024
"""Bytes of a Python file that is looked at."""
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_HINT = "/abs/file.py:name or package.module:name"


class _Seen(NamedTuple):
    """What stands at the top of a file: functions decorated as flows, all names, and whether that may be all."""

    flows: tuple[str, ...]
    names: frozenset[str]
    whole: bool


async def handler_of(target: str) -> str:
    """Return the handler of ``/abs/file.py:name``, ``/abs/file.py`` with one flow in it, or ``package.module:name``.

    Raises BadInput (``bad_handler``), NotFound (``no_such_program``).
    """
    if not is_sound(target):
        raise BadInput("handler: must be text in valid UTF-8 without NUL", code="not_text")
    source, name = split_target(target)
    if name is not None and not name.isidentifier():
        raise BadInput(f"handler: {name[:100]!r} is no name of a flow", code="bad_handler", hint=_HINT)
    if not is_file(source):
        if name is None or not _MODULE.fullmatch(source):
            raise BadInput(f"handler: {target[:200]!r} names no program", code="bad_handler", hint=_HINT)
        return f"{source}:{name}"
    if not target.startswith("/"):
        raise BadInput(f"handler: {target[:200]!r} is no absolute path", code="bad_handler", hint=_HINT)
    return f"{source}:{await asyncio.to_thread(_named, source, name)}"


def _named(path: str, name: str | None) -> str:
    """Return the name of a flow in a file; its only one where none is named."""
    seen = _look(path)
    defined = f"it defines: {', '.join(seen.flows[:SERVED_SHOWN])}" if seen.flows else "decorate one: @outlast.flow"
    if name is None:
        if len(seen.flows) == 1:
            return seen.flows[0]
        what = "several flows" if seen.flows else "no flow"
        raise BadInput(
            f"handler: {path} defines {what}", code="ambiguous" if seen.flows else "bad_handler", hint=defined
        )
    if name not in seen.names and seen.whole:
        raise NotFound(f"{path} defines no flow {name!r}", code="no_such_program", hint=defined)
    return name


def _look(path: str) -> _Seen:
    """Look at a Python file. Raises BadInput for what is none."""
    if not path.endswith(".py"):
        raise BadInput(f"handler: {path} is no Python file", code="bad_handler", hint=_HINT)
    try:
        if os.path.getsize(path) > SOURCE_MAX:
            raise BadInput(f"handler: {path} is larger than {SOURCE_MAX} bytes", code="bad_handler")
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
    except OSError as error:
        raise BadInput(f"handler: {path}: {error.strerror}", code="bad_handler") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise BadInput(f"handler: {path}{line} is not Python: {error.args[0]}", code="bad_handler") from None
    flows: list[str] = []
    names: set[str] = set()
    whole = True
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
            flows += [node.name] if any(map(_is_flow, node.decorator_list)) else []
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {one.id for one in targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(one.asname or one.name).partition(".")[0] for one in node.names}
            whole = whole and all(one.name != "*" for one in node.names)
        elif not isinstance(node, ast.Expr | ast.ClassDef):
            whole = False  # it may define one under some condition
    return _Seen(tuple(flows), frozenset(names), whole)


def _is_flow(decorator: ast.expr) -> bool:
    """True for ``@flow``, ``@outlast.flow`` and either with arguments."""
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    return (isinstance(decorator, ast.Name) and decorator.id == "flow") or (
        isinstance(decorator, ast.Attribute) and decorator.attr == "flow"
    )


async def served(api: Api, name: str) -> str:
    """Return the handler that a bare name means among those that live workers serve. Raises BadInput, NotFound."""
    now = api.clock.now()
    workers = [worker for worker in await api.store.flow_workers() if worker.lease_until > now]
    handlers = sorted({handler for worker in workers for handler in worker.handlers} - {FILE_HANDLER})
    found = [handler for handler in handlers if name in (handler, handler.rpartition(":")[2])]
    if len(found) == 1:
        return found[0]
    shown = found or handlers
    lines = "\n".join(shown[:SERVED_SHOWN]) + ("\n…" if len(shown) > SERVED_SHOWN else "")
    if found:
        raise BadInput(f"{name!r} may mean several flows", code="ambiguous", hint=lines)
    raise NotFound(
        f"no worker serves a flow {name!r}", code="no_such_program",
        hint=f"served are:\n{lines}" if handlers else "none is served: outlast flow worker FILE, or name file.py:name",
    )  # fmt: skip
