"""What can be known of an expression before anything runs: that all it names is there, and has ended by then."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from outlast.flows.files.definition import Agent, Approval, Command, Step, Wait
from outlast.flows.files.evaluate import STATUSES
from outlast.flows.files.expressions import Comparison, Constant, Reference
from outlast.flows.files.graph import Graph
from outlast.flows.files.problems import Problems, shown
from outlast.flows.files.steps import Draft
from outlast.flows.files.values import Use


class Known(NamedTuple):
    """What expressions may name."""

    graph: Graph
    steps: Mapping[str, Step]
    args: Collection[str]
    env: Collection[str]


def check_uses(uses: list[Use], known: Known, broken: frozenset[str], problems: Problems) -> None:
    """Note every reference that leads nowhere. ``broken`` are ids of steps that could not be read."""
    for use in uses:
        for reference in use.expression.references:
            if reference.name not in broken:
                _check(use, reference, known, problems)
        for comparison in use.expression.comparisons:
            _check_status(use, comparison, problems)


def _check(use: Use, reference: Reference, known: Known, problems: Problems) -> None:
    if use.early and reference.root != "args":
        problems.add(use.place, f"{reference.root} is not known here: this is filled in before the flow begins")
        return
    match reference.root:
        case "item" | "index":
            if not use.item:
                problems.add(use.place, f"{reference.root} is only known inside a step with for_each")
        case "args":
            _check_name(use, reference, known.args, "argument", problems)
        case "env":
            _check_name(use, reference, known.env, "variable in the flow's env", problems)
        case "steps":
            _check_step(use, reference, known, problems)


def _check_name(use: Use, reference: Reference, known: Collection[str], what: str, problems: Problems) -> None:
    if reference.name and reference.name not in known:
        near = problems.suggestion(reference.name, known)
        problems.add(use.place, f"there is no {what} {shown(reference.name)}{near}")


def _check_step(use: Use, reference: Reference, known: Known, problems: Problems) -> None:
    name = reference.name
    if name not in known.graph.bits:
        near = problems.suggestion(name, known.graph.bits)
        problems.add(use.place, f"there is no step {shown(name)}{near}")
    elif use.step is None and not known.graph.is_ordinary(name):
        problems.add(use.place, f"{name} is only run when another step fails: it has no output for the flow")
    elif use.step is not None and not _is_before(name, use.step, known.graph):
        problems.add(use.place, f"{name} may not have ended when {use.step} begins: put it into needs")
    elif name in known.steps and not reference.lenient:
        _check_part(use, reference, known.steps[name], problems)


def _is_before(name: str, step: str, graph: Graph) -> bool:
    owner, _, inline = step.partition(":")
    if owner not in graph.before:
        return True  # the step could not be read: that is problem enough
    return (bool(inline) and name == owner) or graph.is_before(name, owner)


def _check_part(use: Use, reference: Reference, step: Step, problems: Problems) -> None:
    act = step.act
    if step.for_each is not None and reference.part in ("approved", "stdout", "exit_code"):
        problems.add(use.place, f"{reference.name} is done for a list: it has output (a list) and status")
        return
    asks = isinstance(act, Approval) or (isinstance(act, Command) and act.ask is not None)
    if reference.part == "approved" and not asks:
        problems.add(use.place, f"{reference.name} asks nobody: only an approval has approved")
    if isinstance(act, Agent) and reference.part == "stdout":
        return
    if reference.part in ("stdout", "exit_code") and not isinstance(act, Command):
        problems.add(use.place, f"{reference.name} runs no command: only one that does has {reference.part}")


def check_signals(drafts: list[Draft], graph: Graph, problems: Problems) -> None:
    """Note signals that could not be told apart: a signal is awaited under its own name, among those of the steps."""
    waits: dict[str, str] = {}
    for draft in drafts:
        act = draft.step.act
        if not isinstance(act, Wait):
            continue
        place = draft.place.entries["wait"].value
        if act.signal in graph.bits and act.signal != draft.step.id:
            problems.add(place, f"the signal {act.signal} is called like another step: rename one of them")
        other = waits.setdefault(act.signal, draft.step.id)
        if other != draft.step.id:
            problems.add(place, f"{other} waits for {act.signal} already: give each wait a signal of its own")


def _check_status(use: Use, comparison: Comparison, problems: Problems) -> None:
    """A misspelled status would simply never be the one."""
    sides = (comparison.left, comparison.right)
    about = any(isinstance(side, Reference) and side.part == "status" for side in sides)
    for side in sides:
        if about and comparison.operator != "in" and isinstance(side, Constant) and side.value not in STATUSES:
            near = problems.suggestion(str(side.value), STATUSES)
            problems.add(use.place, f"{side.value!r} is no status{near}: there are {', '.join(STATUSES)}")
