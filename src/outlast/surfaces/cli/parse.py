"""Read a command line that is right, quickly; hand everything else to ``face``.

An agent calls the command line for every command it runs, and importing click costs three times what Python
itself does. So a plain line is read here from the same tables. Whatever is unusual (help, a mistake, joined
short options, completion) gives None, and click reads the line again, with its help pages and its
sentences. A test holds the two to the same values.
"""

from __future__ import annotations

from outlast.core.errors import OutlastError
from outlast.surfaces.cli.spec import Parsed
from outlast.surfaces.cli.verbs import split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from outlast.surfaces.cli.spec import Verb


def parse(words: list[str]) -> Parsed | None:
    """Read the words after ``outlast``; None when click should."""
    found = split(words)
    if found is None:
        return None
    verb, rest = found
    values: dict[str, Any] = {option.name: option.absent for option in verb.options}
    positional = _options(verb, rest, values)
    if positional is None or not _arguments(verb, positional, values):
        return None
    return Parsed(verb, values)


def _options(verb: Verb, words: list[str], values: dict[str, Any]) -> list[str] | None:
    """Put the options into values and return the words that are none; None when one is not right."""
    positional: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*positional, *rest]
        if len(word) < 2 or word[0] != "-":
            positional.append(word)
            if not verb.free_options:
                return [*positional, *rest]
            continue
        flag, equals, value = word.partition("=")
        option = verb.flags.get(flag)
        if option is None or (equals and not (option.kind and flag.startswith("--"))):
            return None
        if option.kind is None:
            values[option.name] = True
            continue
        if not equals and option.bare is not None:
            value = option.bare
        elif not equals:
            following = next(rest, None)
            if following is None:
                return None
            value = following
        try:
            converted = option.kind.convert(value)
        except (ValueError, OutlastError):
            return None
        if option.many:
            values[option.name].append(converted)
        else:
            values[option.name] = converted
    return positional


def _arguments(verb: Verb, words: list[str], values: dict[str, Any]) -> bool:
    """Put the positional words into values; False when there are too few, too many or bad ones."""
    try:
        for argument in verb.arguments:
            if argument.many:
                if argument.required and not words:
                    return False
                values[argument.name] = [argument.kind.convert(word) for word in words]
                words = []
            elif words:
                values[argument.name] = argument.kind.convert(words[0])
                words = words[1:]
            elif argument.required:
                return False
            else:
                values[argument.name] = None
    except (ValueError, OutlastError):
        return False
    return not words
