"""Steps of a flow file: each is read by itself; how they hang together is seen to in `outlast.flows.files.graph`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from outlast.core.durations import parse_duration
from outlast.core.errors import BadInput
from outlast.core.interpreters import code_items
from outlast.flows.files import fields, tree
from outlast.flows.files.definition import (
    ATTEMPTS_DEFAULT,
    MAX_ITEMS_DEFAULT,
    Act,
    Agent,
    Approval,
    Command,
    ForEach,
    Retry,
    Sleep,
    Step,
    SubFlow,
    Wait,
)
from outlast.flows.files.expressions import ROOTS, Constant, Expression
from outlast.flows.files.problems import Problems, shown
from outlast.flows.files.templates import Fields, Template
from outlast.flows.files.tree import Node, Scalar
from outlast.flows.files.values import Values, kind

_PASTED = re.compile(r"\$\{\s*(?:" + "|".join(ROOTS) + r")\b|\$\{\{")

CLEANUP = "cleanup"
"""What the step is called that a cleanup in place makes; it is done as ``ID:cleanup``."""


class Draft(NamedTuple):
    """A step that was read, and what it says of others: ``needs`` is None when it says nothing."""

    step: Step
    place: tree.Mapping
    needs: list[Scalar] | None
    handlers: list[Scalar]


class Defaults(NamedTuple):
    """What the flow says for commands that say nothing themselves."""

    workdir: Template | None = None
    retry: Retry | None = None


class StepReader:
    """Reads steps."""

    def __init__(self, values: Values, problems: Problems, defaults: Defaults) -> None:
        self.values = values
        self.problems = problems
        self.defaults = defaults

    def read(self, node: Node) -> Draft | None:
        """Read one step. None when there is no telling what it is."""
        found = self.values.fields_of(node, "step")
        if found is None or "id" not in found:
            return None
        assert isinstance(node, tree.Mapping)
        step_id = self.values.matching(found["id"], fields.ID, "an id")
        act_name = self._act_name(node, found)
        if step_id is None or act_name is None:
            return None
        self.values.step = step_id
        when = self._when(found.get("when"))
        for_each = self._for_each(found["for_each"]) if "for_each" in found else None
        self.values.item = for_each is not None
        act = self._act(act_name, node, found)
        self.values.item = False
        handlers, cleanup, goes_on = self._on_failure(found.get("on_failure"))
        self.values.step = None
        if act is None:
            return None
        step = Step(
            id=step_id,
            act=act,
            title=self._title(found),
            when=when,
            for_each=for_each,
            on_failure="continue" if goes_on else "fail",
            cleanup=cleanup,
        )
        return Draft(step, node, self._ids(found["needs"]) if "needs" in found else None, handlers)

    def _act_name(self, node: tree.Mapping, found: Mapping[str, Node]) -> str | None:
        acts = [name for name in found if name in fields.ACTS]
        if len(acts) != 1:
            what = f"not {' and '.join(acts)}" if acts else "and it has none"
            self.problems.add(node, f"a step has exactly one of {', '.join(fields.ACTS)}, {what}")
            return None
        for field in fields.STEP_FIELDS:
            if field.name in found and field.acts and acts[0] not in field.acts:
                what = " or ".join(sorted(field.acts))
                self.problems.add(node.entries[field.name].key, f"{field.name} goes with {what}, not with {acts[0]}")
        return acts[0]

    def _title(self, found: Mapping[str, Node]) -> str | None:
        return self.values.text(found["title"], fields.NAME_MAX) if "title" in found else None

    def _when(self, node: Node | None) -> Expression | None:
        expression = None if node is None else self.values.expression(node)
        if (
            node
            and expression
            and isinstance(expression.root, Constant)
            and not isinstance(expression.root.value, bool)
        ):
            self.problems.add(node, f"a condition is true or false, not {kind(node)}")
        return expression

    def _ids(self, node: Node) -> list[Scalar]:
        items = node.items if isinstance(node, tree.Sequence) else [node]
        return [
            item
            for item in items
            if self.values.matching(item, fields.ID, "the id of a step") is not None and isinstance(item, Scalar)
        ]

    # what is done

    def _act(self, name: str, node: tree.Mapping, found: Mapping[str, Node]) -> Act | None:
        match name:
            case "run":
                return self._command(found)
            case "agent":
                return self._agent(node, found)
            case "approval":
                return self._approval(found)
            case "wait":
                signal = self.values.matching(found["wait"], fields.SIGNAL_NAME, "the name of a signal")
                return Wait(signal=signal, timeout=self._span(found, "timeout")) if signal else None
            case "sleep":
                return self._sleep(found["sleep"])
            case _:
                return self._sub_flow(found)

    def _agent(self, node: tree.Mapping, found: Mapping[str, Node]) -> Agent | None:
        agent = self.values.matching(found["agent"], fields.AGENT_NAME, "the name of an agent")
        if "message" not in found:
            self.problems.add(node, "an agent has to be told something: it has no message")
            return None
        template = self.values.template
        message = template(found["message"], least=1)
        talk = template(found["conversation"], fields.CONVERSATION_MAX, least=1) if "conversation" in found else None
        workdir = template(found["workdir"]) if "workdir" in found else None
        timeout = self._span(found, "timeout")
        if agent is None or message is None:
            return None
        return Agent(agent=agent, message=message, conversation=talk, workdir=workdir, timeout=timeout)

    def _sub_flow(self, found: Mapping[str, Node]) -> SubFlow | None:
        flow = self.values.text(found["flow"], least=1)
        args = self.values.nested(found["args"]) if "args" in found else Fields({})
        return SubFlow(flow=flow, args=args) if flow else None

    def _command(self, found: Mapping[str, Node]) -> Command | None:
        node = found["run"]
        command = self._argv(node) if isinstance(node, tree.Sequence) else self._line(node)
        template = self.values.template
        return (
            None
            if command is None
            else Command(
                command=command,
                stdin=self.values.value(found["stdin"]) if "stdin" in found else None,
                env=self.values.environment(found["env"]) if "env" in found else {},
                workdir=template(found["workdir"]) if "workdir" in found else self.defaults.workdir,
                timeout=self._span(found, "timeout"),
                retry=self.retry(found["retry"]) if "retry" in found else self.defaults.retry,
                check=self.values.boolean(found["check"], True) if "check" in found else True,
            )
        )

    def _line(self, node: Node) -> str | None:
        line = self.values.text(node, least=1)
        if line is not None and (pasted := _PASTED.search(line)):
            self.problems.add(
                node,
                f"{pasted[0]}…}} would be pasted into a line for the shell, and could run as code: pass it by env "
                '(env: {VALUE: …}, and "$VALUE" in the line) or by stdin, or write run as a list',
            )
        return line

    def _argv(self, node: tree.Sequence) -> tuple[Template, ...] | None:
        if not 1 <= len(node.items) <= fields.ARGV_MAX:
            self.problems.add(node, f"a command has from 1 to {fields.ARGV_MAX} items")
            return None
        read = [self.values.template(item) for item in node.items]
        argv = [template for template in read if template is not None]
        if len(argv) < len(read):
            return None
        self._check_argv(node, argv)
        return tuple(argv)

    def _check_argv(self, node: tree.Sequence, argv: list[Template]) -> None:
        words = [template.literal for template in argv]
        if words[0] is None or not words[0].strip():
            self.problems.add(node.items[0], "the first item is the program: it must be named here, without ${…}")
        for index in code_items(words):
            if words[index] is None:
                self.problems.add(
                    node.items[index],
                    "an interpreter would run this item as code, so no ${…} may stand in it: pass the value by env, by "
                    "stdin, or as a further item after the code",
                )

    def _approval(self, found: Mapping[str, Node]) -> Approval | None:
        prompt = self.values.template(found["approval"], fields.PROSE_MAX, least=1)
        preview = self.values.template(found["preview"]) if "preview" in found else None
        expires = self._span(found, "expires")
        return Approval(prompt=prompt, preview=preview, expires=expires) if prompt else None

    def _sleep(self, node: Node) -> Sleep | None:
        until = self.values.template(node, least=1)
        if until is not None and until.literal is not None:
            try:
                sleep_until(until.literal)
            except BadInput as error:
                self.problems.add(node, f"{error}: {error.hint}")
        return Sleep(until=until) if until else None

    def _span(self, found: Mapping[str, Node], name: str) -> float | None:
        return self.values.span(found[name]) if name in found else None

    # how it is done

    def retry(self, node: Node) -> Retry | None:
        """Read the rule by which a command is tried again."""
        found = self.values.fields_of(node, "retry")
        if found is None:
            return None
        attempts = self.values.integer(found["attempts"], 1, fields.ATTEMPTS_MAX) if "attempts" in found else None
        pauses = self._pauses(found["backoff"]) if "backoff" in found else None
        rule = Retry(attempts=attempts or ATTEMPTS_DEFAULT)
        return msgspec.structs.replace(rule, first=pauses[0], longest=pauses[-1]) if pauses else rule

    def _pauses(self, node: Node) -> list[float] | None:
        text = self.values.text(node, 100)
        if text is None:
            return None
        try:
            spans = [parse_duration(span) for span in text.split("..")]
        except BadInput:
            spans = []
        if 1 <= len(spans) <= 2 and spans == sorted(spans):
            return spans
        self.problems.add(node, f"{shown(text)} is no pause: write 5s, or 1s..1m for one that doubles from 1s up to 1m")
        return None

    def _for_each(self, node: Node) -> ForEach | None:
        limits: dict[str, int] = {}
        items: Node = node
        if isinstance(node, tree.Mapping):
            found = self.values.fields_of(node, "for_each")
            if not found or "items" not in found:
                return None
            items = found["items"]
            limits = self._limits(found)
        if isinstance(items, tree.Sequence):
            value = self.values.value(items)
        else:
            expression = self.values.expression(items)
            value = Template((expression,)) if expression else None
            if expression and isinstance(expression.root, Constant):
                self.problems.add(items, f"for_each needs a list, or an expression that is one, not {kind(items)}")
        return None if value is None else ForEach(items=value, **limits)

    def _limits(self, found: Mapping[str, Node]) -> dict[str, int]:
        highest = {"max_parallel": fields.PARALLEL_MAX, "max_items": MAX_ITEMS_DEFAULT * 10}
        read = {name: self.values.integer(found[name], 1, high) for name, high in highest.items() if name in found}
        return {name: number for name, number in read.items() if number is not None}

    def _on_failure(self, node: Node | None) -> tuple[list[Scalar], tuple[Step, ...], bool]:
        """Return the ids of the steps to be run, the cleanup to be run, and whether the flow goes on."""
        if node is None:
            return [], (), False
        if isinstance(node, tree.Mapping):
            return [], self._cleanup(node), False
        if isinstance(node, tree.Sequence):
            if not node.items:
                self.problems.add(node, "this list is empty: write fail, continue, or ids of steps")
            return self._ids(node), (), False
        if isinstance(node, Scalar) and node.text in ("fail", "continue"):
            return [], (), node.text == "continue"
        return self._ids(node), (), False

    def _cleanup(self, node: tree.Mapping) -> tuple[Step, ...]:
        self.values.step = f"{self.values.step}:{CLEANUP}"
        found = self.values.fields_of(node, "cleanup")
        command = self._command(found) if found and "run" in found else None
        return (Step(id=CLEANUP, act=command, title=self._title(found)),) if found and command else ()


def sleep_until(text: str) -> float | datetime:
    """Read how long, in seconds, or until when a step sleeps. Raises BadInput."""
    if not re.match(r"[0-9]{4}-", text):
        return parse_duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput(
            f"{shown(text)} is not a moment",
            code="bad_moment",
            hint="write it with its offset, as in 2027-01-31T08:00:00+01:00",
        )
    return moment
