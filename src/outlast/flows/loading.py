"""Programs from their source: a Python file, or a module by its name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterable

from outlast.core.errors import BadInput, NotFound
from outlast.flows.program import FlowFunction


def split_target(target: str) -> tuple[str, str | None]:
    """Return the source and the name of ``release.py:release`` or ``pkg.mod:release``; the name may be left out."""
    source, colon, name = target.rpartition(":")
    if not colon:
        source, name = target, ""
    if is_file(source):
        source = os.path.realpath(os.path.expanduser(source))
    return source, name or None


def is_file(source: str) -> bool:
    """True for a source that is a path rather than the name of a module."""
    return source.endswith(".py") or os.sep in source


def load(source: str) -> types.ModuleType:
    """Import a source, once. Raises BadInput where that fails: what it raised is in the sentence."""
    try:
        if not is_file(source):
            return importlib.import_module(source)
        path = os.path.realpath(os.path.expanduser(source))
        name = "outlast_flow_" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        if name in sys.modules:
            return sys.modules[name]
        return _load_file(path, name)
    except (KeyboardInterrupt, BadInput):
        raise
    except BaseException as error:
        raise BadInput(
            f"{source} cannot be loaded: {type(error).__name__}: {error}", code="bad_program",
            hint=f"python {source} shows it in full" if is_file(source) else None,
        ) from error  # fmt: skip


def _load_file(path: str, name: str) -> types.ModuleType:
    if not os.path.isfile(path):
        raise BadInput(f"there is no file {path}", code="bad_program")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file", code="bad_program", hint="its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__outlast_source__"] = path
    sys.modules[name] = module
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as Python itself does for a script
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def flows_of(module: types.ModuleType) -> dict[str, FlowFunction[..., object]]:
    """Return the flows a module defines or brings, by handler."""
    found = [value for value in vars(module).values() if isinstance(value, FlowFunction)]
    return {function.handler: function for function in found}


def programs_of(sources: Iterable[str]) -> dict[str, FlowFunction[..., object]]:
    """Return all flows of some sources, by handler. Raises BadInput."""
    found: dict[str, FlowFunction[..., object]] = {}
    for source in sources:
        of_source = flows_of(load(source))
        if not of_source:
            raise BadInput(f"{source} defines no flow", code="bad_program", hint="decorate one: @outlast.flow")
        found |= of_source
    return found


def find(target: str) -> FlowFunction[..., object]:
    """Return the flow a target names; the only one of its source where it names none. Raises BadInput, NotFound."""
    source, name = split_target(target)
    known = programs_of([source])
    fitting = [one for one in known.values() if name in (None, one.name, one.handler.rpartition(":")[2])]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(one.name for one in known.values()))
    if not fitting:
        raise NotFound(f"{source} defines no flow {name!r}", hint=f"it defines: {names}")
    raise BadInput(f"{source} defines several flows", code="ambiguous", hint=f"name one of: {names}")
