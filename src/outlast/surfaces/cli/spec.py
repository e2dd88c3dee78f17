"""What a command is, as data: its words, options and arguments, and the function that runs it.

The tables in ``verbs`` are written in these terms once. Two readers use them: ``parse`` (fast, for a line
that is right) and ``face`` (click: help, completion, and a good sentence for a line that is wrong).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Kind:
    """How a word becomes the value of an option or argument; ``convert`` may raise ValueError."""

    __slots__ = ("choices", "convert", "metavar")

    def __init__(self, metavar: str, convert: Callable[[str], object], choices: tuple[str, ...] = ()) -> None:
        self.metavar = metavar
        self.convert = convert
        self.choices = choices


def text(metavar: str = "TEXT") -> Kind:
    """Any text, as it is."""
    return Kind(metavar, str)


def integer(low: int | None = None, high: int | None = None, metavar: str = "N") -> Kind:
    """A whole number within bounds, both included."""

    def convert(word: str) -> int:
        digits = word[1:] if word[:1] == "-" else word
        # int() also takes underscores, blanks and digits of other scripts.
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError(f"{word!r} is not a whole number")
        if len(digits) > 18:
            raise ValueError(f"{word[:24]!r} is too large a number")
        number = int(word)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError(f"{number} is not in the range {_range(low, high)}")
        return number

    return Kind(metavar, convert)


def _range(low: int | None, high: int | None) -> str:
    if high is None:
        return f"from {low} up"
    return f"up to {high}" if low is None else f"{low} to {high}"


def decimal(metavar: str = "SECONDS") -> Kind:
    """A plain number from 0 up that may have a fraction, kept as it was written."""

    def convert(word: str) -> str:
        whole, _, fraction = word.partition(".")
        if not (word.isascii() and whole.isdigit() and (fraction or "0").isdigit() and len(word) <= 24):
            raise ValueError(f"{word[:24]!r} is not a number of seconds")
        return word

    return Kind(metavar, convert)


def choice(*words: str) -> Kind:
    """One of a few words."""

    def convert(word: str) -> str:
        if word not in words:
            raise ValueError(f"{word!r} is not one of {', '.join(words)}")
        return word

    return Kind("|".join(words), convert, words)


def _duration(word: str) -> float:
    from outlast.core.durations import parse_duration

    return parse_duration(word)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise ValueError(f"{word!r} is not of the form NAME=VALUE")
    return name, value


def some_of(metavar: str, *words: str) -> Kind:
    """One or several of a few words, with commas between them."""

    def convert(word: str) -> str:
        for part in word.split(","):
            if part not in words:
                raise ValueError(f"{part!r} is not one of {', '.join(words)}")
        return word

    return Kind(metavar, convert, words)


def _lookup(word: str) -> str:
    if not word.strip():
        raise ValueError("a task is named by an id, not by nothing")
    return word


def _flow(word: str) -> str:
    if not word.strip():
        raise ValueError("a flow is named by an id, not by nothing")
    return word


def _percent(word: str) -> int:
    number = word.removesuffix("%")
    if not (number.isascii() and number.isdigit() and len(number) <= 3 and int(number) <= 100):
        raise ValueError(f"{word[:24]!r} is not a whole number from 0 to 100")
    return int(number)


def _moment(word: str) -> tuple[str, float]:
    """A span back from now, or a moment: told apart here, turned into a time when the command runs."""
    from outlast.core.durations import parse_duration
    from outlast.core.errors import BadInput

    try:
        return "ago", parse_duration(word)
    except BadInput:
        from datetime import datetime

        try:
            return "at", datetime.fromisoformat(word).timestamp()
        except (ValueError, OverflowError):
            raise ValueError(f"{word[:40]!r} is neither a span (2d, 90m) nor a moment (2026-11-23T10:00)") from None


def _queue_limit(word: str) -> tuple[str, int | None]:
    name, equals, value = word.rpartition("=")
    if not (name and equals) or not (value == "none" or (value.isascii() and value.isdigit() and len(value) < 7)):
        raise ValueError(f"{word[:80]!r} is not of the form NAME=N or NAME=none")
    return name, None if value == "none" else int(value)


def _byte_range(word: str) -> str:
    start, colon, end = word.partition(":")
    if not colon or any(part and not (part.isascii() and part.isdigit()) for part in (start, end)):
        raise ValueError(f"{word!r} is not of the form START:END, in bytes")
    return word


DURATION = Kind("DURATION", _duration)
PAIR = Kind("NAME=VALUE", _pair)
BYTES = Kind("START:END", _byte_range)
LOOKUP = Kind("TASK", _lookup)
FLOW = Kind("FLOW", _flow)
PERCENT = Kind("PERCENT", _percent)
MOMENT = Kind("WHEN", _moment)
QUEUE_LIMIT = Kind("NAME=N", _queue_limit)


class Option:
    """``--name VALUE`` or, without a kind, a flag. ``many`` options may be repeated and give a list.

    With ``bare`` it takes a value in the form ``--name=VALUE`` only, and is ``bare`` without one. ``complete`` names
    what to offer.
    """

    __slots__ = ("bare", "complete", "flags", "help", "hidden", "kind", "many", "name")

    def __init__(
        self,
        flags: str,
        kind: Kind | None,
        help: str,  # the word every command-line library uses
        *,
        name: str = "",
        many: bool = False,
        hidden: bool = False,
        bare: str | None = None,
        complete: str = "",
    ) -> None:
        self.bare = bare
        self.complete = complete
        self.flags = tuple(flags.split("/"))
        self.name = name or self.flags[0].lstrip("-").replace("-", "_")
        self.kind = kind
        self.help = help
        self.many = many
        self.hidden = hidden

    @property
    def absent(self) -> object:
        """The value when the option was not given."""
        if self.many:
            return []
        return False if self.kind is None else None


class Argument:
    """A positional word; only the last of a command may take ``many``. ``complete`` names what to offer."""

    __slots__ = ("complete", "kind", "many", "name", "required")

    def __init__(self, name: str, kind: Kind, *, required: bool = True, many: bool = False, complete: str = "") -> None:
        self.name = name
        self.kind = kind
        self.required = required
        self.many = many
        self.complete = complete


class Verb:
    """One command. ``run`` is ``module:function``, imported when the command is run and not before.

    ``bare`` is for the command that the words of its group alone stand for (``tasks`` is ``tasks list``).
    """

    __slots__ = (
        "alias",
        "arguments",
        "bare",
        "details",
        "flags",
        "free_options",
        "help",
        "options",
        "run",
        "words",
    )

    def __init__(
        self,
        words: str,
        run: str,
        help: str,
        *,
        arguments: tuple[Argument, ...] = (),
        options: tuple[Option, ...] = (),
        details: str = "",
        alias: str = "",
        free_options: bool = True,
        bare: bool = False,
    ) -> None:
        self.words = tuple(words.split(" "))
        self.run = run
        self.help = help
        self.arguments = arguments
        self.options = options
        self.details = details
        self.alias = alias
        # False: options end at the first positional word (what follows belongs to the user's command).
        self.free_options = free_options
        self.bare = bare
        self.flags = {flag: option for option in options for flag in option.flags}


class Parsed:
    """A command line that was understood: the command and a value for each of its options and arguments."""

    __slots__ = ("values", "verb")

    def __init__(self, verb: Verb, values: dict[str, Any]) -> None:
        self.verb = verb
        self.values = values
