"""A shell command taken apart into words and operators, for advice only.

This is not a shell: nothing is expanded, and a construct it does not know is kept as an opaque part of a
word. What it does promise is that quoted text, comments and here-documents are never taken for commands,
and that the time is linear in the length of any text: every character is passed over once.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_PLAIN = re.compile(r"[^\s'\"\\$`;&|<>()]+", re.ASCII)
_OPERATOR = re.compile(r"&&|\|\||\|&|;;&?|;&|<<<|<<-?|<>|<&|&>>|&>|>>|>&|>\||[;&|<>()\n]")
_NESTING = re.compile(r"[\\'\"`(){}$]")
_DOUBLE_ESCAPE = re.compile(r"\\([\"\\$`\n])")
_ANSI_BODY = re.compile(r"(?:[^'\\]|\\.)*+", re.DOTALL)
_ANSI_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ANSI = {"n": "\n", "t": "\t", "r": "\r"}


class Token(NamedTuple):
    """One piece of a command.

    ``text`` has the quotes taken off and expansions left as they were written. ``plain`` is true for a word
    without any quoting or expansion: only such a word can be a reserved word. A ``body`` is the text of a
    here-document.
    """

    kind: Literal["word", "operator", "body"]
    text: str
    plain: bool = False


def split(text: str) -> list[Token]:
    """Return the tokens of a shell command; a newline is the operator ``"\\n"``.

    Never fails: an unfinished quote or expansion reaches to the end of the text.
    """
    return _Splitter(text).run()


class _Splitter:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.tokens: list[Token] = []
        self.bodies: list[tuple[int, str, bool]] = []
        self.arithmetic = True

    def run(self) -> list[Token]:
        text = self.text
        while self.at < len(text):
            if blank := _BLANK.match(text, self.at):
                self.at = blank.end()
            elif text[self.at] == "#":
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end
            elif self._at_substitution() or not (operator := _OPERATOR.match(text, self.at)):
                self._word()
            else:
                self._operator(operator[0])
        return self.tokens

    def _at_substitution(self) -> bool:
        return self.text.startswith(("<(", ">("), self.at)

    def _operator(self, operator: str) -> None:
        if operator == "(" and self.arithmetic and self.text.startswith("((", self.at):
            end = self._nested(self.at + 1, [")"])
            if self.text.startswith("))", end - 2):
                self.tokens.append(Token("word", self.text[self.at : end]))
                self.at = end
                return
            # Subshells inside subshells after all. Looking ahead only once keeps "((((((…" linear.
            self.arithmetic = False
        self.at += len(operator)
        if operator == "\n":
            self.tokens.append(Token("operator", operator))
            self._read_bodies()
        elif operator in ("<<", "<<-"):
            if blank := _BLANK.match(self.text, self.at):
                self.at = blank.end()
            before = len(self.tokens)
            self._word()
            delimiter = self.tokens[before].text if len(self.tokens) > before else ""
            self.tokens[before:] = [Token("body", "")]
            self.bodies.append((before, delimiter, operator == "<<-"))
        else:
            self.tokens.append(Token("operator", operator))

    def _read_bodies(self) -> None:
        for index, delimiter, strip_tabs in self.bodies:
            start = end = self.at
            while end < len(self.text):
                newline = self.text.find("\n", end)
                after = len(self.text) if newline < 0 else newline + 1
                line = self.text[end : newline if newline >= 0 else after]
                if (line.lstrip("\t") if strip_tabs else line) == delimiter:
                    self.at = after
                    break
                end = after
            else:
                self.at = end
            self.tokens[index] = Token("body", self.text[start:end])
        self.bodies.clear()

    def _word(self) -> None:
        parts: list[str] = []
        plain = True
        while self.at < len(self.text):
            if run := _PLAIN.match(self.text, self.at):
                parts.append(run[0])
                self.at = run.end()
                continue
            if self.text[self.at] not in "'\"\\$`" and not self._at_substitution():
                break
            if self.text.startswith("\\\n", self.at):
                self.at += 2
                continue
            plain = False
            parts.append(self._special())
        word = "".join(parts)
        if plain and word.isdigit() and self.text.startswith(("<", ">"), self.at):
            return  # the descriptor number of a redirection, as in 2>&1
        if parts:
            self.tokens.append(Token("word", word, plain))
        elif self.at < len(self.text) and self.text[self.at] not in ";&|<>() \t\r\n":
            self.at += 1  # a blank that is not the shell's, such as a form feed

    def _special(self) -> str:
        """Read one quoted or expanded part of a word and return its text."""
        text, start = self.text, self.at
        mark = text[start : start + 2]
        if text[start] == "\\":
            self.at += 2
            return text[start + 1 : start + 2]
        if text[start] == "'":
            return self._single(start + 1)
        if mark == "$'":
            return self._ansi(start + 2)
        if text[start] == '"' or mark == '$"':
            inner = start + (2 if mark == '$"' else 1)
            self.at = self._nested(inner, ['"'])
            return _DOUBLE_ESCAPE.sub(lambda m: m[1].strip("\n"), text[inner : self.at].removesuffix('"'))
        if text[start] == "`":
            self.at = self._nested(start + 1, ["`"])
        elif mark in ("$(", "<(", ">("):
            self.at = self._nested(start + 2, [")"])
        elif mark == "${":
            self.at = self._nested(start + 2, ["}"])
        else:
            self.at += 1
        return text[start : self.at]

    def _single(self, start: int) -> str:
        end = self.text.find("'", start)
        end = len(self.text) if end < 0 else end
        self.at = min(end + 1, len(self.text))
        return self.text[start:end]

    def _ansi(self, start: int) -> str:
        body = _ANSI_BODY.match(self.text, start)
        assert body is not None  # the pattern also matches nothing
        self.at = min(body.end() + 1, len(self.text))
        return _ANSI_ESCAPE.sub(lambda m: _ANSI.get(m[1], m[1]), body[0])

    def _nested(self, at: int, closers: list[str]) -> int:
        """Return the offset after the last of ``closers``, passing over what is quoted or nested inside."""
        text = self.text
        while closers and (found := _NESTING.search(text, at)):
            sign, at = found[0], found.end()
            if sign == "\\":
                at += 1
            elif sign == closers[-1]:
                closers.pop()
            elif sign == "$":
                if text.startswith(("(", "{"), at):
                    closers.append(")" if text[at] == "(" else "}")
                    at += 1
            elif sign in '"`':
                closers.append(sign)
            elif closers[-1] != '"':
                if sign == "'":
                    end = text.find("'", at)
                    at = len(text) if end < 0 else end + 1
                elif sign == "(":
                    closers.append(")")
        return len(text) if closers else at
