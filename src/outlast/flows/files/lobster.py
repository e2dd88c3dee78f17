"""Lobster files (``steps`` with ``command``, ``stdin: $id.stdout``, ``approval: required``) as flows of outlast.

Such a file runs unchanged, with one difference that cannot be seen unless a value is hostile: Lobster puts the text of
an argument into the line for the shell, and here the line refers to a variable instead (`shell_line`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from outlast.core.environment import injects_code
from outlast.flows.files import fields, tree
from outlast.flows.files.checks import Known, check_uses
from outlast.flows.files.definition import Act, Approval, Argument, Ask, Command, Definition, Retry, Step
from outlast.flows.files.expressions import BadExpression, Expression, Reference, dollar_reference, parse_expression
from outlast.flows.files.graph import connect
from outlast.flows.files.problems import Problems
from outlast.flows.files.shell_line import BadLine, gaps, rewrite
from outlast.flows.files.steps import Draft
from outlast.flows.files.templates import Template, Value
from outlast.flows.files.tree import Node, Scalar
from outlast.flows.files.values import Values, kind

_FLOW_FIELDS = frozenset({"name", "description", "args", "env", "cwd", "steps"})
_STEP_FIELDS = frozenset({
    "id", "command", "run", "env", "cwd", "stdin", "approval", "condition", "when", "timeout_ms", "on_error", "retry",
})  # fmt: skip
_RETRY_FIELDS = frozenset({"max", "delay_ms", "max_delay_ms", "backoff", "jitter"})
_SIGNS = frozenset({"command", "condition", "pipeline", "cwd", "timeout_ms", "on_error"})
_OURS = frozenset(
    {"needs", "for_each", "on_failure", "workdir", "sleep", "wait", "flow", "timeout", "check", "expires"}
)
_MS_MAX = 365 * 86_400_000


def is_lobster(node: tree.Mapping, path: str) -> bool:
    """True when a document has the shape of a Lobster file: by its name, or by fields that only those have."""
    if path.lower().endswith(".lobster"):
        return True
    steps = node.entries.get("steps")
    items = steps.value.items if steps and isinstance(steps.value, tree.Sequence) else []
    used = {name for item in items if isinstance(item, tree.Mapping) for name in item.entries}
    if used & _OURS or node.entries.keys() - _FLOW_FIELDS:
        return False
    return bool(used & _SIGNS) or any(_has_dollar(item) for item in items)


def _has_dollar(item: Node) -> bool:
    """True when a step refers to another as only Lobster does, or asks after it has run a command."""
    if not isinstance(item, tree.Mapping):
        return False
    values = [item.entries[name].value for name in ("stdin", "when") if name in item.entries]
    dollars = any(isinstance(value, Scalar) and re.match(r"!?\$[A-Za-z0-9_-]+\.", value.text) for value in values)
    return dollars or {"run", "approval"} <= item.entries.keys()


def read_lobster(node: tree.Mapping, name: str, problems: Problems) -> Definition | None:
    """Translate a Lobster file; what is wrong with it, or not supported, is noted in ``problems``."""
    return _Reader(node, problems).read(name)


def variable_of(argument: str) -> str:
    """The variable by which Lobster's commands know an argument: ``user-id`` is LOBSTER_ARG_USER_ID."""
    return "LOBSTER_ARG_" + re.sub(r"[^A-Z0-9]+", "_", argument.upper()).strip("_")


class _Reader:
    def __init__(self, node: tree.Mapping, problems: Problems) -> None:
        self.node = node
        self.problems = problems
        self.values = Values(problems)
        self.args: dict[str, Argument] = {}
        self.variables: dict[str, str] = {}
        self.earlier: set[str] = set()

    def read(self, name: str) -> Definition | None:
        found = self.known(self.node, _FLOW_FIELDS, "a Lobster file")
        if "args" in found:
            self.read_args(found["args"])
        steps = found.get("steps")
        if not isinstance(steps, tree.Sequence) or not steps.items:
            self.problems.add(steps or self.node, "a flow has a list of at least one step")
            return None
        drafts = [draft for item in steps.items if (draft := self.step(item, found)) is not None]
        if len(drafts) < len(steps.items):
            return None
        graph = connect(drafts, frozenset(), self.problems)
        known = Known(graph, {step.id: step for step in graph.steps}, self.args, ())
        check_uses(self.values.uses, known, frozenset(), self.problems)
        title = self.values.text(found["name"], fields.NAME_MAX) if "name" in found else None
        about = self.values.text(found["description"], fields.PROSE_MAX) if "description" in found else None
        args = tuple(self.args.values())
        return Definition(name=title or name, description=about, args=args, env=self.variables_of(), steps=graph.steps)

    def variables_of(self) -> dict[str, Template]:
        """Return the variables that Lobster sets for every command: each argument, and all of them as JSON."""
        every = Expression("args", Reference("args"), truthy=True)
        single = {variable: Template((self.argument(name),)) for variable, name in self.variables.items()}
        return {"LOBSTER_ARGS_JSON": Template((every,))} | single

    def known(self, node: tree.Mapping, names: frozenset[str], what: str) -> dict[str, Node]:
        """Return the fields that are supported; any other could change what the file means."""
        for name, entry in node.entries.items():
            if name not in names:
                near = self.problems.suggestion(name, names)
                self.problems.add(entry.key, f"{name[:60]!r} of {what} is not supported by outlast{near}")
        return {name: entry.value for name, entry in node.entries.items() if name in names}

    # arguments

    def read_args(self, node: Node) -> None:
        for name, entry in self.values.named(node, fields.ARGUMENT_NAME, fields.ENV_MAX, "arguments").items():
            default = None
            if isinstance(entry.value, tree.Mapping):
                rule = self.known(entry.value, frozenset({"default", "description"}), "an argument of a Lobster file")
                default = tree.to_plain(rule["default"]) if "default" in rule else None
            elif not (isinstance(entry.value, Scalar) and entry.value.value is None):
                self.problems.add(entry.value, f"an argument has default and description; this is {kind(entry.value)}")
            self.args[name] = Argument(name=name, type="any", default=default)
            if self.variables.setdefault(variable_of(name), name) != name:
                other = self.variables[variable_of(name)]
                self.problems.add(entry.key, f"{name} and {other} would be the same variable {variable_of(name)}")

    # steps

    def step(self, node: Node, flow: Mapping[str, Node]) -> Draft | None:
        if not isinstance(node, tree.Mapping):
            self.problems.add(node, f"a step is a mapping of fields, not {kind(node)}")
            return None
        found = self.known(node, _STEP_FIELDS, "a Lobster step")
        if "id" not in found:
            self.problems.add(node, "a step has no id")
            return None
        step_id = self.values.matching(found["id"], fields.ID, "an id")
        if step_id is None:
            return None
        self.values.step = step_id
        act = self.act(step_id, node, found, flow)
        when = self.condition(found.get("when", found.get("condition")))
        goes_on = self.goes_on(found["on_error"]) if "on_error" in found else False
        self.values.step = None
        self.earlier.add(step_id)
        if act is None:
            return None
        step = Step(id=step_id, act=act, when=when, on_failure="continue" if goes_on else "fail")
        return Draft(step, node, None, [])

    def act(self, step_id: str, node: tree.Mapping, found: Mapping[str, Node], flow: Mapping[str, Node]) -> Act | None:
        lines = [found[name] for name in ("run", "command") if name in found]
        ask = self.ask(found["approval"], step_id) if "approval" in found else None
        stdin = self.stdin(found["stdin"]) if "stdin" in found else None
        if len(lines) > 1 or (not lines and ask is None):
            self.problems.add(node, "a step has a command, or an approval, or both; not run and command")
            return None
        if not lines:
            return self.question(ask, stdin)
        used = _Variables(self)
        line = self.line(lines[0], used)
        workdir = found.get("cwd", flow.get("cwd"))
        if line is None:
            return None
        return Command(
            command=line,
            stdin=stdin,
            env=self.environment(found, flow) | used.templates,
            workdir=self.text(workdir) if workdir is not None else None,
            timeout=self.milliseconds(found["timeout_ms"]) if "timeout_ms" in found else None,
            retry=self.retry(found["retry"]) if "retry" in found else None,
            ask=ask,
        )

    def question(self, ask: Ask | None, stdin: Value | None) -> Approval | None:
        """An approval without a command shows its input."""
        preview = stdin if isinstance(stdin, Template) else None
        return Approval(prompt=ask.prompt, preview=ask.preview or preview) if ask else None

    def line(self, node: Node, used: _Variables) -> str | None:
        """Return the line with variables for its placeholders."""
        text = self.values.text(node, least=1)
        try:
            return None if text is None else rewrite(text, used.variable)
        except BadLine as bad:
            hint = 'its value could run as code. Read the variable ("$LOBSTER_ARG_NAME") or the standard input there'
            self.problems.add(node, f"{bad}: {hint}")
        except BadExpression as bad:
            self.problems.add(node, str(bad))
        return None

    def environment(self, found: Mapping[str, Node], flow: Mapping[str, Node]) -> dict[str, Template]:
        """Return the variables of a step: the flow's, and its own."""
        env: dict[str, Template] = {}
        for node in (flow.get("env"), found.get("env")):
            entries = {} if node is None else self.values.named(node, fields.VARIABLE_NAME, fields.ENV_MAX, "variables")
            for name, entry in entries.items():
                template = self.text(entry.value)
                if template is not None and template.literal is None and injects_code(name):
                    self.problems.add(entry.value, f"{name} decides which code programs run: no value may fill it")
                elif template is not None:
                    env[name] = template
        return env

    # values

    def argument(self, name: str) -> Expression:
        return Expression(f"args.{name}", Reference("args", name, lenient=True), truthy=True)

    def reference(self, text: str) -> Expression:
        """Return what ``id.stdout`` and its like refer to. Raises BadExpression."""
        return Expression(f"${text}", dollar_reference(text), truthy=True)

    def text(self, node: Node) -> Template | None:
        """Read a text in which arguments and parts of earlier steps are filled in; what is neither stays as it is."""
        text = self.values.text(node)
        if text is None:
            return None
        parts: list[str | Expression] = []
        at = 0
        try:
            for gap in gaps(text):
                filled = self.filled_in(gap)
                if filled is not None:
                    parts += [text[at : gap.start()], filled]
                    at = gap.end()
        except BadExpression as bad:
            self.problems.add(node, str(bad))
        return Template(tuple(part for part in [*parts, text[at:]] if part != ""))

    def filled_in(self, gap: re.Match[str]) -> Expression | None:
        if gap["id"] is not None:
            return self.reference(f"{gap['id']}.{gap['path']}") if gap["id"] in self.earlier else None
        name = gap["variable"] or gap["name"]
        name = self.variables.get(name, name)
        return self.argument(name) if name in self.args else None

    def stdin(self, node: Node) -> Value | None:
        if isinstance(node, Scalar) and node.value is None:
            return None
        return self.text(node) if isinstance(node, Scalar) else self.values.value(node)

    def condition(self, node: Node | None) -> Expression | None:
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return None
        text = self.values.text(node, least=1)
        if text is None:
            return None
        try:
            return self.values.met(parse_expression(text, dollars=True), node)
        except BadExpression as bad:
            self.problems.add(node, str(bad))
            return None

    def ask(self, node: Node, step_id: str) -> Ask | None:
        """Read what is asked: nothing for false, else a question of its own or one with the id of the step."""
        usual = Ask(prompt=Template((f"Approve {step_id}?",)))
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return usual if node.value else None
        if isinstance(node, tree.Mapping):
            rule = self.known(node, frozenset({"prompt", "preview"}), "an approval of a Lobster file")
            prompt = self.text(rule["prompt"]) if "prompt" in rule else None
            return Ask(prompt=prompt or usual.prompt, preview=self.text(rule["preview"]) if "preview" in rule else None)
        text = self.values.text(node, fields.PROSE_MAX, least=1)
        template = self.text(node) if text and text != "required" else None
        return Ask(prompt=template) if template else usual

    # how it is done

    def milliseconds(self, node: Node) -> float | None:
        number = self.values.integer(node, 1, _MS_MAX)
        return None if number is None else number / 1000

    def goes_on(self, node: Node) -> bool:
        text = self.values.text(node)
        if text not in (None, "stop", "continue"):
            self.problems.add(node, "outlast knows stop and continue here")
        return text == "continue"

    def retry(self, node: Node) -> Retry | None:
        """Read Lobster's rule: ``max`` tries in all, with a pause that stays or doubles."""
        if not isinstance(node, tree.Mapping):
            self.problems.add(node, f"retry is a mapping of fields, not {kind(node)}")
            return None
        rule = self.known(node, _RETRY_FIELDS, "retry in a Lobster file")
        read: dict[str, int] = {}
        for name, usual in (("max", 1), ("delay_ms", 1000), ("max_delay_ms", 30_000)):
            high = fields.ATTEMPTS_MAX if name == "max" else _MS_MAX
            number = self.values.integer(rule[name], 0, high) if name in rule else usual
            read[name] = usual if number is None else number
        backoff = self.values.text(rule["backoff"]) if "backoff" in rule else "fixed"
        if backoff not in (None, "fixed", "exponential"):
            self.problems.add(rule["backoff"], "there are fixed and exponential")
        low = read["delay_ms"]
        high = max(low, read["max_delay_ms"]) if backoff == "exponential" else low
        return Retry(attempts=max(1, read["max"]), first=low / 1000, longest=high / 1000)


class _Variables:
    """The variables that a line refers to: those of arguments are there anyway, those for parts of steps are made."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.templates: dict[str, Template] = {}
        self.names: dict[str, str] = {}

    def variable(self, name: str, path: str | None) -> str | None:
        """Return the variable for a placeholder, None for what is no placeholder. Raises BadExpression."""
        if path is None:
            return variable_of(name) if name in self.reader.args else None
        if name not in self.reader.earlier:
            return None
        text = f"{name}.{path}"
        if text not in self.names:
            variable = f"LOBSTER_REF_{len(self.names) + 1}"
            self.names[text] = variable
            self.templates[variable] = Template((self.reader.reference(text),))
        return self.names[text]
