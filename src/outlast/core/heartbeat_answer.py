"""What an agent is asked at a beat, and what becomes of its answer: silence, or word to whoever it works for."""

from __future__ import annotations

import hashlib
import re

from outlast.core.agent import Beat, beat_owner
from outlast.core.heartbeat import KIND
from outlast.core.notice_text import one_line
from outlast.core.task import Notice

OK = "HEARTBEAT_OK"
"""What an agent answers when nobody has to hear of anything."""
SAME_SECONDS = 86_400.0
"""For how long the same text is not told again."""
CHECKLIST_MAX = 64 * 1024
"""Characters of a checklist that an agent is given."""
TOLD_MAX = 16_000
"""Characters of an answer that are passed on; the transcript has the whole."""

_AT_START = re.compile(rf"[\W_]{{0,8}}{OK}(?!_?[A-Za-z0-9])[*_`~\"'.!]{{0,8}}")
_AT_END = re.compile(rf"(?:^|[^A-Za-z0-9_])_{{0,3}}{OK}[\W_]{{0,8}}$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_NOTHING = re.compile(r"#{1,6}(?:\s.*)?|(?:[-*+]|\d{1,9}[.)])?\s*(?:\[[ xX]?\])?|[-*_=]{3,}|`{3,}\w*|>")


def is_empty(checklist: str | None) -> bool:
    """True for a checklist that asks for nothing: none, or only headings, comments, rules and items without a word."""
    if checklist is None:
        return True
    lines = _COMMENT.sub("", checklist).lstrip("\ufeff").splitlines()
    return all(_NOTHING.fullmatch(line.strip()) for line in lines)


def told_text(answer: str, ack_max: int) -> str | None:
    """Return what is passed on of an answer, None for silence.

    An answer with `OK` at its start or end and at most ``ack_max`` other characters is silence; with more, the rest is
    passed on. Within a text the word means nothing.
    """
    text = answer.strip()
    at_start = _AT_START.match(text)
    rest = text[at_start.end() :].strip() if at_start else text
    at_end = _AT_END.search(rest)
    if at_end:
        rest = rest[: at_end.start()].rstrip()
    if (at_start or at_end) and len(rest) <= ack_max:
        return None
    return rest or None


def message_of(why: str, shown: str, file: str, checklist: str | None) -> str:
    """Return what an agent is asked. ``shown`` is the time in its zone, ``why`` the reason on record."""
    lines = [
        f"[outlast: heartbeat] It is {shown}. You are asked because of: {why}.",
        "Look at what has happened and at your checklist, and do what is due now. Do not repeat what you have "
        "reported before.",
        f"If nobody has to hear of anything, answer {OK} and nothing else. If somebody has to, write what, in a few "
        "lines and without that word: it is passed on as you write it.",
    ]
    if is_empty(checklist) or checklist is None:
        return "\n".join(lines)
    body = checklist.strip()
    cut = body if len(body) <= CHECKLIST_MAX else body[:CHECKLIST_MAX] + "\n… (the rest is left out)"
    return "\n".join([*lines, "", f"{file}:", cut])


def notice_for(beat: Beat, target: str, text: str, conversation: str) -> Notice:
    """Return the notice by which an answer is passed on; its key is that of the beat."""
    cut = text if len(text) <= TOLD_MAX else text[:TOLD_MAX] + "…"
    first = one_line(text.strip().partition("\n")[0], 120)
    return Notice(
        target=target, kind=KIND, idempotency_key=f"{beat_owner(beat.id)}:{KIND}",
        body={
            "title": f"{beat.agent}: {first}", "text": cut, "agent": beat.agent, "beatId": beat.id,
            "conversation": conversation,
        },
    )  # fmt: skip


def hash_of(text: str) -> str:
    """Return what is kept of a text to know it again."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
