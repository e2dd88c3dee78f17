"""Hides secrets in command lines before they are stored or shown.

The shape stays readable (``TOKEN=***``, ``--password ***``, ``https://me:***@host``). This is a net with
known meshes, not a vault: what does not look like a secret is not found. Every rule reads the original text
and only marks spans, so no rule can hide a secret from another one. Time is linear in the length of any text:
possessive repeats and a look-behind where a search may start see to it that no stretch is tried twice.
"""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from typing import Literal

MASK = "***"

_Span = tuple[int, int]

_QUOTED = re.compile(r"""\\.|"((?:[^"\\]|\\.)*+)"|'([^']*+)'""", re.DOTALL)
_VALUE = re.compile(
    r"""\\"(?:[^"\\]|\\[^"])*+(?:\\")?|(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|\\.|[^\s"'\\;&|<>()`])++""", re.DOTALL
)
# After a colon or inside data, a comma or bracket ends the value, and so does its closing quote.
_DATUM = re.compile(
    r"""\\"(?:[^"\\]|\\[^"])*+(?:\\")?|"(?:[^"\\]|\\.)*+"|'[^']*+'|[^\s"'\\;&|<>()`,}\]]++""", re.DOTALL
)
_NAME = re.compile(r"(?<![\w.-])[A-Za-z_-][\w.-]*+", re.ASCII)
_SEPARATOR = re.compile(
    r"""\\?["']?(?:=(?![=>])|[ \t]{1,4}(?::=|=>|==?)[ \t]{0,4}|(?::=|=>|==)[ \t]{0,4}"""
    r"""|[ \t]{0,4}:(?![/=])[ \t]{0,4})"""
)
_BLANK = re.compile(r"(?:[ \t]|\\\n)++")
_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|passcode|credential|authorization|bearer|cookie|jwt"
    r"|(?:api|private|access|signing|encryption|master|account|session|auth|deploy|service|license|ssh)[_.-]?key"
    r"|(?:^|[_.-])(?:pwd|pass|auth|pat|sig|signature|private)$"
    r"|(?:db|sql|ssh|root|user|admin|my|login)(?:pwd|pass)$",
    re.IGNORECASE,
)
_HARMLESS_NAME = re.compile(
    r"^-*no-|tokeniz|(?:max|min|num|n|total|prompt|input|output|completion|new)[_.-]?(?:new[_.-])?tokens?$"
    r"|[_.-](?:file|path|dir|stdin|prompt|url|uri|endpoint|name|type|ttl|length|size|count)$|^oldpwd$|^pwd$",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:bearer|basic|token|digest|negotiate|apikey)[ \t]+", re.IGNORECASE)
# A reference keeps its name: it says where a secret comes from, not what it is.
_REFERENCE = re.compile(r'\\?"?(?:\$(?:(?:[A-Z_][A-Z0-9_]*+|\{[A-Z_][A-Z0-9_]*+\})(?=[\s"\'\\@:/&;|)},]|\Z)|\()|`)')
_SHAPES = (
    re.compile(r"://(?:[^\s/?#:@'\"]*:([^\s/?#'\"<>]*)|([^\s/?#:@'\"]{20,}))@"),
    re.compile(r"(?<![\w-])bearer[ \t]+([\w.~+/=-]{8,})", re.IGNORECASE),
    re.compile(
        r"(?<![\w-])(?:gh[opusr]_|github_pat_|gl[a-z]{2,5}-|xox[abeoprs]-|xapp-|AKIA|ASIA|AIza|npm_|pypi-|hf_"
        r"|(?:sk|rk|pk)[-_](?=[\w-]*[0-9]))([\w-]{16,}+)"
    ),
    re.compile(r"(?<![\w-])eyJ([\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?)"),
    re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----(.*?)(?:-----END|\Z)", re.DOTALL),
)

# Programs with a password option too short to be told by its name: the option, and how its value is written.
_How = Literal["attached", "either", "login", "pair"]
_PROGRAMS: tuple[tuple[re.Pattern[str], tuple[str, ...], _How], ...] = (
    (re.compile(r"mysql\w*|mariadb[\w-]*|7z\w?"), ("-p",), "attached"),
    (re.compile(r"sshpass|mongo\w*|rabbitmqadmin"), ("-p",), "either"),
    (re.compile(r"docker|podman|skopeo|buildah|helm|oras|az|cf"), ("-p",), "login"),
    (re.compile(r"redis-cli"), ("-a",), "either"),
    (re.compile(r"ldap\w+"), ("-w",), "either"),
    (re.compile(r"zip|unzip|mosquitto_\w+|sqlcmd|bcp"), ("-P",), "either"),
    (re.compile(r"curl"), ("-u", "--user", "-U", "--proxy-user"), "pair"),
    (re.compile(r"https?|xh"), ("-a",), "pair"),
    (re.compile(r"smbclient"), ("-U",), "pair"),
)
_PROGRAM = re.compile(rf"(?<![\w.-])(?:{'|'.join(program.pattern for program, _, _ in _PROGRAMS)})(?=[ \t\\])")
_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*+"|'[^']*+'|\\.|[<>]&?|[^\s"'\\;&|<>()])++""", re.DOTALL)


def redact(text: str) -> str:
    """Return the text with every secret that is recognised replaced by `MASK`."""
    out: list[str] = []
    at = 0
    for start, end in _hidden(text):
        out += (text[at:start], MASK)
        at = end
    out.append(text[at:])
    return "".join(out)


def hidden_parts(text: str) -> list[str]:
    """Return what `redact` would hide, each part once, in order: for whoever must know that it is no more than data."""
    return [text[start:end] for start, end in _hidden(text)]


def hidden_spans(text: str) -> list[tuple[int, int]]:
    """Return where `redact` would hide something, ``start <= offset < end``, in order and apart from each other."""
    return list(_hidden(text))


def _hidden(text: str) -> Iterator[_Span]:
    """Yield the stretches to hide, in order; those that overlap as one."""
    start = end = 0
    for next_start, next_end in sorted(_Finder(text).spans()):
        if next_end <= end or next_start == next_end:
            continue
        if next_start >= end:
            if start < end:
                yield start, end
            start = next_start
        end = next_end
    if start < end:
        yield start, end


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Return an argument list with its secrets masked; an option and its value may be two words of it."""
    line = shlex.join(argv)
    masked = redact(line)
    if masked == line:
        return list(argv)
    try:
        words = shlex.split(masked)
    except ValueError:  # a quote went with a secret
        words = []
    return words if len(words) == len(argv) else [redact(word) for word in masked.split(" ")]


class _Finder:
    def __init__(self, text: str) -> None:
        self.text = text
        quoted = [m.span(m.lastindex) for m in _QUOTED.finditer(text) if m.lastindex]
        self.starts = [start for start, _ in quoted]
        self.ends = [end for _, end in quoted]
        self.ahead: dict[str, int] = {}

    def spans(self) -> Iterator[_Span]:
        for shape in _SHAPES:
            for found in shape.finditer(self.text):
                start, end = found.span(found.lastindex or 0)
                if not _REFERENCE.match(self.text, start):
                    yield start, end
        yield from self._named()
        yield from self._options()

    def _limit(self, at: int) -> int:
        """Return where the quoted text around an offset ends, or the end of the text when nothing quotes it."""
        index = bisect_right(self.starts, at) - 1
        return self.ends[index] if index >= 0 and at <= self.ends[index] else len(self.text)

    def _named(self) -> Iterator[_Span]:
        """What follows a name that looks secret: NAME=…, Name: …, "name": …, --name …"""
        hidden = 0
        for name in _NAME.finditer(self.text):
            if name.start() < hidden or not _SECRET_NAME.search(name[0]) or _HARMLESS_NAME.search(name[0]):
                continue
            separator = _SEPARATOR.match(self.text, name.end())
            if separator is None and name[0][0] == "-":
                separator = _BLANK.match(self.text, name.end())
                if separator and self.text.startswith("-", separator.end()):
                    continue
            if separator and (span := self._value(name.start(), separator)):
                hidden = span[1]
                yield span

    def _value(self, name_at: int, separator: re.Match[str]) -> _Span | None:
        text, start = self.text, separator.end()
        limit = self._limit(start)
        before = text[name_at - 1 : name_at]
        if before == "{":  # ${NAME:-default}
            return start, min(self._next("}", start), limit)
        if before in ("'", '"') and not separator[0].startswith(("\\", "'", '"')):
            limit = min(self._next(before, start), limit)
            whole = not text.endswith("c", max(0, name_at - 3), name_at - 2)
            if whole and separator[0].strip():
                start = self._past_scheme(start, limit)
                return None if _REFERENCE.match(text, start) else (start, self._glued(limit))
        start = self._past_scheme(start, limit)
        kind = _VALUE if separator[0] == "=" or separator[0].isspace() else _DATUM
        value = None if _REFERENCE.match(text, start) else kind.match(text, start, limit)
        return value.span() if value else None

    def _glued(self, end: int) -> int:
        """Return where a quoted word ends, given its first closing quote: the shell glues 'a'"'"'b' together."""
        if not self.text.startswith(("'", '"'), end + 1):
            return end
        more = _VALUE.match(self.text, end + 1, self._limit(end + 1))
        return more.end() - self.text.endswith(("'", '"'), 0, more.end()) if more else end

    def _next(self, char: str, at: int) -> int:
        """Return where a character comes next. Offsets only grow, so each stretch is searched once."""
        found = self.ahead.get(char, -1)
        if found < at:
            found = self.text.find(char, at)
            found = self.ahead[char] = len(self.text) if found < 0 else found
        return found

    def _past_scheme(self, start: int, limit: int) -> int:
        scheme = _SCHEME.match(self.text, start, limit)
        return scheme.end() if scheme else start

    def _options(self) -> Iterator[_Span]:
        walked: dict[int, int] = {}
        for program in _PROGRAM.finditer(self.text):
            limit = self._limit(program.start())
            if program.start() >= walked.get(limit, 0):
                walked[limit] = yield from self._walk(program.start(), limit)

    def _walk(self, at: int, limit: int) -> Generator[_Span, None, int]:
        """Go through the words of one command; a program among them takes over the meaning of the options."""
        letters: tuple[str, ...] = ()
        how: _How = "either"
        wanted = logged_in = False
        while word := _WORD.match(self.text, at, limit):
            text = word[0]
            if wanted:
                wanted = False
                yield from self._secret_part(*word.span(), how)
            elif rule := _rule(text):
                letters, how = rule
            elif text == "login":
                logged_in = True
            elif how == "login" and not logged_in:
                pass
            elif text in letters:
                wanted = how != "attached"
            elif text[:2] in letters:
                yield from self._secret_part(word.start() + 2, word.end(), how)
            elif how == "pair" and text.partition("=")[0] in letters:
                yield from self._secret_part(word.start() + text.find("=") + 1, word.end(), how)
            blank = _BLANK.match(self.text, word.end(), limit)
            if blank is None:
                return word.end()
            at = blank.end()
        return at

    def _secret_part(self, start: int, end: int, how: _How) -> Iterator[_Span]:
        """Mark a whole word, or of a pair NAME:PASSWORD what comes after the first colon (or ``%``)."""
        if how == "pair":
            pair = re.search(r"[:%]", self.text[start:end])
            if pair is None:
                return
            start += pair.end()
            end -= self.text[end - 1] in "'\""
        if not _REFERENCE.match(self.text, start):
            yield start, end


def _rule(word: str) -> tuple[tuple[str, ...], _How] | None:
    name = word.rpartition("/")[2]
    return next(((letters, how) for program, letters, how in _PROGRAMS if program.fullmatch(name)), None)
