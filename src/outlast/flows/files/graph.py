"""How steps hang together: who needs whom, which are only run after a failure, and that no circle is in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_, or_

import msgspec

from outlast.flows.files.definition import Step, Wait
from outlast.flows.files.problems import Problems, shown
from outlast.flows.files.steps import Draft


class Graph(msgspec.Struct, frozen=True):
    """The steps in the order of the file, and which ends before which.

    ``bits`` has one bit for each id, and ``before`` those of all that have ended when a step begins.
    """

    steps: tuple[Step, ...]
    bits: Mapping[str, int]
    before: Mapping[str, int]

    def is_ordinary(self, step_id: str) -> bool:
        """False for a step that is only run when another fails."""
        return any(step.id == step_id for step in self.steps)

    def is_before(self, earlier: str, later: str) -> bool:
        """True when one step has surely ended before another begins. Both are known ids."""
        return bool(self.before[later] & self.bits[earlier])


def connect(drafts: list[Draft], broken: frozenset[str], problems: Problems) -> Graph:
    """Put drafts together. ``broken`` are ids of steps that could not be read: naming them is no further problem."""
    by_id = _unique(drafts, problems)
    callers = _callers(by_id, broken, problems)
    needs = _needs(by_id, callers, broken, problems)
    order = _ordered(needs)
    _report_circles(needs, frozenset(order), by_id, problems)
    bits = {step_id: 1 << at for at, step_id in enumerate(by_id)}
    before = _before(order, needs, bits)
    for handler, names in callers.items():
        before[handler] = reduce(and_, (before.get(name, 0) | bits[name] for name in names))
    steps = [_finished(draft, needs, by_id) for draft in by_id.values() if draft.step.id in needs]
    return Graph(tuple(steps), bits, dict.fromkeys(by_id, 0) | before)


def _unique(drafts: list[Draft], problems: Problems) -> dict[str, Draft]:
    by_id: dict[str, Draft] = {}
    for draft in drafts:
        first = by_id.setdefault(draft.step.id, draft)
        if first is not draft:
            place = draft.place.entries["id"].value
            problems.add(place, f"the id {shown(draft.step.id)} is there twice: first in line {first.place.line}")
    return by_id


def _callers(by_id: Mapping[str, Draft], broken: frozenset[str], problems: Problems) -> dict[str, list[str]]:
    """Return the steps that are only run when others fail, each with these others."""
    callers: dict[str, list[str]] = {}
    for draft in by_id.values():
        for scalar in draft.handlers:
            handler = by_id.get(scalar.text)
            if handler is None:
                if scalar.text not in broken:
                    near = problems.suggestion(scalar.text, [*by_id, "continue", "fail"])
                    problems.add(scalar, f"there is no step {shown(scalar.text)} to be run on a failure{near}")
            elif handler is draft:
                problems.add(scalar, "a step cannot be run when it fails itself")
            elif draft.step.id not in callers.setdefault(scalar.text, []):
                callers[scalar.text].append(draft.step.id)
    for name in callers:
        _check_handler(by_id[name], callers[name], problems)
    return callers


def _check_handler(draft: Draft, callers: list[str], problems: Problems) -> None:
    why = f"{draft.step.id} is run when {callers[0]} fails, so it has no"
    for field in ("needs", "on_failure", "for_each", "when"):
        if field in draft.place.entries:
            problems.add(draft.place.entries[field].key, f"{why} {field}")
    if isinstance(draft.step.act, Wait):
        problems.add(draft.place, f"{draft.step.id} is run when {callers[0]} fails, so it cannot wait for a signal")


def _needs(
    by_id: Mapping[str, Draft], callers: Mapping[str, list[str]], broken: frozenset[str], problems: Problems
) -> dict[str, tuple[str, ...]]:
    """Return what each step needs; a step that says nothing needs the one before it."""
    needs: dict[str, tuple[str, ...]] = {}
    last: str | None = None
    for step_id, draft in by_id.items():
        if step_id in callers:
            continue
        if draft.needs is None:
            needs[step_id] = (last,) if last is not None else ()
        else:
            needs[step_id] = _named_needs(draft, by_id, callers, broken, problems)
        last = step_id
    return needs


def _named_needs(
    draft: Draft,
    by_id: Mapping[str, Draft],
    callers: Mapping[str, list[str]],
    broken: frozenset[str],
    problems: Problems,
) -> tuple[str, ...]:
    good: dict[str, None] = {}
    for scalar in draft.needs or ():
        if scalar.text in callers:
            problems.add(scalar, f"{scalar.text} is only run when {callers[scalar.text][0]} fails: nothing can need it")
        elif scalar.text in by_id:
            good[scalar.text] = None
        elif scalar.text not in broken:
            near = problems.suggestion(scalar.text, by_id)
            problems.add(scalar, f"there is no step {shown(scalar.text)}{near}")
    return tuple(good)


def _ordered(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the ids so that each stands after what it needs; those on or behind a circle are missing."""
    left = {step_id: len(names) for step_id, names in needs.items()}
    users: dict[str, list[str]] = {step_id: [] for step_id in needs}
    for step_id, names in needs.items():
        for name in names:
            users[name].append(step_id)
    order = [step_id for step_id, count in left.items() if count == 0]
    for step_id in order:  # grows while it is walked
        for user in users[step_id]:
            left[user] -= 1
            if left[user] == 0:
                order.append(user)
    return order


def _report_circles(
    needs: Mapping[str, tuple[str, ...]], ordered: frozenset[str], by_id: Mapping[str, Draft], problems: Problems
) -> None:
    """Walk from each step that never gets its turn until one comes up twice: that one is on a circle."""
    seen: set[str] = set()
    for start in needs:
        path: dict[str, int] = {}
        name = start
        while name not in ordered and name not in seen:
            seen.add(name)
            path[name] = len(path)
            name = next(need for need in needs[name] if need not in ordered)
        if name in path:
            _report_circle(list(path)[path[name] :], by_id, problems)


def _report_circle(circle: list[str], by_id: Mapping[str, Draft], problems: Problems) -> None:
    first = min(range(len(circle)), key=lambda at: by_id[circle[at]].place.line)
    circle = [*circle[first:], *circle[:first]]
    draft = by_id[circle[0]]
    place = next((scalar for scalar in draft.needs or () if scalar.text == circle[1 % len(circle)]), draft.place)
    names = [*circle[:8], *(["…"] if len(circle) > 8 else []), circle[0]]
    problems.add(place, f"steps wait for each other in a circle: {' needs '.join(names)}")


def _before(order: list[str], needs: Mapping[str, tuple[str, ...]], bits: Mapping[str, int]) -> dict[str, int]:
    before: dict[str, int] = {}
    for step_id in order:
        before[step_id] = reduce(or_, (before[name] | bits[name] for name in needs[step_id]), 0)
    return before


def _finished(draft: Draft, needs: Mapping[str, tuple[str, ...]], by_id: Mapping[str, Draft]) -> Step:
    named = {scalar.text: by_id[scalar.text] for scalar in draft.handlers if scalar.text in by_id}
    handlers = tuple(handler.step for handler in named.values() if handler is not draft)
    cleanup = draft.step.cleanup + handlers
    return msgspec.structs.replace(draft.step, needs=needs[draft.step.id], cleanup=cleanup)
