"""What a benchmark says: samples of each side, one figure made of them, and whether it keeps its promise.

No clock and no process in here, so that the arithmetic can be tested.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0..1) of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Side(NamedTuple):
    """One side of a comparison: every sample that was taken."""

    label: str
    values: Sequence[float]
    unit: str

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The value that all but one in a hundred keep to: above it for a time, below it for a rate."""
        return percentile(self.values, 0.01 if self.unit.endswith("/s") else 0.99)

    def line(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if len(self.values) == 1:
            return f"{self.label:<46} {number(self.values[0]):>12}{unit}"
        return (
            f"{self.label:<46} p50 {number(self.p50):>8}{unit}   p99 {number(self.p99):>8}{unit}   n {len(self.values)}"
        )


class Bound(NamedTuple):
    """A promise: at most or at least this much."""

    kind: Literal["at most", "at least"]
    limit: float

    def met(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at most" else value >= self.limit

    def text(self, unit: str) -> str:
        gap = "" if unit in ("", "×") else " "
        return f"{'≤' if self.kind == 'at most' else '≥'} {self.limit:,g}{gap}{unit}"


class Row(NamedTuple):
    """One figure: how it was taken, both its sides, what comes out, and the promise it is held to (or None)."""

    name: str
    title: str
    method: str
    sides: Sequence[Side]
    label: str
    value: float
    unit: str
    bound: Bound | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        return "met" if self.bound.met(self.value) else "missed"

    def text(self) -> str:
        lines = [f"{self.name}: {self.title}", f"  how: {self.method}"]
        lines += [f"  {side.line()}" for side in self.sides]
        result = f"  → {self.label}: {with_unit(self.value, self.unit)}"
        if self.note:
            result += f" ({self.note})"
        if self.bound is not None:
            result += f"   target {self.bound.text(self.unit)}   {self.verdict}"
        return "\n".join([*lines, result])

    def markdown(self) -> str:
        """One line of a table: what, both sides, figure, target, verdict."""
        sides = "; ".join(f"{s.label}: {_short(s)}" for s in self.sides)
        target = self.bound.text(self.unit) if self.bound else ""
        value = f"{self.label} **{with_unit(self.value, self.unit)}**"
        return f"| {self.title} | {sides} | {value} | {target} | {self.verdict} |"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "method": self.method,
            "sides": [
                {"label": s.label, "unit": s.unit, "n": len(s.values), "p50": s.p50, "p99": s.p99} for s in self.sides
            ],
            "figure": {"label": self.label, "value": self.value, "unit": self.unit},
            "target": self.bound._asdict() if self.bound else None,
            "verdict": self.verdict or None,
            "note": self.note or None,
        }


def _short(side: Side) -> str:
    unit = f" {side.unit}" if side.unit else ""
    if len(side.values) == 1:
        return f"{number(side.values[0])}{unit}"
    return f"{number(side.p50)} / {number(side.p99)}{unit}, n {len(side.values)}"


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(ours) / statistics.median(theirs)


def ratio_by_round(ours: Sequence[float], theirs: Sequence[float], rounds: int = 10) -> list[float]:
    """The ratio of medians in each of up to ``rounds`` consecutive parts of paired samples.

    What disturbs the machine disturbs both sides of the same round, so the spread says how far to trust the whole.
    """
    pairs = min(len(ours), len(theirs))
    rounds = max(1, min(rounds, pairs))
    edges = [i * pairs // rounds for i in range(rounds + 1)]
    return [ratio_of_medians(ours[a:b], theirs[a:b]) for a, b in itertools.pairwise(edges)]


def spread(values: Iterable[float]) -> str:
    ordered = sorted(values)
    return f"rounds {number(ordered[0])} to {number(ordered[-1])}"


def number(value: float) -> str:
    """Three digits that matter, no exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)}{unit if unit == '×' else f' {unit}' if unit else ''}"
