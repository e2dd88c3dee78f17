"""The small language of ``when``, ``for_each``, ``outputs`` and ``${…}``: what can be said in it, and reading it.

::

    steps.build.output.files[0].name == "wheel" and not steps.ask.approved
    args.tags + "-" + item        len(steps.list.json) <= 10        "urgent" in steps.mail.json.tags

References name what is known: ``steps.ID.PART``, ``args.NAME``, ``env.NAME``, ``item``, ``index``. There are no other
names, no calls but ``len(…)``, and nothing that could run code or reach an attribute. An expression is data: it can be
kept beside the flow as JSON, and `outlast.flows.files.evaluate` says what it is worth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, get_args

import msgspec

SOURCE_MAX = 1000
"""Characters of one expression."""

DEPTH_MAX = 30
"""How deep parentheses, ``not`` and ``len`` may stand in each other."""

Root = Literal["steps", "args", "env", "item", "index"]
Part = Literal["output", "json", "stdout", "status", "exit_code", "approved"]
Comparator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
ROOTS: tuple[str, ...] = get_args(Root)
PARTS: tuple[str, ...] = get_args(Part)


class BadExpression(Exception):
    """The text is not an expression; the message says why."""


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """A number, a text, ``true``, ``false`` or ``null``."""

    value: bool | int | float | str | None


class Reference(msgspec.Struct, frozen=True, tag="reference"):
    """A value that is known when a step begins.

    ``name`` is the id of a step or the name of an argument or variable, empty for ``item``, ``index`` and all arguments
    at once; ``path`` leads into a JSON value. What a ``lenient`` one does not find is null instead of an error.
    """

    root: Root
    name: str = ""
    part: Part | None = None
    path: tuple[str | int, ...] = ()
    lenient: bool = False


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The opposite of a condition."""

    value: Node


class Every(msgspec.Struct, frozen=True, tag="and"):
    """True when all conditions are; those after the first false one are not looked at."""

    values: tuple[Node, ...]


class Some(msgspec.Struct, frozen=True, tag="or"):
    """True when one condition is; those after the first true one are not looked at."""

    values: tuple[Node, ...]


class Comparison(msgspec.Struct, frozen=True, tag="compare"):
    """Two values compared."""

    operator: Comparator
    left: Node
    right: Node


class Sum(msgspec.Struct, frozen=True, tag="sum"):
    """Numbers added up, or texts put together."""

    values: tuple[Node, ...]


class Length(msgspec.Struct, frozen=True, tag="len"):
    """How long a text, a list or a mapping is."""

    value: Node


Node = Constant | Reference | Not | Every | Some | Comparison | Sum | Length


class Expression(msgspec.Struct, frozen=True):
    """A text that was read, and what it says.

    ``truthy``: as a condition it may be worth any value, as in a Lobster file; else only true, false or null.
    """

    source: str
    root: Node
    truthy: bool = False

    @property
    def references(self) -> Iterator[Reference]:
        """Every reference in it."""
        return _references(self.root)

    @property
    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison in it."""
        return (node for node in _walk(self.root) if isinstance(node, Comparison))


def parse_expression(text: str, *, dollars: bool = False) -> Expression:
    """Read an expression; with ``dollars`` in the spelling of a Lobster file. Raises BadExpression."""
    if len(text) > SOURCE_MAX:
        raise BadExpression(f"an expression has at most {SOURCE_MAX} characters")
    tokens = list(_tokens(text))
    return Expression(text.strip(), _Parser(tokens, dollars).whole(), dollars)


def _walk(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Every | Some | Sum):
        for value in node.values:
            yield from _walk(value)
    elif isinstance(node, Comparison):
        yield from _walk(node.left)
        yield from _walk(node.right)
    elif isinstance(node, Not | Length):
        yield from _walk(node.value)


def _references(node: Node) -> Iterator[Reference]:
    return (part for part in _walk(node) if isinstance(part, Reference))


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![A-Za-z0-9_-]))
    | (?P<dollar>\$[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_]+)+)
    | (?P<name>[A-Za-z0-9_][A-Za-z0-9_-]*)
    | (?P<sign>==|!=|<=|>=|&&|\|\||[<>!()\[\].,+])
    | (?P<end>\Z)
    )""",
    re.X | re.S,
)
_ESCAPE = re.compile(r"\\(.)", re.S)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}

_Token = tuple[str, str]


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            what = "a quote is not closed" if rest[0] in "'\"" else f"{rest[:12]!r} is not understood"
            raise BadExpression(what)
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]
        if match.lastgroup == "end":
            return
        at = match.end()


_WORDS = frozenset({"and", "or", "not", "in", "len", "true", "false", "null"})
_CONSTANTS = {"true": True, "false": False, "null": None}
_COMPARATORS = frozenset(get_args(Comparator))


class _Parser:
    def __init__(self, tokens: list[_Token], dollars: bool) -> None:
        self.tokens = tokens
        self.dollars = dollars
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        node = self.some()
        if self.kind != "end":
            raise BadExpression(f"{self.word!r} cannot stand here")
        return node

    @property
    def kind(self) -> str:
        return self.tokens[self.at][0]

    @property
    def word(self) -> str:
        return self.tokens[self.at][1]

    def next(self) -> str:
        word = self.word
        self.at += 1
        return word

    def taken(self, *words: str) -> bool:
        """Pass over one of some words or signs, when it stands here."""
        if self.kind in ("name", "sign") and self.word in words:
            self.at += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.taken(sign):
            found = "the expression ends" if self.kind == "end" else f"{self.word!r} stands"
            raise BadExpression(f"{sign!r} is missing where {found}")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise BadExpression(f"an expression is at most {DEPTH_MAX} levels deep")

    def some(self) -> Node:
        values = [self.every()]
        while self.taken("or", "||"):
            values.append(self.every())
        return values[0] if len(values) == 1 else Some(tuple(values))

    def every(self) -> Node:
        values = [self.negated()]
        while self.taken("and", "&&"):
            values.append(self.negated())
        return values[0] if len(values) == 1 else Every(tuple(values))

    def negated(self) -> Node:
        if not self.taken("not"):
            return self.comparison()
        self.deeper()
        node = Not(self.negated())
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        left = self.sum()
        operator = self.comparator()
        if operator is None:
            return left
        negated = operator == "not in"
        right = self.bare_text() or self.sum()
        if self.comparator() is not None:
            raise BadExpression("comparisons do not chain: put 'and' between them")
        node = Comparison("in" if negated else operator, left, right)  # type: ignore[arg-type]
        return Not(node) if negated else node

    def comparator(self) -> str | None:
        if self.kind in ("name", "sign") and self.word in _COMPARATORS:
            return self.next()
        if self.kind == "name" and self.word == "not" and self.tokens[self.at + 1] == ("name", "in"):
            self.at += 2
            return "not in"
        return None

    def bare_text(self) -> Node | None:
        """A word without quotes after a comparison, which a Lobster file may have."""
        if self.dollars and self.kind == "name" and self.word not in _WORDS:
            return Constant(self.next())
        return None

    def sum(self) -> Node:
        values = [self.operand()]
        while self.taken("+"):
            values.append(self.operand())
        return values[0] if len(values) == 1 else Sum(tuple(values))

    def operand(self) -> Node:
        kind, word = self.kind, self.word
        if kind == "text":
            return Constant(_unquoted(self.next()))
        if kind == "number":
            return Constant(_number(self.next()))
        if kind == "dollar" and self.dollars:
            return dollar_reference(self.next()[1:])
        if kind == "sign" and word in ("!", "("):
            return self.nested(self.next())
        if kind != "name":
            raise BadExpression("the expression breaks off" if kind == "end" else f"{word!r} cannot stand here")
        return self.named(self.next())

    def nested(self, sign: str) -> Node:
        self.deeper()
        if sign == "!":
            node: Node = Not(self.operand())
        else:
            node = self.some()
            self.expect(")")
        self.depth -= 1
        return node

    def named(self, word: str) -> Node:
        if word in _CONSTANTS:
            return Constant(_CONSTANTS[word])
        if word == "len":
            self.expect("(")
            return Length(self.nested("("))
        if self.dollars or word not in ROOTS:
            known = "$id.stdout, $id.json, $id.approved" if self.dollars else "steps, args, env, item, index"
            raise BadExpression(f"{word!r} is not known here: there are {known}; a text stands in quotes")
        return self.reference(word)

    def reference(self, root: str) -> Reference:
        name, part = "", None
        if root in ("steps", "args", "env"):
            name = self.member(f"{root}. is followed by a name, as in {_EXAMPLES[root]}")
        if root == "steps":
            part = self.member(f"say which part of {name}: {', '.join(PARTS)}")
            if part not in PARTS:
                raise BadExpression(f"{part!r} is no part of a step: there are {', '.join(PARTS)}")
        path = self.path()
        if path and (root in ("env", "index") or part in ("stdout", "status", "exit_code", "approved")):
            raise BadExpression(f"{part or root} has no parts of its own: take .json or .output for a field")
        return Reference(root, name, part, path)  # type: ignore[arg-type]

    def member(self, missing: str) -> str:
        """The name after a dot, or in brackets."""
        found = self.path(1)
        if not found or not isinstance(found[0], str):
            raise BadExpression(missing)
        return found[0]

    def path(self, count: int = SOURCE_MAX) -> tuple[str | int, ...]:
        steps: list[str | int] = []
        while len(steps) < count:
            if self.taken("."):
                # `.0` and `.1e3` are names here, whatever they look like elsewhere
                if self.kind not in ("name", "number") or not FIELD.fullmatch(self.word):
                    raise BadExpression('a name is missing after the dot; other names stand in brackets, as in ["a b"]')
                steps.append(self.next())
            elif self.taken("["):
                steps.append(self.subscript())
                self.expect("]")
            else:
                break
        return tuple(steps)

    def subscript(self) -> str | int:
        if self.kind == "text":
            return _unquoted(self.next())
        if self.kind == "number" and self.word.isdigit():
            return int(self.next()[:10])
        raise BadExpression("in brackets stands a number from 0 or a text in quotes")


FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_EXAMPLES = {"steps": "steps.build.output", "args": "args.version", "env": "env.STAGE"}


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text[1:-1])


def _number(text: str) -> int | float:
    value = float(text)
    if abs(value) > 2**63:
        raise BadExpression(f"{text[:30]} is too large")
    return int(text) if text.lstrip("-").isdigit() else value


def dollar_reference(text: str) -> Reference | Comparison:
    """Read ``id.stdout``, ``id.json.field``, ``id.approved``, ``id.skipped`` or ``id.error`` of a Lobster file.

    Raises BadExpression for another part.
    """
    name, part, *path = text.split(".")
    if part == "json":
        return Reference("steps", name, "json", tuple(int(p[:10]) if p.isdigit() else p for p in path), lenient=True)
    if path:
        raise BadExpression(f"${text}: only json has fields")
    if part in ("skipped", "error"):
        status = Reference("steps", name, "status")
        return Comparison("==" if part == "skipped" else "in", status, _ENDS[part])
    if part not in ("stdout", "approved"):
        raise BadExpression(f"${text}: there are stdout, json, json.FIELD, approved, skipped and error")
    return Reference("steps", name, part, lenient=True)  # type: ignore[arg-type]


_ENDS = {"skipped": Constant("skipped"), "error": Constant("failed timed_out cancelled lost")}
