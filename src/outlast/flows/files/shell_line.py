"""Placeholders in a line for the shell, turned into references to variables: a value never becomes part of the line.

Lobster puts the text of a value into the line, where it can end a quote and run as code. Here ``${tag}`` becomes
``"${LOBSTER_ARG_TAG}"`` (in the quotes that fit the place), and the shell takes what the variable holds as it is: one
word, neither split nor expanded nor read as code. Where even that would be code, the line is refused:
in arithmetic, in ``[[ … ]]``, as the name of a program, in what an interpreter is told to run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from outlast.core.interpreters import code_items

_GAP = re.compile(
    r"\$\{(?P<name>[A-Za-z0-9_-]+)\}"
    r"|\$(?P<variable>LOBSTER_ARG_[A-Z0-9_]+)"
    r"|\$(?P<brace>\{)?(?P<id>[A-Za-z0-9_-]+)\.(?P<path>[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)(?(brace)\})"
)
_REDIRECTION = re.compile(r"&>>?|<<<|<<-?|<>|[<>]&|>>|>\||[<>](?!\()")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_PASSED_OVER = frozenset({
    "if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "exec", "command", "builtin", "nohup",
})  # fmt: skip
# Shell built-ins that run, evaluate or name what they are given.
_EVALUATING = frozenset({
    "[[", "let", "declare", "typeset", "local", "readonly", "unset", "trap", "alias", "source", ".", "mapfile", "read",
})  # fmt: skip
_DEPTH_MAX = 20

Lookup = Callable[[str, str | None], str | None]
"""Returns the variable for an argument ``(name, None)`` or a part of a step ``(id, path)``; None leaves it alone."""


class BadLine(Exception):
    """A placeholder cannot stand where it stands; the message says why."""


def rewrite(line: str, lookup: Lookup) -> str:
    """Return the line with every placeholder as a reference to a variable. Raises BadLine."""
    return _Scanner(line, lookup).run()


def gaps(text: str) -> Iterable[re.Match[str]]:
    """Every text that looks like a placeholder.

    Group ``name`` of an argument, ``variable`` of an argument as Lobster's commands know it, ``id`` and ``path`` of a
    part of a step.
    """
    return _GAP.finditer(text)


class _Scanner:
    def __init__(self, text: str, lookup: Lookup) -> None:
        self.text = text
        self.lookup = lookup
        self.at = 0
        self.out: list[str] = []
        self.here_document = False
        self.filled = 0

    def run(self) -> str:
        self.code(None, 0)
        return "".join(self.out)

    def keep(self, count: int) -> None:
        self.out.append(self.text[self.at : self.at + count])
        self.at += count

    def gap(self, quote: str) -> bool:
        """Replace a placeholder that begins here. ``quote`` is what it stands in: nothing, ``"`` or ``'``."""
        match = _GAP.match(self.text, self.at)
        variable = self.variable(match) if match else None
        if match is None or variable is None:
            return False
        if self.here_document:
            raise BadLine(f"{match[0]} stands in or behind a here-document")
        reference = f"${{{variable}}}"
        self.out.append({"": f'"{reference}"', '"': reference, "'": f"'\"{reference}\"'"}[quote])
        self.at = match.end()
        self.filled += 1
        return True

    def variable(self, match: re.Match[str]) -> str | None:
        """Return what a placeholder becomes; ``$LOBSTER_ARG_X`` is the author's own reference and stays."""
        return None if match["variable"] else self.lookup(match["name"] or match["id"], match["path"])

    def code(self, end: str | None, depth: int) -> None:
        """Pass over commands, up to a closing parenthesis or the end of the text."""
        if depth > _DEPTH_MAX:
            raise BadLine("the line is too deep")
        words = _Words()
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == end:
                break
            if redirection := _REDIRECTION.match(self.text, self.at):
                words.redirect()
                self.here_document = self.here_document or redirection[0] in ("<<", "<<-")
                self.keep(len(redirection[0]))
            elif char in ";&|\n()":
                words.finish()
                self.separator(depth)
            elif char in " \t\r<>":
                words.close()
                self.keep(1)
            elif char == "#" and not words.open:
                self.comment()
            else:
                words.add(*self.piece(depth))
        words.finish()
        self.keep(1)

    def separator(self, depth: int) -> None:
        if self.text.startswith("((", self.at):
            self.opaque(2, "))", "arithmetic")
        elif self.text[self.at] == "(":
            self.keep(1)
            self.code(")", depth + 1)
        else:
            self.keep(1)

    def comment(self) -> None:
        newline = self.text.find("\n", self.at)
        self.keep((newline if newline >= 0 else len(self.text)) - self.at)

    def piece(self, depth: int) -> tuple[str, bool]:
        """Pass over a part of a word; return its text, and whether a placeholder was in it."""
        start = self.at
        found = self._piece(depth)
        return self.text[start : self.at].strip("'\""), found

    def _piece(self, depth: int) -> bool:
        char = self.text[self.at]
        if char == "'":
            return self.single()
        if char == '"':
            return self.double(depth)
        return self.special("", depth)

    def special(self, quote: str, depth: int) -> bool:
        """Pass over one character that stands in no quotes or in double ones, or what it begins."""
        text, at = self.text, self.at
        if text[at] == "\\":
            self.keep(2)
        elif text[at] == "`":
            self.opaque(1, "`", "backquotes")
        elif text[at] != "$":
            self.keep(1)
        elif self.gap(quote):
            return True
        elif text.startswith("$((", at):
            self.opaque(3, "))", "arithmetic")
        elif text.startswith("$(", at):
            self.keep(2)
            before = self.filled
            self.code(")", depth + 1)
            return self.filled > before
        elif text.startswith("${", at):
            self.opaque(2, "}", "${…} of the shell")
        elif text.startswith("$[", at):
            self.opaque(2, "]", "arithmetic")
        elif text.startswith("$'", at) and not quote:
            self.opaque(2, "'", "$'…'")
        else:
            self.keep(1)
        return False

    def single(self) -> bool:
        self.keep(1)
        found = False
        while self.at < len(self.text) and self.text[self.at] != "'":
            if self.gap("'"):
                found = True
            else:
                self.keep(1)
        self.keep(1)
        return found

    def double(self, depth: int) -> bool:
        self.keep(1)
        found = False
        while self.at < len(self.text) and self.text[self.at] != '"':
            found = self.special('"', depth) or found
        self.keep(1)
        return found

    def opaque(self, opening: int, closing: str, what: str) -> None:
        """Pass over a construct in which no placeholder may stand."""
        end = self.text.find(closing, self.at + opening)
        end = len(self.text) if end < 0 else end + len(closing)
        for match in _GAP.finditer(self.text, self.at + min(opening, 1), end):
            if self.variable(match) is not None:
                raise BadLine(f"{match[0]} stands in {what}")
        self.keep(end - self.at)


class _Words:
    """The words of one simple command, as far as they matter: what is its program, and what is handed to whom."""

    def __init__(self) -> None:
        self.words: list[str | None] = []
        self.text = ""
        self.open = False
        self.filled = False
        self.target = False

    def add(self, text: str, filled: bool) -> None:
        self.text += text
        self.open = True
        self.filled = self.filled or filled

    def close(self) -> None:
        """The word ends here."""
        first = not self.words
        left_out = first and (_ASSIGNMENT.match(self.text) or (not self.filled and self.text in _PASSED_OVER))
        if self.open and not self.target and not left_out:
            self.words.append(None if self.filled else self.text)
        if self.open:
            self.text, self.open, self.filled, self.target = "", False, False, False

    def redirect(self) -> None:
        """What comes next is the target of a redirection, not a word of the command."""
        self.close()
        self.target = True

    def finish(self) -> None:
        """The command ends here. Raises BadLine when a value could choose or write what is run."""
        self.close()
        self.target = False
        words, self.words = self.words, []
        if None not in words:
            return
        if words[0] is None:
            raise BadLine("a placeholder stands where a program is named")
        if words[0] in _EVALUATING or ("-v" in words and words[0] in ("test", "[", "printf")):
            raise BadLine(f"a placeholder stands in what {words[0]} evaluates")
        if any(words[index] is None for index in code_items(words)):
            raise BadLine("a placeholder stands in what an interpreter would run as code")
