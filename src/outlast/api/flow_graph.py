"""The steps of a flow as a graph: what comes after what, as data, as a tree of text, as Mermaid.

A flow file says what needs what. A program does not: there one step comes after another when it began after that one
had ended, and steps that ran beside each other share a stage.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from outlast.api.context import Api, Caller
from outlast.api.flow_lookup import may_see_flow
from outlast.api.flow_results import FlowGraph, GraphEdge, GraphNode, refs_of
from outlast.core.durations import format_duration
from outlast.core.flow import Flow, FlowMode, StepKind, StepRow
from outlast.store.base import LIST_MAX

STEPS_MAX = 1_000
"""Steps of one flow that are drawn; the first ones."""
DEPTH_MAX = 3
"""Generations of flows drawn below each other."""
NOT_BEGUN = "not_begun"
LABEL_MAX = 60
_COLOURS = {
    "succeeded": "fill:#dfd,stroke:#4a4", "failed": "fill:#fdd,stroke:#a44", "timed_out": "fill:#fdd,stroke:#a44",
    "lost": "fill:#fdd,stroke:#a44", "running": "fill:#ddf,stroke:#44a", "cancelled": "fill:#eee,stroke:#888",
    NOT_BEGUN: "fill:#fff,stroke:#bbb,stroke-dasharray:4",
}  # fmt: skip


class Node(NamedTuple):
    """A step on its way into the graph; ``row`` is None for one that has not begun."""

    key: str
    kind: str
    needs: tuple[str, ...]
    row: StepRow | None


async def draw(api: Api, caller: Caller, flow: Flow, how: Literal["text", "mermaid", "json"]) -> FlowGraph:
    """Return the graph of a flow, drawn as it is asked for."""
    nodes = await _nodes(api, flow)
    stages = _stages(nodes)
    now = api.clock.now()
    text = None
    if how == "text":
        text = "\n".join(await _tree(api, caller, flow, now, DEPTH_MAX)) + "\n"
    elif how == "mermaid":
        text = _mermaid(flow, nodes)
    return FlowGraph(
        flow_id=flow.id,
        name=flow.name,
        status=flow.status.value,
        nodes=[_described(node, stages[node.key], now) for node in nodes],
        edges=[GraphEdge(source=need, target=node.key) for node in nodes for need in node.needs],
        text=text,
    )


def _described(node: Node, stage: int, now: float) -> GraphNode:
    row = node.row
    refs = {"task_id": None, "child_id": None, "approval_id": None} if row is None else refs_of(row)
    return GraphNode(
        key=node.key, kind=node.kind, status=_status(node), stage=stage,
        duration_ms=None if row is None else max(0, round(((row.ended_at or now) - row.started_at) * 1000)),
        **refs,
    )  # fmt: skip


def _status(node: Node) -> str:
    return NOT_BEGUN if node.row is None else node.row.status.value


async def _nodes(api: Api, flow: Flow) -> list[Node]:
    rows = [row for row in await api.store.steps_of(flow.id, -1, STEPS_MAX) if row.kind is not StepKind.PATCH]
    if flow.mode is FlowMode.FILE:
        defined = _defined((await api.store.flow_input(flow.id)).get("definition"))
        if defined:
            return _of_file(defined, rows)
    return _of_program(rows)


def _defined(definition: object) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the steps of a flow file by id: what kind each is, and what it needs."""
    steps = definition.get("steps") if isinstance(definition, Mapping) else None
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping) and isinstance(step.get("id"), str):
            needs = step.get("needs") or ()
            found[step["id"]] = (_kind_of(step), tuple(str(need) for need in needs))
    return found


def _kind_of(step: Mapping[str, Any]) -> str:
    act = step.get("act")
    word = act.get("type") if isinstance(act, Mapping) else None
    return {"wait": "signal"}.get(str(word), str(word or "run"))


def _of_file(defined: Mapping[str, tuple[str, tuple[str, ...]]], rows: Sequence[StepRow]) -> list[Node]:
    """Return the nodes of a file's steps; what a ``for_each`` made of one stands for it, under their own keys."""
    begun: dict[str, list[StepRow]] = {step: [] for step in defined}
    others: list[StepRow] = []
    for row in rows:
        begun.get(_step_of(row.key), others).append(row)
    keys = {step: [row.key for row in found] or [step] for step, found in begun.items()}
    nodes = []
    for step, (kind, needs) in defined.items():
        after = tuple(key for need in needs for key in keys.get(need, ()))
        nodes += [Node(row.key, row.kind.value, after, row) for row in begun[step]] or [Node(step, kind, after, None)]
    return [*nodes, *(Node(row.key, row.kind.value, (), row) for row in others)]


def _step_of(key: str) -> str:
    """Return the id of the step of a file that a key belongs to: ``each[3]`` and ``each#2`` are steps of ``each``."""
    return key.partition("#")[0].partition("[")[0]


def _of_program(rows: Sequence[StepRow]) -> list[Node]:
    nodes = []
    ending: list[tuple[float, int]] = []  # steps that were begun, by their end
    before: list[StepRow] = []  # of those that have ended: the ones no other one has come after
    latest = 0.0
    for index, row in enumerate(rows):
        while ending and ending[0][0] <= row.started_at:
            ended = rows[heapq.heappop(ending)[1]]
            latest = max(latest, ended.started_at)
            before.append(ended)
        # Whatever ended before another of them began is behind that one, now and for good.
        before = [one for one in before if (one.ended_at or 0.0) > latest or one.started_at == latest]
        nodes.append(Node(row.key, row.kind.value, _last_of_each_moment(before), row))
        if row.ended_at is not None:
            heapq.heappush(ending, (row.ended_at, index))
    return nodes


def _last_of_each_moment(rows: Sequence[StepRow]) -> tuple[str, ...]:
    """Return keys of steps, leaving out those that took no time and were followed at the same moment by another."""
    latest = {row.started_at: row.seq for row in sorted(rows, key=lambda row: row.seq)}
    kept = [row for row in rows if row.ended_at != row.started_at or row.seq == latest[row.started_at]]
    return tuple(row.key for row in kept)


def _stages(nodes: Sequence[Node]) -> dict[str, int]:
    """Return for each step how many others come before it on the longest way, from 1."""
    by_key = {node.key: node for node in nodes}
    stages: dict[str, int] = {}
    for node in nodes:
        waiting = [node.key]
        while waiting:
            key = waiting[-1]
            missing = [need for need in by_key[key].needs if need in by_key and need not in stages]
            if missing and len(waiting) <= len(nodes):
                waiting.append(missing[0])
                continue
            waiting.pop()
            stages[key] = 1 + max((stages.get(need, 0) for need in by_key[key].needs), default=0)
    return stages


# ---- drawn as text


async def _tree(api: Api, caller: Caller, flow: Flow, now: float, depth: int) -> list[str]:
    nodes = await _nodes(api, flow)
    stages = _stages(nodes)
    ordered = sorted(nodes, key=lambda node: stages[node.key])  # stable: as they were begun within a stage
    done = sum(_status(node) == "succeeded" for node in nodes)
    lines = [f"{flow.name}  {flow.id}  {flow.status.value}  {done} of {len(nodes)} steps"]
    children = {
        child.id: child for child in await api.store.child_flows(flow.id, LIST_MAX) if may_see_flow(caller, child)
    }
    width = max((len(_short(node.key)) for node in nodes), default=0)
    for index, node in enumerate(ordered):
        last = index == len(ordered) - 1
        number = str(stages[node.key]) if index == 0 or stages[ordered[index - 1].key] != stages[node.key] else ""
        lines.append(
            f"{'└─' if last else '├─'} {number:>3} {_short(node.key):<{width}}  {_standing(node, now)}".rstrip()
        )
        child = children.get(node.row.ref) if node.row is not None and node.row.ref else None
        if child is not None and depth > 0:
            indent = "       " if last else "│      "
            lines += [indent + line for line in await _tree(api, caller, child, now, depth - 1)]
    if len(nodes) >= STEPS_MAX:
        lines.append(f"   … the first {STEPS_MAX} steps")
    return lines


def _standing(node: Node, now: float) -> str:
    row = node.row
    if row is None:
        return f"{node.kind:<8}  not begun"
    spent = format_duration(max(0.0, (row.ended_at or now) - row.started_at))
    tries = f"  try {row.attempt}" if row.attempt > 1 else ""
    ref = f"  {row.ref}" if row.ref else ""
    return f"{node.kind:<8}  {row.status.value:<9}  {spent:>8}{tries}{ref}"


def _short(text: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= LABEL_MAX else shown[: LABEL_MAX - 1] + "…"


# ---- drawn as Mermaid


def _mermaid(flow: Flow, nodes: Sequence[Node]) -> str:
    names = {node.key: f"s{index}" for index, node in enumerate(nodes)}
    lines = ["flowchart TD"]
    for node in nodes:
        lines.append(
            f'    {names[node.key]}["{_escaped(node.key)}<br/>{node.kind}: {_status(node)}"]:::{_status(node)}'
        )
    lines += _edges(nodes, names)
    used = dict.fromkeys(_status(node) for node in nodes)
    lines += [f"    classDef {status} {_COLOURS.get(status, 'fill:#fff')}" for status in used]
    return "\n".join(lines) + "\n"


def _edges(nodes: Iterable[Node], names: Mapping[str, str]) -> list[str]:
    return [f"    {names[need]} --> {names[node.key]}" for node in nodes for need in node.needs if need in names]


def _escaped(text: str) -> str:
    """Return a label in which nothing means anything to Mermaid: all but letters, digits and a few marks as codes."""
    return "".join(
        char if char.isalnum() or char in " _-." else f"#{ord(char)};" for char in _short(text)
    )  # fmt: skip
