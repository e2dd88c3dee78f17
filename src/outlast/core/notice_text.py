"""What a notice says to whoever is told: one sentence, the last lines, and the command that shows more.

Whatever stands in a label or an output, the result is plain text of bounded size: no control characters, no marks that
turn the writing direction or hide text, and output is quoted line by line, so that it cannot pass for our own words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from outlast.core import approval_text
from outlast.core.durations import format_duration
from outlast.core.redact import redact

TITLE_MAX = 160
"""Characters of a title."""
TEXT_MAX = 4000
"""Characters of a text."""
LABEL_MAX = 60
LINES_MAX, LINE_MAX = 10, 200
"""Of the last output: how many lines, and how many characters of each."""
TOLD_MAX = 20
"""Of several things told together, how many are told one by one."""
FEW_LINES, ANSWER_LINES = 3, 5
"""Of those told together: the last lines of one that ended badly, the first ones of an agent's answer."""

_SCAN = 16_384  # characters looked at: a megabyte of escape codes must not cost a megabyte of work
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"
    r"|\x1b[\]PX^_k][^\x07\x18\x1a\x1b\n]*+(?:[\x07\x18\x1a]|\x1b\\)?"
    r"|\x1b[ -/]*+[0-~]?"
)
_LINE_END = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,199}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)

_Body = Mapping[str, object]

_HOW = {
    ("failed", "out_of_memory"): "failed: the machine ran out of memory",
    ("failed", "spawn_error"): "could not be started",
    ("timed_out", "timeout"): "ran into its time limit and was ended",
    ("timed_out", "idle_timeout"): "was silent for too long and was ended",
    ("timed_out", "deadline"): "had not ended by its deadline",
    ("cancelled", "parent"): "was cancelled with what had asked for it",
    ("cancelled", "rejected"): "was not run: its approval was rejected",
    ("cancelled", "expired"): "was not run: nobody approved it in time",
    ("lost", "host_restart"): "is lost: the machine restarted while it ran",
    ("lost", "evidence_gone"): "is lost: nothing is left that tells how it ended",
    ("lost", "lease_expired"): "is lost: its worker gave no sign of life",
}
_PLAIN_HOW = {
    "queued": "is waiting to run",
    "running": "is running",
    "succeeded": "succeeded",
    "blocked": "is blocked until somebody sees to it",
    "failed": "failed",
    "timed_out": "ran out of time",
    "cancelled": "was cancelled",
    "lost": "is lost: how it ended is not known",
}
_BAD = ("failed", "timed_out", "lost", "blocked")


class NoticeText(NamedTuple):
    """A title of one line, at most `TITLE_MAX` characters, and a text of several, at most `TEXT_MAX`."""

    title: str
    text: str


def notice_text(kind: str, body: _Body) -> NoticeText:
    """Return what a notice says.

    ``body`` is that of `outlast.core.notification`, or that of an approval. A body without the status of a task is told
    by its own ``title`` and ``text``. Fields of a wrong type count as absent.
    """
    if _text(body, "approvalId"):
        title, text = approval_text.told(body)
        return NoticeText(one_line(title, TITLE_MAX), plain_lines(text, TEXT_MAX))
    if not _of_work(body):
        return _free_text(kind, body)
    sentence = _sentence(kind, body)
    lines = [sentence + ".", *_of_flow(body), *_error(body), *_quoted(body, LINES_MAX), *_more(body)]
    return NoticeText(_cut(sentence, TITLE_MAX), _cut("\n".join(lines), TEXT_MAX))


def together(notices: Sequence[tuple[str, _Body]]) -> NoticeText:
    """Return what several notices say when they are told at once, as (kind, body) in the order they came.

    The first `TOLD_MAX` are told one by one, with a few last lines of those that ended badly; the others are counted.
    Where there is room after that, it goes to the beginnings of what agents have answered, from the first on.
    """
    if len(notices) == 1:
        return notice_text(*notices[0])
    counted = Counter(_text(body, "status")[:20] if _of_work(body) else "other" for _, body in notices)
    told = ", ".join(f"{count} {one_line(word, 20).replace('_', ' ')}" for word, count in counted.most_common(8))
    kinds = {"other" if not _of_work(body) else "flow" if _flow_id(body) else "task" for _, body in notices}
    things = "notices" if len(kinds) > 1 or "other" in kinds else f"{kinds.pop()}s"
    title = f"{len(notices)} {things}: {told}"
    items: list[list[str]] = []
    left = TEXT_MAX - len(title) - 200  # room for the last line, which must never be cut off
    for kind, body in notices[:TOLD_MAX]:
        item = _item(kind, body)
        if _size(item) > left:
            break
        left -= _size(item)
        items.append(item)
    for item, (_, body) in zip(items, notices[: len(items)], strict=True):
        answer = [f"  {line}" for line in _answered(body)]
        if _size(answer) <= left:
            left -= _size(answer)
            item.extend(answer)
    lines = [title + ".", *(line for item in items for line in item)]
    if len(items) < len(notices):
        lines.append(f"… and {len(notices) - len(items)} more.")
    lines.append("More: outlast flow list" if things == "flows" else "More: outlast tasks list")
    if any(_answered(body) for _, body in notices):
        lines[-1] += ", an answer in full: outlast subagents show TASK"
    return NoticeText(_cut(title, TITLE_MAX), _cut("\n".join(lines), TEXT_MAX))


def one_line(text: str, limit: int) -> str:
    """Return a text as one harmless line of at most ``limit`` characters; ``…`` at its end says that it was cut."""
    line = " ".join(_plain(text[:_SCAN]).split())
    return _cut(line, limit) if len(text) <= _SCAN or len(line) > limit else _cut(line, limit - 1) + "…"


def plain_lines(text: str, limit: int) -> str:
    """Return a text of several lines without anything but printable characters, tabs and line ends.

    At most ``limit`` characters; ``…`` at its end says that it was cut. The work grows with the limit, not the text.
    """
    seen = limit + _SCAN
    clean = _plain(text[:seen])
    return _cut(clean, limit) if len(text) <= seen or len(clean) > limit else _cut(clean, limit - 1) + "…"


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of an output, each harmless and at most `LINE_MAX` long; a mark when some are left out."""
    tail = text[-_SCAN:]
    lines = _plain(tail).rstrip().split("\n")
    kept = [_cut(line[: LINE_MAX + 1].expandtabs(4).rstrip(), LINE_MAX) for line in lines[-count:]]
    while kept and not kept[0]:
        del kept[0]
    more = len(tail) < len(text) or len(lines) > count
    return ["…", *kept] if more and kept else kept


def _plain(text: str) -> str:
    text = _LINE_END.sub("\n", _SEQUENCE.sub("", text))
    return _SURROGATE.sub("\ufffd", _HIDDEN.sub("", text))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - 1)].rstrip() + "…"


def _of_work(body: _Body) -> bool:
    return bool(_text(body, "status")) and not _text(body, "approvalId")


def _text(body: _Body, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _number(body: _Body, name: str) -> float | None:
    value = body.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable and isinstance(value, int | float) else None


def _free_text(kind: str, body: _Body) -> NoticeText:
    title = one_line(_text(body, "title") or _text(body, "label") or kind, TITLE_MAX)
    text = plain_lines(_text(body, "text") or _text(body, "summary") or _text(body, "error"), TEXT_MAX).strip("\n")
    return NoticeText(title, text or title)


def _sentence(kind: str, body: _Body) -> str:
    flow_id = _flow_id(body)
    called = _text(body, "label") or _text(body, "name" if flow_id else "title")
    name = one_line(called, LABEL_MAX).replace('"', "'") or flow_id or _task_id(body) or "task"
    attempt = _number(body, "attempt") or 1
    again = f" (attempt {attempt:.0f})" if attempt > 1 else ""
    told = f'{"Flow " if flow_id else ""}"{name}" {_how(body)}{_span(body)}{_use(body)}{again}'
    return f"Corrected, it was not lost: {told}" if kind == "corrected" else told


def _how(body: _Body) -> str:
    status, cause = _text(body, "status"), _text(body, "cause")
    code, signal = _number(body, "exitCode"), _text(body, "exitSignal")
    if how := _HOW.get((status, cause)):
        return how
    if status == "failed" and signal:
        return f"was ended by {one_line(signal, 20)}"
    if status == "failed" and code is not None:
        return f"failed with exit code {code:.0f}"
    return _PLAIN_HOW.get(status) or f"is {one_line(status, 20)}"


def _span(body: _Body) -> str:
    """How long it ran, where somebody saw both ends."""
    began, ended = _number(body, "startedAt"), _number(body, "endedAt")
    if began is None or ended is None or ended < began or _text(body, "status") == "lost":
        return ""
    return f" after {format_duration(ended - began)}"


def _use(body: _Body) -> str:
    """What a turn of an agent used, as far as that is known."""
    tokens, cost = _number(body, "tokens"), _number(body, "costUsd")
    said = "" if tokens is None or tokens < 0 else f", {tokens:,.0f} tokens"
    return said if cost is None or cost < 0 else f"{said}, ${cost:.2f}"


def _error(body: _Body) -> list[str]:
    """What is said of the failure, unless the sentence has said it."""
    error = one_line(redact(_plain(_text(body, "error")[:_SCAN])), LINE_MAX)
    known = error.startswith(("exit code ", "signal ")) or error in (_text(body, "cause"), _text(body, "status"))
    if known and not _flow_id(body):
        return []
    return [f"Error: {error}"] if error else []


def _of_flow(body: _Body) -> list[str]:
    """Where a flow stood that ended badly, and why it was called off."""
    if not _flow_id(body):
        return []
    said = (("Step", "step" if _text(body, "status") in _BAD else ""), ("Reason", "cancelReason"))
    lines = [(what, one_line(redact(_plain(_text(body, name)[:_SCAN])), LINE_MAX)) for what, name in said]
    return [f"{what}: {line}" for what, line in lines if line]


def _quoted(body: _Body, count: int) -> list[str]:
    if _text(body, "agent"):
        return _answer(body, count)
    lines = last_lines(redact(_plain(_text(body, "summary")[-_SCAN:])), count)
    return ["Its last lines:", *(f"| {line}".rstrip() for line in lines)] if lines else []


def _answer(body: _Body, count: int) -> list[str]:
    """The beginning of what an agent has answered."""
    lines = redact(_plain(_text(body, "summary")[:_SCAN])).strip().split("\n")
    kept = [_cut(line[: LINE_MAX + 1].expandtabs(4).rstrip(), LINE_MAX) for line in lines[:count]]
    kept += ["…"] if len(lines) > count else []
    return ["It answered:", *(f"| {line}".rstrip() for line in kept)] if any(kept) else []


def _task_id(body: _Body) -> str:
    task_id = _text(body, "taskId")
    return task_id if _ID.fullmatch(task_id) else ""


def _flow_id(body: _Body) -> str:
    """Return the id of the flow a notice is about; a task of a flow is told as a task."""
    flow_id = "" if _text(body, "taskId") else _text(body, "flowId")
    return flow_id if _ID.fullmatch(flow_id) else ""


def _more(body: _Body) -> list[str]:
    flow_id = _flow_id(body)
    if flow_id:
        blocked = _text(body, "status") == "blocked"
        return [
            f"More: outlast flow show {flow_id}" + (f", to go on: outlast flow resume {flow_id}" if blocked else "")
        ]
    task_id = _task_id(body)
    if not task_id:
        return []
    talk = _text(body, "conversation")
    if _text(body, "agent") and _KEY.fullmatch(talk):
        return [f"More: outlast subagents show {task_id}, what it did: outlast conversations transcript {talk}"]
    output = f", its output: outlast tasks log {task_id}" if _text(body, "sessionId") else ""
    return [f"More: outlast tasks show {task_id}{output}"]


def _answered(body: _Body) -> list[str]:
    """The beginning of the answer of a turn that ended well, for a message about several."""
    if not _of_work(body) or not _text(body, "agent") or _text(body, "status") in _BAD:
        return []
    return _answer(body, ANSWER_LINES)[1:]


def _size(lines: Sequence[str]) -> int:
    return sum(map(len, lines)) + len(lines)


def _item(kind: str, body: _Body) -> list[str]:
    """One of several notices: its sentence, its id, and a few lines where it ended badly."""
    if not _of_work(body):
        title, text = notice_text(kind, body)
        return [f"- {title}" if text == title else f"- {title}: {one_line(text, LINE_MAX)}"]
    about = _flow_id(body) or _task_id(body)
    line = f"- {_sentence(kind, body)}"
    if about and about not in line:
        line += f" [{about}]"
    lines = _quoted(body, FEW_LINES)[1:] if _text(body, "status") in _BAD else []
    return [line, *(f"  {quoted}" for quoted in lines)]
