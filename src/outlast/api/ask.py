"""Commands that somebody approves first: on record and held back, with the question, in one commit.

What is approved is what is run: the task holds it as it is from the moment it was asked about, and the answer only
lets it go.
"""

from __future__ import annotations

import random
import shlex

from msgspec.structs import replace

from outlast.api.context import Api, Caller
from outlast.api.detach import compose
from outlast.api.requests import ExecRequest
from outlast.api.task_results import TaskResult, describe
from outlast.core import approval_text
from outlast.core.approval import Approval, ApprovalKind, ApprovalStatus
from outlast.core.ids import timed_id
from outlast.core.redact import MASK
from outlast.core.session import ExecSpec
from outlast.core.task import NewTask
from outlast.core.text import sound
from outlast.core.visible import visible_line
from outlast.ledger import approvals as ledger

NOT_BEFORE = "notBeforeAt"
"""Where the question says, for the store, before which moment the command is not begun though it is approved."""
PROMPT_COMMAND_MAX = 300
"""Characters of a command in the question itself; the preview shows all of it."""


async def ask_first(
    api: Api, caller: Caller, request: ExecRequest, spec: ExecSpec, advice: list[str], source: str = "ask"
) -> TaskResult:
    """Put a command and the question about it on record. The same command, still asked about or running, comes back.

    Raises BadInput for one that could not be shown to whoever decides as it is.
    """
    task = await compose(api, caller, request, spec, source)
    question = _question(api, request, spec, task)
    asked = await api.finish(ledger.ask(api.ledger, question, replace(task, not_before_at=None)))
    assert asked.task is not None
    if task.deadline_at is not None and not asked.existing:
        api.books.look()
    more = [] if request.ready_when is None else ["readyWhen is not waited for: the command has to be approved first"]
    return describe(asked.task, api.clock.now(), existing=asked.existing, advice=[*advice, *more])


def _question(api: Api, request: ExecRequest, spec: ExecSpec, task: NewTask) -> Approval:
    """Return the question. What the command was given as secrets is masked, and said to be."""
    now = api.clock.now()
    command = approval_text.shown_text(spec.command)
    env = {name: spec.env[name] for name in spec.env_names}
    opens = spec.stdin == "pipe" or spec.pty
    preview = approval_text.exec_preview(command, env, spec.stdin_text, opens=opens)
    seconds = request.approval_expires_seconds or api.config.approvals_expires
    detail: dict[str, object] = {
        "command": sound(command), "workdir": sound(spec.cwd), "shell": _shell(spec), "masked": MASK in preview,
        "pty": spec.pty, "opensInput": opens, "label": task.label, "title": task.title,
        "node": None if task.node == api.books.node else task.node, NOT_BEFORE: task.not_before_at,
        "attempts": task.attempts_max if task.attempts_max > 1 else None,
    }  # fmt: skip
    return Approval(
        id=timed_id("a", now, random.getrandbits(40), 4),
        kind=ApprovalKind.EXEC,
        requester=task.requester,
        status=ApprovalStatus.PENDING,
        prompt=f"Run in {_line(spec.cwd)}: {_line(command)}",
        created_at=now,
        conversation=task.conversation,
        preview=preview,
        detail={name: value for name, value in detail.items() if value not in (None, False)},
        expires_at=now + seconds,
    )


def _line(text: str) -> str:
    return visible_line(text, PROMPT_COMMAND_MAX)


def _shell(spec: ExecSpec) -> str | None:
    """Return the shell a line is run by; None for a program with its arguments."""
    return None if shlex.join(spec.argv) == spec.command else spec.argv[0]
