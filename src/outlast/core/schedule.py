"""A schedule as data, and which of its instants are due. Moments are seconds since the epoch (UTC).

The *nominal* instants of a schedule come from its rule and never depend on when somebody looks. A schedule carries one
cursor, ``next_at``: every instant before it is settled (it was fired, or counted as missed), every instant from it on
is not. `plan` says what to do now and where the cursor goes; whoever records the firings moves the cursor in the same
transaction (`settle`). So an instant is settled once and only once: after a restart, on several nodes, and when the
clock is set back, which leaves the cursor where it is and makes nothing due before the clock has caught up.

An instant may be started up to `LATE_SECONDS` after its moment and is then simply late. Beyond that it was missed, and
the schedule's misfire policy decides: after three days of sleep, after a clock that jumped ahead, after anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec

from outlast.core.durations import DURATION_MAX
from outlast.core.errors import BadInput

LATE_SECONDS = 60.0
"""How long after its moment an instant may start and still be on time."""

WALK_MAX = 1000
"""After an absence at most about this many instants are gone through one by one; see `Missed.exact`."""

MISFIRE_ALL_MAX = 100
"""The largest N of ``all:N``."""

FAILURES_MAX = 10
"""Failures in a row that disable a schedule."""

EVERY_MIN, EVERY_MAX = 1.0, DURATION_MAX
"""Bounds of a period, in seconds."""

JITTER_MAX = 86_400.0
"""The longest jitter, in seconds."""

NAME_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Following = Callable[[float], float | None]
"""The rule of a schedule as a function: its first nominal instant strictly after a moment, None when none is left."""

_Firing = tuple[float, float]  # a nominal instant, and the moment at which it fires


class Kind(StrEnum):
    """How the instants are given: one moment, a period, or a cron expression."""

    AT = "at"
    EVERY = "every"
    CRON = "cron"


class Misfire(StrEnum):
    """What becomes of missed instants: none is made up for, the latest is, or up to ``misfire_max`` of the latest."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What an instant does while the one before it still runs."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"
    ALLOW = "allow"


class Deliver(StrEnum):
    """Who is told how a run ended."""

    NONE = "none"
    ANNOUNCE = "announce"
    WEBHOOK = "webhook"


class CommandPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind", tag="command"):
    """Run a command: ``command`` by the shell, or ``argv`` without one; exactly one of the two is given."""

    command: str | None = None
    argv: tuple[str, ...] | None = None
    workdir: str | None = None
    env: dict[str, str] = {}
    stdin: str | None = None


class EventPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind", tag="event"):
    """Put a system event into a conversation."""

    conversation: str
    text: str


class FlowPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind", tag="flow"):
    """Start a flow: the program that ``handler`` names, or the flow file that ``definition`` was made of.

    ``flow`` is what it was called when the schedule was made; ``arguments`` are texts, as of a command line.
    """

    flow: str
    handler: str | None = None
    definition: dict[str, Any] | None = None
    arguments: dict[str, str] = {}
    workdir: str | None = None
    env: dict[str, str] = {}


class AgentPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="kind", tag="agent"):
    """Give an agent a turn, in ``conversation``; None: each instant has a fresh one of its own."""

    agent: str
    message: str
    conversation: str | None = None
    workdir: str | None = None
    env: dict[str, str] = {}


Payload = CommandPayload | EventPayload | FlowPayload | AgentPayload


class Unreadable(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="unreadable"):
    """Stands for the payload of a row that cannot be read: why, and its columns as they are, lest anything be lost."""

    why: str
    columns: dict[str, str]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and how far it has come.

    ``expr`` is an ISO moment (`at`), seconds (`every`, counted from ``anchor_at``, else from ``created_at``) or the
    cron text, which is read in ``tz``. ``next_at`` is the first nominal instant that is not settled, ``next_fire_at``
    the same with its jitter; both are None when none is left or while the schedule is paused or disabled. ``last_at``
    is the latest settled instant.
    """

    id: str
    name: str
    requester: str
    created_at: float
    updated_at: float
    kind: Kind
    expr: str
    payload: Payload | Unreadable
    revision: int = 1
    conversation: str | None = None
    tz: str = "UTC"
    anchor_at: float | None = None
    misfire: Misfire = Misfire.ONCE
    misfire_max: int = 1
    overlap: Overlap = Overlap.SKIP
    jitter_seconds: float = 0.0
    retries: int = 0
    timeout_seconds: float | None = None
    deliver: Deliver = Deliver.NONE
    channel: str | None = None
    comment: str | None = None
    delete_after_run: bool = False
    paused_at: float | None = None
    disabled_at: float | None = None
    disabled_why: str | None = None
    next_at: float | None = None
    next_fire_at: float | None = None
    last_at: float | None = None
    failures: int = 0

    @property
    def active(self) -> bool:
        """True while instants come due."""
        return self.paused_at is None and self.disabled_at is None


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """Instants that passed and are not made up for.

    ``count`` is a lower bound where ``exact`` is False: after an absence of more than `WALK_MAX` instants those in
    the middle are passed over without being counted.
    """

    count: int
    first_at: float
    last_at: float
    exact: bool = True


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now: start ``fire`` (nominal instants, ascending), note ``missed``, then wait for ``next_fire_at``."""

    fire: tuple[float, ...] = ()
    missed: Missed | None = None
    next_at: float | None = None
    next_fire_at: float | None = None

    @property
    def settled_at(self) -> float | None:
        """The latest instant this plan settles, None when it settles none."""
        ends = [*self.fire[-1:], *([self.missed.last_at] if self.missed else [])]
        return max(ends, default=None)


def plan(schedule: Schedule, now: float, after: Following) -> Plan:
    """Return which instants of a schedule are to be fired at ``now``, which were missed, and where the cursor goes.

    ``after`` is the schedule's rule. Bounded: about `WALK_MAX` calls of it, and 30 times ``misfire_max`` after a
    longer absence. Instants up to ``last_at`` are never looked at again, whatever the cursor says.
    """
    moment = schedule.next_at
    if moment is None or not schedule.active:
        return Plan()
    if schedule.last_at is not None and moment <= schedule.last_at:
        moment = after(schedule.last_at)
    firings = _firings(schedule, moment, after)
    due, ahead = _take(firings, now, WALK_MAX)
    exact = True
    if len(due) == WALK_MAX:
        wanted = schedule.misfire_max if schedule.misfire is Misfire.ALL else 1
        # Jitter may make one of them on time after all, and one more is the last of those left out.
        start = _lookback(after, due[-1][0], now - LATE_SECONDS, wanted + 2)
        if start > due[-1][0]:
            exact, firings = False, _firings(schedule, after(start), after)
        rest, ahead = _take(firings, now, None)
        due += rest
    return _settled(schedule, due, now, exact, ahead)


def _take(firings: Iterator[_Firing], now: float, limit: int | None) -> tuple[list[_Firing], _Firing | None]:
    """Return the firings that are due, at most ``limit``, and the one after them when it was looked at."""
    due: list[_Firing] = []
    for firing in firings:
        if firing[1] > now:
            return due, firing
        due.append(firing)
        if len(due) == limit:
            break
    return due, None


def _firings(schedule: Schedule, moment: float | None, after: Following) -> Iterator[_Firing]:
    """Yield nominal instants from ``moment`` on, each with the moment at which it fires."""
    while moment is not None:
        following = after(moment)
        yield moment, moment + jitter_of(schedule, moment, following)
        moment = following


def _lookback(after: Following, low: float, high: float, count: int) -> float:
    """Return a moment from ``low`` on after which at least ``count`` instants come up to ``high``: the latest such
    moment to within a second, ``low`` itself when there are fewer.
    """
    late = high
    while late - low > 1.0:
        middle = (low + late) / 2
        moment: float | None = middle
        for _ in range(count):
            moment = after(moment) if moment is not None else None
        if moment is not None and moment <= high:
            low = middle
        else:
            late = middle
    return low


def _settled(schedule: Schedule, due: list[_Firing], now: float, exact: bool, ahead: _Firing | None) -> Plan:
    """Apply the misfire policy to what is due."""
    missed = [moment for moment, fires in due if now - fires > LATE_SECONDS]
    on_time = [moment for moment, _ in due[len(missed) :]]
    match schedule.misfire:
        case Misfire.SKIP:
            made_up = 0
        case Misfire.ONCE:
            made_up = 0 if on_time else 1
        case Misfire.ALL:
            made_up = schedule.misfire_max
    cut = max(0, len(missed) - made_up)
    left_out = missed[:cut]
    return Plan(
        fire=(*missed[cut:], *on_time),
        missed=Missed(count=cut, first_at=left_out[0], last_at=left_out[-1], exact=exact) if left_out else None,
        next_at=ahead[0] if ahead else None,
        next_fire_at=ahead[1] if ahead else None,
    )


def settle(schedule: Schedule, plan: Plan) -> Schedule:
    """Return the schedule with its cursor moved past what a plan settles: the row to write with the firings."""
    settled = plan.settled_at
    return msgspec.structs.replace(
        schedule,
        next_at=plan.next_at,
        next_fire_at=plan.next_fire_at,
        last_at=schedule.last_at if settled is None else settled,
    )


def begin(schedule: Schedule, now: float, after: Following) -> Schedule:
    """Return the schedule with its cursor on the first instant after ``now``: when it is added, edited or resumed.

    What passed while it was paused is neither fired nor missed, and nothing up to ``last_at`` comes again. The
    cursor is None when no instant is left, or while the schedule is paused or disabled.
    """
    moment = after(now if schedule.last_at is None else max(now, schedule.last_at)) if schedule.active else None
    fires = None if moment is None else moment + jitter_of(schedule, moment, after(moment))
    return msgspec.structs.replace(schedule, next_at=moment, next_fire_at=fires)


def passed(schedule: Schedule, now: float) -> bool:
    """Return whether the only moment of a schedule is over: resumed, it would never fire."""
    try:
        return schedule.kind is Kind.AT and parse_moment(schedule.expr) <= now
    except BadInput:
        return False


def counted(schedule: Schedule, succeeded: bool, now: float) -> Schedule:
    """Return the schedule after a run ended: `FAILURES_MAX` failures in a row disable it, a success starts anew."""
    failures = 0 if succeeded else schedule.failures + 1
    if failures < FAILURES_MAX or schedule.disabled_at is not None:
        return msgspec.structs.replace(schedule, failures=failures)
    return disabled(msgspec.structs.replace(schedule, failures=failures), f"{failures} failures in a row", now)


def disabled(schedule: Schedule, why: str, now: float) -> Schedule:
    """Return the schedule switched off for a reason: nothing of it comes due until somebody resumes it."""
    return msgspec.structs.replace(schedule, disabled_at=now, disabled_why=why, next_at=None, next_fire_at=None)


def jitter_of(schedule: Schedule, moment: float, following: float | None) -> float:
    """Return the delay of an instant in seconds, 0 up to but not including ``jitter_seconds``.

    It depends on the schedule's id and the instant alone, so every node and every restart finds the same. It always
    stays short of the ``following`` instant: jitter never changes the order of firings.
    """
    span = schedule.jitter_seconds
    if span <= 0:
        return 0.0
    if following is not None:
        span = min(span, following - moment)
    drawn = blake2b(f"{schedule.id} {moment!r}".encode(), digest_size=6).digest()
    return math.floor(int.from_bytes(drawn, "big") / 2**48 * span * 1000) / 1000


def at_after(at: float, moment: float) -> float | None:
    """Return the one instant of an `at` schedule when it lies strictly after ``moment``."""
    return at if at > moment else None


def every_after(anchor: float, period: float, moment: float) -> float:
    """Return the first of ``anchor + period``, ``anchor + 2 * period`` … strictly after ``moment``, to the millisecond.

    Each instant is computed from the anchor, so nothing drifts and every restart finds the same numbers.
    """
    turn = max(1, math.floor((moment - anchor) / period))
    while (instant := round(anchor + turn * period, 3)) <= moment:
        turn += 1
    return instant


def format_moment(moment: float) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond: ``2026-12-01T09:00:00Z``."""
    when = _EPOCH + timedelta(milliseconds=round(moment * 1000))
    shown = when.isoformat(timespec="milliseconds" if when.microsecond else "seconds")
    return shown.removesuffix("+00:00") + "Z"


def parse_moment(text: str) -> float:
    """Read what `format_moment` wrote and return seconds since the epoch; anything else raises `BadInput`."""
    try:
        when = datetime.fromisoformat(text) if len(text) <= 40 and text.endswith("Z") else None
    except ValueError:
        when = None
    if when is None:
        raise BadInput(f"{text[:40]!r} is not an ISO moment in UTC", code="bad_moment", hint="2026-12-01T09:00:00Z")
    return (when - _EPOCH) // _MILLISECOND / 1000


def parse_misfire(text: str) -> tuple[Misfire, int]:
    """Read ``skip``, ``once`` or ``all:N`` (N from 1 to `MISFIRE_ALL_MAX`); the number is 1 for the first two."""
    if text in ("skip", "once"):
        return Misfire(text), 1
    number = re.fullmatch(r"all:([1-9][0-9]{0,2})", text)
    if number and int(number[1]) <= MISFIRE_ALL_MAX:
        return Misfire.ALL, int(number[1])
    raise BadInput(
        f"{text[:40]!r} is not a misfire policy", code="bad_misfire", hint=f"skip, once or all:N, N 1-{MISFIRE_ALL_MAX}"
    )


def check_name(name: str) -> str:
    """Return a schedule's name, or raise `BadInput`: ASCII letters, digits, ``. _ -``, at most `NAME_MAX` of them."""
    if len(name) <= NAME_MAX and _NAME.fullmatch(name):
        return name
    raise BadInput(
        f"{name[:40]!r} cannot be the name of a schedule",
        code="bad_name",
        hint=f"letters, digits, '.', '_' and '-', beginning with a letter or digit, at most {NAME_MAX}",
    )


def check_spans(schedule: Schedule) -> None:
    """Raise `BadInput` when a span or a number of a schedule is out of bounds."""
    checks = (
        (0 <= schedule.jitter_seconds <= JITTER_MAX, f"jitter is 0 to {JITTER_MAX:.0f} seconds"),
        (0 <= schedule.retries <= 100, "retries are 0 to 100"),
        (1 <= schedule.misfire_max <= MISFIRE_ALL_MAX, f"at most {MISFIRE_ALL_MAX} missed instants are made up for"),
        (
            schedule.timeout_seconds is None or 0 < schedule.timeout_seconds <= DURATION_MAX,
            "a time limit is more than 0 and at most 100 years",
        ),
    )
    for right, rule in checks:
        if not right:
            raise BadInput(rule, code="bad_range")
