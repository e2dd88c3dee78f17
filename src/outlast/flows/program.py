"""Programs: coroutine functions that run as flows, and the functions that are their steps."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

import msgspec

from outlast.core.errors import BadInput
from outlast.flows.retrying import Retry, Span, seconds_of

if TYPE_CHECKING:
    from outlast.flows.context import FlowContext

P = ParamSpec("P")
R = TypeVar("R")
NAME_MAX = 200
"""Characters of the name of a step or flow."""

current: ContextVar[FlowContext | None] = ContextVar("outlast_flow", default=None)
"""The flow that runs here; None outside of flows, and inside their steps."""


def check_name(name: str) -> str:
    """Return the name of a step. Raises ValueError for one that could not be told from others."""
    if not name or len(name) > NAME_MAX or not name.isprintable() or "#" in name:
        raise ValueError(f"a step's name is 1 to {NAME_MAX} printable characters without '#', not {name!r}")
    return name


class StepFunction(Generic[P, R]):
    """A function that is a step when a flow calls it, and itself when anybody else does. Made by `step`."""

    def __init__(self, fn: Callable[P, R], name: str | None, retry: Retry | None, timeout: Span | None) -> None:
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.name = check_name(name or fn.__name__)
        self.retry = retry
        self.timeout = None if timeout is None else seconds_of(timeout)
        self.is_async = inspect.iscoroutinefunction(fn)
        self._returns: Any = _UNKNOWN

    @property
    def returns(self) -> Any:
        """What the function says it returns, None where it does not say."""
        if self._returns is _UNKNOWN:
            self._returns = returned_by(self.fn)
        return self._returns

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run as a step of the flow that calls, or plainly where none does."""
        flow = current.get()
        if flow is None:
            return self.fn(*args, **kwargs)
        return cast(R, flow.call(self, args, kwargs))


_UNKNOWN = object()


def returned_by(fn: Callable[..., Any]) -> Any:
    """Return the type a function says it returns, None where it does not say or the name is not known."""
    try:
        hints = typing.get_type_hints(inspect.unwrap(fn))
    except Exception:  # names that exist for type checkers only
        return None
    kind = hints.get("return")
    return None if kind is type(None) else kind


@overload
def step(fn: Callable[P, R], /) -> StepFunction[P, R]: ...
@overload
def step(
    *, name: str | None = None, retry: Retry | None = None, timeout: Span | None = None
) -> Callable[[Callable[P, R]], StepFunction[P, R]]: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Span | None = None,
) -> Any:
    """Make a function a step: called by a flow, its result is put on record and it never runs again.

    Coroutine functions run in the worker's loop, others in threads of their own; a flow awaits both. ``timeout`` is
    the longest one attempt may take. A worker that dies while a step runs has it run once more.
    """

    def made(function: Callable[..., Any]) -> StepFunction[..., Any]:
        return StepFunction(function, name, retry, timeout)

    return made if fn is None else made(fn)


class FlowFunction(Generic[P, R]):
    """A coroutine function that runs as a flow. Made by `flow`; called by a flow, it runs as a sub-flow of it."""

    def __init__(self, fn: Callable[..., Any], name: str | None, **rules: Any) -> None:
        functools.update_wrapper(self, fn)
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(f"a flow is a coroutine function: write async def {fn.__name__}(ctx, …)")
        if not list(inspect.signature(fn).parameters):
            raise TypeError(f"a flow takes its context first: write async def {fn.__name__}(ctx, …)")
        self.fn = fn
        self.name = check_name(name or fn.__name__)
        self.retry: Retry | None = rules["retry"]
        self.deadline = None if rules["deadline"] is None else seconds_of(rules["deadline"])
        self.priority: int = rules["priority"]
        self.concurrency_key: str | Callable[..., str] | None = rules["concurrency_key"]
        self.concurrency_max: int = rules["concurrency_max"]
        self.handler = handler_of(fn)

    @property
    def returns(self) -> Any:
        """What the function says it returns."""
        return returned_by(self.fn)

    def key_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        """Return the concurrency key of a start with these arguments."""
        key = self.concurrency_key
        return key if key is None or isinstance(key, str) else key(*args, **kwargs)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run as a sub-flow. Raises RuntimeError outside of a flow."""
        flow = current.get()
        if flow is None:
            raise RuntimeError(
                f"{self.name} is a flow: start it with outlast.open() or `outlast flow run`, or call it from a flow"
            )
        return cast(R, flow.flow(self.name, self, *args, **kwargs))

    async def run(self, context: FlowContext, given: Mapping[str, Any]) -> Any:
        """Run the program with what is on record of its start. Raises BadInput for arguments that do not fit."""
        args, kwargs = bind(self.fn, given)
        return await self.fn(context, *args, **kwargs)


def bind(fn: Callable[..., Any], given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a start as the function wants them, by its annotations. Raises BadInput."""
    signature, hints = _wanted(fn)
    loose = bool(given.get("text"))
    try:
        bound = signature.bind(None, *given.get("args", ()), **given.get("kwargs", {}))
    except TypeError as error:
        raise BadInput(f"{fn.__name__}: {error}", code="bad_arguments", hint=f"it takes {_shown(signature)}") from None
    names = list(signature.parameters.values())
    for parameter in names[1:]:
        if parameter.name in bound.arguments and parameter.name in hints:
            bound.arguments[parameter.name] = _fitted(
                bound.arguments[parameter.name], hints[parameter.name], parameter, loose=loose
            )
    return list(bound.args)[1:], bound.kwargs


@functools.lru_cache(1024)
def _wanted(fn: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return what a function takes, and of which types as far as they are known."""
    try:
        hints = typing.get_type_hints(fn)
    except Exception:  # names that exist for type checkers only
        hints = {}
    return inspect.signature(fn), hints


def _fitted(value: Any, kind: Any, parameter: inspect.Parameter, *, loose: bool) -> Any:
    try:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(msgspec.convert(one, kind, strict=not loose) for one in value)
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return {name: msgspec.convert(one, kind, strict=not loose) for name, one in value.items()}
        return msgspec.convert(value, kind, strict=not loose)
    except msgspec.ValidationError as error:
        raise BadInput(f"{parameter.name}: {error}", code="bad_arguments") from None
    except TypeError:
        return value  # an annotation that says nothing about JSON


def _shown(signature: inspect.Signature) -> str:
    return "(" + ", ".join(str(one) for one in list(signature.parameters.values())[1:]) + ")"


@overload
def flow(fn: Callable[Concatenate[Any, P], R], /) -> FlowFunction[P, R]: ...
@overload
def flow(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    deadline: Span | None = None,
    priority: int = 0,
    concurrency_key: str | Callable[..., str] | None = None,
    concurrency_max: int = 1,
) -> Callable[[Callable[Concatenate[Any, P], R]], FlowFunction[P, R]]: ...
def flow(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    deadline: Span | None = None,
    priority: int = 0,
    concurrency_key: str | Callable[..., str] | None = None,
    concurrency_max: int = 1,
) -> Any:
    """Make a coroutine function a flow. Its first parameter is the `FlowContext`.

    ``retry`` runs the flow again after a failure, finished steps excepted. ``deadline`` is how long it may take in
    all. Higher ``priority`` starts first. Of flows with the same ``concurrency_key`` (text, or a function of the
    arguments) at most ``concurrency_max`` are under way; others wait their turn.
    """

    def made(function: Callable[..., Any]) -> FlowFunction[..., Any]:
        return FlowFunction(
            function, name, retry=retry, deadline=deadline, priority=priority, concurrency_key=concurrency_key,
            concurrency_max=concurrency_max,
        )  # fmt: skip

    return made if fn is None else made(fn)


def handler_of(fn: Callable[..., Any]) -> str:
    """Return what a function's flows are known by: ``module:name``, or ``/path/file.py:name`` for a file."""
    module = sys.modules.get(fn.__module__)
    place = getattr(module, "__outlast_source__", None)
    if place is None and fn.__module__ == "__main__":
        file = getattr(module, "__file__", None)
        place = None if file is None else os.path.realpath(file)
    return f"{place or fn.__module__}:{fn.__qualname__}"
