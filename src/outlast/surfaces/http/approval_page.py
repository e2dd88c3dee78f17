"""The page behind a signed link: a question, two buttons, and who decided once somebody has.

Whoever has the link may answer that one approval, without the gateway's token. Looking at it decides nothing: mail
programs and chats fetch links by themselves. The page loads nothing and runs no script; what others have written
stands in it as text, with everything spelled out that could hide.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from outlast.api.approvals import decide, up_to_date
from outlast.api.context import Api
from outlast.api.links import secret_at
from outlast.core import approval_text
from outlast.core.approval import NOTE_MAX, Approval, ApprovalStatus, Verdict
from outlast.core.approval_link import Grant, read_token
from outlast.core.errors import BadInput, Conflict, NotFound, OutlastError, Refused
from outlast.core.text import sound
from outlast.core.visible import visible
from outlast.surfaces.http import wire

PREFIX = "/approvals/"
"""What the paths of links begin with: they are let in without the token."""
LINK = "link"
"""Who and how a decision was made of which nothing more is known."""
FORM_MAX = 64 * 1024
_VERDICTS: dict[str, ApprovalStatus] = {"approve": ApprovalStatus.APPROVED, "reject": ApprovalStatus.REJECTED}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f4f4f2;color:#1b1b1a}"
    "main{max-width:44rem;margin:2rem auto;padding:1.5rem;background:#fff;border:1px solid #d9d9d4;border-radius:6px}"
    "h1{font-size:1.25rem;margin-top:0}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f2;padding:.75rem;border-radius:4px;max-height:60vh;"
    "overflow:auto}"
    "dt{color:#666;float:left;clear:left;width:8rem}dd{margin:0 0 .25rem 8rem;overflow-wrap:anywhere}"
    "textarea{width:100%;box-sizing:border-box;font:inherit;min-height:4rem}"
    "button{font:inherit;padding:.5rem 1.5rem;margin:.75rem .75rem 0 0;border:1px solid #888;border-radius:4px;"
    "background:#fff;cursor:pointer}"
    ".yes{background:#1d6b35;border-color:#1d6b35;color:#fff}.no{background:#9b1c1c;border-color:#9b1c1c;color:#fff}"
    ".warn{border-left:4px solid #b7791f;padding-left:.75rem;white-space:pre-wrap;overflow-wrap:anywhere}"
)
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest())
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'sha256-" + _STYLE_HASH + b"'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # else the form would come without its origin
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex, nofollow"),
)


class _Link(NamedTuple):
    """A link that was good, and the approval it leads to."""

    approval: Approval
    grant: Grant


async def show(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a GET: the question, or how it was answered. Changes nothing."""
    link = await _read(api, scope)
    await _send_page(send, 200, *_page_of(link))


async def answer(api: Api, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the form: write the decision down, or say who was first."""
    link = await _read(api, scope)  # before a byte of the body is read
    decision, note = await _form(scope, receive)
    if not link.grant.allows(decision):
        raise Refused(f"this link is not one to {decision} with", code="bad_link", hint="ask for another link")
    verdict = Verdict(
        approval_id=link.approval.id, status=_VERDICTS[decision], at=api.clock.now(), by=LINK, how=LINK, note=note
    )
    try:
        decided, status = await api.finish(decide(api, verdict)), 200
    except Conflict:
        present = await up_to_date(api, link.approval.id)
        decided, status = present or link.approval, 409
    await _send_page(send, status, *_page_of(link._replace(approval=decided), late=status == 409))


async def fail(send: Send, error: OutlastError) -> None:
    """Show an error as a page."""
    hint = f"<p>{_text(error.hint)}</p>" if error.hint else ""
    await _send_page(send, error.http_status, "This cannot be answered", f"<p>{_text(error.message)}.</p>{hint}")


async def _read(api: Api, scope: Scope) -> _Link:
    """Return what a link leads to. Raises Refused for one that is forged or too old, and nothing else about it."""
    approval_id = unquote(scope["path_params"]["id"])
    given = dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=10))
    secret = secret_at(api.config.paths.approval_secret)
    grant = read_token(secret, approval_id, given.get("t", ""), api.clock.now())
    match grant:
        case "forged":
            raise Refused("this link is not one of this gateway", code="bad_link", hint="use the whole link as it came")
        case "expired":
            raise Refused("this link has expired", code="bad_link", hint="outlast approvals link makes another")
        case Grant():
            approval = await up_to_date(api, approval_id)
    if approval is None:
        raise NotFound("the approval is no longer on record")
    return _Link(approval, grant)


async def _form(scope: Scope, receive: Receive) -> tuple[str, str | None]:
    body = await wire.read_body(scope, receive)
    if len(body) > FORM_MAX:
        raise BadInput(f"the form is larger than {FORM_MAX} bytes", code="too_large")
    try:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=10))
    except ValueError:
        raise BadInput("the form has too many fields") from None
    decision = fields.get("decision", "")
    if decision not in _VERDICTS:
        raise BadInput("decision: must be approve or reject")
    note = sound(fields.get("note", "").replace("\r\n", "\n").strip())
    if len(note) > NOTE_MAX:
        raise BadInput(f"note: must be text of at most {NOTE_MAX} characters")
    return decision, note or None


# ---- words


def _text(text: str) -> str:
    """Return what somebody else has written as harmless HTML."""
    return escape(visible(text))


def _page_of(link: _Link, *, late: bool = False) -> tuple[str, str]:
    """Return title and body of the page of an approval as it stands; ``late`` says that an answer came second."""
    approval = link.approval
    title = "An approval is asked" if not approval.status.final else f"The approval {approval_text.decided(approval)}"
    parts = ['<p class="warn">Your answer came too late and changes nothing.</p>'] if late else []
    parts.append(f'<p class="warn">{_text(approval.prompt)}</p>')
    if approval.preview:
        parts.append(f"<pre>{_text(approval.preview)}</pre>")
    if approval.detail.get("masked"):
        parts.append('<p class="warn">*** stands for something that looks like a secret and is not shown.</p>')
    parts.append(_facts(approval))
    if not approval.status.final:
        parts.append(_buttons(link.grant))
    return title, "\n".join(parts)


def _facts(approval: Approval) -> str:
    facts = {
        "asked by": approval.requester, "title": approval.detail.get("title"),
        "asked at": _moment(approval.created_at), "expires at": _moment(approval.expires_at),
        "directory": approval.detail.get("workdir"), "flow": approval.flow_id, "step": approval.step,
        "task": approval.task_id, "approval": approval.id, "decided at": _moment(approval.decided_at),
        "decided by": approval.decided_by, "by way of": approval.decided_how, "note": approval.note,
    }  # fmt: skip
    rows = [f"<dt>{name}</dt><dd>{_text(str(fact))}</dd>" for name, fact in facts.items() if fact is not None]
    return f"<dl>{''.join(rows)}</dl>"


def _moment(at: float | None) -> str | None:
    """Return a moment to the second: who answers may sit anywhere, and the page runs no script, so in UTC."""
    return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _buttons(grant: Grant) -> str:
    words = {"approve": ("yes", "Approve"), "reject": ("no", "Reject")}
    buttons = "".join(
        f'<button class="{kind}" name="decision" value="{decision}">{word}</button>'
        for decision, (kind, word) in words.items()
        if grant.allows(decision)
    )
    note = f'<label>Note, for whoever asked<textarea name="note" maxlength="{NOTE_MAX}"></textarea></label>'
    return f'<form method="post">{note}{buttons}</form>'


async def _send_page(send: Send, status: int, title: str, body: str) -> None:
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{_text(title)}</h1>\n{body}\n</main></body></html>\n"
    ).encode()
    await wire.start(send, status, *_HEADERS, (b"content-length", b"%d" % len(page)))
    await send({"type": "http.response.body", "body": page})
