"""Values of flows that are too large for a row: where they are kept, read back on request, forgotten with them."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import msgspec
from msgspec.structs import replace

from outlast.api.context import Api
from outlast.api.flow_results import value_of
from outlast.config import Config
from outlast.core.flow import Flow
from outlast.flows.errors import NotStorable
from outlast.flows.values import InFiles

SHOWN_MAX = 16 * 1024 * 1024
"""Bytes of a value that is read back; a larger one is answered as the reference that is on record."""


def values_place(config: Config) -> str:
    """Return the directory of values that are too large for a row."""
    return os.path.join(config.paths.home, "values")


def in_files(config: Config) -> InFiles | None:
    """Return what keeps large values in files; None where they are in the rows, because several nodes share them."""
    return None if config.store_url.startswith("postgres") else InFiles(values_place(config))


async def whole(api: Api, flow: Flow, text: str | None) -> Any:  # noqa: ANN401 — whatever JSON can hold
    """Return a value of a flow, also one that is kept in a file."""
    value = value_of(text)
    files = in_files(api.config)
    if files is None or not isinstance(value, dict) or not isinstance(value.get("$file"), str):
        return value
    size = value.get("size")
    if not isinstance(size, int) or size > SHOWN_MAX:
        return value
    owner = str((await api.store.flow_input(flow.id)).get("values") or flow.id)
    try:
        return msgspec.json.decode(await asyncio.to_thread(files.get, owner, value["$file"]))
    except (NotStorable, msgspec.DecodeError):
        return value


async def with_result(api: Api, flow: Flow, answer: Any) -> Any:  # noqa: ANN401 — a FlowResult, or more than one
    """Return an answer about a flow with its result read back."""
    if flow.result is None or '"$file"' not in flow.result[:20]:
        return answer
    return replace(answer, result=await whole(api, flow, flow.result))


async def take_over(api: Api, flow: Flow, new_id: str) -> None:
    """Give a flow that is about to be made of another one the large values of that one."""
    files = in_files(api.config)
    if files is not None:
        owner = str((await api.store.flow_input(flow.id)).get("values") or flow.id)
        await asyncio.to_thread(files.copy, owner, new_id)


async def forget(config: Config, flow_ids: list[str]) -> None:
    """Forget the large values of flows that are forgotten."""
    files = in_files(config)
    if files is not None:
        await asyncio.to_thread(_forget, files, flow_ids)


def _forget(files: InFiles, flow_ids: list[str]) -> None:
    for flow_id in flow_ids:
        files.forget(flow_id)
