"""Commands that only keep time: a sleep in front of the work, or a loop that looks, sleeps and looks again.

A session that keeps time dies with its host and tells nobody; a schedule or a wait in the server does
neither. The reading of the command is a guess at its shape, good enough for advice and never a matter of
safety.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from outlast.core.durations import format_duration
from outlast.core.shell_words import Token, split

LATER_SECONDS = 30.0
"""So long a sleep before the work, or so long in all in a loop that counts its rounds, is keeping time."""

COMMAND_MAX = 131_072
"""Longer commands are not read, in characters: Linux takes no argument of 128 KiB or more."""

_DEPTH_MAX = 8


class Advice(NamedTuple):
    """What a command looks like, and in a sentence the call that does it better."""

    kind: Literal["later", "poll"]
    message: str


def fake_timer(command: str | None, argv: Sequence[str] | None = None) -> Advice | None:
    """Return advice when a command only keeps time: it sleeps before its work, or polls in a loop. Else None.

    Left alone are a sleep by itself, in the background or at the head of a pipe, a sleep after work has
    begun, loops over things rather than numbers, ``while read``, counted loops that sleep less than a
    second a round or less than `LATER_SECONDS` in all, and whatever is quoted without being handed to a
    shell.
    """
    scan = _Scan(0)
    if command is None:
        scan.words = list(argv or ())
        scan.end_command("")
    elif len(command) <= COMMAND_MAX and ("sleep" in command or "watch" in command):
        scan.read(command)
    return scan.advice


def _later(seconds: float) -> Advice:
    span = format_duration(seconds)
    return Advice(
        "later",
        f"This command waits {span} before it works, and the plan is gone if the session ends before. "
        f"`outlast cron add --in {round(seconds)}s -- COMMAND` starts it then, also after a restart "
        "(in versions that have cron; until then keep it, it survives all but a reboot).",
    )


def _poll(seconds: float) -> Advice:
    every = f"{round(seconds)}s" if 1 <= seconds < math.inf else "1m"
    return Advice(
        "poll",
        "This command polls in a loop. One call waits for a session: `outlast process wait ID --exit` "
        "(or --pattern RE, --port N, --quiet 5s); it returns at the event. "
        f"To look again and again: `outlast cron add --every {every} -- COMMAND` (in versions that have cron).",
    )


_SHELLS = frozenset(("sh", "bash", "zsh", "dash", "ksh", "mksh", "ash"))
_NEUTRAL = frozenset(("cd", "echo", "printf", "export", "set", "unset", "date", "true", ":", "local", "declare"))
_STEPS = frozenset(("true", ":", "break", "continue", "let"))
# Programs that only start another one, with those of their one-letter options that take a value.
_WRAPPERS = {
    "nohup": "",
    "setsid": "",
    "time": "fo",
    "nice": "n",
    "ionice": "cnpPu",
    "env": "uC",
    "command": "",
    "builtin": "",
    "exec": "a",
    "stdbuf": "ioe",
    "timeout": "ks",
    "sudo": "ugChprtTUD",
    "doas": "uC",
    "busybox": "",
    "unbuffer": "",
}
_CLOSES = {
    "done": ("while", "until", "for", "select"),
    "fi": ("if",),
    "}": ("{",),
    "esac": ("case",),
    ")": ("(",),
}
_REDIRECTIONS = frozenset(("<", ">", ">>", "<<<", "<>", "<&", ">&", ">|", "&>", "&>>"))
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_SLEEP = re.compile(r"([0-9]{0,9}\.?[0-9]{1,9})([smhd]?)")
_PRODUCT = re.compile(r"\$\(\(\s*([0-9]{1,6})(?:\s*\*\s*([0-9]{1,6}))?(?:\s*\*\s*([0-9]{1,6}))?\s*\)\)")
_UNIT_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BRACES = re.compile(r"\{([0-9]{1,9})\.\.([0-9]{1,9})\}")
_SEQ = re.compile(r"(?:\$\(|`)\s*seq\s+([0-9]{1,9})(?:\s+([0-9]{1,9}))?(?:\s+([0-9]{1,9}))?\s*[)`]")
_C_LIMIT = re.compile(r"<(=?)\s*([0-9]{1,9})")


class _Loop:
    """A loop being read: how often it goes round (None: not by counting), what it sleeps a round, if it
    works.
    """

    def __init__(self, word: str) -> None:
        self.word = word
        self.count: float | None = None
        self.sleeps = 0.0
        self.in_head = word != "for"
        self.reads = False
        self.works = False

    def seconds(self) -> float:
        """What it sleeps in all, as far as its rounds are counted; infinite when that is not known."""
        return self.sleeps * (1.0 if self.count is None else self.count) if self.sleeps else 0.0

    def polls(self) -> bool:
        if not self.works or self.reads:
            return False
        if self.word != "for":
            return self.sleeps > 0
        return self.count is not None and self.sleeps >= 1 and self.seconds() >= LATER_SECONDS


class _Frame:
    """A compound command being read, and how the scan stood when its present and-or list began."""

    def __init__(self, word: str, advice: Advice | None, waited: float) -> None:
        self.word = word
        self.advice = advice
        self.waited_before = waited
        self.loop = _Loop(word) if word in ("while", "until", "for") else None
        self.waited = 0.0
        self.sleeps = 0.0


class _Scan:
    """Reads the tokens of one command and keeps what matters: how long it has only waited, whether it worked.

    Sleeps count only when something waits for them: those in the background or at the head of a pipe are
    taken back.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.advice: Advice | None = None
        self.waited = 0.0
        self.worked = False
        self.words: list[str] = []
        self.body: str | None = None
        self.header: list[str] | None = None
        self.loops: list[_Loop] = []
        self.frames = [_Frame("", None, 0.0)]
        self.popped: _Frame | None = None
        self.redirection: str | None = None
        self.in_definition = False
        self.after_or = False

    def read(self, text: str) -> None:
        for token in split(text):
            if token.kind == "word":
                self._word(token)
            elif token.kind == "body":
                self.body = token.text
            else:
                self._operator(token.text)
        self.end_command("")

    def end_command(self, operator: str) -> None:
        """Take in the simple command read so far, then what the operator after it means for the list."""
        words, self.words = self.words, []
        body, self.body = self.body, None
        piped = operator in ("|", "|&")
        if words:
            self._simple(words, body, piped)
        elif piped and self.popped and self.popped.word in ("(", "{") and self.advice and self.advice.kind == "later":
            # (sleep 60; echo quit) | server: the group feeds a program that works already.
            self.advice, self.waited = self.popped.advice, self.popped.waited_before
        self.popped = None
        self.after_or = operator == "||"
        if operator == "&":
            self.waited = self.frames[-1].waited
            if self.loops:
                self.loops[-1].sleeps = self.frames[-1].sleeps
        if operator not in ("&&", "||", "|", "|&"):
            self._mark()

    def _mark(self) -> None:
        self.frames[-1].waited = self.waited
        self.frames[-1].sleeps = self.loops[-1].sleeps if self.loops else 0.0

    def _word(self, token: Token) -> None:
        redirection, self.redirection = self.redirection, None
        if redirection is not None:
            if redirection == "<<<":
                self.body = token.text
        elif self.header is not None:
            self._header_word(token)
        elif self.words or not token.plain or not self._reserved(token.text):
            self.words.append(token.text)

    def _header_word(self, token: Token) -> None:
        assert self.header is not None
        if self.frames[-1].word == "case":
            if token.plain and token.text == "in":
                self.header = None
        elif token.plain and token.text == "do" and len(self.header) == 1:
            self._end_header()
        else:
            self.header.append(token.text)

    def _end_header(self) -> None:
        if (loop := self.frames[-1].loop) and self.header is not None:
            loop.count = _rounds(self.header)
        self.header = None

    def _operator(self, operator: str) -> None:
        if operator in _REDIRECTIONS:
            self.redirection = operator
            return
        if self.in_definition and operator != ")":
            return
        if self.header is not None:
            if operator in (";", "\n") and self.frames[-1].word != "case":
                self._end_header()
        elif operator == "(":
            if self.words:  # a function's name, or an array: what is inside runs nothing now
                self.in_definition = True
            else:
                self._push("(")
        elif operator == ")" and (self.in_definition or self.frames[-1].word == "case"):
            self.in_definition = False
            self.words.clear()
        elif operator == ")":
            self.end_command(")")
            self._pop(")")
        else:
            self.end_command(operator)

    def _reserved(self, word: str) -> bool:
        """Act on a word that is reserved where a command begins; False when it is none."""
        match word:
            case "while" | "until" | "if" | "{":
                self._push(word)
            case "for" | "select" | "case":
                self._push(word)
                self.header = []
            case "do":
                if loop := self.frames[-1].loop:
                    loop.in_head = False
            case "done" | "fi" | "}" | "esac":
                self._pop(word)
            case "function":
                self.redirection = word
            case "then" | "elif" | "else" | "!" | "coproc":
                pass
            case _:
                return False
        return True

    def _push(self, word: str) -> None:
        frame = _Frame(word, self.advice, self.waited)
        self.frames.append(frame)
        if frame.loop:
            self.loops.append(frame.loop)
        self._mark()

    def _pop(self, word: str) -> None:
        if self.frames[-1].word not in _CLOSES[word]:
            return
        self.popped = self.frames.pop()
        if self.popped.loop is None:
            return
        loop = self.loops.pop()
        if loop.polls():
            self._found(_poll(loop.sleeps))
        elif self.loops:
            self.loops[-1].sleeps += loop.seconds()
            self.loops[-1].works |= loop.works
        elif loop.works or loop.count is None:
            self._work()
        else:
            self._wait(loop.seconds())

    def _simple(self, words: list[str], body: str | None, piped: bool) -> None:
        at = _program(words)
        if at >= len(words):
            return
        name, args = words[at].rpartition("/")[2], words[at + 1 :]
        script = _script(name, args, body)
        if name in ("sleep", "gsleep"):
            self._wait(0.0 if piped else _sleep_seconds(args))
        elif script is not None and self.depth < _DEPTH_MAX:
            self._nested(script, piped)
        elif name == "watch" and args and args[0] not in ("-h", "--help", "-v", "--version"):
            self._found(_poll(math.inf))
        elif self.loops:
            loop = self.loops[-1]
            loop.reads |= loop.in_head and name == "read" and "-t" not in args
            loop.works |= name not in _STEPS and not name.startswith("((") and words[at:] != ["[", "1", "]"]
        elif name in _NEUTRAL:
            self._judge()
        else:
            self._work()

    def _nested(self, script: str, piped: bool) -> None:
        inner = _Scan(self.depth + 1)
        inner.read(script)
        if inner.advice:
            self._found(inner.advice)
        elif inner.waited and not inner.worked:
            self._wait(0.0 if piped else inner.waited)
        elif self.loops:
            self.loops[-1].works = True
        else:
            self._work()

    def _wait(self, seconds: float) -> None:
        if self.loops:
            self.loops[-1].sleeps += seconds
        elif seconds < math.inf:
            self.waited += seconds

    def _work(self) -> None:
        self._judge()
        if not self.after_or:
            self.worked = True

    def _judge(self) -> None:
        if self.waited >= LATER_SECONDS and not self.worked and not self.after_or:
            self._found(_later(self.waited))

    def _found(self, advice: Advice) -> None:
        if self.advice is None:
            self.advice = advice


def _program(words: list[str]) -> int:
    """Return the index of the program a simple command really runs, past assignments and wrappers."""
    at = 0
    while at < len(words):
        name = words[at].rpartition("/")[2]
        if _ASSIGNMENT.match(words[at]):
            at += 1
        elif (valued := _WRAPPERS.get(name)) is None:
            return at
        else:
            at += 1
            while at < len(words) and words[at].startswith("-"):
                option = words[at]
                at += 2 if len(option) == 2 and option[1] in valued else 1
            at += name == "timeout"
    return at


def _script(name: str, args: list[str], body: str | None) -> str | None:
    """Return the text that a simple command hands to a shell, None when it does no such thing."""
    if name == "eval":
        return " ".join(args)
    if name not in _SHELLS:
        return None
    at = 0
    while at < len(args) and args[at].startswith(("-", "+")):
        option = args[at]
        if not option.startswith("--") and "c" in option:
            return args[at + 1] if at + 1 < len(args) else None
        at += 2 if option[-1] in "oO" else 1
    return body if at >= len(args) else None


def _sleep_seconds(args: list[str]) -> float:
    """Return how long ``sleep`` sleeps; infinite when that is not written down, 0 when it stands in for a
    process.
    """
    total = 0.0
    for arg in args:
        if arg.lower() in ("infinity", "inf") or arg.startswith("-"):
            return 0.0
        if match := _SLEEP.fullmatch(arg):
            total += float(match[1]) * _UNIT_SECONDS[match[2]]
        elif match := _PRODUCT.fullmatch(arg):
            total += math.prod(float(number) for number in match.groups() if number)
        else:
            return math.inf
    return total


def _rounds(header: list[str]) -> float | None:
    """Return how often a ``for`` goes round if it counts (infinite: not written down), None if it goes over
    things.
    """
    if header[:1] and header[0].startswith("(("):
        limit = _C_LIMIT.search(header[0])
        return float(limit[2]) + (1 if limit[1] else 0) if limit else math.inf
    items = header[2:]
    if len(items) == 1:
        if match := _BRACES.fullmatch(items[0]):
            return abs(float(match[2]) - float(match[1])) + 1
        if match := _SEQ.fullmatch(items[0]):
            first, second, third = match.groups()
            if second is None:
                return float(first)
            step = float(second) if third else 1.0
            return max(0.0, (float(third or second) - float(first)) // (step or 1.0) + 1)
        if items[0].startswith(("$(seq ", "`seq ")):
            return math.inf
    return float(len(items)) if items and all(item.isdecimal() for item in items) else None
