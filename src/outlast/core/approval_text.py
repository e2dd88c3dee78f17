"""What is shown of an approval: the question as it stands, nothing in it that could hide or pretend.

Who decides must see what is decided. So characters that show nothing, turn the direction of writing or steer a
terminal are spelled out here, not dropped as in a notice, and what had to be cut says how much is missing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from outlast.core.approval import PREVIEW_MAX, PROMPT_MAX, Approval, ApprovalKind, ApprovalStatus
from outlast.core.errors import BadInput
from outlast.core.redact import hidden_parts, redact
from outlast.core.text import sound

COMMAND_MAX = 16_000
"""Characters of a command line that somebody can be asked about: all of it is shown."""
ENV_SHOWN_MAX = 2_000
"""Characters shown of all variables a command is given."""

_MARK = "| "
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What a shell does more with than hand it on; the same letters that rule out a wildcard of an allowlist.
_CODE = re.compile(r"[;&|`$()<>\n\r]")


def visible(text: str) -> str:
    """Return a text with every character that cannot be seen spelled out: ``\\x1b``, ``\\u202e``; tabs and lines stay.

    A backslash that was there stays as it is: this is for eyes, not to be read back.
    """
    return _UNSEEN.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_line(text: str, limit: int) -> str:
    """Return a text as one visible line of at most ``limit`` characters; ``…`` at its end says that it was cut."""
    line = visible(text[: limit + 1].replace("\n", "\\n").replace("\t", " "))
    return line if len(line) <= limit and len(text) <= limit else line[: limit - 1] + "…"


def fitted(text: str, limit: int) -> str:
    """Return a text of at most ``limit`` characters; a note at its end says how much is missing, and of which whole."""
    if len(text) <= limit:
        return text
    kept = limit - len(_missing(text, 0)) - 1
    return f"{text[:kept]}\n{_missing(text, kept)}"


def _missing(text: str, kept: int) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"… {len(text) - kept} more characters are not shown (SHA-256 of the whole: {digest})"


def question(prompt: str) -> str:
    """Return a prompt as it goes on record: without secrets that are recognised, and cut with a note."""
    return fitted(redact(sound(prompt)), PROMPT_MAX)


def preview(text: str | None) -> str | None:
    """Return a preview as it goes on record, as `question` does. None stays None."""
    return None if text is None else fitted(redact(sound(text)), PREVIEW_MAX)


# ---- commands


def shown_command(line: str) -> str:
    """Return a command line without its secrets, for somebody who is to decide about it.

    Raises BadInput (``hidden_code``) where what would be masked as a secret holds letters a shell acts on: nobody
    could know what he approves.
    """
    if any(map(_CODE.search, hidden_parts(line))):
        raise BadInput(
            "what would be masked as a secret holds shell syntax, so whoever decides would not see what is run",
            code="hidden_code", hint="give the secret as a variable (env, --env NAME=VALUE)",
        )  # fmt: skip
    return redact(line)


def exec_preview(command: str, env: Mapping[str, str], stdin: str | None, *, opens: bool) -> str:
    """Return all that is run: the command (as `shown_command` gives it), its variables, its input.

    ``opens`` when its input stays open. Every line that is not ours has a mark before it, so that none can pass for
    ours. At most `PREVIEW_MAX` characters: longer variables and input are cut with a note. Raises BadInput
    (``too_long_to_ask``) for a command that cannot be shown whole.
    """
    asked = sound(command).replace("\n", "\n> ")
    if len(asked) > COMMAND_MAX:
        raise BadInput(
            f"a command of {len(command)} characters cannot be asked about: it could not be shown whole",
            code="too_long_to_ask", hint="put it into a script, and ask to run that",
        )  # fmt: skip
    parts = [f"$ {asked}"]
    if env:
        pairs = "\n".join(f"{name}={redact(f'{name}={value}')[len(name) + 1 :]}" for name, value in env.items())
        parts += ["with the variables:", *_marked(sound(pairs), ENV_SHOWN_MAX)]
    if opens:
        parts.append("its input stays open: what is typed there later is not part of this approval")
    if stdin is not None:
        parts.append(f"with this input ({len(stdin)} characters):")
        parts += _marked(sound(redact(stdin)), PREVIEW_MAX - sum(map(len, parts)) - len(parts))
    return "\n".join(parts)


def _marked(text: str, room: int) -> list[str]:
    """Return the lines of a text with a mark before each, in so many characters at most, line ends included."""
    room -= len(_missing(text, 0)) + 1
    shown: list[str] = []
    for line in text[:room].split("\n"):
        left = room - len(_MARK) - 1
        if left < 0:
            break
        shown.append(line[:left])
        room -= len(_MARK) + len(shown[-1]) + 1
    kept = len("\n".join(shown))
    lines = [_MARK + line for line in shown]
    return lines if kept == len(text) else [*lines, _missing(text, kept)]


# ---- telling


def asked_body(approval: Approval, link: str | None = None) -> dict[str, object]:
    """Return what is told of a question: to its conversation, and with a ``link`` to those who decide."""
    title = f"An approval is asked: {visible_line(approval.prompt, 120)}"
    lines = [
        f"{visible_line(approval.requester, 200)} asks for an approval.",
        f"To answer: outlast approvals approve {approval.id}, or outlast approvals reject {approval.id}",
    ]
    if link is not None:
        lines.append(f"Or here: {link}")
    lines.append(f"To see it whole: outlast approvals show {approval.id}")
    lines += _quoted(approval.prompt, 6, 200)
    if approval.preview:
        lines += ["It shows:", *_quoted(approval.preview, 12, 120)]
    body = _body(approval, title, lines)
    return body if link is None else {**body, "link": link}


def decided_body(approval: Approval) -> dict[str, object]:
    """Return what is told of an answer."""
    said = decided(approval)
    lines = [f"{said}.", *_quoted(approval.prompt, 3, 200)]
    if approval.note:
        lines += ["With the note:", *_quoted(approval.note, 10, 200)]
    if approval.task_id is not None:
        lines.append(f"More: outlast tasks show {approval.task_id}")
    elif approval.flow_id is not None:
        lines.append(f"More: outlast flow show {approval.flow_id}")
    return _body(approval, f"{said}: {visible_line(approval.prompt, 100)}", lines)


def decided(approval: Approval) -> str:
    """Return in one sentence how an approval was decided, by whom and how."""
    who = "" if approval.decided_by is None else f" by {visible_line(approval.decided_by, 200)}"
    how = "" if approval.decided_how is None else f" ({visible_line(approval.decided_how, 40)})"
    match approval.status:
        case ApprovalStatus.EXPIRED:
            return "The approval has expired: nobody answered in time"
        case ApprovalStatus.CANCELLED:
            return "The approval was cancelled: what waited for it has ended"
        case ApprovalStatus.PENDING:
            return "The approval waits for an answer"
        case ApprovalStatus.APPROVED | ApprovalStatus.REJECTED:
            return f"The approval was {approval.status}{who}{how}"


def _body(approval: Approval, title: str, lines: list[str]) -> dict[str, object]:
    body: dict[str, object] = {
        "approvalId": approval.id, "approval": str(approval.status), "kind": str(approval.kind), "title": title,
        "text": "\n".join(lines),
    }  # fmt: skip
    known = {"taskId": approval.task_id, "flowId": approval.flow_id, "step": approval.step}
    return body | {name: value for name, value in known.items() if value is not None}


def _quoted(text: str, lines_max: int, line_max: int) -> list[str]:
    """Return the first lines of a text, marked so that they cannot pass for our own words."""
    lines = text.split("\n")
    shown = [f"| {visible_line(line, line_max)}".rstrip() for line in lines[:lines_max]]
    return shown if len(lines) <= lines_max else [*shown, f"| … {len(lines) - lines_max} more lines"]


def is_of_flow(approval: Approval) -> bool:
    """True when it is a flow that waits for the answer: the flow hears of it, and tells who asked."""
    return approval.kind is ApprovalKind.FLOW
