"""Approvals: what waits for an answer, and the answer.

The operator sees and decides all of them. Whoever asks sees his own and decides none of them: an agent must not
approve its own command. The configuration may name requesters that decide for others (``approvals.deciders``), and
may let everybody decide his own (``approvals.own``).
"""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

from msgspec.structs import replace

from outlast.api.approval_requests import ApprovalShowRequest, ApprovalsRequest, DecideRequest, LinkRequest
from outlast.api.approval_results import ApprovalPage, ApprovalResult, LinkResult, describe_approval
from outlast.api.context import Api, Caller, until
from outlast.api.links import link_for
from outlast.api.results import iso
from outlast.api.task_requests import check_text
from outlast.core import approval_text
from outlast.core.approval import Approval, ApprovalFilter, ApprovalKind, ApprovalStatus, Verdict
from outlast.core.approval_link import Grant, May
from outlast.core.errors import BadInput, Conflict, NotFound, Refused
from outlast.core.visible import visible_line
from outlast.ledger import approvals as ledger
from outlast.store.base import LIST_MAX

LIST_DEFAULT = 50
CANDIDATES_MAX = 10
LINK_SECONDS = 2 * 86_400.0
"""How long a link is good when nothing else is said; never longer than its approval waits."""
DECIDED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED, ApprovalStatus.CANCELLED)


# ---- who may


def is_decider(api: Api, caller: Caller) -> bool:
    """True for the operator, and for requesters the configuration lets decide for others."""
    return caller.operator or any(fnmatchcase(caller.requester, glob) for glob in api.config.approvals_deciders)


def may_see(api: Api, caller: Caller, approval: Approval) -> bool:
    """True when the approval is this caller's own, or he is one of those who decide."""
    return _is_own(caller, approval) or is_decider(api, caller)


def may_decide(api: Api, caller: Caller, approval: Approval) -> bool:
    """True for the operator; for others where they did not ask themselves, or the configuration lets them anyway."""
    if caller.operator:
        return True
    if _is_own(caller, approval):
        return api.config.approvals_own
    return is_decider(api, caller)


def _is_own(caller: Caller, approval: Approval) -> bool:
    """True for whoever asked, and for the agent that wants the leave."""
    return caller.requester in (approval.requester, approval.detail.get("conversation"))


async def find_approval(api: Api, caller: Caller, lookup: str) -> Approval:
    """Return what a lookup means: an id or a unique beginning of one.

    Raises NotFound, also for somebody else's, and BadInput (``ambiguous``) naming the candidates.
    """
    if not lookup.strip():
        raise BadInput("the name of an approval must not be empty")
    limit = CANDIDATES_MAX * 2 if is_decider(api, caller) else LIST_MAX
    found = await api.store.find_approvals(lookup, limit)
    own = [approval for approval in found if may_see(api, caller, approval)]
    if not own:
        raise NotFound(
            f"no approval {lookup!r}: not an id, nor the beginning of one", hint="outlast approvals lists them"
        )
    if len(own) == 1:
        return own[0]
    lines = [f"{one.id}  {one.status.value}  {visible_line(one.prompt, 80)}" for one in own]
    shown = "\n".join(lines[:CANDIDATES_MAX]) + ("\n…" if len(lines) > CANDIDATES_MAX else "")
    raise BadInput(f"{lookup!r} may mean several approvals", code="ambiguous", hint=shown)


def _described(api: Api, caller: Caller, approval: Approval, **more: Any) -> ApprovalResult:  # noqa: ANN401
    return describe_approval(approval, may_decide=may_decide(api, caller, approval), **more)


# ---- questions


async def list_approvals(api: Api, caller: Caller, request: ApprovalsRequest) -> ApprovalPage:
    """Return approvals, those that wait first; with ``timeoutMs`` wait for one to be asked."""
    check_text(None, request)
    statuses = _statuses(request.status)
    narrow = ApprovalFilter(
        statuses=statuses,
        kind=None if request.kind is None else ApprovalKind(request.kind),
        requester=request.owner if is_decider(api, caller) else caller.requester,
        flow_id=request.flow,
    )
    if not is_decider(api, caller) and request.owner not in (None, caller.requester):
        return ApprovalPage(approvals=[], next=None)
    if request.timeout_ms is not None:
        found, following = await _news(api, narrow, request.after, request.timeout_ms / 1000), None
    elif statuses:
        page = await api.store.list_approvals(narrow, request.limit or LIST_DEFAULT, request.cursor)
        found, following = page.approvals, page.next
    else:
        found, following = await _waiting_first(api, narrow, request.limit or LIST_DEFAULT, request.cursor)
    return ApprovalPage(approvals=[_described(api, caller, one) for one in found], next=following)


def _statuses(words: str | None) -> tuple[ApprovalStatus, ...]:
    found = []
    for word in (words or "").replace(",", " ").split():
        if word not in set(ApprovalStatus):
            raise BadInput(f"status: {word!r} is none of {', '.join(ApprovalStatus)}")
        found.append(ApprovalStatus(word))
    return tuple(dict.fromkeys(found))


async def _waiting_first(
    api: Api, narrow: ApprovalFilter, limit: int, cursor: str | None
) -> tuple[list[Approval], str | None]:
    """Return a page of what waits, then of what is decided; its cursor says in which of the two it is."""
    part, _, at = (cursor or "pending:").partition(":")
    if part not in ("pending", "decided"):
        raise BadInput(f"cursor: {cursor!r} is none of ours", code="bad_cursor", hint="pass on `next` as it came")
    found: list[Approval] = []
    if part == "pending":
        pending = replace(narrow, statuses=(ApprovalStatus.PENDING,))
        page = await api.store.list_approvals(pending, limit, at or None)
        found, at = page.approvals, ""
        if page.next is not None:
            return found, f"pending:{page.next}"
        if len(found) == limit:
            return found, "decided:"
    page = await api.store.list_approvals(replace(narrow, statuses=DECIDED), limit - len(found), at or None)
    return [*found, *page.approvals], None if page.next is None else f"decided:{page.next}"


async def _news(api: Api, narrow: ApprovalFilter, after: str | None, seconds: float) -> list[Approval]:
    """Wait for approvals that are asked after one; nothing when the time is over. Ids sort by time."""
    deadline = api.clock.monotonic() + seconds
    if after is None:
        newest = (await api.store.list_approvals(narrow, 1)).approvals
        after = newest[0].id if newest else ""
    while True:
        news = api.ledger.news.next_question()  # before looking, so that nothing falls between
        try:
            newest = (await api.store.list_approvals(narrow, 1)).approvals
            fresh = bool(newest) and newest[0].id > after
            found = (await api.store.list_approvals(narrow, LIST_MAX)).approvals if fresh else []
            found = [approval for approval in found if approval.id > after]
            left = deadline - api.clock.monotonic()
            if found or left <= 0 or api.stopping:
                return found
            await api.first(until(news), seconds=left)
        finally:
            news.cancel()


async def show(api: Api, caller: Caller, lookup: str, request: ApprovalShowRequest) -> ApprovalResult:
    """Return how one approval stands; ``whole`` with what is run as it is."""
    approval = await find_approval(api, caller, lookup)
    if not request.whole:
        return _described(api, caller, approval)
    caller.needs_operator("see what is run with its secrets")
    return _described(api, caller, approval, whole=await _whole(api, approval))


async def _whole(api: Api, approval: Approval) -> dict[str, Any]:
    """Return exactly what is run once it is approved. Raises NotFound (``not_kept``) where that is not on record."""
    payload = None if approval.task_id is None else await api.store.payload_of(approval.task_id)
    spec = None if payload is None else payload.get("spec")
    if not isinstance(spec, dict):
        raise NotFound(
            f"nothing more than is shown is on record of approval {approval.id}", code="not_kept",
            hint=f"outlast approvals show {approval.id}",
        )  # fmt: skip
    env = {name: spec["env"].get(name) for name in spec.get("env_names") or ()}
    return {
        "command": spec["command"], "argv": spec["argv"], "workdir": spec["cwd"], "env": env,
        "stdin": spec.get("stdin_text"), "path": spec["env"].get("PATH"),
    }  # fmt: skip


# ---- answers


async def approve(api: Api, caller: Caller, lookup: str, request: DecideRequest) -> ApprovalResult:
    """Approve: what waits goes on, exactly as it was asked."""
    return await _decide(api, caller, lookup, request, ApprovalStatus.APPROVED)


async def reject(api: Api, caller: Caller, lookup: str, request: DecideRequest) -> ApprovalResult:
    """Reject: a command that waits is cancelled, a flow goes on with the answer no."""
    return await _decide(api, caller, lookup, request, ApprovalStatus.REJECTED)


async def _decide(
    api: Api, caller: Caller, lookup: str, request: DecideRequest, status: ApprovalStatus
) -> ApprovalResult:
    approval = await find_approval(api, caller, lookup)
    _require_decider(api, caller, approval)
    verdict = Verdict(
        approval_id=approval.id,
        status=status,
        at=api.clock.now(),
        by=caller.requester,
        how=request.via or "http",
        note=request.note,
        revision=request.revision,
    )
    return _described(api, caller, await decide(api, verdict))


def _require_decider(api: Api, caller: Caller, approval: Approval) -> None:
    if not may_decide(api, caller, approval):
        raise Refused(
            f"{caller.requester} has asked for this itself: somebody else decides", code="own_approval",
            hint="the operator does, on the local socket and without naming a requester",
        )  # fmt: skip


async def decide(api: Api, verdict: Verdict) -> Approval:
    """Write an answer down. Raises Conflict that says who was first and how, NotFound for an approval that is gone."""
    decided = await ledger.decide(api.ledger, verdict)
    if decided is not None:
        api.books.look()  # what it lets go may have to wait for a moment of its own
        return decided
    approval = await up_to_date(api, verdict.approval_id)
    if approval is None:
        raise NotFound(f"no approval {verdict.approval_id!r}", hint="outlast approvals lists them")
    raise settled(approval, verdict.revision)


async def up_to_date(api: Api, approval_id: str) -> Approval | None:
    """Return an approval as it stands, expired by now where its time has passed; None for one that is not on record."""
    approval = await api.store.get_approval(approval_id)
    if approval is None or approval.status.final:
        return approval
    if approval.expires_at is not None and approval.expires_at <= api.clock.now():
        await ledger.expire(api.ledger, approval)
        return await api.store.get_approval(approval_id)
    return approval


def settled(approval: Approval, revision: int | None = None) -> Conflict:
    """Return why an approval takes no answer, in one sentence."""
    said = f"approval {approval.id} {approval_text.decided(approval)}"
    when = f" at {iso(approval.decided_at)}" if approval.decided_at is not None else ""
    hint = f"outlast approvals show {approval.id}"
    match approval.status:
        case ApprovalStatus.EXPIRED:
            return Conflict(f"{said}; that was{when}", code="expired", hint="ask again")
        case ApprovalStatus.CANCELLED:
            return Conflict(f"{said}{when}", code="cancelled", hint=hint)
        case ApprovalStatus.PENDING:
            message = f"approval {approval.id} is at revision {approval.revision} by now, not {revision}"
            return Conflict(message, hint=f"look again: {hint}")
        case ApprovalStatus.APPROVED | ApprovalStatus.REJECTED:
            return Conflict(f"{said}{when}", hint=hint)


# ---- links


def grant_for(api: Api, approval: Approval, may: May = "both", seconds: float | None = None) -> Grant:
    """Return what a link to an approval grants: for so many seconds, and never longer than it waits."""
    ends = api.clock.now() + (LINK_SECONDS if seconds is None else seconds)
    return Grant(may, math.ceil(ends if approval.expires_at is None else min(ends, approval.expires_at)))


async def make_link(api: Api, caller: Caller, lookup: str, request: LinkRequest) -> LinkResult:
    """Make a link by which somebody without the token may answer one approval. Making it changes nothing."""
    approval = await find_approval(api, caller, lookup)
    _require_decider(api, caller, approval)
    present = await up_to_date(api, approval.id)
    if present is None or present.status.final:
        raise settled(present or approval)
    grant = grant_for(api, present, request.may or "both", request.expires_seconds)
    return LinkResult(
        approval_id=present.id, url=link_for(api, present.id, grant), may=grant.may, expires_at=iso(grant.expires_at)
    )
