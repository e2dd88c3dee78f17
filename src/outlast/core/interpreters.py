"""Which items of an argument list the usual interpreters would run as code: no value from elsewhere may stand there.

This is a net for the usual ones (shells, python, node, ssh, also behind ``env``, ``sudo`` or ``timeout``), no proof:
what any other program does with its arguments is its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_VERSION = re.compile(r"[0-9.]+$")
# Programs that run an argument as code: after which option, in letters that may stand with others (-lc).
_CODE = dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "su", "python"), "c")
_CODE |= {"perl": "eE", "ruby": "e", "node": "ep", "php": "r", "lua": "e", "osascript": "e", "pwsh": "c"}
_CODE_LONG = ("--command", "--eval", "--print", "-Command")
_ALL_CODE = frozenset({"ssh", "eval"})  # they join all their arguments into one line for a shell


def code_items(words: Sequence[str | None]) -> Iterator[int]:
    """Yield the positions that would be run as code; a word that is not known before it is filled is None."""
    letters = ""
    code_next = code_from_here = False
    for index, known in enumerate(words):
        if code_next or code_from_here:
            yield index
        word = known or ""
        name = _VERSION.sub("", word.rpartition("/")[2])
        code_from_here = code_from_here or name in _ALL_CODE
        if name in _CODE:
            letters, code_next = _CODE[name], False
        elif code_next:
            letters, code_next = "", False  # that was the code; what follows are its arguments
        elif word.startswith("-"):
            code_next = bool(letters) and _takes_code(word, letters)


def _takes_code(option: str, letters: str) -> bool:
    return option in _CODE_LONG or (not option.startswith("--") and any(sign in option[1:] for sign in letters))
