"""From the text of a flow file to its `Definition`, or to everything that is wrong with it.

Reading runs nothing, opens nothing but the file, and is bounded: 1 MiB, 1,000 steps, 32 levels, no anchors, no tags.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from outlast.core.errors import BadInput
from outlast.flows.files import fields, lobster, tree
from outlast.flows.files.arguments import read_arguments
from outlast.flows.files.checks import Known, check_signals, check_uses
from outlast.flows.files.definition import Concurrency, Definition
from outlast.flows.files.graph import connect
from outlast.flows.files.json_tree import parse_json
from outlast.flows.files.problems import Problem, Problems, Unreadable
from outlast.flows.files.steps import Defaults, Draft, StepReader
from outlast.flows.files.tree import Node, Scalar
from outlast.flows.files.values import Values, kind
from outlast.flows.files.yaml_tree import parse_yaml

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_ENDINGS = re.compile(r"(\.flow)?\.(ya?ml|json|lobster)$", re.I)


class Checked(NamedTuple):
    """What came of reading: a definition, unless there are problems."""

    name: str
    definition: Definition | None
    problems: list[Problem]

    @property
    def lines(self) -> list[str]:
        """The problems as lines, ``file:line:column: sentence``."""
        return [problem.shown(self.name) for problem in self.problems]

    def required(self) -> Definition:
        """Return the definition, or raise `BadInput` (``bad_flow_file``) with every problem on a line."""
        if self.definition is None:
            hint = f"mend the file, then: outlast flow check {self.name}"
            raise BadInput("\n".join(self.lines), code="bad_flow_file", hint=hint)
        return self.definition


def check_file(path: str) -> Checked:
    """Read a file. Raises `BadInput` (``bad_flow_file``) when there is no reading it at all."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadInput(f"{path} is not a file", code="bad_flow_file", hint="name a YAML or JSON file")
            content = file.read(tree.SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path!r} cannot be read: {why}", code="bad_flow_file") from None
    return check_text(content, path)


def check_text(content: str | bytes, name: str) -> Checked:
    """Read the text of a file called ``name``; ``.json`` is JSON, ``.lobster`` a Lobster file, all else YAML."""
    problems = Problems()
    try:
        node = _parsed(_decoded(content), name, problems)
        definition = _read(node, _ENDINGS.sub("", os.path.basename(name)), name, problems)
    except Unreadable as unreadable:
        problems.add(unreadable.problem, unreadable.problem.sentence)
        definition = None
    return Checked(name, None if problems else definition, problems.listed())


def _decoded(content: str | bytes) -> str:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if len(data) > tree.SIZE_MAX:
        raise Unreadable(1, 1, f"the file is larger than {tree.SIZE_MAX // 1024} KiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(data.count(b"\n", 0, error.start) + 1, 1, "the file is not UTF-8") from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        column = control.start() - text.rfind("\n", 0, control.start())
        raise Unreadable(line, column, f"the character {control[0]!r} cannot stand in a flow file")
    return text


def _parsed(text: str, name: str, problems: Problems) -> Node:
    if name.lower().endswith(".json"):
        return parse_json(text, problems)
    if text.lstrip().startswith("{"):
        attempt = Problems()
        try:
            node = parse_json(text, attempt)
        except Unreadable:
            return parse_yaml(text, problems)
        for problem in attempt.listed():
            problems.add(problem, problem.sentence)
        return node
    return parse_yaml(text, problems)


def _read(node: Node, name: str, path: str, problems: Problems) -> Definition | None:
    if not isinstance(node, tree.Mapping):
        problems.add(node, f"a flow file is a mapping of fields, not {kind(node)}")
        return None
    if lobster.is_lobster(node, path):
        return lobster.read_lobster(node, name, problems)
    return _FlowReader(problems).read(node, name)


class _FlowReader:
    """Reads a flow file of outlast's own form."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.values = Values(problems)

    def read(self, node: tree.Mapping, name: str) -> Definition | None:
        found = self.values.fields_of(node, "flow") or {}
        args = read_arguments(found["args"], self.values) if "args" in found else ()
        self.values.early = True
        env = self.values.environment(found["env"]) if "env" in found else {}
        goal = self.values.template(found["goal"], fields.PROSE_MAX) if "goal" in found else None
        concurrency = self.concurrency(found["concurrency"]) if "concurrency" in found else None
        reader = StepReader(self.values, self.problems, Defaults())
        reader.defaults = self.defaults(found, reader)
        self.values.early = False
        drafts, broken = self.steps(found, reader)
        outputs = self.values.nested(found["outputs"]).fields if "outputs" in found else None
        graph = connect(drafts, broken, self.problems)
        steps = {draft.step.id: draft.step for draft in drafts}
        known = Known(graph, steps, [argument.name for argument in args], env)
        check_uses(self.values.uses, known, broken, self.problems)
        check_signals(drafts, graph, self.problems)
        return Definition(
            name=self.text(found, "name", fields.NAME_MAX) or name,
            goal=goal,
            description=self.text(found, "description", fields.PROSE_MAX),
            args=args,
            env=env,
            steps=graph.steps,
            outputs=outputs,
            timeout=self.values.span(found["timeout"]) if "timeout" in found else None,
            concurrency=concurrency,
        )

    def defaults(self, found: dict[str, Node], reader: StepReader) -> Defaults:
        """What commands do that say nothing themselves."""
        workdir = self.values.template(found["workdir"]) if "workdir" in found else None
        return Defaults(workdir, reader.retry(found["retry"]) if "retry" in found else None)

    def steps(self, found: dict[str, Node], reader: StepReader) -> tuple[list[Draft], frozenset[str]]:
        """Return the steps that could be read, and the ids of those that could not."""
        node = found.get("steps")
        if not isinstance(node, tree.Sequence) or not node.items:
            if node is not None:
                self.problems.add(node, f"steps is a list of at least one step, not {kind(node)}")
            return [], frozenset()
        drafts = [draft for item in node.items if (draft := reader.read(item)) is not None]
        named = (
            item.entries["id"].value for item in node.items if isinstance(item, tree.Mapping) and "id" in item.entries
        )
        ids = {value.text for value in named if isinstance(value, Scalar)}
        return drafts, frozenset(ids - {draft.step.id for draft in drafts})

    def text(self, found: dict[str, Node], name: str, most: int) -> str | None:
        """Read one of the texts for people."""
        return self.values.text(found[name], most, least=1) if name in found else None

    def concurrency(self, node: Node) -> Concurrency | None:
        """Read what runs of this flow have to do with each other."""
        if isinstance(node, Scalar):
            key = self.values.template(node, fields.NAME_MAX, least=1)
            return Concurrency(key=key) if key else None
        found = self.values.fields_of(node, "concurrency")
        if not found or "key" not in found:
            return None
        key = self.values.template(found["key"], fields.NAME_MAX, least=1)
        most = self.values.integer(found["max"], 1, tree.ITEMS_MAX) if "max" in found else None
        return Concurrency(key=key, max=most or 1) if key else None
