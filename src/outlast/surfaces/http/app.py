"""The HTTP face: every request is admitted, routed, answered as JSON, and never brings the gateway down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from outlast.api import decode
from outlast.api.acts import ACTS, Act, perform
from outlast.api.context import Api, Caller
from outlast.api.queries import OutputRange
from outlast.api.requests import StreamRequest
from outlast.api.task_requests import EventStreamRequest
from outlast.core.errors import BadInput, NotFound, OutlastError
from outlast.surfaces import tools
from outlast.surfaces.http import approval_page, events, openapi, stream, wire
from outlast.surfaces.http.auth import caller_of
from outlast.surfaces.http.routes import ROUTES, Row

log = logging.getLogger("outlast.http")
API = "outlast.api"
CALLER = "outlast.caller"
Serve = Callable[[Api, Scope, Receive, Send], Awaitable[None]]


class HttpApp:
    """The ASGI application over one Api. Its server puts a `wire.Connection` into ``scope["state"]``."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._router = Router([_route(api, row) for row in ROUTES], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        answer = wire.Answer(send)
        scope["app"] = self  # with it the router raises for an unknown path or method instead of answering itself
        scope["path"] = scope["raw_path"].decode("latin-1")  # a name may have a slash in it: decoded after the routing
        try:
            scope[CALLER] = _admit(scope)
            await self._router(scope, receive, answer)
        except wire.CallerLeft:
            return
        except OutlastError as error:
            await _fail(scope, answer, error)
        except HTTPException as error:
            await _reply_http(scope, answer, error)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            await _fail(scope, answer, _Internal("something went wrong inside the gateway", hint="see its log"))


class _Internal(OutlastError):
    """A fault of ours."""

    default_code = "internal"


async def _fail(scope: Scope, answer: wire.Answer, error: OutlastError) -> None:
    """Answer with an error. Once a body has begun it is left unfinished, and the server cuts the connection."""
    if answer.started:
        return
    if scope["path"].startswith(approval_page.PREFIX):
        await approval_page.fail(answer, error)
    else:
        await wire.reply_error(answer, error)


async def _reply_http(scope: Scope, answer: wire.Answer, error: HTTPException) -> None:
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        wrong = BadInput(
            f"{scope['method']} is not allowed on {scope['path']}", code="bad_method", hint=f"use {allowed}"
        )
        await wire.reply(answer, 405, wrong.as_dict(), (b"allow", allowed.encode()))
    else:
        await wire.reply_error(
            answer,
            NotFound(f"there is nothing at {scope['path']}", hint="GET /v1/openapi.json lists what there is"),
        )


def _admit(scope: Scope) -> Caller:
    headers = wire.header_map(scope)
    door = wire.connection_of(scope).door
    if scope["path"].startswith(approval_page.PREFIX):  # the token of the link is looked at there
        if door is not None:
            door.admit_link(headers, scope["method"])
        return Caller(approval_page.LINK, operator=False, remote=True)
    if door is not None:
        door.admit(headers)
    return caller_of(headers, remote=door is not None)


def _route(api: Api, row: Row) -> Route:
    special = _SPECIAL.get(row.act)
    endpoint: Any = _ActEndpoint(api, row, ACTS[row.act]) if special is None else _SpecialEndpoint(api, special)
    route = Route(row.path, endpoint, methods=[row.method], name=f"{row.method} {row.path}")
    route.methods = {row.method}  # not HEAD: following a session only to say nothing would last as long as it
    return route


def _session_name(scope: Scope) -> str | None:
    name = scope["path_params"].get("id")
    return None if name is None else unquote(name)


def _query(scope: Scope) -> list[tuple[str, str]]:
    text = scope["query_string"].decode("latin-1")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise BadInput("the query has too many fields") from None


class _ActEndpoint:
    """Decodes a request, performs its act, encodes the answer."""

    def __init__(self, api: Api, row: Row, act: Act) -> None:
        self._api = api
        self._row = row
        self._act = act

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        act = self._act
        if self._row.method == "POST":
            request = decode.from_json(await wire.read_body(scope, receive), act.request)
        else:
            request = decode.from_query(_query(scope), act.request)
        work = perform(self._api, scope[CALLER], act, _session_name(scope), request)
        result = await (wire.connection_of(scope).while_there(work) if act.may_wait else work)
        await wire.reply(send, 200, result)


class _SpecialEndpoint:
    """An endpoint whose answer is not one JSON object."""

    def __init__(self, api: Api, serve: Serve) -> None:
        self._api = api
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._serve(self._api, scope, receive, send)


async def _tool(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    call = decode.json_value(await wire.read_body(scope, receive))
    result = await wire.connection_of(scope).while_there(tools.call(api, scope[CALLER], call))
    await wire.reply(send, 200, result)


async def _output(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    act = ACTS["output"]
    request = decode.from_query(_query(scope), act.request)
    part = await perform(api, scope[CALLER], act, _session_name(scope), request)
    assert isinstance(part, OutputRange)
    omitted = ",".join(f"{span.start}-{span.end}" for span in part.omitted)
    await wire.start(
        send,
        200,
        (b"content-type", b"application/octet-stream"),
        (b"outlast-start", b"%d" % part.start),
        (b"outlast-end", b"%d" % part.end),
        (b"outlast-produced", b"%d" % part.produced),
        (b"outlast-omitted", omitted.encode()),
    )
    await wire.connection_of(scope).while_there(_send_chunks(send, part.chunks))


async def _send_chunks(send: Send, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        await wire.more(send, chunk)
        await asyncio.sleep(0)  # a fast reader must not keep everybody else waiting
    await wire.finish(send)


async def _stream(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    request = decode.from_query(_query(scope), StreamRequest)
    caller = scope[CALLER].acting_for(request.requester)
    session = await api.find(caller, _session_name(scope) or "")
    await stream.stream(api, session, request, wire.connection_of(scope), send)


async def _session_events(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    request = decode.from_query(_query(scope), StreamRequest)
    caller = scope[CALLER].acting_for(request.requester)
    session = await api.find(caller, _session_name(scope) or "")
    last_id = stream.last_event_id(wire.header_map(scope))
    await stream.session_events(api, session, request, last_id, wire.connection_of(scope), send)


async def _events(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    request = decode.from_query(_query(scope), EventStreamRequest)
    caller = scope[CALLER].acting_for(request.requester)
    last_id = stream.last_event_id(wire.header_map(scope))
    await events.all_events(api, caller, request, last_id, wire.connection_of(scope), send)


async def _openapi(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    await wire.reply(send, 200, openapi.document(api.gateway.facts.version))


_SPECIAL = {
    "tool": _tool,
    "output": _output,
    "stream": _stream,
    "session-events": _session_events,
    "events": _events,
    "openapi": _openapi,
    "approval-page": approval_page.show,
    "approval-answer": approval_page.answer,
}
