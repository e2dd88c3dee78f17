"""What is shown of an approval: the question as it stands, nothing in it that could hide or pretend.

Who decides must see what is decided: what has to be cut says how much is missing, and what could hide is spelled out
(`outlast.core.visible`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from outlast.core.approval import PREVIEW_MAX, PROMPT_MAX, Approval, ApprovalStatus
from outlast.core.errors import BadInput
from outlast.core.redact import hidden_parts, redact
from outlast.core.text import sound
from outlast.core.visible import visible_line

COMMAND_MAX = 16_000
"""Characters of a command line that somebody can be asked about: all of it is shown."""
ENV_SHOWN_MAX = 2_000
"""Characters shown of all variables a command is given."""

_MARK = "| "
# What a shell does more with than hand it on; the same letters that rule out a wildcard of an allowlist.
_CODE = re.compile(r"[;&|`$()<>\n\r]")


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


def shown_text(text: str) -> str:
    """Return a command line, or the input of one, without its secrets, for somebody who is to decide about it.

    Raises BadInput (``hidden_code``) where what would be masked as a secret holds letters a shell acts on: nobody
    could know what he approves.
    """
    if any(map(_CODE.search, hidden_parts(text))):
        raise BadInput(
            "what would be masked as a secret holds shell syntax, so whoever decides would not see what is run",
            code="hidden_code", hint="give the secret as a variable (env, --env NAME=VALUE), or in a file",
        )  # fmt: skip
    return redact(text)


def exec_preview(command: str, env: Mapping[str, str], stdin: str | None, *, opens: bool) -> str:
    """Return all that is run: the command (as `shown_text` gives it), its variables, its input.

    ``opens`` when its input stays open. Every line that is not ours has a mark before it, so that none can pass for
    ours. At most `PREVIEW_MAX` characters: longer variables and input are cut with a note. Raises BadInput
    (``too_long_to_ask``) for a command that cannot be shown whole, and as `shown_text` does for the input.
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
        parts += _marked(sound(shown_text(stdin)), PREVIEW_MAX - sum(map(len, parts)) - len(parts))
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
    """Return what is known of a question, for a notice; those who decide get a ``link`` with it."""
    facts: dict[str, object] = {
        "approvalId": approval.id, "status": str(approval.status), "kind": str(approval.kind),
        "requester": approval.requester, "prompt": approval.prompt, "preview": approval.preview,
        "flowId": approval.flow_id, "step": approval.step, "taskId": approval.task_id, "expiresAt": approval.expires_at,
        "by": approval.decided_by, "how": approval.decided_how, "note": approval.note, "link": link,
    }  # fmt: skip
    return {name: fact for name, fact in facts.items() if fact is not None}


decided_body = asked_body
"""What is known of an answer."""


def told(body: Mapping[str, object]) -> tuple[str, str]:
    """Return title and text of a notice about an approval: of the question, or of its answer."""
    fact = {name: value for name, value in body.items() if isinstance(value, str)}
    return _asked(fact) if fact.get("status") == ApprovalStatus.PENDING else _answered(fact)


def _asked(fact: Mapping[str, str]) -> tuple[str, str]:
    id_, prompt = visible_line(fact.get("approvalId", ""), 64), fact.get("prompt", "")
    # First of all how to answer: where many things are told together, the beginning is what is left of each.
    lines = [f"To answer: {visible_line(fact['link'], 400)}"] if "link" in fact else []
    lines += [
        f"To answer: outlast approvals approve {id_} (or reject {id_})",
        f"To see it whole: outlast approvals show {id_}",
        f"{visible_line(fact.get('requester', 'somebody'), 200)} asks:",
        *_quoted(prompt, 6, 200),
    ]
    if preview := fact.get("preview"):
        lines += ["It shows:", *_quoted(preview, 12, 120)]
    return f"An approval is asked: {visible_line(prompt, 120)}", "\n".join(lines)


def _answered(fact: Mapping[str, str]) -> tuple[str, str]:
    said = f"The approval {_decided(fact.get('status', ''), fact.get('by'), fact.get('how'))}"
    lines = [f"{said}.", *_quoted(fact.get("prompt", ""), 3, 200)]
    if note := fact.get("note"):
        lines += ["With the note:", *_quoted(note, 10, 200)]
    if "taskId" in fact:
        lines.append(f"More: outlast tasks show {visible_line(fact['taskId'], 64)}")
    elif "flowId" in fact:
        lines.append(f"More: outlast flow show {visible_line(fact['flowId'], 64)}")
    return f"{said}: {visible_line(fact.get('prompt', ''), 100)}", "\n".join(lines)


def decided(approval: Approval) -> str:
    """Return how an approval was decided, by whom and how, as the rest of a sentence about it."""
    return _decided(approval.status, approval.decided_by, approval.decided_how)


def _decided(status: str, by: str | None, how: str | None) -> str:
    match status:
        case ApprovalStatus.PENDING:
            return "waits for an answer"
        case ApprovalStatus.EXPIRED:
            return "has expired: nobody answered in time"
        case ApprovalStatus.CANCELLED:
            return "was cancelled: what waited for it has ended"
        case _:
            who = "" if by is None else f" by {visible_line(by, 200)}"
            shown = "" if how in (None, by) else f" ({visible_line(how, 40)})"
            return f"was {visible_line(status, 20)}{who}{shown}"


def _quoted(text: str, lines_max: int, line_max: int) -> list[str]:
    """Return the first lines of a text, marked so that they cannot pass for our own words."""
    lines = text.split("\n")
    shown = [f"{_MARK}{visible_line(line, line_max)}".rstrip() for line in lines[:lines_max]]
    return shown if len(lines) <= lines_max else [*shown, f"{_MARK}… {len(lines) - lines_max} more lines"]
