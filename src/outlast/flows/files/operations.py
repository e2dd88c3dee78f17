"""One step: from its definition and what is known, to an operation of the context, to how it ended.

All that is filled in is filled in before the operation begins. A value that stands at the beginning of an argument
must not turn it into an option: that takes ``--`` before it, or text in front of it, by the author.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any, assert_never, get_args

from outlast.core.errors import BadInput
from outlast.core.text import is_sound
from outlast.flows.files.context import Context, Decision, Result, is_failure, status_of
from outlast.flows.files.definition import Agent, Approval, Ask, Command, Sleep, Step, SubFlow, Wait
from outlast.flows.files.evaluate import End, Scope, StepStatus, Unknown
from outlast.flows.files.steps import sleep_until
from outlast.flows.files.templates import Template, as_text, fill, fill_text

WORD_MAX = 131_071
"""Bytes that one argument or one variable (with its name) can have on Linux."""

WORDS_MAX = 1024 * 1024
"""Bytes of all arguments and variables that a flow file gives to one command."""

PREVIEW_MAX = 20_000
"""Characters of a preview; more is cut off."""

_STATUSES = frozenset(get_args(StepStatus))


class Operations:
    """Does single steps over a context."""

    def __init__(self, context: Context, base_dir: str) -> None:
        self.context = context
        self.base_dir = base_dir

    async def done(self, step: Step, name: str, scope: Scope) -> End:
        """Do a step once, as the operation ``name``, and return how it ended. A failure is an end, too."""
        try:
            return await self._act(step, name, scope)
        except (Unknown, BadInput) as error:
            return End(status="failed", error=str(error))
        except Exception as error:
            if not is_failure(error):
                raise
            return _failed(error)

    def _act(self, step: Step, name: str, scope: Scope) -> Coroutine[Any, Any, End]:
        act = step.act
        match act:
            case Command():
                return self._command(act, step.title, name, scope)
            case Agent():
                return self._agent(act, step.title, name, scope)
            case Approval():
                return self._approval(act, name, scope)
            case Wait():
                return self._wait(act, name)
            case Sleep():
                return self._sleep(act, name, scope)
            case SubFlow():
                return self._sub_flow(act, name, scope)
            case _:
                assert_never(act)

    async def _command(self, act: Command, title: str | None, name: str, scope: Scope) -> End:
        command = act.command if isinstance(act.command, str) else _argv(act.command, scope)
        env = dict(scope.env) | {variable: fill_text(text, scope) for variable, text in act.env.items()}
        _check_words([] if isinstance(command, str) else command, env)
        stdin = None if act.stdin is None else fill(act.stdin, scope)
        workdir = self.base_dir if act.workdir is None else self._path(fill_text(act.workdir, scope))
        result = await self.context.run(
            name,
            command,
            stdin=None if stdin is None else as_text(stdin),
            env=env,
            workdir=workdir,
            timeout=act.timeout,
            retry=act.retry,
            check=act.check,
            title=title,
        )
        end = _ended(result, checked=act.check)
        return end if act.ask is None or end.error else await self._ask(act.ask, end, name, scope)

    async def _agent(self, act: Agent, title: str | None, name: str, scope: Scope) -> End:
        answer = await self.context.agent(
            name,
            act.agent,
            fill_text(act.message, scope),
            conversation=None if act.conversation is None else fill_text(act.conversation, scope),
            workdir=None if act.workdir is None else self._path(fill_text(act.workdir, scope)),
            timeout=act.timeout,
            title=title,
        )
        return End(status=_status(answer.status), stdout=answer.text)

    def _path(self, path: str) -> str:
        if "\0" in path:
            raise Unknown("workdir holds a NUL")
        return os.path.normpath(os.path.join(self.base_dir, path))

    async def _ask(self, ask: Ask, end: End, name: str, scope: Scope) -> End:
        """Ask a person about what a command has printed."""
        preview = (end.stdout or "").strip() if ask.preview is None else fill_text(ask.preview, scope)
        decision = await self.context.approve(
            f"{name}:approval", fill_text(ask.prompt, scope), preview=_cut(preview) or None
        )
        status = _decided(decision)
        return End(
            status=status,
            stdout=end.stdout,
            truncated=end.truncated,
            exit_code=end.exit_code,
            approved=decision.approved,
            error=_cancelled(status),
        )

    async def _approval(self, act: Approval, name: str, scope: Scope) -> End:
        preview = None if act.preview is None else _cut(_preview(act.preview, scope)) or None
        prompt = fill_text(act.prompt, scope)
        decision = await self.context.approve(name, prompt, preview=preview, expires=act.expires)
        status = _decided(decision)
        value = {"approved": decision.approved, "status": decision.status, "note": decision.note, "by": decision.by}
        return End(status=status, approved=decision.approved, value=value, error=_cancelled(status))

    async def _wait(self, act: Wait, name: str) -> End:
        return End(status="succeeded", value=await self.context.signal(act.signal, timeout=act.timeout))

    async def _sleep(self, act: Sleep, name: str, scope: Scope) -> End:
        until = sleep_until(fill_text(act.until, scope))
        if isinstance(until, float):
            await self.context.sleep(name, until)
        else:
            await self.context.sleep_until(name, until)
        return End(status="succeeded")

    async def _sub_flow(self, act: SubFlow, name: str, scope: Scope) -> End:
        args = fill(act.args, scope)
        return End(status="succeeded", value=await self.context.flow(name, self._flow(act.flow), **args))

    def _flow(self, target: str) -> str:
        """A file is named from where the flow is; anything else is the name of a flow."""
        is_file = "/" in target or target.endswith((".yaml", ".yml", ".json", ".lobster"))
        return self._path(target) if is_file else target


def _argv(templates: tuple[Template, ...], scope: Scope) -> list[str]:
    argv: list[str] = []
    for template in templates:
        text = fill_text(template, scope)
        begins_filled = bool(template.parts) and not isinstance(template.parts[0], str)
        if begins_filled and text.startswith("-") and "--" not in argv:
            raise Unknown(
                f"the argument {text[:60]!r} begins with '-' and would be taken for an option: put -- before it in run"
            )
        argv.append(text)
    return argv


def _check_words(argv: list[str], env: dict[str, str]) -> None:
    """Raise Unknown for what no command can be given."""
    sizes = []
    for text in [*argv, *(f"{name}={value}" for name, value in env.items())]:
        if not is_sound(text):
            raise Unknown(f"{text[:60]!r} holds a NUL or half of a surrogate pair, and no command can be given that")
        sizes.append(len(text.encode()) + 1)
    if sizes and (max(sizes) > WORD_MAX + 1 or sum(sizes) > WORDS_MAX):
        raise Unknown("a value is too large for an argument or a variable (128 KiB): pass it by stdin")


def _preview(template: Template, scope: Scope) -> str:
    value = fill(template, scope)
    return "" if value is None else as_text(value)


def _cut(text: str) -> str:
    return text if len(text) <= PREVIEW_MAX else text[:PREVIEW_MAX] + "\n… (cut off)"


def _ended(result: Result, *, checked: bool) -> End:
    """How a command ended; with ``check: false`` any exit code is a success, but there must be one."""
    status = _status(result.status)
    forgiven = not checked and result.exit_code is not None and status == "failed"
    bad = status != "succeeded" and not forgiven
    return End(
        status="succeeded" if forgiven else status,
        stdout=result.stdout,
        truncated=result.truncated,
        exit_code=result.exit_code,
        error=f"the command {status}{_last_line(result.tail)}" if bad else None,
    )


def _last_line(tail: str) -> str:
    lines = tail.strip().splitlines()
    return f": {lines[-1][:500]}" if lines else ""


def _failed(error: Exception) -> End:
    result = getattr(error, "result", None)
    said = getattr(result, "stdout", getattr(result, "text", None))
    return End(
        status=_status(status_of(error)),
        stdout=said if isinstance(said, str) else None,
        truncated=bool(getattr(result, "truncated", False)),
        exit_code=getattr(result, "exit_code", None),
        error=str(getattr(error, "message", None) or error or type(error).__name__),
    )


def _status(word: str) -> StepStatus:
    return word if word in _STATUSES else "failed"  # type: ignore[return-value]


def _decided(decision: Decision) -> StepStatus:
    return "succeeded" if decision.approved else _status(decision.status)


def _cancelled(status: StepStatus) -> str | None:
    return "the approval was cancelled" if status == "cancelled" else None
